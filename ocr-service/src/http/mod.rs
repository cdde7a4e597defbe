//! What every role's HTTP server has in common.

pub mod context;
pub mod error;
pub mod form;
pub mod health;
pub mod reply;
pub mod service;

pub use context::Deadline;
pub use error::ApiError;
