//! The service through Argo CD: the chart as an OCI artifact with a version by its content, an Application that points at
//! it, and what Argo CD says of it, explained.

mod chart;
mod explain;
mod objects;
pub mod set;
mod state;
mod wait;

pub use crate::manifests::CHART;
pub use chart::{Pushed, package, push, version};
pub use explain::Trouble;
pub use objects::{GitOps, Owned, Repository, application};
pub(crate) use state::listed;
pub use state::{Seen, State, Summary, applications, is_served};

/// Where Argo CD and its objects are.
pub const NAMESPACE: &str = "argocd";
/// Of Argo CD's kinds.
pub const GROUP: &str = "argoproj.io";
/// The Application of the whole chart.
pub const APPLICATION: &str = "ocr-app";
