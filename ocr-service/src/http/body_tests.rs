//! Bodies on their way in, over connections as the server has them but for the network, so that their time is that of a
//! clock which stands still while anything is done: how busy the machine is makes no difference.

use axum::Router;
use axum::routing::post;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::http::context::{self, Context};
use crate::http::health::{Lifecycle, Phase};
use crate::http::serve::connection;
use crate::metrics::HttpMetrics;

const MAX: usize = 100_000;
const SILENCE: Duration = Duration::from_millis(200);

/// Reads the body, or does not.
fn router(memory: BodyMemory, deadline: Duration) -> Router {
    let read = async |request: Request| whole(request).await.map(|body| body.len().to_string());
    let context = Context { role: "test", metrics: HttpMetrics::default(), deadline };
    let intake = Intake { max: MAX, silence: SILENCE, memory };
    Router::new()
        .route("/read", post(read))
        .route("/unread", post(async || StatusCode::CONFLICT))
        .route(
            "/limited",
            post(async |mut request: Request| {
                limit(&mut request, 2 * MAX);
                whole(request).await.map(|body| body.len().to_string())
            }),
        )
        .route(
            "/slow",
            post(async |request: Request| {
                let length = whole(request).await.map(|body| body.len().to_string());
                tokio::time::sleep(Duration::from_mins(1)).await;
                length
            }),
        )
        .layer(DefaultBodyLimit::max(MAX))
        .layer(axum::middleware::from_fn_with_state(Arc::new(intake), around))
        .layer(axum::middleware::from_fn_with_state(Arc::new(context), context::around))
}

/// A server to which connections can be made.
struct Server {
    router: Router,
    lifecycle: Lifecycle,
}

impl Server {
    fn start_with(memory: usize, deadline: Duration) -> Self {
        Self { router: router(BodyMemory::new(memory), deadline), lifecycle: Lifecycle::default() }
    }

    fn start() -> Self {
        Self::start_with(1 << 20, Duration::from_secs(20))
    }

    /// A connection on which `text` was sent.
    async fn send(&self, text: &str) -> DuplexStream {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        let header_timeout = Duration::from_millis(300);
        tokio::spawn(connection(theirs, self.router.clone(), self.lifecycle.clone(), header_timeout));
        ours.write_all(text.as_bytes()).await.unwrap();
        ours
    }
}

fn head(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")
}

/// What comes until the connection is closed.
async fn rest(mut stream: DuplexStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text));
    let _ = read.await.expect("the connection is closed");
    String::from_utf8(text).unwrap()
}

/// One answer's first bytes.
async fn answer(stream: &mut DuplexStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut bytes)).await;
    String::from_utf8_lossy(&bytes[..read.expect("an answer").unwrap()]).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_end_costs_the_connection() {
    let server = Server::start();
    assert!(!rest(server.send("POST /read HTTP/1.1\r\nhost: a\r\nx-slow: ").await).await.contains("200"));
    assert!(!rest(server.send("").await).await.contains("200"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_a_408_and_the_connection_is_closed() {
    let server = Server::start();
    let said = rest(server.send(&(head("/read", 10) + "half")).await).await;
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("send it without pauses"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_a_408_at_the_deadline() {
    let server = Server::start_with(1 << 20, Duration::from_millis(500));
    let mut stream = server.send(&head("/read", 1000)).await;
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let trickle = async {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut said = [0; 512];
    let length = tokio::select! {
        () = trickle => panic!("broken off without an answer"),
        read = from.read(&mut said) => read.unwrap(),
    };
    let said = String::from_utf8_lossy(&said[..length]);
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("deadline"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_keeps_coming_is_read() {
    let server = Server::start();
    let mut stream = server.send(&head("/read", 8)).await;
    for _ in 0..8 {
        tokio::time::sleep(SILENCE / 4).await;
        stream.write_all(b"x").await.unwrap();
    }
    let said = answer(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with('8'), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_received_and_the_connection_goes_on() {
    let server = Server::start();
    let mut stream = server.send(&head("/unread", MAX)).await;
    // The answer does not wait for the body.
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 409"));
    stream.write_all(&vec![b'x'; MAX]).await.unwrap();
    stream.write_all((head("/read", 3) + "abc").as_bytes()).await.unwrap();
    let said = answer(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with('3'), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_by_its_header_is_refused_before_it_comes() {
    let server = Server::start();
    let said = answer(&mut server.send(&head("/read", MAX + 1)).await).await;
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("limit of 98 KiB"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_its_own_never_allows_a_request_more_than_the_servers() {
    let server = Server::start();
    let head = "POST /limited HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = server.send(head).await;
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", MAX + 1, "x".repeat(MAX + 1));
    stream.write_all(chunk.as_bytes()).await.unwrap();
    let said = answer(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("limit of 98 KiB"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn bodies_beyond_the_memory_for_all_are_refused_with_a_time_and_a_free_place_is_taken() {
    let server = Server::start_with(2 * MAX + (2 << 10), Duration::from_secs(20));
    let mut slow = Vec::new();
    for _ in 0..2 {
        slow.push(server.send(&(head("/slow", MAX) + &"x".repeat(MAX))).await);
    }
    let refused = async || {
        let mut stream = server.send(&head("/read", MAX)).await;
        let said = answer(&mut stream).await;
        said.starts_with("HTTP/1.1 503") && said.contains("retry-after: 1")
    };
    assert!(refused().await);
    drop(slow.pop());
    let taken = async || {
        let mut stream = server.send(&(head("/read", MAX) + &"x".repeat(MAX))).await;
        answer(&mut stream).await.starts_with("HTTP/1.1 200")
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(taken().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_answered_when_the_process_closes() {
    let server = Server::start();
    let mut stream = server.send(&(head("/read", 4) + "ab")).await;
    // Over as soon as there is nothing to be done but to wait for the rest of the body.
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.lifecycle.enter(Phase::Closing);
    stream.write_all(b"cd").await.unwrap();
    let said = rest(stream).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with('4'), "{said}");
}
