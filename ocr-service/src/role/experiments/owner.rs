//! Whose an experiment is: several services may keep their records in one database.
//!
//! A cluster looks after its Jobs itself, whichever service asks. A local Job ends with the service that has its data
//! folder: as long as that is there, it counts the experiment's beats up, and no other service touches the record. Who takes
//! the folder over knows at once what was cut off; everybody else once the beats have stood still for long. They are compared
//! with themselves, because clocks of hosts differ.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::experiment::Experiment;

/// A service that has not been heard of for so long is gone. Many times the pause between two beats.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Why an experiment has failed whose service is gone, as far as others can tell: its own may know better.
pub const LOST: &str = "ServiceLost";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Jobs of this namespace of a cluster, which are there whether a service is or not.
    Namespace(String),
    /// The service that has the data folder of this name.
    Folder(Uuid),
}

impl Owner {
    /// Whether its experiments end with a service, which says meanwhile that it is there.
    pub fn beats(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// What was recorded before owners were is anybody's.
    pub fn has(&self, experiment: &Experiment) -> bool {
        experiment.owner.as_ref().is_none_or(|owner| *owner == self.to_string())
    }
}

/// As it is recorded.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => write!(f, "kubernetes/{name}"),
            Self::Folder(name) => name.fmt(f),
        }
    }
}

/// What was seen of other services' experiments.
#[derive(Debug, Default)]
pub struct Watched {
    /// How far the beats of each were counted, and since when.
    counted: HashMap<String, (i64, Instant)>,
    looked: Option<Instant>,
}

impl Watched {
    /// Those of `unfinished` that are neither `own` nor those of a service that is still there.
    pub fn lost<'a>(
        &mut self,
        own: &Owner,
        unfinished: &'a [Experiment],
        now: Instant,
    ) -> Vec<&'a Experiment> {
        // Beats stand still too when it was this service that did not get to look.
        let stalled = self.looked.is_some_and(|looked| now.duration_since(looked) > PATIENCE / 2);
        let mut before = std::mem::take(&mut self.counted);
        if stalled {
            before.clear();
        }
        self.looked = Some(now);
        let mut lost = Vec::new();
        for experiment in unfinished.iter().filter(|experiment| !own.has(experiment)) {
            let Some(beats) = experiment.beats else { continue };
            let known = before.get(&experiment.id).filter(|(counted, _)| *counted == beats);
            let since = known.map_or(now, |(_, since)| *since);
            if now.duration_since(since) >= PATIENCE {
                lost.push(experiment);
            }
            self.counted.insert(experiment.id.clone(), (beats, since));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::experiments::experiment::{State, Status};

    const OURS: Owner = Owner::Folder(Uuid::from_u128(1));
    const THEIRS: Owner = Owner::Folder(Uuid::from_u128(2));

    fn namespace(name: &str) -> Owner {
        Owner::Namespace(name.into())
    }

    fn running(owner: &Owner, beats: i64) -> Experiment {
        Experiment {
            id: "run-1".into(),
            learning_rate: 0.1,
            epoch: 1,
            status: Status::of(State::Running),
            owner: Some(owner.to_string()),
            beats: owner.beats().then_some(beats),
            created_ms: 0,
            finished_ms: None,
        }
    }

    #[test]
    fn an_experiment_is_lost_when_its_service_has_not_counted_for_a_minute() {
        let (mut watched, start) = (Watched::default(), Instant::now());
        let mut lost =
            |beats, at: Duration| !watched.lost(&OURS, &[running(&THEIRS, beats)], start + at).is_empty();
        let half = PATIENCE / 2;
        assert_eq!((lost(7, Duration::ZERO), lost(7, half)), (false, false));
        assert_eq!((lost(8, PATIENCE), lost(8, PATIENCE + half)), (false, false));
        assert!(lost(8, PATIENCE * 2));
        assert!(!lost(8, PATIENCE * 3), "nobody looked for a minute");
    }

    #[test]
    fn what_is_ours_and_what_the_cluster_runs_is_never_lost() {
        let (mut watched, start) = (Watched::default(), Instant::now());
        let unfinished = [running(&OURS, 1), running(&namespace("lab"), 1)];
        for halves in 0..9 {
            assert!(watched.lost(&OURS, &unfinished, start + PATIENCE / 2 * halves).is_empty());
        }
    }

    #[test]
    fn an_experiment_is_of_the_one_that_is_recorded_and_an_older_one_anybodys() {
        let (lab, other) = (namespace("lab"), namespace("other"));
        assert!(OURS.has(&running(&OURS, 1)) && lab.has(&running(&lab, 1)));
        assert!(
            !OURS.has(&running(&THEIRS, 1)) && !OURS.has(&running(&lab, 1)) && !other.has(&running(&lab, 1))
        );
        let older = Experiment { owner: None, ..running(&THEIRS, 1) };
        assert!(OURS.has(&older) && lab.has(&older));
    }
}
