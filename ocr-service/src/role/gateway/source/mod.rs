//! Where endpoints come from: an address, a name with several addresses, or the EndpointSlices of a Service.

mod dns;
mod slices;

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

use super::directory::Directory;
use crate::role::url_arg;

/// The port of a model where none is given.
const MODEL_PORT: u16 = 8080;

/// One entry of `--model-url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// One endpoint, known for good.
    Fixed(Url),
    /// Every address of a name, asked again and again: a headless Service.
    Dns { name: String, port: u16 },
    /// Every ready pod behind a Service, watched at the API server.
    Slices(Service),
}

/// A Service of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    /// The Service's own port: where it is asked while its pods are not known.
    pub port: u16,
}

impl Source {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (kind, address) = match text.split_once("://") {
            Some(("dns+http", rest)) => ("dns", format!("http://{rest}")),
            Some(("k8s", rest)) => ("k8s", format!("http://{rest}")),
            _ => ("fixed", text.to_owned()),
        };
        let url: Url = address.parse().map_err(|error| format!("{error}; write http://HOST:PORT"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(
                "a model's address begins with http://, https://, dns+http:// or k8s://NAMESPACE/".into()
            );
        }
        // An address is named in answers, metrics and logs.
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err("a model's address holds no user name and no password; write http://HOST:PORT".into());
        }
        match kind {
            "dns" => {
                let name = url.host_str().unwrap_or_default().to_owned();
                // As http, :80 is told no differently from none; a scheme of our own has no default port.
                let port = text.parse().ok().and_then(|own: Url| own.port());
                Ok(Self::Dns { name, port: port.unwrap_or(MODEL_PORT) })
            }
            "k8s" => Service::parse(text.trim_start_matches("k8s://")).map(Self::Slices),
            _ => base(text).map(Self::Fixed),
        }
    }

    /// Puts what this source knows into its place of the directory, now and whenever it changes.
    pub fn follow(self, directory: &Arc<Directory>, slot: usize) {
        match self {
            Self::Fixed(url) => directory.publish(slot, vec![url]),
            Self::Dns { name, port } => drop(tokio::spawn(dns::follow(name, port, directory.clone(), slot))),
            Self::Slices(service) => drop(tokio::spawn(slices::follow(service, directory.clone(), slot))),
        }
    }
}

impl Service {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write k8s://NAMESPACE/SERVICE:PORT".to_owned();
        let (namespace, rest) = text.trim_end_matches('/').split_once('/').ok_or_else(wrong)?;
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| wrong())?),
            None => (rest, MODEL_PORT),
        };
        let label = |text: &str| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if !label(namespace) || !label(name) {
            return Err(wrong());
        }
        Ok(Self { namespace: namespace.into(), name: name.into(), port })
    }

    /// Its own name in the cluster, behind which kube-proxy chooses a pod.
    fn url(&self) -> Option<Url> {
        format!("http://{}.{}.svc:{}", self.name, self.namespace, self.port).parse().ok()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(url) => url.fmt(f),
            Self::Dns { name, port } => write!(f, "dns+http://{name}:{port}"),
            Self::Slices(Service { namespace, name, port }) => write!(f, "k8s://{namespace}/{name}:{port}"),
        }
    }
}

/// The base address, also of a full one: `http://model:8080/v2/models/ocr-model/infer` is what some settings hold.
fn base(text: &str) -> Result<Url, String> {
    let mut url = url_arg::base(text)?;
    let path = url.path().to_owned();
    let base = path.find("/v2/").map_or(path.as_str(), |protocol| &path[..protocol]);
    url.set_path(base);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_address_of_the_models_inference_is_cut_to_its_base() {
        for text in ["http://a:8080/v2/models/ocr-model/infer", "http://a:8080/", " http://a:8080"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), "http://a:8080/");
        }
        assert_eq!(Source::parse("http://a/models/v2/x").unwrap().to_string(), "http://a/models");
    }

    #[test]
    fn a_query_and_a_fragment_are_no_part_of_the_base() {
        for text in ["http://a:8080/?x=1", "http://a:8080#x", "http://a:8080/v2/models/ocr-model/infer?x=1"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), "http://a:8080/");
        }
    }

    #[test]
    fn a_names_port_is_the_one_that_is_written_also_where_it_is_that_of_http() {
        for (text, port) in [
            ("dns+http://a:80", 80),
            ("dns+http://a:80/", 80),
            ("dns+http://a:9000", 9000),
            ("dns+http://a", MODEL_PORT),
            ("dns+http://a/", MODEL_PORT),
        ] {
            assert_eq!(Source::parse(text), Ok(Source::Dns { name: "a".into(), port }), "{text}");
        }
    }

    #[test]
    fn a_service_is_a_namespace_a_name_and_a_port() {
        let service = Service { namespace: "ocr".into(), name: "ocr-model".into(), port: 9000 };
        assert_eq!(Source::parse("k8s://ocr/ocr-model:9000"), Ok(Source::Slices(service)));
        for wrong in ["k8s://ocr", "k8s://ocr/", "k8s://ocr/a:b", "k8s://ocr/A:1", "k8s:///a:1"] {
            assert!(Source::parse(wrong).is_err(), "{wrong}");
        }
    }
}
