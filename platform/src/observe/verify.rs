//! Every query of every panel run against a live Prometheus: an unknown metric, an error or an empty answer is found
//! before a person looks at an empty panel.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::dashboard::{Dashboard, Panel, Target};
use super::prometheus::{Prometheus, QueryError, Series};
use super::promql;
use crate::demo;
use crate::error::{Error, Result};
use crate::host::Host;

/// Between two rounds of all queries.
const PAUSE: Duration = Duration::from_secs(2);
/// Four scrapes of a cluster's 15 s, and the time to set the first.
const LONGEST: Duration = Duration::from_secs(90);
const USUAL: Duration = Duration::from_secs(15);

/// What is asked, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub dashboard: String,
    pub panel: String,
    pub expr: String,
}

/// Every query of every panel.
pub fn queries(dashboards: &[Dashboard]) -> Vec<Query> {
    let of_panel = |dashboard: &Dashboard, panel: &Panel| -> Vec<Query> {
        let query = |target: &Target| Query {
            dashboard: dashboard.model.title.clone(),
            panel: panel.title.clone(),
            expr: target.expr.clone(),
        };
        panel.targets.iter().map(query).collect()
    };
    let panels = dashboards.iter().flat_map(|it| it.panels().into_iter().map(move |panel| (it, panel)));
    panels.flat_map(|(dashboard, panel)| of_panel(dashboard, panel)).collect()
}

/// One query, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub dashboard: String,
    pub panel: String,
    pub expr: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// How many series it has now.
    Answered {
        series: usize,
    },
    /// Prometheus has never heard of a metric in it.
    UnknownMetric {
        metric: String,
    },
    /// The metrics are there, and nothing of what is selected.
    Empty,
    /// Only what no number is: something divided by nothing.
    NotANumber,
    Refused {
        why: String,
    },
}

impl Outcome {
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Answered { .. })
    }

    /// What is wrong and why that may be, without a full stop.
    pub fn sentence(&self) -> String {
        match self {
            Self::Answered { series } => format!("{series} series"),
            Self::UnknownMetric { metric } => {
                format!("Prometheus knows no metric {metric}: nothing that it scrapes has it")
            }
            Self::Empty => "no series match: its labels select nothing, or nothing has happened yet".into(),
            Self::NotANumber => "all its values are NaN: nothing has happened in its time".into(),
            Self::Refused { why } => format!("Prometheus refuses it: {why}"),
        }
    }
}

/// Runs all of them.
pub async fn verify(prometheus: &Prometheus, queries: &[Query]) -> Result<Vec<Checked>> {
    let known = prometheus.metrics().await?;
    let mut checked = Vec::new();
    for Query { dashboard, panel, expr } in queries {
        let outcome = run(prometheus, &known, expr).await?;
        checked.push(Checked {
            dashboard: dashboard.clone(),
            panel: panel.clone(),
            expr: expr.clone(),
            outcome,
        });
    }
    Ok(checked)
}

/// As [`verify`], while images are sent to what `up` made: until all have an answer, or for a minute and a half. What
/// has never happened has no rate, and a rate takes two scrapes.
pub async fn verify_with_traffic(
    host: &Host,
    prometheus: &Prometheus,
    queries: &[Query],
) -> Result<Vec<Checked>> {
    let step = host.events.step("traffic", "sending images until every panel shows something", Some(USUAL));
    let begun = Instant::now();
    let rounds = async {
        loop {
            let checked = verify(prometheus, queries).await?;
            let open = checked.iter().filter(|it| !it.outcome.is_good()).count();
            if open == 0 || begun.elapsed() > LONGEST {
                return Ok::<_, Error>(checked);
            }
            step.message(format!("{open} of {} queries have no answer yet", checked.len()));
            tokio::time::sleep(PAUSE).await;
        }
    };
    let checked = tokio::select! {
        checked = rounds => checked?,
        no_door = demo::trickle(host) => return Err(no_door),
    };
    step.done();
    Ok(checked)
}

/// One expression.
pub async fn run(prometheus: &Prometheus, known: &BTreeSet<String>, expr: &str) -> Result<Outcome> {
    let expr = promql::filled(expr);
    let unknown = promql::selectors(&expr)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|selector| selector.metric)
        .find(|metric| !known.contains(metric));
    if let Some(metric) = unknown {
        return Ok(Outcome::UnknownMetric { metric });
    }
    match prometheus.query(&expr).await {
        Ok(series) => Ok(judge(&series)),
        Err(QueryError::Refused(why)) => Ok(Outcome::Refused { why }),
        Err(QueryError::Failed(error)) => Err(error),
    }
}

fn judge(series: &[Series]) -> Outcome {
    let mut values = series.iter().flat_map(|it| &it.values).peekable();
    if values.peek().is_none() {
        return Outcome::Empty;
    }
    if values.all(|(_, value)| value.is_nan()) {
        return Outcome::NotANumber;
    }
    Outcome::Answered { series: series.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(value: f64) -> Series {
        Series { labels: std::collections::BTreeMap::new(), values: vec![(0.0, value)] }
    }

    #[test]
    fn nothing_and_no_number_are_no_answers() {
        assert_eq!(judge(&[]), Outcome::Empty);
        assert_eq!(judge(&[series(f64::NAN)]), Outcome::NotANumber);
        assert_eq!(judge(&[series(f64::NAN), series(0.0)]), Outcome::Answered { series: 2 });
    }
}
