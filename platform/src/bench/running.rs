//! A peer while it runs: started, awaited, asked, ended. Whatever happens, its processes do not outlive it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

use super::peers::SCRIPTS;
use super::peers::{Peer, Programs, Server};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::{Group, spawn_child};

/// For Python's imports on a machine that is busy.
const START_WITHIN: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(2);
/// What a server may take for its end before it is killed.
pub const END_WITHIN: Duration = Duration::from_secs(5);

/// The servers of one peer, all ready.
pub struct Running {
    servers: Vec<Started>,
}

/// One server, ready.
pub struct Started {
    name: &'static str,
    port: u16,
    child: Child,
    pid: u32,
    /// From its start to its first word of readiness.
    ready_after: Duration,
}

impl Running {
    pub async fn start(
        host: &Host,
        peer: Peer,
        programs: &Programs,
        client: &Client,
        folder: &Path,
    ) -> Result<Self> {
        let servers = peer.servers(programs, &host.root.join(SCRIPTS), free_ports()?)?;
        let folder = folder.join(peer.name());
        std::fs::create_dir_all(&folder).doing(format!("creating {}", folder.display()))?;
        Self::of(servers, client, &folder).await
    }

    /// These servers, in the order in which they start, with their logs in `folder`.
    pub async fn of(
        servers: impl IntoIterator<Item = Server>,
        client: &Client,
        folder: &Path,
    ) -> Result<Self> {
        let mut running = Self { servers: Vec::new() };
        for server in servers {
            let log = folder.join(format!("{}.log", server.name));
            running.servers.push(Started::start(server, client, &log).await?);
        }
        Ok(running)
    }

    /// The address of the server that is asked; none for a peer without servers.
    pub fn entry(&self, path: &str) -> Option<String> {
        self.servers.last().map(|server| server.url(path))
    }

    /// The address of the one behind it.
    pub fn model(&self, path: &str) -> Option<String> {
        self.servers.iter().find(|server| server.name == "model").map(|server| server.url(path))
    }

    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(|server| server.pid).collect()
    }

    pub fn model_pid(&self) -> Option<u32> {
        self.servers.iter().find(|server| server.name == "model").map(|server| server.pid)
    }

    /// How long the slowest of its servers took to be ready.
    pub fn ready_after(&self) -> Option<Duration> {
        self.servers.iter().map(|server| server.ready_after).max()
    }

    pub fn model_ready_after(&self) -> Option<Duration> {
        self.servers.iter().find(|server| server.name == "model").map(|server| server.ready_after)
    }

    /// Ends the servers, the one that is asked first, and waits until they are gone.
    pub async fn end(mut self) {
        while let Some(server) = self.servers.pop() {
            server.end(END_WITHIN).await;
        }
    }
}

impl Started {
    pub async fn start(server: Server, client: &Client, log: &Path) -> Result<Self> {
        let begun = Instant::now();
        let folder = log.parent().unwrap_or(Path::new("."));
        // There is no .env here that a server could find.
        let cmd = server.cmd.clone().cwd(folder);
        let child = spawn_child(&cmd, log, Group::Own)?;
        let pid = child.id().unwrap_or_default();
        let mut started =
            Self { name: server.name, port: server.port, child, pid, ready_after: Duration::ZERO };
        let url = started.url(server.ready);
        while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            if let Some(status) = started.child.try_wait().doing("looking after a peer")? {
                return Err(Error::machine(
                    format!("{} ended before it was ready ({status}){}", server.name, told_by(log)),
                    format!("run it by hand to see more: {}", server.cmd),
                ));
            }
            if begun.elapsed() > START_WITHIN {
                let awaited = format!("{} to be ready{}", server.name, told_by(log));
                let hint = format!("run it by hand to see more: {}", server.cmd);
                return Err(Error::timed_out(awaited, begun.elapsed(), hint));
            }
            tokio::time::sleep(LOOK).await;
        }
        started.ready_after = begun.elapsed();
        Ok(started)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Ends it: after `within`, whatever it still does.
    pub async fn end(mut self, within: Duration) {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout(within, self.child.wait()).await;
        // What is left of its group goes with its value.
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // Fails only when nobody is left in the group, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Two that nobody listens on now. Both are held while they are chosen, so that they differ.
pub fn free_ports() -> Result<[u16; 2]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("looking for a free port");
    let (one, two) = (bind()?, bind()?);
    let address = |listener: &TcpListener| listener.local_addr().doing("looking for a free port");
    Ok([address(&one)?.port(), address(&two)?.port()])
}

/// The end of a log, for an error.
fn told_by(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(8)..].iter().flat_map(|line| ["\n    ", line]).collect()
}

/// Where an image lies for programs that read a file.
pub fn image_file(folder: &Path, picture: super::Picture) -> Result<PathBuf> {
    let path = folder.join(picture.file_name());
    if !path.is_file() {
        std::fs::write(&path, picture.bytes()).doing(format!("writing {}", path.display()))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::client;
    use crate::process::Cmd;

    /// Says that all is ready, whoever asks.
    async fn readiness() -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // What is closed with bytes unread is reset, and its answer lost.
                let _ = stream.read(&mut [0; 1024]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        port
    }

    async fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < give_up, "{what} did not come about");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn is_alive(pid: &str) -> bool {
        // A child that ended and was not waited for is no process that runs.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_server_that_was_ended_leaves_no_process() {
        crate::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join("child");
        let read = || std::fs::read_to_string(&noted).unwrap_or_default();
        // It does not care about SIGTERM, and its child does not either.
        let script = "trap '' TERM; sleep 600 & echo $! > \"$0\"; wait";
        let cmd = Cmd::new("sh").args(["-c", script]).arg(&noted);
        let server = Server { name: "model", cmd, port: readiness().await, ready: "/" };
        let client = client(Duration::from_secs(5)).unwrap();
        let started = Started::start(server, &client, &folder.path().join("log")).await.unwrap();
        until("the child", || read().ends_with('\n')).await;
        let child = read().trim().to_owned();
        assert!(is_alive(&child) && started.ready_after > Duration::ZERO);
        started.end(Duration::from_millis(100)).await;
        until("the child's end", || !is_alive(&child)).await;
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_told_with_its_last_words() {
        crate::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let cmd = Cmd::new("sh").args(["-c", "echo no such module >&2; exit 3"]);
        let server = Server { name: "gateway", cmd, port: 9, ready: "/" };
        let client = client(Duration::from_secs(5)).unwrap();
        let error = Started::start(server, &client, &folder.path().join("log")).await.err().unwrap();
        assert!(
            error.to_string().contains("gateway ended before")
                && error.to_string().contains("no such module")
        );
    }
}
