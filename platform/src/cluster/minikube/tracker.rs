//! How far `minikube start` is, of steps that skip, go back and begin anew for each worker.

use super::event::{Complaint, Event, STARTING_NODE};

/// What is shown after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub message: String,
    pub done: u64,
    pub total: u64,
}

/// What was told so far.
#[derive(Debug, Default)]
pub struct Tracker {
    nodes: u64,
    /// Nodes whose turn has come.
    begun: u64,
    done: u64,
    total: u64,
    /// The last step, for a run that ends without a word.
    pub last: Option<String>,
    complaints: Vec<Complaint>,
}

impl Tracker {
    pub fn new(nodes: u16) -> Self {
        Self { nodes: u64::from(nodes.max(1)), ..Self::default() }
    }

    /// Takes an event in; what is to be shown of it.
    pub fn see(&mut self, event: Event) -> Option<Shown> {
        let message = match event {
            Event::Step { name, message, current, total } => {
                if name == STARTING_NODE {
                    self.begun += 1;
                }
                // The same number of steps for each node: what is done never shrinks, and ends as the whole.
                self.total = self.total.max(total * self.nodes);
                let before = self.begun.saturating_sub(1).min(self.nodes - 1) * total;
                let done = if name == "Done" { self.total } else { (before + current).min(self.total) };
                self.done = self.done.max(done);
                let message = if message.is_empty() { name } else { message };
                self.last = Some(message.clone());
                message
            }
            Event::Download { artifact, percent: Some(percent) } => {
                format!("downloading {artifact}: {percent} %")
            }
            Event::Download { artifact, percent: None } => format!("downloading {artifact}"),
            Event::Warning(message) => message,
            Event::Error(complaint) => {
                self.complaints.push(complaint);
                return None;
            }
            Event::Info(_) => return None,
        };
        // One line is shown; some warnings have a box around them.
        let message = message.lines().map(str::trim).find(|line| !line.is_empty())?.to_owned();
        Some(Shown { message, done: self.done, total: self.total })
    }

    /// A complaint with a code of its own that came before, and that `--force` passed over.
    pub fn earlier(&self, code: i32) -> Option<&Complaint> {
        self.complaints.iter().find(|complaint| complaint.code.is_some_and(|it| it != code))
    }

    /// The complaint that ended the run with `code`: the last that names this code, else the last that names any.
    pub fn cause(&self, code: i32) -> Option<&Complaint> {
        let mut named = self.complaints.iter().rev().filter(|complaint| complaint.code.is_some());
        let same = named.clone().find(|complaint| complaint.code == Some(code));
        same.or_else(|| named.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, current: u64) -> Event {
        Event::Step { name: name.into(), message: format!("{name} ..."), current, total: 19 }
    }

    #[test]
    fn what_is_done_never_shrinks_and_ends_as_the_whole() {
        let mut tracker = Tracker::new(3);
        let mut last = 0;
        // As recorded of three nodes: 5 before 4, and 3 again for each worker.
        let steps = [
            ("Initial Minikube Setup", 0),
            ("Selecting Driver", 1),
            (STARTING_NODE, 3),
            ("Pulling Base Image", 5),
            ("Updating Driver", 4),
            ("Preparing Kubernetes", 11),
            ("Verifying Kubernetes", 17),
            (STARTING_NODE, 3),
            ("Pulling Base Image", 5),
            ("Verifying Kubernetes", 17),
            (STARTING_NODE, 3),
            ("Verifying Kubernetes", 17),
        ];
        for (name, current) in steps {
            let shown = tracker.see(step(name, current)).unwrap();
            assert!(shown.done >= last && shown.done < shown.total, "{name}: {shown:?}");
            last = shown.done;
        }
        let end = tracker.see(step("Done", 19)).unwrap();
        assert_eq!((end.done, end.total), (57, 57));
    }

    #[test]
    fn the_cause_of_a_failure_is_the_complaint_with_its_code() {
        let mut tracker = Tracker::new(1);
        let complaint = |code, message: &str| {
            Event::Error(Complaint { code, message: message.into(), ..Complaint::default() })
        };
        assert_eq!(tracker.cause(80), None);
        // Too little memory is told with --force and does not end the run.
        tracker.see(complaint(Some(23), "memory"));
        tracker.see(complaint(Some(80), "guest"));
        tracker.see(complaint(None, "please let us know"));
        assert_eq!(tracker.cause(80).unwrap().message, "guest");
        assert_eq!(tracker.cause(100).unwrap().message, "guest");
        assert_eq!(tracker.earlier(80).unwrap().message, "memory");
    }
}
