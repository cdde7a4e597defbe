//! The service's image: built by BuildKit from the sources' content, pushed to the registry under a tag of that content.

mod build;
mod context;
mod push;

use crate::config::Config;

pub use build::build;
pub use push::{is_in_registry, push};

/// The image's repository in a registry.
const REPOSITORY: &str = "platen/ocr-service";

/// A reference by registry, repository and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// `host[:port]`.
    pub registry: String,
    pub repository: String,
    pub tag: String,
}

impl ImageRef {
    /// The service's image of these sources, in a registry named as `host[:port]` or `host[:port]/path`.
    pub fn service(registry: &str, inputs: &str) -> Self {
        let (host, path) = registry.split_once('/').unwrap_or((registry, ""));
        let repository = if path.is_empty() { REPOSITORY.to_owned() } else { format!("{path}/{REPOSITORY}") };
        Self { registry: host.into(), repository, tag: inputs.into() }
    }

    /// The registry on this machine, by the name that nodes know it by too.
    pub fn local_registry(config: &Config) -> String {
        format!("localhost:{}", config.ports.registry)
    }

    /// Where the registry answers. On loopback it speaks plain HTTP, as Docker and containerd expect there.
    fn base_url(&self) -> String {
        match self.registry.split(':').next() {
            // Docker and containerd read "localhost" as IPv4 or IPv6; the registry listens on IPv4.
            Some("localhost" | "127.0.0.1") => {
                format!("http://{}", self.registry.replace("localhost", "127.0.0.1"))
            }
            _ => format!("https://{}", self.registry),
        }
    }

    /// Without the tag, as Docker and charts want it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl std::fmt::Display for ImageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name(), self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_registry_speaks_plain_http_on_ipv4() {
        let image = ImageRef::service(&ImageRef::local_registry(&Config::default()), "0123456789ab");
        assert_eq!(image.to_string(), "localhost:5000/platen/ocr-service:0123456789ab");
        assert_eq!(image.base_url(), "http://127.0.0.1:5000");
    }

    #[test]
    fn a_path_of_the_registry_is_part_of_the_repository() {
        let image = ImageRef::service("ghcr.example/me", "0123456789ab");
        assert_eq!(image.to_string(), "ghcr.example/me/platen/ocr-service:0123456789ab");
        assert_eq!(
            (image.base_url(), image.repository),
            ("https://ghcr.example".into(), "me/platen/ocr-service".into())
        );
    }
}
