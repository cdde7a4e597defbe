//! Chromium, driven by its DevTools protocol over a pair of pipes: no port, no WebSocket, no further program.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Generous, because other tests and builds share the machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// As root it has no sandbox; the rest keeps it from asking the network on its own account.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--no-proxy-server",
    "--remote-debugging-pipe",
];

/// A running browser with an empty profile, ended when dropped.
pub struct Chromium {
    child: Child,
    pipes: Mutex<Pipes>,
    _profile: tempfile::TempDir,
}

struct Pipes {
    commands: ChildStdin,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    last: u64,
}

impl Chromium {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // It reads commands at descriptor 3 and writes to 4; a shell puts the pipes there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "chromium"])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // What it lays beside its profile is left there when it is killed.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, messages) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap_or_default();
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let commands = child.stdin.take().unwrap();
        let pipes = Pipes { commands, messages, events: VecDeque::new(), last: 0 };
        let browser = Self { child, pipes: Mutex::new(pipes), _profile: profile };
        let version = browser.call(None, "Browser.getVersion", &json!({}));
        assert!(version["product"].is_string(), "{version}");
        browser
    }

    /// The result of one command, to a page or to the browser.
    #[track_caller]
    pub fn call(&self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        match self.try_call(session, method, parameters) {
            Ok(result) => result,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// As `call`, with the browser's refusal as the error.
    #[track_caller]
    pub fn try_call(&self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value, Value> {
        let mut pipes = self.pipes();
        pipes.last += 1;
        let id = pipes.last;
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        pipes.commands.write_all(&bytes).expect("chromium takes commands; is it installed?");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let mut message = pipes.messages.recv_timeout(left).unwrap_or_else(|error| {
                panic!("{method}: no answer of chromium ({error}); is it installed?")
            });
            if message["id"] == id {
                let error = message["error"].take();
                return if error.is_null() { Ok(message["result"].take()) } else { Err(error) };
            }
            pipes.events.push_back(message);
        }
    }

    /// What a page has told since the last time, of the events with this name.
    pub fn events(&self, session: &str, name: &str) -> Vec<Value> {
        let mut pipes = self.pipes();
        while let Ok(message) = pipes.messages.try_recv() {
            pipes.events.push_back(message);
        }
        let of_page = |event: &&Value| event["sessionId"] == session && event["method"] == name;
        pipes.events.iter().filter(of_page).map(|event| event["params"].clone()).collect()
    }

    fn pipes(&self) -> MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
