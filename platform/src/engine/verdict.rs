//! What asking every endpoint amounts to: ready, stopped, absent, or there and out of reach.

use bollard::errors::Error as DockerError;
use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use super::endpoint::{Chosen, Endpoint};
use crate::cluster::HostTraits;
use crate::error::Error;

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub endpoint: Endpoint,
    pub version: String,
    /// In the words of Go: amd64, arm64.
    pub arch: String,
    pub cpus: u64,
    pub memory_bytes: u64,
}

/// Why no engine can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// Installed, and nobody answers.
    NotRunning,
    NotInstalled,
    /// There, and this user cannot use it.
    Unreachable {
        endpoint: Endpoint,
        why: String,
        hint: String,
    },
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRunning => f.write_str("Docker is installed and does not run"),
            Self::NotInstalled => f.write_str("Docker is not installed"),
            Self::Unreachable { endpoint, why, .. } => {
                write!(f, "Docker cannot be used at {endpoint}: {why}")
            }
        }
    }
}

impl Lack {
    pub fn into_error(self) -> Error {
        let what = self.to_string();
        let hint = match self {
            Self::NotRunning if cfg!(target_os = "macos") => "start Docker Desktop".into(),
            Self::NotRunning => "start it: sudo systemctl start docker".into(),
            Self::NotInstalled if cfg!(target_os = "macos") => "install Docker Desktop and start it".into(),
            Self::NotInstalled => {
                "run: sudo apt-get update && sudo apt-get install -y docker.io iptables".into()
            }
            Self::Unreachable { hint, .. } => hint,
        };
        Error::machine(what, hint)
    }
}

/// What all answers together amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Ready { facts: Facts, traits: HostTraits },
    NotThere(Lack),
}

/// What one endpoint answered.
#[derive(Debug)]
pub enum Answer {
    Info(Box<SystemInfo>),
    /// There is no socket.
    Missing,
    /// There is a socket that nobody serves.
    Refused,
    /// The user may not use the socket.
    Denied,
    /// Nothing came within the time given.
    Silent,
    /// Anything else.
    Failed(String),
}

impl Answer {
    pub fn of(error: &DockerError) -> Self {
        match error {
            DockerError::RequestTimeoutError => return Self::Silent,
            DockerError::SocketNotFoundError(_) => return Self::Missing,
            // Transparent errors hide the one they hold from the chain of causes.
            DockerError::IOError { err } => return Self::of_io(err).unwrap_or_else(|| Self::failed(error)),
            _ => {}
        }
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            if let Some(answer) = error.downcast_ref::<std::io::Error>().and_then(Self::of_io) {
                return answer;
            }
            cause = error.source();
        }
        Self::failed(error)
    }

    fn of_io(error: &std::io::Error) -> Option<Self> {
        match error.kind() {
            std::io::ErrorKind::NotFound => Some(Self::Missing),
            std::io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            std::io::ErrorKind::PermissionDenied => Some(Self::Denied),
            std::io::ErrorKind::TimedOut => Some(Self::Silent),
            _ => None,
        }
    }

    fn failed(error: &DockerError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Judges the answers; `installed` says whether the daemon's program is on this machine.
pub fn judge(answers: Vec<(Endpoint, Answer)>, installed: bool, cap_sys_resource: bool) -> Verdict {
    let mut out_of_reach = None;
    for (endpoint, answer) in answers {
        let reason = match answer {
            Answer::Info(info) => {
                return ready(endpoint, *info, cap_sys_resource);
            }
            Answer::Missing | Answer::Refused if endpoint.chosen == Chosen::Usual => continue,
            Answer::Missing => ("there is no such socket".into(), choice_hint(&endpoint)),
            Answer::Refused => ("nobody listens there".into(), choice_hint(&endpoint)),
            Answer::Denied => (
                "this user may not use it".into(),
                "add yourself to its group and log in again: sudo usermod -aG docker $USER".into(),
            ),
            Answer::Silent => ("it does not answer".into(), "restart Docker, or look at its log".to_owned()),
            Answer::Failed(why) => (why, choice_hint(&endpoint)),
        };
        out_of_reach.get_or_insert((endpoint, reason));
    }
    Verdict::NotThere(match out_of_reach {
        Some((endpoint, (why, hint))) => Lack::Unreachable { endpoint, why, hint },
        None if installed => Lack::NotRunning,
        None => Lack::NotInstalled,
    })
}

fn choice_hint(endpoint: &Endpoint) -> String {
    match &endpoint.chosen {
        Chosen::ByVariable => "start that engine, or unset DOCKER_HOST to use this machine's own".into(),
        Chosen::ByContext(_) => "start that engine, or run: docker context use default".into(),
        Chosen::Usual => "look whether Docker still answers: docker info".into(),
    }
}

fn ready(endpoint: Endpoint, info: SystemInfo, cap_sys_resource: bool) -> Verdict {
    let arch = match info.architecture.as_deref() {
        Some("x86_64") => "amd64".into(),
        Some("aarch64") => "arm64".into(),
        other => other.unwrap_or("unknown").to_owned(),
    };
    let traits = HostTraits {
        cgroup_v1: info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_1),
        cap_sys_resource: cap_sys_resource || !endpoint.is_local(),
    };
    let facts = Facts {
        endpoint,
        version: info.server_version.unwrap_or_default(),
        arch,
        cpus: info.ncpu.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        memory_bytes: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
    };
    Verdict::Ready { facts, traits }
}

/// Whether CAP_SYS_RESOURCE is in the bounding set (capabilities(7)) of a `/proc/PID/status`.
pub fn has_cap_sys_resource(status: &str) -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let bounding = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Where the kernel does not say, nothing is known to be missing.
    bounding.is_none_or(|mask| mask & (1 << CAP_SYS_RESOURCE) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(path: &str) -> Endpoint {
        Endpoint { host: format!("unix://{path}"), chosen: Chosen::Usual }
    }

    fn info() -> Answer {
        Answer::Info(Box::new(SystemInfo {
            server_version: Some("20.10.24".into()),
            architecture: Some("x86_64".into()),
            cgroup_version: Some(SystemInfoCgroupVersionEnum::_1),
            ..Default::default()
        }))
    }

    #[test]
    fn the_first_engine_that_answers_is_taken() {
        let answers = vec![(usual("/a"), Answer::Missing), (usual("/b"), info()), (usual("/c"), info())];
        let Verdict::Ready { facts, traits } = judge(answers, true, false) else { panic!("not ready") };
        assert_eq!((facts.endpoint, facts.arch.as_str()), (usual("/b"), "amd64"));
        assert!(traits.cgroup_v1);
    }

    #[test]
    fn a_stale_socket_means_that_docker_is_stopped() {
        let refused = vec![(usual("/a"), Answer::Refused)];
        assert_eq!(judge(refused, true, true), Verdict::NotThere(Lack::NotRunning));
        let missing = vec![(usual("/a"), Answer::Missing)];
        assert_eq!(judge(missing, false, true), Verdict::NotThere(Lack::NotInstalled));
    }

    #[test]
    fn a_forbidden_socket_is_not_taken_for_an_absent_docker() {
        let answers = vec![(usual("/a"), Answer::Denied), (usual("/b"), Answer::Missing)];
        let Verdict::NotThere(lack) = judge(answers, true, true) else { panic!("ready") };
        let error = lack.into_error();
        assert_eq!(error.exit(), crate::Exit::Machine);
        assert_eq!(error.to_string(), "Docker cannot be used at unix:///a: this user may not use it");
        assert!(error.hint().unwrap().contains("usermod"));
    }

    #[test]
    fn an_engine_that_the_user_chose_and_that_is_away_is_named() {
        let chosen = Endpoint { host: "tcp://127.0.0.1:1".into(), chosen: Chosen::ByVariable };
        let Verdict::NotThere(lack) = judge(vec![(chosen, Answer::Refused)], true, true) else {
            panic!("ready")
        };
        assert!(lack.to_string().contains("tcp://127.0.0.1:1"), "{lack}");
        assert!(lack.into_error().hint().unwrap().contains("DOCKER_HOST"));
    }

    #[test]
    fn a_refused_connection_is_recognised_below_other_errors() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(Answer::of(&DockerError::IOError { err: io }), Answer::Refused));
    }

    #[test]
    fn the_bounding_set_tells_whether_limits_can_be_raised() {
        assert!(!has_cap_sys_resource("Name:\tx\nCapBnd:\t000001fffeffffff\n"));
        assert!(has_cap_sys_resource("CapBnd:\t000001ffffffffff\n"));
        assert!(has_cap_sys_resource("nothing is said"));
    }
}
