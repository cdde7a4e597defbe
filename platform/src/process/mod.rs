//! The one place that starts programs: argv, environment, deadline, exit code and the end of stderr.

mod lasting;
#[cfg(test)]
pub mod scripted;
mod spawn;
mod started;
mod system;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use spawn::{Group, run_in_foreground, spawn_child, spawn_detached};
pub use started::Started;
pub use system::SystemRunner;

/// How many lines of stderr an error carries.
const STDERR_TAIL_LINES: usize = 20;

/// A program to start. Secrets never stand in `args`: they go by [`Cmd::stdin`] or [`Cmd::env`].
#[derive(Debug, Clone)]
pub struct Cmd {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    /// Variables of this process that the program must not inherit.
    pub unset: Vec<OsString>,
    pub cwd: Option<PathBuf>,
    pub stdin: Option<Vec<u8>>,
    pub deadline: Duration,
    /// Where the program finishes by itself when this run is killed: the file that it holds locked until then.
    pub finishes: Option<PathBuf>,
}

impl Cmd {
    /// A program by name (looked up on PATH) or path; the deadline is five minutes unless set.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            unset: Vec::new(),
            cwd: None,
            stdin: None,
            deadline: Duration::from_mins(5),
            finishes: None,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The program is not ended with this run, only at its deadline. The next one with the same `lock` waits for it; its
    /// lines are seen when it has ended.
    #[must_use]
    pub fn finishes(mut self, lock: impl Into<PathBuf>) -> Self {
        self.finishes = Some(lock.into());
        self
    }

    /// The whole run's limit; the program and all it started are killed at it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl fmt::Display for Cmd {
    /// The command as a person would type it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        for arg in &self.args {
            let arg = arg.to_string_lossy();
            let plain = !arg.is_empty()
                && !arg.contains(|c: char| c.is_whitespace() || "'\"$&|;<>(){}*?".contains(c));
            if plain { write!(f, " {arg}")? } else { write!(f, " '{}'", arg.replace('\'', r"'\''"))? }
        }
        Ok(())
    }
}

/// What a program that exited with 0 left, or one whose code the caller judges itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// The last lines of stderr, or of stdout where stderr is empty: some programs complain there.
    pub fn complaint(&self) -> String {
        let stderr = String::from_utf8_lossy(&self.stderr);
        let text = if stderr.trim().is_empty() { String::from_utf8_lossy(&self.stdout) } else { stderr };
        let lines: Vec<&str> = text.trim_end().lines().collect();
        lines[lines.len().saturating_sub(STDERR_TAIL_LINES)..].join("\n")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("{program} is not on this machine")]
    NotFound { program: String },

    #[error("{command} cannot be started: {source}")]
    NotStarted { command: String, source: std::io::Error },

    #[error("{command} exited with {code}{}", indented(complaint))]
    Failed { command: String, code: i32, complaint: String },

    #[error("{command} did not end within {} s{}", deadline.as_secs(), indented(complaint))]
    TimedOut { command: String, deadline: Duration, complaint: String },
}

impl ProcessError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { program } => Some(format!("install {program} and run the same command again")),
            Self::Failed { command, .. } | Self::TimedOut { command, .. } => {
                Some(format!("run it by hand to see all it says: {command}"))
            }
            Self::NotStarted { .. } => None,
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["\n    ", line]).collect()
}

/// A line that a program wrote while it runs.
#[derive(Debug, Clone, Copy)]
pub enum Line<'a> {
    Out(&'a str),
    Err(&'a str),
}

impl<'a> Line<'a> {
    pub fn text(&self) -> &'a str {
        match self {
            Self::Out(text) | Self::Err(text) => text,
        }
    }
}

/// Sees each line as it comes.
pub type OnLine<'a> = &'a mut (dyn FnMut(Line<'_>) + Send);

/// Starts programs. A program that cannot be judged by its code alone goes through [`Runner::output`].
#[async_trait::async_trait]
pub trait Runner: Send + Sync {
    /// Runs to the end and returns whatever the exit code was; an error only when it did not start or end.
    async fn output_with(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError>;

    /// Where a program by this name would be found, by PATH.
    fn find(&self, program: &str) -> Option<PathBuf>;
}

/// A cheap handle on the runner.
#[derive(Clone)]
pub struct Processes(Arc<dyn Runner>);

impl Processes {
    pub fn new(runner: impl Runner + 'static) -> Self {
        Self(Arc::new(runner))
    }

    pub fn system() -> Self {
        Self::new(SystemRunner)
    }

    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.0.find(program)
    }

    /// Runs to the end; the caller judges the exit code.
    pub async fn output(&self, cmd: &Cmd) -> Result<Output, ProcessError> {
        self.0.output_with(cmd, &mut |_| {}).await
    }

    /// As [`Processes::output`], with each line shown to `on_line` as it comes.
    pub async fn output_with(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError> {
        self.0.output_with(cmd, on_line).await
    }

    /// Runs to the end; any exit code but 0 is an error.
    pub async fn run(&self, cmd: &Cmd) -> Result<Output, ProcessError> {
        self.run_with(cmd, &mut |_| {}).await
    }

    /// As [`Processes::run`], with each line shown to `on_line` as it comes.
    pub async fn run_with(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError> {
        let output = self.0.output_with(cmd, on_line).await?;
        if output.code == 0 {
            return Ok(output);
        }
        Err(ProcessError::Failed {
            command: cmd.to_string(),
            code: output.code,
            complaint: output.complaint(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let cmd = Cmd::new("helm").args(["upgrade", "--description", "two words", ""]);
        assert_eq!(cmd.to_string(), "helm upgrade --description 'two words' ''");
    }

    #[tokio::test]
    async fn a_program_that_exits_non_zero_is_never_ok() {
        let failed = Processes::system().run(&Cmd::new("sh").args(["-c", "echo broken >&2; exit 7"])).await;
        match failed {
            Err(ProcessError::Failed { code: 7, complaint, .. }) => assert_eq!(complaint, "broken"),
            other => panic!("expected a failure with code 7, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_program_past_its_deadline_is_killed_with_all_it_started() {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let script = format!("(sleep 2; echo alive > {}) & wait", marker.path().display());
        let cmd = Cmd::new("sh").args(["-c", &script]).deadline(Duration::from_millis(200));
        let result = Processes::system().run(&cmd).await;
        assert!(matches!(result, Err(ProcessError::TimedOut { .. })), "{result:?}");
        // Its grandchild would write the marker within two seconds: poll past that.
        let until = std::time::Instant::now() + Duration::from_millis(2500);
        while std::time::Instant::now() < until {
            assert_eq!(std::fs::read_to_string(marker.path()).unwrap(), "");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = Processes::system().run(&Cmd::new("no-such-program-here")).await.unwrap_err();
        assert!(matches!(error, ProcessError::NotFound { program } if program == "no-such-program-here"));
    }

    #[tokio::test]
    async fn lines_are_seen_while_the_program_runs() {
        let mut seen = Vec::new();
        let cmd = Cmd::new("sh").args(["-c", "echo one; echo two >&2"]);
        Processes::system().run_with(&cmd, &mut |line| seen.push(line.text().to_owned())).await.unwrap();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
    }

    #[tokio::test]
    async fn stdin_reaches_the_program() {
        let output = Processes::system().run(&Cmd::new("cat").stdin("secret")).await.unwrap();
        assert_eq!(output.stdout_text(), "secret");
    }
}
