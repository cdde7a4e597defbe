//! Requests over plain HTTP/1.1 (RFC 9112) as they are sent most cheaply: a connection is driven by the request that uses
//! it, with no task and no channel of its own, so that making the load takes little of the machine that is measured.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::{Body, Url};
use tokio::net::TcpStream;

use super::{Fault, Payload};

/// The kept connections to one address.
pub(super) struct Wire {
    host: String,
    port: u16,
    path: Uri,
    authority: HeaderValue,
    /// The one that was used last is used next. Those that the server has closed are found out when they are taken.
    idle: Mutex<Vec<Kept>>,
}

/// A connection is large, and is moved with every request.
type Kept = Box<Connection>;

/// Nothing is read or written but while a request holds it.
struct Connection {
    sender: http1::SendRequest<Body>,
    driver: http1::Connection<TokioIo<TcpStream>, Body>,
}

impl Wire {
    /// `None` for what needs more than a plain connection: TLS, or credentials in the address.
    pub fn to(url: &Url) -> Option<Self> {
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let path =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Some(Self {
            // An IPv6 address stands in brackets, which are no part of it.
            host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default()?,
            path: path.parse().ok()?,
            authority: url.authority().parse().ok()?,
            idle: Mutex::default(),
        })
    }

    /// The status and body of the answer. Dropped before its end, it closes its connection.
    pub async fn post(&self, payload: &Payload) -> Result<(StatusCode, Bytes), Fault> {
        let mut connection = self.connection().await?;
        let answer =
            connection.ask(self.request(payload)).await.map_err(|error| Fault::broken_off(&error))?;
        self.idle().push(connection);
        Ok(answer)
    }

    fn request(&self, payload: &Payload) -> Request<Body> {
        let mut request = Request::new(Body::from(payload.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let mut headers = payload.headers.clone();
        headers.insert(HOST, self.authority.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        *request.headers_mut() = headers;
        request
    }

    /// One that is kept and was not closed meanwhile, else a new one.
    async fn connection(&self) -> Result<Kept, Fault> {
        loop {
            let kept = self.idle().pop();
            let Some(mut kept) = kept else { break };
            if kept.is_usable().await {
                return Ok(kept);
            }
        }
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|error| Fault::no_connection(&error))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(|error| Fault::broken_off(&error))?;
        Ok(Box::new(Connection { sender, driver }))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn ask(&mut self, request: Request<Body>) -> hyper::Result<(StatusCode, Bytes)> {
        let Self { sender, driver } = self;
        let mut asked = pin!(sender.send_request(request));
        let answer: Response<Incoming> = driven(driver, |context| asked.as_mut().poll(context)).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        let (mut first, mut further) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = driven(driver, |context| Pin::new(&mut body).poll_frame(context)).await {
            let Ok(data) = frame?.into_data() else { continue };
            // An answer that comes in one piece, as most do, is not copied.
            match (first.is_empty(), further.is_empty()) {
                (true, true) => first = data,
                (false, true) => further.extend([first.clone(), data]),
                (_, false) => further.extend_from_slice(&data),
            }
        }
        Ok((status, if further.is_empty() { first } else { further.freeze() }))
    }

    /// Whether another request can be sent now; the server may have closed it, or want it closed.
    async fn is_usable(&mut self) -> bool {
        let Self { sender, driver } = self;
        let ended = poll_fn(|context| Poll::Ready(Pin::new(&mut *driver).poll(context).is_ready())).await;
        !ended && sender.is_ready()
    }
}

/// What `asked` comes to while the connection is driven, on which it waits.
async fn driven<T>(
    driver: &mut http1::Connection<TokioIo<TcpStream>, Body>,
    mut asked: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> T {
    let mut ended = false;
    poll_fn(|context| {
        // Driven first: most of what is asked for is there after it. Once ended it must not be driven again, and
        // what is asked for is decided.
        ended = ended || Pin::new(&mut *driver).poll(context).is_ready();
        asked(context)
    })
    .await
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
