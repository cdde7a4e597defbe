//! Keeps the journal in step with what is still to be undone, and undoes it.

use super::ground::Ground;
use super::journal::{Journal, Place, UndoStep};
use super::report::UndoneStep;
use crate::error::Result;
use crate::host::Host;

/// What is to be undone, first things first; what was undone already.
pub struct Undoing {
    host: Host,
    place: Place,
    journal: Journal,
    done: Vec<UndoneStep>,
}

impl Undoing {
    pub fn new(host: &Host, place: Place, journal: Journal) -> Self {
        Self { host: host.clone(), place, journal, done: Vec::new() }
    }

    /// On the disk when this returns; they are undone before those that were there.
    pub fn add(&mut self, title: &str, steps: Vec<UndoStep>) -> Result<()> {
        title.clone_into(&mut self.journal.title);
        self.journal.steps.splice(0..0, steps);
        if self.journal.steps.is_empty() { Ok(()) } else { self.place.write(&self.journal) }
    }

    /// Undoes all but the last `keep` of them. What cannot be undone stays in the journal, and what comes after it is
    /// undone all the same.
    pub async fn put_back(&mut self, ground: &dyn Ground, keep: usize) {
        let count = self.journal.steps.len().saturating_sub(keep);
        let mut left = Vec::new();
        for undo in &self.journal.steps[..count] {
            let step = self.host.events.step("undo", undo.title(), None);
            let undone = ground.undo(undo).await;
            let error = undone.err().map(|error| error.to_string());
            match &error {
                None => drop(step.done()),
                Some(error) => self.host.events.warn(format!("not undone: {}: {error}", undo.title())),
            }
            self.done.push(UndoneStep { title: undo.title(), done: error.is_none(), error: error.clone() });
            if error.is_some() {
                left.push(undo.clone());
            }
        }
        self.journal.steps.splice(..count, left);
        let kept =
            if self.journal.steps.is_empty() { self.place.clear() } else { self.place.write(&self.journal) };
        if let Err(error) = kept {
            self.host.events.warn(format!("the journal of what is to be undone cannot be kept: {error}"));
        }
    }

    /// Every step that was tried, with its last result.
    pub fn done(&self) -> Vec<UndoneStep> {
        let mut last: Vec<UndoneStep> = Vec::new();
        for step in &self.done {
            last.retain(|earlier| earlier.title != step.title);
            last.push(step.clone());
        }
        last
    }
}
