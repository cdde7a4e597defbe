//! What Prometheus knows of the platform, and the dashboards that ask it.

pub mod alerts;
pub mod dashboard;
pub mod grafana;
pub mod lint;
pub mod operator;
pub mod prometheus;
pub mod promql;
pub mod render;
pub mod sidecar;
pub mod verify;

pub use dashboard::{Dashboard, Panel};
pub use prometheus::Prometheus;
