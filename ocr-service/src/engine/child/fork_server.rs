//! The process from which engines are forked: it has loaded what they share, reads no image, and has one thread.

use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use super::fork::{Fork, fork};
use crate::engine::protocol::{Ended, Forked, Order};
use crate::engine::{Failure, descriptor, frame};

/// Between two looks whether an engine has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Does what it is told until the service is gone. Returns in each engine as well, and there with the engine's socket.
pub fn serve(mut control: UnixStream) -> io::Result<Option<UnixStream>> {
    while let Some((order, _)) = frame::read::<Order>(&mut control)? {
        match order {
            Order::Fork => {
                let socket = UnixStream::from(descriptor::receive(&control)?);
                let server = getpid();
                match fork() {
                    Ok(Fork::Child) => return become_engine(server, socket).map(Some),
                    Ok(Fork::Parent(id)) => frame::write(&mut control, &Forked::Ok(id.as_raw_pid()))?,
                    Err(error) => {
                        let failure = Failure::Engine(format!("cannot fork an engine: {error}"));
                        frame::write(&mut control, &Forked::Err(failure))?;
                    }
                }
            }
            Order::End { id, patience_ms } => {
                let status = Pid::from_raw(id).map(|id| end(id, Duration::from_millis(patience_ms)));
                let ended: Ended = match status {
                    Some(Ok(status)) => status.to_string(),
                    Some(Err(error)) => error.to_string(),
                    None => "no such engine".into(),
                };
                frame::write(&mut control, &ended)?;
            }
        }
    }
    Ok(None)
}

/// Leaves everything of the server's alone. A server that has ended cannot end its engines: the system does.
fn become_engine(server: Pid, socket: UnixStream) -> io::Result<UnixStream> {
    // The server's own end of its line, which must be closed when the server ends.
    rustix::stdio::dup2_stdin(&socket)?;
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(server) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = server;
    Ok(socket)
}

/// Waits for the engine's end, and brings it about after `patience`. Nobody else waits for engines, so that the number
/// is still the engine's.
fn end(id: Pid, patience: Duration) -> io::Result<ExitStatus> {
    let give_up = Instant::now() + patience;
    while Instant::now() < give_up {
        if let Some((_, status)) = waitpid(Some(id), WaitOptions::NOHANG)? {
            return Ok(ExitStatus::from_raw(status.as_raw()));
        }
        std::thread::sleep(LOOK);
    }
    kill_process(id, Signal::KILL)?;
    let ended = waitpid(Some(id), WaitOptions::empty())?;
    ended
        .map(|(_, status)| ExitStatus::from_raw(status.as_raw()))
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}
