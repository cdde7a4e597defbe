//! What a run found, as one HTML file that needs nothing else, with its plots inside: for looking at, sending on and
//! keeping.

mod chaos;
mod load;
pub(crate) mod page;
pub mod plot;

pub(crate) use chaos::chaos;
pub(crate) use load::load;
