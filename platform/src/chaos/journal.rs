//! What has to be undone, written to the disk before anything is done: whoever is killed in the middle leaves enough to
//! mend it (`cargo xtask chaos --recover`).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::strike::ENDS_WITHIN;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::lock;
use crate::process::Started;
use crate::up::lock_profile;

const VERSION: u32 = 1;

/// One run's undoing, in the order in which it is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub version: u32,
    /// RFC 3339.
    pub begun: String,
    /// What was about to be done, in words.
    pub title: String,
    pub steps: Vec<UndoStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum UndoStep {
    /// A node's container that was stopped or killed.
    StartContainer {
        container: String,
    },
    UnpauseContainer {
        container: String,
    },
    /// Processes of a pod that were stopped where they were; found by the pod's uid.
    ContinuePod {
        container: String,
        pod: String,
        uid: String,
    },
    /// Processes of this machine that were stopped where they were.
    ContinueProcesses {
        name: String,
        processes: Vec<Started>,
        group: bool,
    },
    /// A process that somebody else starts again: nothing is to be done but to see it back.
    AwaitRestart {
        name: String,
        process: Started,
    },
    /// The arguments of a Deployment's container, without what a control run added to them.
    RestoreArguments {
        namespace: String,
        deployment: String,
        container: String,
    },
    /// Argo CD was told to leave its Application alone.
    Reconcile {
        application: String,
    },
}

impl UndoStep {
    pub fn title(&self) -> String {
        match self {
            Self::StartContainer { container } => format!("start {container}"),
            Self::UnpauseContainer { container } => format!("unpause {container}"),
            Self::ContinuePod { pod, .. } => format!("let the processes of {pod} go on"),
            Self::ContinueProcesses { name, .. } => format!("let {name} go on"),
            Self::AwaitRestart { name, .. } => format!("see that {name} runs"),
            Self::RestoreArguments { namespace, deployment, .. } => {
                format!("give {deployment} in {namespace} its own arguments back")
            }
            Self::Reconcile { application } => format!("let Argo CD look after {application} again"),
        }
    }

    /// How long what it undoes may come to be after the journal was written, by nobody's doing any more.
    pub fn due_within(&self) -> Duration {
        match self {
            Self::StartContainer { .. } => ENDS_WITHIN,
            _ => Duration::ZERO,
        }
    }
}

/// Where a profile's journal lies; the lock is held by the run that it belongs to, and so is the profile's: nothing is
/// changed while it is broken, and nothing broken while it is changed.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    _locks: [File; 2],
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().join("chaos")
}

fn path(host: &Host) -> PathBuf {
    folder(host).join(format!("{}.json", host.config.cluster.profile))
}

/// Whether an earlier run left something to be undone.
pub fn is_left(host: &Host) -> bool {
    path(host).is_file()
}

/// Says so where an interrupted run of chaos left something.
pub fn warn_of_left(host: &Host) {
    if is_left(host) {
        host.events.warn(
            "a run of chaos was killed before it had undone its fault; undo it: cargo xtask chaos --recover",
        );
    }
}

/// Forgets the journal of a platform that is gone: there is nothing left to undo it on.
pub fn forget(host: &Host) -> Result<()> {
    remove(&path(host))
}

impl Place {
    /// An error while another run is at it, or `up`, `down` or `deploy` at its profile.
    pub fn take(host: &Host) -> Result<Self> {
        let lock = folder(host).join(format!("{}.lock", host.config.cluster.profile));
        let held = lock::attempt(&lock)?.ok_or_else(|| {
            Error::machine(
                format!("another run of chaos is at the profile {}", host.config.cluster.profile),
                "wait for its end, or interrupt it there: it undoes its fault at Ctrl-C",
            )
        })?;
        Ok(Self { path: path(host), _locks: [held, lock_profile(host)?] })
    }

    /// What an earlier run left; a journal that cannot be read is an error, not an empty one.
    pub fn read(&self) -> Result<Option<Journal>> {
        let name = self.path.display().to_string();
        let hint = format!(
            "see that every node runs (cargo xtask up starts what is stopped), then remove it: rm {name}"
        );
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                let journal: Journal = serde_json::from_slice(&bytes)
                    .map_err(|error| Error::malformed(&*name, error, &*hint))?;
                if journal.version != VERSION {
                    let why = format!("its form is {}, and this is for {VERSION}", journal.version);
                    return Err(Error::malformed(name, why, hint));
                }
                Ok(Some(journal))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(format!("reading {name}")),
        }
    }

    /// On the disk when this returns, and complete or not there at all after a crash.
    pub fn write(&self, journal: &Journal) -> Result<()> {
        let doing = || format!("writing {}", self.path.display());
        let bytes =
            serde_json::to_vec_pretty(journal).unwrap_or_else(|error| unreachable!("plain values: {error}"));
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir).doing(doing())?;
        let mut file = tempfile::NamedTempFile::new_in(dir).doing(doing())?;
        file.write_all(&bytes).doing(doing())?;
        file.as_file().sync_all().doing(doing())?;
        file.persist(&self.path).map_err(|error| error.error).doing(doing())?;
        File::open(dir).and_then(|dir| dir.sync_all()).doing(doing())
    }

    /// Since it was last written; none where that is not known.
    pub fn age(&self) -> Duration {
        let written = std::fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        written.and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }

    /// Everything is undone.
    pub fn clear(&self) -> Result<()> {
        remove(&self.path)
    }
}

impl Journal {
    pub fn new(begun: String, title: String, steps: Vec<UndoStep>) -> Self {
        Self { version: VERSION, begun, title, steps }
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::event::{Event, Events, Recorded};

    fn host(root: &Path, events: Events) -> Host {
        Host { events, ..Host::bare(root) }
    }

    fn journal() -> Journal {
        let processes = vec![Started { pid: 7, started: 9 }];
        let steps = vec![
            UndoStep::StartContainer { container: "c-worker".into() },
            UndoStep::ContinuePod { container: "c".into(), pod: "ocr/m".into(), uid: "u".into() },
            UndoStep::ContinueProcesses { name: "p-1".into(), processes, group: true },
            UndoStep::RestoreArguments {
                namespace: "ocr".into(),
                deployment: "ocr-gateway".into(),
                container: "gateway".into(),
            },
        ];
        Journal::new("2026-01-01T00:00:00Z".into(), "node c-worker killed".into(), steps)
    }

    #[test]
    fn what_is_written_reads_back_the_same_until_it_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        let recorded = Recorded::default();
        let host = host(root.path(), Events::new(recorded.clone()));
        let place = Place::take(&host).unwrap();
        assert_eq!(place.read().unwrap(), None);
        warn_of_left(&host);
        assert!(recorded.events().is_empty());
        place.write(&journal()).unwrap();
        assert_eq!(place.read().unwrap(), Some(journal()));
        warn_of_left(&host);
        assert!(
            matches!(&recorded.events()[..], [Event::Warning { message }] if message.contains("chaos --recover"))
        );
        place.clear().unwrap();
        place.clear().unwrap();
        assert_eq!(place.read().unwrap(), None);
    }

    #[test]
    fn a_damaged_journal_is_told_and_never_taken_for_none() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path(), Events::silent());
        let place = Place::take(&host).unwrap();
        for damaged in ["", "{\"version\": 1, \"begun\"", "[]"] {
            std::fs::write(&place.path, damaged).unwrap();
            let error = place.read().unwrap_err();
            assert!(error.to_string().contains("cannot be read"), "{error}");
            assert!(error.hint().unwrap().contains("rm "), "{error:?}");
        }
        place.write(&Journal { version: VERSION + 1, ..journal() }).unwrap();
        assert!(place.read().unwrap_err().to_string().contains("its form is 2"));
    }

    #[test]
    fn only_one_run_at_a_time_has_a_profile() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path(), Events::silent());
        let held = Place::take(&host).unwrap();
        assert!(Place::take(&host).unwrap_err().to_string().contains("another run of chaos"));
        drop(held);
        Place::take(&host).unwrap();
    }

    #[test]
    fn a_profile_is_not_broken_while_it_is_changed_nor_changed_while_it_is_broken() {
        let root = tempfile::tempdir().unwrap();
        let host = host(root.path(), Events::silent());
        let changed = lock_profile(&host).unwrap();
        let error = Place::take(&host).unwrap_err();
        assert!(error.to_string().contains("(up, down, deploy or chaos)"), "{error}");
        drop(changed);
        let broken = Place::take(&host).unwrap();
        assert!(lock_profile(&host).unwrap_err().hint().unwrap().contains("chaos undoes its fault"));
        drop(broken);
        lock_profile(&host).unwrap();
    }
}
