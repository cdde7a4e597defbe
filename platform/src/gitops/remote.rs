//! The address of a Git repository: how it is asked, whether a cluster can ask it at all, and the login for it.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::error::{Error, Result};
use crate::registry::is_loopback;

/// The names in `.env` and in the environment.
pub const TOKEN: &str = "GIT_TOKEN";
const USERNAME: &str = "GIT_USERNAME";
/// Servers that go by the token alone want a name nevertheless, whichever.
const ANY_NAME: &str = "git";

/// A user and a token, for what is private.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub token: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login {{ user: {:?}, token: … }}", self.user)
    }
}

/// How a repository is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Https,
    /// What is sent can be read on the way, a token too.
    Http,
    Ssh,
    /// A folder, or a server that listens on this machine alone.
    ThisMachine,
}

/// A Git repository.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// As Git takes it, without a user's token.
    pub url: String,
    pub protocol: Protocol,
    /// What stood in the address.
    user: Option<String>,
    token: Option<String>,
    /// By ssh: the same repository by https, as the hosts of repositories have it.
    https: Option<String>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, protocol, user, .. } = self;
        write!(f, "Remote {{ url: {url:?}, protocol: {protocol:?}, user: {user:?}, … }}")
    }
}

impl Remote {
    /// Reads an address as `git remote` shows it: a URL, `[user@]host:path`, or a folder.
    pub fn parse(address: &str) -> Result<Self> {
        match address.split_once("://") {
            Some(("file", _)) => Ok(Self::of_this_machine(address)),
            Some(_) => Self::of_url(address),
            None => Ok(Self::of_ssh(address)),
        }
    }

    fn bare(url: &str, protocol: Protocol, https: Option<String>) -> Self {
        Self { url: url.to_owned(), protocol, user: None, token: None, https }
    }

    fn of_this_machine(address: &str) -> Self {
        Self::bare(address, Protocol::ThisMachine, None)
    }

    /// `git@host:owner/repo.git`; without a colon before the first slash it is a folder.
    fn of_ssh(address: &str) -> Self {
        let Some((host, path)) = address.split_once(':').filter(|(host, _)| !host.contains('/')) else {
            return Self::of_this_machine(address);
        };
        let host = host.rsplit('@').next().unwrap_or(host);
        if is_loopback(host) {
            return Self::of_this_machine(address);
        }
        let https = Some(format!("https://{host}/{}", path.trim_start_matches('/')));
        Self::bare(address, Protocol::Ssh, https)
    }

    fn of_url(address: &str) -> Result<Self> {
        // What stands before the host may be a token, so no part of the address is repeated.
        let broken = |why: &str| {
            let hint =
                "name one by https or ssh: git remote set-url origin https://HOST/OWNER/REPOSITORY.git";
            Error::usage(format!("the address of the Git repository cannot be used: {why}"), hint)
        };
        let mut url = Url::parse(address).map_err(|error| broken(&error.to_string()))?;
        let host = url.host_str().ok_or_else(|| broken("it names no host"))?.to_owned();
        let protocol = match url.scheme() {
            "https" => Protocol::Https,
            "http" => Protocol::Http,
            "ssh" | "git+ssh" => Protocol::Ssh,
            other => return Err(broken(&format!("Argo CD does not speak {other}"))),
        };
        let mut remote = Self::bare("", protocol, None);
        if protocol == Protocol::Ssh {
            remote.https = Some(format!("https://{host}{}", url.path()));
        } else {
            let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
            (remote.user, remote.token) = match (user, url.password()) {
                (user, Some(token)) => (user, Some(decoded(token))),
                (Some(user), None) if is_token(&user) => (None, Some(user)),
                (user, None) => (user, None),
            };
            // Neither fails for an address with a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        if is_loopback(&host) {
            remote.protocol = Protocol::ThisMachine;
        }
        remote.url = url.into();
        Ok(remote)
    }

    /// With the login that `variable` has (`GIT_TOKEN`, `GIT_USERNAME`), else the address's own. A token is of no use to
    /// ssh: with one, the same repository is asked by https.
    pub fn with_login(self, variable: impl Fn(&str) -> Option<String>) -> (Self, Option<Login>) {
        let read = |name: &str| variable(name).filter(|value| !value.is_empty());
        let given = read(TOKEN);
        let named = given.as_ref().and_then(|_| read(USERNAME));
        let Some(token) = given.or_else(|| self.token.clone()) else { return (self, None) };
        let user = named.or_else(|| self.user.clone()).unwrap_or_else(|| ANY_NAME.into());
        let login = Some(Login { user, token });
        match &self.https {
            Some(url) => (Self::bare(url, Protocol::Https, None), login),
            None => (self, login),
        }
    }

    /// Whether both are addresses of one repository, in whichever form.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Host and path, as by https.
    fn place(&self) -> (String, &str) {
        let url = self.https.as_deref().unwrap_or(&self.url);
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        (host.to_lowercase(), path.strip_suffix(".git").unwrap_or(path))
    }
}

/// A user or a password of an address, in which what an address has a meaning for stands as `%40`.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether a user without a password is a token, as GitHub and GitLab mark theirs, and as 40 hexadecimal digits.
fn is_token(user: &str) -> bool {
    let marks = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"];
    let bare = user.len() == 40 && user.bytes().all(|byte| byte.is_ascii_hexdigit());
    bare || marks.iter().any(|mark| user.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(address: &str, set: &[(&str, &str)]) -> (String, Protocol, Option<(String, String)>) {
        let variable =
            |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let (remote, login) = Remote::parse(address).unwrap().with_login(variable);
        (remote.url, remote.protocol, login.map(|login| (login.user, login.token)))
    }

    #[test]
    fn what_only_this_machine_can_ask_is_known_by_its_address() {
        for address in [
            "/srv/ocr.git",
            "../ocr.git",
            "file:///srv/ocr.git",
            "http://127.0.0.1:3000/me/ocr.git",
            "https://localhost/me/ocr.git",
            "git@localhost:me/ocr.git",
            "./a:b",
        ] {
            assert_eq!(Remote::parse(address).unwrap().protocol, Protocol::ThisMachine, "{address}");
        }
    }

    #[test]
    fn ssh_stays_ssh_until_there_is_a_token() {
        let forms = [
            "git@git.example:me/ocr.git",
            "ssh://git@git.example/me/ocr.git",
            "ssh://git@git.example:2222/me/ocr.git",
        ];
        for address in forms {
            assert_eq!(with(address, &[]), (address.into(), Protocol::Ssh, None));
            let login = Some(("git".to_owned(), "hunter2".to_owned()));
            let https = "https://git.example/me/ocr.git".to_owned();
            assert_eq!(with(address, &[(TOKEN, "hunter2")]), (https, Protocol::Https, login));
        }
    }

    #[test]
    fn a_token_is_taken_out_of_the_address_and_the_variables_go_before_it() {
        let address = "https://me:hunter2@git.example/me/ocr.git";
        let url = "https://git.example/me/ocr.git".to_owned();
        let own = Some(("me".to_owned(), "hunter2".to_owned()));
        assert_eq!(with(address, &[(TOKEN, "")]), (url.clone(), Protocol::Https, own));
        let other = Some(("me".to_owned(), "hunter3".to_owned()));
        assert_eq!(with(address, &[(TOKEN, "hunter3")]), (url.clone(), Protocol::Https, other));
        let named = Some(("you".to_owned(), "hunter3".to_owned()));
        assert_eq!(
            with("https://git.example/me/ocr.git", &[(TOKEN, "hunter3"), (USERNAME, "you")]),
            (url, Protocol::Https, named)
        );
    }

    #[test]
    fn a_login_in_the_address_is_read_as_it_was_meant() {
        let login = |address: &str, set| with(address, set).2;
        let some = |user: &str, token: &str| Some((user.to_owned(), token.to_owned()));
        let encoded = "https://me%40corp.example:p%2Fw%25d@git.example/me/ocr.git";
        assert_eq!(login(encoded, &[]), some("me@corp.example", "p/w%d"));
        let named = "https://me@git.example/me/ocr.git";
        assert_eq!(login(named, &[]), None);
        assert_eq!(login(named, &[(TOKEN, "hunter2")]), some("me", "hunter2"), "as Bitbucket wants it");
        let lone = "https://ghp_hunter2@git.example/me/ocr.git";
        assert_eq!(with(lone, &[]).0, "https://git.example/me/ocr.git");
        assert_eq!(login(lone, &[]), some("git", "ghp_hunter2"));
        assert_eq!(login(lone, &[(TOKEN, "hunter3")]), some("git", "hunter3"));
        assert!(!format!("{:?}", Remote::parse(lone).unwrap()).contains("hunter2"));
    }

    #[test]
    fn a_repository_is_known_in_each_form_of_its_address() {
        let same =
            |one: &str, other: &str| Remote::parse(one).unwrap().is_same(&Remote::parse(other).unwrap());
        let url = "https://git.example/me/ocr.git";
        for other in [
            "git@git.example:me/ocr.git",
            "ssh://git@Git.example:2222/me/ocr",
            "https://me:hunter2@git.example/me/ocr/",
        ] {
            assert!(same(url, other), "{other}");
        }
        assert!(!same(url, "git@git.example:you/ocr.git") && !same(url, "https://other.example/me/ocr.git"));
    }

    #[test]
    fn no_message_has_a_token() {
        let error = Remote::parse("ftp://me:hunter2@git.example/ocr.git").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let shown = format!("{:?}", Remote::parse("https://me:hunter2@git.example/ocr.git").unwrap());
        assert!(shown.contains("me") && !shown.contains("hunter2"), "{shown}");
    }
}
