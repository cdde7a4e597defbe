//! An answer over HTTP/1.1, read from the bytes that have come so far (RFC 9112, 6 and 7). What breaks the rules is an
//! error and never guessed at: where an answer ends decides what the next one on its connection is.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;
use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status, parse_chunk_size, parse_headers};

/// More headers than any server sends.
const MOST_HEADERS: usize = 100;
/// Of all bytes before a body.
const LONGEST_HEAD: usize = 64 * 1024;

/// One that has come whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// Whether another request may follow on the same connection.
    pub keeps: bool,
}

/// How far a body goes.
enum Body {
    Sized(usize),
    Chunked,
    /// To the end of the connection.
    Rest,
}

/// The answer that begins these bytes; `None` as long as it is not whole. `ended`: no further byte comes.
pub(super) fn answer(bytes: &[u8], ended: bool) -> Result<Option<Answer>, String> {
    let mut from = 0;
    loop {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut head = Response::new(&mut []);
        let parser = ParserConfig::default();
        let parsed = parser.parse_response_with_uninit_headers(&mut head, &bytes[from..], &mut headers);
        let Status::Complete(length) = parsed.map_err(|error| format!("no HTTP answer: {error}"))? else {
            let too_long = bytes.len() > LONGEST_HEAD;
            return if too_long { Err("the head of the answer has no end".into()) } else { Ok(None) };
        };
        from += length;
        let code = head.code.unwrap_or_default();
        let status = StatusCode::from_u16(code).map_err(|error| format!("the status {code}: {error}"))?;
        match code {
            101 => return Err("the server changes the protocol, which nobody asked for".into()),
            // Something before the answer itself.
            100..200 => continue,
            _ => {}
        }
        let is_new = head.version == Some(1);
        let (end, body) = match extent(status, is_new, head.headers)? {
            Body::Sized(length) => {
                let Some(range) = following(from, length, bytes) else { return Ok(None) };
                (range.end, Bytes::copy_from_slice(&bytes[range]))
            }
            Body::Chunked => match chunks(bytes, from)? {
                Some((end, body)) => (end, body.into()),
                None => return Ok(None),
            },
            Body::Rest if !ended => return Ok(None),
            Body::Rest => (bytes.len(), Bytes::copy_from_slice(&bytes[from..])),
        };
        // Bytes behind its end belong to nothing that was asked for.
        let keeps = !ended && end == bytes.len() && stays(is_new, head.headers);
        return Ok(Some(Answer { status, body, keeps }));
    }
}

fn extent(status: StatusCode, is_new: bool, headers: &[Header<'_>]) -> Result<Body, String> {
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(Body::Sized(0));
    }
    let mut length = None;
    for text in values(headers, "content-length") {
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let number: usize = number.ok_or_else(|| format!("the length {text:?} is no number"))?;
        if length.replace(number).is_some_and(|other| other != number) {
            return Err("the answer has two lengths".into());
        }
    }
    let mut codings = values(headers, "transfer-encoding");
    let Some(coding) = codings.next() else { return Ok(length.map_or(Body::Rest, Body::Sized)) };
    if !is_new || length.is_some() || codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
        return Err(format!("where an answer in the coding {coding:?} ends is not certain"));
    }
    Ok(Body::Chunked)
}

fn stays(is_new: bool, headers: &[Header<'_>]) -> bool {
    let says = |word| values(headers, "connection").any(|option| option.eq_ignore_ascii_case(word));
    if is_new { !says("close") } else { says("keep-alive") && !says("close") }
}

/// What stands between commas in all headers of this name. What is no text stands as nothing.
fn values<'a>(headers: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    let texts = named.map(|header| str::from_utf8(header.value).unwrap_or_default());
    texts.flat_map(|text| text.split(',').map(str::trim))
}

/// Where they end, with their trailers, and what they bring.
fn chunks(bytes: &[u8], mut from: usize) -> Result<Option<(usize, Vec<u8>)>, String> {
    let mut body = Vec::new();
    loop {
        let size = parse_chunk_size(&bytes[from..]).map_err(|_| "a chunk without its size".to_owned())?;
        let Status::Complete((line, size)) = size else { return Ok(None) };
        from += line;
        if size == 0 {
            let mut trailers = [EMPTY_HEADER; MOST_HEADERS];
            let parsed = parse_headers(&bytes[from..], &mut trailers);
            let parsed = parsed.map_err(|error| format!("behind the last chunk: {error}"))?;
            return Ok(if let Status::Complete((length, _)) = parsed {
                Some((from + length, body))
            } else {
                None
            });
        }
        let size = usize::try_from(size).map_err(|error| format!("a chunk's size: {error}"))?;
        let Some(range) = following(from, size, bytes) else { return Ok(None) };
        match &bytes[range.end..] {
            [b'\r', b'\n', ..] => from = range.end + 2,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk is longer than its size".into()),
        }
        body.extend_from_slice(&bytes[range]);
    }
}

/// So many bytes from there, where they have come.
fn following(from: usize, length: usize, bytes: &[u8]) -> Option<Range<usize>> {
    let end = from.checked_add(length).filter(|end| *end <= bytes.len())?;
    Some(from..end)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
