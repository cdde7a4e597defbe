//! Connections: each has so long for a request's header, and on closing finishes what it is at.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::health::Lifecycle;

/// Of what has arrived and was not asked for yet, for each connection; a header is smaller.
const READ_AHEAD: usize = 256 << 10;
/// After a connection that could not be taken for want of files or memory: some must be given back first.
const PAUSE: Duration = Duration::from_millis(100);

/// Milliseconds after which a client that takes nothing of its answer, or is not there any more, is given up: as long as
/// a request may take by default.
const NOT_TAKEN: u32 = 30_000;

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
                    if is_shortage(&error) {
                        tokio::time::sleep(PAUSE).await;
                    }
                    continue;
                }
            },
            () = &mut closing => break,
        };
        set_options(&stream);
        let (router, lifecycle, alive) = (router.clone(), lifecycle.clone(), alive.clone());
        tokio::spawn(async move {
            connection(stream, router, lifecycle, header_timeout).await;
            drop(alive);
        });
    }
    drop((listener, alive));
    none_left.recv().await;
}

/// Where one of these fails the connection is gone, which is found when it is read.
fn set_options(stream: &TcpStream) {
    // An answer is written whole; it must not wait for the acknowledgement of what came before.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_tcp_user_timeout(stream, NOT_TAKEN);
}

/// The next connection would fail as well (accept(2)); any other error is that of one connection, which is gone.
fn is_shortage(error: &io::Error) -> bool {
    let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| scarce.contains(&errno))
}

/// HTTP/1 alone, which is what the service speaks: no time goes into finding out.
pub(super) async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    lifecycle: Lifecycle,
    header_timeout: Duration,
) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        set_options(&stream);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), NOT_TAKEN);
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn only_a_shortage_is_waited_for() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(is_shortage(&errno.into()), "{errno}");
        }
        for errno in [Errno::CONNABORTED, Errno::PERM, Errno::PROTO, Errno::NETDOWN] {
            assert!(!is_shortage(&errno.into()), "{errno}");
        }
        assert!(!is_shortage(&io::ErrorKind::ConnectionAborted.into()));
    }
}
