//! What is wanted of the generator, beside what was measured.

use super::Report;
use super::generators::Generator;
use crate::bench::targets::{Goal, Target};
use crate::load::number;

/// Of a peer's highest rate.
const OF_PEERS: f64 = 0.9;
/// Percent by which the 99th percentile may differ from the true one.
const NEAR: f64 = 2.0;

pub fn judged(report: &Report) -> Vec<Target> {
    let mut targets: Vec<_> = report
        .generators
        .iter()
        .filter(|row| row.generator != Generator::Platen)
        .map(|row| {
            let what = format!("highest rate, of {}'s", row.generator.name());
            Target::new(what, "times", Goal::AtLeast(OF_PEERS), row.platens_of_it)
        })
        .collect();
    let worst = report.stalls.iter().filter_map(super::StallRun::off_by).max_by(f64::total_cmp);
    if !report.stalls.is_empty() {
        targets.push(Target::new("a stall: p99 off by at most", "%", Goal::AtMost(NEAR), worst));
    }
    let own = report.generators.iter().find(|row| row.generator == Generator::Platen);
    let faults = own.map_or(0, |row| row.faults) + report.stalls.iter().map(|run| run.faults).sum::<u64>();
    targets.push(Target::new("failed or wrong answers", "requests", Goal::AtMost(0.0), Some(number(faults))));
    targets
}

#[cfg(test)]
mod tests {
    use super::super::{Row, StallRun};
    use super::*;
    use crate::load::Pattern;

    fn row(generator: Generator, platens_of_it: Option<f64>) -> Row {
        let (rates, rate, cpu_us, not_measured) = (Vec::new(), None, None, None);
        Row { generator, rates, rate, platens_of_it, cpu_us, faults: 0, not_measured }
    }

    fn stall(p99_ms: f64) -> StallRun {
        StallRun {
            rate: 100.0,
            pattern: Pattern::Even,
            requests: 1000,
            faults: 0,
            late: 0,
            true_p50_ms: 5.0,
            p50_ms: Some(5.0),
            true_p99_ms: 900.0,
            p99_ms: Some(p99_ms),
        }
    }

    #[test]
    fn the_worst_stall_counts_and_a_peer_that_cannot_be_had_is_not_measured() {
        let report = Report {
            cores: 2,
            clients: 16,
            seconds: 4,
            generators: vec![
                row(Generator::Platen, None),
                row(Generator::Wrk, Some(0.95)),
                row(Generator::Oha, None),
            ],
            stalls: vec![stall(901.0), stall(870.0)],
            uncorrected: None,
            targets: Vec::new(),
        };
        let met: Vec<_> = judged(&report).iter().map(|target| target.met).collect();
        assert_eq!(met, [Some(true), None, Some(false), Some(true)]);
    }
}
