//! A client of Prometheus' HTTP API v1 (prometheus.io/docs/prometheus/latest/querying/api).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Doing, Error, Result};

/// Prometheus' own limit of a query is two minutes; a panel that needs longer than this is none.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Where no address was given.
const HINT: &str = "look whether it runs: cargo xtask status; or name another: --prometheus URL";

/// One Prometheus.
#[derive(Debug, Clone)]
pub struct Prometheus {
    base: Url,
    http: reqwest::Client,
}

/// A series at one moment, or over a time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Series {
    #[serde(rename = "metric", default)]
    pub labels: BTreeMap<String, String>,
    /// Unix seconds and values; `NaN` where something was divided by nothing.
    #[serde(default, deserialize_with = "samples")]
    pub values: Vec<(f64, f64)>,
}

/// A scrape target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrapeTarget {
    pub labels: BTreeMap<String, String>,
    pub scrape_url: String,
    pub health: String,
    #[serde(default)]
    pub last_error: String,
}

impl ScrapeTarget {
    /// Asked, and without an answer; one that was not asked yet is not down.
    pub fn is_down(&self) -> bool {
        self.health == "down"
    }

    pub fn job(&self) -> &str {
        self.label("job")
    }

    /// Job and pod; where it is no pod, its address.
    pub fn name(&self) -> String {
        match self.label("pod") {
            "" => format!("{}, {}", self.job(), self.label("instance")),
            pod => format!("{}, pod {pod}", self.job()),
        }
    }

    /// In Prometheus' words.
    pub fn why(&self) -> &str {
        if self.last_error.is_empty() { "no reason given" } else { &self.last_error }
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Prometheus refused the expression.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Failed(#[from] Error),
}

#[derive(Deserialize)]
struct Answer<T> {
    data: Option<T>,
    #[serde(default)]
    error: String,
}

impl Prometheus {
    /// By its base address, which may have a path; a proxy of the API server has one.
    pub fn new(base: &str) -> Result<Self> {
        let mut text = base.trim_end_matches('/').to_owned();
        text.push('/');
        let base = Url::parse(&text).map_err(|error| {
            Error::usage(
                format!("{base} is no address of Prometheus: {error}"),
                "write it as http://HOST:PORT",
            )
        })?;
        Ok(Self { base, http: crate::http::direct(ANSWERS_WITHIN)? })
    }

    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// The value of an expression now.
    pub async fn query(&self, expr: &str) -> Result<Vec<Series>, QueryError> {
        self.instant(&[("query", expr)]).await
    }

    /// The value of an expression at a moment, in Unix seconds.
    pub async fn query_at(&self, expr: &str, time: f64) -> Result<Vec<Series>, QueryError> {
        self.instant(&[("query", expr), ("time", &time.to_string())]).await
    }

    async fn instant(&self, form: &[(&str, &str)]) -> Result<Vec<Series>, QueryError> {
        #[derive(Deserialize)]
        #[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
        enum Data {
            Vector(Vec<Instant>),
            Scalar(Sample),
            String(Sample),
            Matrix(Vec<Series>),
        }
        #[derive(Deserialize)]
        struct Instant {
            #[serde(rename = "metric")]
            labels: BTreeMap<String, String>,
            value: Sample,
        }
        let data: Data = self.ask("query", form).await?;
        Ok(match data {
            Data::Vector(series) => series
                .into_iter()
                .map(|it| Series { labels: it.labels, values: vec![it.value.parsed()] })
                .collect(),
            Data::Scalar(sample) | Data::String(sample) => {
                vec![Series { labels: BTreeMap::new(), values: vec![sample.parsed()] }]
            }
            Data::Matrix(series) => series,
        })
    }

    /// The values of an expression from `start` to `end` (Unix seconds), one every `step` seconds.
    pub async fn query_range(
        &self,
        expr: &str,
        start: f64,
        end: f64,
        step: f64,
    ) -> Result<Vec<Series>, QueryError> {
        #[derive(Deserialize)]
        struct Data {
            result: Vec<Series>,
        }
        let (start, end, step) = (start.to_string(), end.to_string(), step.to_string());
        let form = [("query", expr), ("start", &start), ("end", &end), ("step", &step)];
        self.ask("query_range", &form).await.map(|data: Data| data.result)
    }

    /// Every name of a metric that it has.
    pub async fn metrics(&self) -> Result<BTreeSet<String>> {
        self.get("label/__name__/values").await
    }

    /// What it scrapes.
    pub async fn targets(&self) -> Result<Vec<ScrapeTarget>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            active_targets: Vec<ScrapeTarget>,
        }
        self.get("targets?state=active").await.map(|data: Data| data.active_targets)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.http.get(self.url(path));
        self.answer(request, path).await.map_err(|error| match error {
            QueryError::Refused(why) => Error::unhealthy(format!("Prometheus refuses {path}: {why}"), HINT),
            QueryError::Failed(error) => error,
        })
    }

    /// By POST, as expressions can be longer than an address may be.
    async fn ask<T: DeserializeOwned>(&self, path: &str, form: &[(&str, &str)]) -> Result<T, QueryError> {
        let mut body = Url::parse("form:").map_err(|error| Error::malformed("a form", error, ""))?;
        body.query_pairs_mut().extend_pairs(form);
        let request = self
            .http
            .post(self.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.query().unwrap_or_default().to_owned());
        self.answer(request, path).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}api/v1/{path}", self.base)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        path: &str,
    ) -> Result<T, QueryError> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.doing("reading Prometheus' answer")?;
        let parsed = serde_json::from_slice::<Answer<T>>(&bytes);
        match parsed {
            Ok(Answer { data: Some(data), .. }) if status.is_success() => Ok(data),
            // 400: the expression; 422: it cannot be evaluated.
            Ok(answer) if matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                Err(QueryError::Refused(answer.error))
            }
            Ok(answer) if !answer.error.is_empty() => {
                let what =
                    format!("Prometheus at {} answered {status} to {path}: {}", self.base, answer.error);
                Err(Error::unhealthy(what, HINT).into())
            }
            _ => {
                let what = format!("what answers at {} is no Prometheus: {status} to {path}", self.base);
                Err(Error::unhealthy(what, HINT).into())
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let why = if error.is_timeout() { "no answer in time" } else { "nobody answers" };
        Error::unhealthy(format!("Prometheus at {} cannot be asked: {why}", self.base), HINT)
    }
}

/// As Prometheus writes it: Unix seconds, and a number as text.
#[derive(Deserialize)]
struct Sample(f64, String);

impl Sample {
    fn parsed(self) -> (f64, f64) {
        // "+Inf", "-Inf" and "NaN" are known to Rust too.
        (self.0, self.1.parse().unwrap_or(f64::NAN))
    }
}

fn samples<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(f64, f64)>, D::Error> {
    Ok(Vec::<Sample>::deserialize(deserializer)?.into_iter().map(Sample::parsed).collect())
}
