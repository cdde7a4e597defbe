//! Programs that finish what they began, also when the run that started them is killed: an installation cut off in the
//! middle of its requests leaves a cluster with addresses and ports that belong to nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use super::system::{bare, exit_code, kill_group};
use super::{Cmd, Output, ProcessError};
use crate::lock;

/// Runs it to its end. Its standard output is the file `lock`, locked: while it runs, no other program begins that has
/// the same one, and who comes later waits. At its deadline it is killed with all it started.
pub(super) async fn run(cmd: &Cmd, lock: &Path) -> Result<Output, ProcessError> {
    let not_started = |source| ProcessError::NotStarted { command: cmd.to_string(), source };
    let timed_out =
        |complaint| ProcessError::TimedOut { command: cmd.to_string(), deadline: cmd.deadline, complaint };
    let earlier = lock::wait_for(lock, || {});
    let stdout = tokio::time::timeout(cmd.deadline, earlier)
        .await
        .map_err(|_| timed_out("another run of it has not ended yet".into()))?
        .map_err(not_started)?;
    // Nobody reads a pipe of a run that is gone: all of its streams are files, the input complete from the start.
    let (stdin, stderr) = files(cmd).map_err(not_started)?;
    stdout.set_len(0).map_err(not_started)?;
    let mut command = tokio::process::Command::from(bare(cmd, false)?);
    command
        .stdin(stdin)
        .stdout(Stdio::from(stdout.try_clone().map_err(not_started)?))
        .stderr(Stdio::from(stderr.try_clone().map_err(not_started)?))
        .process_group(0);
    let mut child = command.spawn().map_err(not_started)?;
    let leader = child.id();
    let ended = tokio::time::timeout(cmd.deadline, child.wait()).await;
    if ended.is_err() {
        kill_group(leader);
    }
    let mut output = Output {
        code: 0,
        stdout: whole(&stdout).map_err(not_started)?,
        stderr: whole(&stderr).map_err(not_started)?,
    };
    // What it told may be secret, and the file stays.
    stdout.set_len(0).map_err(not_started)?;
    let Ok(status) = ended else { return Err(timed_out(output.complaint())) };
    output.code = exit_code(status.map_err(not_started)?);
    Ok(output)
}

fn files(cmd: &Cmd) -> io::Result<(Stdio, File)> {
    let stdin = match &cmd.stdin {
        Some(bytes) => {
            let file = tempfile::tempfile()?;
            file.write_all_at(bytes, 0)?;
            Stdio::from(file)
        }
        None => Stdio::null(),
    };
    Ok((stdin, tempfile::tempfile()?))
}

/// Its content from the beginning: the program's own position in the file is shared.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_reads_its_input_and_its_streams_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let cmd = Cmd::new("sh").args(["-c", "cat; echo broken >&2; exit 7"]).stdin("given");
        let output = run(&cmd, &lock).await.unwrap();
        assert_eq!(
            (output.code, &output.stdout[..], &output.stderr[..]),
            (7, &b"given"[..], &b"broken\n"[..])
        );
        assert_eq!(std::fs::read(&lock).unwrap(), b"", "what it told is not kept");
    }

    #[tokio::test]
    async fn whoever_comes_later_waits_for_one_whose_run_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, marker) = (dir.path().join("lock"), dir.path().join("marker"));
        let script = format!("sleep 2; echo done > {}", marker.display());
        let first = Cmd::new("sh").args(["-c", &script]);
        // Dropped while it runs, as by a run that is interrupted.
        let gone = tokio::time::timeout(Duration::from_millis(200), run(&first, &lock)).await;
        assert!(gone.is_err() && !marker.exists());
        run(&Cmd::new("test").arg("-s").arg(&marker), &lock).await.unwrap();
        assert!(marker.exists());
    }

    #[tokio::test]
    async fn at_its_deadline_it_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        let cmd = Cmd::new("sleep").arg("30").deadline(Duration::from_millis(100));
        assert!(matches!(run(&cmd, &lock).await, Err(ProcessError::TimedOut { .. })));
        run(&Cmd::new("true"), &lock).await.unwrap();
    }
}
