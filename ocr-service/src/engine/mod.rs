//! Recognition: what an engine is, and the pool that keeps warmed ones busy.

pub mod options;
pub mod pool;
pub mod prepare;
mod queue;
pub mod tesseract;
mod worker;

pub use options::{Language, Options, Segmentation};
pub use pool::{Pool, PoolError, PoolSize};

use crate::image::Image;

/// What was read in one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognition {
    pub text: String,
}

/// Why one image gave no text although the engine still works.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The header promised an image, the rest does not keep the promise: the sender's fault.
    #[error("the image cannot be decoded; is the file complete?")]
    Undecodable,
    /// The engine's fault.
    #[error("{0}")]
    Engine(String),
}

/// One recogniser, used by one thread from its making to its end.
pub trait Engine {
    fn recognize(&mut self, image: &Image, options: &Options) -> Result<Recognition, Failure>;
}

/// Makes engines, on the threads that will use them. The seam at which tests put a fake.
pub trait Factory: Send + Sync + 'static {
    /// An engine that has been warmed up: it has recognised something already.
    fn build(&self) -> Result<Box<dyn Engine>, Failure>;
}
