//! Progress as bars on a terminal, as log lines elsewhere, or as JSON lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use platform::event::{Event, Outcome, Sink};
use platform::up::Plan;

/// How often a step that goes on says so where there is no terminal.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub enum View {
    Quiet,
    Json(JsonLines),
    Terminal(Terminal),
    Lines(Lines),
}

impl View {
    pub fn finish(&self) {
        if let Self::Terminal(terminal) = self {
            let _ = terminal.bars.clear();
        }
    }
}

impl Sink for View {
    fn emit(&self, event: Event) {
        match self {
            Self::Quiet => {}
            Self::Json(lines) => lines.emit(&event),
            Self::Terminal(terminal) => terminal.emit(event),
            Self::Lines(lines) => lines.emit(event),
        }
    }
}

pub fn stderr_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line for each event; of progress, which is told at every look, only what is new.
#[derive(Default)]
pub struct JsonLines {
    /// By step.
    progress: Mutex<BTreeMap<String, String>>,
}

impl JsonLines {
    fn emit(&self, event: &Event) {
        if let Some(line) = self.line(event) {
            stderr_line(&line);
        }
    }

    fn line(&self, event: &Event) -> Option<String> {
        let line = serde_json::to_string(event).ok()?;
        if let Event::StepProgress { id, .. } = event {
            let before = self.progress.lock().ok()?.insert(id.clone(), line.clone());
            return (before.as_ref() != Some(&line)).then_some(line);
        }
        Some(line)
    }
}

/// One bar a running step, with elapsed time and what it is at.
pub struct Terminal {
    bars: MultiProgress,
    running: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Terminal {
    pub fn new() -> Self {
        Self { bars: MultiProgress::new(), running: Mutex::default() }
    }

    fn emit(&self, event: Event) {
        let Ok(mut running) = self.running.lock() else { return };
        match event {
            Event::Planned { plan } => self.say(&planned(&plan)),
            Event::StepStarted { id, title, expected } => {
                let bar = self.bars.add(ProgressBar::new_spinner());
                bar.set_style(style());
                bar.set_prefix(with_forecast(&title, expected));
                bar.enable_steady_tick(Duration::from_millis(100));
                running.insert(id, bar);
            }
            Event::StepProgress { id, message, done, total } => {
                if let Some(bar) = running.get(&id) {
                    bar.set_message(with_share(&message, done, total));
                }
            }
            Event::StepFinished { id, title, outcome, elapsed } => {
                if let Some(bar) = running.remove(&id) {
                    bar.finish_and_clear();
                }
                self.say(&finished(&title, outcome, elapsed));
            }
            Event::Note { message } => self.say(&format!("  {message}")),
            Event::Warning { message } => self.say(&format!("! {message}")),
        }
    }

    fn say(&self, line: &str) {
        let _ = self.bars.println(line);
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Log lines: a step's beginning and end, and a heartbeat that names what is awaited.
pub struct Lines {
    verbose: bool,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
}

struct Running {
    title: String,
    message: String,
    begun: Instant,
}

impl Lines {
    pub fn new(verbose: bool) -> Self {
        let running: Arc<Mutex<BTreeMap<String, Running>>> = Arc::default();
        let watched = Arc::downgrade(&running);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(HEARTBEAT);
                let Some(running) = watched.upgrade() else { return };
                let Ok(running) = running.lock() else { return };
                for step in running.values() {
                    let elapsed = seconds(step.begun.elapsed());
                    stderr_line(&format!("  … {} [{elapsed}] {}", step.title, step.message));
                }
            }
        });
        Self { verbose, running }
    }

    fn emit(&self, event: Event) {
        let Ok(mut running) = self.running.lock() else { return };
        match event {
            Event::Planned { plan } => stderr_line(&planned(&plan)),
            Event::StepStarted { id, title, expected } => {
                stderr_line(&format!("→ {}", with_forecast(&title, expected)));
                running.insert(id, Running { title, message: String::new(), begun: Instant::now() });
            }
            Event::StepProgress { id, message, done, total } => {
                let message = with_share(&message, done, total);
                let Some(step) = running.get_mut(&id) else { return };
                if self.verbose && step.message != message {
                    stderr_line(&format!("  {message}"));
                }
                step.message = message;
            }
            Event::StepFinished { id, title, outcome, elapsed } => {
                running.remove(&id);
                stderr_line(&finished(&title, outcome, elapsed));
            }
            Event::Note { message } => stderr_line(&format!("  {message}")),
            Event::Warning { message } => stderr_line(&format!("! {message}")),
        }
    }
}

fn planned(plan: &Plan) -> String {
    let target = plan.choice.target.name();
    let mut lines = vec![format!("provider {target}: {}", plan.choice.because)];
    if plan.actions.is_empty() {
        lines.push("nothing is missing".into());
    } else {
        lines.push(format!("to do, about {} on two cores:", seconds(plan.expected())));
    }
    for action in &plan.actions {
        let step = action.step.name();
        lines.push(format!(
            "  {step:<9} {} ({}; about {})",
            action.title,
            action.why,
            seconds(action.expected)
        ));
    }
    lines.join("\n")
}

fn finished(title: &str, outcome: Outcome, elapsed: Duration) -> String {
    let mark = if outcome == Outcome::Done { "✓" } else { "✗" };
    format!("{mark} {title} [{}]", seconds(elapsed))
}

fn with_forecast(title: &str, expected: Option<Duration>) -> String {
    match expected {
        Some(expected) => format!("{title} (about {})", seconds(expected)),
        None => title.to_owned(),
    }
}

fn with_share(message: &str, done: Option<u64>, total: Option<u64>) -> String {
    match (done, total) {
        (Some(done), Some(total)) => format!("{done}/{total} {message}"),
        (Some(done), None) => format!("{done} {message}"),
        _ => message.to_owned(),
    }
}

fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_that_says_the_same_again_is_no_line() {
        let lines = JsonLines::default();
        let progress = |id: &str, message: &str| {
            let (id, message) = (id.to_owned(), message.to_owned());
            lines.line(&Event::StepProgress { id, message, done: None, total: None }).is_some()
        };
        assert_eq!(
            [
                progress("a", "1"),
                progress("a", "1"),
                progress("b", "1"),
                progress("a", "2"),
                progress("a", "1")
            ],
            [true, false, true, true, true]
        );
        let note = Event::Note { message: "1".into() };
        assert!(lines.line(&note).is_some() && lines.line(&note).is_some());
    }
}
