//! What a registry or the way to it refused, told with the next step.

use oci_client::Reference;
use oci_client::errors::{OciDistributionError as Oci, OciErrorCode};

use crate::error::Error;

/// What went wrong, as far as the next step differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    NotFound,
    Unauthorized,
    Refused,
    Certificate,
    PlainHttp,
    Full,
    Other,
}

pub fn cause(error: &Oci) -> Cause {
    match error {
        Oci::ImageManifestNotFoundError(_) => Cause::NotFound,
        Oci::UnauthorizedError { .. } | Oci::AuthenticationFailure(_) => Cause::Unauthorized,
        Oci::ServerError { code, .. } => by_status(*code),
        Oci::RegistryError { envelope, .. } => {
            let codes = envelope.errors.iter().map(|error| &error.code);
            codes.map(by_code).find(|cause| *cause != Cause::Other).unwrap_or(Cause::Other)
        }
        Oci::RequestError(error) => match error.status() {
            Some(status) => by_status(status.as_u16()),
            None => by_words(&chain(error)),
        },
        _ => Cause::Other,
    }
}

fn by_status(status: u16) -> Cause {
    match status {
        401 | 403 => Cause::Unauthorized,
        404 => Cause::NotFound,
        507 => Cause::Full,
        _ => Cause::Other,
    }
}

fn by_code(code: &OciErrorCode) -> Cause {
    match code {
        OciErrorCode::ManifestUnknown
        | OciErrorCode::NameUnknown
        | OciErrorCode::NotFound
        | OciErrorCode::BlobUnknown => Cause::NotFound,
        OciErrorCode::Unauthorized | OciErrorCode::Denied => Cause::Unauthorized,
        _ => Cause::Other,
    }
}

/// rustls and hyper say what they met only in words.
fn by_words(text: &str) -> Cause {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["certificate", "UnknownIssuer"]) {
        Cause::Certificate
    } else if says(&["InvalidContentType", "corrupt message"]) {
        Cause::PlainHttp
    } else if says(&["Connection refused", "dns error", "timed out", "unreachable", "tcp connect"]) {
        Cause::Refused
    } else {
        Cause::Other
    }
}

/// The error as it is told: `doing` is a phrase such as "reading the tags".
pub fn told(error: &Oci, reference: &Reference, doing: &str, scheme: &str, has_credentials: bool) -> Error {
    let registry = reference.registry();
    let why = match error {
        Oci::RequestError(error) => chain(error),
        Oci::ServerError { code, message, .. } => format!("it answered {code}: {}", message.trim()),
        other => other.to_string(),
    };
    match cause(error) {
        Cause::NotFound => Error::unhealthy(
            format!("{doing}: there is no {reference} in the registry {registry}"),
            format!("look what is there: curl {scheme}://{registry}/v2/{}/tags/list", reference.repository()),
        ),
        Cause::Unauthorized if has_credentials => Error::machine(
            format!(
                "{doing}: the registry {registry} refuses the credentials at hand for {}",
                reference.repository()
            ),
            format!(
                "log in again: docker login {registry}; or set REGISTRY_SERVER={registry}, REGISTRY_USER and \
                 REGISTRY_PASSWORD in .env"
            ),
        ),
        Cause::Unauthorized => Error::machine(
            format!("{doing}: the registry {registry} wants credentials for {}", reference.repository()),
            format!(
                "docker login {registry}, or set REGISTRY_SERVER={registry}, REGISTRY_USER and REGISTRY_PASSWORD in .env"
            ),
        ),
        Cause::Refused => Error::machine(
            format!("{doing}: the registry {registry} does not answer: {why}"),
            if super::is_loopback(registry) {
                "start it: cargo xtask build or cargo xtask up --provider kind starts the local registry"
                    .to_owned()
            } else {
                format!("look whether it can be reached from here: curl -i {scheme}://{registry}/v2/")
            },
        ),
        Cause::Certificate => Error::machine(
            format!("{doing}: the certificate of the registry {registry} is not trusted here: {why}"),
            "add its authority's certificate to a PEM bundle and name that: SSL_CERT_FILE=FILE",
        ),
        Cause::PlainHttp => Error::machine(
            format!("{doing}: the registry {registry} does not speak TLS"),
            format!("where that is meant, say so in platen.toml: [images] insecure = [\"{registry}\"]"),
        ),
        Cause::Full => Error::machine(
            format!("{doing}: the registry {registry} has no space left"),
            "free space there, then run the same command again: what was pushed stays",
        ),
        Cause::Other if why.contains("no space left") => Error::machine(
            format!("{doing}: the registry {registry} has no space left: {why}"),
            "free disk space, then run the same command again: what was pushed stays",
        ),
        Cause::Other => Error::Build { why: format!("{doing}: the registry {registry} failed: {why}") },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
