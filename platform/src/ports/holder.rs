//! Who listens on a port, as Linux shows it, and whose that is.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cluster::embedded::supervisor::{Layout, Record};
use crate::cluster::minikube::Doors;
use crate::host::Host;
use crate::process::Started;
use crate::redact::Redactor;

/// Longer command lines are cut.
const LONGEST: usize = 100;

/// The program that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// The program's name.
    pub command: String,
    /// How it was started, without what looks like a secret.
    pub command_line: String,
    /// The program's file, where it may be known.
    pub file: Option<PathBuf>,
}

impl Holder {
    /// Docker's own program for a port that a container publishes.
    pub fn is_for_a_container(&self) -> bool {
        matches!(self.command.as_str(), "docker-proxy" | "rootlesskit")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, command, command_line, .. } = self;
        write!(f, "{command} (pid {pid}")?;
        if !command_line.is_empty() {
            write!(f, ": {command_line}")?;
        }
        f.write_str(")")
    }
}

/// Whose a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Recorded in the profile at hand.
    ThisProfile,
    /// Recorded in another profile of this checkout.
    Profile(String),
    /// The service of this checkout, in no record: `serve` in a terminal, or one whose record was removed.
    Loose,
    /// Docker, for a container that publishes the port.
    Container,
    Other,
}

/// Whose a holder is, by this checkout's records and the file that it runs.
pub fn owner(host: &Host, holder: &Holder) -> Owner {
    if let Some(profile) = profile_of(host, holder.pid) {
        return if profile == host.config.cluster.profile.as_str() {
            Owner::ThisProfile
        } else {
            Owner::Profile(profile)
        };
    }
    if holder.is_for_a_container() {
        return Owner::Container;
    }
    match &holder.file {
        Some(file) if file.starts_with(host.state_dir().join("bin")) => Owner::Loose,
        _ => Owner::Other,
    }
}

/// The profile with a live process of this id in its records.
fn profile_of(host: &Host, pid: u32) -> Option<String> {
    let profiles = std::fs::read_dir(host.state_dir()).ok()?.flatten();
    let is_it = |process: &Started| process.pid == pid && process.is_alive();
    let dir = profiles.map(|entry| entry.path()).find(|dir| recorded(dir).iter().any(is_it))?;
    Some(dir.file_name()?.to_str()?.to_owned())
}

/// The processes in the records of a profile's folder: embedded ones, and the doors to minikube's nodes.
fn recorded(dir: &Path) -> Vec<Started> {
    let run = std::fs::read_dir(Layout::new(dir).dir().join("run")).into_iter().flatten().flatten();
    let embedded = run.filter_map(|entry| Record::read(&entry.path())).map(|record| record.process);
    embedded.chain(Doors::new(dir).process()).collect()
}

/// Who listens on the port, where the system lets it be seen (Linux, own processes or root).
pub fn holder(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let found = processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .filter(|(_, dir)| holds_one_of(dir, &inodes));
    // A child inherits its parent's sockets: the parent is who opened it, and mostly the older id.
    found.min_by_key(|(pid, _)| *pid).map(|(pid, dir)| Holder {
        pid,
        command: command_of(&dir),
        command_line: command_line_of(&dir),
        file: std::fs::read_link(dir.join("exe")).ok(),
    })
}

/// The inodes of sockets that listen on `port`, in the kernel's table of TCP sockets (proc_pid_net(5)).
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&suffix) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

fn holds_one_of(process: &Path, inodes: &[String]) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|link| {
        let link = link.to_string_lossy();
        link.strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|inode| inodes.iter().any(|known| known == inode))
    })
}

fn command_of(process: &Path) -> String {
    std::fs::read_to_string(process.join("comm")).map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// On one line, without what looks like a secret: others may read it over somebody's shoulder.
fn command_line_of(process: &Path) -> String {
    let bytes = std::fs::read(process.join("cmdline")).unwrap_or_default();
    let words: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let line = words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    let line = Redactor::default().text(&line);
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "header\n\
            0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n\
            1: 0100007F:1F41 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n";
        assert_eq!(listening_inodes(table, 8001), ["4242"]);
    }

    #[test]
    fn a_command_line_is_shown_without_its_secrets() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cmdline"), b"server\0--token\0abc123\0--port\08001\0").unwrap();
        assert_eq!(command_line_of(dir.path()), "server --token *** --port 8001");
    }
}
