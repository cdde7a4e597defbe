//! A run of load as a page: what was sent and answered over time, how long it took, by which doors.

use std::fmt::Display;

use super::page::{Figure, Page, Section, Sheet, State, Verdict};
use super::plot::{Band, Clock, Curve, Lines, Range, add, escaped};
use crate::Exit;
use crate::error::Result;
use crate::load::{Latencies, OpenRun, Report, Second, Summary, number};

/// Points of a curve over quantiles, and its last nine.
const QUANTILES: u32 = 120;
const NINES: f64 = 4.0;

/// The page of a run of `cargo xtask load`.
pub(crate) fn load(report: &Report, run: &OpenRun) -> Result<String> {
    let (state, sentence) = match report.verdict() {
        Ok(Exit::Done) => (State::Passed, summary(report)),
        Ok(_) => {
            let why = "this machine was too slow to make the load, and the figures are its own";
            (State::Inconclusive, format!("{} requests were sent late: {why}", report.late))
        }
        Err(error) => (State::Failed, error.to_string()),
    };
    let sections = vec![
        Section { title: String::new(), panels: tiles(report) },
        Section { title: "Over time".into(), panels: over_time(report, &[]) },
        Section { title: "All requests".into(), panels: all(report, run) },
    ];
    let page = Page {
        title: format!("Platen: load · {}", report.begun),
        about: format!("load of {:.0} s, begun at {}", report.seconds, report.begun),
        verdict: Some(Verdict { state, sentence }),
        notices: None,
        sheets: vec![Sheet { uid: "load".into(), title: "Load".into(), description: told(report), sections }],
    };
    page.html()
}

fn summary(report: &Report) -> String {
    format!("{} of {} requests were answered well", report.counts.good, report.sent)
}

fn told(report: &Report) -> String {
    let policy = report.policy.map_or("", |policy| match (policy.failover, policy.retry) {
        (true, true) => ", dead doors passed over, lost tries sent elsewhere",
        (true, false) => ", dead doors passed over, each request tried once",
        (false, true) => ", to every door in turn, lost tries sent elsewhere",
        (false, false) => ", to every door in turn, each request tried once",
    });
    format!("Images: {}{policy}.", report.images.join(", "))
}

pub(super) fn tiles(report: &Report) -> Vec<Figure> {
    let p99 =
        |latency: Option<Summary>| latency.map_or_else(|| "–".into(), |it| format!("{:.0} ms", it.p99_ms));
    let faults = report.counts.faults();
    vec![
        tile("Answered well", report.counts.good, "green"),
        tile("Failed or wrong", faults, if faults == 0 { "green" } else { "red" }),
        tile("Good answers a second", format!("{:.1}", report.rate), "none"),
        tile("p99 from its time", p99(report.latency), "none"),
        tile("p99 from its sending", p99(report.latency_from_sending), "none"),
        tile("Tries lost on the way", report.lost_tries.len(), "none"),
    ]
}

pub(super) fn tile(title: &str, value: impl Display, color: &str) -> Figure {
    Figure {
        title: title.into(),
        description: String::new(),
        kind: "stat".into(),
        width: 4,
        body: format!(r#"<p class="value is-{color}"><b>{}</b></p>"#, escaped(&value.to_string())),
    }
}

/// Rates and latencies by the second in which requests had to be sent; `bands` are marked in both.
pub(super) fn over_time(report: &Report, bands: &[Band]) -> Vec<Figure> {
    let end = report.course.last().map_or(1, |second| second.at.max(1));
    let range = Range { start: 0.0, end: number(end), step: 1.0, clock: Clock::FromStart };
    let curve = |name: &str, value: fn(&Second) -> Option<f64>| {
        let places = 0..=end;
        let of = |at| report.course.iter().find(|second| second.at == at);
        Curve { name: name.into(), values: places.map(|at| of(at).and_then(value)).collect() }
    };
    let ms = |value: Option<f64>| value.map(|ms| ms / 1000.0);
    let rates = [
        curve("had to be sent", |it| Some(number(it.sent))),
        curve("answered well", |it| Some(number(it.good))),
    ];
    let latencies =
        [curve("p50", |it| it.p50_ms), curve("p99", |it| it.p99_ms), curve("slowest", |it| it.max_ms)]
            .map(|curve| Curve { values: curve.values.into_iter().map(ms).collect(), ..curve });
    let lost = Curve { name: "tries".into(), values: lost_by_second(report, end) };
    let lines = |title: &'static str, unit: &'static str| Lines {
        title,
        unit,
        bounds: (Some(0.0), None),
        filled: true,
        bands: bands.to_vec(),
        ..Lines::default()
    };
    let mut figures = vec![
        plot(
            "Requests",
            "by the second in which they had to be sent",
            lines("Requests", "reqps").html(&rates, range),
        ),
        plot(
            "Latency",
            "of good answers, from the time at which each request had to be sent",
            Lines { filled: false, ..lines("Latency", "s") }.html(&latencies, range),
        ),
    ];
    if !report.lost_tries.is_empty() {
        let description = "tries that brought nothing; most of their requests got through elsewhere";
        figures.push(plot("Lost tries", description, lines("Lost tries", "short").html(&[lost], range)));
    }
    figures
}

fn lost_by_second(report: &Report, end: u64) -> Vec<Option<f64>> {
    let of = |at: u64| {
        let within = |seconds: f64| (seconds - number(at)) < 1.0 && seconds >= number(at);
        let lost = report.lost_tries.iter().filter(|lost| within(lost.at_seconds)).count();
        Some(number(lost as u64))
    };
    (0..=end).map(of).collect()
}

/// What does not depend on time.
fn all(report: &Report, run: &OpenRun) -> Vec<Figure> {
    let quantiles = (run.counts.good > 0).then(|| quantiles(run));
    quantiles.into_iter().chain(tables(report)).collect()
}

/// Limits, errors and doors.
pub(super) fn tables(report: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    if !report.thresholds.is_empty() {
        let rows = report
            .thresholds
            .iter()
            .map(|it| [if it.passed { "kept".to_owned() } else { "missed".to_owned() }, it.sentence()]);
        figures.push(table("Limits", &["", "limit"], rows));
    }
    if !report.errors.is_empty() {
        let rows = report.errors.iter().map(|(kind, count)| [kind.clone(), count.to_string()]);
        figures.push(table("What was wrong", &["error", "requests"], rows));
    }
    let rows = report
        .doors
        .iter()
        .map(|door| [door.name.clone(), door.url.clone(), door.tries.to_string(), door.good.to_string()]);
    figures.push(table("Doors", &["door", "address", "tries", "answered"], rows));
    figures
}

fn quantiles(run: &OpenRun) -> Figure {
    let range = Range { start: 0.0, end: NINES, step: NINES / f64::from(QUANTILES), clock: Clock::Quantile };
    let curve = |name: &str, latencies: &Latencies| {
        let at = |place| 1.0 - 10_f64.powf(-f64::from(place) * range.step);
        let values = (0..=QUANTILES).map(|place| latencies.quantile_ms(at(place)).map(|ms| ms / 1000.0));
        Curve { name: name.into(), values: values.collect() }
    };
    let curves = [
        curve("from the time at which it had to be sent", &run.latencies),
        curve("from the time at which it was sent", &run.from_sending),
    ];
    let lines =
        Lines { title: "Latency by quantile", unit: "s", bounds: (Some(0.0), None), ..Lines::default() };
    plot("Latency by quantile", "so many of the good answers took no longer", lines.html(&curves, range))
}

pub(super) fn plot(title: &str, description: &str, body: String) -> Figure {
    Figure {
        title: title.into(),
        description: description.into(),
        kind: "timeseries".into(),
        width: 12,
        body,
    }
}

pub(super) fn table<const N: usize>(
    title: &str,
    header: &[&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Figure {
    let mut body = String::from(r#"<div class="table"><table><thead><tr>"#);
    for name in header {
        add(&mut body, format_args!("<th>{}</th>", escaped(name)));
    }
    body.push_str("</tr></thead><tbody>");
    for row in rows {
        body.push_str("<tr>");
        for cell in row {
            add(&mut body, format_args!("<td>{}</td>", escaped(&cell)));
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></div>");
    Figure { title: title.into(), description: String::new(), kind: "table".into(), width: 12, body }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::load::{Checked, Counts, DoorReport, LostTry};

    fn report() -> Report {
        let second =
            |at, good| Second { at, sent: 10, good, p50_ms: Some(20.0), p99_ms: Some(250.0), max_ms: None };
        Report {
            counts: Counts { good: 25, failed: 5, ..Counts::default() },
            sent: 30,
            course: vec![second(0, 10), second(1, 5), second(3, 10)],
            errors: BTreeMap::from([("<timed out>".into(), 5)]),
            doors: vec![DoorReport {
                name: "w1".into(),
                url: "http://127.0.0.1:1/".into(),
                tries: 31,
                good: 25,
            }],
            lost_tries: vec![LostTry { at_seconds: 1.5, door: "w1".into(), why: "refused".into() }],
            ..Report::default()
        }
    }

    fn run() -> OpenRun {
        let latencies: Latencies = (1..=25).map(Duration::from_millis).collect();
        let counts = Counts { good: 25, ..Counts::default() };
        OpenRun { counts, latencies: latencies.clone(), from_sending: latencies, ..OpenRun::default() }
    }

    #[test]
    fn a_page_shows_what_was_wrong_and_by_which_door() {
        let html = load(&report(), &run()).unwrap();
        assert!(html.contains("&lt;timed out&gt;") && !html.contains("<timed out>"), "{html}");
        for expected in
            ["verdict passed", "Lost tries", "http:&#x2f;&#x2f;127.0.0.1:1&#x2f;", "99.9 %", "1 s"]
        {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert_eq!(lost_by_second(&report(), 3), [0.0, 1.0, 0.0, 0.0].map(Some));
    }

    #[test]
    fn a_missed_limit_makes_the_page_a_failed_one() {
        let missed =
            Checked { name: "p99".into(), limit: 100.0, seen: Some(250.0), unit: "ms".into(), passed: false };
        let html = load(&Report { thresholds: vec![missed], ..report() }, &run()).unwrap();
        assert!(html.contains("verdict failed") && html.contains("p99 250.0 ms"), "{html}");
    }

    #[test]
    fn a_run_without_an_answer_has_a_page_too() {
        let report = Report { course: Vec::new(), counts: Counts::default(), ..report() };
        let html = load(&report, &OpenRun::default()).unwrap();
        assert!(html.contains("verdict failed") && !html.contains("Latency by quantile"), "{html}");
    }
}
