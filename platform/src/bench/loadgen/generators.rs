//! The generators: what starts each, and what it says that it did. All send the same bytes over as many connections.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::{Host, write_atomically};
use crate::load::{Image, Payload};
use crate::process::Cmd;
use crate::tools::{self, Tool};

/// What makes load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// Platen's own, in a closed loop.
    Platen,
    Wrk,
    Oha,
}

impl Generator {
    pub const PEERS: [Self; 2] = [Self::Wrk, Self::Oha];

    pub fn name(self) -> &'static str {
        match self {
            Self::Platen => "platen",
            Self::Wrk => "wrk",
            Self::Oha => "oha",
        }
    }
}

/// A part of the run that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Peer(Generator),
    Stall,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let peer = Generator::PEERS.into_iter().find(|peer| peer.name() == text);
        let part = peer.map(Self::Peer).or_else(|| (text == "stall").then_some(Self::Stall));
        part.ok_or_else(|| "wrk, oha or stall".to_owned())
    }
}

/// Good answers, what else there was, and in what time, as a generator says itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Good answers a second.
    pub rate: f64,
    pub faults: u64,
}

/// A program to compare with, ready to be started.
pub struct Program {
    pub generator: Generator,
    path: PathBuf,
}

impl Program {
    /// Installs or builds it where it is missing, with a line that says so.
    pub async fn obtain(host: &Host, generator: Generator) -> Result<Self> {
        let path = match generator {
            Generator::Oha => tools::ensure(host, Tool::Oha).await?,
            _ => wrk(host).await?,
        };
        Ok(Self { generator, path })
    }

    /// What makes load on `url` with this form, which it reads from `folder`.
    pub fn cmd(&self, ask: &Ask<'_>) -> Result<Cmd> {
        let body = ask.folder.join("body");
        write_atomically(&body, &ask.form.body)?;
        let kind = content_type(ask.form);
        let cmd = Cmd::new(&self.path).deadline(Duration::from_secs(u64::from(ask.seconds)) * 2 + GRACE);
        let (clients, lasting) = (ask.clients.to_string(), format!("{}s", ask.seconds));
        if self.generator == Generator::Oha {
            let cmd = cmd.args(["--no-tui", "--output-format", "json", "-m", "POST", "-T", &kind, "-D"]);
            return Ok(cmd.arg(body).args(["-z", &lasting, "-c", &clients, ask.url]));
        }
        let script = ask.folder.join("wrk.lua");
        write_atomically(&script, lua(&body, &kind).as_bytes())?;
        let threads = ask.cores.min(ask.clients).to_string();
        Ok(cmd.args(["-t", &threads, "-c", &clients, "-d", &lasting, "-s"]).arg(script).arg(ask.url))
    }

    pub fn said(&self, stdout: &str) -> Result<Said> {
        match self.generator {
            Generator::Oha => said_by_oha(stdout),
            _ => said_by_wrk(stdout),
        }
    }
}

/// For starting and ending.
const GRACE: Duration = Duration::from_secs(30);

/// What a generator is asked for.
pub struct Ask<'a> {
    pub url: &'a str,
    pub form: &'a Payload,
    pub folder: &'a Path,
    pub seconds: u32,
    pub clients: usize,
    pub cores: usize,
}

/// A picture of a hundred bytes: what is compared is the sending, not the copying.
pub fn image() -> Image {
    Image::new("tiny.png", [0x20; 92]).expecting(super::answers::TEXT)
}

/// What would be installed or built for it, in words.
pub async fn missing(host: &Host, generator: Generator) -> Result<Option<String>> {
    let here = match generator {
        Generator::Oha => tools::find(host, Tool::Oha).await?.is_some(),
        _ => host.processes.find("wrk").is_some(),
    };
    let how = match generator {
        Generator::Oha => "build oha from its crate, which takes some minutes",
        _ => "install Debian packages: wrk",
    };
    Ok((!here).then(|| how.to_owned()))
}

async fn wrk(host: &Host) -> Result<PathBuf> {
    if host.processes.find("wrk").is_none() {
        tools::ensure_packages(host, &["wrk"], "the comparison").await?;
    }
    let missing = || Error::machine("wrk is not on the PATH", "install it: sudo apt-get install -y wrk");
    host.processes.find("wrk").ok_or_else(missing)
}

fn content_type(form: &Payload) -> String {
    let value = form.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// wrk's own way to send anything but GET (its SCRIPTING file).
fn lua(body: &Path, content_type: &str) -> String {
    format!(
        "local file = assert(io.open({:?}, \"rb\"))\nwrk.method = \"POST\"\nwrk.body = file:read(\"*a\")\n\
         wrk.headers[\"Content-Type\"] = {content_type:?}\n",
        body.display().to_string()
    )
}

fn said_by_wrk(stdout: &str) -> Result<Said> {
    let after = |words: &str| stdout.lines().find_map(|line| line.trim().strip_prefix(words));
    let rate = after("Requests/sec:").and_then(|rate| rate.trim().parse().ok());
    let rate = rate.ok_or_else(|| Error::malformed("what wrk says", "there is no rate", stdout))?;
    let refused = after("Non-2xx or 3xx responses:").and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    // "Socket errors: connect 0, read 0, write 0, timeout 0"
    let broken = after("Socket errors:").unwrap_or_default();
    let broken: u64 = broken.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(Said { rate, faults: refused + broken })
}

fn said_by_oha(stdout: &str) -> Result<Said> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        summary: Summary,
        status_code_distribution: std::collections::BTreeMap<String, u64>,
        error_distribution: std::collections::BTreeMap<String, u64>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary {
        total: f64,
    }
    let said: Document =
        serde_json::from_str(stdout).map_err(|error| Error::malformed("what oha says", error, stdout))?;
    let good = said.status_code_distribution.get("200").copied().unwrap_or(0);
    let others = said.status_code_distribution.values().sum::<u64>() - good;
    // At its end it breaks off what is under way: that is no fault of anybody's.
    let broken = said.error_distribution.iter().filter(|(kind, _)| *kind != "aborted due to deadline");
    let faults = others + broken.map(|(_, count)| count).sum::<u64>();
    Ok(Said { rate: crate::load::number(good) / said.summary.total.max(1e-9), faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_rate_and_faults_are_read() {
        let said = "Running 3s test @ http://127.0.0.1:9777/ocr\n  2 threads and 16 connections\n  185169 requests in \
                    3.01s, 15.72MB read\n  Socket errors: connect 0, read 3, write 0, timeout 1\n  \
                    Non-2xx or 3xx responses: 5\nRequests/sec:  61497.10\nTransfer/sec:      5.22MB\n";
        assert_eq!(said_by_wrk(said).unwrap(), Said { rate: 61497.10, faults: 9 });
        assert!(said_by_wrk("unable to connect").is_err());
    }

    #[test]
    fn ohas_rate_is_of_good_answers_and_what_its_end_broke_off_is_no_fault() {
        let said = r#"{"summary": {"successRate": 1.0, "total": 2.0, "requestsPerSec": 52.5},
            "statusCodeDistribution": {"200": 100, "503": 5},
            "errorDistribution": {"aborted due to deadline": 16, "connection error": 2}}"#;
        assert_eq!(said_by_oha(said).unwrap(), Said { rate: 50.0, faults: 7 });
    }

    #[test]
    fn each_is_asked_for_the_same_form_over_as_many_connections() {
        let folder = tempfile::tempdir().unwrap();
        let form = image().payload(None);
        let ask = Ask {
            url: "http://127.0.0.1:9/ocr",
            form: &form,
            folder: folder.path(),
            seconds: 4,
            clients: 16,
            cores: 2,
        };
        let cmd = |generator: Generator| {
            Program { generator, path: generator.name().into() }.cmd(&ask).unwrap().to_string()
        };
        let wrk = cmd(Generator::Wrk);
        assert!(wrk.starts_with("wrk -t 2 -c 16 -d 4s -s ") && wrk.ends_with("/ocr"), "{wrk}");
        let oha = cmd(Generator::Oha);
        assert!(oha.contains("-m POST -T") && oha.contains("-z 4s -c 16 http"), "{oha}");
        assert_eq!(std::fs::read(folder.path().join("body")).unwrap(), form.body);
        let script = std::fs::read_to_string(folder.path().join("wrk.lua")).unwrap();
        assert!(script.contains("multipart/form-data; boundary=platen-"), "{script}");
    }
}
