//! Waiting for something with a deadline, and a word of what is awaited.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Zoned;

use crate::error::{Error, Result};

pub(crate) const POLL: Duration = Duration::from_millis(500);

/// The time of day where this machine is, to the second.
pub fn time_of_day() -> String {
    Zoned::now().strftime("%H:%M:%S").to_string()
}

/// What a look at the awaited thing showed.
pub enum Seen<T> {
    Ready(T),
    /// Not yet; this is what is missing.
    Awaiting(String),
}

/// Looks again and again until it is ready. `hint` is the command that says more after a time-out.
pub async fn until<T, F>(within: Duration, hint: &str, look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Seen<T>>>,
{
    until_every(POLL, within, &format!("see more: {hint}"), look).await
}

/// As [`until`], with the pause between two looks, and the whole hint.
pub async fn until_every<T, F>(
    pause: Duration,
    within: Duration,
    hint: &str,
    mut look: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<Seen<T>>>,
{
    let begun = Instant::now();
    loop {
        match look().await? {
            Seen::Ready(value) => return Ok(value),
            Seen::Awaiting(what) if begun.elapsed() > within => {
                return Err(Error::timed_out(what, begun.elapsed(), hint));
            }
            Seen::Awaiting(_) => tokio::time::sleep(pause).await,
        }
    }
}
