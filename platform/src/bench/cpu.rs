//! How much processor time this process takes: making load costs some, and it is taken from what is measured.

use std::time::{Duration, Instant};

/// The processor time of this process, also of threads that have ended; none where the system does not tell (it is Linux
/// that does).
fn used() -> Option<Duration> {
    both(&std::fs::read_to_string("/proc/self/stat").ok()?, 14)
}

/// The processor time of the programs that this process has started and that have ended.
fn used_by_programs() -> Option<Duration> {
    both(&std::fs::read_to_string("/proc/self/stat").ok()?, 16)
}

/// This field and the next, counted from 1: hundredths of a second as user and as system (proc(5)). Two fields stand
/// before the end of the name.
fn both(stat: &str, field: usize) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace().skip(field - 3);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// What `work` gave, and how many cores this process used meanwhile.
pub async fn metered<T>(work: impl Future<Output = T>) -> (T, Option<f64>) {
    metered_by(used, work).await
}

/// What `work` gave, and how many cores the programs used that it started and awaited.
pub async fn metered_programs<T>(work: impl Future<Output = T>) -> (T, Option<f64>) {
    metered_by(used_by_programs, work).await
}

async fn metered_by<T>(used: fn() -> Option<Duration>, work: impl Future<Output = T>) -> (T, Option<f64>) {
    let (begun, before) = (Instant::now(), used());
    let done = work.await;
    let spent = used().zip(before).map(|(after, before)| after.saturating_sub(before));
    (done, spent.map(|spent| spent.as_secs_f64() / begun.elapsed().as_secs_f64().max(1e-9)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_with_anything_in_it() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 12 30 20 0 9 0 100";
        assert_eq!(both(stat, 14), Some(Duration::from_millis(1100)));
        assert_eq!(both(stat, 16), Some(Duration::from_millis(420)));
        assert_eq!(both("7", 14), None);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn working_costs_more_than_waiting() {
        // Other tests run in this process, and would be measured too: one of its own has only this one.
        const OWN: &str = "PLATEN_TEST_OF_ITS_OWN";
        if std::env::var_os(OWN).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let name = concat!(module_path!(), "::working_costs_more_than_waiting");
            let (_, name) = name.split_once("::").unwrap();
            let output = alone.args(["--exact", name]).env(OWN, "1").output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && told.contains("1 passed"), "{told}");
            return;
        }
        let ((), idle) = metered(tokio::time::sleep(Duration::from_millis(50))).await;
        let (_, busy) = metered(async {
            let worked = used().unwrap() + Duration::from_millis(50);
            std::iter::repeat_with(used).find(|spent| spent.unwrap() >= worked)
        })
        .await;
        assert!(idle.unwrap() < busy.unwrap(), "{idle:?} {busy:?}");
    }
}
