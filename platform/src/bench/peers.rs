//! Who is measured, and the programs that each of them is.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::binaries::Built;
use crate::error::{Error, Result};
use crate::process::Cmd;
use crate::service;
use crate::tools::PythonPackages;

/// What the peers are made of.
pub const PEERS: PythonPackages =
    PythonPackages { of: "the peers", list: include_str!("../../stack/bench/peers/requirements.txt") };

/// Where the peers' scripts are, from the project's root.
pub const SCRIPTS: &str = "platform/stack/bench/peers";

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Tesseract's library in a loop on every core: the limit of what any service around it can do.
    Bare,
    /// Gateway and model as they are by default, but for the cache of results.
    Platen,
    /// The same without preparation of the image: the same work as everybody else's.
    PlatenPlain,
    /// The users' OCR backend.
    Flask,
    /// The users' gateway and model server.
    Kserve,
    /// Both again with the one setting that helps them most.
    FlaskTuned,
    KserveTuned,
}

/// The programs of all peers.
#[derive(Debug, Clone)]
pub struct Programs {
    pub built: Built,
    /// Python in its virtual environment, where a peer needs it.
    pub python: Option<PathBuf>,
}

/// A server to be started.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub cmd: Cmd,
    pub port: u16,
    /// Answers with 200 when it can serve.
    pub ready: &'static str,
}

/// How the peer is asked.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub path: &'static str,
    pub field: &'static str,
}

impl Peer {
    pub const ALL: [Self; 7] = [
        Self::Bare,
        Self::Platen,
        Self::PlatenPlain,
        Self::Flask,
        Self::Kserve,
        Self::FlaskTuned,
        Self::KserveTuned,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Platen => "platen",
            Self::PlatenPlain => "platen-plain",
            Self::Flask => "flask",
            Self::Kserve => "kserve",
            Self::FlaskTuned => "flask-tuned",
            Self::KserveTuned => "kserve-tuned",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Bare => "the bare library, a thread for each core",
            Self::Platen => "Platen: gateway and model, result cache off",
            Self::PlatenPlain => "Platen without preparation of the image",
            Self::Flask => "Flask and pytesseract",
            Self::Kserve => "FastAPI gateway, KServe model server, pytesseract",
            Self::FlaskTuned => "Flask and pytesseract, OMP_THREAD_LIMIT=1",
            Self::KserveTuned => "FastAPI gateway, KServe model server, pytesseract, OMP_THREAD_LIMIT=1",
        }
    }

    pub fn is_python(self) -> bool {
        !self.is_platen() && self != Self::Bare
    }

    pub fn is_platen(self) -> bool {
        matches!(self, Self::Platen | Self::PlatenPlain)
    }

    fn is_tuned(self) -> bool {
        matches!(self, Self::FlaskTuned | Self::KserveTuned)
    }

    pub fn entry(self) -> Entry {
        match self {
            Self::Flask | Self::FlaskTuned => Entry { path: "/ocr", field: "file" },
            _ => Entry { path: "/gateway/ocr", field: "image_file" },
        }
    }

    /// Its servers in the order in which they start; the last one is asked. `ports` are as many free ones.
    pub fn servers(self, programs: &Programs, scripts: &Path, ports: [u16; 2]) -> Result<Vec<Server>> {
        match self {
            Self::Bare => Ok(Vec::new()),
            Self::Platen | Self::PlatenPlain => Ok(self.platen(&programs.built.service, ports).into()),
            Self::Flask | Self::FlaskTuned => {
                Ok(vec![self.python(programs, scripts, ("flask", "flask_app.py", ports[0]), "/ready")?])
            }
            Self::Kserve | Self::KserveTuned => {
                let model = ("model", "kserve_model.py", ports[0]);
                let mut gateway =
                    self.python(programs, scripts, ("gateway", "gateway_app.py", ports[1]), "/ready")?;
                let infer = format!("http://127.0.0.1:{}/v2/models/ocr-model/infer", ports[0]);
                gateway.cmd = gateway.cmd.env("KSERVE_URL", infer);
                Ok(vec![self.python(programs, scripts, model, "/v2/health/ready")?, gateway])
            }
        }
    }

    fn platen(self, service: &Path, ports: [u16; 2]) -> [Server; 2] {
        let [mut model, gateway] = platen(service, ports);
        // By variable, not by flag: a service that has neither cache nor preparation has nothing to be told.
        model.cmd = model.cmd.env("PLATEN_CACHE_MIB", "0");
        if self == Self::PlatenPlain {
            model.cmd = model.cmd.env("PLATEN_PREPARE", "off");
        }
        [model, gateway]
    }

    fn python(
        self,
        programs: &Programs,
        scripts: &Path,
        (name, script, port): (&'static str, &str, u16),
        ready: &'static str,
    ) -> Result<Server> {
        let missing =
            || Error::machine("Python for the peers is missing", "run it again without --no-install");
        let python = programs.python.as_ref().ok_or_else(missing)?;
        let cmd = Cmd::new(python).arg(scripts.join(script)).arg(port.to_string());
        let mut cmd = clean(cmd).env("PYTHONUNBUFFERED", "1");
        if self.is_tuned() {
            cmd = cmd.env("OMP_THREAD_LIMIT", "1");
        } else {
            // As their users had it, whatever this shell has.
            cmd.unset.push("OMP_THREAD_LIMIT".into());
        }
        Ok(Server { name, cmd, port, ready })
    }
}

/// A model and the gateway before it, as they are by default.
pub fn platen(service: &Path, ports: [u16; 2]) -> [Server; 2] {
    let role = |name: &'static str, port: u16| {
        // Logging every request is not what is compared: the peers log only errors, or one short line.
        let cmd = Cmd::new(service).args([name, "--port", &port.to_string(), "--log", "warn"]);
        Server { name, cmd: clean(cmd), port, ready: "/healthz/ready" }
    };
    let mut gateway = role("gateway", ports[1]);
    gateway.cmd = gateway.cmd.args(["--model-url", &format!("http://127.0.0.1:{}", ports[0])]);
    [role("model", ports[0]), gateway]
}

/// Without the settings of whoever runs the benchmark, but with those that were set here.
fn clean(mut cmd: Cmd) -> Cmd {
    let set: Vec<_> = cmd.env.iter().map(|(name, _)| name.clone()).collect();
    let inherited = std::env::vars_os().map(|(name, _)| name);
    let others =
        inherited.filter(|name| name.to_string_lossy().starts_with("PLATEN_") && !set.contains(name));
    cmd.unset.extend(others);
    cmd
}

/// The Debian packages that these peers need.
pub fn packages(peers: impl Iterator<Item = Peer>) -> Vec<&'static str> {
    let mut packages = service::PACKAGES.to_vec();
    if peers.into_iter().any(Peer::is_python) {
        packages.extend(["tesseract-ocr"]);
    }
    packages
}

impl std::str::FromStr for Peer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|peer| peer.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            Error::usage(format!("there is no peer called {name:?}; the peers are {}", known.join(", ")), "")
        })
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(peer: Peer) -> Vec<Server> {
        let built = Built { service: "/b/ocr-service".into(), bare: "/b/bare".into() };
        let programs = Programs { built, python: Some("/v/python".into()) };
        peer.servers(&programs, Path::new("/s"), [1001, 1002]).unwrap()
    }

    fn value<'a>(server: &'a Server, name: &str) -> Option<&'a str> {
        let found = server.cmd.env.iter().rev().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn the_cache_of_results_is_off_in_both_rows_and_preparation_in_one() {
        let model = |peer| servers(peer).remove(0);
        assert_eq!(value(&model(Peer::Platen), "PLATEN_CACHE_MIB"), Some("0"));
        assert_eq!(value(&model(Peer::Platen), "PLATEN_PREPARE"), None);
        assert_eq!(value(&model(Peer::PlatenPlain), "PLATEN_CACHE_MIB"), Some("0"));
        assert_eq!(value(&model(Peer::PlatenPlain), "PLATEN_PREPARE"), Some("off"));
    }

    #[test]
    fn the_gateway_is_told_where_the_model_is() {
        let platen = servers(Peer::Platen).pop().unwrap();
        let expected = "/b/ocr-service gateway --port 1002 --log warn --model-url http://127.0.0.1:1001";
        assert_eq!(platen.cmd.to_string(), expected);
        let kserve = servers(Peer::Kserve).pop().unwrap();
        assert_eq!(value(&kserve, "KSERVE_URL"), Some("http://127.0.0.1:1001/v2/models/ocr-model/infer"));
    }

    #[test]
    fn only_the_tuned_peers_have_the_thread_limit() {
        for (peer, limit) in
            [(Peer::Flask, None), (Peer::FlaskTuned, Some("1")), (Peer::KserveTuned, Some("1"))]
        {
            for server in servers(peer) {
                assert_eq!(value(&server, "OMP_THREAD_LIMIT"), limit, "{peer}");
                assert_eq!(server.cmd.unset.iter().any(|name| name == "OMP_THREAD_LIMIT"), limit.is_none());
            }
        }
    }

    #[test]
    fn each_peer_is_found_by_its_name() {
        for peer in Peer::ALL {
            assert_eq!(peer.name().parse::<Peer>().unwrap(), peer);
        }
        assert!("gunicorn".parse::<Peer>().unwrap_err().to_string().contains("flask-tuned"));
    }

    #[test]
    fn without_python_peers_no_tesseract_program_is_wanted() {
        assert!(!packages([Peer::Bare, Peer::Platen].into_iter()).contains(&"tesseract-ocr"));
        assert!(packages([Peer::Flask].into_iter()).contains(&"tesseract-ocr"));
    }
}
