//! Engines that crash under load: each may take the one image with it that it was at, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{Crowd, texts};
use crate::bench::memory;
use crate::bench::running::Running;
use crate::error::Result;
use crate::load::{Counts, Outcome, Target};

const CLIENTS: usize = 8;
/// Different images that are asked for meanwhile.
const IMAGES: usize = 20;
/// Between two crashes: an engine is replaced in well under that.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize)]
pub struct Crashes {
    pub crashes: usize,
    /// Of the requests meanwhile.
    pub counts: Counts,
    /// Those among the failed that say that the engine crashed on their image.
    pub told: u64,
    /// Of as many requests as there are different images, after the last crash.
    pub after: Counts,
    pub engines: usize,
    /// When all was over.
    pub engines_left: usize,
}

pub async fn measure(crowd: &Crowd<'_>, crashes: usize) -> Result<Crashes> {
    let expected = PAUSE * u32::try_from(crashes + 1).unwrap_or(u32::MAX);
    let step = crowd.step("crashes", format!("{crashes} engines crash under load"), expected);
    let running = crowd.start("crashes", 4 * CLIENTS).await?;
    let mut targets = Vec::with_capacity(IMAGES);
    for index in 0..IMAGES {
        // Far apart, so that they differ much.
        let index = index * 10;
        let text = texts::read(crowd, &running, index).await?;
        targets.push(texts::target(crowd, &running, index, Some(text))?);
    }
    let targets: Arc<[_]> = targets.into();
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (targets, over, sent) = (Arc::clone(&targets), Arc::clone(&over), Arc::clone(&sent));
        clients.spawn(async move {
            let mut outcomes = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let index = sent.fetch_add(1, Ordering::Relaxed);
                outcomes.push(targets[index % IMAGES].send().await);
            }
            outcomes
        });
    }
    for done in 0..crashes {
        tokio::time::sleep(PAUSE).await;
        step.progress("crashing", u64::try_from(done).ok(), u64::try_from(crashes).ok());
        if let Some(engine) = engines(&running).into_iter().nth(done % crowd.engines) {
            // As Tesseract's own assertions end it. It fails only if the engine is gone already.
            let _ = kill_process(engine, Signal::ABORT);
        }
    }
    tokio::time::sleep(PAUSE).await;
    over.store(true, Ordering::Relaxed);
    let outcomes: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let mut after = Counts::default();
    for target in targets.iter() {
        after.count(target.send().await);
    }
    let engines_left = engines(&running).len();
    running.end().await;
    step.done();
    let (counts, told) = counted(outcomes);
    Ok(Crashes { crashes, counts, told, after, engines: crowd.engines, engines_left })
}

fn counted(outcomes: Vec<Outcome>) -> (Counts, u64) {
    let (mut counts, mut told) = (Counts::default(), 0);
    for outcome in outcomes {
        told += u64::from(matches!(&outcome, Outcome::Failed(why) if why.contains("crashed on this image")));
        counts.count(outcome);
    }
    (counts, told)
}

/// The model's engines.
fn engines(running: &Running) -> Vec<Pid> {
    let leaves = running.model_pid().map(memory::leaves).unwrap_or_default();
    leaves.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_took_with_it_is_told_from_other_failures() {
        let failed = |why: &str| Outcome::Failed(why.to_owned());
        let outcomes = vec![
            Outcome::Good,
            failed("500: {\"error\":\"the engine crashed on this image and was replaced\"}"),
            failed("503: full"),
        ];
        let (counts, told) = counted(outcomes);
        assert_eq!((counts.good, counts.failed, told), (1, 2, 1));
    }
}
