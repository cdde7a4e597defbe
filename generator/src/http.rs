//! A request over HTTP that is sent again and again: its body is made once, its answer is judged each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Url};

use super::{Fault, Outcome, Target};

/// Judges the body of an answer with status 2xx; the error says what is wrong with it.
pub type Judge = dyn Fn(&[u8]) -> Result<(), String> + Send + Sync;

pub struct HttpTarget {
    pub client: Client,
    pub url: Url,
    pub payload: Payload,
    pub judge: Arc<Judge>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Payload {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The same, not yet in one piece: what stands between the parts of one image need not be copied with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub headers: &'a HeaderMap,
    /// The body, one after the other.
    pub parts: [&'a [u8]; 3],
}

impl Message<'_> {
    pub fn payload(&self) -> Payload {
        Payload { headers: self.headers.clone(), body: self.parts.concat().into() }
    }
}

/// A client that keeps its connections and uses no proxy; `timeout` is a whole request's.
pub fn client(timeout: Duration) -> reqwest::Result<Client> {
    Client::builder().timeout(timeout).no_proxy().tcp_nodelay(true).build()
}

impl Payload {
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        // Every caller's type is a constant of visible characters.
        if let Ok(value) = content_type.parse() {
            headers.insert(CONTENT_TYPE, value);
        }
        Self { headers, body: body.into() }
    }

    /// One file in a form (RFC 7578).
    pub fn form(field: &str, file_name: &str, file: &[u8]) -> Self {
        Self::form_with_end(field, file_name, file).0
    }

    /// The same, and where in its body the file ends.
    pub(super) fn form_with_end(field: &str, file_name: &str, file: &[u8]) -> (Self, usize) {
        const BOUNDARY: &str = "platen-7d1f0c5b9e3a48d6";
        let mut body = BytesMut::with_capacity(file.len() + 256);
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{file_name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.put_slice(head.as_bytes());
        body.put_slice(file);
        let end = body.len();
        body.put_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        (Self::new(&format!("multipart/form-data; boundary={BOUNDARY}"), body), end)
    }
}

impl HttpTarget {
    /// The body of one answer.
    pub async fn ask(&self) -> Result<Bytes, String> {
        post(&self.client, &self.url, &self.payload).await.map_err(|fault| fault.to_string())
    }
}

/// The body of an answer with status 2xx.
pub async fn post(client: &Client, url: &Url, payload: &Payload) -> Result<Bytes, Fault> {
    let request = client.post(url.clone()).headers(payload.headers.clone()).body(payload.body.clone());
    let answer = request.send().await.map_err(|error| Fault::of(&error))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| Fault::of(&error))?;
    successful(status, body)
}

pub(super) fn successful(status: StatusCode, body: Bytes) -> Result<Bytes, Fault> {
    if status.is_success() { Ok(body) } else { Err(Fault::refusal(status, &body)) }
}

impl Target for HttpTarget {
    async fn send(&self) -> Outcome {
        match self.ask().await {
            Err(why) => Outcome::Failed(why),
            Ok(body) => match (self.judge)(&body) {
                Ok(()) => Outcome::Good,
                Err(why) => Outcome::Wrong(why),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Closed, closed, open};

    /// Answers every request with `status` and `body`; gives its address and the first request's bytes.
    async fn server(status: &'static str, body: &'static str) -> (Url, tokio::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ocr", listener.local_addr().unwrap()).parse().unwrap();
        let (seen, requests) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    while let Some(text) = crate::tests::next_form(&mut stream).await {
                        let _ = seen.try_send(text);
                        let length = body.len();
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        (url, requests)
    }

    fn target(url: Url, right: &'static str) -> Arc<HttpTarget> {
        crate::tests::install_tls();
        let judge = move |body: &[u8]| if body == right.as_bytes() { Ok(()) } else { Err("not it".into()) };
        Arc::new(HttpTarget {
            client: client(Duration::from_secs(5)).unwrap(),
            url,
            payload: Payload::form("file", "line.png", b"png"),
            judge: Arc::new(judge),
        })
    }

    #[tokio::test]
    async fn a_file_is_sent_as_a_form_that_servers_understand() {
        let (url, mut requests) = server("200 OK", "yes").await;
        assert_eq!(target(url, "yes").send().await, Outcome::Good);
        let request = requests.recv().await.unwrap();
        let lower = request.to_ascii_lowercase();
        assert!(lower.contains("content-type: multipart/form-data; boundary=platen-"), "{request}");
        assert!(request.contains("name=\"file\"; filename=\"line.png\"\r\n"), "{request}");
        assert!(request.contains("\r\n\r\npng\r\n--platen-"), "{request}");
    }

    #[tokio::test]
    async fn a_real_server_is_loaded_in_both_ways() {
        let (url, _requests) = server("200 OK", "yes").await;
        let target = target(url, "yes");
        let lasting = Duration::from_millis(300);
        let loaded = closed(&target, Closed { clients: 4, lasting }).await;
        assert!(loaded.counts.good >= 4 && loaded.counts.faults() == 0 && loaded.rate > 0.0, "{loaded:?}");
        let paced = open(&target, (0..15).map(|sent| sent * Duration::from_millis(20))).await;
        assert_eq!((paced.counts.good, paced.counts.faults()), (15, 0), "{:?}", paced.counts);
    }

    #[tokio::test]
    async fn a_fast_wrong_answer_is_no_good_answer() {
        let (url, _requests) = server("200 OK", "no").await;
        let run = closed(&target(url, "yes"), Closed { clients: 1, lasting: Duration::ZERO }).await;
        assert_eq!((run.counts.wrong, run.counts.first_fault.as_deref()), (1, Some("not it")));
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_status() {
        let (url, _requests) = server("503 Service Unavailable", "full").await;
        let outcome = target(url, "yes").send().await;
        assert_eq!(outcome, Outcome::Failed("503 Service Unavailable: full".into()));
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        // Bound and not listening: it refuses, and nobody else gets the port meanwhile.
        let deaf = tokio::net::TcpSocket::new_v4().unwrap();
        deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}/", deaf.local_addr().unwrap()).parse().unwrap();
        assert!(matches!(target(url, "").send().await, Outcome::Failed(_)));
    }
}
