//! The one error of this crate: what failed, with what, what to do next, and the exit code it stands for.

use std::time::Duration;

use crate::process::ProcessError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit codes of the command, part of its contract (README: "Exit codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The thing checked failed: a threshold, a verdict, an unhealthy object.
    Failed = 1,
    Usage = 2,
    /// The machine lacks something.
    Machine = 3,
    /// An external program failed.
    Program = 4,
    TimedOut = 5,
    /// The fault that was to be measured did not happen.
    Inconclusive = 6,
    Interrupted = 130,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Process(#[from] ProcessError),

    #[error("{message}")]
    Usage { message: String, hint: String },

    /// Something that the machine lacks, or that is in the way on it.
    #[error("{what}")]
    Machine { what: String, hint: String },

    /// What was looked at is there, and not as it must be.
    #[error("{what}")]
    Unhealthy { what: String, hint: String },

    #[error("timed out after {} s waiting for {awaited}", waited.as_secs())]
    TimedOut { awaited: String, waited: Duration, hint: String },

    /// An external program failed, and what it said is understood.
    #[error("{what}")]
    Program { what: String, hint: String },

    #[error("{doing}: {}", chain(source))]
    Docker { doing: String, source: bollard::errors::Error },

    /// An image could not be built or pushed; BuildKit's own lines are in it.
    #[error("{why}")]
    Build { why: String },

    #[error("{doing}: {}", chain(source))]
    Kube { doing: String, source: Box<kube::Error> },

    #[error("{doing}: {}", chain(source))]
    Http { doing: String, source: reqwest::Error },

    #[error("{doing}: {source}")]
    Io { doing: String, source: std::io::Error },

    /// A document that ought to be well-formed is not: a record, a program's JSON, a template.
    #[error("{what} cannot be read: {why}")]
    Malformed { what: String, why: String, hint: String },

    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    pub fn machine(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Machine { what: what.into(), hint: hint.into() }
    }

    pub fn unhealthy(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unhealthy { what: what.into(), hint: hint.into() }
    }

    pub fn timed_out(awaited: impl Into<String>, waited: Duration, hint: impl Into<String>) -> Self {
        Self::TimedOut { awaited: awaited.into(), waited, hint: hint.into() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "an error moved in and told as text")]
    pub fn malformed(what: impl Into<String>, why: impl ToString, hint: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), why: why.to_string(), hint: hint.into() }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Machine { .. } | Self::Process(ProcessError::NotFound { .. }) => Exit::Machine,
            Self::Unhealthy { .. } => Exit::Failed,
            Self::TimedOut { .. } | Self::Process(ProcessError::TimedOut { .. }) => Exit::TimedOut,
            Self::Interrupted => Exit::Interrupted,
            // A full disk is the machine's lack; any other failed read or write is told as a failed program.
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Exit::Machine,
            Self::Process(_)
            | Self::Program { .. }
            | Self::Docker { .. }
            | Self::Build { .. }
            | Self::Kube { .. }
            | Self::Http { .. }
            | Self::Io { .. }
            | Self::Malformed { .. } => Exit::Program,
        }
    }

    /// Whether the API server refused it to this account.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Kube { source, .. } if matches!(&**source, kube::Error::Api(refused) if refused.code == 403))
    }

    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. }
            | Self::Machine { hint, .. }
            | Self::Unhealthy { hint, .. }
            | Self::Program { hint, .. }
            | Self::TimedOut { hint, .. }
            | Self::Malformed { hint, .. } => Some(hint.clone()).filter(|h| !h.is_empty()),
            Self::Process(error) => error.hint(),
            Self::Docker { .. } => Some("look whether Docker still answers: docker info".into()),
            Self::Kube { .. } => Some("look whether the cluster still answers: cargo xtask status".into()),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free disk space, then run the same command again".into())
            }
            Self::Build { .. } => Some("mend what it names, then run the same command again".into()),
            Self::Interrupted => Some(
                "what was started goes on; run the same command again, or remove it: cargo xtask down".into(),
            ),
            Self::Http { .. } | Self::Io { .. } => None,
        }
    }
}

/// Adds what was being done to the errors of other libraries.
pub trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for Result<T, std::io::Error> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Io { doing: what.into(), source })
    }
}

impl<T> Doing<T> for Result<T, bollard::errors::Error> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Docker { doing: what.into(), source })
    }
}

/// What was answered; `None` where the API server refused it to this account.
pub fn if_allowed<T>(answered: Result<T>) -> Result<Option<T>> {
    match answered {
        Err(error) if error.is_forbidden() => Ok(None),
        answered => answered.map(Some),
    }
}

impl<T> Doing<T> for Result<T, kube::Error> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Kube { doing: what.into(), source: Box::new(source) })
    }
}

impl<T> Doing<T> for Result<T, reqwest::Error> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Http { doing: what.into(), source: source.without_url() })
    }
}

/// An error with its causes on one line: libraries tend to say only "error sending request" at the top.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
