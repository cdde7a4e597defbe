//! The runner of the checks, and the checks against scripted programs.

use std::path::Path;

use super::*;
use crate::Exit;
use crate::event::{Event, Events, Outcome as StepOutcome, Recorded};
use crate::process::scripted::{Expect, scripted};

fn host(root: &std::path::Path, script: Vec<Expect>) -> (Host, Recorded) {
    let recorded = Recorded::default();
    let host = Host {
        processes: scripted(&["shellcheck", "dpkg-query"], script),
        events: Events::new(recorded.clone()),
        ..Host::bare(root)
    };
    (host, recorded)
}

const GOOD: Check =
    Check::new("good", "passes", Group::Style, 1, |_, _| Box::pin(async { Ok("3 files".into()) }));
const BAD: Check = Check::new("bad", "fails", Group::Style, 1, |_, _| {
    Box::pin(async { Err(Error::unhealthy("one is broken", "mend it")) })
});

#[tokio::test]
async fn every_check_runs_even_after_one_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let (host, recorded) = host(dir.path(), vec![]);
    let report = run(&host, &[BAD, GOOD]).await.unwrap();
    assert_eq!(report.summary(), "1 passed, 1 failed");
    assert_eq!(report.outcomes[0].detail, "one is broken");
    assert_eq!(report.outcomes[0].hint.as_deref(), Some("mend it"));
    let error = report.verdict().unwrap_err();
    assert_eq!(error.exit(), Exit::Failed);
    assert!(error.hint().unwrap().contains("--only bad"));
    let ends: Vec<_> = recorded
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::StepFinished { id, outcome, .. } => Some((id, outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [("bad".to_owned(), StepOutcome::Failed), ("good".to_owned(), StepOutcome::Done)]);
}

#[test]
fn checks_are_chosen_by_name_and_an_unknown_name_lists_those_there_are() {
    assert_eq!(choose(STATIC, &["deny".into()]).unwrap().len(), 1);
    assert_eq!(choose(STATIC, &[]).unwrap().len(), STATIC.len());
    let Err(error) = choose(STATIC, &["clipy".into()]) else { panic!("it was taken") };
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.hint().unwrap().contains("clippy"));
}

#[tokio::test]
async fn files_that_are_not_formatted_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let unformatted = format!("{}/xtask/src/main.rs\n", dir.path().display());
    let fmt = Expect::new(format!("{cargo} fmt --all --check -- -l")).stdout(unformatted).fails(1, "");
    let (host, _) = host(dir.path(), vec![fmt]);
    let error = cargo::format(&host).await.unwrap_err();
    assert_eq!(error.to_string(), "not formatted: xtask/src/main.rs");
}

#[tokio::test]
async fn scripts_are_found_by_their_first_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("scripts")).unwrap();
    std::fs::create_dir_all(dir.path().join(".ci")).unwrap();
    std::fs::write(dir.path().join("scripts/a.sh"), "#!/bin/sh\n").unwrap();
    std::fs::write(dir.path().join("scripts/data.txt"), "#!/usr/bin/python3\n").unwrap();
    std::fs::write(dir.path().join(".ci/run"), "#!/usr/bin/env bash\n").unwrap();
    let installed = Expect::new("dpkg-query -W -f '${Package} ${db:Status-Status}\n' shellcheck");
    let script = vec![
        installed.stdout("shellcheck installed\n"),
        Expect::new("shellcheck --norc --severity style .ci/run scripts/a.sh"),
    ];
    let (host, _) = host(dir.path(), script);
    assert_eq!(scripts::shellcheck(&host).await.unwrap(), "2 scripts");
}

#[test]
fn stale_manifests_are_listed_with_the_command_that_renders_them() {
    let dir = tempfile::tempdir().unwrap();
    let (host, _) = host(dir.path(), vec![]);
    let (from, to) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/ocr-app"), dir.path().join("charts/ocr-app"));
    std::fs::create_dir_all(&to).unwrap();
    for file in ["README.md", "values.yaml"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let error = render(&host).unwrap_err();
    assert!(error.to_string().contains("application.yaml is missing"), "{error}");
    assert_eq!(error.hint().unwrap(), "run: cargo xtask render");
}

#[test]
fn the_extent_says_what_is_end_to_end() {
    let names = |extent| list(extent).iter().map(|check| check.name).collect::<Vec<_>>();
    assert!(!names(Extent { quick: true, cluster: false }).contains(&"embedded"));
    assert_eq!(
        names(Extent { quick: false, cluster: true })[STATIC.len()..],
        ["clients", "embedded", "browser", "cluster"]
    );
}
