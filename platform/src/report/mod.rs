//! What a run found, as one HTML file that needs nothing else, with its plots inside: for looking at, sending on and
//! keeping.

pub mod plot;

/// How such pages look, and what they do under the pointer.
pub(crate) const CSS: &str = include_str!("page.css");
pub(crate) const JS: &str = include_str!("page.js");
