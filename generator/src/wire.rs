//! Requests over plain HTTP/1.1 (RFC 9112) as they are sent most cheaply: a connection is driven by the request that uses
//! it, with no task and no channel of its own, and nothing of a request is copied but its head.

use std::future::poll_fn;
use std::io::{self, Error, ErrorKind, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use reqwest::Url;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::Fault;
use super::answer::{Answer, answer};
use super::http::Message;

/// Room for an answer, at first; most are far smaller.
const ROOM: usize = 16 * 1024;

/// The kept connections to one address.
pub(super) struct Wire {
    host: String,
    port: u16,
    /// How the head of each request begins.
    start: String,
    /// The one that was used last is used next. Those that the server has closed are found out when they are taken.
    idle: Mutex<Vec<Connection>>,
}

/// Nothing is read or written but while a request holds it.
struct Connection {
    stream: TcpStream,
    head: Vec<u8>,
    /// What has come of an answer stands at its beginning.
    room: Vec<u8>,
    come: usize,
}

impl Wire {
    /// `None` for what needs more than a plain connection: TLS, or credentials in the address.
    pub fn to(url: &Url) -> Option<Self> {
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (path, authority) = (url.path(), url.authority());
        Some(Self {
            // An IPv6 address stands in brackets, which are no part of it.
            host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default()?,
            start: format!("POST {path}{query} HTTP/1.1\r\nhost: {authority}\r\naccept: */*\r\n"),
            idle: Mutex::default(),
        })
    }

    /// The status and body of the answer. Dropped before its end, it closes its connection.
    pub async fn post(&self, message: Message<'_>) -> Result<(StatusCode, Bytes), Fault> {
        let mut connection = self.connection().await?;
        let answer = connection.ask(&self.start, message).await.map_err(|error| Fault::broken_off(&error))?;
        if answer.keeps {
            self.idle().push(connection);
        }
        Ok((answer.status, answer.body))
    }

    /// One that is kept and was not closed meanwhile, else a new one.
    async fn connection(&self) -> Result<Connection, Fault> {
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
        Ok(Connection { stream, head: Vec::new(), room: vec![0; ROOM], come: 0 })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn ask(&mut self, start: &str, message: Message<'_>) -> io::Result<Answer> {
        let mut head = std::mem::take(&mut self.head);
        write_head(&mut head, start, message)?;
        let [first, second, third] = message.parts.map(IoSlice::new);
        let mut slices = [IoSlice::new(&head), first, second, third];
        let mut unsent = &mut slices[..];
        self.come = 0;
        let mut broken = None;
        let answer = poll_fn(|context| {
            while broken.is_none() && !unsent.is_empty() {
                match Pin::new(&mut self.stream).poll_write_vectored(context, unsent) {
                    Poll::Ready(Ok(sent @ 1..)) => IoSlice::advance_slices(&mut unsent, sent),
                    // What the server said before it closed the connection may still be there to read.
                    Poll::Ready(end) => broken = Some(end.err().unwrap_or(ErrorKind::WriteZero.into())),
                    Poll::Pending => break,
                }
            }
            self.poll_answer(context)
        });
        let answer = match (answer.await, broken) {
            (Err(_), Some(error)) => return Err(error),
            (answer, None) if unsent.is_empty() => answer?,
            // A refusal may come early; what was not sent cannot be answered well.
            (answer, _) => {
                let answer = answer?;
                if answer.status.is_success() {
                    return Err(Error::new(ErrorKind::InvalidData, "answered before the request was sent"));
                }
                Answer { keeps: false, ..answer }
            }
        };
        self.head = head;
        Ok(answer)
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Answer>> {
        loop {
            let ended = ready!(self.poll_more(context))? == 0;
            let answer = answer(&self.room[..self.come], ended);
            match answer.map_err(|why| Error::new(ErrorKind::InvalidData, why))? {
                Some(answer) => return Poll::Ready(Ok(answer)),
                None if ended => {
                    let why = "the connection was closed before the answer had come";
                    return Poll::Ready(Err(Error::new(ErrorKind::UnexpectedEof, why)));
                }
                None => {}
            }
        }
    }

    /// So many more bytes have come; none any more after 0.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.come == self.room.len() {
            self.room.resize(self.come * 2, 0);
        }
        let mut room = ReadBuf::new(&mut self.room[self.come..]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
        let more = room.filled().len();
        self.come += more;
        Poll::Ready(Ok(more))
    }

    /// Whether another request can be sent now: the server has not closed it, nor said what it was not asked.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|context| Poll::Ready(self.poll_more(context).is_pending())).await
    }
}

fn write_head(head: &mut Vec<u8>, start: &str, message: Message<'_>) -> io::Result<()> {
    head.clear();
    head.extend_from_slice(start.as_bytes());
    for (name, value) in message.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    let length: usize = message.parts.iter().map(|part| part.len()).sum();
    write!(head, "content-length: {length}\r\n\r\n")
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
