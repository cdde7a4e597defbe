//! Runs real programs, each in a process group of its own, so that none outlives its caller.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::{Cmd, Line, OnLine, Output, ProcessError, Runner};

/// The operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRunner;

#[async_trait::async_trait]
impl Runner for SystemRunner {
    async fn output_with(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError> {
        if let Some(lock) = &cmd.finishes {
            let output = super::lasting::run(cmd, lock).await?;
            String::from_utf8_lossy(&output.stderr).lines().for_each(|line| on_line(Line::Err(line)));
            return Ok(output);
        }
        let mut child = command(cmd)?
            .spawn()
            .map_err(|source| ProcessError::NotStarted { command: cmd.to_string(), source })?;
        let _group = Group(child.id());
        let mut collected = Output::default();
        let run = run_to_end(&mut child, cmd.stdin.clone(), &mut collected, on_line);
        let ended = tokio::time::timeout(cmd.deadline, run).await;
        match ended {
            Ok(Ok(code)) => {
                collected.code = code;
                Ok(collected)
            }
            Ok(Err(source)) => Err(ProcessError::NotStarted { command: cmd.to_string(), source }),
            Err(_) => Err(ProcessError::TimedOut {
                command: cmd.to_string(),
                deadline: cmd.deadline,
                complaint: collected.complaint(),
            }),
        }
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        let is_program =
            |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
        if program.contains('/') {
            return Some(PathBuf::from(program)).filter(|path| is_program(path));
        }
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join(program))
            .find(|path| is_program(path))
    }
}

/// The program and its arguments. Where `setpriv` is there (util-linux), the kernel ends the program when this process
/// dies without a chance to clean up (SIGKILL): nothing goes on building behind a run that is gone.
fn argv(cmd: &Cmd, dies_with_parent: bool) -> Result<Vec<OsString>, ProcessError> {
    let name = cmd.program.to_string_lossy();
    let program =
        SystemRunner.find(&name).ok_or_else(|| ProcessError::NotFound { program: name.into_owned() })?;
    let mut argv: Vec<OsString> = Vec::new();
    if let Some(setpriv) = SystemRunner.find("setpriv").filter(|_| dies_with_parent) {
        argv.extend([setpriv.into_os_string(), "--pdeathsig".into(), "KILL".into(), "--".into()]);
    }
    argv.push(program.into_os_string());
    argv.extend(cmd.args.iter().cloned());
    Ok(argv)
}

/// Program, arguments, environment and folder; its streams are the caller's.
pub(super) fn bare(cmd: &Cmd, dies_with_parent: bool) -> Result<std::process::Command, ProcessError> {
    let argv = argv(cmd, dies_with_parent)?;
    let mut command = std::process::Command::new(&argv[0]);
    command.args(&argv[1..]).envs(cmd.env.iter().map(|(key, value)| (key, value)));
    for key in &cmd.unset {
        command.env_remove(key);
    }
    if let Some(dir) = &cmd.cwd {
        command.current_dir(dir);
    }
    Ok(command)
}

fn command(cmd: &Cmd) -> Result<Command, ProcessError> {
    let mut command = Command::from(bare(cmd, true)?);
    command
        .stdin(if cmd.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

async fn run_to_end(
    child: &mut tokio::process::Child,
    stdin: Option<Vec<u8>>,
    collected: &mut Output,
    on_line: OnLine<'_>,
) -> std::io::Result<i32> {
    let writer = child.stdin.take().map(|mut pipe| async move {
        // A program that does not read all of its input is judged by its exit code, not by this.
        let _ = pipe.write_all(&stdin.unwrap_or_default()).await;
    });
    let feed = async {
        if let Some(writer) = writer {
            writer.await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = read_both(stdout, stderr, collected, on_line);
    let ((), read) = tokio::join!(feed, read);
    read?;
    let status = child.wait().await?;
    Ok(exit_code(status))
}

/// A program ended by a signal gets the shell's number for it, 128 and the signal.
pub(super) fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

async fn read_both(
    stdout: Option<impl AsyncRead + Unpin>,
    stderr: Option<impl AsyncRead + Unpin>,
    collected: &mut Output,
    on_line: OnLine<'_>,
) -> std::io::Result<()> {
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Ok(()) };
    let (mut out, mut err) = (BufReader::new(stdout), BufReader::new(stderr));
    let (mut out_line, mut err_line) = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        // read_until appends to its buffer, so a branch that loses the race loses nothing.
        tokio::select! {
            read = out.read_until(b'\n', &mut out_line), if out_open => {
                out_open = read? > 0;
                collected.stdout.extend_from_slice(&out_line);
                show(&mut out_line, |text| on_line(Line::Out(text)));
            }
            read = err.read_until(b'\n', &mut err_line), if err_open => {
                err_open = read? > 0;
                collected.stderr.extend_from_slice(&err_line);
                show(&mut err_line, |text| on_line(Line::Err(text)));
            }
        }
    }
    Ok(())
}

fn show(line: &mut Vec<u8>, see: impl FnOnce(&str)) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    if !text.is_empty() {
        see(text);
    }
    line.clear();
}

/// Kills the program and all that it started when dropped: at the deadline, at an error, when the caller goes away.
/// After a normal end the group is empty and nothing happens.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        kill_group(self.0);
    }
}

/// Kills a program that leads a group of its own, and all that it started.
pub(super) fn kill_group(leader: Option<u32>) {
    let pid = leader.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Fails only when nobody is left in the group, which is what is wanted.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}
