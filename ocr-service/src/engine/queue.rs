//! Exact admission: as many requests as there are engines and places, the next one is refused at once.
//!
//! One lock holds both what runs and what waits, so that a refusal is never a guess: with N engines and Q places,
//! N + Q requests are in and the next is out, whatever the timing. A request is one job, or several that share its
//! place; they are handed out in order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A bounded queue that counts what was taken from it until it is released.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
    capacity: usize,
}

struct State<T> {
    waiting: VecDeque<(Place, T)>,
    /// For each admitted request the number of its jobs that wait or run.
    places: HashMap<Place, usize>,
    next_place: Place,
    running: usize,
    /// Takers that have nothing to do.
    idle: usize,
    closed: bool,
}

type Place = u64;

/// Jobs.
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
        let state = State {
            waiting: VecDeque::new(),
            places: HashMap::new(),
            next_place: 0,
            running: 0,
            idle: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), arrived: Notify::new(), capacity }
    }

    /// Admits all of `requests` requests or none; there is room where there are places, and where it is `soon_enough`
    /// after so many jobs that wait for a taker. `jobs` makes the jobs of each, told how many takers have nothing to do
    /// at this moment. Only when there is no room are waiting jobs that nobody wants any more taken out to make some: it
    /// keeps the common path short. `discard` gets them, and may answer them.
    pub fn admit(
        &self,
        requests: usize,
        soon_enough: impl Fn(usize) -> bool,
        abandoned: impl Fn(&T) -> bool,
        discard: impl Fn(T),
        jobs: impl FnOnce(usize) -> Vec<Vec<T>>,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let is_full = |state: &State<T>| {
            let ahead = state.waiting.len().saturating_sub(state.idle);
            state.places.len() + requests > self.capacity || !soon_enough(ahead)
        };
        let dropped = if is_full(&state) { state.drop_waiting(abandoned) } else { Vec::new() };
        let refused = is_full(&state).then(|| state.load());
        if refused.is_none() {
            let idle = state.idle.saturating_sub(state.waiting.len());
            for jobs in jobs(idle) {
                state.add(jobs);
            }
        }
        // What is done about a job that is dropped is not done under the lock.
        drop(state);
        dropped.into_iter().for_each(discard);
        if let Some(load) = refused {
            return Err(Refused::Full(load));
        }
        self.arrived.notify_waiters();
        Ok(())
    }

    /// What stands in the way of one more request at this moment, if anything does.
    pub fn full(&self, abandoned: impl Fn(&T) -> bool) -> Option<Load> {
        let state = self.lock();
        let is_full = state.places.len() >= self.capacity;
        (is_full && !state.waiting.iter().any(|(_, job)| abandoned(job))).then(|| state.load())
    }

    /// Waits for a job; `None` when the queue was closed and is empty. It runs until [`Taken`] is dropped.
    pub async fn take(&self) -> Option<(T, Taken<'_, T>)> {
        let _idle = Idle::enter(self);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Registered before looking, so that nothing arrives unnoticed in between.
            arrived.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some((place, job)) = state.waiting.pop_front() {
                    state.running += 1;
                    return Some((job, Taken { queue: self, place }));
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Admits nothing more; what was admitted is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_waiters();
    }

    /// Waits for the queue to be closed.
    pub async fn closed(&self) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.lock().closed {
                return;
            }
            arrived.await;
        }
    }

    pub fn load(&self) -> Load {
        self.lock().load()
    }

    /// Takers that have nothing to do.
    #[cfg(test)]
    pub fn idle(&self) -> usize {
        self.lock().idle
    }

    /// No code panics with the lock held, so a poisoned lock still guards a whole state.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn load(&self) -> Load {
        Load { running: self.running, waiting: self.waiting.len() }
    }

    /// The jobs of one request.
    fn add(&mut self, jobs: Vec<T>) {
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(place, jobs.len());
        self.waiting.extend(jobs.into_iter().map(|job| (place, job)));
    }

    fn drop_waiting(&mut self, abandoned: impl Fn(&T) -> bool) -> Vec<T> {
        let (dropped, kept): (Vec<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, job)| abandoned(job));
        self.waiting = kept.into();
        dropped
            .into_iter()
            .map(|(place, job)| {
                self.release(place);
                job
            })
            .collect()
    }

    /// One job of the request is done; with its last the place is free.
    fn release(&mut self, place: Place) {
        if let Some(left) = self.places.get_mut(&place) {
            *left -= 1;
            if *left == 0 {
                self.places.remove(&place);
            }
        }
    }
}

/// Counts a taker as idle while it waits.
struct Idle<'queue, T>(&'queue Queue<T>);

impl<'queue, T> Idle<'queue, T> {
    fn enter(queue: &'queue Queue<T>) -> Self {
        queue.lock().idle += 1;
        Self(queue)
    }
}

impl<T> Drop for Idle<'_, T> {
    fn drop(&mut self) {
        self.0.lock().idle -= 1;
    }
}

/// A job that runs; done when dropped, also by a panic.
pub(super) struct Taken<'queue, T> {
    queue: &'queue Queue<T>,
    place: Place,
}

impl<T> Taken<'_, T> {
    /// The job was not begun: the next taker gets it, in the same place.
    pub fn give_back(self, job: T) {
        let mut state = self.queue.lock();
        // One more of the place's jobs, until dropping this takes one away.
        *state.places.entry(self.place).or_default() += 1;
        state.waiting.push_front((self.place, job));
        drop(state);
        self.queue.arrived.notify_waiters();
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.running -= 1;
        state.release(self.place);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
