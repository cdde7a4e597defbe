//! A plan: values that can be shown, compared and carried out.

use std::time::Duration;

use serde::Serialize;

use super::choose::Choice;

/// The steps of all providers, in the order in which they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepId {
    /// Debian packages that the service needs on this machine.
    Packages,
    /// The service's binary for this machine.
    Service,
    /// Prometheus, for what runs on this machine without a cluster.
    Metrics,
    /// Docker.
    Engine,
    /// What a cluster is made of, built from source where it cannot be pulled.
    Sources,
    /// The local registry.
    Registry,
    Cluster,
    /// The service's image, in the registry.
    Image,
    /// Argo CD, by its chart.
    Argocd,
    /// Prometheus with its operator, by their chart.
    Monitoring,
    /// The service's chart, installed and ready.
    Apps,
}

impl StepId {
    pub const ALL: [Self; 11] = [
        Self::Packages,
        Self::Service,
        Self::Metrics,
        Self::Engine,
        Self::Sources,
        Self::Registry,
        Self::Cluster,
        Self::Image,
        Self::Argocd,
        Self::Monitoring,
        Self::Apps,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Service => "service",
            Self::Metrics => "metrics",
            Self::Engine => "engine",
            Self::Sources => "sources",
            Self::Registry => "registry",
            Self::Cluster => "cluster",
            Self::Image => "image",
            Self::Argocd => "argocd",
            Self::Monitoring => "monitoring",
            Self::Apps => "apps",
        }
    }
}

impl std::str::FromStr for StepId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = Self::ALL.iter().map(|step| step.name()).collect();
        Self::ALL
            .into_iter()
            .find(|step| step.name() == text)
            .ok_or_else(|| format!("{text:?} is not a step: use one of {}", names.join(", ")))
    }
}

/// One thing to do, with the reason that was found for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    pub step: StepId,
    pub title: String,
    pub why: String,
    /// A forecast for two cores, in seconds in JSON.
    #[serde(serialize_with = "seconds")]
    pub expected: Duration,
}

impl Action {
    pub fn new(
        step: StepId,
        title: impl Into<String>,
        why: impl Into<String>,
        expected_seconds: u64,
    ) -> Self {
        Self { step, title: title.into(), why: why.into(), expected: Duration::from_secs(expected_seconds) }
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    #[serde(flatten)]
    pub choice: Choice,
    /// Empty: there is nothing to do.
    pub actions: Vec<Action>,
}

impl Plan {
    pub fn new(choice: Choice, mut actions: Vec<Action>) -> Self {
        actions.sort_by_key(|action| action.step);
        Self { choice, actions }
    }

    pub fn expected(&self) -> Duration {
        self.actions.iter().map(|action| action.expected).sum()
    }
}
