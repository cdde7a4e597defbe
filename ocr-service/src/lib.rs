//! The OCR service's parts: engines, protocol, HTTP and roles. The binary only wires them.

pub mod app;
pub mod capacity;
pub mod cli;
pub mod clova;
pub mod duration;
pub mod engine;
pub mod env_file;
pub mod http;
pub mod identity;
pub mod image;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod nutrition;
pub mod openapi;
pub mod random;
pub mod role;
pub mod secret;
pub mod shutdown;
pub mod train;
pub mod v2;
