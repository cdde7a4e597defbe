//! The strike itself. Docker goes on with what it was told after its client has left, so a strike that was begun is never
//! left half way: its end is awaited before anything is undone.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::Result;

/// What Docker gives a node to end in order.
pub const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// A strike is at its end by then, whether or not who began it still lives.
pub const ENDS_WITHIN: Duration = STOPS_WITHIN.saturating_add(Duration::from_secs(5));

pub struct Strike<'a> {
    begun: bool,
    /// None once it has ended.
    blow: Option<BoxFuture<'a, Result<()>>>,
}

impl<'a> Strike<'a> {
    /// Nothing happens before [`Strike::go_on`].
    pub fn new(blow: BoxFuture<'a, Result<()>>) -> Self {
        Self { begun: false, blow: Some(blow) }
    }

    pub fn is_under_way(&self) -> bool {
        self.begun && self.blow.is_some()
    }

    /// Until its end; whoever is stopped while waiting here can go on later. A panic is passed on once.
    pub async fn go_on(&mut self) -> Result<()> {
        let Some(blow) = &mut self.blow else { return Ok(()) };
        self.begun = true;
        let ended = AssertUnwindSafe(blow).catch_unwind().await;
        self.blow = None;
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
