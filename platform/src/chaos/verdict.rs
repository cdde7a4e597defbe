//! What is said of a run in the end: a pure function of what was measured.

use serde::{Deserialize, Serialize};

use super::report::{ChaosReport, Moment, MomentKind, Outcome, PhaseName, Point, Standing, Verdict};

/// A prediction further off than this is told, in seconds.
pub const NEAR: f64 = 5.0;
/// What the outage's 99th percentile is aimed at, as a multiple of the steady one.
pub const RATIO: f64 = 3.0;

/// What a run is held to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests that may fail for good or be answered wrongly.
    pub max_errors: u64,
    /// Of the outage, in milliseconds, from the time at which each request had to be sent.
    pub max_p99_ms: Option<f64>,
    /// The outage's 99th percentile, as a multiple of the steady one.
    pub max_p99_ratio: Option<f64>,
}

/// How the run came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// A limit at which it is ended at once.
    Aborted(String),
    Interrupted,
    /// The fault could not be done.
    Refused(String),
    /// Something went wrong that is not the platform's.
    Broken(String),
}

pub fn verdict(report: &ChaosReport, limits: &Limits, ending: &Ending) -> Verdict {
    let mut points = vec![happened(report), answered(report, limits)];
    points.extend(latency(report, limits));
    points.extend(recovered(report));
    points.extend(predictions(report, *ending == Ending::Whole));
    if report.fault.at.is_some() || !report.undo.steps.is_empty() {
        points.push(undone(report));
    }
    match ending {
        Ending::Whole => {}
        Ending::Aborted(why) => points.push(point("abort", Standing::Missed, format!("ended early: {why}"))),
        Ending::Interrupted => {
            points.push(point("end", Standing::Noted, "interrupted before its end".into()));
        }
        Ending::Refused(why) => {
            points.push(point("end", Standing::Missed, format!("the fault could not be done: {why}")));
        }
        Ending::Broken(why) => points.push(point("end", Standing::Missed, format!("ended early: {why}"))),
    }
    let missed = points.iter().any(|point| point.standing == Standing::Missed);
    let not_seen = report.fault.proofs.is_empty() || report.fault.proofs.iter().any(|proof| !proof.holds);
    let nothing_asked = nothing_was_asked(report);
    let left = report.undo.steps.iter().any(|step| !step.done);
    let outcome = match ending {
        // Whatever else came: somebody has to undo it.
        _ if left => Outcome::Failed,
        Ending::Interrupted => Outcome::Interrupted,
        Ending::Aborted(_) => Outcome::Aborted,
        Ending::Refused(_) => Outcome::Inconclusive,
        Ending::Whole if not_seen => Outcome::Inconclusive,
        Ending::Whole if missed => Outcome::Failed,
        Ending::Whole if nothing_asked || figures_are_not_the_services(report, limits) => {
            Outcome::Inconclusive
        }
        Ending::Whole => Outcome::Passed,
        // Nothing was asked of the platform, and it is as it was.
        Ending::Broken(_) if (not_seen || nothing_asked) && report.undo.verified => Outcome::Inconclusive,
        Ending::Broken(_) => Outcome::Failed,
    };
    Verdict { outcome, points }
}

pub(super) fn point(name: &str, standing: Standing, sentence: String) -> Point {
    Point { name: name.into(), standing, sentence }
}

fn kept(kept: bool) -> Standing {
    if kept { Standing::Kept } else { Standing::Missed }
}

/// Whether it is proven that the fault happened.
fn happened(report: &ChaosReport) -> Point {
    let proofs = &report.fault.proofs;
    let (standing, sentence) = match proofs.iter().find(|proof| !proof.holds) {
        _ if proofs.is_empty() => (Standing::Noted, "the fault did not come to be".to_owned()),
        Some(proof) => {
            (Standing::Noted, format!("the fault did not happen: it is not so that {}", proof.what))
        }
        None => {
            let all: Vec<&str> = proofs.iter().map(|proof| proof.what.as_str()).collect();
            (Standing::Kept, format!("the fault happened: {}", all.join(", ")))
        }
    };
    point("fault", standing, sentence)
}

/// Whether no request was due while the fault lasted: then there is hardly one that could have failed.
fn nothing_was_asked(report: &ChaosReport) -> bool {
    report.load.is_none() || report.phase(PhaseName::Outage).is_none_or(|outage| outage.sent == 0)
}

fn answered(report: &ChaosReport, limits: &Limits) -> Point {
    let Some(load) = &report.load else {
        return point("errors", Standing::Noted, "what became of the requests is not known".into());
    };
    let (faults, lost) = (load.errors_of_service(), load.lost_tries.len());
    let own = load.counts.faults() - faults;
    if faults == 0 && own == 0 && report.fault.at.is_some() && nothing_was_asked(report) {
        return point("errors", Standing::Noted, "no request was sent during the outage".into());
    }
    let why = load.counts.first_fault.as_ref().filter(|_| faults > 0);
    let why = why.map_or_else(String::new, |why| format!(" (first: {why})"));
    let saved = if lost > 0 { format!(", {lost} tries were lost on the way") } else { String::new() };
    let unsent = if own > 0 { format!(", {own} were not sent by this machine") } else { String::new() };
    let sentence = format!("{faults} of {} requests failed for good{why}{saved}{unsent}", load.sent);
    point("errors", kept(faults <= limits.max_errors), sentence)
}

fn latency(report: &ChaosReport, limits: &Limits) -> Vec<Point> {
    let p99 = |name| Some(report.phase(name)?.latency?.p99_ms);
    let (outage, steady) = (p99(PhaseName::Outage), p99(PhaseName::Steady).filter(|steady| *steady > 0.0));
    let own = report.load.as_ref().is_some_and(|load| load.generator_was_slow);
    let decides = !own && !nothing_was_asked(report);
    let standing = |holds: bool| if decides { kept(holds) } else { Standing::Noted };
    let mut points = Vec::new();
    if own {
        let late = report.load.as_ref().map_or(0, |load| load.late);
        let sentence =
            format!("{late} requests were sent late by this machine: latencies are its own as well");
        points.push(point("generator", Standing::Noted, sentence));
    }
    // Where nothing was answered well no limit is kept.
    if let Some(limit) = limits.max_p99_ms {
        let seen = outage.map_or_else(|| "has no answer".into(), |outage| format!("{outage:.0} ms"));
        let sentence = format!("p99 of the outage {seen}, wanted at most {limit:.0} ms");
        points.push(point("p99", standing(outage.is_some_and(|outage| outage <= limit)), sentence));
    }
    points.extend(ratio(outage.zip(steady), limits.max_p99_ratio, standing));
    points
}

/// Of `(outage, steady)`; without a limit it is told only.
fn ratio(p99s: Option<(f64, f64)>, limit: Option<f64>, standing: impl Fn(bool) -> Standing) -> Option<Point> {
    let Some((outage, steady)) = p99s else {
        let limit = limit?;
        let sentence = format!(
            "p99 of the outage or of the steady phase has no answer, wanted at most {limit:.1} times"
        );
        return Some(point("p99 ratio", standing(false), sentence));
    };
    let (ratio, wanted) = (outage / steady, limit.unwrap_or(RATIO));
    let sentence = format!(
        "p99 of the outage {outage:.0} ms, {ratio:.1} times the steady {steady:.0} ms, aimed at {wanted:.1} times"
    );
    let standing = if limit.is_some() { standing(ratio <= wanted) } else { Standing::Noted };
    Some(point("p99 ratio", standing, sentence))
}

/// This machine was too slow, and what it is held to, or what failed, may be its own doing.
fn figures_are_not_the_services(report: &ChaosReport, limits: &Limits) -> bool {
    let asked = limits.max_p99_ms.is_some() || limits.max_p99_ratio.is_some();
    report.load.as_ref().is_some_and(|load| load.generator_was_slow && (asked || load.dropped > 0))
}

/// Whether what was predicted to come back did.
fn recovered(report: &ChaosReport) -> Vec<Point> {
    let mut points = Vec::new();
    let (fault, expected) = (report.fault.at, report.fault.takes.len());
    if let Some(ready) = report.moment(MomentKind::Ready).filter(|_| expected > 0) {
        let (standing, sentence) = match (ready.at, fault) {
            (Some(at), Some(fault)) if ready.objects.len() >= expected => {
                let since = report.moment(MomentKind::NotReady).and_then(|moment| moment.at);
                let since =
                    since.map_or_else(String::new, |since| format!(", {:.1} s after NotReady", at - since));
                (Standing::Kept, format!("all replacements Ready {:.1} s after the fault{since}", at - fault))
            }
            _ => {
                let found = ready.objects.len();
                (Standing::Missed, format!("{found} of {expected} replacements became Ready"))
            }
        };
        points.push(point("replacements", standing, sentence));
    }
    if report.fault.at.is_some() {
        let all = report.moment(MomentKind::AllReady).and_then(|moment| moment.at);
        let back = report.moment(MomentKind::NodeBack).and_then(|moment| moment.at);
        let sentence = match (all, back) {
            (Some(all), Some(back)) => {
                format!("everything Ready {:.1} s after the victim was brought back", all - back)
            }
            (Some(_), None) => "everything is Ready again".to_owned(),
            (None, _) => "not everything became Ready again".to_owned(),
        };
        points.push(point("recovery", kept(all.is_some()), sentence));
    }
    points
}

/// `whole`: of a run that was ended early it says nothing that something did not come.
fn predictions(report: &ChaosReport, whole: bool) -> Option<Point> {
    let predicted = report.timeline.iter().filter(|moment| moment.predicted.is_some());
    let held: Vec<&Moment> = predicted.filter(|moment| whole || moment.deviation.is_some()).collect();
    if held.is_empty() {
        return None;
    }
    let off = held.iter().filter_map(|moment| match moment.deviation {
        None => Some(format!("{} did not come", moment.title)),
        Some(by) if by.abs() <= NEAR => None,
        Some(by) => {
            let way = if by > 0.0 { "later" } else { "earlier" };
            Some(format!("{} came {:.1} s {way}", moment.title, by.abs()))
        }
    });
    let off: Vec<String> = off.collect();
    let first = format!("{} of {} predictions within {NEAR:.0} s", held.len() - off.len(), held.len());
    let sentences: Vec<String> = std::iter::once(first).chain(off).collect();
    Some(point("predictions", Standing::Noted, sentences.join("; ")))
}

fn undone(report: &ChaosReport) -> Point {
    let failed = report.undo.steps.iter().find(|step| !step.done);
    let sentence = match failed {
        Some(step) => {
            let why = step.error.as_deref().unwrap_or("it was not come to");
            format!("not undone: {} ({why}); undo it: cargo xtask chaos --recover", step.title)
        }
        None if report.undo.verified => "everything is undone, and was looked at".to_owned(),
        None => "everything is undone, and not all of it is Ready yet".to_owned(),
    };
    point("undo", kept(failed.is_none() && report.undo.verified), sentence)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
