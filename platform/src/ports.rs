//! Ports of this machine: which are taken, by whom, and how they become free.

mod holder;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::Started;
use crate::wait::{self, Seen};

pub use holder::{Holder, Owner, holder, owner};

/// What is told to end has this long for it, as the service has to drain.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
const KILLED_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

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
    let holder = holder(port);
    let stop = match &holder {
        Some(holder) if holder.is_for_a_container() => {
            format!("stop the container that publishes it (docker ps --filter publish={port})")
        }
        _ => "stop that program (up --free-ports does)".to_owned(),
    };
    let by = holder.map_or_else(|| "a program of another user".to_owned(), |holder| holder.to_string());
    Error::machine(
        format!("port {port}, wanted for {purpose}, is in use by {by}"),
        format!("{stop}, or set other ports under [ports] in platen.toml"),
    )
}

/// Frees what of `wanted` a program holds that is in the way: this checkout's own service is stopped, a program of
/// somebody else only with `by_force`. What the profile itself runs is left to whoever starts it anew.
pub async fn release(host: &Host, wanted: &[(u16, String)], by_force: bool) -> Result<()> {
    for (port, purpose) in wanted.iter().filter(|(port, _)| !is_free(*port)) {
        let Some(holder) = holder(*port) else { return Err(taken(*port, purpose)) };
        match owner(host, &holder) {
            // Its own containers may be among them, which the cluster's own steps know.
            Owner::ThisProfile | Owner::Container => {}
            Owner::Profile(profile) => return Err(of_another_profile(*port, purpose, &profile)),
            Owner::Loose => {
                host.events
                    .note(format!("stopping {holder}, which has port {port}: it is this checkout's own"));
                end(&holder, *port).await?;
            }
            Owner::Other if by_force => {
                host.events
                    .note(format!("stopping {holder}, which has port {port}, as asked for by --free-ports"));
                end(&holder, *port).await?;
            }
            Owner::Other => return Err(taken(*port, purpose)),
        }
    }
    Ok(())
}

fn of_another_profile(port: u16, purpose: &str, profile: &str) -> Error {
    Error::machine(
        format!("port {port}, wanted for {purpose}, is in use by the profile {profile}"),
        format!(
            "take that down (cargo xtask --profile {profile} down), or set other ports under [ports] in platen.toml"
        ),
    )
}

/// Ends the program in order, after a while by force, and waits until it has left the port.
async fn end(holder: &Holder, port: u16) -> Result<()> {
    let stays = || {
        Error::unhealthy(
            format!("{holder} does not end and keeps port {port}"),
            format!("end it by hand: kill -9 {}", holder.pid),
        )
    };
    // The first process of the machine, and this one, are nobody to end.
    let pid =
        i32::try_from(holder.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw).ok_or_else(stays)?;
    if holder.pid == std::process::id() {
        return Err(stays());
    }
    // Since it was found it may have ended, and its id may be another's: who has the port is asked once more, and a
    // signal goes only to whom that was.
    let process = Started::of(holder.pid);
    if self::holder(port).is_some_and(|now| now.pid != holder.pid) {
        return Err(stays());
    }
    for (signal, within) in [(Signal::TERM, ENDS_WITHIN), (Signal::KILL, KILLED_WITHIN)] {
        if process.is_alive() && kill_process(pid, signal) == Err(rustix::io::Errno::PERM) {
            return Err(Error::machine(
                format!("{holder} has port {port}, and this user may not end it"),
                format!("end it as its user or as root: sudo kill {}", holder.pid),
            ));
        }
        let left = wait::until_every(POLL, within, "", || async move {
            let awaited = || Seen::Awaiting(format!("port {port} to be free"));
            Ok(if is_free(port) { Seen::Ready(()) } else { awaited() })
        });
        if left.await.is_ok() {
            return Ok(());
        }
    }
    Err(stays())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    use crate::event::{Event, Events, Recorded};

    fn host(root: &std::path::Path) -> (Host, Recorded) {
        let recorded = Recorded::default();
        let host = Host { events: Events::new(recorded.clone()), ..Host::bare(root) };
        (host, recorded)
    }

    /// Starts it. Where another test starts a program while a copy of this one is written, that program holds the file open for
    /// a moment, and what is open for writing cannot be run (ETXTBSY): then once more.
    fn started(command: &mut Command) -> Child {
        let until = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            match command.spawn() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    assert!(std::time::Instant::now() < until, "{error}");
                    std::thread::yield_now();
                }
                child => return child.unwrap(),
            }
        }
    }

    /// A program of its own that listens; Perl is a part of every Debian and of macOS.
    fn listening(program: &std::path::Path) -> (Child, u16) {
        let script = "$s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die; $| = 1; \
                      print $s->sockport, \"\\n\"; sleep 60";
        let mut command = Command::new(program);
        let mut child = started(command.args(["-MIO::Socket::INET", "-e", script]).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, line.trim().parse().unwrap())
    }

    fn wanted(port: u16) -> Vec<(u16, String)> {
        vec![(port, "the gateway".into())]
    }

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

    #[tokio::test]
    async fn the_program_of_somebody_else_is_ended_only_when_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (host, recorded) = host(dir.path());
        let (mut child, port) = listening("perl".as_ref());
        let refused = release(&host, &wanted(port), false).await.unwrap_err();
        assert!(refused.to_string().contains(&format!("pid {}", child.id())), "{refused}");
        assert!(refused.hint().unwrap().contains("--free-ports"));
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        release(&host, &wanted(port), true).await.unwrap();
        assert!(is_free(port) && !child.wait().unwrap().success());
        let told = |event: &Event| matches!(event, Event::Note { message } if message.contains("perl"));
        assert!(recorded.events().iter().any(told), "what is ended is named");
    }

    #[tokio::test]
    async fn a_service_of_this_checkout_that_nobody_supervises_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (host, _) = host(&dir.path().canonicalize().unwrap());
        let bin = host.state_dir().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        // The real interpreter under the service's name: what counts is the file that runs.
        let program = bin.join("ocr-service-0123456789ab");
        std::fs::copy("/usr/bin/perl", &program).unwrap();
        let (mut child, port) = listening(&program);
        release(&host, &wanted(port), false).await.unwrap();
        assert!(is_free(port) && !child.wait().unwrap().success());
    }

    #[tokio::test]
    async fn who_has_left_the_port_to_somebody_else_is_not_ended_in_his_place() {
        let (mut child, port) = listening("perl".as_ref());
        // As found a moment ago, under the id of a program that has nothing to do with it.
        let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
        let stale = Holder { pid: bystander.id(), ..holder(port).unwrap() };
        end(&stale, port).await.unwrap_err();
        assert!(bystander.try_wait().unwrap().is_none() && child.try_wait().unwrap().is_none());
        for child in [&mut bystander, &mut child] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[tokio::test]
    async fn the_doors_to_a_profiles_nodes_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (mut host, _) = host(dir.path());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let doors = host.profile_dir(&host.config.cluster.profile).join("doors");
        std::fs::create_dir_all(&doors).unwrap();
        let own = Started::of(std::process::id());
        let record = |process: &Started| {
            std::fs::write(doors.join("process.json"), serde_json::to_vec(process).unwrap()).unwrap();
        };
        record(&own);
        assert_eq!(owner(&host, &holder(port).unwrap()), Owner::ThisProfile);
        release(&host, &wanted(port), true).await.unwrap();
        let profile = host.config.cluster.profile.to_string();
        host.config.cluster.profile = "other".parse().unwrap();
        assert_eq!(owner(&host, &holder(port).unwrap()), Owner::Profile(profile));
        record(&Started { started: own.started + 1, ..own });
        assert_eq!(owner(&host, &holder(port).unwrap()), Owner::Other, "a later process under the id");
    }

    #[tokio::test]
    async fn this_process_is_never_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (host, _) = host(dir.path());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(release(&host, &wanted(port), true).await.is_err());
    }
}
