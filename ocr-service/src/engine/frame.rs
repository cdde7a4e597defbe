//! Frames between the service and an engine: a JSON value and raw bytes, each behind its length.
//!
//! Eight bytes (two lengths, little-endian), the JSON, the bytes. The service reads and writes without blocking, the
//! engine with threads of its own.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFIX: usize = 8;
/// Bytes of a frame from an engine. A page full of the smallest print has some ten thousand words, each a hundred bytes
/// with its box: what is longer was not written by a sound engine, and no memory is taken for it.
const LONGEST_REPLY: usize = 32 << 20;

/// Sends `head` and `body`.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = encode(head, body)?;
    // Together: the other side wakes once, and finds all of it.
    let mut frame = head.chain(body);
    to.write_all_buf(&mut frame).await
}

/// The next frame's value; its bytes are dropped, since an engine sends none. The error of one that is longer than any
/// reply is `InvalidData`.
pub async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut prefix = [0; PREFIX];
    from.read_exact(&mut prefix).await?;
    let (head, body) = lengths(prefix);
    if head + body > LONGEST_REPLY {
        let message = format!("a reply of {} bytes; at most {LONGEST_REPLY} are taken", head + body);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut frame = vec![0; head + body];
    from.read_exact(&mut frame).await?;
    Ok(serde_json::from_slice(&frame[..head])?)
}

/// [`send`] for a thread; replies have no bytes.
pub fn write(to: &mut impl Write, head: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(head, &[])?)
}

/// The next frame; nothing when the other end is closed.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut prefix = [0; PREFIX];
    match from.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (head, body) = lengths(prefix);
    let mut json = vec![0; head];
    from.read_exact(&mut json)?;
    let mut bytes = vec![0; body];
    from.read_exact(&mut bytes)?;
    Ok(Some((serde_json::from_slice(&json)?, bytes)))
}

/// The frame up to its bytes.
fn encode(head: &impl Serialize, body: &[u8]) -> io::Result<Bytes> {
    let json = serde_json::to_vec(head)?;
    let mut frame = Vec::with_capacity(PREFIX + json.len());
    for length in [json.len(), body.len()] {
        let length = u32::try_from(length).map_err(|_| io::Error::other("a frame of 4 GiB or more"))?;
        frame.extend_from_slice(&length.to_le_bytes());
    }
    frame.extend_from_slice(&json);
    Ok(frame.into())
}

fn lengths(prefix: [u8; PREFIX]) -> (usize, usize) {
    let length = |at: usize| {
        prefix[at..at + PREFIX / 2].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    (length(0), length(PREFIX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_comes_back_as_it_was_sent() {
        let mut wire = Vec::new();
        send(&mut wire, &("kor+eng", 6), b"\0image").await.unwrap();
        let frame: (String, u8) = receive(&mut wire.as_slice()).await.unwrap();
        assert_eq!(frame, ("kor+eng".into(), 6));
        let (head, body): ((String, u8), _) = read(&mut wire.as_slice()).unwrap().unwrap();
        assert_eq!((head, body), (("kor+eng".into(), 6), b"\0image".to_vec()));
    }

    #[tokio::test]
    async fn a_reply_that_is_longer_than_any_is_refused_before_memory_is_taken_for_it() {
        for (head, body) in [(u32::MAX, u32::MAX), (u32::try_from(LONGEST_REPLY).unwrap(), 1), (1, u32::MAX)]
        {
            let prefix = [head.to_le_bytes(), body.to_le_bytes()].concat();
            let error = receive::<String>(&mut prefix.as_slice()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        // As long as is allowed, but not there.
        let prefix = [u32::try_from(LONGEST_REPLY).unwrap().to_le_bytes(), [0; 4]].concat();
        let error = receive::<String>(&mut prefix.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_end_between_frames_is_no_frame_and_within_one_an_error() {
        assert!(read::<u8>(&mut [].as_slice()).unwrap().is_none());
        let mut wire = Vec::new();
        write(&mut wire, &"word").unwrap();
        assert!(read::<String>(&mut &wire[..9]).is_err());
    }
}
