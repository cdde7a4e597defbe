//! A registry inside the test, as strict as the OCI distribution specification: content is checked against its digest, a
//! manifest may only name what is there, and whoever has no login gets 401.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::any;

use super::{Manifest, digest_of};

/// How it wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    None,
    Basic,
    /// Basic at the token endpoint, then a bearer token.
    Bearer,
}

pub const USER: &str = "tester";
pub const PASSWORD: &str = "correct horse";
const TOKEN: &str = "token-of-the-double";

#[derive(Default)]
pub struct Content {
    /// By repository and digest.
    pub blobs: HashMap<(String, String), Bytes>,
    /// By repository and tag or digest.
    pub manifests: BTreeMap<(String, String), (String, Bytes)>,
    uploads: HashMap<String, Vec<u8>>,
    /// Each request as `METHOD path`.
    pub log: Vec<String>,
    /// After so many more uploads it has no space left.
    pub space_for: Option<usize>,
    /// It lists no more tags at once, however many are asked for.
    pub tags_at_once: Option<usize>,
}

#[derive(Clone)]
pub struct Double {
    pub address: std::net::SocketAddr,
    login: Login,
    content: Arc<Mutex<Content>>,
}

impl Double {
    pub async fn start(login: Login) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Self { address: listener.local_addr().unwrap(), login, content: Arc::default() };
        let router = Router::new().fallback(any(answer)).with_state(double.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await });
        double
    }

    /// `host:port`, as it stands in references.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    pub fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// Requests so far that begin with these words.
    pub fn asked(&self, what: &str) -> usize {
        self.content().log.iter().filter(|line| line.starts_with(what)).count()
    }

    fn refusal(&self, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let basic = format!("Basic {}", base64(&format!("{USER}:{PASSWORD}")));
        let (may, challenge) = match self.login {
            Login::None => return None,
            Login::Basic => (given == basic, "Basic realm=\"double\"".to_owned()),
            Login::Bearer if path == "/token" => (given == basic, "Basic realm=\"double\"".to_owned()),
            Login::Bearer => (
                given == format!("Bearer {TOKEN}"),
                format!("Bearer realm=\"http://{}/token\",service=\"double\"", self.address),
            ),
        };
        (!may).then(|| {
            let mut refused = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
            refused.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            refused
        })
    }
}

async fn answer(State(double): State<Double>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    double.content().log.push(format!("{} {path}", parts.method));
    if let Some(refused) = double.refusal(&path, &parts.headers) {
        return refused;
    }
    if path == "/token" {
        return reply(StatusCode::OK, &[], format!("{{\"token\":\"{TOKEN}\"}}"));
    }
    let query: HashMap<String, String> = parts
        .uri
        .query()
        .map(|query| {
            reqwest::Url::parse(&format!("http://x/?{query}")).unwrap().query_pairs().into_owned().collect()
        })
        .unwrap_or_default();
    let mut content = double.content();
    let Some(rest) = path.strip_prefix("/v2/") else { return error(StatusCode::NOT_FOUND, "NOT_FOUND") };
    if rest.is_empty() {
        return reply(StatusCode::OK, &[], "{}".into());
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return content.tags(repository, &query);
    }
    if let Some((repository, upload)) = rest.split_once("/blobs/uploads/") {
        return content.upload(&parts.method, repository, upload, &query, &body);
    }
    if let Some((repository, digest)) = rest.split_once("/blobs/") {
        return content.blob(&parts.method, repository, digest);
    }
    match rest.split_once("/manifests/") {
        Some((repository, name)) => content.manifest(&parts.method, repository, name, &parts.headers, &body),
        None => error(StatusCode::NOT_FOUND, "NOT_FOUND"),
    }
}

impl Content {
    fn tags(&self, repository: &str, query: &HashMap<String, String>) -> Response<Body> {
        let known = self.manifests.keys().filter(|(found, name)| found == repository && !name.contains(':'));
        let mut tags: Vec<&str> = known.map(|(_, tag)| tag.as_str()).collect();
        if tags.is_empty() {
            return error(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
        }
        if let Some(last) = query.get("last") {
            tags.retain(|tag| *tag > last.as_str());
        }
        tags.truncate(query.get("n").map_or(usize::MAX, |n| n.parse().unwrap()));
        tags.truncate(self.tags_at_once.unwrap_or(usize::MAX));
        reply(StatusCode::OK, &[], serde_json::json!({"name": repository, "tags": tags}).to_string())
    }

    fn upload(
        &mut self,
        method: &Method,
        repository: &str,
        upload: &str,
        query: &HashMap<String, String>,
        body: &Bytes,
    ) -> Response<Body> {
        let at = |upload: &str| ("location", format!("/v2/{repository}/blobs/uploads/{upload}"));
        match method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
                    && let Some(blob) = self.blobs.get(&(from.clone(), digest.clone())).cloned()
                {
                    self.blobs.insert((repository.into(), digest.clone()), blob);
                    let location = format!("/v2/{repository}/blobs/{digest}");
                    return reply(StatusCode::CREATED, &[("location", location)], String::new());
                }
                if self.space_for == Some(0) {
                    return reply(StatusCode::INTERNAL_SERVER_ERROR, &[], "no space left on device".into());
                }
                self.space_for = self.space_for.map(|left| left - 1);
                let upload = format!("u{}", self.log.len());
                self.uploads.insert(upload.clone(), Vec::new());
                reply(StatusCode::ACCEPTED, &[at(&upload)], String::new())
            }
            "PATCH" | "PUT" => {
                let Some(received) = self.uploads.get_mut(upload) else {
                    return error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
                };
                received.extend_from_slice(body);
                if method == Method::PATCH {
                    let range = ("range", format!("0-{}", received.len().saturating_sub(1)));
                    return reply(StatusCode::ACCEPTED, &[at(upload), range], String::new());
                }
                let bytes = self.uploads.remove(upload).unwrap();
                let digest = query.get("digest").cloned().unwrap_or_default();
                if digest_of(&bytes) != digest {
                    return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
                }
                self.blobs.insert((repository.into(), digest.clone()), bytes.into());
                let location = format!("/v2/{repository}/blobs/{digest}");
                reply(StatusCode::CREATED, &[("location", location)], String::new())
            }
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        }
    }

    fn blob(&self, method: &Method, repository: &str, digest: &str) -> Response<Body> {
        let Some(blob) = self.blobs.get(&(repository.into(), digest.into())) else {
            return error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
        };
        let mut body = blob.clone();
        if method == Method::HEAD {
            body = Bytes::new();
        }
        let built = Response::builder().header("docker-content-digest", digest);
        built.body(Body::from(body)).unwrap()
    }

    fn manifest(
        &mut self,
        method: &Method,
        repository: &str,
        name: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response<Body> {
        if method != Method::PUT {
            return match self.manifests.get(&(repository.into(), name.into())) {
                Some((media_type, bytes)) => Response::builder()
                    .header("content-type", media_type)
                    .header("docker-content-digest", digest_of(bytes))
                    .body(Body::from(bytes.clone()))
                    .unwrap(),
                None => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            };
        }
        let Ok(manifest) = Manifest::parse(body.to_vec()) else {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
        };
        let media_type = headers["content-type"].to_str().unwrap();
        if name.contains(':') && name != manifest.digest || media_type != manifest.media_type {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
        }
        let has = |digest: &str| self.blobs.contains_key(&(repository.into(), digest.into()));
        let lists = |digest: &str| self.manifests.contains_key(&(repository.into(), digest.into()));
        if !manifest.blobs().iter().all(|blob| has(&blob.digest))
            || !manifest.entries().iter().all(|entry| lists(&entry.digest))
        {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
        }
        for key in [name, manifest.digest.as_str()] {
            self.manifests.insert((repository.into(), key.into()), (media_type.into(), body.clone()));
        }
        let location = format!("/v2/{repository}/manifests/{name}");
        reply(StatusCode::CREATED, &[("location", location)], String::new())
    }
}

fn reply(status: StatusCode, headers: &[(&str, String)], body: String) -> Response<Body> {
    let mut reply = Response::builder().status(status);
    for (name, value) in headers {
        reply = reply.header(*name, value);
    }
    reply.body(Body::from(body)).unwrap()
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    reply(status, &[], serde_json::json!({"errors": [{"code": code, "message": code}]}).to_string())
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize] as char;
            coded.push(if place > chunk.len() { '=' } else { digit });
        }
    }
    coded
}
