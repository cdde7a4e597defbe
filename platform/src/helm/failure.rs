//! Why helm failed, read from what it said: its exit code is 1 for everything.

use super::{CORRECT_THE_CHART, Fault, Release};
use crate::error::Error;
use crate::process::ProcessError;

/// The causes that call for different next steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There is no such release.
    NotFound,
    /// Objects did not become ready in time.
    TimedOut,
    /// Another helm holds the release, or one that was killed left it so.
    InProgress,
    /// The values do not fit the chart's schema.
    ValuesRefused,
    /// A template of the chart fails.
    DoesNotRender,
    /// The cluster does not know a kind of the chart, or not yet.
    UnknownKind,
    /// The cluster did not answer.
    Unreachable,
    /// An object exists and belongs to something else.
    NotOurs,
    /// The account may not do this.
    Forbidden,
    Other,
}

impl Failure {
    pub fn of(error: &ProcessError) -> Self {
        let complaint = match error {
            ProcessError::Failed { complaint, .. } => complaint,
            ProcessError::TimedOut { .. } => return Self::TimedOut,
            ProcessError::NotFound { .. } | ProcessError::NotStarted { .. } => return Self::Other,
        };
        let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
        // Order matters: a refused connection also ends in a deadline, and "not found" stands in many messages.
        if says(&["release: not found", "Release not loaded"]) {
            Self::NotFound
        } else if says(&["another operation (install/upgrade/rollback) is in progress"]) {
            Self::InProgress
        } else if says(&["values don't meet the specifications of the schema"]) {
            Self::ValuesRefused
        } else if says(&["ensure CRDs are installed first"]) {
            Self::UnknownKind
        } else if Fault::find(complaint).is_some() {
            Self::DoesNotRender
        } else if says(&[
            "cluster unreachable",
            "connection refused",
            "no such host",
            "does not exist in the kubeconfig",
            "no route to host",
        ]) || (says(&["context \""]) && says(&["does not exist"]))
        {
            Self::Unreachable
        } else if says(&["invalid ownership metadata", "cannot be imported into the current release"]) {
            Self::NotOurs
        } else if says(&["is forbidden", "Unauthorized"]) {
            Self::Forbidden
        } else if says(&[
            "context deadline exceeded",
            "timed out waiting",
            "resource not ready",
            "resources not ready",
        ]) {
            Self::TimedOut
        } else {
            Self::Other
        }
    }
}

/// The crate's error for a failed helm, with the next step that fits its cause.
pub(super) fn explained(error: ProcessError, release: &Release) -> Error {
    let failure = Failure::of(&error);
    let ProcessError::Failed { complaint, .. } = &error else { return error.into() };
    let why = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    match failure {
        Failure::DoesNotRender => {
            let fault = Fault::find(complaint).map_or(why, |fault| fault.to_string());
            Error::unhealthy(format!("the chart of {release} does not render: {fault}"), CORRECT_THE_CHART)
        }
        Failure::ValuesRefused => Error::usage(
            format!("the values of {release} do not fit its chart: {why}"),
            "correct the key that is named; the chart's values.yaml describes each",
        ),
        Failure::Unreachable => Error::unhealthy(
            format!("helm cannot reach the cluster of {release}: {why}"),
            "look whether the cluster still answers: cargo xtask status",
        ),
        Failure::InProgress => Error::unhealthy(
            format!("another helm is working on {release}"),
            "wait for it; where none runs, the next `cargo xtask deploy` mends what it left",
        ),
        Failure::NotOurs => Error::unhealthy(
            format!("an object that {release} needs belongs to something else: {why}"),
            "remove or rename that object, then run the same command again",
        ),
        Failure::Forbidden => Error::unhealthy(
            format!("this account may not change {release}: {why}"),
            "use a context whose account may, or ask for the right that is named",
        ),
        Failure::UnknownKind | Failure::NotFound | Failure::TimedOut | Failure::Other => error.into(),
    }
}
