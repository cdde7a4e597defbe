//! What helm remembers of a release.

use serde::Deserialize;

use super::InputsHash;

/// One revision of a release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Revision {
    pub revision: u32,
    pub status: Status,
    /// Chart name and version, as `ocr-app-0.1.0`.
    pub chart: String,
    #[serde(default)]
    pub description: String,
}

impl Revision {
    /// Whether the cluster took its objects; it says nothing of their pods.
    fn was_taken(&self) -> bool {
        matches!(self.status, Status::Deployed | Status::Superseded)
    }

    fn rolled_back_to(&self) -> Option<u32> {
        self.description.strip_prefix("Rollback to ")?.parse().ok()
    }

    /// What it is made of: revisions of one content are one. Of what others made nothing is known, so that each is its own.
    fn content(&self, history: &[Self]) -> String {
        match self.rolled_back_to() {
            // A rollback is the revision that it went back to, once more.
            Some(to) if to < self.revision => match history.iter().find(|it| it.revision == to) {
                Some(it) => it.content(history),
                None => format!("revision {to}"),
            },
            _ if InputsHash::is_told_by(&self.description) => self.description.clone(),
            _ => format!("revision {}", self.revision),
        }
    }
}

/// The newest revision of a history that the cluster took and that is not what the last one is, or was to be.
pub fn before(history: &[Revision]) -> Option<&Revision> {
    // A rollback that was cut off or failed is to be tried again, and not undone.
    let came_to_nothing = |it: &&Revision| !it.was_taken() && it.description.starts_with("Rollback");
    let now = history.iter().rev().find(|it| !came_to_nothing(it))?;
    let mut taken = history.iter().rev().filter(|it| it.was_taken() && it.revision < now.revision);
    let now = now.content(history);
    taken.find(|it| it.content(history) != now)
}

/// The states that helm gives a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Unknown,
    Deployed,
    Uninstalled,
    Superseded,
    Failed,
    Uninstalling,
    PendingInstall,
    PendingUpgrade,
    PendingRollback,
}

impl Status {
    /// Left by a helm that was killed while it made or removed the release.
    pub fn half_there(self) -> bool {
        matches!(self, Self::PendingInstall | Self::Uninstalling)
    }

    /// Left by a helm that was killed; it refuses every further change until this is mended.
    pub(super) fn interrupted(self) -> bool {
        self.half_there() || matches!(self, Self::PendingUpgrade | Self::PendingRollback)
    }
}
