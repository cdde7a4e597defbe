//! A runner for tests: each expected command line in order, with what it answers; anything else panics.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;

use super::{Cmd, Line, OnLine, Output, ProcessError, Processes, Runner};

/// One expected command: its argv as [`Cmd`] displays it, and its answer.
pub struct Expect {
    command: String,
    stdin: Option<String>,
    output: Output,
}

impl Expect {
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), stdin: None, output: Output::default() }
    }

    #[must_use]
    pub fn stdout(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.output.stdout = text.into();
        self
    }

    #[must_use]
    pub fn fails(mut self, code: i32, stderr: impl Into<Vec<u8>>) -> Self {
        self.output.code = code;
        self.output.stderr = stderr.into();
        self
    }

    /// The command must be given exactly this on stdin.
    #[must_use]
    pub fn given(mut self, stdin: impl Into<String>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }
}

/// Programs that are "installed", and the script. Dropped with a part of the script left, it panics.
struct ScriptedRunner {
    programs: Vec<String>,
    script: Mutex<VecDeque<Expect>>,
}

/// Processes that follow the script.
pub fn scripted(programs: &[&str], script: impl IntoIterator<Item = Expect>) -> Processes {
    Processes::new(ScriptedRunner {
        programs: programs.iter().map(ToString::to_string).collect(),
        script: Mutex::new(script.into_iter().collect()),
    })
}

#[async_trait::async_trait]
impl Runner for ScriptedRunner {
    async fn output_with(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError> {
        let expected = self.script.lock().unwrap().pop_front();
        let Some(expected) = expected else { panic!("nothing more was to be run, but: {cmd}") };
        assert_eq!(cmd.to_string(), expected.command, "another command was to be run");
        if let Some(stdin) = expected.stdin {
            assert_eq!(String::from_utf8_lossy(cmd.stdin.as_deref().unwrap_or_default()), stdin);
        }
        for line in String::from_utf8_lossy(&expected.output.stdout).lines() {
            on_line(Line::Out(line));
        }
        for line in String::from_utf8_lossy(&expected.output.stderr).lines() {
            on_line(Line::Err(line));
        }
        Ok(expected.output)
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        self.programs.iter().any(|known| known == program).then(|| PathBuf::from("/usr/bin").join(program))
    }
}

impl Drop for ScriptedRunner {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left: Vec<_> = self.script.lock().unwrap().iter().map(|e| e.command.clone()).collect();
            assert!(left.is_empty(), "was to be run and was not: {left:?}");
        }
    }
}
