//! What is said, in the order in which it is said. Service and fork server: settings, then ready or not; then for each
//! order exactly one answer. Service and engine: for each request exactly one reply, with at most one cancellation in
//! between.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Failure, Language, Options, Recognition};

/// The first frame to a fork server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where the trained data lie; Tesseract's own place when not given.
    pub data: Option<PathBuf>,
    /// Loaded before the engines count as ready; others are loaded by an engine when it is first asked for them.
    pub language: Language,
}

/// Its answer: ready, or why it never will be.
pub type Started = Result<(), Failure>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Another engine, which hears from the socket that is passed behind this frame. Answered by [`Forked`].
    Fork,
    /// The end of the engine of this process id, killed if it has not ended after so long. Answered by [`Ended`].
    End { id: i32, patience_ms: u64 },
}

/// The new engine's process id.
pub type Forked = Result<i32, Failure>;

/// How the engine ended.
pub type Ended = String;

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
