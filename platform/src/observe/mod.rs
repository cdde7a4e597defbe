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

/// The job that every role of the service is scraped as, wherever it runs.
pub const JOB: &str = "ocr";

pub use dashboard::{Dashboard, Panel};
pub use prometheus::Prometheus;
