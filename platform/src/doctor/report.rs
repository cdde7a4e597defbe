//! What the checks found, in the shape that `-o json` shows (docs/doctor.md).

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::world::World;
use crate::diagnose;
use crate::error::Exit;

/// Of this shape; raised where a field changes its meaning or goes.
const FORMAT: u32 = 1;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, and will not for long or not for all.
    Warning,
    /// Does not work.
    Error,
    /// The machine lacks something that the provider needs: `up` would be refused.
    Lack,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Kind and name, as `pod ocr/model-server-7d4b9-x2x1c` or `port 8001`.
    pub object: String,
    /// What is wrong with it and why, without a full stop.
    pub sentence: String,
    /// What to type next.
    pub command: String,
}

impl Finding {
    pub fn new(
        severity: Severity,
        object: impl Into<String>,
        sentence: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        Self { severity, object: object.into(), sentence: sentence.into(), command: command.into() }
    }

    /// What `diagnose` found, with a command that works whatever context is current.
    pub(super) fn of(found: diagnose::Finding, severity: Severity, context: &str) -> Self {
        let found = found.in_context(context);
        Self::new(severity, found.object, found.sentence, found.command)
    }
}

/// How a check ended.
#[derive(Debug)]
pub(super) enum Verdict {
    /// With what was seen.
    Passed(String),
    /// At least one; with what was seen beside them.
    Found(Vec<Finding>),
    /// There is nothing to look at here, and why.
    Skipped(String),
    /// It could not be made, and why.
    Unknown(String),
}

impl Verdict {
    /// Found, or passed with what was seen where nothing was found.
    pub fn of(findings: Vec<Finding>, seen: impl Into<String>) -> Self {
        if findings.is_empty() { Self::Passed(seen.into()) } else { Self::Found(findings) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Passed,
    Found,
    Skipped,
    Unknown,
}

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    Machine,
    /// What `up` made: a cluster, or processes.
    Platform,
}

/// One check, made.
#[derive(Debug, Clone, Serialize)]
pub struct Examined {
    pub id: &'static str,
    pub area: Area,
    pub title: &'static str,
    pub outcome: Outcome,
    /// What was seen, or why nothing was; empty beside findings.
    pub detail: String,
    pub findings: Vec<Finding>,
    pub seconds: f64,
}

impl Examined {
    pub(super) fn new(
        id: &'static str,
        area: Area,
        title: &'static str,
        verdict: Verdict,
        took: Duration,
    ) -> Self {
        let (outcome, detail, findings) = match verdict {
            Verdict::Passed(detail) => (Outcome::Passed, detail, Vec::new()),
            Verdict::Found(findings) => (Outcome::Found, String::new(), findings),
            Verdict::Skipped(detail) => (Outcome::Skipped, detail, Vec::new()),
            Verdict::Unknown(detail) => (Outcome::Unknown, detail, Vec::new()),
        };
        Self { id, area, title, outcome, detail, findings, seconds: rounded(took) }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub format: u32,
    pub profile: String,
    /// What the profile runs on, or would.
    pub provider: &'static str,
    /// Nothing was found, and every check could be made that applies and that this account may make.
    pub healthy: bool,
    /// One sentence.
    pub summary: String,
    pub checks: Vec<Examined>,
    pub seconds: f64,
}

impl Report {
    pub(super) fn new(world: &World, checks: Vec<Examined>, took: Duration) -> Self {
        let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
        let findings: usize = checks.iter().map(|check| check.findings.len()).sum();
        let unknown = count(Outcome::Unknown);
        let mut summary = format!(
            "{} checks: {} passed, {} found something ({findings} {})",
            checks.len(),
            count(Outcome::Passed),
            count(Outcome::Found),
            if findings == 1 { "finding" } else { "findings" },
        );
        if unknown > 0 {
            let _ = write!(summary, ", {unknown} could not be made");
        }
        let _ = write!(summary, ", {} have nothing to look at here", count(Outcome::Skipped));
        Self {
            format: FORMAT,
            profile: world.host.config.cluster.profile.to_string(),
            provider: world.provider_name(),
            healthy: findings == 0 && unknown == 0,
            summary,
            checks,
            seconds: rounded(took),
        }
    }

    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.checks.iter().flat_map(|check| &check.findings)
    }

    /// 0 where all is well, 3 where the machine lacks something, else 1.
    pub fn exit(&self) -> Exit {
        if self.healthy {
            return Exit::Done;
        }
        if self.findings().any(|finding| finding.severity == Severity::Lack) {
            return Exit::Machine;
        }
        Exit::Failed
    }
}

fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::bare;
    use super::*;

    fn report(verdicts: Vec<Verdict>) -> Report {
        let (_dir, world) = bare();
        let examined = |verdict| Examined::new("x", Area::Machine, "x", verdict, Duration::ZERO);
        Report::new(&world, verdicts.into_iter().map(examined).collect(), Duration::ZERO)
    }

    fn finding(severity: Severity) -> Verdict {
        Verdict::Found(vec![Finding::new(severity, "port 1", "it is taken", "true")])
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let passed = || Verdict::Passed(String::new());
        assert_eq!(report(vec![passed(), Verdict::Skipped(String::new())]).exit(), Exit::Done);
        assert_eq!(report(vec![passed(), finding(Severity::Warning)]).exit(), Exit::Failed);
        assert_eq!(report(vec![finding(Severity::Lack), finding(Severity::Error)]).exit(), Exit::Machine);
        assert_eq!(report(vec![passed(), Verdict::Unknown(String::new())]).exit(), Exit::Failed);
    }

    #[test]
    fn the_shape_for_programs_stays_as_it_is_documented() {
        let report = report(vec![finding(Severity::Error)]);
        insta::assert_json_snapshot!(report);
    }
}
