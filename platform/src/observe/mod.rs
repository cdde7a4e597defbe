//! What Prometheus knows of the platform, and the dashboards that ask it.

pub mod dashboard;
pub mod lint;
pub mod prometheus;
pub mod promql;
pub mod verify;

pub use dashboard::{Dashboard, Panel};
pub use prometheus::Prometheus;
