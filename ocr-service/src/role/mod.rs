//! The roles: each turns its configuration into routes.

pub mod experiments;
pub mod frontend;
pub mod gateway;
pub mod model;
pub mod ocr_server;
pub mod translate;
pub mod url_arg;

use axum::http::HeaderName;

/// The name of the process that did the work: a pod's name in a cluster.
pub const INSTANCE: HeaderName = HeaderName::from_static("x-platen-instance");
/// The node that it runs on, where the process was told.
pub const NODE: HeaderName = HeaderName::from_static("x-platen-node");
