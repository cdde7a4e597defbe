//! Exact admission: as many jobs as there are engines and places, the next one is refused at once.
//!
//! One lock holds both what runs and what waits, so that a refusal is never a guess: with N engines and Q places,
//! N + Q jobs are in and the next is out, whatever the timing.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bounded queue that counts what was taken from it until it is released.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    capacity: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    running: usize,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub running: usize,
    pub waiting: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing was admitted; this is what stood in the way.
    Full(Load),
    Closed,
}

impl<T> Queue<T> {
    pub fn new(capacity: usize) -> Self {
        let state = State { waiting: VecDeque::new(), running: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), capacity }
    }

    /// Admits all of `jobs` or none. Only when there is no room are waiting jobs that nobody wants any more dropped to
    /// make some: it keeps the common path short.
    pub fn admit(&self, jobs: Vec<T>, abandoned: impl Fn(&T) -> bool) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.in_use() + jobs.len() > self.capacity {
            state.waiting.retain(|job| !abandoned(job));
        }
        if state.in_use() + jobs.len() > self.capacity {
            return Err(Refused::Full(state.load()));
        }
        state.waiting.extend(jobs);
        drop(state);
        self.arrived.notify_all();
        Ok(())
    }

    /// Waits for a job; `None` when the queue was closed and is empty. The slot stays used until [`Taken`] is dropped.
    pub fn take(&self) -> Option<(T, Taken<'_, T>)> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                state.running += 1;
                return Some((job, Taken(self)));
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Admits nothing more; what was admitted is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Waits up to `pause` for the queue to be closed, and tells whether it is.
    pub fn closed_within(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited = self.arrived.wait_timeout_while(state, pause, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    pub fn load(&self) -> Load {
        self.lock().load()
    }

    /// No code panics with the lock held, so a poisoned lock still guards a whole state.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn in_use(&self) -> usize {
        self.running + self.waiting.len()
    }

    fn load(&self) -> Load {
        Load { running: self.running, waiting: self.waiting.len() }
    }
}

/// A used slot; free again when dropped, also by a panic.
pub(super) struct Taken<'queue, T>(&'queue Queue<T>);

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: fn(&u32) -> bool = |_| false;

    #[test]
    fn the_job_after_the_last_place_is_refused_and_says_what_stood_in_the_way() {
        let queue = Queue::new(3);
        for job in 0..3 {
            queue.admit(vec![job], NEVER).unwrap();
        }
        assert_eq!(queue.admit(vec![3], NEVER), Err(Refused::Full(Load { running: 0, waiting: 3 })));
    }

    #[test]
    fn a_taken_job_uses_its_slot_until_it_is_done() {
        let queue = Queue::new(1);
        queue.admit(vec![1], NEVER).unwrap();
        let (_, slot) = queue.take().unwrap();
        assert_eq!(queue.admit(vec![2], NEVER), Err(Refused::Full(Load { running: 1, waiting: 0 })));
        drop(slot);
        queue.admit(vec![2], NEVER).unwrap();
    }

    #[test]
    fn several_jobs_are_admitted_together_or_not_at_all() {
        let queue = Queue::new(3);
        queue.admit(vec![1, 2], NEVER).unwrap();
        assert!(queue.admit(vec![3, 4], NEVER).is_err());
        assert_eq!(queue.load().waiting, 2);
        queue.admit(vec![3], NEVER).unwrap();
    }

    #[test]
    fn an_abandoned_job_gives_its_place_to_a_new_one() {
        let queue = Queue::new(2);
        queue.admit(vec![1, 2], NEVER).unwrap();
        queue.admit(vec![3], |job| *job == 1).unwrap();
        assert_eq!(queue.take().map(|(job, _)| job), Some(2));
        assert_eq!(queue.take().map(|(job, _)| job), Some(3));
    }

    #[test]
    fn a_closed_queue_still_gives_what_it_holds_and_then_ends() {
        let queue = Queue::new(2);
        queue.admit(vec![1], NEVER).unwrap();
        queue.close();
        assert_eq!(queue.admit(vec![2], NEVER), Err(Refused::Closed));
        assert_eq!(queue.take().map(|(job, _)| job), Some(1));
        assert!(queue.take().is_none());
    }
}
