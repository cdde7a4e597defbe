//! Every query of every panel run against a live Prometheus: an unknown metric, an error or an empty answer is found
//! before a person looks at an empty panel.

use std::collections::BTreeSet;

use serde::Serialize;

use super::dashboard::Dashboard;
use super::prometheus::{Prometheus, QueryError, Series};
use super::promql;
use crate::error::Result;

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
pub async fn verify(prometheus: &Prometheus, dashboards: &[Dashboard]) -> Result<Vec<Checked>> {
    let known = prometheus.metrics().await?;
    let mut checked = Vec::new();
    for dashboard in dashboards {
        for panel in dashboard.panels() {
            for target in &panel.targets {
                let outcome = run(prometheus, &known, &target.expr).await?;
                checked.push(Checked {
                    dashboard: dashboard.model.title.clone(),
                    panel: panel.title.clone(),
                    expr: target.expr.clone(),
                    outcome,
                });
            }
        }
    }
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
