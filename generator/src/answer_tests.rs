//! Answers that come in any pieces, and what is none.

use proptest::prelude::*;

use super::*;

/// What is said once the bytes have come as a whole, or the connection ends after them.
fn whole(text: &str, ended: bool) -> Option<(u16, String, bool)> {
    let answer = answer(text.as_bytes(), ended).unwrap()?;
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    Some((answer.status.as_u16(), body, answer.keeps))
}

fn told(status: u16, body: &str, keeps: bool) -> (u16, String, bool) {
    (status, body.to_owned(), keeps)
}

const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
const CHUNKED: &str = "HTTP/1.1 503 Full\r\nTransfer-Encoding: Chunked\r\n\r\n\
                       2\r\nfu\r\n00C;name=value\r\nll of people\r\n0\r\nsum: 7\r\n\r\n";
const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                       HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\nconnection: Upgrade, Close\r\n\r\nyes";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n";

#[test]
fn an_answer_ends_where_its_head_says() {
    assert_eq!(whole(SIZED, false), Some(told(200, "yes", true)));
    assert_eq!(whole(CHUNKED, false), Some(told(503, "full of people", true)));
    assert_eq!(whole(INTERIM, false), Some(told(200, "yes", false)));
    assert_eq!(whole(EMPTY, false), Some(told(204, "", true)));
}

#[test]
fn a_connection_is_kept_only_where_both_sides_will() {
    let with = |version, connection| {
        let head =
            format!("HTTP/1.{version} 200 OK\r\ncontent-length: 0\r\nconnection: {connection}\r\n\r\n");
        whole(&head, false).unwrap().2
    };
    assert_eq!([with(1, "keep-alive"), with(1, "close"), with(1, "x, CLOSE")], [true, false, false]);
    assert_eq!([with(0, "keep-alive"), with(0, "close"), with(0, "x")], [true, false, false]);
    assert_eq!(whole(&format!("{SIZED}HTTP"), false), Some(told(200, "yes", false)));
    assert_eq!(whole(SIZED, true), Some(told(200, "yes", false)));
}

#[test]
fn without_a_length_an_answer_ends_with_its_connection() {
    let text = "HTTP/1.1 200 OK\r\n\r\nye";
    assert_eq!(whole(text, false), None);
    assert_eq!(whole(text, true), Some(told(200, "ye", false)));
}

#[test]
fn what_is_no_answer_is_an_error() {
    let after = |head: &str| format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
    let chunk = |body: &str| after("transfer-encoding: chunked") + body;
    let header = "a: b\r\n".repeat(MOST_HEADERS + 1);
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
        "HTTP/1.1 007 Bond\r\n\r\n".to_owned(),
        after(header.trim_end()),
        after("no header"),
        after("content-length: -1"),
        after("content-length: +3"),
        after("content-length: "),
        after("content-length: 99999999999999999999999"),
        after("content-length: 3\r\ncontent-length: 4"),
        after("content-length: 3\r\ntransfer-encoding: chunked"),
        after("transfer-encoding: gzip, chunked"),
        after("transfer-encoding: gzip"),
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        chunk("x\r\n"),
        chunk("-1\r\n"),
        chunk("fffffffffffffffff\r\n"),
        chunk("2\r\nabc"),
        chunk("2\r\nabcd\r\n"),
        chunk("0\r\nno trailer\r\n"),
    ] {
        assert!(answer(text.as_bytes(), false).is_err(), "{text}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(LONGEST_HEAD));
    assert!(answer(endless.as_bytes(), false).is_err());
}

proptest! {
    /// Whoever asks after each piece gets nothing until the last of them, and then the answer.
    #[test]
    fn in_whatever_pieces_it_comes_an_answer_is_the_same(
        text in prop::sample::select(vec![SIZED, CHUNKED, INTERIM, EMPTY]),
        cut in any::<prop::sample::Index>(),
    ) {
        let first = &text.as_bytes()[..cut.index(text.len())];
        prop_assert_eq!(answer(first, false), Ok(None));
        prop_assert_eq!(answer(first, true), Ok(None));
    }

    #[test]
    fn any_bytes_in_any_chunks_come_back(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for piece in &pieces {
            text.extend(format!("{:x}\r\n", piece.len()).as_bytes());
            text.extend(piece);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n\r\n");
        prop_assert_eq!(answer(&text[..cut.index(text.len())], false), Ok(None));
        let whole = Answer { status: StatusCode::OK, body: pieces.concat().into(), keeps: true };
        prop_assert_eq!(answer(&text, false), Ok(Some(whole)));
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_is_decided_stays_so(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), chunked in any::<bool>(),
    ) {
        if chunked {
            bytes.splice(..0, *b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        }
        let mut decided: Option<Result<Bytes, String>> = None;
        for end in 0..=bytes.len() {
            let now = answer(&bytes[..end], false).transpose().map(|now| now.map(|answer| answer.body));
            if let Some(before) = decided {
                prop_assert_eq!(now.as_ref(), Some(&before));
            }
            decided = now;
        }
    }
}
