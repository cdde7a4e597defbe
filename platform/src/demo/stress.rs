//! Many images in a row, and what of it Prometheus has seen afterwards: the numbers behind the dashboards' panels.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{SAMPLE, entries, send};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::load::{Latencies, Summary};
use crate::observe::Prometheus;
use crate::observe::prometheus::QueryError;
use crate::wait::{self, Seen};

/// Two scrapes, and a little.
const SEEN_WITHIN: Duration = Duration::from_secs(45);

/// What panels show, by the queries that they ask.
const PANELS: [(&str, &str); 3] = [
    ("Requests, in all", "sum(kserve_inference_request_count)"),
    ("Failed requests, in all", "sum(kserve_inference_request_error_count) or vector(0)"),
    (
        "Inference p95, seconds",
        "histogram_quantile(0.95, sum(rate(kserve_inference_request_duration_seconds_bucket[5m])) by (le))",
    ),
];

#[derive(Debug, Clone, Serialize)]
pub struct StressReport {
    pub sent: u32,
    pub good: u32,
    pub elapsed_seconds: f64,
    pub latency: Option<Summary>,
    /// The first thing that went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_fault: Option<String>,
    /// Empty where there is no Prometheus.
    pub moved: Vec<Moved>,
}

/// A number of a panel, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    pub panel: &'static str,
    pub query: &'static str,
    pub before: Option<f64>,
    pub after: Option<f64>,
}

/// Sends so many images one after the other, by every door in turn, each to be read anew.
pub async fn stress(host: &Host, prometheus: Option<&str>, count: u32, step: &Step) -> Result<StressReport> {
    let prometheus = prometheus.map(Prometheus::new).transpose()?;
    let before = numbers(prometheus.as_ref()).await?;
    let (endpoints, _) = entries(host).await?;
    let (mut latencies, mut first_fault) = (Latencies::default(), None);
    let mut good = 0;
    let begun = Instant::now();
    for (number, endpoint) in (0..count).zip(endpoints.iter().cycle()) {
        // Other bytes behind the image's end, which no reader looks at, are another request to the cache of results.
        let image = [SAMPLE, number.to_le_bytes().as_slice()].concat();
        match send(&endpoint.ocr_url(), "sample letter".into(), image).await {
            Ok(report) => {
                good += 1;
                latencies.record(Duration::from_millis(u64::try_from(report.elapsed_ms).unwrap_or(u64::MAX)));
            }
            Err(error) => drop(first_fault.get_or_insert(error.to_string())),
        }
        step.progress("sending", Some((number + 1).into()), Some(count.into()));
    }
    let elapsed_seconds = begun.elapsed().as_secs_f64();
    let after = seen(prometheus.as_ref(), before[0], good, step).await?;
    let moved = PANELS.iter().zip(before.into_iter().zip(after));
    let moved = moved.map(|((panel, query), (before, after))| Moved { panel, query, before, after });
    let moved = if prometheus.is_some() { moved.collect() } else { Vec::new() };
    Ok(StressReport { sent: count, good, elapsed_seconds, latency: latencies.summary(), first_fault, moved })
}

impl StressReport {
    /// An error where an image was not read.
    pub fn verdict(&self) -> Result<()> {
        let Some(fault) = &self.first_fault else { return Ok(()) };
        let what = format!("{} of {} images were not read: {fault}", self.sent - self.good, self.sent);
        Err(Error::unhealthy(what, "see: cargo xtask status"))
    }
}

/// The numbers once Prometheus has seen so many more requests; those that it has in the end where it does not.
async fn seen(
    prometheus: Option<&Prometheus>,
    before: Option<f64>,
    good: u32,
    step: &Step,
) -> Result<[Option<f64>; 3]> {
    let awaited = before.unwrap_or_default() + f64::from(good);
    let looked = wait::until(SEEN_WITHIN, "cargo xtask dashboards verify", || async {
        let now = numbers(prometheus).await?;
        let done = prometheus.is_none() || now[0].is_some_and(|count| count >= awaited);
        step.message("waiting until Prometheus has seen them");
        Ok(if done { Seen::Ready(now) } else { Seen::Awaiting("Prometheus to see the requests".into()) })
    })
    .await;
    match looked {
        Err(Error::TimedOut { .. }) => numbers(prometheus).await,
        looked => looked,
    }
}

async fn numbers(prometheus: Option<&Prometheus>) -> Result<[Option<f64>; 3]> {
    let mut numbers = [None; 3];
    let Some(prometheus) = prometheus else { return Ok(numbers) };
    for (number, (_, query)) in numbers.iter_mut().zip(PANELS) {
        *number = match prometheus.query(query).await {
            Ok(series) => series.first().and_then(|it| it.values.last()).map(|(_, value)| *value),
            // Right after the start it has no series to count.
            Err(QueryError::Refused(_)) => None,
            Err(QueryError::Failed(error)) => return Err(error),
        };
    }
    Ok(numbers.map(|number| number.filter(|number| number.is_finite())))
}
