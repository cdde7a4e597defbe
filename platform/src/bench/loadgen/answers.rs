//! The server that load generators are held against: it answers every image with the same few bytes, at once or after a
//! known time, and stalls when it is told to. It is a process of its own, so that all generators ask the same one.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::error::{Doing, Result};

/// What every image is read as.
pub const TEXT: &str = "Platen 1";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"text\":\"Platen 1\"}";
/// How a form ends; nobody sends a second request before the answer to the first.
const END_OF_FORM: &[u8] = b"--\r\n";

/// How the server answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// What each answer takes.
    pub after: Duration,
    pub stall: Option<Stall>,
}

/// A time in which everything in the server stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// From the first image's arrival.
    pub at: Duration,
    pub lasting: Duration,
}

impl Manner {
    /// When what arrived then is answered; both from the first arrival.
    pub fn answered(self, arrived: Duration) -> Duration {
        let due = arrived + self.after;
        match self.stall {
            Some(stall) if due > stall.at && arrived < stall.at + stall.lasting => {
                let worked = stall.at.saturating_sub(arrived);
                stall.at + stall.lasting + self.after.saturating_sub(worked)
            }
            _ => due,
        }
    }

    /// As `internal answer` takes it.
    pub(super) fn args(self) -> Vec<String> {
        let ms =
            |name: &str, duration: Duration| [format!("--{name}"), format!("{}ms", duration.as_millis())];
        let after = (!self.after.is_zero()).then(|| ms("after", self.after));
        let stall = self.stall.map(|stall| [ms("stall-at", stall.at), ms("stall-for", stall.lasting)]);
        after.into_iter().flatten().chain(stall.into_iter().flatten().flatten()).collect()
    }

    fn is_at_once(self) -> bool {
        self == Self::default()
    }
}

/// Answers on this port of the loopback device; ends with an error only.
pub async fn answer(port: u16, manner: Manner) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.doing(format!("listening on port {port}"))?;
    let begun = Arc::new(OnceLock::new());
    loop {
        let (stream, _) = listener.accept().await.doing("accepting a connection")?;
        let begun = Arc::clone(&begun);
        // A client that leaves ends its connection, and nothing else.
        tokio::spawn(async move { converse(stream, manner, &begun).await });
    }
}

async fn converse(mut stream: TcpStream, manner: Manner, begun: &OnceLock<Instant>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    while stream.read_buf(&mut request).await? > 0 {
        let is_image = !request.starts_with(b"GET ");
        let end = if is_image { END_OF_FORM } else { b"\r\n\r\n" };
        if !request.ends_with(end) {
            continue;
        }
        request.clear();
        if is_image && !manner.is_at_once() {
            let begun = *begun.get_or_init(Instant::now);
            tokio::time::sleep_until(begun + manner.answered(begun.elapsed())).await;
        }
        stream.write_all(ANSWER).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_stops_what_is_under_way_and_what_comes_meanwhile() {
        let ms = Duration::from_millis;
        let manner = Manner { after: ms(5), stall: Some(Stall { at: ms(100), lasting: ms(50) }) };
        let answered = [0, 95, 97, 100, 120, 149, 150, 200].map(|arrived| manner.answered(ms(arrived)));
        assert_eq!(answered, [5, 100, 152, 155, 155, 155, 155, 205].map(ms));
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let answer = String::from_utf8_lossy(ANSWER);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["text"], TEXT);
    }

    #[tokio::test]
    async fn a_form_in_pieces_is_answered_once_and_a_question_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        tokio::spawn(async move { converse(server, Manner::default(), &OnceLock::new()).await });
        let mut answer = vec![0; ANSWER.len()];
        for pieces in [&["POST / HTTP/1.1\r\n\r\n--x", "--\r\n"][..], &["GET / HTTP/1.1\r\n\r\n"]] {
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.unwrap();
            }
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, ANSWER);
        }
    }
}
