//! A worker dies under load: nothing fails, everything is as before; and what shows that this is no accident.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;

use crate::support::{Json, Outcome, Xtask, eventually, root};
use crate::{PODS, PROFILE, RUNTIME, client, docker, staying, up};

/// A small image: what is asked is whether anybody is turned away, not how much two processors can read.
fn image() -> String {
    root().join("platform/stack/bench/images/line.png").display().to_string()
}

fn failed(report: &Json) -> u64 {
    let count = |name: &str| report["load"]["counts"][name].as_u64().expect("a count");
    count("failed") + count("wrong")
}

#[track_caller]
fn moment<'a>(report: &'a Json, kind: &str) -> &'a Json {
    let timeline = report["timeline"].as_array().expect("a timeline");
    timeline.iter().find(|moment| moment["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {timeline:?}"))
}

/// Nodes, doors and pods are there as before, and nothing is left to be undone.
#[track_caller]
fn expect_all_well(xtask: &Xtask) {
    eventually("all is well again", Duration::from_mins(2), || {
        xtask.run(&["status"]).json()["healthy"] == true && staying(xtask).len() == PODS
    });
    assert!(!root().join(".platen/chaos").join(format!("{PROFILE}.json")).exists(), "the journal is empty");
    let label = format!("label=io.x-k8s.kind.cluster={PROFILE}");
    let running = docker(&["ps", "-q", "--filter", &label, "--filter", "status=running"]);
    assert_eq!(running.lines().count(), 3, "three nodes run");
}

pub fn killed_worker_fails_no_request(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let folder = tempfile::tempdir()?;
    let report = folder.path().display().to_string();
    let image = image();
    let args =
        ["chaos", "--kill-node", "--requests", "2000", "--image", &image, "--rebalance", "--report", &report];
    let ran = xtask.run(&args);
    let stderr = ran.stderr();
    let report = ran.expect_code(0).json();
    assert_eq!(report["verdict"]["outcome"], "passed", "{}", report["verdict"]);
    assert!(report["load"]["sent"].as_u64() >= Some(2000), "{}", report["load"]["sent"]);
    assert_eq!(failed(&report), 0, "{}", report["load"]["errors"]);
    assert!(report["fault"]["victim"].as_str().expect("a victim").starts_with(&format!("{PROFILE}-worker")));
    assert!(report["fault"]["proofs"].as_array().expect("proofs").iter().all(|proof| proof["holds"] == true));
    let at =
        |kind: &str| moment(&report, kind)["at"].as_f64().unwrap_or_else(|| panic!("{kind} was not seen"));
    let order =
        ["fault", "lease_stale", "not_ready", "eviction", "scheduled", "started", "ready", "node_back"];
    assert!(order.is_sorted_by(|a, b| at(a) <= at(b)), "{:?}", order.map(at));
    assert!(
        at("ready") - at("not_ready") <= 30.0,
        "replacements {} s after NotReady",
        at("ready") - at("not_ready")
    );
    for kind in ["lease_stale", "not_ready", "taint", "eviction", "scheduled", "started", "ready"] {
        let moment = moment(&report, kind);
        let (off, open) = (moment["deviation"].as_f64(), moment["predicted"]["give_or_take"].as_f64());
        // What the settings leave open, and the five seconds that are aimed at.
        assert!(off.expect("a deviation").abs() <= open.expect("a width") + 5.0, "{moment}");
    }
    assert!(stderr.contains("node NotReady: "), "each moment is told as it comes");
    for file in ["report.json", "report.html", "junit.xml"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    expect_all_well(xtask);
    Ok(())
}

pub fn control_run_shows_what_is_prevented(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let folder = tempfile::tempdir()?;
    let report = folder.path().display().to_string();
    let args = ["chaos", "--kill-node", "--no-retry", "--no-failover", "--rate", "15", "--image", &image()];
    let args = [
        &args[..],
        &["--steady", "5s", "--timeout", "5s", "--abort-percent", "95", "--rebalance", "--report", &report],
    ]
    .concat();
    let ran = xtask.run(&args).expect_code(1);
    let report = ran.json();
    assert!(failed(&report) > 10, "a third of the requests go to a dead door: {}", report["load"]["counts"]);
    assert_eq!(report["verdict"]["outcome"], "failed");
    let deployments = Api::<Deployment>::namespaced(client(), "ocr");
    let gateway = RUNTIME.block_on(deployments.get("ocr-gateway"))?;
    let text = serde_json::to_string(&gateway.spec.template).expect("plain values");
    assert!(!text.contains("--no-retry"), "the gateways have their own arguments again: {text}");
    expect_all_well(xtask);
    Ok(())
}

pub fn interrupted_run_is_undone_at_once(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let run =
        ["chaos", "--kill-node", "--mode", "pause", "--image", &image(), "--rate", "5", "--steady", "3s"];
    let ended = xtask.signal_when(&run, " fault: ", Duration::from_secs(3), "INT")?;
    assert_eq!(ended, Some(130), "it was to be interrupted in mid-fault");
    let label = format!("label=io.x-k8s.kind.cluster={PROFILE}");
    assert_eq!(docker(&["ps", "-aq", "--filter", &label, "--filter", "status=paused"]), "");
    expect_all_well(xtask);
    Ok(())
}

pub fn killed_run_is_undone(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let run = ["chaos", "--kill-node", "--image", &image(), "--rate", "5", "--steady", "3s"];
    assert!(xtask.kill_when(&run, " fault: ", Duration::from_secs(3))?, "it was to be killed in mid-fault");
    let label = format!("label=io.x-k8s.kind.cluster={PROFILE}");
    let exited = docker(&["ps", "-aq", "--filter", &label, "--filter", "status=exited"]);
    assert_eq!(exited.lines().count(), 1, "the worker is dead");
    let refused = xtask.run(&["chaos", "--kill-pod"]).expect_code(1);
    assert!(refused.stderr().contains("chaos --recover"), "{}", refused.stderr());
    xtask.run(&["chaos", "--recover"]).expect_code(0);
    expect_all_well(xtask);
    let again = xtask.run(&["chaos", "--recover"]).expect_code(0).json();
    assert_eq!(again["fault"], Json::Null, "nothing is left");
    Ok(())
}
