//! Connections: each has so long for a request's header, and on closing finishes what it is at.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::health::Lifecycle;

/// Of what has arrived and was not asked for yet, for each connection; a header is smaller.
const READ_AHEAD: usize = 256 << 10;
/// After a connection that could not be taken: too many files are open, and some must be closed first.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers with `router` until the process closes, and then until the last request is answered.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle, header_timeout: Duration) {
    // Nothing is sent: each connection has a sender, and the end of the last one is seen.
    let (alive, mut none_left) = mpsc::channel::<()>(1);
    let mut closing = std::pin::pin!(lifecycle.clone().closing());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut closing => break,
        };
        let (router, lifecycle, alive) = (router.clone(), lifecycle.clone(), alive.clone());
        tokio::spawn(async move {
            connection(stream, router, lifecycle, header_timeout).await;
            drop(alive);
        });
    }
    drop((listener, alive));
    none_left.recv().await;
}

/// HTTP/1 alone, which is what the service speaks: no time goes into finding out.
async fn connection(stream: TcpStream, router: Router, lifecycle: Lifecycle, header_timeout: Duration) {
    // An answer is written whole; it must not wait for the acknowledgement of what came before. Where this fails the
    // connection is gone, which is found below.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(READ_AHEAD);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = lifecycle.closing() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
