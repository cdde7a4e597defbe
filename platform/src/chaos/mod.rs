//! Faults under load: a victim, one timeline of what follows, prediction beside measurement, a verdict, and everything
//! undone.

mod fault;
mod report;

pub use fault::{Fault, Mode};
pub use report::{
    ChaosReport, FaultReport, Finding, Headroom, Moment, MomentKind, Outcome, Phase, PhaseName, Point,
    Prediction, Preflight, Proof, Seen, Setting, Severity, Standing, Undo, UndoneStep, Verdict,
};
