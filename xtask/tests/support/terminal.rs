//! A real terminal around the command: tmux draws, and tells what is on the screen.

use std::process::{Command, Output};
use std::time::Duration;

use super::eventually;

/// A session of its own server, ended with this.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// A shell in a terminal of this size.
    pub fn open(name: &str, columns: u16, rows: u16) -> Self {
        let terminal = Self { socket: format!("platen-{name}-{}", std::process::id()) };
        let size = [("-x", columns), ("-y", rows)].map(|(flag, cells)| [flag.to_owned(), cells.to_string()]);
        let size = size.concat();
        let mut args = vec!["-f", "/dev/null", "new-session", "-d"];
        args.extend(size.iter().map(String::as_str));
        args.push("env PS1='ready> ' sh");
        let started = terminal.tmux(&args);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        terminal.expect("a shell", "ready>");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(args).env("LC_ALL", "C.UTF-8").output().expect("tmux")
    }

    /// Types a line, and Enter.
    pub fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// A key by tmux' name for it.
    pub fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status.success(), "{key}");
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until the text is on the screen, and returns the whole of it.
    #[track_caller]
    pub fn expect(&self, what: &str, text: &str) -> String {
        self.expect_that(what, |screen| screen.contains(text))
    }

    #[track_caller]
    pub fn expect_that(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut seen = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, Duration::from_secs(20), || {
                seen = self.screen();
                fits(&seen)
            });
        }));
        assert!(found.is_ok(), "{what}:\n{seen}");
        seen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
