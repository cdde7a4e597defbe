//! What is compiled for xtask is taken for the service and for the tests: each crate has the same features there.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates with their features, as cargo resolves them for these packages.
fn resolved(selection: &[&str], edges: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--no-dedupe", "--format", "{p} [{f}]"])
        .args(["--edges", edges])
        .args(selection)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_shared(less: &BTreeSet<String>, more: &BTreeSet<String>) {
    let other: Vec<_> = less.difference(more).collect();
    assert!(
        other.is_empty(),
        "compiled twice, with other features the second time: {other:#?}\nadd the features to \
        [workspace.dependencies], or the crate that brings them to xtask"
    );
}

#[test]
fn the_service_is_built_from_what_was_compiled_for_the_command() {
    let command = resolved(&["--package", "xtask"], "normal,build");
    assert_shared(&command, &resolved(&["--package", "xtask", "--package", "ocr-service"], "normal,build"));
}

#[test]
fn the_tests_are_built_from_what_was_compiled_for_the_command() {
    let command = resolved(&["--package", "xtask"], "normal,build");
    assert_shared(&command, &resolved(&["--workspace"], "normal,build,dev"));
}
