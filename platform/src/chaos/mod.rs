//! Faults under load: a victim, one timeline of what follows, prediction beside measurement, a verdict, and everything
//! undone.

mod abort;
mod closing;
#[cfg(test)]
mod double;
mod embedded;
mod fault;
mod files;
mod ground;
mod journal;
mod kubernetes;
mod lessons;
mod predict;
mod preflight;
mod recover;
mod report;
mod rest;
mod run;
mod scene;
mod signals;
mod strike;
mod survey;
mod timeline;
mod traffic;
mod undoing;
mod verdict;
mod victim;

pub use abort::Abort;
pub use fault::{Fault, Mode};
pub(crate) use journal::{forget, warn_of_left};
pub use recover::{Recovered, recover};
pub use report::{
    ChaosReport, FaultReport, Finding, Headroom, Moment, MomentKind, Outcome, Phase, PhaseName, Point,
    Prediction, Preflight, Proof, Seen, Setting, Severity, Standing, Undo, UndoneStep, Verdict,
};
pub use run::{ChaosOptions, ChaosPlan, Ran, chaos};
pub(crate) use signals::interrupted;
pub use verdict::Limits;
pub(crate) use verdict::{NEAR, RATIO};
pub use victim::What;
