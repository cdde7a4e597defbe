//! The machine as the rest sees it: its programs, its folders, and whom to tell.

use std::path::{Path, PathBuf};

use crate::config::{Config, ProfileName};
use crate::error::{Doing, Error, Result};
use crate::event::Events;
use crate::process::Processes;
use crate::registry::Credentials;

/// Passed first to everything that acts.
#[derive(Clone)]
pub struct Host {
    pub processes: Processes,
    pub events: Events,
    /// The project's root: the folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// What can be made again and is shared by all checkouts: tools, builds, the registry's blobs.
    pub cache: PathBuf,
    pub config: Config,
    /// Whether packages and programs may be installed on this machine.
    pub may_install: bool,
    /// A registry's login that the command was given; it goes before all others.
    pub login: Option<Credentials>,
}

impl Host {
    /// The host of a run in `root`, with the cache folder of the environment.
    pub fn new(root: PathBuf, config: Config, events: Events) -> Result<Self> {
        let cache = cache_dir(|name| std::env::var_os(name).map(PathBuf::from))?;
        std::fs::create_dir_all(&cache).doing(format!("creating the cache folder {}", cache.display()))?;
        Ok(Self {
            processes: Processes::system(),
            events,
            root,
            cache,
            config,
            may_install: true,
            login: None,
        })
    }

    /// A machine on which nothing was done yet, for tests, which lay over it what they are about.
    #[cfg(test)]
    pub fn bare(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            processes: Processes::system(),
            events: Events::silent(),
            cache: root.join("cache"),
            root,
            config: Config::default(),
            may_install: false,
            login: None,
        }
    }

    /// What runs in this checkout made: records, reports, journals.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".platen")
    }

    /// This same program, as the supervisor of the embedded provider.
    pub fn supervisor(&self) -> crate::process::Cmd {
        self.internal("supervise")
    }

    /// This same program, as what keeps something of the profile running.
    pub fn internal(&self, what: &str) -> crate::process::Cmd {
        let program = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
        crate::process::Cmd::new(program)
            .args(["internal", what, "--profile", self.config.cluster.profile.as_str()])
            .cwd(&self.root)
    }

    /// The records of one profile.
    pub fn profile_dir(&self, profile: &ProfileName) -> PathBuf {
        self.state_dir().join(profile.as_str())
    }

    /// Whether this process may change the system: root, or sudo that asks for no password.
    pub async fn privilege(&self) -> Privilege {
        if rustix::process::geteuid().is_root() {
            return Privilege::Root;
        }
        let sudo = crate::process::Cmd::new("sudo").args(["-n", "true"]);
        match self.processes.run(&sudo).await {
            Ok(_) => Privilege::Sudo,
            Err(_) => Privilege::None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    Root,
    /// Commands are put behind `sudo -n`.
    Sudo,
    None,
}

impl Privilege {
    /// The command as it must be started with this privilege; `None` where it must not.
    pub fn wrap(self, program: &str) -> Option<crate::process::Cmd> {
        match self {
            Self::Root => Some(crate::process::Cmd::new(program)),
            Self::Sudo => Some(crate::process::Cmd::new("sudo").args(["-n", program])),
            Self::None => None,
        }
    }
}

/// `PLATEN_CACHE`, else the platform's place for caches.
fn cache_dir(var: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = var("PLATEN_CACHE") {
        return std::path::absolute(dir).doing("reading PLATEN_CACHE");
    }
    if let Some(dir) = var("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()) {
        return Ok(dir.join("platen"));
    }
    let home = var("HOME").filter(|home| home.is_absolute()).ok_or_else(|| {
        Error::machine("there is no home folder for the cache", "set PLATEN_CACHE to a folder")
    })?;
    let caches = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    Ok(home.join(caches).join("platen"))
}

/// Writes a file so that a reader, or a run after a crash, sees the old or the new one, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).doing(doing())?;
    let mut file = tempfile::NamedTempFile::new_in(dir).doing(doing())?;
    std::io::Write::write_all(&mut file, bytes).doing(doing())?;
    file.persist(path).map_err(|error| error.error).doing(doing())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_can_be_set() {
        let dir = cache_dir(|name| (name == "PLATEN_CACHE").then(|| "/elsewhere".into())).unwrap();
        assert_eq!(dir, Path::new("/elsewhere"));
    }

    #[test]
    fn without_a_home_the_cache_folder_is_asked_for() {
        let error = cache_dir(|_| None).unwrap_err();
        assert!(error.hint().unwrap().contains("PLATEN_CACHE"));
    }

    #[test]
    fn an_atomic_write_replaces_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/record.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"two");
    }
}
