//! The service through Argo CD: the chart as an OCI artifact with a version by its content, an Application that points at
//! it, and what Argo CD says of it, explained.

mod aside;
mod chart;
mod checkout;
#[cfg(test)]
mod double;
mod explain;
mod objects;
mod probe;
mod remote;
mod repository;
pub mod set;
mod sets;
mod state;
mod summary;
mod wait;

pub use crate::manifests::CHART;
pub use aside::{look_at_all, looked_after, set_aside};
pub use chart::{Pushed, package, push, version};
pub use checkout::{Checkout, chart_at, observe, remote as remote_here, unreachable};
pub use explain::Trouble;
pub use objects::{GitOps, Owned, application};
pub use remote::{Login, Protocol, Remote};
pub use repository::{Repository, is_from_git};
pub use sets::refuse_sets;
pub use state::{Seen, State, is_served};
pub use summary::{Summary, applications, revision};

/// Where Argo CD and its objects are.
pub const NAMESPACE: &str = "argocd";
/// Of Argo CD's kinds.
pub const GROUP: &str = "argoproj.io";
/// The Application of the whole chart.
pub const APPLICATION: &str = "ocr-app";
