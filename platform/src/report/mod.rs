//! What a run found, as one HTML file that needs nothing else, with its plots inside: for looking at, sending on and
//! keeping.

mod chaos;
pub(crate) mod folder;
mod load;
pub(crate) mod page;
pub mod plot;

pub(crate) use chaos::chaos;
pub use folder::Folder;
pub(crate) use load::load;
