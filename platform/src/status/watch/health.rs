//! Whether the streams of a cluster's changes are well, each for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;
use kube::runtime::watcher;

use crate::up::NAMESPACES;

/// How often it is looked whether a failure is over.
pub const LOOK: Duration = Duration::from_secs(1);
/// Before a stream that failed is begun again.
const PAUSE: Duration = Duration::from_secs(3);
/// A stream that does not fail again within this time is well: a watch that was begun again says nothing until something
/// changes. The pause, the client's time to connect, and a little more; it holds once the server has answered others.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// As long as nobody is answered, the client's time to read in the place of that to connect.
const SILENT_WITHIN: Duration = Duration::from_secs(70);

/// What one connection tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    Nodes,
    Pods(&'static str),
    Events(&'static str),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes => f.write_str("the nodes"),
            Self::Pods(namespace) => write!(f, "the pods of {namespace}"),
            Self::Events(namespace) => write!(f, "the events of {namespace}"),
        }
    }
}

impl Stream {
    /// Whether it is of a namespace of components, into which an account of somebody else's cluster may not look; what is there
    /// is not ours.
    fn is_beside(self) -> bool {
        match self {
            Self::Nodes => false,
            Self::Pods(namespace) | Self::Events(namespace) => !NAMESPACES.contains(&namespace),
        }
    }
}

/// The pauses of every stream: always the same, so that silence after one means something.
pub struct Pauses;

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(PAUSE)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

#[derive(Debug, Default)]
pub struct Health {
    /// So many streams there are.
    streams: usize,
    /// Who has told its first listing, or could not.
    settled: BTreeSet<Stream>,
    /// When a stream last failed, and what it said.
    failed: BTreeMap<Stream, (Instant, String)>,
    /// When any stream last told something.
    heard: Option<Instant>,
}

impl Health {
    pub fn awaiting(streams: usize) -> Self {
        Self { streams, ..Self::default() }
    }

    /// Whether every stream has told its first listing, or could not.
    pub fn is_settled(&self) -> bool {
        self.settled.len() >= self.streams
    }

    /// What a stream tells, where it is no failure.
    pub fn hear<K>(
        &mut self,
        stream: Stream,
        told: watcher::Result<watcher::Event<K>>,
        now: Instant,
    ) -> Option<watcher::Event<K>> {
        match told {
            // Said before the server is asked.
            Ok(watcher::Event::Init) => {}
            Ok(watcher::Event::InitApply(_)) => self.heard = Some(now),
            Ok(_) => {
                self.heard = Some(now);
                self.failed.remove(&stream);
                self.settled.insert(stream);
            }
            Err(error) => {
                self.settled.insert(stream);
                if !is_expected(stream, &error) {
                    self.failed.insert(stream, (now, sentence(stream, &error)));
                }
                return None;
            }
        }
        told.ok()
    }

    /// Forgets the failures that are over.
    pub fn forget(&mut self, now: Instant) {
        let heard = self.heard;
        self.failed.retain(|_, (failed, _)| {
            let answers = heard.is_some_and(|heard| heard > *failed);
            now.duration_since(*failed) < if answers { AGAIN_WITHIN } else { SILENT_WITHIN }
        });
    }

    /// Why something cannot be seen right now.
    pub fn trouble(&self) -> Option<String> {
        self.failed.values().next().map(|(_, sentence)| sentence.clone())
    }
}

/// An answer of the server is of one stream; without one, it is the same for all.
fn sentence(stream: Stream, error: &watcher::Error) -> String {
    match refusal(error) {
        Some(refused) => format!("{stream} cannot be seen: {}", refused.message),
        None => format!("the cluster does not answer: {error}"),
    }
}

/// What is not ours to see, or what the server no longer remembers: it is listed anew.
fn is_expected(stream: Stream, error: &watcher::Error) -> bool {
    refusal(error).is_some_and(|refused| match refused.code {
        403 => stream.is_beside(),
        410 => true,
        _ => false,
    })
}

fn refusal(error: &watcher::Error) -> Option<&kube::core::Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(refused))
        | watcher::Error::WatchStartFailed(kube::Error::Api(refused))
        | watcher::Error::WatchError(refused) => Some(refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = watcher::Result<watcher::Event<()>>;

    fn refused(code: u16) -> Told {
        let status = kube::core::Status::failure("not today", "Refused").with_code(code);
        Err(watcher::Error::InitialListFailed(kube::Error::Api(status.boxed())))
    }

    fn after(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn what_one_stream_tells_does_not_end_the_trouble_of_another() {
        let (mut health, begun) = (Health::awaiting(2), Instant::now());
        health.hear(Stream::Pods("ocr"), refused(500), begun);
        health.hear(Stream::Nodes, Told::Ok(watcher::Event::InitDone), after(begun, 1));
        assert!(health.is_settled(), "who cannot tell is not waited for");
        health.hear(Stream::Pods("ocr"), Told::Ok(watcher::Event::Init), after(begun, 3));
        health.forget(after(begun, 4));
        assert_eq!(health.trouble().unwrap(), "the pods of ocr cannot be seen: not today");
        health.hear(Stream::Pods("ocr"), Told::Ok(watcher::Event::InitDone), after(begun, 5));
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn a_quiet_stream_that_does_not_fail_again_is_well() {
        let (mut health, begun) = (Health::awaiting(2), Instant::now());
        health.hear(Stream::Pods("ocr"), Told::Err(watcher::Error::NoResourceVersion), begun);
        health.forget(after(begun, 20));
        assert!(
            health.trouble().unwrap().starts_with("the cluster does not answer: "),
            "nobody was answered"
        );
        health.hear(Stream::Nodes, Told::Ok(watcher::Event::Apply(())), after(begun, 21));
        health.forget(after(begun, 21));
        assert_eq!(health.trouble(), None);
        health.hear(Stream::Nodes, Told::Err(watcher::Error::NoResourceVersion), after(begun, 30));
        health.forget(after(begun, 99));
        assert!(health.trouble().is_some());
        health.forget(after(begun, 101));
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn a_component_that_the_account_may_not_see_is_no_trouble() {
        let mut health = Health::awaiting(2);
        health.hear(Stream::Pods("argocd"), refused(403), Instant::now());
        assert_eq!(health.trouble(), None);
        health.hear(Stream::Pods("ocr"), refused(403), Instant::now());
        assert!(health.is_settled() && health.trouble().is_some());
    }
}
