//! `[gitops]`: where Argo CD reads the chart from.

use serde::{Deserialize, Serialize};

/// How Argo CD delivers the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GitopsConfig {
    pub source: ChartSource,
    /// The address of a Git repository; without it that of the checkout's own remote.
    pub repository: Option<String>,
    /// The branch that Argo CD follows; without it the upstream of the one that is checked out.
    pub branch: Option<String>,
}

/// Where Argo CD reads the chart from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartSource {
    /// What the cluster has, and it is not taken off Git; at the first time Git, where one is configured or the cluster reaches the checkout's remote,
    /// else the registry.
    #[default]
    Auto,
    /// A Git repository, which Argo CD follows by itself.
    Git,
    /// The chart of this checkout, pushed to the registry under a version by its content.
    Registry,
}
