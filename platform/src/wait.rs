//! Waiting for something with a deadline, and a word of what is awaited.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

const POLL: Duration = Duration::from_millis(500);

/// What a look at the awaited thing showed.
pub enum Seen<T> {
    Ready(T),
    /// Not yet; this is what is missing.
    Awaiting(String),
}

/// Looks again and again until it is ready. `hint` is the command that says more after a time-out.
pub async fn until<T, F>(within: Duration, hint: &str, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Seen<T>>>,
{
    let begun = Instant::now();
    loop {
        match look().await? {
            Seen::Ready(value) => return Ok(value),
            Seen::Awaiting(what) if begun.elapsed() > within => {
                return Err(Error::timed_out(what, begun.elapsed(), format!("see more: {hint}")));
            }
            Seen::Awaiting(_) => tokio::time::sleep(POLL).await,
        }
    }
}
