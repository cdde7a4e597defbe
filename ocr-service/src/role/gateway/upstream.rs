//! The gateway's client of the models: which are known, how they do, and what all requests share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode};
use reqwest::Client;

use super::attempt::{Answer, Question, Reason};
use super::budget::Budget;
use super::call::Call;
use super::choice::{self, Candidate, Wanted};
use super::directory::Directory;
use super::endpoint::Endpoint;
use super::latency::Latencies;
pub use super::latency::SOONEST;
use super::source::Source;
use crate::engine::options::Asked;
use crate::http::health::Readiness;
use crate::http::{ApiError, Deadline};
use crate::image::Image;
use crate::metrics::upstream::{EndpointLabels, ReasonLabels, UpstreamMetrics};
use crate::random;
use crate::v2::codec;
use crate::v2::ocr;

/// Unacknowledged bytes mean a dead peer long before TCP's own quarter of an hour.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often is looked whether an endpoint that was thrown out may be probed.
const TICK: Duration = Duration::from_millis(100);

/// Where models are and how they are asked.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    pub models: Vec<Source>,
    pub connect_timeout: Duration,
    /// Whether a second model may be asked for one request.
    pub retries: bool,
    /// No answer is late before that; [`SOONEST`] but in tests.
    pub soonest_late: Duration,
}

pub struct Upstream {
    /// Keeps connections for the next request.
    pub(super) pooled: Client,
    /// A new connection for each retry and probe: one that was kept may be dead, and behind one address there may be
    /// another model next time.
    pub(super) fresh: Client,
    pub(super) directory: Arc<Directory>,
    pub(super) retries: bool,
    /// As they were configured.
    models: String,
    budget: Mutex<Budget>,
    latencies: Mutex<Latencies>,
    turn: AtomicU64,
    seen_ready: AtomicBool,
    metrics: UpstreamMetrics,
}

impl Upstream {
    /// Starts to follow the models, so it needs a runtime.
    pub fn start(config: UpstreamConfig, metrics: UpstreamMetrics) -> Result<Arc<Self>, reqwest::Error> {
        let builder = || {
            // A proxy from the environment is meant for the way out of the cluster, not for the hop inside it.
            Client::builder()
                .no_proxy()
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(config.connect_timeout)
                .tcp_user_timeout(USER_TIMEOUT)
        };
        let models: Vec<_> = config.models.iter().map(ToString::to_string).collect();
        let upstream = Arc::new(Self {
            pooled: builder().pool_idle_timeout(Duration::from_secs(15)).build()?,
            fresh: builder().pool_max_idle_per_host(0).build()?,
            directory: Arc::new(Directory::new(metrics.ejections.clone())),
            retries: config.retries,
            models: models.join(", "),
            budget: Mutex::new(Budget::new(Instant::now())),
            latencies: Mutex::new(Latencies::new(config.soonest_late)),
            turn: AtomicU64::new(0),
            seen_ready: AtomicBool::new(false),
            metrics,
        });
        for (slot, source) in config.models.into_iter().enumerate() {
            source.follow(&upstream.directory, slot);
        }
        tokio::spawn(probe_those_outside(Arc::downgrade(&upstream)));
        Ok(upstream)
    }

    /// The text of `image`, from whichever model gives it before the deadline.
    pub async fn infer(
        &self,
        image: &Image,
        asked: &Asked,
        id: &HeaderValue,
        deadline: Deadline,
    ) -> Result<Answer, ApiError> {
        let name = id.to_str().ok().map(str::to_owned);
        let body = codec::encode_request(name, ocr::parameters(asked), ocr::INPUT, image.bytes())?;
        locked(&self.budget).earn();
        let question = Question { body, id: id.clone(), deadline };
        Call::new(self, &question).answer().await
    }

    pub(super) fn choose(&self, tried: &[Arc<Endpoint>], wanted: Wanted) -> Option<(Arc<Endpoint>, u64)> {
        let endpoints = self.directory.endpoints();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        let chosen = choice::choose(&candidates(&endpoints, tried), wanted, random::nth(turn))?;
        Some((endpoints[chosen].clone(), turn))
    }

    /// Whether there is somebody to choose.
    pub(super) fn can_choose(&self, tried: &[Arc<Endpoint>], wanted: Wanted) -> bool {
        choice::choose(&candidates(&self.directory.endpoints(), tried), wanted, 0).is_some()
    }

    /// Whether one more of the attempts that are limited may be made.
    pub(super) fn spend(&self) -> bool {
        locked(&self.budget).spend(Instant::now())
    }

    pub(super) fn note_denied(&self) {
        self.metrics.budget_exhausted.inc();
    }

    /// How long an answer may take before it is late.
    pub(super) fn late(&self) -> Duration {
        locked(&self.latencies).late()
    }

    pub(super) fn note_answer(&self, took: Duration) {
        self.seen_ready.store(true, Ordering::Relaxed);
        locked(&self.latencies).record(took);
    }

    pub(super) fn note_retry(&self, reason: Reason) {
        self.metrics.retries.get_or_create(&ReasonLabels { reason: reason.name() }).inc();
    }

    pub(super) fn note_failure(&self, endpoint: &Endpoint, reason: Reason, error: &ApiError) {
        tracing::warn!(
            endpoint = endpoint.name,
            reason = reason.name(),
            error = error.message,
            "a model failed"
        );
        if reason == Reason::Overloaded {
            // It works, and has enough to do.
            return endpoint.answered();
        }
        let labels = EndpointLabels { endpoint: endpoint.name.clone() };
        self.metrics.failures.get_or_create(&labels).inc();
        endpoint.failed();
    }

    /// An answer that is passed on. A model that fails at whatever it is asked answers quickly, and would be asked ever
    /// more; one whose time was up has shown nothing.
    pub(super) fn note_final(&self, endpoint: &Endpoint, error: &ApiError) {
        match error.status {
            StatusCode::GATEWAY_TIMEOUT => {}
            status if status.is_server_error() => {
                let labels = EndpointLabels { endpoint: endpoint.name.clone() };
                self.metrics.failures.get_or_create(&labels).inc();
                endpoint.failed();
            }
            _ => endpoint.answered(),
        }
    }

    pub(super) fn note_hung(&self, endpoint: &Endpoint) {
        let labels = EndpointLabels { endpoint: endpoint.name.clone() };
        self.metrics.failures.get_or_create(&labels).inc();
    }

    /// Brings the gauges up to date; endpoints that are gone disappear from them.
    pub fn observe(&self) {
        self.metrics.in_flight.clear();
        self.metrics.ejected.clear();
        for endpoint in self.directory.endpoints().iter() {
            let labels = EndpointLabels { endpoint: endpoint.name.clone() };
            let pending = i64::try_from(endpoint.pending()).unwrap_or(i64::MAX);
            self.metrics.in_flight.get_or_create(&labels).set(pending);
            // Present before the first failure: a rate over a series that appears with it would miss it.
            drop(self.metrics.failures.get_or_create(&labels));
            self.metrics.ejected.get_or_create(&labels).set(i64::from(endpoint.is_out()));
        }
    }
}

fn candidates(endpoints: &[Arc<Endpoint>], tried: &[Arc<Endpoint>]) -> Vec<Candidate> {
    let now = Instant::now();
    let candidate = |endpoint: &Arc<Endpoint>| Candidate {
        load: endpoint.load(now),
        chosen: endpoint.chosen(),
        is_out: endpoint.is_out(),
        is_tried: tried.iter().any(|it| Arc::ptr_eq(it, endpoint)),
        is_shared: endpoint.is_shared,
    };
    endpoints.iter().map(candidate).collect()
}

/// Nothing that is kept behind these locks can be left half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends with the upstream.
async fn probe_those_outside(upstream: Weak<Upstream>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let Some(upstream) = upstream.upgrade() else { return };
        for endpoint in upstream.directory.endpoints().iter() {
            if endpoint.is_probe_due(Instant::now()) {
                let (endpoint, client) = (endpoint.clone(), upstream.fresh.clone());
                tokio::spawn(async move { endpoint.probe(&client).await });
            }
        }
    }
}

/// Ready once a model has answered, and from then on: were it to follow the models' own readiness, one bad moment of
/// theirs would take every gateway out of the Service, and callers would get refused connections instead of answers.
#[async_trait::async_trait]
impl Readiness for Upstream {
    async fn check(&self) -> Result<(), String> {
        if self.seen_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        let endpoints = self.directory.endpoints();
        let probes = endpoints.iter().map(|endpoint| endpoint.is_ready(&self.fresh));
        if futures_util::future::join_all(probes).await.contains(&true) {
            self.seen_ready.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(format!("no model is ready at {}", self.models))
    }
}
