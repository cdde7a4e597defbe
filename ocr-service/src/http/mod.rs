//! What every role's HTTP server has in common.

pub mod body;
pub mod context;
pub mod error;
pub mod form;
pub mod health;
pub mod memory;
pub mod reply;
pub mod serve;
pub mod service;
mod tail;
pub mod upstream;

pub use context::Deadline;
pub use error::ApiError;
