//! The files of a run: report.json, report.html, junit.xml, latencies.hlog.

use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use quick_junit::NonSuccessKind;

use super::report::{Report, VERSION};
use super::{Latencies, OpenRun};
use crate::error::{Error, Exit, Result};
use crate::host::write_atomically;
use crate::report::Folder;
use crate::report::folder::{self, Case, REPORT};

const HDR: &str = "latencies.hlog";

pub fn write(folder: &Folder, report: &Report, run: &OpenRun, begun: SystemTime) -> Result<()> {
    folder.write(report, crate::report::load(report, run), junit(report))?;
    let lasting = Duration::from_secs_f64(report.seconds);
    write_atomically(&folder.0.join(HDR), &hdr_log(run, begun, lasting)?)
}

/// Reads a report back, from its folder or its file.
pub fn read_report(path: &Path) -> Result<Report> {
    let file = if path.is_dir() { path.join(REPORT) } else { path.to_owned() };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let what = format!("{} cannot be read: {error}", file.display());
        Error::usage(what, "name what a run has written: cargo xtask load --report DIR")
    })?;
    let hint = "name the report.json of a run of cargo xtask load";
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| Error::malformed(file.display().to_string(), error, hint))?;
    if report.version != VERSION {
        let why = format!("its form is {}, and this is for {VERSION}", report.version);
        return Err(Error::malformed(file.display().to_string(), why, "make the run again"));
    }
    Ok(report)
}

/// Every threshold is a test; without one, that every request was answered well is. What only this machine was too slow
/// for is no failure, and the run says nothing: as the exit code has it.
fn junit(report: &Report) -> Result<String> {
    let failed = |missed: bool, why: String| missed.then_some((NonSuccessKind::Failure, why));
    let limits = report.thresholds.iter().map(|checked| Case {
        name: &checked.name,
        wrong: failed(report.is_missed(checked), checked.sentence()),
    });
    let faults = report.errors_of_service();
    let answered = report.thresholds.is_empty().then(|| Case {
        name: "every request is answered well",
        wrong: match report.counts.good {
            0 => failed(true, "none was".into()),
            _ => failed(faults > 0, format!("{faults} of {} were not", report.sent)),
        },
    });
    let kept = !report.thresholds.iter().any(|checked| report.is_missed(checked));
    let nothing = (kept && !report.thresholds.is_empty() && report.counts.good == 0).then(|| Case {
        name: "any request is answered well",
        wrong: Some((NonSuccessKind::Failure, "none was".into())),
    });
    let inconclusive = matches!(report.verdict(), Ok(Exit::Inconclusive)).then(|| Case {
        name: "the run is conclusive",
        wrong: Some((NonSuccessKind::Error, "this machine was too slow to make the load".into())),
    });
    folder::junit("load", limits.chain(answered).chain(nothing).chain(inconclusive))
}

/// Both kinds of latencies in the log format of HdrHistogram, in microseconds: `intended` counts from the time at which
/// a request had to be sent, `sent` from the time at which it was.
fn hdr_log(run: &OpenRun, begun: SystemTime, lasting: Duration) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::malformed(HDR, error.to_string(), "");
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("latencies of good answers in microseconds")
        .with_base_time(begun)
        .with_max_value_divisor(1000.0);
    let mut log = builder.begin_log_with(&mut bytes, &mut serializer).map_err(|error| failed(&error))?;
    let kinds: [(&str, &Latencies); 2] = [("intended", &run.latencies), ("sent", &run.from_sending)];
    for (tag, latencies) in kinds {
        let written = log.write_histogram(latencies.histogram(), Duration::ZERO, lasting, Tag::new(tag));
        written.map_err(|error| failed(&format!("{error:?}")))?;
    }
    drop(log);
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use serde_json::Value;

    use super::*;
    use crate::load::report::Tally;
    use crate::load::{
        Checked, Counts, DoorReport, LostTry, Outcome, Pattern, Policy, Sample, Schedule, Thresholds,
    };

    fn run() -> OpenRun {
        let latencies: Latencies = (1..=100).map(Duration::from_millis).collect();
        OpenRun {
            counts: Counts { good: 100, ..Counts::default() },
            latencies: latencies.clone(),
            from_sending: latencies,
            ..OpenRun::default()
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let root = tempfile::tempdir().unwrap();
        let report =
            Report { version: VERSION, begun: "2026-01-01T00:00:00Z".into(), sent: 100, ..Report::default() };
        let files = Folder(root.path().join("run"));
        files.ensure_free().unwrap();
        write(&files, &report, &run(), SystemTime::now()).unwrap();
        assert_eq!(files.ensure_free().unwrap_err().exit(), crate::Exit::Usage);
        assert_eq!(read_report(&root.path().join("run")).unwrap(), report);
        assert_eq!(read_report(&root.path().join("run/report.json")).unwrap(), report);
        let error = read_report(&root.path().join("no-run")).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Usage);
        write(&files, &Report { version: VERSION + 1, ..report }, &run(), SystemTime::now()).unwrap();
        assert!(read_report(&files.0).unwrap_err().to_string().contains("its form is 2"));
    }

    /// What a run with everything in it looks like.
    fn whole() -> Report {
        let run = run();
        let checked = Thresholds { max_errors: Some(0), min_rate: Some(1.0), ..Thresholds::default() };
        let schedule = Schedule::steady(50.0, Duration::from_secs(2));
        let mut tally = Tally::new(&schedule);
        for (intended, outcome) in [(0, Outcome::Good), (1, Outcome::Failed("timed out".into()))] {
            let intended = Duration::from_secs(intended);
            tally.note(&Sample { intended, sent: intended, ended: intended, outcome });
        }
        let pattern = Pattern::Poisson { seed: 1 };
        let report = Report {
            schedule: Some(Schedule { pattern, ..schedule }),
            policy: Some(Policy { failover: true, retry: true }),
            doors: vec![DoorReport {
                name: "node".into(),
                url: "http://127.0.0.1/".into(),
                tries: 2,
                good: 1,
            }],
            images: vec!["line.png".into()],
            lost_tries: vec![LostTry { at_seconds: 0.5, door: "node".into(), why: "timed out".into() }],
            ..Report::new("2026-01-01T00:00:00Z".into(), Duration::from_secs(2), &run, tally)
        };
        Report { thresholds: checked.check(&report), ..report }
    }

    /// Whether every field is one that the schema has, with everything that it requires, all the way down.
    pub(crate) fn conforms(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
        if let Some(place) = schema["$ref"].as_str() {
            return conforms(value, root.pointer(&place[1..]).ok_or(place)?, root);
        }
        match value {
            Value::Object(fields) if schema["properties"].is_object() => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                if let Some(lacks) = required.into_iter().find(|name| !fields.contains_key(*name)) {
                    return Err(format!("{lacks} is not there"));
                }
                fields.iter().try_for_each(|(name, value)| match schema["properties"].get(name) {
                    Some(schema) => conforms(value, schema, root).map_err(|why| format!("{name}: {why}")),
                    None => Err(format!("{name} is not in the schema")),
                })
            }
            Value::Array(items) => items.iter().try_for_each(|item| conforms(item, &schema["items"], root)),
            value => match &schema["type"] {
                Value::String(kind) if kind != kind_of(value) => Err(format!("{value} is no {kind}")),
                Value::Array(kinds) if !kinds.iter().any(|kind| *kind == kind_of(value)) => {
                    Err(format!("{value} is none of {kinds:?}"))
                }
                _ => Ok(()),
            },
        }
    }

    fn kind_of(value: &Value) -> &'static str {
        match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    #[test]
    fn a_report_is_as_its_schema_says() {
        let schema: Value = serde_json::from_str(include_str!("../../../docs/load.schema.json")).unwrap();
        for report in [whole(), Report { latency: None, ..whole() }] {
            let report = serde_json::to_value(report).unwrap();
            conforms(&report, &schema, &schema).unwrap();
            let (mut more, mut less) = (report.clone(), report);
            more["doors"][0]["state"] = 1.into();
            less["doors"][0].as_object_mut().unwrap().remove("tries");
            assert_eq!(conforms(&more, &schema, &schema).unwrap_err(), "doors: state is not in the schema");
            assert_eq!(conforms(&less, &schema, &schema).unwrap_err(), "doors: tries is not there");
        }
    }

    #[test]
    fn the_log_is_one_that_readers_of_hdr_histograms_understand() {
        let log = hdr_log(&run(), SystemTime::now(), Duration::from_secs(1)).unwrap();
        let tags: Vec<String> = IntervalLogIterator::new(&log)
            .map(Result::unwrap)
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => {
                    assert!((interval.max() - 100.0).abs() < 0.2, "{}", interval.max());
                    interval.tag().map(|tag| tag.as_str().to_owned())
                }
                _ => None,
            })
            .collect();
        assert_eq!(tags, ["intended", "sent"]);
    }

    #[test]
    fn a_missed_threshold_is_a_failed_test() {
        let checked = |name: &str, passed| Checked {
            name: name.into(),
            limit: 500.0,
            seen: Some(700.0),
            unit: "ms".into(),
            passed,
        };
        let counts = Counts { good: 100, ..Counts::default() };
        let report = Report {
            counts,
            thresholds: vec![checked("p99", false), checked("p50", true)],
            ..Report::default()
        };
        let xml = junit(&report).unwrap();
        assert!(xml.contains(r#"tests="2""#) && xml.contains(r#"failures="1""#), "{xml}");
        assert!(xml.contains("p99 700.0 ms, wanted at most 500.0 ms"), "{xml}");
        // By the exit code this run says nothing, and so it does here.
        let slow = Report { generator_was_slow: true, ..report };
        assert_eq!(slow.verdict().unwrap(), Exit::Inconclusive);
        let xml = junit(&slow).unwrap();
        assert!(xml.contains(r#"failures="0""#) && xml.contains(r#"errors="1""#), "{xml}");
        let unanswered = Report { counts: Counts::default(), thresholds: vec![checked("p50", true)], ..slow };
        assert!(unanswered.verdict().is_err() && junit(&unanswered).unwrap().contains(r#"failures="1""#));
    }
}
