//! Memory for the bodies of all of a role's requests that are under way: bounded, so that a crowd is refused instead of
//! held.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted: a smaller body counts as one of these.
const UNIT: usize = 1 << 10;

/// A role's share for bodies; clones are the same share.
#[derive(Clone, Debug)]
pub struct BodyMemory {
    free: Arc<Semaphore>,
    units: u32,
}

/// A body's part of it, free again when dropped.
#[derive(Debug)]
pub struct Reserved(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl BodyMemory {
    pub fn new(bytes: usize) -> Self {
        let units = u32::try_from((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// A part for `bytes`, if so much is free at this moment. What is larger than all there is takes all of it.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units);
        self.free.clone().try_acquire_many_owned(units).ok().map(Reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_free_again_when_it_is_dropped() {
        let memory = BodyMemory::new(10 * UNIT);
        let held = memory.reserve(6 * UNIT).unwrap();
        assert!(memory.reserve(5 * UNIT).is_none() && memory.reserve(4 * UNIT).is_some());
        drop(held);
        assert!(memory.reserve(10 * UNIT).is_some());
    }

    #[test]
    fn a_body_that_is_larger_than_all_of_it_has_it_alone() {
        let memory = BodyMemory::new(UNIT);
        let held = memory.reserve(usize::MAX).unwrap();
        assert!(memory.reserve(1).is_none());
        drop(held);
        assert!(memory.reserve(1).is_some());
    }
}
