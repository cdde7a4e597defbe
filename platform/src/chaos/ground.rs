//! Where a fault happens, behind one trait: a Kubernetes cluster, or the embedded processes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::fault::{Fault, Mode};
use super::journal::UndoStep;
use super::predict::Timings;
use super::report::{MomentKind, Setting};
use super::survey::Survey;
use super::timeline::{Clock, Timeline};
use super::victim::Victim;
use crate::error::Result;
use crate::event::Step;

#[async_trait::async_trait]
pub trait Ground: Send + Sync {
    fn provider(&self) -> &'static str;

    /// What runs now.
    async fn survey(&self) -> Result<Survey>;

    /// What predictions are made from; what depends on the load is the caller's to fill in.
    async fn timings(
        &self,
        survey: &Survey,
        victim: &Victim,
        clock: Clock,
    ) -> Result<(Timings, Vec<Setting>)>;

    /// An error where its fault cannot be done here, with what can.
    async fn ensure_possible(&self, victim: &Victim) -> Result<()>;

    /// What will undo the fault; known before it is done.
    async fn undo_of(&self, victim: &Victim) -> Result<Vec<UndoStep>>;

    /// What will undo [`Ground::without_retries`]; empty where the gateways cannot be changed for one run.
    async fn undo_of_control(&self) -> Result<Vec<UndoStep>>;

    /// Lets the gateways try each request once.
    async fn without_retries(&self, tell: &Step) -> Result<()>;

    async fn strike(&self, victim: &Victim) -> Result<()>;

    /// What shows that it happened, each with whether it is so.
    async fn proofs(&self, victim: &Victim, undo: &[UndoStep]) -> Result<Vec<(String, bool)>>;

    /// As [`Ground::proofs`], once the outage is over: what can only be seen over a time. `struck`: the strike's end.
    async fn late_proofs(&self, victim: &Victim, struck: Timestamp) -> Result<Vec<(String, bool)>>;

    /// Notes what comes, from before the fault on; never ends.
    async fn follow(&self, survey: &Survey, victim: &Victim, timeline: &Timeline);

    async fn undo(&self, step: &UndoStep) -> Result<()>;

    /// What is not as it was, a phrase each; nodes count when they spoke after `since`.
    async fn missing(&self, before: &Survey, since: Timestamp) -> Result<Vec<String>>;

    /// What is there as before and at another place. A sentence each.
    async fn displaced(&self, before: &Survey) -> Result<Vec<String>>;

    /// Brings it back to its place.
    async fn rebalance(&self, before: &Survey, tell: &Step) -> Result<()>;

    fn pace(&self, fault: Fault, survey: &Survey, victim: &Victim) -> Pace;
}

/// How the run goes on after the fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// How long it is loaded before the fault and after all is well, where nothing else is asked for.
    pub steady: Duration,
    /// A fault that does not show by then, from the strike's end, did not happen.
    pub proven_within: Duration,
    /// What ends the outage, and how often it has to come.
    pub awaits: Option<(MomentKind, usize)>,
    /// So long after that, the victim is brought back.
    pub hold: Duration,
    /// After the victim is back, until all is as it was.
    pub settles_within: Duration,
}

/// Until what has happened is seen.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// What ends an outage on a cluster. A strike there has ended when Docker or the API server has done it.
pub fn cluster_pace(fault: Fault, survey: &Survey, victim: &Victim) -> Pace {
    let seconds = Duration::from_secs;
    let (awaits, hold) = match fault {
        Fault::Node { .. } => {
            let awaits = match survey.replaced(&victim.node).count() {
                // Nothing is seen until it is back.
                _ if survey.is_only_control_plane(&victim.node) => None,
                0 => Some((MomentKind::NotReady, 1)),
                count => Some((MomentKind::Ready, count)),
            };
            (awaits, seconds(3))
        }
        Fault::Pod => (Some((MomentKind::Ready, 1)), seconds(1)),
        Fault::Hang => (Some((MomentKind::EndpointsUnready, 1)), seconds(10)),
    };
    Pace {
        steady: seconds(15),
        proven_within: SEEN_WITHIN,
        awaits,
        hold,
        settles_within: Duration::from_mins(4),
    }
}

/// As [`cluster_pace`], where a supervisor starts again what ends. `stops_within`: what a node may take to end in order.
pub fn embedded_pace(fault: Fault, roles: usize, stops_within: Duration) -> Pace {
    let seconds = Duration::from_secs;
    let (awaits, hold) = match fault {
        Fault::Node { mode: Mode::Kill | Mode::Stop } => (Some((MomentKind::Ready, roles)), seconds(1)),
        Fault::Pod => (Some((MomentKind::Ready, 1)), seconds(1)),
        // Nobody starts what has not ended: it hangs for as long as it is let.
        Fault::Node { mode: Mode::Pause } | Fault::Hang => (None, seconds(10)),
    };
    let proven_within = match fault {
        // It was only told to: it answers what it was asked first.
        Fault::Node { mode: Mode::Stop } => stops_within + SEEN_WITHIN,
        _ => SEEN_WITHIN,
    };
    Pace { steady: seconds(8), proven_within, awaits, hold, settles_within: Duration::from_mins(1) }
}

#[cfg(test)]
mod tests {
    use super::super::survey::samples::three_nodes;
    use super::super::victim::What;
    use super::*;

    #[test]
    fn the_outage_of_a_node_ends_with_what_can_be_seen_of_it() {
        let awaits = |survey: &Survey, node: &str| {
            let what = What::Node { name: Some(node.into()), mode: Mode::Kill };
            let victim = what.aim(survey, true).unwrap();
            cluster_pace(victim.fault, survey, &victim).awaits
        };
        let mut survey = three_nodes();
        assert_eq!(awaits(&survey, "c-worker2"), Some((MomentKind::Ready, 3)));
        assert_eq!(awaits(&survey, "c-control-plane"), None, "its API server is away with it");
        survey.pods.retain(|pod| pod.node != "c-worker2");
        assert_eq!(awaits(&survey, "c-worker2"), Some((MomentKind::NotReady, 1)));
    }

    #[test]
    fn a_node_that_ends_in_order_may_take_its_whole_grace_before_its_end_counts_as_not_seen() {
        let grace = Duration::from_secs(40);
        let of = |mode| embedded_pace(Fault::Node { mode }, 3, grace).proven_within;
        assert!(of(Mode::Stop) > grace);
        assert!(of(Mode::Kill) < grace && of(Mode::Pause) < grace);
    }
}
