//! What a run found, as values; docs/chaos.schema.json describes it. Times are seconds from the beginning of the load, on
//! one clock; [`ChaosReport::begun`] says when that was.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::error::{Error, Exit, Result};
use crate::load;

/// The form of this document; raised when a reader of the old one would be misled.
pub(super) const VERSION: u32 = 1;

/// Times in seconds from `begun`, latencies in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChaosReport {
    pub version: u32,
    /// RFC 3339: second zero of every time in this document.
    pub begun: String,
    pub seconds: f64,
    pub provider: String,
    pub profile: String,
    pub fault: FaultReport,
    pub preflight: Preflight,
    /// What predictions were made from.
    pub settings: Vec<Setting>,
    /// In the order in which it is told to happen; what did not happen has no time.
    pub timeline: Vec<Moment>,
    pub phases: Vec<Phase>,
    /// The load as a whole; `None` where the run ended before there was any.
    pub load: Option<load::Report>,
    pub verdict: Verdict,
    /// What the times were made of: why it took as long as it did, and how long it would have taken by Kubernetes' own
    /// defaults. A sentence each.
    pub lessons: Vec<String>,
    pub undo: Undo,
}

/// What was done, to what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    pub fault: Option<Fault>,
    /// In words: `node platen-worker killed`.
    pub title: String,
    /// The node, pod or process by its name.
    pub victim: String,
    /// The node that it is or is on.
    pub node: String,
    /// Why this one.
    pub why: String,
    /// Pods or processes that went with it.
    pub takes: Vec<String>,
    /// When it was done; `None` where the run ended before.
    pub at: Option<f64>,
    /// What showed that it happened.
    pub proofs: Vec<Proof>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub what: String,
    pub holds: bool,
    pub at: f64,
}

/// What was looked at before anything was done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Preflight {
    pub findings: Vec<Finding>,
    /// Whether what the victim carries fits on the others; by resource.
    pub headroom: Vec<Headroom>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something will be away with the victim.
    Warning,
    /// The run does not begin without `--force`.
    Blocking,
}

/// One resource, with the victim gone. Processors in thousandths, memory in MiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom {
    /// `cpu` or `memory`.
    pub resource: String,
    pub unit: String,
    /// What pods on the victim reserve that have to go elsewhere.
    pub needed: u64,
    /// What is free on the other nodes that take such pods.
    pub free: u64,
    pub fits: bool,
}

/// A value that predictions were made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    pub name: String,
    pub value: String,
    /// Where it was read.
    pub source: String,
    /// Not read: the documented default of this version.
    pub is_default: bool,
}

/// A step on the way from the fault to all being well again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    pub kind: MomentKind,
    pub title: String,
    /// When the last of its objects came to it; `None`: not seen.
    pub at: Option<f64>,
    /// What came to it, and when.
    pub objects: Vec<Seen>,
    pub predicted: Option<Prediction>,
    /// Seen later than predicted; negative: earlier.
    pub deviation: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub name: String,
    pub at: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    pub at: f64,
    /// Seconds by which the sources themselves leave it open.
    pub give_or_take: f64,
    pub because: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    Fault,
    FirstFailedTry,
    LastFailedTry,
    FirstFailedRequest,
    LastFailedRequest,
    LeaseStale,
    NotReady,
    EndpointsUnready,
    Taint,
    Eviction,
    Scheduled,
    Started,
    Ready,
    NodeBack,
    NodeReady,
    AllReady,
}

impl MomentKind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::FirstFailedTry => "first failed try",
            Self::LastFailedTry => "last failed try",
            Self::FirstFailedRequest => "first request failed for good",
            Self::LastFailedRequest => "last request failed for good",
            Self::LeaseStale => "lease stale",
            Self::NotReady => "node NotReady",
            Self::EndpointsUnready => "endpoints unready",
            Self::Taint => "taint NoExecute",
            Self::Eviction => "pods evicted",
            Self::Scheduled => "replacements scheduled",
            Self::Started => "replacements started",
            Self::Ready => "replacements Ready",
            Self::NodeBack => "victim brought back",
            Self::NodeReady => "node Ready again",
            Self::AllReady => "everything Ready again",
        }
    }
}

/// A part of the run; a request belongs to that in which it had to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: PhaseName,
    pub from: f64,
    pub to: f64,
    pub sent: u64,
    pub good: u64,
    /// Failed for good, or answered wrongly.
    pub failed: u64,
    /// Tries that brought nothing in this time; most of their requests got through elsewhere.
    pub lost_tries: u64,
    /// Of good answers, from the time at which each had to be sent.
    pub latency: Option<load::Summary>,
    /// The same, from the time at which each was really sent.
    pub latency_from_sending: Option<load::Summary>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Before the fault.
    Steady,
    /// From the fault until the replacements are Ready.
    Outage,
    /// From there until the victim is back and everything is Ready.
    Return,
    /// With all as it was.
    After,
}

/// How it ended, in sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub outcome: Outcome,
    /// What speaks for it; each with whether it is as wanted.
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub name: String,
    pub standing: Standing,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Kept,
    Missed,
    /// Told, and not a part of the verdict.
    Noted,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Failed,
    /// The fault did not happen, or the load was not as asked for.
    #[default]
    Inconclusive,
    /// Limits were missed by so much that the run was ended at once.
    Aborted,
    Interrupted,
}

/// What was put back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub steps: Vec<UndoneStep>,
    /// Everything was looked at afterwards and is as it was.
    pub verified: bool,
    /// What is not as it was before, though nothing is broken. A sentence each.
    pub remarks: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoneStep {
    pub title: String,
    pub done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ChaosReport {
    pub fn moment(&self, kind: MomentKind) -> Option<&Moment> {
        self.timeline.iter().find(|moment| moment.kind == kind)
    }

    pub fn phase(&self, name: PhaseName) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// How the command ends: an error says what was missed.
    pub fn exit(&self) -> Result<Exit> {
        let missed: Vec<&str> = self.verdict.missed().collect();
        match self.verdict.outcome {
            Outcome::Passed => Ok(Exit::Done),
            Outcome::Inconclusive => Ok(Exit::Inconclusive),
            Outcome::Interrupted => Ok(Exit::Interrupted),
            Outcome::Failed | Outcome::Aborted => {
                Err(Error::unhealthy(missed.join("; "), "see the timeline and the requests: the report"))
            }
        }
    }
}

impl Verdict {
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        let missed = self.points.iter().filter(|point| point.standing == Standing::Missed);
        missed.map(|point| point.sentence.as_str())
    }
}
