//! A counter whose name is used as it stands.
//!
//! prometheus-client writes OpenMetrics, where every counter's name ends in `_total`. The users' panels ask for
//! `kserve_inference_request_count`, so `/metrics` speaks the older Prometheus text format, in which a counter may have
//! any name; ours that should end in `_total` are registered so.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter as Inner;
use prometheus_client::metrics::{MetricType, TypedMetric};

#[derive(Clone, Debug, Default)]
pub struct Counter(Inner);

impl Counter {
    pub fn inc(&self) {
        self.0.inc();
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // A gauge is written without a suffix; the type line says counter all the same.
        encoder.encode_gauge(&self.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
