//! What the gateway counts of its calls to models.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Catalogue, Counter};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    pub endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

/// The gateway's calls to models.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics {
    pub retries: Family<ReasonLabels, Counter>,
    pub failures: Family<EndpointLabels, Counter>,
    pub ejections: Counter,
    pub budget_exhausted: Counter,
    pub in_flight: Family<EndpointLabels, Gauge>,
    pub ejected: Family<EndpointLabels, Gauge>,
}

impl UpstreamMetrics {
    /// With a series for each reason from the start: a rate over one that appears with its first retry would miss it.
    pub fn new(reasons: &[&'static str]) -> Self {
        let metrics = Self::default();
        for reason in reasons {
            drop(metrics.retries.get_or_create(&ReasonLabels { reason }));
        }
        metrics
    }
}

impl Catalogue {
    pub fn upstream(mut self, metrics: &UpstreamMetrics) -> Self {
        self.add("ocr_gateway_retries_total", "Further attempts, by their reason", metrics.retries.clone());
        self.add(
            "ocr_gateway_endpoint_failures_total",
            "Failed attempts by endpoint",
            metrics.failures.clone(),
        );
        self.add(
            "ocr_gateway_ejections_total",
            "Endpoints thrown out after failures",
            metrics.ejections.clone(),
        );
        self.add(
            "ocr_gateway_retry_budget_exhausted_total",
            "Attempts that were not made because the retry budget was spent",
            metrics.budget_exhausted.clone(),
        );
        self.add(
            "ocr_gateway_endpoint_in_flight",
            "Requests under way by endpoint",
            metrics.in_flight.clone(),
        );
        self.add(
            "ocr_gateway_endpoint_ejected",
            "1 while the endpoint is not asked after failures",
            metrics.ejected.clone(),
        );
        self
    }
}
