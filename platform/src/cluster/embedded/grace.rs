//! How long each level waits for the one below it to end, before it uses force. A level that is less patient than the
//! one below cuts off requests that the service would have answered. Idle roles end at once, so none of it is waited
//! for in a normal stop.

use std::time::Duration;

/// The longest that a request may take (the service's --deadline).
pub const DEADLINE: Duration = Duration::from_secs(30);
/// What the service itself adds to it at its end: for writing the last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// What the service then gives its engines (ENGINE_PATIENCE).
const ENGINES: Duration = Duration::from_secs(2);
/// For the process to be gone, on a machine that is busy.
const MARGIN: Duration = Duration::from_secs(2);
/// A level's own work after the end of the one below: records to remove, a parent to notice.
const LEVEL: Duration = Duration::from_secs(4);

/// From SIGTERM to SIGKILL for a role.
pub const ROLE: Duration =
    DEADLINE.saturating_add(LAST_ANSWERS).saturating_add(ENGINES).saturating_add(MARGIN);
/// From SIGTERM to SIGKILL for a node.
pub const NODE: Duration = ROLE.saturating_add(LEVEL);
/// From SIGTERM to SIGKILL for the supervisor.
pub const SUPERVISOR: Duration = NODE.saturating_add(LEVEL);
/// From SIGKILL to the end: only the kernel is waited for.
pub const KILLED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_more_patient_than_the_one_below() {
        let service = DEADLINE + LAST_ANSWERS + ENGINES;
        let levels = [service, ROLE, NODE, SUPERVISOR];
        assert!(levels.is_sorted_by(|lower, higher| lower < higher), "{levels:?}");
    }
}
