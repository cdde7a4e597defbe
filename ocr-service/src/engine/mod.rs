//! Recognition: engines in child processes, and the pool that keeps warmed ones busy.

pub mod cache;
pub mod child;
mod descriptor;
#[cfg(test)]
mod fixtures;
mod frame;
pub mod layout;
pub mod options;
pub mod pool;
pub mod prepare;
pub mod process;
mod protocol;
mod queue;
mod render;
mod supervisor;

use serde::{Deserialize, Serialize};

pub use cache::Cache;
pub use layout::Layout;
pub use options::{Language, Options, Output, Segmentation};
pub use pool::{Pool, PoolError, PoolSize};
pub use process::{Channel, Launcher};

/// What was read in one image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recognition {
    pub text: String,
    /// Where it stands, if the options asked for more than the text.
    pub layout: Option<Layout>,
}

impl Recognition {
    /// As one text: `words` as JSON. Without a layout, because none was asked for, nothing but the text is there.
    pub fn render(&self, output: Output) -> String {
        match (&self.layout, output) {
            (_, Output::Text) => self.text.clone(),
            (None, _) => String::new(),
            // Words are strings and numbers, which can all be written.
            (Some(layout), Output::Words) => {
                serde_json::to_string(&layout.words().collect::<Vec<_>>()).unwrap_or_default()
            }
            (Some(layout), Output::Hocr) => render::hocr(layout),
            (Some(layout), Output::Tsv) => render::tsv(layout),
        }
    }
}

/// Why one image gave no text although the engine still works.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The header promised an image, the rest does not keep the promise: the sender's fault.
    #[error("the image cannot be decoded; is the file complete?")]
    Undecodable,
    /// The deadline passed or nobody wants the text any more.
    #[error("the recognition was stopped")]
    Stopped,
    /// The engine's fault.
    #[error("{0}")]
    Engine(String),
}
