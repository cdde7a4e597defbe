//! Connections that are kept, closed by their server, cut into pieces or broken off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::Payload;

/// Answers each request with these bytes, piece by piece; then closes the connection, if it is told to. Tells how many
/// connections there were.
async fn server(pieces: &'static [&'static str], closes: bool) -> (Wire, Arc<AtomicUsize>) {
    let (wire, opened, _) = counting_server(pieces, closes).await;
    (wire, opened)
}

/// As [`server`], and how many connections it has closed.
async fn counting_server(
    pieces: &'static [&'static str],
    closes: bool,
) -> (Wire, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/ocr?lang=kor", listener.local_addr().unwrap()).parse().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let ended = Arc::new(AtomicUsize::new(0));
    let counts_ended = Arc::clone(&ended);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let counts_ended = Arc::clone(&counts_ended);
            tokio::spawn(async move {
                while let Some(text) = crate::tests::next_form(&mut stream).await {
                    assert!(text.starts_with("POST /ocr?lang=kor HTTP/1.1\r\n"), "{text}");
                    assert!(text.contains("\r\nhost: 127.0.0.1:"), "{text}");
                    for piece in pieces {
                        stream.write_all(piece.as_bytes()).await.unwrap();
                        // Each piece is seen alone.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    if closes {
                        drop(stream);
                        counts_ended.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
            });
        }
    });
    (Wire::to(&url).unwrap(), count, ended)
}

fn form() -> Payload {
    Payload::form("file", "line.png", b"png")
}

fn whole(payload: &Payload) -> Message<'_> {
    Message { headers: &payload.headers, parts: [&payload.body, &[], &[]] }
}

async fn answers(wire: &Wire, times: usize) -> Vec<(u16, Bytes)> {
    let mut answers = Vec::new();
    for _ in 0..times {
        let (status, body) = wire.post(whole(&form())).await.unwrap();
        answers.push((status.as_u16(), body));
    }
    answers
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (wire, connections) = server(&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes"], false).await;
    assert_eq!(answers(&wire, 3).await, vec![(200, Bytes::from("yes")); 3]);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let (wire, connections, ended) =
        counting_server(&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes"], true).await;
    for turn in 1..=3 {
        assert_eq!(answers(&wire, 1).await[0].1, "yes");
        // What is sent before it is closed is broken off.
        while ended.load(Ordering::SeqCst) < turn {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_answer_may_come_in_pieces_and_in_chunks() {
    let pieces = &[
        "HTTP/1.1 503 Service Unav",
        "ailable\r\ntransfer-encoding: chunked\r\n\r\n2\r\nfu",
        "\r\n1\r\nl\r\n",
        "3\r\nl!!\r\n",
        "0\r\n\r\n",
    ];
    let (wire, connections) = server(pieces, false).await;
    assert_eq!(answers(&wire, 2).await, vec![(503, Bytes::from("full!!")); 2]);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole() {
    let (wire, _) = server(&["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nye", "s"], true).await;
    assert_eq!(answers(&wire, 2).await, vec![(200, Bytes::from("yes")); 2]);
}

#[tokio::test]
async fn a_connection_on_which_more_came_than_was_asked_for_is_replaced() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";
    for pieces in [&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyesno"][..], &[ANSWER, ANSWER]] {
        let (wire, connections) = server(pieces, false).await;
        for _ in 0..3 {
            assert_eq!(answers(&wire, 1).await[0].1, "yes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn what_is_answered_before_it_was_sent_can_only_be_refused() {
    for (status, refused) in [("413 Content Too Large", true), ("200 OK", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Wire::to(&format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap()).unwrap();
        // More than the sockets hold, of which nothing is received.
        let large = Payload::form("file", "large.png", &vec![0; 64 << 20]);
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (asked, _stream) = tokio::join!(wire.post(whole(&large)), served);
        match asked {
            Ok((status, _)) => assert!(refused && status == StatusCode::PAYLOAD_TOO_LARGE, "{status}"),
            Err(fault) => assert!(!refused && fault.kind == crate::fault::Kind::BrokenOff, "{fault}"),
        }
        assert!(wire.idle().is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_the_rules_is_a_fault() {
    let pieces = &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nyes\r\n"];
    let (wire, _) = server(pieces, false).await;
    let fault = wire.post(whole(&form())).await.unwrap_err();
    assert_eq!(fault.kind, crate::fault::Kind::BrokenOff);
    assert_eq!(fault.to_string(), "a chunk is longer than its size");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_a_fault() {
    for pieces in [&["HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\nyes"][..], &["HTTP/1.1 2"], &[]] {
        let (wire, _) = server(pieces, true).await;
        let fault = wire.post(whole(&form())).await.unwrap_err();
        assert_eq!(fault.kind, crate::fault::Kind::BrokenOff, "{fault}");
    }
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    // Bound and not listening: it refuses, and nobody else gets the port meanwhile.
    let deaf = tokio::net::TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap()).parse().unwrap();
    let fault = Wire::to(&url).unwrap().post(whole(&form())).await.unwrap_err();
    assert_eq!(fault.kind, crate::fault::Kind::NoConnection, "{fault}");
}

#[test]
fn what_a_bare_connection_cannot_do_is_left_to_the_client() {
    for url in ["https://example.org/ocr", "http://name:word@example.org/"] {
        assert!(Wire::to(&url.parse().unwrap()).is_none(), "{url}");
    }
    let wire = Wire::to(&"http://[::1]:8001/ocr".parse().unwrap()).unwrap();
    assert_eq!((wire.host.as_str(), wire.port), ("::1", 8001));
    assert!(wire.start.starts_with("POST /ocr HTTP/1.1\r\nhost: [::1]:8001\r\n"), "{}", wire.start);
}
