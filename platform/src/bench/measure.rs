//! The run: peers one after the other, each started, warmed up, measured with each image and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Client;

use super::bare::{self, BareRun};
use super::cpu;
use super::hop;
use super::judge::{Judge, error_rate, normalised};
use super::memory;
use super::peers::{Peer, Programs};
use super::picture::Picture;
use super::plan::{Options, of_peer};
use super::report::{Cell, Closed, Failure, Open, Processes, Reading, Report};
use super::running::{Running, image_file};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::load::{self, HttpTarget, Payload, closed, open};

/// Longer than the slowest peer takes with a full queue before it.
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Bench<'a> {
    host: &'a Host,
    pub(super) options: &'a Options,
    programs: &'a Programs,
    folder: &'a Path,
    pub(super) client: Client,
    cores: usize,
}

/// The bare library's text of each image: what everybody else's is held against.
pub(super) type References = BTreeMap<Picture, String>;

impl<'a> Bench<'a> {
    pub fn new(
        host: &'a Host,
        options: &'a Options,
        programs: &'a Programs,
        folder: &'a Path,
    ) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { host, options, programs, folder, client: load::client(PATIENCE)?, cores })
    }

    pub async fn run(&self, report: &mut Report) -> Result<()> {
        let references = self.references().await?;
        for peer in self.options.peers() {
            let expected = of_peer(self.options, peer);
            let step = super::step(&self.host.events, peer, "measuring", expected);
            let measured = match peer {
                Peer::Bare => self.bare(report, &references, &step).await,
                _ => self.server(peer, report, &references, &step).await,
            };
            match measured {
                Ok(()) => drop(step.done()),
                // The others are still worth measuring.
                Err(error) => report.failures.push(Failure { peer, why: error.to_string() }),
            }
        }
        Ok(())
    }

    async fn references(&self) -> Result<References> {
        let mut references = References::new();
        for picture in self.options.pictures() {
            let one = self.bare_run(picture, 1, Duration::ZERO).await?;
            references.insert(picture, one.text);
        }
        Ok(references)
    }

    async fn bare_run(&self, picture: Picture, threads: usize, lasting: Duration) -> Result<BareRun> {
        let image: PathBuf = image_file(self.folder, picture)?;
        bare::run(&self.programs.built.bare, &image, threads, lasting).await
    }

    async fn bare(&self, report: &mut Report, references: &References, step: &Step) -> Result<()> {
        for (picture, reference) in references {
            step.message(format!("{picture}: one thread"));
            let alone = self.bare_run(*picture, 1, self.options.lasting() / 2).await?;
            step.message(format!("{picture}: {} threads", self.cores));
            let all = self.bare_run(*picture, self.cores, self.options.lasting()).await?;
            report.cells.push(Cell {
                peer: Peer::Bare,
                image: *picture,
                bare_rate: Some(all.run.rate),
                closed: Closed::from(all.run),
                open: None,
                alone: alone.run.latencies.summary(),
                memory_mb: all.memory_mb,
                client_cores: None,
                reading: reading(*picture, reference, &all.text, &[all.text.clone()].into()),
            });
        }
        Ok(())
    }

    /// The bare library's rate now, for half a measurement's time; none where it is not among the peers.
    async fn beside(&self, picture: Picture) -> Result<Option<f64>> {
        if !self.options.peers().any(|peer| peer == Peer::Bare) {
            return Ok(None);
        }
        let run = self.bare_run(picture, self.cores, self.options.lasting() / 2).await?.run;
        Ok(Some(run.rate))
    }

    async fn server(
        &self,
        peer: Peer,
        report: &mut Report,
        references: &References,
        step: &Step,
    ) -> Result<()> {
        step.message("starting");
        let running = Running::start(self.host, peer, self.programs, &self.client, self.folder).await?;
        report.processes.push(processes(peer, &running));
        for (picture, reference) in references {
            let cell = self.cell(peer, &running, (*picture, reference), step).await?;
            report.cells.push(cell);
        }
        if peer == Peer::PlatenPlain
            && let Some((picture, reference)) = references.first_key_value()
        {
            step.message("the gateway's hop");
            report.hop = hop::measure(self, &running, *picture, reference).await?;
        }
        running.end().await;
        Ok(())
    }

    async fn cell(
        &self,
        peer: Peer,
        running: &Running,
        (picture, reference): (Picture, &str),
        step: &Step,
    ) -> Result<Cell> {
        let texts = Texts::new(picture, reference);
        let target = self.gateway(peer, running, picture, &texts)?;
        step.message(format!("{picture}: warming up"));
        // One for each engine, at once, and then one alone: what it reads is what the peer reads.
        closed(&target, load::Closed { clients: self.cores, lasting: Duration::ZERO }).await;
        let first = target.ask().await.map_err(|why| unanswered(peer, picture, &why))?;
        let first = text_of(&first).map_err(|why| unanswered(peer, picture, &why))?;
        let alone = if peer.is_platen() {
            step.message(format!("{picture}: one client"));
            let plan = load::Closed { clients: 1, lasting: self.options.lasting() / 2 };
            closed(&target, plan).await.latencies.summary()
        } else {
            None
        };
        step.message(format!(
            "{picture}: {} clients, the bare library before and after",
            self.options.clients
        ));
        let before = self.beside(picture).await?;
        let plan = load::Closed { clients: self.options.clients, lasting: self.options.lasting() };
        let load = cpu::metered(closed(&target, plan));
        let ((run, client_cores), memory_mb) = memory::watched(running.pids(), load).await;
        let after = self.beside(picture).await?;
        let (rate, lasting) = self.options.open(run.rate);
        step.message(format!("{picture}: open loop, {rate:.1} a second"));
        let paced = open(&target, load::Schedule::steady(rate, lasting).offsets()).await;
        Ok(Cell {
            peer,
            image: picture,
            bare_rate: before.zip(after).map(|(before, after)| f64::midpoint(before, after)),
            closed: Closed::from(run),
            open: Some(Open::new(rate, paced)),
            alone,
            memory_mb,
            client_cores,
            reading: reading(picture, reference, &first, &texts.right()),
        })
    }

    /// The peer's own way in.
    pub(super) fn gateway(
        &self,
        peer: Peer,
        running: &Running,
        picture: Picture,
        texts: &Arc<Texts>,
    ) -> Result<Arc<HttpTarget>> {
        let entry = peer.entry();
        let url = running.entry(entry.path).unwrap_or_default();
        let payload = Payload::form(entry.field, picture.file_name(), picture.bytes());
        let texts = Arc::clone(texts);
        self.target(&url, payload, Arc::new(move |body| texts.take(&text_of(body)?)))
    }

    pub(super) fn target(
        &self,
        url: &str,
        payload: Payload,
        judge: Arc<load::Judge>,
    ) -> Result<Arc<HttpTarget>> {
        let url = url.parse().map_err(|error| Error::malformed(format!("the address {url:?}"), error, ""))?;
        Ok(Arc::new(HttpTarget { client: self.client.clone(), url, payload, judge }))
    }
}

/// The texts that one peer read in one image.
pub(super) struct Texts {
    judge: Judge,
    right: Mutex<BTreeSet<String>>,
}

impl Texts {
    pub fn new(picture: Picture, reference: &str) -> Arc<Self> {
        Arc::new(Self { judge: Judge::new(picture, reference), right: Mutex::default() })
    }

    pub fn take(&self, text: &str) -> Result<(), String> {
        self.judge.judge(text)?;
        let mut right = self.right.lock().map_err(|_| "a judge panicked")?;
        if !right.contains(text) {
            right.insert(text.to_owned());
        }
        Ok(())
    }

    fn right(&self) -> BTreeSet<String> {
        self.right.lock().map(|right| right.clone()).unwrap_or_default()
    }
}

fn reading(picture: Picture, reference: &str, first: &str, right: &BTreeSet<String>) -> Reading {
    let different: BTreeSet<String> = right.iter().map(|text| normalised(text)).collect();
    Reading {
        character_error_rate: error_rate(picture.truth(), first),
        same_as_bare: normalised(first) == normalised(reference),
        texts: different.len(),
    }
}

/// `{"text": …}`.
pub(super) fn text_of(body: &[u8]) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let text = value["text"].as_str().ok_or("the answer has no text")?;
    Ok(text.to_owned())
}

fn processes(peer: Peer, running: &Running) -> Processes {
    Processes {
        peer,
        ready_seconds: running.ready_after().unwrap_or_default().as_secs_f64(),
        idle_mb: memory::of_trees(&running.pids()),
        model_ready_seconds: running.model_ready_after().map(|after| after.as_secs_f64()),
        model_idle_mb: running.model_pid().and_then(|pid| memory::of_trees(&[pid])),
    }
}

fn unanswered(peer: Peer, picture: Picture, why: &str) -> Error {
    Error::unhealthy(
        format!("{peer} does not read the {picture}: {why}"),
        format!("measure it alone: cargo xtask bench ocr --only {peer}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_white_space_are_one_text() {
        let texts = Texts::new(Picture::Line, "나트륨 11480 mg Sodium 74%");
        for text in
            ["나트륨 11480 mg Sodium 74%\n", "나트륨 11480 mg  Sodium 74%", "나트륨 1,480 mg Sodium 74%"]
        {
            texts.take(text).unwrap();
        }
        let found = reading(
            Picture::Line,
            "나트륨 11480 mg Sodium 74%",
            "나트륨 11480 mg Sodium 74%\n",
            &texts.right(),
        );
        assert_eq!((found.texts, found.same_as_bare), (2, true));
        assert!(found.character_error_rate > 0.0);
    }

    #[test]
    fn an_answer_without_a_text_is_wrong() {
        assert_eq!(text_of(br#"{"text":"a"}"#).unwrap(), "a");
        assert!(text_of(br#"{"error":"a"}"#).is_err());
        assert!(text_of(b"<html>").is_err());
    }
}
