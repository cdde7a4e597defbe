//! A run of chaos as a page: the verdict, every step of the recovery beside its prediction, and what the requests saw.

use super::load::{over_time, table, tables, tile};
use super::page::{Figure, Page, Section, Sheet, State, Verdict};
use super::plot::{Band, Clock, Range, add, escaped, moments, spot};
use crate::chaos::{ChaosReport, Moment, Outcome, Phase, PhaseName, Standing};
use crate::error::Result;
use crate::load::Summary;

/// The page of a run of `cargo xtask chaos`.
pub(crate) fn chaos(report: &ChaosReport) -> Result<String> {
    let sections = [
        ("", tiles(report)),
        ("What happened, and when", vec![timeline(report), lessons(report)]),
        ("What the requests saw", requests(report)),
        ("Why this verdict", verdict_tables(report)),
        ("Before and after", before_and_after(report)),
    ];
    let sections = sections.map(|(title, panels)| Section { title: title.into(), panels });
    let sections = sections.into_iter().filter(|section| !section.panels.is_empty());
    let page = Page {
        title: format!("Platen: chaos · {}", report.begun),
        about: format!("{}, profile {}, begun at {}", report.provider, report.profile, report.begun),
        verdict: Some(verdict(report)),
        notices: None,
        sheets: vec![Sheet {
            uid: "chaos".into(),
            title: report.fault.title.clone(),
            description: report.fault.why.clone(),
            sections: sections.collect(),
        }],
    };
    page.html()
}

fn verdict(report: &ChaosReport) -> Verdict {
    let missed: Vec<&str> = report.verdict.missed().collect();
    let (state, otherwise) = match report.verdict.outcome {
        Outcome::Passed => (State::Passed, "everything was as wanted"),
        Outcome::Failed => (State::Failed, "a limit was missed"),
        Outcome::Aborted => (State::Failed, "ended at once, since limits were missed by far"),
        Outcome::Interrupted => (State::Inconclusive, "interrupted"),
        Outcome::Inconclusive => {
            (State::Inconclusive, "the fault did not happen, or the load was not as asked for")
        }
    };
    let sentence = if missed.is_empty() { otherwise.to_owned() } else { missed.join("; ") };
    Verdict { state, sentence }
}

fn tiles(report: &ChaosReport) -> Vec<Figure> {
    let mut tiles = Vec::new();
    if let Some(load) = &report.load {
        let faults = load.counts.faults();
        tiles.push(tile("Requests", load.sent, "none"));
        tiles.push(tile("Failed for good", faults, if faults == 0 { "green" } else { "red" }));
        tiles.push(tile("Tries lost on the way", load.lost_tries.len(), "none"));
    }
    let p99 = |name| report.phase(name).and_then(|phase| phase.latency).map(|latency| latency.p99_ms);
    for (title, name) in [("p99 before", PhaseName::Steady), ("p99 in the outage", PhaseName::Outage)] {
        if let Some(ms) = p99(name) {
            tiles.push(tile(title, format!("{ms:.0} ms"), "none"));
        }
    }
    let ready = report.moment(crate::chaos::MomentKind::Ready).and_then(|moment| moment.at);
    if let (Some(ready), Some(fault)) = (ready, report.fault.at) {
        tiles.push(tile("From the fault to replacements Ready", format!("{:.1} s", ready - fault), "none"));
    }
    tiles
}

/// A row for each moment: when it was seen, when it was predicted, and where both lie.
fn timeline(report: &ChaosReport) -> Figure {
    let range = span(report);
    let fault = report.fault.at.unwrap_or(range.start);
    let mut body = String::from(concat!(
        r#"<div class="table timeline"><table><thead><tr><th>step</th><th class="number">seen</th>"#,
        r#"<th class="number">predicted</th><th class="number">deviation</th><th class="track">"#
    ));
    for (at, label) in moments(Range { start: range.start - fault, end: range.end - fault, ..range }) {
        add(&mut body, format_args!(r#"<span style="left:{}">{label}</span>"#, spot(range, at + fault)));
    }
    body.push_str("</th></tr></thead><tbody>");
    for moment in &report.timeline {
        row(&mut body, moment, report, range, fault);
    }
    body.push_str("</tbody></table></div>");
    body.push_str(
        "<p class=\"scale\">seconds from the fault · ● seen, the last of all · | each object · ◇ predicted, with how far its \
         sources leave it open</p>",
    );
    let description =
        "seconds from the fault; what was predicted from the live settings stands beside what was seen";
    Figure {
        title: "Timeline".into(),
        description: description.into(),
        kind: "timeline".into(),
        width: 24,
        body,
    }
}

fn row(body: &mut String, moment: &Moment, report: &ChaosReport, range: Range, fault: f64) {
    let relative = |at: Option<f64>| at.map_or_else(|| "–".into(), |at| format!("{:.1}", at - fault));
    let deviation = moment.deviation.map_or_else(String::new, |it| format!("{it:+.1}"));
    let because = moment.predicted.as_ref().map_or("", |it| it.because.as_str());
    let (title, because) = (escaped(&moment.title), escaped(because));
    let (seen, predicted) = (relative(moment.at), relative(moment.predicted.as_ref().map(|it| it.at)));
    add(
        body,
        format_args!(
            concat!(
                r#"<tr><td>{}</td><td class="number">{}</td><td class="number" title="{}">{}</td>"#,
                r#"<td class="number">{}</td><td class="track">"#
            ),
            title, seen, because, predicted, deviation
        ),
    );
    for phase in &report.phases {
        let (left, right) = (range.share(phase.from), range.share(phase.to));
        if phase.name == PhaseName::Outage && right > left {
            let width = (right - left) * 100.0;
            add(
                body,
                format_args!(
                    r#"<i class="outage" style="left:{};width:{width:.2}%"></i>"#,
                    spot(range, phase.from)
                ),
            );
        }
    }
    if let Some(prediction) = &moment.predicted {
        let (from, to) = (prediction.at - prediction.give_or_take, prediction.at + prediction.give_or_take);
        let width = (range.share(to) - range.share(from)) * 100.0;
        add(
            body,
            format_args!(r#"<i class="open" style="left:{};width:{width:.2}%"></i>"#, spot(range, from)),
        );
        add(body, format_args!(r#"<i class="predicted" style="left:{}">◇</i>"#, spot(range, prediction.at)));
    }
    for seen in &moment.objects {
        let (name, at) = (escaped(&seen.name), spot(range, seen.at));
        add(body, format_args!(r#"<i class="each" style="left:{at}" title="{name}">|</i>"#));
    }
    if let Some(at) = moment.at {
        add(body, format_args!(r#"<i class="seen" style="left:{}">●</i>"#, spot(range, at)));
    }
    body.push_str("</td></tr>");
}

/// From a little before the fault to the last that is shown.
fn span(report: &ChaosReport) -> Range {
    let seen = report.timeline.iter().filter_map(|moment| moment.at);
    let predicted = report.timeline.iter().filter_map(|moment| Some(moment.predicted.as_ref()?.at));
    let last = seen.chain(predicted).fold(report.fault.at.unwrap_or_default() + 10.0, f64::max);
    let start = report.fault.at.unwrap_or_default();
    let margin = (last - start) * 0.03;
    Range { start: start - margin, end: last + margin, step: 1.0, clock: Clock::FromStart }
}

fn lessons(report: &ChaosReport) -> Figure {
    let mut body = String::new();
    for lesson in &report.lessons {
        add(&mut body, format_args!("<p>{}</p>", escaped(lesson)));
    }
    Figure {
        title: "Why it took as long as it did".into(),
        description: String::new(),
        kind: "text".into(),
        width: 24,
        body,
    }
}

fn requests(report: &ChaosReport) -> Vec<Figure> {
    let mut figures = Vec::new();
    if let Some(load) = &report.load {
        let outage = report.phases.iter().filter(|phase| phase.name == PhaseName::Outage);
        let bands: Vec<Band> = outage.map(|phase| Band { from: phase.from, to: phase.to }).collect();
        figures.extend(over_time(load, &bands));
    }
    let header = ["part", "from", "to", "sent", "failed", "lost tries", "p50", "p99", "slowest"];
    figures.push(Figure { width: 24, ..table("Parts of the run", &header, report.phases.iter().map(phase)) });
    figures.extend(report.load.iter().flat_map(tables));
    figures
}

fn phase(phase: &Phase) -> [String; 9] {
    let ms = |pick: fn(&Summary) -> f64| {
        phase.latency.as_ref().map_or_else(|| "–".into(), |latency| format!("{:.0} ms", pick(latency)))
    };
    [
        name(phase.name).into(),
        format!("{:.1} s", phase.from),
        format!("{:.1} s", phase.to),
        phase.sent.to_string(),
        phase.failed.to_string(),
        phase.lost_tries.to_string(),
        ms(|it| it.p50_ms),
        ms(|it| it.p99_ms),
        ms(|it| it.max_ms),
    ]
}

fn name(name: PhaseName) -> &'static str {
    match name {
        PhaseName::Steady => "before the fault",
        PhaseName::Outage => "outage",
        PhaseName::Return => "return",
        PhaseName::After => "afterwards",
    }
}

fn verdict_tables(report: &ChaosReport) -> Vec<Figure> {
    let standing = |standing| match standing {
        Standing::Kept => "✓ kept",
        Standing::Missed => "✗ missed",
        Standing::Noted => "noted",
    };
    let points = report.verdict.points.iter();
    let points = points.map(|it| [it.name.clone(), standing(it.standing).to_owned(), it.sentence.clone()]);
    let proofs = report.fault.proofs.iter().map(|proof| {
        let holds = if proof.holds { "✓" } else { "✗" };
        [holds.to_owned(), format!("{:.1} s", proof.at), proof.what.clone()]
    });
    vec![
        table("Points", &["point", "", "measured"], points),
        table("Proof that the fault happened", &["", "at", "seen"], proofs),
    ]
}

fn before_and_after(report: &ChaosReport) -> Vec<Figure> {
    let findings = report.preflight.findings.iter();
    let findings = findings.map(|it| [format!("{:?}", it.severity).to_lowercase(), it.sentence.clone()]);
    let headroom = report.preflight.headroom.iter().map(|it| {
        let fits = if it.fits { "✓ fits" } else { "✗ does not fit" };
        [
            it.resource.clone(),
            format!("{} {}", it.needed, it.unit),
            format!("{} {}", it.free, it.unit),
            fits.into(),
        ]
    });
    let settings = report.settings.iter().map(|it| {
        let source = if it.is_default { format!("{} (default)", it.source) } else { it.source.clone() };
        [it.name.clone(), it.value.clone(), source]
    });
    let undo = report.undo.steps.iter().map(|it| {
        let how = it.error.clone().unwrap_or_else(|| if it.done { "done".into() } else { "not done".into() });
        [it.title.clone(), how]
    });
    let remarks = report.undo.remarks.iter().map(|remark| ["remark".to_owned(), remark.clone()]);
    vec![
        table("What goes with the victim", &["", "finding"], findings),
        table("Room on the others", &["resource", "needed", "free", ""], headroom),
        table("What predictions were made from", &["setting", "value", "read from"], settings),
        table("Put back", &["step", ""], undo.chain(remarks)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{
        Fault, FaultReport, Finding, Headroom, Mode, MomentKind, Point, Prediction, Preflight, Proof, Seen,
        Setting, Severity, Undo, UndoneStep,
    };
    use crate::load;

    fn moment(kind: MomentKind, at: Option<f64>, predicted: Option<f64>) -> Moment {
        let predicted = predicted.map(|at| Prediction {
            at,
            give_or_take: 5.0,
            because: "the lease's 40 s and the monitor's 5 s".into(),
        });
        Moment {
            kind,
            title: kind.title().into(),
            at,
            objects: at.map(|at| Seen { name: "pod <a>".into(), at }).into_iter().collect(),
            deviation: at.zip(predicted.as_ref()).map(|(at, it)| at - it.at),
            predicted,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a report with everything in it")]
    fn report() -> ChaosReport {
        let phase = |name, from, to| Phase {
            name,
            from,
            to,
            sent: 100,
            good: 100,
            failed: 0,
            lost_tries: 3,
            latency: None,
            latency_from_sending: None,
        };
        ChaosReport {
            begun: "2026-01-01T00:00:00Z".into(),
            fault: FaultReport {
                fault: Some(Fault::Node { mode: Mode::Kill }),
                title: "node w2 killed".into(),
                at: Some(20.0),
                proofs: vec![Proof { what: "its container does not run".into(), holds: true, at: 20.4 }],
                ..FaultReport::default()
            },
            preflight: Preflight {
                findings: vec![Finding {
                    severity: Severity::Warning,
                    sentence: "CoreDNS has one replica".into(),
                }],
                headroom: vec![Headroom {
                    resource: "memory".into(),
                    unit: "MiB".into(),
                    needed: 300,
                    free: 900,
                    fits: true,
                }],
            },
            settings: vec![Setting {
                name: "node-monitor-grace-period".into(),
                value: "40 s".into(),
                source: "kube-controller-manager".into(),
                is_default: true,
            }],
            timeline: vec![
                moment(MomentKind::Fault, Some(20.0), None),
                moment(MomentKind::NotReady, Some(63.0), Some(62.0)),
                moment(MomentKind::Ready, None, Some(90.0)),
            ],
            phases: vec![phase(PhaseName::Steady, 0.0, 20.0), phase(PhaseName::Outage, 20.0, 95.0)],
            load: Some(load::Report { sent: 200, ..load::Report::default() }),
            verdict: crate::chaos::Verdict {
                outcome: Outcome::Failed,
                points: vec![Point {
                    name: "requests".into(),
                    standing: Standing::Missed,
                    sentence: "3 requests failed for good".into(),
                }],
            },
            lessons: vec!["NotReady came 43 s after the fault".into()],
            undo: Undo {
                steps: vec![UndoneStep { title: "start w2".into(), done: true, error: None }],
                ..Undo::default()
            },
            ..ChaosReport::default()
        }
    }

    #[test]
    fn a_moment_stands_beside_its_prediction() {
        let html = chaos(&report()).unwrap();
        assert!(html.contains(r#"<td>node NotReady</td><td class="number">43.0</td>"#), "{html}");
        assert!(html.contains(r#">42.0</td><td class="number">+1.0</td>"#), "{html}");
        // What did not come about has its prediction alone.
        assert!(html.contains(r#"<td>replacements Ready</td><td class="number">–</td>"#), "{html}");
        assert!(html.contains("pod &lt;a&gt;") && !html.contains("pod <a>"), "{html}");
    }

    #[test]
    fn a_page_says_how_it_ended_and_why() {
        let html = chaos(&report()).unwrap();
        for expected in [
            r#"class="verdict failed"><b>failed</b> 3 requests failed for good"#,
            "CoreDNS has one replica",
            "300 MiB",
            "kube-controller-manager (default)",
            "NotReady came 43 s after the fault",
            "its container does not run",
            "start w2",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
    }

    #[test]
    fn a_run_that_ended_before_its_load_has_a_page() {
        let html = chaos(&ChaosReport::default()).unwrap();
        assert!(html.contains("verdict inconclusive"), "{html}");
    }
}
