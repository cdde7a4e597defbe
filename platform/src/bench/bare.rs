//! The bare library's runs: a program of its own, told how many threads and how long.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::memory;
use crate::error::{Doing, Error, Result};
use crate::load::{ClosedRun, Counts, Latencies};
use crate::process::{Cmd, Group, spawn_child};

/// What one run gave.
pub struct BareRun {
    pub text: String,
    pub run: ClosedRun,
    pub memory_mb: Option<f64>,
}

/// As the program writes it (ocr-service/examples/bare.rs).
#[derive(Deserialize)]
struct Written {
    text: String,
    threads: Vec<Thread>,
}

#[derive(Deserialize)]
struct Thread {
    elapsed_us: u64,
    latencies_us: Vec<u64>,
}

/// One recognition on each thread at least; none begins after `lasting`.
pub async fn run(program: &Path, image: &Path, threads: usize, lasting: Duration) -> Result<BareRun> {
    let folder = image.parent().unwrap_or(Path::new("."));
    let (result, log) = (folder.join("bare.json"), folder.join("bare.log"));
    let cmd = Cmd::new(program)
        .arg(image)
        .args([
            "--threads",
            &threads.to_string(),
            "--seconds",
            &lasting.as_secs_f64().to_string(),
            "--result",
        ])
        .arg(&result)
        .cwd(folder)
        .env("OMP_THREAD_LIMIT", "1");
    let mut child = spawn_child(&cmd, &log, Group::Own)?;
    let pids = child.id().into_iter().collect();
    let deadline = lasting + Duration::from_mins(2);
    let ended = tokio::time::timeout(deadline, memory::watched(pids, child.wait())).await;
    let (status, memory_mb) =
        ended.map_err(|_| Error::timed_out("the bare library's end", deadline, format!("run: {cmd}")))?;
    let status = status.doing("waiting for the bare library")?;
    if !status.success() {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let what = format!("the bare library's loop ended with {status}: {}", said.trim());
        return Err(Error::machine(what, format!("run it by hand: {cmd}")));
    }
    let written = std::fs::read(&result).doing("reading the bare library's result")?;
    let (text, run) = read(&written)?;
    Ok(BareRun { text, run, memory_mb })
}

fn read(json: &[u8]) -> Result<(String, ClosedRun)> {
    let written: Written = serde_json::from_slice(json)
        .map_err(|error| Error::malformed("the bare library's result", error, ""))?;
    let micros = written.threads.iter().flat_map(|thread| &thread.latencies_us).copied();
    let latencies: Latencies = micros.map(Duration::from_micros).collect();
    let good = latencies.summary().map_or(0, |summary| summary.count);
    let rate = written.threads.iter().map(rate).sum();
    Ok((written.text, ClosedRun { rate, counts: Counts { good, ..Counts::default() }, latencies }))
}

/// Images a second on this thread.
#[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a short run")]
fn rate(thread: &Thread) -> f64 {
    thread.latencies_us.len() as f64 / (thread.elapsed_us.max(1) as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_sum_of_the_threads_rates() {
        let json = br#"{"text":"a","threads":[
            {"elapsed_us":1000000,"latencies_us":[250000,250000,250000,250000]},
            {"elapsed_us":500000,"latencies_us":[250000,250000]}]}"#;
        let (text, run) = read(json).unwrap();
        assert_eq!((text.as_str(), run.counts.good), ("a", 6));
        assert!((run.rate - 8.0).abs() < 1e-9, "{}", run.rate);
        assert!((run.latencies.quantile_ms(0.5).unwrap() - 250.0).abs() < 1.0);
    }
}
