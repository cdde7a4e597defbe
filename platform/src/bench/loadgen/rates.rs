//! The highest rate of each generator, by turns.

use std::time::Duration;

use serde::Serialize;

use super::answers::Manner;
use super::generators::{self, Ask, Generator, Program, Said};
use super::{Bench, END_WITHIN, Options};
use crate::bench::cpu;
use crate::error::Result;
use crate::load::Closed;

/// One generator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub generator: Generator,
    /// Good answers a second, by turns.
    pub rates: Vec<f64>,
    /// The median.
    pub rate: Option<f64>,
    /// Platen's median of this one's.
    pub platens_of_it: Option<f64>,
    /// Processor time that the generator took for a request, in microseconds; the median.
    pub cpu_us: Option<f64>,
    /// All turns together.
    pub faults: u64,
    /// Why there are no numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
}

/// What one generator has done so far.
#[derive(Default)]
struct Turns {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
    faults: u64,
}

/// Platen's row and one for each peer; none where no peer was asked for.
pub async fn measure(bench: &Bench<'_>, options: &Options) -> Result<Vec<Row>> {
    let mut programs = Vec::new();
    for peer in options.peers() {
        programs.push((peer, Program::obtain(bench.host, peer).await, Turns::default()));
    }
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    let mut own = Turns::default();
    for round in 1..=options.rounds {
        own.note(platen(bench, options, round).await?);
        for (peer, program, turns) in &mut programs {
            let Ok(ready) = program else { continue };
            match other(bench, options, ready, round).await {
                Ok(turn) => turns.note(turn),
                Err(error) => {
                    bench.host.events.warn(format!("{}: {error}", peer.name()));
                    *program = Err(error);
                }
            }
        }
    }
    let platen = own.row(Generator::Platen, None, None);
    let rows = programs.into_iter().map(|(peer, program, turns)| turns.row(peer, platen.rate, program.err()));
    Ok(std::iter::once(platen.clone()).chain(rows).collect())
}

/// What a generator did, and how many cores it took.
type Turn = (Said, Option<f64>);

async fn platen(bench: &Bench<'_>, options: &Options, round: u32) -> Result<Turn> {
    let step = step(bench, Generator::Platen, options, round);
    let (server, fleet) = bench.start(Manner::default()).await?;
    let lasting = Duration::from_secs(options.seconds.into());
    let plan = Closed { clients: options.clients, lasting };
    let (run, cores) = cpu::metered(fleet.closed(plan)).await;
    server.end(END_WITHIN).await;
    step.done();
    Ok((Said { rate: run.rate, faults: run.counts.faults() }, cores))
}

async fn other(bench: &Bench<'_>, options: &Options, program: &Program, round: u32) -> Result<Turn> {
    let step = step(bench, program.generator, options, round);
    let (server, _) = bench.start(Manner::default()).await?;
    let url = server.url("/ocr");
    // The form with a number behind the image, as Platen's generator sends it.
    let form = generators::image().payload(Some(1));
    let (seconds, clients) = (options.seconds, options.clients);
    let ask = Ask { url: &url, form: &form, folder: bench.folder, seconds, clients, cores: bench.cores };
    let cmd = program.cmd(&ask)?;
    let (ran, cores) = cpu::metered_programs(bench.host.processes.run(&cmd)).await;
    server.end(END_WITHIN).await;
    let said = program.said(&ran?.stdout_text())?;
    step.done();
    Ok((said, cores))
}

fn step(bench: &Bench<'_>, generator: Generator, options: &Options, round: u32) -> crate::event::Step {
    let title = format!("{}, turn {round} of {}", generator.name(), options.rounds);
    bench.host.events.step("rate", title, Some(Duration::from_secs(options.seconds.into())))
}

impl Turns {
    fn note(&mut self, (said, cores): Turn) {
        self.rates.push(said.rate);
        self.cpu_us.extend(cores.filter(|_| said.rate > 0.0).map(|cores| cores / said.rate * 1e6));
        self.faults += said.faults;
    }

    fn row(self, generator: Generator, platens: Option<f64>, why: Option<crate::Error>) -> Row {
        let rate = median(&self.rates);
        Row {
            generator,
            rate,
            platens_of_it: platens.zip(rate).map(|(platens, rate)| platens / rate),
            cpu_us: median(&self.cpu_us),
            rates: self.rates,
            faults: self.faults,
            not_measured: why.map(|error| error.to_string()),
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[sorted.len() / 2 - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_turn_counts() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 100.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn a_row_holds_platens_median_against_the_peers() {
        let mut turns = Turns::default();
        for rate in [1000.0, 2000.0, 4000.0] {
            turns.note((Said { rate, faults: 1 }, Some(0.5)));
        }
        let row = turns.row(Generator::Wrk, Some(1900.0), None);
        assert_eq!((row.rate, row.platens_of_it, row.faults), (Some(2000.0), Some(0.95), 3));
        assert_eq!(row.cpu_us, Some(250.0));
        let none = Turns::default().row(Generator::Oha, Some(1900.0), Some(crate::Error::Interrupted));
        assert!(none.rate.is_none() && none.platens_of_it.is_none() && none.not_measured.is_some());
    }
}
