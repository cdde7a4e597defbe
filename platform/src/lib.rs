//! Plans, applies and verifies an OCR platform on Kubernetes. Never prints: what happens is told as [`event::Event`]s.

#![forbid(unsafe_code)]

pub mod bench;
pub mod chaos;
pub mod checks;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod diagnose;
mod digest;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod event;
pub mod gitops;
pub mod helm;
pub mod host;
mod http;
pub mod images;
pub mod load;
pub mod lock;
pub mod manifests;
pub mod mirror;
pub mod observe;
pub mod ports;
pub mod process;
mod proxy;
mod redact;
pub mod registry;
pub mod report;
pub mod room;
pub mod service;
pub mod status;
pub mod tls;
pub mod tools;
pub mod up;
mod variables;
pub mod wait;

pub use error::{Error, Exit, Result};
