//! The end of the process: told by a signal, in three steps, without a request lost.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::http::health::{Lifecycle, Phase};

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// On the first signal: not ready, `delay` for callers to notice, then closing. Ends there: the servers take no new
/// connections from then on and finish what runs, one behind the other.
pub async fn drain(signals: &mut Signals, lifecycle: &Lifecycle, delay: Duration) {
    signals.next().await;
    tracing::info!(?delay, "draining: not ready any more");
    lifecycle.enter(Phase::Draining);
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = signals.next() => tracing::info!("second signal: no more delay"),
    }
    lifecycle.enter(Phase::Closing);
}
