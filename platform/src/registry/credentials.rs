//! Who this machine is to a registry: flags, then `.env` and the environment, then Docker's own configuration with its
//! credential helpers.

use std::fmt;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError as Failure, DockerCredential};
use oci_client::secrets::RegistryAuth;

use crate::error::{Error, Result};
use crate::host::Host;

/// The names in `.env` and in the environment.
const SERVER: &str = "REGISTRY_SERVER";
const USER: &str = "REGISTRY_USER";
const PASSWORD: &str = "REGISTRY_PASSWORD";
const EMAIL: &str = "REGISTRY_EMAIL";
/// Docker's configuration keeps Docker Hub's login under this name.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A login at one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `host[:port]`.
    pub server: String,
    pub user: String,
    pub password: String,
    pub email: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ server: {:?}, user: {:?}, password: … }}", self.server, self.user)
    }
}

impl Credentials {
    pub(super) fn auth(&self) -> RegistryAuth {
        RegistryAuth::Basic(self.user.clone(), self.password.clone())
    }

    /// From variables: all of server, user and password, or none.
    fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let read = |name: &str| variable(name).filter(|value| !value.is_empty());
        match (read(SERVER), read(USER), read(PASSWORD)) {
            (None, None, None) => Ok(None),
            (Some(server), Some(user), Some(password)) => {
                Ok(Some(Self { server: bare(&server).to_owned(), user, password, email: read(EMAIL) }))
            }
            _ => Err(Error::usage(
                format!("a registry's login needs {SERVER}, {USER} and {PASSWORD}; not all of them are set"),
                "set all three in .env or in the environment, or none",
            )),
        }
    }
}

/// All credentials at hand.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// In the order in which they are asked.
    named: Vec<Credentials>,
    /// Whether Docker's configuration is asked as well.
    docker: bool,
}

impl Keyring {
    /// Those of this machine: `.env` and the environment (which goes before), then Docker's configuration.
    pub fn of(host: &Host) -> Result<Self> {
        let file = host.root.join(".env");
        let in_file: Vec<(String, String)> = match dotenvy::from_path_iter(&file) {
            Ok(lines) => lines.filter_map(Result::ok).collect(),
            Err(_) => Vec::new(),
        };
        let variable = |name: &str| {
            let set = std::env::var(name).ok();
            set.or_else(|| Some(in_file.iter().find(|(key, _)| key == name)?.1.clone()))
        };
        Ok(Self { named: Credentials::of_variables(variable)?.into_iter().collect(), docker: true })
    }

    /// Only these.
    pub fn only(credentials: impl IntoIterator<Item = Credentials>) -> Self {
        Self { named: credentials.into_iter().collect(), docker: false }
    }

    /// These go before all others.
    #[must_use]
    pub fn preferring(mut self, credentials: Option<Credentials>) -> Self {
        self.named.splice(0..0, credentials);
        self
    }

    /// The login at a registry, by its `host[:port]`; `None`: it is asked without one.
    pub fn find(&self, registry: &str) -> Result<Option<Credentials>> {
        if let Some(named) = self.named.iter().find(|named| hub(&named.server) == hub(registry)) {
            return Ok(Some(named.clone()));
        }
        if self.docker { docker(registry) } else { Ok(None) }
    }
}

/// Where Docker keeps its configuration.
fn docker_configuration() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(folder.join("config.json"))
}

fn docker(registry: &str) -> Result<Option<Credentials>> {
    // The crate does not tell a file that is not there from one that cannot be read.
    if !docker_configuration().is_some_and(|file| file.is_file()) {
        return Ok(None);
    }
    let key = if hub(registry) == "docker.io" { HUB_KEY } else { registry };
    let found = match docker_credential::get_credential(key) {
        // Docker writes some servers with the scheme in front.
        Err(Failure::NoCredentialConfigured) => {
            docker_credential::get_credential(&format!("https://{registry}"))
        }
        found => found,
    };
    let login = |user: String, password: String| {
        Some(Credentials { server: registry.to_owned(), user, password, email: None })
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(login(user, password)),
        // The name that Docker itself uses with an identity token.
        Ok(DockerCredential::IdentityToken(token)) => Ok(login("<token>".into(), token)),
        Err(Failure::ConfigNotFound | Failure::NoCredentialConfigured) => Ok(None),
        // It cannot tell a configuration that there is not from one that cannot be read.
        Err(Failure::ConfigReadError) if !has_configuration() => Ok(None),
        // A helper that keeps nothing for this registry says so in words, by failing.
        Err(Failure::HelperFailure { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(failure) => Err(Error::machine(
            format!(
                "Docker's configuration has no usable login for {registry}: {}",
                failure.to_string().trim()
            ),
            format!("log in again: docker login {registry}; or set {SERVER}, {USER} and {PASSWORD} in .env"),
        )),
    }
}

/// Whether Docker has been configured for this user.
fn has_configuration() -> bool {
    let named = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let dir = named.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")));
    dir.is_some_and(|dir| dir.join("config.json").exists())
}

/// Docker Hub has several names.
fn hub(registry: &str) -> &str {
    match bare(registry) {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" | "index.docker.io/v1" => "docker.io",
        other => other,
    }
}

/// Without scheme and slash at the end.
fn bare(server: &str) -> &str {
    let server = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    server.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(server: &str) -> Credentials {
        Credentials { server: server.into(), user: "u".into(), password: "secret".into(), email: None }
    }

    #[test]
    fn a_password_is_never_shown() {
        assert!(!format!("{:?}", Keyring::only([login("r.example")])).contains("secret"));
    }

    #[test]
    fn flags_go_before_variables_and_docker_hub_is_known_by_all_its_names() {
        let flags = Credentials { user: "flag".into(), ..login("docker.io") };
        let keyring = Keyring::only([login("https://index.docker.io/v1/")]).preferring(Some(flags));
        assert_eq!(keyring.find("index.docker.io").unwrap().unwrap().user, "flag");
        assert_eq!(keyring.find("r.example:5000").unwrap(), None);
    }

    #[test]
    fn half_a_login_is_refused_with_the_names_of_all_variables() {
        let half = |name: &str| (name == USER).then(|| "me".to_owned());
        let error = Credentials::of_variables(half).unwrap_err().to_string();
        assert!(error.contains("REGISTRY_SERVER") && error.contains("REGISTRY_PASSWORD"), "{error}");
        assert_eq!(Credentials::of_variables(|_| None).unwrap(), None);
    }
}
