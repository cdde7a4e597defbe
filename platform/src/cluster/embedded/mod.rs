//! The quick start: the same service as supervised processes on this machine. Each "node" is one process group. It is
//! not a cluster: no scheduler, no Kubernetes API.

mod control;
mod grace;
mod scrape;
mod spec;
pub mod supervisor;
mod usage;

pub use control::{Embedded, RoleStatus};
pub use grace::NODE as STOPS_WITHIN;
pub use spec::{NodeSpec, Role, RoleSpec, Spec};
pub use supervisor::FIRST_PAUSE;
