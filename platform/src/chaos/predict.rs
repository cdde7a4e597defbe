//! What is to be expected, and when: arithmetic with the cluster's own settings, done before the fault.

use std::collections::BTreeMap;

use super::fault::{Fault, Mode};
use super::report::{MomentKind, Prediction};
use super::victim::Victim;
use crate::load::Policy;

/// The settings, in seconds. What they mean is documented in docs/chaos.md.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings {
    pub cluster: Option<ClusterTimings>,
    /// The embedded provider's: the pause before what ended is started again.
    pub restart_pause: f64,
    /// The longest toleration of the pods that are to be replaced.
    pub toleration: f64,
    pub startup_period: f64,
    pub readiness_period: f64,
    /// Of an unready pod: so long after it stops answering, at the earliest and the latest.
    pub unready: (f64, f64),
    /// How long the client takes to find a door dead, at the earliest and the latest; `None`: it goes on to ask it.
    pub door: Option<(f64, f64)>,
    /// Between two requests by the same door.
    pub between: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClusterTimings {
    /// How long a node may be silent before it is NotReady.
    pub grace: f64,
    /// Between two looks of the controller at the nodes.
    pub monitor: f64,
    /// For how long a lease is good.
    pub lease: f64,
    /// When the victim last renewed its lease, on the clock of the run.
    pub renewed: f64,
    /// Whether anything is replaced elsewhere.
    pub replaces: bool,
    /// Whether the API server goes on without the victim: else nothing of what follows is done or seen.
    pub is_watched: bool,
}

impl Timings {
    /// With what the load adds to the settings; `rate`: requests a second by all doors.
    pub fn with_client(self, doors: usize, rate: f64, victim: &Victim, policy: Policy) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a handful of doors")]
        let between = doors as f64 / rate;
        let (earliest, latest) = match victim.fault {
            // Asked every half second, without an answer at once or after a second, twice.
            Fault::Node { mode: Mode::Pause } => (1.5, 2.5),
            // Passed over with the first try that it loses, and found dead by the same questions, which it refuses.
            _ => (0.0, 1.5),
        };
        // Who goes on to ask a dead door fails there for as long as it is dead.
        let door = policy.failover.then_some((earliest, latest));
        Self { door, between, ..self }
    }
}

type Predictions = BTreeMap<MomentKind, Prediction>;

/// From the controllers' queues to what a client of the API server sees of it.
const PROPAGATION: f64 = 0.3;
/// A container whose image is there, from its scheduling to its start: sandbox, network, process. One that starts alone,
/// as the chart's do.
const CONTAINER: f64 = 1.0;
/// The service from its start until it says that it is ready: the model loads its language data.
const SERVICE: f64 = 0.5;

/// `at`: the fault, on the clock of the run.
pub fn predict(fault: Fault, timings: &Timings, at: f64) -> Predictions {
    let mut predictions = Predictions::new();
    tries(fault, timings, at, &mut predictions);
    match (fault, &timings.cluster) {
        (Fault::Node { .. }, Some(cluster)) if cluster.is_watched => {
            node_of_cluster(timings, cluster, &mut predictions);
        }
        (Fault::Pod, Some(_)) => replaced(timings, at, PROPAGATION, "the pod is removed", &mut predictions),
        (Fault::Hang, Some(_)) => {
            let because = "the readiness probe has to fail as often as it is told to";
            predictions.insert(MomentKind::EndpointsUnready, window(at, timings.unready, because));
        }
        (Fault::Node { mode: Mode::Kill } | Fault::Pod, None) => restarted(timings, at, &mut predictions),
        // With the only control plane nothing is seen of the cluster. How long a node takes to end in order depends on what
        // it is asked at that moment; what hangs has not ended.
        (Fault::Node { .. }, Some(_))
        | (Fault::Node { mode: Mode::Stop | Mode::Pause } | Fault::Hang, None) => {}
    }
    predictions
}

/// What the client of a dead door sees.
fn tries(fault: Fault, timings: &Timings, at: f64, predictions: &mut Predictions) {
    match fault {
        Fault::Node { mode: Mode::Kill } => {
            let first = (0.0, timings.between);
            let because = "the next request by the dead door is refused";
            predictions.insert(MomentKind::FirstFailedTry, window(at, first, because));
            let because = "a door that lost a try is passed over until it answers a question";
            if let Some(found) = timings.door {
                predictions.insert(MomentKind::LastFailedTry, window(at, found, because));
            }
        }
        Fault::Node { mode: Mode::Pause } => {
            let because = "nothing is heard of a door that hangs until it is found dead";
            if let Some(found) = timings.door {
                let both = window(at, found, because);
                predictions.insert(MomentKind::FirstFailedTry, both.clone());
                predictions.insert(MomentKind::LastFailedTry, both);
            }
        }
        // A node that ends in order refuses requests only at its end; of a pod the gateway takes care.
        Fault::Node { mode: Mode::Stop } | Fault::Pod | Fault::Hang => {}
    }
}

fn node_of_cluster(timings: &Timings, cluster: &ClusterTimings, predictions: &mut Predictions) {
    let stale = cluster.renewed + cluster.lease;
    let because =
        format!("{:.0} s after the last renewal of its lease, the length of the lease", cluster.lease);
    predictions.insert(MomentKind::LeaseStale, Prediction { at: stale, give_or_take: 1.0, because });
    // The controller counts from its look that saw the last renewal, at most one period after it, and finds the grace over
    // at the look that falls on its end.
    let not_ready = (cluster.renewed + cluster.grace, cluster.renewed + cluster.grace + cluster.monitor);
    let because = format!(
        "{:.0} s of grace from the look that saw the last renewal; there is one every {:.0} s",
        cluster.grace, cluster.monitor
    );
    let not_ready = window(0.0, not_ready, because);
    let and = |delay: f64, because: &str| Prediction {
        at: not_ready.at + delay,
        give_or_take: not_ready.give_or_take,
        because: because.into(),
    };
    predictions.insert(MomentKind::Taint, and(0.0, "the same look taints the node"));
    if !cluster.replaces {
        predictions.insert(MomentKind::NotReady, not_ready);
        return;
    }
    let because = "with NotReady its pods are told to be unready, and endpoints follow";
    predictions.insert(MomentKind::EndpointsUnready, and(PROPAGATION, because));
    let evicted = timings.toleration + PROPAGATION;
    let because =
        format!("{:.0} s after the taint, as the last of the pods tolerates it", timings.toleration);
    predictions.insert(MomentKind::Eviction, and(evicted, &because));
    let base = not_ready.at + evicted;
    let give = not_ready.give_or_take;
    predictions.insert(MomentKind::NotReady, not_ready);
    replaced(timings, base, PROPAGATION, "pods are evicted", predictions);
    for kind in [MomentKind::Scheduled, MomentKind::Started, MomentKind::Ready] {
        if let Some(prediction) = predictions.get_mut(&kind) {
            prediction.give_or_take += give;
        }
    }
}

/// The way of a replacement, from the removal of what it replaces.
fn replaced(timings: &Timings, removed: f64, scheduling: f64, what: &str, predictions: &mut Predictions) {
    let scheduled = removed + scheduling;
    let mut add = |kind, at, because: String| {
        predictions.insert(kind, Prediction { at, give_or_take: 1.0, because });
    };
    add(MomentKind::Scheduled, scheduled, format!("as soon as {what}, where there is room"));
    let started = scheduled + CONTAINER;
    add(
        MomentKind::Started,
        started,
        format!("its image is on the node: about {CONTAINER:.0} s for sandbox and network"),
    );
    // kubelet asks for readiness as soon as the startup probe has passed.
    let period = if timings.startup_period > 0.0 { timings.startup_period } else { timings.readiness_period };
    let because = format!("about {SERVICE:.1} s for the service, which is looked at every {period:.0} s");
    add(MomentKind::Ready, started + SERVICE + period / 2.0, because);
}

/// The embedded provider's supervisor.
fn restarted(timings: &Timings, at: f64, predictions: &mut Predictions) {
    let started = at + timings.restart_pause;
    let because = format!("{:.1} s after its end the supervisor starts it again", timings.restart_pause);
    predictions.insert(MomentKind::Started, Prediction { at: started, give_or_take: 0.5, because });
    let because = format!("about {SERVICE:.1} s for the service");
    predictions.insert(MomentKind::Ready, Prediction { at: started + SERVICE, give_or_take: 1.0, because });
}

/// The middle of a window after `at`, and how far its ends are.
fn window(at: f64, (earliest, latest): (f64, f64), because: impl Into<String>) -> Prediction {
    Prediction {
        at: at + f64::midpoint(earliest, latest),
        give_or_take: (latest - earliest) / 2.0,
        because: because.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Kubernetes 1.36's defaults, 15 s of toleration, 20 requests a second by three doors, a lease renewed at 17 s.
    pub fn timings() -> Timings {
        Timings {
            cluster: Some(ClusterTimings {
                grace: 50.0,
                monitor: 5.0,
                lease: 40.0,
                renewed: 17.0,
                replaces: true,
                is_watched: true,
            }),
            restart_pause: 0.2,
            toleration: 15.0,
            startup_period: 1.0,
            readiness_period: 2.0,
            unready: (2.0, 6.0),
            door: Some((0.5, 2.0)),
            between: 0.15,
        }
    }

    fn at(predictions: &Predictions, kind: MomentKind) -> (f64, f64) {
        let prediction = &predictions[&kind];
        ((prediction.at * 100.0).round() / 100.0, (prediction.give_or_take * 100.0).round() / 100.0)
    }

    #[test]
    fn a_killed_node_goes_the_way_of_lease_grace_and_toleration() {
        let predictions = predict(Fault::Node { mode: Mode::Kill }, &timings(), 20.0);
        assert_eq!(at(&predictions, MomentKind::FirstFailedTry), (20.08, 0.08));
        assert_eq!(at(&predictions, MomentKind::LastFailedTry), (21.25, 0.75));
        assert_eq!(at(&predictions, MomentKind::LeaseStale), (57.0, 1.0));
        // 17 + 50 at the earliest, a look of 5 s later at the latest.
        assert_eq!(at(&predictions, MomentKind::NotReady), (69.5, 2.5));
        assert_eq!(at(&predictions, MomentKind::Taint), (69.5, 2.5));
        assert_eq!(at(&predictions, MomentKind::EndpointsUnready), (69.8, 2.5));
        assert_eq!(at(&predictions, MomentKind::Eviction), (84.8, 2.5));
        assert_eq!(at(&predictions, MomentKind::Scheduled), (85.1, 3.5));
        assert_eq!(at(&predictions, MomentKind::Started), (86.1, 3.5));
        assert_eq!(at(&predictions, MomentKind::Ready), (87.1, 3.5));
    }

    fn kinds(timings: &Timings) -> Vec<MomentKind> {
        predict(Fault::Node { mode: Mode::Kill }, timings, 20.0).into_keys().collect()
    }

    #[test]
    fn of_a_node_with_nothing_to_replace_only_its_own_moments_are_predicted() {
        let cluster = timings().cluster.map(|cluster| ClusterTimings { replaces: false, ..cluster });
        let alone = kinds(&Timings { cluster, ..timings() });
        let own = [MomentKind::LeaseStale, MomentKind::NotReady, MomentKind::Taint];
        assert_eq!(alone, [&[MomentKind::FirstFailedTry, MomentKind::LastFailedTry][..], &own[..]].concat());
    }

    #[test]
    fn of_the_only_control_plane_nothing_is_predicted_that_its_api_server_would_tell() {
        let cluster = timings().cluster.map(|cluster| ClusterTimings { is_watched: false, ..cluster });
        let alone = kinds(&Timings { cluster, ..timings() });
        assert_eq!(alone, [MomentKind::FirstFailedTry, MomentKind::LastFailedTry]);
    }

    #[test]
    fn the_five_minutes_are_the_default_toleration() {
        let own = predict(Fault::Node { mode: Mode::Kill }, &timings(), 20.0);
        let default = Timings { toleration: 300.0, ..timings() };
        let default = predict(Fault::Node { mode: Mode::Kill }, &default, 20.0);
        let later = default[&MomentKind::Ready].at - own[&MomentKind::Ready].at;
        assert!((later - 285.0).abs() < 1e-9, "{later}");
    }

    #[test]
    fn a_pod_is_replaced_at_once_and_a_hanging_one_found_by_its_probe() {
        let pod = predict(Fault::Pod, &timings(), 10.0);
        assert_eq!((at(&pod, MomentKind::Scheduled).0, at(&pod, MomentKind::Ready).0), (10.3, 12.3));
        assert!(!pod.contains_key(&MomentKind::NotReady));
        let hang = predict(Fault::Hang, &timings(), 10.0);
        assert_eq!(at(&hang, MomentKind::EndpointsUnready), (14.0, 2.0));
    }

    #[test]
    fn embedded_processes_come_back_by_their_supervisor() {
        let timings = Timings { cluster: None, ..timings() };
        let killed = predict(Fault::Node { mode: Mode::Kill }, &timings, 10.0);
        assert_eq!((at(&killed, MomentKind::Started).0, at(&killed, MomentKind::Ready).0), (10.2, 10.7));
        for (mode, why) in
            [(Mode::Pause, "nobody starts what has not ended"), (Mode::Stop, "its end takes its time")]
        {
            let predicted = predict(Fault::Node { mode }, &timings, 10.0);
            assert!(!predicted.contains_key(&MomentKind::Started), "{why}");
        }
    }
}
