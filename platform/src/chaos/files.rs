//! The files of a run: report.json, report.html, junit.xml.

use quick_junit::NonSuccessKind;

use super::report::{ChaosReport, Outcome, Standing};
use crate::error::Result;
use crate::report::Folder;
use crate::report::folder::{self, Case};

pub fn write(folder: &Folder, report: &ChaosReport) -> Result<()> {
    folder.write(report, crate::report::chaos(report), junit(report))
}

/// Every point of the verdict that was held to something is a test; without one, that the run was conclusive is.
fn junit(report: &ChaosReport) -> Result<String> {
    let held = report.verdict.points.iter().filter(|point| point.standing != Standing::Noted);
    let points = held.map(|point| {
        let missed = point.standing != Standing::Kept;
        Case { name: &point.name, wrong: missed.then(|| (NonSuccessKind::Failure, point.sentence.clone())) }
    });
    let says_nothing = matches!(report.verdict.outcome, Outcome::Inconclusive | Outcome::Interrupted);
    let inconclusive = says_nothing.then(|| Case {
        name: "the run is conclusive",
        wrong: Some((NonSuccessKind::Error, "the run says nothing: see its report".into())),
    });
    folder::junit("chaos", points.chain(inconclusive))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
