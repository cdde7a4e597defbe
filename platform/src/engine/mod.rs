//! Docker: is it there, is it fit, and its installation and start where that is allowed.

mod endpoint;
mod guard;
mod install;
mod own;
mod verdict;

use std::time::Duration;

use bollard::Docker;

pub use endpoint::{Chosen, Endpoint};
pub use guard::guard_addresses;
pub use install::client_missing;
pub use own::stop_own;
pub use verdict::{Facts, Lack};

use crate::cluster::HostTraits;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use verdict::{Answer, Verdict};

/// An engine that does not answer such a question within this time is not fit for work.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Requests that do more than ask: bollard's own limit is two minutes.
const WORKS_WITHIN: Duration = Duration::from_mins(5);

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct Ready {
    pub docker: Docker,
    pub traits: HostTraits,
    pub facts: Facts,
}

impl Ready {
    /// For programs that speak with Docker themselves (kind, docker): the engine that they must use.
    pub fn docker_host(&self) -> &str {
        &self.facts.endpoint.host
    }
}

#[derive(Debug, Clone)]
pub enum State {
    Ready(Ready),
    NotThere(Lack),
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(ready) => {
                write!(f, "Docker {} answers at {}", ready.facts.version, ready.facts.endpoint)
            }
            Self::NotThere(lack) => lack.fmt(f),
        }
    }
}

impl State {
    /// Why nothing can be done with this engine, and what to do about it.
    pub fn into_error(self) -> Error {
        match self {
            Self::Ready(_) => Error::unhealthy(self.to_string(), ""),
            Self::NotThere(lack) => lack.into_error(),
        }
    }
}

/// Asks every place where Docker may answer.
pub async fn observe(host: &Host) -> Result<State> {
    let mut asked = Vec::new();
    let mut reached = Vec::new();
    for endpoint in endpoint::candidates(|name| std::env::var(name).ok()) {
        let (answer, docker) = ask(&endpoint).await;
        let is_ready = matches!(answer, Answer::Info(_));
        asked.push((endpoint, answer));
        reached.push(docker);
        if is_ready {
            break;
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capable = verdict::has_cap_sys_resource(&status);
    Ok(match verdict::judge(asked, install::is_installed(host), capable) {
        Verdict::Ready { facts, traits } => match reached.pop().flatten() {
            Some(docker) => State::Ready(Ready { docker, traits, facts }),
            None => State::NotThere(Lack::NotRunning),
        },
        Verdict::NotThere(lack) => State::NotThere(lack),
    })
}

/// Docker where it answers; nothing is started.
pub async fn answering(host: &Host) -> Result<Option<Docker>> {
    Ok(match observe(host).await? {
        State::Ready(ready) => Some(ready.docker),
        State::NotThere(_) => None,
    })
}

async fn ask(endpoint: &Endpoint) -> (Answer, Option<Docker>) {
    if endpoint.socket().is_some_and(|socket| !socket.exists()) {
        return (Answer::Missing, None);
    }
    let docker = match Docker::connect_with_host(&endpoint.host) {
        Ok(docker) => docker,
        Err(error) => return (Answer::of(&error), None),
    };
    match docker.clone().with_timeout(ANSWERS_WITHIN).info().await {
        Ok(info) => (Answer::Info(Box::new(info)), Some(docker.with_timeout(WORKS_WITHIN))),
        Err(error) => (Answer::of(&error), None),
    }
}

/// Docker that answers: as it is, else installed and started where this process may.
pub async fn ensure(host: &Host) -> Result<Ready> {
    let lack = match observe(host).await? {
        State::Ready(ready) => {
            install::ensure_client(host).await?;
            return Ok(ready);
        }
        State::NotThere(lack) => lack,
    };
    let traits_known = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capable = verdict::has_cap_sys_resource(&traits_known);
    match lack {
        Lack::Unreachable { .. } => return Err(lack.into_error()),
        Lack::NotInstalled => install::install(host, capable).await?,
        Lack::NotRunning => {}
    }
    install::ensure_client(host).await?;
    // Its installation may have started it.
    if let State::Ready(ready) = observe(host).await? {
        return Ok(ready);
    }
    own::start(host, capable).await
}

/// Whether Docker has a network of this name.
pub async fn has_network(docker: &Docker, name: &str) -> Result<bool> {
    let options = None::<bollard::query_parameters::InspectNetworkOptions>;
    match docker.inspect_network(name, options).await {
        Ok(_) => Ok(true),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => Err(error).doing(format!("looking at Docker's network {name}")),
    }
}

/// Removes a network; one that is not there, or that other containers still use, is left as it is.
pub async fn remove_network(docker: &Docker, name: &str) -> Result<()> {
    match docker.remove_network(name).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 403 | 404 | 409, .. }) => Ok(()),
        removed => removed.doing(format!("removing Docker's network {name}")),
    }
}
