//! One model as the gateway sees it: its address, what is under way to it, and whether it works.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, Url};

use super::ejection::Ejection;
use crate::metrics::Counter;
use crate::role::url_arg::under;

/// Health is never behind recognition in a model: one that has not answered by then does not work.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// So long may an endpoint be silent before it is asked whether it lives, and others are preferred.
const SILENCE: Duration = Duration::from_millis(250);
/// A silent endpoint counts as if it had so many requests more: what hangs gets hardly any until that is certain, and what
/// reads a large page gets its share again as soon as the others have more to do.
const SUSPICION: usize = 4;

pub struct Endpoint {
    pub url: Url,
    /// Host and port, as metrics and messages name it.
    pub name: String,
    /// Behind a name there may be several models, and another one at the next connection.
    pub is_shared: bool,
    pending: AtomicUsize,
    chosen: AtomicU64,
    state: Mutex<State>,
    /// How often any endpoint was thrown out.
    ejections: Counter,
    /// One probe at a time, however many wait for what it finds.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    ejection: Ejection,
    /// The last time that it was heard of.
    heard: Instant,
    /// The last time that it was asked while it owed nobody an answer.
    asked: Instant,
    /// The last time that it was found silent.
    silent: Option<Instant>,
}

impl Endpoint {
    pub fn new(url: Url, ejections: Counter) -> Self {
        let now = Instant::now();
        let state = State { ejection: Ejection::default(), heard: now, asked: now, silent: None };
        Self {
            name: url.authority().to_owned(),
            is_shared: url.domain().is_some(),
            url,
            ejections,
            pending: AtomicUsize::new(0),
            chosen: AtomicU64::new(0),
            state: Mutex::new(state),
            probing: tokio::sync::Mutex::default(),
        }
    }

    /// The address of `path` there.
    pub fn path(&self, path: &str) -> Url {
        under(&self.url, path)
    }

    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub fn chosen(&self) -> u64 {
        self.chosen.load(Ordering::Relaxed)
    }

    /// Counts a request to it for as long as the guard lives; `turn` is the number of the choice.
    pub fn enter(self: &Arc<Self>, turn: u64) -> Pending {
        if self.pending.fetch_add(1, Ordering::Relaxed) == 0 {
            self.state().asked = Instant::now();
        }
        self.chosen.store(turn, Ordering::Relaxed);
        Pending(self.clone())
    }

    pub fn is_out(&self) -> bool {
        self.state().ejection.is_out()
    }

    pub fn is_probe_due(&self, now: Instant) -> bool {
        self.state().ejection.is_probe_due(now)
    }

    /// What is under way to it, for the choice.
    pub fn load(&self, now: Instant) -> usize {
        self.pending() + if self.is_silent(now) { SUSPICION } else { 0 }
    }

    /// It owes answers and was not heard of for a while: it has much to do, or does not live.
    fn is_silent(&self, now: Instant) -> bool {
        let state = self.state();
        self.pending() > 0 && now > state.heard.max(state.asked) + SILENCE
    }

    /// It answered a request as a model that works does.
    pub fn answered(&self) {
        let mut state = self.state();
        state.heard = Instant::now();
        state.ejection.answered();
    }

    pub fn failed(&self) {
        let news = self.state().ejection.failed(Instant::now());
        self.tell(news);
    }

    /// Returns when the endpoint, which owes an answer since now, is found not to live. The search goes on when nobody
    /// waits for it any more: its finding is for the next request too.
    pub async fn dies(self: Arc<Self>, client: Client) {
        let asked = Instant::now();
        loop {
            let silent_until = self.state().heard.max(asked) + SILENCE;
            tokio::time::sleep_until(silent_until.into()).await;
            let search = self.clone().is_dead(client.clone(), asked);
            if tokio::spawn(search).await.unwrap_or(false) {
                return;
            }
        }
    }

    /// Whether it neither was heard of in the last moment nor answers a probe.
    async fn is_dead(self: Arc<Self>, client: Client, asked: Instant) -> bool {
        let _one = self.probing.lock().await;
        // Found out meanwhile, while this one waited.
        if self.state().silent.is_some_and(|at| at > asked) {
            return true;
        }
        if self.state().heard.max(asked) + SILENCE > Instant::now() {
            return false;
        }
        // Any answer is a sign of life, also that of a server which does not know the path.
        let probe = client.get(self.path("/v2/health/live")).timeout(PROBE_TIMEOUT).send();
        let lives = probe.await.is_ok();
        let now = Instant::now();
        let mut state = self.state();
        if lives {
            state.heard = now;
            return false;
        }
        state.silent = Some(now);
        let news = state.ejection.throw_out(now);
        drop(state);
        self.tell(news);
        true
    }

    fn tell(&self, thrown_out: bool) {
        if thrown_out {
            tracing::warn!(endpoint = self.name, "a model is not asked until it answers a probe");
            self.ejections.inc();
        }
    }

    pub async fn is_ready(&self, client: &Client) -> bool {
        let probe = client.get(self.path("/v2/health/ready")).timeout(PROBE_TIMEOUT).send();
        probe.await.is_ok_and(|response| response.status().is_success())
    }

    /// Lets it back in if it is ready.
    pub async fn probe(&self, client: &Client) {
        let Ok(_one) = self.probing.try_lock() else { return };
        let well = self.is_ready(client).await;
        tracing::info!(endpoint = self.name, well, "probed a model that had failed");
        self.state().ejection.probed(well, Instant::now());
    }

    /// No panic leaves the state half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
pub struct Pending(Arc<Endpoint>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_silent_while_it_owes_an_answer_and_nothing_was_heard_of_it() {
        let url = "http://127.0.0.1:1".parse().unwrap();
        let endpoint = Arc::new(Endpoint::new(url, Counter::default()));
        let later = || Instant::now() + SILENCE + Duration::from_millis(1);
        assert!(!endpoint.is_silent(later()), "it owes nothing");
        let pending = endpoint.enter(1);
        assert!(!endpoint.is_silent(Instant::now()), "it was only just asked");
        assert_eq!((endpoint.load(Instant::now()), endpoint.load(later())), (1, 1 + SUSPICION));
        endpoint.answered();
        assert!(!endpoint.is_silent(Instant::now()) && endpoint.is_silent(later()));
        drop(pending);
        assert!(!endpoint.is_silent(later()));
    }
}
