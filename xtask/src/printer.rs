//! Owns stdout, stderr and the progress bars. Stdout carries the result alone, so that it can be piped.

mod progress;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use comfy_table::{Row, Table, presets};
use platform::Error;
use platform::event::Events;
use serde::Serialize;

use crate::cli::{Format, GlobalArgs, OutputArgs};
use progress::{JsonLines, Lines, Terminal, View};

/// A table without lines, as every result has it.
pub fn headed(header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

pub struct Printer {
    format: Format,
    /// How this command was called, with what every further one must be given too.
    call: String,
    view: Arc<View>,
}

impl Printer {
    pub fn new(args: &OutputArgs, global: &GlobalArgs) -> Self {
        let view = match (args.output, args.quiet) {
            (_, true) => View::Quiet,
            (Format::Json, false) => View::Json(JsonLines::default()),
            (Format::Text, false) if std::io::stderr().is_terminal() && !args.verbose => {
                View::Terminal(Terminal::new())
            }
            (Format::Text, false) => View::Lines(Lines::new(args.verbose)),
        };
        Self { format: args.output, call: call(global), view: Arc::new(view) }
    }

    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.view))
    }

    /// The result of the command, as JSON or as the text that `text` makes of it.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        self.finish();
        let rendered = match self.format {
            Format::Json => serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string()),
            Format::Text => self.addressed(&text()),
        };
        // A reader that went away (head, less) is no failure of the command.
        let _ = writeln!(std::io::stdout(), "{rendered}");
    }

    /// A line of a result that goes on: text, or JSON on one line. False: nobody reads it any more.
    pub fn line(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> bool {
        self.finish();
        let line = match self.format {
            Format::Json => serde_json::to_string(value).unwrap_or_else(|error| error.to_string()),
            Format::Text => self.addressed(&text()),
        };
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_ok()
    }

    /// A result that is for another program, as it is.
    pub fn verbatim(&self, text: &str) {
        self.finish();
        let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    }

    /// Whether a person looks at a terminal that can be drawn on.
    pub fn may_draw(&self) -> bool {
        self.format == Format::Text && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
    }

    /// Commands named in `text` as they must be typed to reach the same profile.
    fn addressed(&self, text: &str) -> String {
        // One that names a profile of its own is meant for that one.
        let parts: Vec<&str> = text.split(CALL).collect();
        let mut out = parts[0].to_owned();
        for rest in &parts[1..] {
            out.push_str(if rest.starts_with(" --profile") { CALL } else { &self.call });
            out.push_str(rest);
        }
        out
    }

    /// Clears the progress bars.
    pub fn finish(&self) {
        self.view.finish();
    }

    pub fn error(&self, error: &Error) {
        self.finish();
        let hint = error.hint().map(|hint| self.addressed(&hint));
        let rendered = match self.format {
            Format::Json => {
                serde_json::json!({"error": error.to_string(), "hint": hint, "exit_code": error.exit() as u8})
                    .to_string()
            }
            Format::Text => {
                let hint = hint.map(|hint| format!("\n\nhint: {hint}")).unwrap_or_default();
                format!("error: {error}{hint}")
            }
        };
        progress::stderr_line(&rendered);
    }
}

const CALL: &str = "cargo xtask";

fn call(global: &GlobalArgs) -> String {
    let profile = global.profile.as_ref().map(|profile| format!(" --profile {profile}"));
    let config = global.config.as_ref().map(|config| format!(" --config {}", config.display()));
    [Some(CALL.to_owned()), profile, config].into_iter().flatten().collect()
}
