//! The files of a run: report.json, report.html, junit.xml.

use std::path::PathBuf;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::report::{ChaosReport, Outcome, Standing};
use crate::error::{Doing, Error, Result};
use crate::host::write_atomically;

const REPORT: &str = "report.json";
const PAGE: &str = "report.html";
const JUNIT: &str = "junit.xml";

/// A folder with what one run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(pub PathBuf);

impl Files {
    /// An error where another run's report is there, which would be lost.
    pub fn ensure_free(&self) -> Result<()> {
        if !self.0.join(REPORT).exists() {
            return Ok(());
        }
        let what = format!("{} holds a report already", self.0.display());
        Err(Error::usage(what, "name another folder: --report DIR"))
    }

    pub fn write(&self, report: &ChaosReport) -> Result<()> {
        std::fs::create_dir_all(&self.0).doing(format!("making {}", self.0.display()))?;
        let json =
            serde_json::to_vec_pretty(report).unwrap_or_else(|error| unreachable!("plain values: {error}"));
        write_atomically(&self.0.join(REPORT), &json)?;
        write_atomically(&self.0.join(PAGE), crate::report::chaos(report)?.as_bytes())?;
        write_atomically(&self.0.join(JUNIT), junit(report)?.as_bytes())
    }
}

/// Every point of the verdict that was held to something is a test; without one, that the run was conclusive is.
fn junit(report: &ChaosReport) -> Result<String> {
    let mut suite = TestSuite::new("chaos");
    let mut add = |name: &str, status| {
        suite.add_test_case(TestCase::new(name, status));
    };
    for point in report.verdict.points.iter().filter(|point| point.standing != Standing::Noted) {
        let status = if point.standing == Standing::Kept {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(point.sentence.clone());
            status
        };
        add(&point.name, status);
    }
    if matches!(report.verdict.outcome, Outcome::Inconclusive | Outcome::Interrupted) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("the run says nothing: see its report");
        add("the run is conclusive", status);
    }
    let mut tests = quick_junit::Report::new("cargo xtask chaos");
    tests.add_test_suite(suite);
    tests.to_string().map_err(|error| Error::malformed(JUNIT, error, ""))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
