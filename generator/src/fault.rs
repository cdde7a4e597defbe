//! What went wrong with one try of a request.

use std::fmt;

use http::StatusCode;

/// Its kind, by which faults are counted, and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No connection came about.
    NoConnection,
    /// The connection ended before the answer did.
    BrokenOff,
    TimedOut,
    /// What serves the door was found dead while it was waited for.
    DoorLost,
    Status(StatusCode),
}

impl Fault {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let kind = match error {
            error if error.is_connect() => Kind::NoConnection,
            error if error.is_timeout() => Kind::TimedOut,
            _ => Kind::BrokenOff,
        };
        Self { kind, detail: with_cause(error) }
    }

    pub(super) fn no_connection(error: &std::io::Error) -> Self {
        Self { kind: Kind::NoConnection, detail: with_cause(error) }
    }

    pub(super) fn broken_off(error: &std::io::Error) -> Self {
        Self { kind: Kind::BrokenOff, detail: with_cause(error) }
    }

    pub(super) fn refusal(status: StatusCode, body: &[u8]) -> Self {
        let said: String = String::from_utf8_lossy(body).chars().take(200).collect();
        Self { kind: Kind::Status(status), detail: format!("{status}: {said}") }
    }

    pub(super) fn door_lost() -> Self {
        Self { kind: Kind::DoorLost, detail: Kind::DoorLost.to_string() }
    }

    /// Whether another door may do better. Reading an image twice does no harm.
    pub(super) fn may_pass_elsewhere(&self) -> bool {
        match self.kind {
            Kind::NoConnection | Kind::BrokenOff | Kind::DoorLost => true,
            Kind::TimedOut => false,
            Kind::Status(status) => matches!(
                status,
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }
}

/// With the cause, which is what tells a refused connection from one that was reset.
fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection"),
            Self::BrokenOff => f.write_str("connection broken off"),
            Self::TimedOut => f.write_str("timed out"),
            Self::DoorLost => f.write_str("the door stopped answering"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}
