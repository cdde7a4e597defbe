//! What the service and an engine's process say to each other, in the order in which they say it: settings, then
//! ready or not; then for each request exactly one reply, with at most one cancellation in between.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Failure, Language, Options, Recognition};

/// The first frame to an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the trained data lie; Tesseract's own place when not given.
    pub data: Option<PathBuf>,
    /// Loaded before the engine counts as ready; others are loaded when first asked for.
    pub language: Language,
}

/// Its answer: ready, or why it never will be.
pub type Started = Result<(), Failure>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The image is the frame's body.
    Recognize(Task),
    /// Nobody waits for the task of this number any more.
    Cancel(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Numbers the requests of one engine, so that a late cancellation does not hit the next one.
    pub id: u64,
    pub options: Options,
    /// Relative, because the two need not agree about the time.
    pub remaining_ms: u64,
    pub share: Share,
}

/// Which part of the image's regions to read: part `index` of `of` parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub index: usize,
    pub of: usize,
}

impl Share {
    pub const WHOLE: Self = Self { index: 0, of: 1 };
}

pub type Reply = Result<Recognition, Failure>;
