//! What a run does and how long it takes, as a function of what is asked and what the machine lacks.

use std::time::Duration;

use serde::Serialize;

use super::peers::Peer;
use super::picture::Picture;

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// None: all.
    pub only: Vec<Peer>,
    /// None: all.
    pub images: Vec<Picture>,
    /// How long each measurement lasts at least.
    pub seconds: u32,
    /// How many wait for an answer at once, in the closed loop.
    pub clients: usize,
    /// The open loop's rate as a share of what the closed loop showed the peer to be capable of.
    pub share: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: Vec::new(), images: Vec::new(), seconds: 4, clients: 8, share: 0.7 }
    }
}

impl Options {
    pub fn peers(&self) -> impl Iterator<Item = Peer> {
        Peer::ALL.into_iter().filter(|peer| self.only.is_empty() || self.only.contains(peer))
    }

    pub fn pictures(&self) -> impl Iterator<Item = Picture> {
        let wanted = |picture: &Picture| self.images.is_empty() || self.images.contains(picture);
        Picture::ALL.into_iter().filter(wanted)
    }

    pub fn lasting(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// The open loop's rate and time: a slow peer is asked for longer, so that there are some answers, but not for ever.
    pub fn open(&self, capacity: f64) -> (f64, Duration) {
        let rate = (capacity * self.share).max(0.05);
        let enough = Duration::from_secs_f64(FEW_ANSWERS / rate);
        (rate, self.lasting().max(enough).min(self.lasting() * 3))
    }
}

/// Answers that an open loop waits for at least, if they come in time.
const FEW_ANSWERS: f64 = 5.0;

/// What the machine lacks for a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Debian packages.
    pub packages: Vec<String>,
    /// The peers' Python packages.
    pub python: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What is installed and compiled first.
    pub prepare: Vec<String>,
    pub measure: Vec<String>,
    /// Of the measurements, on two cores.
    #[serde(rename = "expected_seconds", serialize_with = "whole_seconds")]
    pub expected: Duration,
}

fn whole_seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

pub fn plan(options: &Options, missing: &Missing) -> Plan {
    let packages = (!missing.packages.is_empty())
        .then(|| format!("install Debian packages: {}", missing.packages.join(" ")));
    let compile =
        "compile the service and the bare loop with the image's profile, where sources changed".to_owned();
    let python =
        missing.python.then(|| "install the peers' Python packages from PyPI into the cache".to_owned());
    let pictures: Vec<_> = options.pictures().map(Picture::name).collect();
    let pictures = pictures.join(", ");
    let measure = options.peers().map(|peer| {
        let seconds = of_peer(options, peer).as_secs();
        format!(
            "{peer} ({}): {}, each of {pictures}; about {seconds} s",
            peer.title(),
            measures(options, peer)
        )
    });
    Plan {
        prepare: packages.into_iter().chain([compile]).chain(python).collect(),
        measure: measure.collect(),
        expected: options.peers().map(|peer| of_peer(options, peer)).sum(),
    }
}

fn measures(options: &Options, peer: Peer) -> String {
    let Options { clients, share, .. } = options;
    match peer {
        Peer::Bare => "all cores, one thread alone".into(),
        Peer::Platen => format!("one client, {clients} clients, open loop at {share} of the capacity"),
        Peer::PlatenPlain => {
            format!("one client, {clients} clients, open loop at {share} of the capacity, the gateway's hop")
        }
        _ => format!("{clients} clients, open loop at {share} of the capacity"),
    }
}

/// A forecast, long rather than short.
pub fn of_peer(options: &Options, peer: Peer) -> Duration {
    let start = if peer.is_python() { Duration::from_secs(6) } else { Duration::from_secs(2) };
    let hop = if peer == Peer::PlatenPlain { options.lasting() * 6 } else { Duration::ZERO };
    start + hop + options.pictures().map(|picture| of_picture(options, peer, picture)).sum::<Duration>()
}

fn of_picture(options: &Options, peer: Peer, picture: Picture) -> Duration {
    let lasting = options.lasting();
    if peer == Peer::Bare {
        return lasting + lasting / 2 + Duration::from_secs(1);
    }
    let capacity = capacity(peer, picture);
    let answers = f64::from(u32::try_from(options.clients).unwrap_or(u32::MAX));
    let drain = Duration::from_secs_f64(answers / capacity / 2.0);
    let alone = if peer.is_platen() { lasting / 2 } else { Duration::ZERO };
    let beside = if options.peers().any(|peer| peer == Peer::Bare) { lasting } else { Duration::ZERO };
    lasting.max(drain * 2) + drain + options.open(capacity).1 + alone + beside
}

/// Images a second on two cores, seen once; only for forecasts.
fn capacity(peer: Peer, picture: Picture) -> f64 {
    let [line, label, letter] = match peer {
        Peer::Flask => [7.3, 1.1, 2.5],
        Peer::Kserve => [3.7, 0.53, 1.2],
        Peer::FlaskTuned | Peer::KserveTuned => [9.0, 3.5, 5.0],
        Peer::Bare | Peer::Platen | Peer::PlatenPlain => [80.0, 7.0, 12.0],
    };
    match picture {
        Picture::Line => line,
        Picture::Label => label,
        Picture::Letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_run_takes_about_six_minutes_at_most() {
        let plan = plan(&Options::default(), &Missing::default());
        let seconds = plan.expected.as_secs();
        assert!((150..=360).contains(&seconds), "{seconds}");
        assert_eq!(plan.measure.len(), Peer::ALL.len());
    }

    #[test]
    fn what_is_not_missing_is_not_installed() {
        let whole = plan(&Options::default(), &Missing::default());
        assert_eq!(whole.prepare.len(), 1, "{:?}", whole.prepare);
        let missing = Missing { packages: vec!["tesseract-ocr".into()], python: true };
        let said = plan(&Options::default(), &missing).prepare.join("\n");
        assert!(said.contains("tesseract-ocr") && said.contains("PyPI"), "{said}");
    }

    #[test]
    fn only_what_is_named_is_measured_in_the_order_of_the_table() {
        let options = Options {
            only: vec![Peer::Flask, Peer::Bare],
            images: vec![Picture::Line],
            ..Options::default()
        };
        assert_eq!(options.peers().collect::<Vec<_>>(), [Peer::Bare, Peer::Flask]);
        let plan = plan(&options, &Missing::default());
        assert_eq!(plan.measure.len(), 2);
        assert!(plan.measure.iter().all(|line| line.contains("each of line;")), "{:?}", plan.measure);
    }

    #[test]
    fn a_slow_peers_open_loop_is_longer_but_bounded() {
        let options = Options::default();
        assert_eq!(options.open(80.0).1, Duration::from_secs(4));
        assert!((options.open(80.0).0 - 56.0).abs() < 1e-9);
        let slow = options.open(1.0).1;
        assert!(slow > Duration::from_secs(7) && slow < Duration::from_secs(8), "{slow:?}");
        assert_eq!(options.open(0.1).1, Duration::from_secs(12));
    }
}
