//! Experiments: recorded in a database, run as Jobs.

pub mod parameters;
