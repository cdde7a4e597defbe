//! `cargo xtask bench accuracy`: how many characters are read wrong, by plain Tesseract and by the service as it is by
//! default, on pictures whose text is known.
//!
//! The pictures are made anew from a seed each (`stack/bench/labelled.py`). The service's numbers were chosen on the
//! first seed; the others are held out.

mod set;
mod tally;

use std::time::Instant;

use serde::Serialize;

pub use self::set::Labelled;
pub use self::tally::{Row, Score};
use super::binaries::{self, Built};
use super::judge;
use super::peers::Server;
use super::running::{END_WITHIN, Started, free_ports};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::load::{HttpTarget, Payload, client};
use crate::process::Cmd;
use crate::service;
use crate::tools::{self, PythonPackages};

/// What makes the pictures.
pub const GENERATOR: PythonPackages = PythonPackages {
    of: "the labelled pictures",
    list: include_str!("../../stack/bench/requirements-labelled.txt"),
};
const FONTS: [&str; 3] = ["fonts-nanum", "fonts-dejavu-core", "fonts-liberation"];

/// The seed on which the service's numbers were chosen.
pub const CHOSEN_ON: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub seeds: Vec<u64>,
    /// Pictures of one block, and of pages with columns, for each seed.
    pub blocks: u32,
    pub columns: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { seeds: vec![CHOSEN_ON, 3], blocks: 56, columns: 16 }
    }
}

#[derive(Debug, Serialize)]
pub struct Accuracy {
    pub rows: Vec<Row>,
}

/// One picture read by one of the two.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    pub edits: usize,
    pub characters: usize,
    pub seconds: f64,
}

/// The whole run: both read each picture, one right after the other, by the same engine.
pub async fn accuracy(host: &Host, options: &Options) -> Result<Accuracy> {
    let packages: Vec<_> = service::PACKAGES.iter().copied().chain(FONTS).collect();
    tools::ensure_packages(host, &packages, "the benchmark").await?;
    let built = binaries::build(host).await?;
    let python = tools::ensure_python(host, GENERATOR).await?;
    let folder = tempfile::tempdir().doing("creating a folder for the benchmark")?;
    let client = client(std::time::Duration::from_mins(1))?;
    let server = Started::start(ocr_server(&built)?, &client, &folder.path().join("service.log")).await?;
    let mut rows = Vec::new();
    for seed in &options.seeds {
        let set = set::make(host, &python, &folder.path().join(seed.to_string()), *seed, options).await?;
        let title = format!("reading {} pictures twice (seed {seed})", set.len());
        let step = host.events.step("read", title, None);
        let mut read = Vec::new();
        for (index, labelled) in set.into_iter().enumerate() {
            let number = |count: usize| u64::try_from(count).ok();
            step.progress(labelled.file.clone(), number(index), None);
            // One engine and one client: the time is that of one thread. A named mode is done on the picture as it is.
            let plain = ask(&client, &server.url("/ocr?psm=3"), &labelled).await?;
            let prepared = ask(&client, &server.url("/ocr"), &labelled).await?;
            read.push((labelled, plain, prepared));
        }
        step.done();
        rows.extend(tally::rows(*seed, &read));
    }
    server.end(END_WITHIN).await;
    Ok(Accuracy { rows })
}

fn ocr_server(built: &Built) -> Result<Server> {
    let [port, _] = free_ports()?;
    let cmd = Cmd::new(&built.service)
        .args(["ocr-server", "--port", &port.to_string(), "--log", "warn"])
        .args(["--engines", "1", "--cache-mib", "0"]);
    Ok(Server { name: "ocr-server", cmd, port, ready: "/healthz/ready" })
}

async fn ask(client: &reqwest::Client, url: &str, labelled: &Labelled) -> Result<Read> {
    let unreadable =
        |_| Error::unhealthy(format!("{} was not read", labelled.file), format!("{url} is no address"));
    let target = HttpTarget {
        client: client.clone(),
        url: reqwest::Url::parse(url).map_err(unreadable)?,
        payload: Payload::form("file", &labelled.file, &labelled.image),
        judge: std::sync::Arc::new(|_| Ok(())),
    };
    let begun = Instant::now();
    let answer = target.ask().await;
    let seconds = begun.elapsed().as_secs_f64();
    let failed = |why: String| {
        Error::unhealthy(format!("{} was not read: {why}", labelled.file), "see what the service says of it")
    };
    let answer: Answer =
        serde_json::from_slice(&answer.map_err(failed)?).map_err(|error| failed(error.to_string()))?;
    let (edits, characters) = judge::errors(&labelled.text, &answer.text);
    Ok(Read { edits, characters, seconds })
}

#[derive(serde::Deserialize)]
struct Answer {
    text: String,
}

/// The bounds of the issue, as sentences about those rows that miss them.
pub fn missed(accuracy: &Accuracy) -> Vec<String> {
    accuracy.rows.iter().flat_map(tally::missed).collect()
}
