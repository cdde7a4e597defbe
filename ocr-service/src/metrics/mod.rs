//! What each role counts, and the text in which Prometheus reads it.
//!
//! Each role has a registry of its own. Names are given in this file and nowhere else: those of the users' panels
//! (`kserve_…`) and ours (`ocr_…`); a test holds that none is given twice.

pub mod counter;
pub mod upstream;

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
pub use counter::Counter;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
pub use upstream::UpstreamMetrics;

/// Seconds, from a cached reply to a page that takes as long as anyone waits.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    pub route: String,
    pub method: String,
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteOnly {
    pub route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ModelLabels {
    pub model_name: &'static str,
}

/// Every role's HTTP requests.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    pub requests: Family<RouteLabels, Counter>,
    pub duration: Family<RouteOnly, Histogram, fn() -> Histogram>,
    pub in_flight: Gauge,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
        }
    }
}

/// The pool's view: what was admitted, how long it waited and took, what was lost.
#[derive(Clone, Debug)]
pub struct EngineMetrics {
    pub queue_wait: Histogram,
    pub recognition: Histogram,
    pub refused: Counter,
    pub expired: Counter,
    pub cancelled: Counter,
    pub crashed: Counter,
    pub killed: Counter,
    running: Gauge,
    waiting: Gauge,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            queue_wait: seconds(),
            recognition: seconds(),
            refused: Counter::default(),
            expired: Counter::default(),
            cancelled: Counter::default(),
            crashed: Counter::default(),
            killed: Counter::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
        }
    }
}

impl EngineMetrics {
    pub fn set_load(&self, running: usize, waiting: usize) {
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

/// What was read before and is known still.
#[derive(Clone, Debug, Default)]
pub struct CacheMetrics {
    pub hits: Counter,
    pub misses: Counter,
    pub bytes: Gauge,
}

/// The model's, under the names of the users' panels.
#[derive(Clone, Debug)]
pub struct InferenceMetrics {
    pub requests: Family<ModelLabels, Counter>,
    pub errors: Family<ModelLabels, Counter>,
    pub duration: Family<ModelLabels, Histogram, fn() -> Histogram>,
}

impl InferenceMetrics {
    pub fn new(model: &ModelLabels) -> Self {
        let metrics = Self {
            requests: Family::default(),
            errors: Family::default(),
            duration: Family::new_with_constructor(seconds),
        };
        // Present from the start: a rate over a series that appears with its first error would miss that error.
        drop(metrics.requests.get_or_create(model));
        drop(metrics.errors.get_or_create(model));
        drop(metrics.duration.get_or_create(model));
        metrics
    }
}

/// Names to metrics.
#[must_use]
#[derive(Debug, Default)]
pub struct Catalogue(Registry);

impl Catalogue {
    pub fn http(mut self, metrics: &HttpMetrics) -> Self {
        self.add("ocr_http_requests_total", "HTTP requests answered", metrics.requests.clone());
        self.add(
            "ocr_http_request_duration_seconds",
            "Time from request to response",
            metrics.duration.clone(),
        );
        self.add("ocr_http_requests_in_flight", "HTTP requests being answered", metrics.in_flight.clone());
        self
    }

    pub fn engines(mut self, metrics: &EngineMetrics) -> Self {
        self.add("ocr_queue_wait_seconds", "Time an image waited for an engine", metrics.queue_wait.clone());
        self.add(
            "ocr_recognition_seconds",
            "Time an engine took for an image or its share of one",
            metrics.recognition.clone(),
        );
        self.add(
            "ocr_refused_total",
            "Requests refused because the queue was full, or too long for their time",
            metrics.refused.clone(),
        );
        self.add("ocr_expired_total", "Requests whose deadline passed", metrics.expired.clone());
        self.add(
            "ocr_cancelled_total",
            "Images given up because their client had gone",
            metrics.cancelled.clone(),
        );
        self.add("ocr_engine_crashes_total", "Engines replaced after a crash", metrics.crashed.clone());
        self.add(
            "ocr_engines_killed_total",
            "Engines replaced because they did not stop when they had to",
            metrics.killed.clone(),
        );
        self.add("ocr_engines_busy", "Engines at work", metrics.running.clone());
        self.add("ocr_queue_length", "Images that wait for an engine", metrics.waiting.clone());
        self
    }

    pub fn cache(mut self, metrics: &CacheMetrics) -> Self {
        self.add("ocr_cache_hits_total", "Images whose text was known", metrics.hits.clone());
        self.add("ocr_cache_misses_total", "Images that had to be read", metrics.misses.clone());
        self.add("ocr_cache_bytes", "Memory of the known texts", metrics.bytes.clone());
        self
    }

    pub fn inference(mut self, metrics: &InferenceMetrics) -> Self {
        self.add("kserve_inference_request_count", "Inference requests", metrics.requests.clone());
        self.add(
            "kserve_inference_request_error_count",
            "Inference requests that failed",
            metrics.errors.clone(),
        );
        self.add(
            "kserve_inference_request_duration_seconds",
            "Time of an inference request",
            metrics.duration.clone(),
        );
        self
    }

    pub fn finish(self) -> Arc<Registry> {
        Arc::new(self.0)
    }

    fn add(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, metric);
    }
}

/// The registry as Prometheus' text format 0.0.4.
pub fn render(registry: &Registry) -> impl IntoResponse + use<> {
    let mut body = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode_registry(&mut body, registry);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const MODEL: ModelLabels = ModelLabels { model_name: "ocr-model" };

    fn everything() -> String {
        let registry = Catalogue::default()
            .http(&HttpMetrics::default())
            .engines(&EngineMetrics::default())
            .cache(&CacheMetrics::default())
            .inference(&InferenceMetrics::new(&MODEL))
            .upstream(&UpstreamMetrics::default())
            .finish();
        let mut body = String::new();
        text::encode_registry(&mut body, &registry).unwrap();
        body
    }

    #[test]
    fn no_name_is_given_twice_even_when_all_roles_share_a_registry() {
        let body = everything();
        let types: Vec<_> = body.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let distinct: HashSet<_> = types.iter().collect();
        assert_eq!(types.len(), distinct.len(), "{types:#?}");
    }

    #[test]
    fn the_panels_series_exist_before_the_first_request_under_their_exact_names() {
        let body = everything();
        for line in [
            "# TYPE kserve_inference_request_count counter",
            "kserve_inference_request_count{model_name=\"ocr-model\"} 0",
            "kserve_inference_request_error_count{model_name=\"ocr-model\"} 0",
            "kserve_inference_request_duration_seconds_bucket{le=\"0.1\",model_name=\"ocr-model\"} 0",
        ] {
            assert!(body.lines().any(|found| found == line), "no line {line} in\n{body}");
        }
    }
}
