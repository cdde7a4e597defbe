//! Who listens on a port, from Linux's /proc; elsewhere nobody is found.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that holds a port.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder {
    pid: u32,
    command: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// The first process found that listens on `port`; none when it is another user's and this one may not look.
pub fn of_port(port: u16) -> Option<Holder> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes: Vec<_> = tables.iter().flat_map(|table| listeners(table, port)).collect();
    let sockets: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        holds(&entry.path(), &sockets).then(|| Holder { pid, command: command(&entry.path()) })
    })
}

/// Inodes of the sockets that listen on `port`, from a table of the kernel (proc_net_tcp(5): local address in the
/// second column, state in the fourth, 0A for LISTEN, inode in the tenth).
fn listeners(table: &str, port: u16) -> Vec<&str> {
    let ending = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|columns| columns.len() > 9 && columns[1].ends_with(&ending) && columns[3] == "0A")
        .map(|columns| columns[9])
        .collect()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let mut targets = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

/// The name only: arguments may carry secrets.
fn command(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    if name.trim().is_empty() { "a process".into() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_listen_on_the_very_port_are_found() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:1F41 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 0100007F:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1
";
        assert_eq!(listeners(table, 8001), ["111"]);
        assert!(listeners(table, 1).is_empty());
    }

    #[test]
    fn this_process_is_named_as_the_holder_of_its_own_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of_port(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }
}
