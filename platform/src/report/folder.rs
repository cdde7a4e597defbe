//! The folder of a run's report: what every kind of run writes into it, never over another run's.

use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};

pub(crate) const REPORT: &str = "report.json";
const PAGE: &str = "report.html";
const JUNIT: &str = "junit.xml";

/// A folder with what one run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(pub PathBuf);

/// A test of JUnit, and what kept it from passing.
pub(crate) struct Case<'a> {
    pub name: &'a str,
    pub wrong: Option<(NonSuccessKind, String)>,
}

impl Folder {
    /// The one that is named, or one for this run below `.platen/reports`.
    pub(crate) fn of(host: &Host, named: Option<&Path>, kind: &str, begun: Timestamp) -> Self {
        let own = || {
            let name = format!("{kind}-{}", begun.strftime("%Y%m%d-%H%M%S%.3f"));
            host.state_dir().join("reports").join(name)
        };
        Self(named.map_or_else(own, Path::to_owned))
    }

    /// An error where another run's report is there, which would be lost.
    pub(crate) fn ensure_free(&self) -> Result<()> {
        if !self.0.join(REPORT).exists() {
            return Ok(());
        }
        let what = format!("{} holds a report already", self.0.display());
        Err(Error::usage(what, "name another folder: --report DIR"))
    }

    /// The report first: it is there also where the page or the tests cannot be made of it.
    pub(crate) fn write(
        &self,
        report: &impl Serialize,
        page: Result<String>,
        tests: Result<String>,
    ) -> Result<()> {
        std::fs::create_dir_all(&self.0).doing(format!("making {}", self.0.display()))?;
        let json =
            serde_json::to_vec_pretty(report).unwrap_or_else(|error| unreachable!("plain values: {error}"));
        write_atomically(&self.0.join(REPORT), &json)?;
        write_atomically(&self.0.join(PAGE), page?.as_bytes())?;
        write_atomically(&self.0.join(JUNIT), tests?.as_bytes())
    }
}

/// The tests of a run of `cargo xtask COMMAND`, as JUnit writes them.
pub(crate) fn junit<'a>(command: &str, cases: impl IntoIterator<Item = Case<'a>>) -> Result<String> {
    let mut suite = TestSuite::new(command);
    for Case { name, wrong } in cases {
        let status = wrong.map_or_else(TestCaseStatus::success, |(kind, why)| {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(why);
            status
        });
        suite.add_test_case(TestCase::new(name, status));
    }
    let mut tests = quick_junit::Report::new(format!("cargo xtask {command}"));
    tests.add_test_suite(suite);
    tests.to_string().map_err(|error| Error::malformed(JUNIT, error, ""))
}
