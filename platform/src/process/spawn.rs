//! Programs that go on running: children of a supervisor, and the supervisor itself, which outlives its starter.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::Stdio;

use super::system::bare;
use super::{Cmd, ProcessError};

/// Whose process group a child joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// A new one, led by the child.
    Own,
    /// Its parent's.
    Parents,
}

/// A child that dies with its parent (where the system can do that); its output goes to `log`.
pub fn spawn_child(cmd: &Cmd, log: &Path, group: Group) -> Result<tokio::process::Child, ProcessError> {
    let mut command = tokio::process::Command::from(prepared(cmd, log, true)?);
    command.kill_on_drop(true);
    if group == Group::Own {
        command.process_group(0);
    }
    command.spawn().map_err(|source| ProcessError::NotStarted { command: cmd.to_string(), source })
}

/// Starts a program that outlives this one, and returns its process id; its output goes to `log`. It gets a `lock` as
/// its standard input, and with it what is locked: there is no moment at which neither of the two holds it.
pub fn spawn_detached(cmd: &Cmd, log: &Path, lock: Option<&File>) -> Result<u32, ProcessError> {
    use std::os::unix::process::CommandExt;
    let not_started = |source| ProcessError::NotStarted { command: cmd.to_string(), source };
    let mut command = prepared(cmd, log, false)?;
    command.process_group(0);
    if let Some(lock) = lock {
        command.stdin(lock.try_clone().map_err(not_started)?);
    }
    command.spawn().map(|child| child.id()).map_err(not_started)
}

/// Runs a program on the caller's own terminal until it ends, and returns its exit code. Ctrl-C reaches it directly,
/// as a member of the terminal's process group, and is not sent a second time; SIGTERM is passed on. Both leave this
/// process waiting for the program's own end.
pub async fn run_in_foreground(cmd: &Cmd) -> Result<i32, ProcessError> {
    use tokio::signal::unix::{SignalKind, signal};
    let not_started = |source| ProcessError::NotStarted { command: cmd.to_string(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(not_started)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(not_started)?;
    let mut command = tokio::process::Command::from(bare(cmd, true)?);
    let mut child = command.spawn().map_err(not_started)?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map(super::system::exit_code).map_err(not_started),
            _ = terminate.recv() => forward_term(&child),
            _ = interrupt.recv() => {}
        }
    }
}

fn forward_term(child: &tokio::process::Child) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // Fails only when it has just ended, which is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn prepared(cmd: &Cmd, log: &Path, dies_with_parent: bool) -> Result<std::process::Command, ProcessError> {
    let not_started = |source| ProcessError::NotStarted { command: cmd.to_string(), source };
    let output = OpenOptions::new().create(true).append(true).open(log).map_err(not_started)?;
    let errors = output.try_clone().map_err(not_started)?;
    let mut command = bare(cmd, dies_with_parent)?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_in_the_foreground_inherits_no_variable_that_is_unset() {
        let mut cmd = Cmd::new("sh").args(["-c", r#"test -z "$CARGO_MANIFEST_DIR" || exit 9"#]);
        assert_eq!(run_in_foreground(&cmd).await.unwrap(), 9, "cargo sets it for its tests");
        cmd.unset = vec!["CARGO_MANIFEST_DIR".into()];
        assert_eq!(run_in_foreground(&cmd).await.unwrap(), 0);
    }
}
