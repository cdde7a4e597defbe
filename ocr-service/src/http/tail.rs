//! What lasts as long as a response does: a stream's work goes on after its header is out.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};

/// `response`, which holds `guard` until its last byte is out or its client has left. A body whose length is known is
/// whole already: then nothing is left to be waited for.
pub fn until_its_end<Guard: Send + Unpin + 'static>(response: Response, guard: Guard) -> Response {
    if response.body().size_hint().exact().is_some() {
        drop(guard);
        return response;
    }
    response.map(|body| Body::new(Guarded { body, guard: Some(guard) }))
}

struct Guarded<Guard> {
    body: Body,
    guard: Option<Guard>,
}

impl<Guard: Unpin> http_body::Body for Guarded<Guard> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.guard = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use axum::response::IntoResponse;
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_stream_holds_its_guard_to_the_end_and_a_text_does_not() {
        let guard = Arc::new(());
        let stream = stream::iter(["a", "b"].map(Ok::<_, Infallible>));
        let response = until_its_end(Body::from_stream(stream).into_response(), guard.clone());
        let mut body = response.into_body().into_data_stream();
        for _ in 0..2 {
            assert!(body.next().await.is_some() && Arc::strong_count(&guard) == 2);
        }
        assert!(body.next().await.is_none() && Arc::strong_count(&guard) == 1);
        let text = until_its_end("ab".into_response(), guard.clone());
        assert_eq!((Arc::strong_count(&guard), text.body().size_hint().exact()), (1, Some(2)));
    }

    #[test]
    fn a_client_that_leaves_ends_it() {
        let guard = Arc::new(());
        let stream = stream::pending::<Result<Bytes, Infallible>>();
        let response = until_its_end(Body::from_stream(stream).into_response(), guard.clone());
        assert_eq!(Arc::strong_count(&guard), 2);
        drop(response);
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
