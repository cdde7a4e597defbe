//! Ports of this machine: which are taken, and by whom.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use crate::error::{Error, Result};

/// The program that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub command: String,
}

/// Whether nobody listens on the port of 127.0.0.1.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// An error that names the holder of the first of `wanted` that is taken.
pub fn ensure_free(wanted: impl IntoIterator<Item = (u16, String)>) -> Result<()> {
    for (port, purpose) in wanted {
        if !is_free(port) {
            return Err(taken(port, &purpose));
        }
    }
    Ok(())
}

pub fn taken(port: u16, purpose: &str) -> Error {
    let by = match holder(port) {
        Some(holder) => format!("by {} (pid {})", holder.command, holder.pid),
        None => "by a program of another user".into(),
    };
    Error::machine(
        format!("port {port}, wanted for {purpose}, is in use {by}"),
        "stop that program, or set other ports under [ports] in platen.toml",
    )
}

/// Who listens on the port, where the system lets it be seen (Linux, own processes or root).
pub fn holder(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .find(|(_, dir)| holds_one_of(dir, &inodes))
        .map(|(pid, dir)| Holder { pid, command: command_of(&dir) })
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

/// The program's name and not its arguments: those may carry secrets.
fn command_of(process: &Path) -> String {
    std::fs::read_to_string(process.join("comm")).map(|name| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_reported_with_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = ensure_free([(port, "the gateway".into())]).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port}")), "{error}");
        if cfg!(target_os = "linux") {
            assert_eq!(holder(port).unwrap().pid, std::process::id());
        }
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "header\n\
            0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1\n\
            1: 0100007F:1F41 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 4243 1\n";
        assert_eq!(listening_inodes(table, 8001), ["4242"]);
    }
}
