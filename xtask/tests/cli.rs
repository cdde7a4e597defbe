//! Bad input: each gets a message that names the thing, a next step, and its exit code.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tests run side by side, each in a profile of its own.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Runs the command with a configuration of this content.
fn xtask(config: &str, args: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), config).expect("writing the configuration");
    let profile = format!("cli-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["--profile", &profile, "--config"])
        .arg(file.path())
        .args(args)
        .output()
        .expect("starting xtask")
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    refused(&xtask("[cluster]\nnods = 3\n", &["up"]), 2, &["nods", "hint: did you mean `nodes`?"]);
}

#[test]
fn zero_nodes_are_refused() {
    refused(&xtask("", &["up", "--nodes", "0"]), 2, &["at least 1 node"]);
    refused(&xtask("[cluster]\nnodes = 0\n", &["up"]), 2, &["at least 1 node"]);
}

#[test]
fn an_invalid_profile_name_is_refused() {
    refused(&xtask("[cluster]\nprofile = \"My Cluster\"\n", &["up"]), 2, &["My Cluster", "profile name"]);
}

#[test]
fn only_what_up_makes_of_containers_is_made_anew() {
    let refused_there = xtask("", &["up", "--provider", "embedded", "--recreate", "--dry-run"]);
    refused(&refused_there, 2, &["only a cluster of kind or minikube", "leave --recreate out"]);
}

#[test]
fn an_unknown_step_is_refused_with_those_that_exist() {
    refused(&xtask("", &["up", "--only", "everything"]), 2, &["everything", "cluster", "apps"]);
}

#[test]
fn a_context_that_does_not_exist_is_named_with_those_that_do() {
    let config = "[images]\nregistry = \"127.0.0.1:5000\"\n";
    refused(
        &xtask(config, &["up", "--provider", "existing", "--context", "no-such-one"]),
        2,
        &["no-such-one"],
    );
}

#[test]
fn an_existing_cluster_without_a_registry_is_refused() {
    let output = xtask("", &["up", "--provider", "existing", "--context", "any"]);
    refused(&output, 2, &["registry", "platen.toml"]);
}

#[test]
fn status_and_demo_without_a_platform_say_how_to_start_one() {
    // With the profile and the configuration of this call: as it stands, it can be typed.
    refused(&xtask("", &["demo"]), 1, &["hint: start it: cargo xtask --profile cli-", " --config ", " up\n"]);
    let status = xtask("", &["status"]);
    assert_eq!(status.status.code(), Some(1));
    let said = String::from_utf8_lossy(&status.stdout);
    assert!(said.contains("start it: cargo xtask --profile cli-") && said.ends_with(" up\n"), "{said}");
}

#[test]
fn an_unknown_peer_or_image_is_refused_with_those_that_exist() {
    refused(&xtask("", &["bench", "ocr", "--only", "nginx"]), 2, &["nginx", "platen-plain", "kserve-tuned"]);
    refused(&xtask("", &["bench", "ocr", "--image", "receipt"]), 2, &["receipt", "line, label, letter"]);
    refused(&xtask("", &["bench", "ocr", "--share", "0"]), 2, &["more than 0"]);
}

#[test]
fn a_dry_run_of_the_benchmark_tells_what_it_would_do_and_how_long() {
    let output = xtask("", &["bench", "ocr", "--dry-run", "--only", "flask", "--only", "bare", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(plan["measure"].as_array().map(Vec::len), Some(2), "{plan}");
    assert!(plan["expected_seconds"].as_u64().is_some_and(|seconds| seconds > 10), "{plan}");
}

#[test]
fn a_missing_configuration_file_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["status", "--config", "no-such.toml"])
        .output()
        .expect("starting xtask");
    refused(&output, 2, &["no-such.toml"]);
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let output = xtask("", &["demo", "-o", "json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let error: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert_eq!(error["exit_code"], 1);
    let hint = error["hint"].as_str().expect("a hint");
    assert!(hint.starts_with("start it: cargo xtask --profile cli-") && hint.ends_with(" up"), "{hint}");
}

#[test]
fn the_mirror_builds_nothing_that_it_does_not_know() {
    refused(&xtask("", &["mirror", "build", "grafana"]), 2, &["grafana", "argocd", "mariadb"]);
}

#[test]
fn what_no_build_could_bring_to_its_end_is_refused_before_it() {
    let riscv = xtask("", &["build", "--platform", "linux/riscv64"]);
    refused(&riscv, 2, &["linux/riscv64", "linux/amd64,linux/arm64"]);
    let digest = format!("r.example/ocr@sha256:{}", "0".repeat(64));
    refused(&xtask("", &["build", "--push", &digest]), 2, &["names a digest", "NAME:TAG"]);
    let metadata = xtask("", &["build", "--metadata-file", "/no-such-folder/metadata.json"]);
    refused(&metadata, 2, &["there is no folder /no-such-folder"]);
    refused(&xtask("", &["build", "--registry-user", "me"]), 2, &["--registry-server HOST"]);
}

#[test]
fn an_archive_that_does_not_exist_is_named() {
    refused(&xtask("", &["mirror", "import", "no-such.tar"]), 2, &["no-such.tar", "docker save"]);
}

#[test]
fn a_fault_that_cannot_be_made_is_refused() {
    refused(&xtask("", &["chaos"]), 2, &["--kill-node"]);
    refused(&xtask("", &["chaos", "--kill-node", "--kill-pod"]), 2, &["cannot be used with"]);
    refused(&xtask("", &["chaos", "--kill-pod", "--mode", "pause"]), 2, &["cannot be used with"]);
    refused(&xtask("", &["chaos", "--kill-node", "--mode", "burn"]), 2, &["stop, kill, pause"]);
    refused(&xtask("", &["chaos", "--kill-node", "--rate", "0"]), 2, &["no rate above zero"]);
    refused(&xtask("", &["chaos", "--kill-node", "--abort-percent", "101"]), 2, &["101"]);
    refused(&xtask("", &["chaos", "--kill-node"]), 1, &["nothing runs under the profile", "cargo xtask"]);
    refused(
        &xtask("[chaos]\nload_percnt = 5\n", &["chaos", "--kill-node"]),
        2,
        &["did you mean `load_percent`?"],
    );
    refused(
        &xtask("[chaos]\nabort_percent = 0\n", &["chaos", "--kill-node"]),
        2,
        &["abort_percent", "at least 1"],
    );
    refused(&xtask("", &["chaos", "--kill-node", "--rate", "1e-20"]), 2, &["at least 0.001"]);
    for of_a_run in [
        &["--rate", "5"][..],
        &["--report", "/no/run"],
        &["--force"],
        &["--max-p99", "1s"],
        &["--mode", "stop"],
    ] {
        let both = [&["chaos", "--recover"][..], of_a_run].concat();
        refused(&xtask("", &both), 2, &["cannot be used with"]);
    }
    let nothing = xtask("", &["chaos", "--recover"]);
    assert!(nothing.status.success());
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing was left"), "{nothing:?}");
}

#[test]
fn a_load_that_cannot_be_made_is_refused_with_an_example() {
    refused(&xtask("", &["load", "--stages", "10s"]), 2, &["10s", "30s:50"]);
    refused(&xtask("", &["load", "--stages", "10s:0"]), 2, &["no request is sent"]);
    refused(&xtask("", &["load", "--rate", "0"]), 2, &["no rate above zero"]);
    refused(&xtask("", &["load", "--duration", "5"]), 2, &["1m30s"]);
    refused(&xtask("", &["load", "--target", "nowhere"]), 2, &["nowhere"]);
    refused(&xtask("", &["load"]), 1, &["nothing runs under the profile", "cargo xtask"]);
    refused(
        &xtask("", &["load", "--target", "http://127.0.0.1:9/ocr"]),
        1,
        &["nothing to load", "--target URL"],
    );
    refused(
        &xtask("", &["load", "compare", "/no/run", "/no/run"]),
        2,
        &["/no/run cannot be read", "--report DIR"],
    );
}
