//! `cargo xtask bench load`: how much load Platen's generator can make beside wrk and oha, and whether it tells what a stall
//! has cost.
//!
//! All generators ask the same server, a process of its own that has as many threads as there are cores, by turns: whatever
//! a generator takes of the machine, the server does not have. The clients of Platen's are those of `cargo xtask load`.

pub mod answers;
mod generators;
mod rates;
mod stall;
mod targets;

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Serialize;

use self::answers::Manner;
pub use self::generators::{Generator, Part};
pub use self::rates::Row;
pub use self::stall::{StallRun, Uncorrected, named};
use super::peers::Server;
use super::plan::Plan;
use super::report::verdict;
use super::running::{END_WITHIN, Started, free_ports};
use super::targets::{self as goals, Target};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::load::{self, DoorSpec, Fleet, Policy};

/// Of one request. A stall lasts a second.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// None: all.
    pub only: Vec<Part>,
    /// Of each measurement of a rate.
    pub seconds: u32,
    /// Connections, each of which waits for its answer.
    pub clients: usize,
    /// Turns.
    pub rounds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: Vec::new(), seconds: 4, clients: 32, rounds: 5 }
    }
}

impl Options {
    fn peers(&self) -> impl Iterator<Item = Generator> {
        Generator::PEERS.into_iter().filter(|peer| self.has(Part::Peer(*peer)))
    }

    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Rates a second, times in milliseconds unless they say otherwise.
#[derive(Debug, Serialize)]
pub struct Report {
    pub cores: usize,
    pub clients: usize,
    pub seconds: u32,
    /// Platen's first; none where only the stall was asked for.
    pub generators: Vec<Row>,
    pub stalls: Vec<StallRun>,
    /// The same stall, seen by a closed loop.
    pub uncorrected: Option<Uncorrected>,
    pub targets: Vec<Target>,
}

/// What would be installed and measured, and about how long it takes. Changes nothing.
pub async fn plan(host: &Host, options: &Options) -> Result<Plan> {
    let mut prepare = Vec::new();
    for peer in options.peers() {
        prepare.extend(generators::missing(host, peer).await?);
    }
    Ok(planned(options, prepare))
}

fn planned(options: &Options, prepare: Vec<String>) -> Plan {
    let Options { seconds, clients, rounds, .. } = options;
    let peers: Vec<_> = options.peers().map(Generator::name).collect();
    let mut measure = Vec::new();
    let mut expected = Duration::ZERO;
    if !peers.is_empty() {
        let names = peers.join(" and ");
        measure.push(format!(
            "the highest rate by turns with {names}: {rounds} times {seconds} s each, {clients} clients"
        ));
        let one = Duration::from_secs((*seconds).into()) + Duration::from_millis(200);
        expected += one * *rounds * u32::try_from(peers.len() + 1).unwrap_or(u32::MAX);
    }
    if options.has(Part::Stall) {
        measure.push(format!("a stall of a second, {} open loops and a closed one", stall::RUNS.len()));
        expected += stall::expected();
    }
    Plan { prepare, measure, expected }
}

/// The whole run.
pub async fn loadgen(host: &Host, options: &Options) -> Result<Report> {
    for line in plan(host, options).await?.prepare {
        host.events.note(line);
    }
    let folder = tempfile::tempdir().doing("creating a folder for the benchmark")?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let bench = Bench { host, folder: folder.path(), client: load::client(TIMEOUT)?, cores };
    let stalls = options.has(Part::Stall);
    let mut report = Report {
        cores,
        clients: options.clients,
        seconds: options.seconds,
        generators: rates::measure(&bench, options).await?,
        stalls: if stalls { stall::runs(&bench).await? } else { Vec::new() },
        uncorrected: if stalls { Some(stall::uncorrected(&bench).await?) } else { None },
        targets: Vec::new(),
    };
    report.targets = targets::judged(&report);
    Ok(report)
}

impl Report {
    /// An error that names what was missed.
    pub fn verdict(&self) -> Result<()> {
        let missed = goals::missed(&self.targets).into_iter().map(|what| format!("missed: {what}"));
        verdict(missed, "cargo xtask bench load --seconds 10")
    }
}

/// What the parts have in common.
struct Bench<'a> {
    host: &'a Host,
    folder: &'a Path,
    client: Client,
    cores: usize,
}

impl Bench<'_> {
    /// The server, ready, and clients for it.
    async fn start(&self, manner: Manner) -> Result<(Started, Fleet)> {
        let [port, _] = free_ports()?;
        let cmd = self.host.internal("answer").args(manner.args()).args(["--port", &port.to_string()]);
        let server = Server { name: "answer", cmd, port, ready: "/" };
        let started = Started::start(server, &self.client, &self.folder.join("answer.log")).await?;
        let fleet = fleet(&started)?;
        Ok((started, fleet))
    }
}

/// Clients as `cargo xtask load` has them.
fn fleet(server: &Started) -> Result<Fleet> {
    let url = |path: &str| {
        let text = server.url(path);
        text.parse::<Url>().map_err(|error| Error::malformed(format!("the address {text}"), error, ""))
    };
    let door = DoorSpec { name: "answer".into(), url: url("/ocr")?, health: url("/")? };
    load::fleet(vec![door], vec![generators::image()], Policy { failover: true, retry: true }, TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_names_what_is_asked_for_and_about_how_long_it_takes() {
        let whole = planned(&Options::default(), Vec::new());
        assert!(whole.measure[0].contains("wrk and oha: 5 times 4 s each, 32 clients"), "{whole:?}");
        assert!((90..=200).contains(&whole.expected.as_secs()), "{whole:?}");
        let stall = planned(&Options { only: vec![Part::Stall], ..Options::default() }, Vec::new());
        assert_eq!(stall.measure.len(), 1);
    }
}
