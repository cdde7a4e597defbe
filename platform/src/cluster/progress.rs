//! How far this checkout came with a cluster: a cluster without such a word was made by somebody else.

use std::path::PathBuf;

use crate::error::{Doing, Result};
use crate::host::{Host, write_atomically};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Written before anything is made: what there is may be the rest of a creation that was cut off.
    Creating,
    Created,
}

impl Progress {
    fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
        }
    }
}

/// The record of one maker of clusters (kind, minikube) in the profile of `host`.
#[derive(Debug, Clone)]
pub struct ProgressFile(PathBuf);

impl ProgressFile {
    pub fn of(host: &Host, maker: &str) -> Self {
        Self(host.profile_dir(&host.config.cluster.profile).join(maker))
    }

    /// `None` where this checkout never began to make a cluster in the profile, or removed it since.
    pub fn read(&self) -> Option<Progress> {
        let text = std::fs::read_to_string(&self.0).ok()?;
        [Progress::Creating, Progress::Created].into_iter().find(|progress| progress.as_str() == text)
    }

    /// Whether anything was begun, however far it came.
    pub fn exists(&self) -> bool {
        self.0.is_file()
    }

    pub fn tell(&self, progress: Progress) -> Result<()> {
        write_atomically(&self.0, progress.as_str().as_bytes())
    }

    pub fn forget(&self) -> Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(format!("removing {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}
