//! Requests to one Grafana, and what its refusals mean.

use std::fmt;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::variables::variables;

/// The variable with Grafana's address.
const ADDRESS: &str = "GRAFANA_URL";
/// Where Grafana listens on the machine that it runs on.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:3000";
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Who asks. Never in an address, a message or a log.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Password {
        user: String,
        password: String,
    },
    /// Of a service account.
    Token(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Login {
    /// From variables: a token, or a password with the user `admin` where none is named.
    pub(super) fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| variable(name).filter(|value| !value.is_empty());
        match (read("GRAFANA_TOKEN"), read("GRAFANA_PASSWORD")) {
            (Some(token), None) => Ok(Self::Token(token)),
            (None, Some(password)) => {
                Ok(Self::Password { user: read("GRAFANA_USER").unwrap_or_else(|| "admin".into()), password })
            }
            (Some(_), Some(_)) => Err(Error::usage(
                "GRAFANA_TOKEN and GRAFANA_PASSWORD are both set",
                "set one of them, in .env or in the environment",
            )),
            (None, None) => Err(Error::usage(
                "Grafana wants a login",
                "set GRAFANA_PASSWORD (and GRAFANA_USER) or GRAFANA_TOKEN, in .env or in the environment; in a cluster the \
                 password is in the Secret monitoring-grafana, key admin-password",
            )),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Password { user, .. } => format!("the user {user}"),
            Self::Token(_) => "this token".into(),
        }
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Password { user, password } => request.basic_auth(user, Some(password)),
            Self::Token(token) => request.bearer_auth(token),
        }
    }
}

/// One Grafana, and who asks it.
#[derive(Debug, Clone)]
pub struct Grafana {
    base: Url,
    login: Login,
    http: reqwest::Client,
}

/// What Grafana answered without success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Grafana {
    /// From the environment and `.env`; an address and a user that are named go before theirs.
    pub fn of(host: &Host, url: Option<&str>, user: Option<&str>) -> Result<Self> {
        let variable = variables(host)?;
        Self::of_variables(|name| {
            let named = match name {
                ADDRESS => url,
                "GRAFANA_USER" => user,
                _ => None,
            };
            named.map(str::to_owned).or_else(|| variable(name))
        })
    }

    pub(super) fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let base = variable(ADDRESS).filter(|value| !value.is_empty());
        Self::new(base.as_deref().unwrap_or(DEFAULT_ADDRESS), Login::of_variables(variable)?)
    }

    /// By its base address, which may have a path.
    pub fn new(base: &str, login: Login) -> Result<Self> {
        let parsed = Url::parse(&format!("{}/", base.trim_end_matches('/')));
        let base = parsed.ok().filter(|it| matches!(it.scheme(), "http" | "https")).ok_or_else(|| {
            Error::usage(format!("{base:?} is no address of Grafana"), "write it as http://HOST:PORT")
        })?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Error::usage(
                "a login in Grafana's address would be seen by others",
                "set GRAFANA_USER and GRAFANA_PASSWORD instead",
            ));
        }
        Ok(Self { base, login, http: crate::http::direct(ANSWERS_WITHIN)? })
    }

    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Method::GET, path, None).await?.map_err(|refusal| self.refused(path, &refusal))
    }

    /// `None` where it is not there.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.send(Method::GET, path, None).await? {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(self.refused(path, &refusal)),
        }
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        self.send(Method::POST, path, Some(body)).await?.map_err(|refusal| self.refused(path, &refusal))
    }

    /// The answer, or the refusal that is no error yet. A login that is not known is one.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Result<T, Refusal>> {
        let url = self.base.join(path).map_err(|error| Error::malformed(path, error, ""))?;
        let request = self.login.on(self.http.request(method, url));
        let request = body.into_iter().fold(request, RequestBuilder::json);
        let answer = request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "no answer in time" } else { "nobody answers" };
            Error::unhealthy(
                format!("Grafana at {} cannot be asked: {why}", self.base),
                "name another: --url URL; in a cluster forward it: \
                 kubectl -n monitoring port-forward service/monitoring-grafana 3000:80",
            )
        })?;
        let status = answer.status();
        let bytes = answer.bytes().await.doing("reading Grafana's answer")?;
        if status == StatusCode::UNAUTHORIZED {
            return Err(self.unknown_login());
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes).map(Ok).map_err(|_| {
                let what = format!("what answers at {} is no Grafana: no JSON under {path}", self.base);
                Error::unhealthy(what, "name Grafana's own address: --url URL")
            });
        }
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let message = said["message"].as_str().unwrap_or("without a word").to_owned();
        Ok(Err(Refusal { status, message }))
    }

    pub(super) fn refused(&self, path: &str, refusal: &Refusal) -> Error {
        let Refusal { status, message } = refusal;
        if *status == StatusCode::FORBIDDEN {
            return Error::unhealthy(
                format!("Grafana forbids {} to use {path}: {message}", self.login.name()),
                "give it the role Editor, and Admin of the folder; listing data sources needs Admin or datasources:read",
            );
        }
        let what = format!("Grafana at {} answered {status} to {path}: {message}", self.base);
        Error::unhealthy(what, "look into Grafana's log; is --url its own address?")
    }

    fn unknown_login(&self) -> Error {
        let what = format!("Grafana at {} does not know {}: 401", self.base, self.login.name());
        let hint = match self.login {
            Login::Password { .. } => {
                "the password may have been changed in Grafana, which does not change the Secret it was installed with: set \
                 GRAFANA_PASSWORD to the present one, or reset it: grafana cli admin reset-admin-password"
            }
            Login::Token(_) => {
                "the token may have been revoked or have expired: make another, and set GRAFANA_TOKEN"
            }
        };
        Error::unhealthy(what, hint)
    }
}
