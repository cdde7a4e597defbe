//! The dashboards drawn from Prometheus without Grafana: one HTML file that needs nothing else, for looking at, sending
//! on and keeping.

mod heat;
mod page;
mod series;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;

use super::dashboard::{Dashboard, Panel, Target};
use super::prometheus::{Prometheus, QueryError, Series};
use super::promql;
use crate::error::{Error, Result};
use crate::event::Step;
pub use crate::report::plot::Range;
use crate::report::plot::{Band, Clock};

/// Panels asked for at a time: Prometheus answers up to twenty queries at once, and others ask it too.
const AT_ONCE: usize = 4;
/// Points on a curve, about one for two pixels of a panel of usual width.
const POINTS: f64 = 240.0;
/// A cluster's scrapes are 15 s apart; nothing happens between them.
const SHORTEST_STEP: f64 = 15.0;

/// The time of this length before `end`, or before now.
pub fn range(length: Duration, end: Option<SystemTime>) -> Result<Range> {
    let length = length.as_secs_f64();
    if length < SHORTEST_STEP {
        return Err(Error::usage(
            format!("{length} s are too short: nothing is measured more often than every 15 s"),
            "ask for at least a minute: --last 1m",
        ));
    }
    let end = end.unwrap_or_else(SystemTime::now);
    // Prometheus counts in milliseconds. To the last whole second is not enough: what was scraped since would be missing.
    let end = (end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0).floor() / 1000.0;
    let step = (length / POINTS).ceil().max(SHORTEST_STEP);
    // Whole steps, so that the last point is the end.
    Ok(Range { start: end - (length / step).ceil() * step, end, step, clock: Clock::Utc })
}

/// A length of time as it is typed: 90s, 30m, 6h, 2d.
pub fn length(text: &str) -> Result<Duration, String> {
    let form = || format!("{text:?} is no length of time; write it as 90s, 30m, 6h or 2d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(form)?;
    let number: u32 = number.parse().map_err(|_| form())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(form()),
    };
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

/// A moment as it is typed: 2026-11-21T14:30:00Z.
pub fn moment(text: &str) -> Result<SystemTime, String> {
    text.parse::<Timestamp>()
        .map(SystemTime::from)
        .map_err(|error| format!("{error}; write it as 2026-11-21T14:30:00Z"))
}

/// What Prometheus has for one query of a panel.
#[derive(Debug, Clone)]
struct Asked<'a> {
    target: &'a Target,
    series: Vec<Series>,
}

/// What one panel shows: its curves, or why there are none.
type Shown<'a> = Result<Vec<Asked<'a>>, String>;

/// The page with all dashboards. A panel that Prometheus refuses says so in its place.
pub async fn render(
    prometheus: &Prometheus,
    dashboards: &[Dashboard],
    range: Range,
    step: &Step,
) -> Result<Page> {
    let panels: Vec<(usize, &Panel)> = dashboards
        .iter()
        .enumerate()
        .flat_map(|(index, dashboard)| dashboard.panels().into_iter().map(move |panel| (index, panel)))
        .collect();
    let total = panels.len();
    let mut answers = BTreeMap::new();
    let mut asking = stream::iter(panels)
        .map(async |(index, panel)| Ok::<_, Error>(((index, panel.id), ask(prometheus, panel, range).await?)))
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = asking.next().await {
        let (key, shown) = answer?;
        answers.insert(key, shown);
        step.progress("asking Prometheus", Some(answers.len() as u64), Some(total as u64));
    }
    let firing = firing(prometheus, range).await?;
    let empty = answers.values().filter(|shown| !has_values(shown)).count();
    let html =
        page::html(&page::Content { prometheus, dashboards, range, answers: &answers, firing: &firing })?;
    Ok(Page { html, panels: total, empty })
}

/// The page, and what is on it.
#[derive(Debug)]
pub struct Page {
    pub html: String,
    pub panels: usize,
    /// Panels without any value.
    pub empty: usize,
}

fn has_values(shown: &Shown<'_>) -> bool {
    let values =
        |asked: &Asked<'_>| asked.series.iter().any(|it| it.values.iter().any(|(_, v)| v.is_finite()));
    shown.as_ref().is_ok_and(|list| list.iter().any(values))
}

async fn ask<'a>(prometheus: &Prometheus, panel: &'a Panel, range: Range) -> Result<Shown<'a>> {
    let mut list = Vec::new();
    for target in &panel.targets {
        let expr = promql::filled_for(&target.expr, range.step, range.length());
        // A table shows how it is at the end.
        let answer = if target.instant {
            prometheus.query_at(&expr, range.end).await
        } else {
            prometheus.query_range(&expr, range.start, range.end, range.step).await
        };
        match answer {
            Ok(series) => list.push(Asked { target, series }),
            Err(QueryError::Refused(why)) => return Ok(Err(why)),
            Err(QueryError::Failed(error)) => return Err(error),
        }
    }
    Ok(Ok(list))
}

/// An alert, and a time in which it fired.
#[derive(Debug, Clone, PartialEq)]
struct Firing {
    name: String,
    /// Its labels but its name and state, in words.
    about: String,
    from: f64,
    to: f64,
}

/// Platen's own alerts, as the dashboards' annotations; where Prometheus has no rules there are none.
async fn firing(prometheus: &Prometheus, range: Range) -> Result<Vec<Firing>> {
    let expr = r#"ALERTS{alertstate="firing", alertname=~"Ocr.*"}"#;
    match prometheus.query_range(expr, range.start, range.end, range.step).await {
        Ok(series) => Ok(series.iter().flat_map(|it| times(it, range.step)).collect()),
        Err(QueryError::Refused(why)) => {
            Err(Error::unhealthy(format!("Prometheus refuses {expr}: {why}"), "look into its log"))
        }
        Err(QueryError::Failed(error)) => Err(error),
    }
}

impl Firing {
    /// From the step in which it began.
    fn band(&self, range: Range) -> Band {
        Band { from: self.from - range.step, to: self.to }
    }
}

/// A gap of more than a step ends a time.
fn times(series: &Series, step: f64) -> Vec<Firing> {
    let label = |name: &str| series.labels.get(name).cloned().unwrap_or_default();
    let own = ["__name__", "alertname", "alertstate", "severity"];
    let about = series.labels.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let about = about.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
    let mut found: Vec<Firing> = Vec::new();
    for (time, _) in &series.values {
        match found.last_mut() {
            Some(last) if time - last.to <= step * 1.5 => last.to = *time,
            _ => {
                found.push(Firing { name: label("alertname"), about: about.clone(), from: *time, to: *time });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_a_time_in_which_an_alert_fires() {
        let labels = [("alertname", "OcrNodeDown"), ("alertstate", "firing"), ("node", "n1")];
        let series = Series {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            values: [15.0, 30.0, 45.0, 120.0].map(|time| (time, 1.0)).to_vec(),
        };
        let found: Vec<_> = times(&series, 15.0).into_iter().map(|it| (it.about, it.from, it.to)).collect();
        assert_eq!(found, [("node n1".to_owned(), 15.0, 45.0), ("node n1".to_owned(), 120.0, 120.0)]);
    }

    #[test]
    fn times_are_read_as_they_are_typed() {
        assert_eq!(length("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(length("2d"), Ok(Duration::from_hours(48)));
        for wrong in ["", "30", "m", "1.5h", "3½", "-1m"] {
            assert!(length(wrong).unwrap_err().contains("write it as"), "{wrong}");
        }
        assert_eq!(moment("1970-01-01T00:01:00Z"), Ok(UNIX_EPOCH + Duration::from_mins(1)));
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn a_range_has_a_point_for_each_scrape_or_as_many_as_can_be_seen() {
        let range = |length| range(length, Some(UNIX_EPOCH + Duration::from_hours(24))).unwrap();
        let short = range(Duration::from_mins(30));
        assert_eq!((short.start, short.end, short.step), (84_600.0, 86_400.0, 15.0));
        assert_eq!(
            range(Duration::from_hours(24)),
            Range { start: 0.0, end: 86_400.0, step: 360.0, clock: Clock::Utc }
        );
        let moment = UNIX_EPOCH + Duration::from_millis(86_400_250);
        let uneven = super::range(Duration::from_secs(100), Some(moment)).unwrap();
        assert_eq!((uneven.start, uneven.end, uneven.step), (86_295.25, 86_400.25, 15.0), "{uneven:?}");
        assert!(super::range(Duration::from_secs(1), None).unwrap_err().hint().unwrap().contains("--last"));
    }
}
