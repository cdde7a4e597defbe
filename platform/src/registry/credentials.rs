//! Who this machine is to a registry: flags, then `.env` and the environment, then Docker's own configuration with its
//! credential helpers.

use std::fmt;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError as Failure, DockerCredential};
use oci_client::secrets::RegistryAuth;

use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::variables::variables;

/// The names in `.env` and in the environment.
const SERVER: &str = "REGISTRY_SERVER";
const USER: &str = "REGISTRY_USER";
const PASSWORD: &str = "REGISTRY_PASSWORD";
const EMAIL: &str = "REGISTRY_EMAIL";
/// Docker's configuration keeps Docker Hub's login under this name.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

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
    /// `server` as a registry is named anywhere: with or without a scheme and a path.
    pub fn new(server: &str, user: String, password: String, email: Option<String>) -> Self {
        Self { server: bare(server).to_owned(), user, password, email }
    }

    /// A login that was given without its password, which stands in `.env` or in the environment, and there for no other
    /// registry.
    pub fn with_password_variable(
        host: &Host,
        server: &str,
        user: String,
        email: Option<String>,
    ) -> Result<Self> {
        Self::with_password(variables(host)?, server, user, email)
    }

    fn with_password(
        variable: impl Fn(&str) -> Option<String>,
        server: &str,
        user: String,
        email: Option<String>,
    ) -> Result<Self> {
        let read = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(other) = read(SERVER).filter(|other| hub(other) != hub(server)) {
            return Err(Error::usage(
                format!(
                    "{PASSWORD} is for {other}, which {SERVER} names, and {user} is to log in at {server}"
                ),
                "pass this one on: --registry-password-stdin",
            ));
        }
        let password = read(PASSWORD).ok_or_else(|| {
            Error::usage(
                format!("{user} needs a password at the registry {server}"),
                format!(
                    "set {PASSWORD} in .env or in the environment, or pass it on: --registry-password-stdin"
                ),
            )
        })?;
        Ok(Self::new(server, user, password, email))
    }

    pub(super) fn auth(&self) -> RegistryAuth {
        RegistryAuth::Basic(self.user.clone(), self.password.clone())
    }

    /// From variables: all of server, user and password, or none.
    fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let read = |name: &str| variable(name).filter(|value| !value.is_empty());
        match (read(SERVER), read(USER), read(PASSWORD)) {
            (None, None, None) => Ok(None),
            (Some(server), Some(user), Some(password)) => {
                Ok(Some(Self::new(&server, user, password, read(EMAIL))))
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
    /// Docker's configuration, asked after those.
    docker: Option<PathBuf>,
}

impl Keyring {
    /// Those of this machine: what the command was given, then `.env` and the environment (which goes before), then
    /// Docker's configuration. Beside a login that was given half a one in the variables is none: its password belongs to
    /// what was given.
    pub fn of(host: &Host) -> Result<Self> {
        let named = Self::named(host.login.as_ref(), variables(host)?)?;
        Ok(Self { named, docker: docker_configuration() })
    }

    fn named(
        given: Option<&Credentials>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Credentials>> {
        let set = Credentials::of_variables(variable);
        let Some(given) = given else { return Ok(set?.into_iter().collect()) };
        let other = set.ok().flatten().filter(|set| hub(&set.server) != hub(&given.server));
        Ok([given.clone()].into_iter().chain(other).collect())
    }

    /// Only these.
    pub fn only(credentials: impl IntoIterator<Item = Credentials>) -> Self {
        Self { named: credentials.into_iter().collect(), docker: None }
    }

    /// How many were named for a registry; of several only the first is asked with.
    pub fn named_at(&self, registry: &str) -> usize {
        self.named.iter().filter(|named| hub(&named.server) == hub(registry)).count()
    }

    /// The login at a registry, by its `host[:port]`; `None`: it is asked without one. May run a credential helper, and
    /// wait for it.
    pub fn find(&self, registry: &str) -> Result<Option<Credentials>> {
        if let Some(named) = self.named.iter().find(|named| hub(&named.server) == hub(registry)) {
            return Ok(Some(named.clone()));
        }
        let Some(configuration) = &self.docker else { return Ok(None) };
        match docker(configuration, registry) {
            // The local registry wants no login: a helper that is not installed must not stand in its way.
            Err(_) if super::is_loopback(registry) => Ok(None),
            found => found,
        }
    }
}

/// Where Docker keeps its configuration.
fn docker_configuration() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(folder.join("config.json"))
}

fn docker(configuration: &Path, registry: &str) -> Result<Option<Credentials>> {
    let content = match std::fs::read(configuration) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(format!("reading {}", configuration.display())),
    };
    let ask = |key: &str| docker_credential::get_credential_from_reader(content.as_slice(), key);
    let found = match ask(if hub(registry) == "docker.io" { HUB_KEY } else { registry }) {
        // Docker writes some servers with the scheme in front.
        Err(Failure::NoCredentialConfigured) => ask(&format!("https://{registry}")),
        found => found,
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credentials { server: registry.to_owned(), user, password, email: None }))
        }
        // It is exchanged by OAuth, which the client of registries does not speak.
        Ok(DockerCredential::IdentityToken(_)) => Err(Error::machine(
            format!("Docker's configuration has an identity token for {registry}, which is no password"),
            format!(
                "set {SERVER}={registry}, {USER} and {PASSWORD} in .env; an access token serves as the password"
            ),
        )),
        Err(Failure::NoCredentialConfigured) => Ok(None),
        // A helper that keeps nothing for this registry says so in words, by failing.
        Err(Failure::HelperFailure { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(failure) => Err(Error::machine(
            format!("Docker's configuration has no usable login for {registry}: {}", why(&failure)),
            format!("log in again: docker login {registry}; or set {SERVER}, {USER} and {PASSWORD} in .env"),
        )),
    }
}

/// What a helper writes to its standard output is secrets, also where it fails.
fn why(failure: &Failure) -> String {
    match failure {
        Failure::HelperFailure { helper, stderr, .. } => format!("{helper} failed: {}", stderr.trim()),
        other => other.to_string(),
    }
}

/// Docker Hub has several names.
fn hub(registry: &str) -> &str {
    match bare(registry) {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io",
        other => other,
    }
}

/// `host[:port]`, without the scheme before it and the path behind it.
fn bare(server: &str) -> &str {
    let server = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    server.split_once('/').map_or(server, |(host, _)| host)
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
    fn docker_hub_is_known_by_all_its_names() {
        let keyring = Keyring::only([login("https://index.docker.io/v1/")]);
        assert_eq!(keyring.find("index.docker.io").unwrap().unwrap().user, "u");
        assert_eq!(keyring.find("r.example:5000").unwrap(), None);
    }

    /// A keyring with this Docker configuration, in a folder that lives as long as the test.
    fn of_docker(configuration: &str) -> (tempfile::TempDir, Keyring) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, configuration).unwrap();
        (folder, Keyring { named: Vec::new(), docker: Some(path) })
    }

    #[test]
    fn a_helper_that_is_not_installed_bars_no_way_to_the_local_registry() {
        let (_folder, keyring) = of_docker(r#"{"credsStore": "platen-is-not-installed"}"#);
        assert_eq!(keyring.find("127.0.0.1:5000").unwrap(), None);
        assert_eq!(keyring.find("localhost:5000").unwrap(), None);
        let error = keyring.find("r.example").unwrap_err();
        assert!(error.hint().unwrap().contains("docker login r.example"), "{error}");
    }

    #[test]
    fn an_identity_token_is_refused_with_what_to_set_instead() {
        let (_folder, keyring) =
            of_docker(r#"{"auths": {"r.example": {"auth": "eDp5", "identitytoken": "hunter2"}}}"#);
        let error = keyring.find("r.example").unwrap_err();
        assert!(error.to_string().contains("identity token") && !error.to_string().contains("hunter2"));
        assert!(error.hint().unwrap().contains("REGISTRY_USER and REGISTRY_PASSWORD"));
    }

    #[test]
    fn docker_keeps_a_login_with_or_without_the_scheme() {
        let (_folder, keyring) = of_docker(r#"{"auths": {"https://r.example": {"auth": "bWU6c2VjcmV0"}}}"#);
        assert_eq!(keyring.find("r.example").unwrap().unwrap().user, "me");
        assert_eq!(keyring.find("other.example").unwrap(), None);
    }

    #[test]
    fn what_a_helper_printed_is_never_told() {
        let failure = Failure::HelperFailure {
            helper: "docker-credential-x".into(),
            stdout: "hunter2".into(),
            stderr: "the keychain is locked\n".into(),
        };
        assert_eq!(why(&failure), "docker-credential-x failed: the keychain is locked");
    }

    /// Variables of which these are set.
    fn set(set: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_login_by_flags_needs_no_variables_but_its_password() {
        let only = || set(&[(PASSWORD, "secret")]);
        // To the variables alone this is half a login.
        let error = Keyring::named(None, only()).unwrap_err();
        assert!(error.to_string().contains("REGISTRY_SERVER"), "{error}");
        let given = Credentials::with_password(only(), "r.example", "me".into(), None).unwrap();
        assert_eq!(given.password, "secret");
        assert_eq!(Keyring::named(Some(&given), only()).unwrap(), [given]);
        let error = Credentials::with_password(set(&[]), "r.example", "me".into(), None).unwrap_err();
        assert!(error.hint().unwrap().contains("REGISTRY_PASSWORD"), "{error}");
    }

    #[test]
    fn the_password_of_one_registry_goes_to_no_other() {
        let whole = || set(&[(SERVER, "https://r.example"), (USER, "me"), (PASSWORD, "secret")]);
        let with = |server: &str| Credentials::with_password(whole(), server, "you".into(), None);
        assert_eq!(with("r.example").unwrap().password, "secret");
        let error = with("other.example").unwrap_err();
        assert!(error.to_string().contains("is for https://r.example"), "{error}");
        assert!(error.hint().unwrap().contains("--registry-password-stdin"), "{error}");
    }

    #[test]
    fn beside_a_login_by_flags_the_variables_keep_theirs_of_another_registry() {
        let whole = || set(&[(SERVER, "r.example"), (USER, "me"), (PASSWORD, "secret")]);
        let servers = |given: &Credentials| -> Vec<(String, String)> {
            let named = Keyring::named(Some(given), whole()).unwrap();
            named.into_iter().map(|login| (login.server, login.user)).collect()
        };
        let pair = |server: &str, user: &str| (server.to_owned(), user.to_owned());
        assert_eq!(servers(&login("other.example")), [pair("other.example", "u"), pair("r.example", "me")]);
        assert_eq!(servers(&login("r.example")), [pair("r.example", "u")]);
    }

    #[test]
    fn half_a_login_is_refused_with_the_names_of_all_variables() {
        let half = |name: &str| (name == USER).then(|| "me".to_owned());
        let error = Credentials::of_variables(half).unwrap_err().to_string();
        assert!(error.contains("REGISTRY_SERVER") && error.contains("REGISTRY_PASSWORD"), "{error}");
        assert_eq!(Credentials::of_variables(|_| None).unwrap(), None);
    }
}
