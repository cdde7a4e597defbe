//! A closed loop on one thread for each core: each with its own runtime, connections and histogram, so that no request
//! wakes another thread or waits for what another one holds.

use std::io;
use std::sync::Arc;
use std::thread::{self, available_parallelism};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Closed, ClosedRun, Fleet, Outcome, closed, rate};

/// `lane` makes what the clients of one thread ask, by its number. Dropped, it ends the threads.
pub(super) async fn closed_by(plan: Closed, lane: impl Fn(u64) -> Fleet) -> ClosedRun {
    let begun = Instant::now();
    let threads = available_parallelism().map_or(1, usize::from).min(plan.clients);
    // The first ones take what does not divide.
    let clients = |number: usize| plan.clients / threads + usize::from(number < plan.clients % threads);
    let plans = (0..threads).map(|number| Closed { clients: clients(number), ..plan });
    let started: Vec<_> = (0..).zip(plans).map(|(number, plan)| start(lane(number), plan)).collect();
    let mut run = ClosedRun::default();
    for lane in started {
        let ended = match lane {
            Ok(lane) => lane.await.unwrap_or_else(|_| Err(io::Error::other("its thread panicked"))),
            Err(error) => Err(error),
        };
        match ended {
            Ok(ended) => run.add((ended.counts, ended.latencies)),
            Err(error) => run.counts.count(Outcome::Failed(format!("clients ended early: {error}"))),
        }
    }
    run.rate = rate(run.counts.good, begun.elapsed());
    run
}

/// No async function, so that all that it runs is compiled, and optimised, in this crate.
#[inline(never)]
fn start(lane: Fleet, plan: Closed) -> io::Result<oneshot::Receiver<io::Result<ClosedRun>>> {
    let (mut ended, awaited) = oneshot::channel();
    let lane = Arc::new(lane);
    let run = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let run = runtime.map(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    run = closed(&lane, plan) => run,
                    () = ended.closed() => ClosedRun::default(),
                }
            })
        });
        // Nobody awaits it any more where it was ended.
        let _ = ended.send(run);
    };
    thread::Builder::new().name("load".into()).spawn(run)?;
    Ok(awaited)
}
