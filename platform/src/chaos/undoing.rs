//! Keeps the journal in step with what is still to be undone, and undoes it.

use std::time::Duration;

use super::ground::Ground;
use super::journal::{Journal, Place, UndoStep};
use super::report::UndoneStep;
use crate::error::{Error, Result};
use crate::event::Events;
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
        let steps = &self.journal.steps[..count];
        let undone = undo(ground, steps, &self.host.events).await;
        let left = std::iter::zip(steps, &undone).filter(|(_, undone)| !undone.done);
        let left: Vec<UndoStep> = left.map(|(step, _)| step.clone()).collect();
        self.done.extend(undone);
        self.journal.steps.splice(..count, left);
        let kept =
            if self.journal.steps.is_empty() { self.place.clear() } else { self.place.write(&self.journal) };
        if let Err(error) = kept {
            self.host.events.warn(format!("the journal of what is to be undone cannot be kept: {error}"));
        }
    }

    /// Undoes all of it and keeps the journal, since it may have to be undone again.
    pub async fn undo_all(&self, ground: &dyn Ground, events: &Events) -> Vec<UndoneStep> {
        undo(ground, &self.journal.steps, events).await
    }

    /// How long something that is to be undone may still come to be: a strike that was begun goes on without who began it.
    pub fn due_within(&self) -> Duration {
        let longest = self.journal.steps.iter().map(UndoStep::due_within).max();
        longest.unwrap_or_default().saturating_sub(self.place.age())
    }

    /// Nothing is left to be undone.
    pub fn clear(&mut self) -> Result<()> {
        self.journal.steps.clear();
        self.place.clear()
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

    /// The first step that could not be undone, as an error with the command that does.
    pub fn left(&self) -> Option<Error> {
        let done = self.done();
        let step = done.iter().find(|step| !step.done)?;
        Some(not_undone(step, "undo it: cargo xtask chaos --recover"))
    }
}

pub fn not_undone(step: &UndoneStep, hint: &str) -> Error {
    let why = step.error.as_deref().unwrap_or_default();
    Error::unhealthy(format!("not undone: {}: {why}", step.title), hint)
}

async fn undo(ground: &dyn Ground, steps: &[UndoStep], events: &Events) -> Vec<UndoneStep> {
    let mut undone = Vec::new();
    for undo in steps {
        let step = events.step("undo", undo.title(), None);
        let error = ground.undo(undo).await.err().map(|error| error.to_string());
        match &error {
            None => drop(step.done()),
            Some(error) => events.warn(format!("not undone: {}: {error}", undo.title())),
        }
        undone.push(UndoneStep { title: undo.title(), done: error.is_none(), error });
    }
    undone
}
