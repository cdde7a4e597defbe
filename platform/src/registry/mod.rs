//! A client of registries, by the OCI distribution specification: tags, manifests, blobs, and copies between them.

mod copy;
mod credentials;
#[cfg(test)]
pub(crate) mod double;
mod failure;
mod manifest;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci_client::Client;
pub use oci_client::Reference;
use oci_client::client::{ClientConfig, ClientProtocol};
pub use oci_client::manifest::{
    ImageIndexEntry, OciDescriptor, OciImageIndex, OciImageManifest, OciManifest,
};
use oci_client::secrets::RegistryAuth;

pub use copy::Copied;
pub use credentials::{Credentials, HUB_KEY, Keyring};
pub use manifest::{Manifest, Platform, PlatformManifest, digest_of};

use crate::error::{Error, Result};
use crate::host::Host;

const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENT_AT_MOST: Duration = Duration::from_mins(1);

/// Every registry that this machine can reach, each with its own credentials. Cheap to clone.
#[derive(Clone)]
pub struct Registries {
    keyring: Arc<Keyring>,
    /// Beside loopback: registries that speak plain HTTP, as `host[:port]`.
    insecure: Arc<[String]>,
    /// Asked by the nodes for images of every host, before the host itself.
    mirror: Option<Arc<str>>,
    /// By registry, each with the login that it is asked with: a helper is run once for all requests.
    clients: Arc<Mutex<HashMap<String, (Client, RegistryAuth)>>>,
}

impl Registries {
    /// With the credentials of Docker's configuration and of `.env`.
    pub fn new(host: &Host) -> Result<Self> {
        Ok(Self::with_keyring(host, Keyring::of(host)?))
    }

    pub fn with_keyring(host: &Host, keyring: Keyring) -> Self {
        let insecure = host.config.images.insecure.clone().into();
        Self { keyring: Arc::new(keyring), insecure, mirror: None, clients: Arc::default() }
    }

    /// For nodes that ask this registry for images of every host.
    #[must_use]
    pub fn behind(self, mirror: Option<&str>) -> Self {
        Self { mirror: mirror.map(Into::into), ..self }
    }

    /// Whether the registry is spoken to in plain HTTP: on loopback, as Docker and containerd do, and where
    /// `platen.toml` says so.
    pub fn is_plain_http(&self, registry: &str) -> bool {
        is_loopback(registry) || self.insecure.iter().any(|name| name == registry)
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The login at the reference's registry.
    pub async fn login(&self, reference: &Reference) -> Result<Option<Credentials>> {
        let (keyring, asked) = (self.keyring.clone(), reference.registry().to_owned());
        // A credential helper is a process, and may wait for the user's keychain.
        let found = tokio::task::spawn_blocking(move || keyring.find(&asked)).await;
        found.map_err(|error| Error::machine(format!("no login can be looked for: {error}"), ""))?
    }

    /// The client of one registry, with its credentials.
    async fn client(&self, reference: &Reference) -> Result<(Client, RegistryAuth)> {
        let registry = reference.resolve_registry();
        let known = self.clients.lock().ok().and_then(|clients| clients.get(registry).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.login(reference).await?;
        let auth = found.map_or(RegistryAuth::Anonymous, |credentials| credentials.auth());
        let client = self.connect(registry)?;
        client.store_auth_if_needed(registry, &auth).await;
        if let Ok(mut clients) = self.clients.lock() {
            clients.insert(registry.to_owned(), (client.clone(), auth.clone()));
        }
        Ok((client, auth))
    }

    /// Whether this registry is asked with a login.
    fn has_credentials(&self, reference: &Reference) -> bool {
        let clients = self.clients.lock();
        let known = clients.ok().and_then(|clients| clients.get(reference.resolve_registry()).cloned());
        known.is_some_and(|(_, auth)| auth != RegistryAuth::Anonymous)
    }

    fn connect(&self, registry: &str) -> Result<Client> {
        let mut config = ClientConfig {
            protocol: ClientProtocol::Https,
            read_timeout: Some(SILENT_AT_MOST),
            connect_timeout: Some(CONNECTS_WITHIN),
            user_agent: concat!("platen/", env!("CARGO_PKG_VERSION")),
            platform_resolver: None,
            ..ClientConfig::default()
        };
        if self.is_plain_http(registry) {
            config.protocol = ClientProtocol::Http;
        }
        if is_loopback(registry) {
            // No proxy leads to loopback, whatever the environment says: a proxy of our own that is used for no host.
            config.http_proxy = Some("http://127.0.0.1".into());
            config.no_proxy = Some("localhost,127.0.0.0/8,::1".into());
        }
        Client::try_from(config)
            .map_err(|error| Error::machine(format!("no HTTP client can be made: {error}"), ""))
    }
}

/// Whether `host[:port]` is this machine.
pub fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { registry }
    });
    host == "localhost"
        || host == "[::1]"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads `HOST[:PORT]/NAME[:TAG][@DIGEST]`; a name without a host is on Docker Hub.
pub fn parse(text: &str) -> Result<Reference> {
    text.parse().map_err(|error| {
        Error::usage(
            format!("{text:?} is not an image reference: {error}"),
            "write it as HOST[:PORT]/NAME:TAG, for example 127.0.0.1:5000/platen/ocr-service:1.0",
        )
    })
}

/// The same repository, by digest.
pub fn at_digest(reference: &Reference, digest: &str) -> Reference {
    Reference::with_digest(reference.registry().into(), reference.repository().into(), digest.into())
}

/// The same repository, by tag.
pub fn at_tag(reference: &Reference, tag: &str) -> Reference {
    Reference::with_tag(reference.registry().into(), reference.repository().into(), tag.into())
}
