//! Argo CD on the cluster: what it keeps, what it heals and prunes, and what becomes of a deploy that cannot work.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};

use crate::support::{Outcome, Xtask, eventually, root};
use crate::{PODS, RUNTIME, client, pods, serving, staying, up};

fn deployments() -> Api<Deployment> {
    Api::namespaced(client(), "ocr")
}

fn replicas(name: &str) -> Option<i32> {
    let found = RUNTIME.block_on(deployments().get_opt(name)).expect("the deployment");
    found.map(|found| found.status.and_then(|status| status.ready_replicas).unwrap_or(0))
}

fn application() -> Api<DynamicObject> {
    argocd("Application")
}

/// Argo CD's objects of a kind.
pub fn argocd(kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind);
    Api::namespaced_with(client(), "argocd", &ApiResource::from_gvk(&kind))
}

/// What the Application reads the chart from.
pub fn source() -> Result<serde_json::Value, kube::Error> {
    Ok(RUNTIME.block_on(application().get("ocr-app"))?.data["spec"]["source"].clone())
}

pub fn applications_are_synced(xtask: &Xtask) -> Outcome {
    let applications = xtask.run(&["status"]).expect_code(0).json()["applications"].clone();
    assert_eq!(applications[0]["name"], "ocr-app", "{applications}");
    assert_eq!(applications[0]["sync"], "Synced", "{applications}");
    assert_eq!(applications[0]["health"], "Healthy", "{applications}");
    let source = source()?;
    assert_eq!(source["repoURL"], "oci://platen-registry:5000/charts/ocr-app", "{source}");
    let chart = std::fs::read_to_string(root().join("charts/ocr-app/Chart.yaml"))?;
    let own = chart.lines().find_map(|line| line.strip_prefix("version: ")).expect("the chart's version");
    let deployed = source["targetRevision"].as_str().expect("a version");
    assert!(deployed.starts_with(&format!("{own}-c")), "{source}");
    Ok(())
}

/// Against the cluster's own Prometheus, which finds the pods by PodMonitors.
pub fn dashboards_have_answers(xtask: &Xtask) -> Outcome {
    let verified = xtask.run(&["dashboards", "verify"]).expect_code(0).json();
    assert!(verified["passed"].as_u64() > Some(40), "{verified}");
    assert_eq!(verified["failed"], 0, "{verified}");
    Ok(())
}

/// Nobody runs `up` or `deploy`: Argo CD sees it by itself.
pub fn what_was_deleted_or_scaled_comes_back(xtask: &Xtask) -> Outcome {
    RUNTIME.block_on(deployments().delete("model-server", &DeleteParams::default()))?;
    let scaled = serde_json::json!({"spec": {"replicas": 0}});
    RUNTIME.block_on(deployments().patch("ocr-gateway", &PatchParams::default(), &Patch::Merge(scaled)))?;
    eventually("both are healed", Duration::from_mins(2), || {
        replicas("model-server") == Some(2) && replicas("ocr-gateway") == Some(3)
    });
    eventually("all is well again", Duration::from_mins(1), || {
        xtask.run(&["status"]).json()["healthy"] == true
    });
    serving::demo_reads_the_letter(xtask)
}

pub fn removed_component_is_pruned(xtask: &Xtask) -> Outcome {
    let misspelt = xtask.run(&["deploy", "--set", "translat.enabled=false"]).expect_code(2);
    assert!(misspelt.stderr().contains("did you mean translate.enabled"), "{}", misspelt.stderr());
    let claims = || {
        let claims = Api::<PersistentVolumeClaim>::namespaced(client(), "ocr");
        RUNTIME.block_on(claims.list_metadata(&ListParams::default())).expect("claims").items.len()
    };
    let before = claims();
    let without = ["--set", "translate.enabled=false", "--set", "experiments.enabled=false"];
    xtask.run(&[&["deploy"], &without[..]].concat()).expect_code(0);
    assert_eq!(replicas("ocr-translate"), None, "its deployment is gone");
    assert_eq!(replicas("ocr-experiments"), None, "and the experiments");
    assert!(before > 0 && claims() == before, "whose images and results are the users'");
    let services = Api::<Service>::namespaced(client(), "ocr");
    assert!(RUNTIME.block_on(services.get_opt("ocr-translate"))?.is_none(), "and its Service");
    let again = up(xtask).expect_code(0).json();
    assert_eq!(again["plan"]["actions"], serde_json::json!([]), "what deploy set stays");
    xtask.run(&["deploy", "--rollback"]).expect_code(0);
    assert_eq!(replicas("ocr-translate"), Some(3), "it is back");
    assert_eq!(replicas("ocr-experiments"), Some(1), "both are");
    Ok(())
}

/// As a commit to the chart's values would bring it: past every check of this machine.
pub fn broken_image_takes_no_pod_away(xtask: &Xtask) -> Outcome {
    let values = serde_json::json!({"spec": {"source": {"helm": {"valuesObject": {"image": {"tag": "no-such-tag"}}}}}});
    RUNTIME.block_on(application().patch("ocr-app", &PatchParams::default(), &Patch::Merge(values)))?;
    eventually("status says what is wrong", Duration::from_mins(2), || {
        let status = xtask.run(&["status"]);
        let findings = status.json()["findings"].to_string();
        status.code() == Some(1)
            && findings.contains("pod ocr/model-server-")
            && findings.contains("there is no image")
            && findings.contains("no-such-tag")
    });
    let ready = staying(xtask).iter().filter(|workload| workload["ready"] == true).count();
    // The experiments' record is a file of one pod, which an update stops before it starts the next.
    assert_eq!(ready, PODS - 1, "every old pod serves");
    serving::demo_reads_the_letter(xtask)?;
    up(xtask).expect_code(0);
    eventually("only the old pods are left", Duration::from_secs(30), || pods("ocr", "model").len() == 2);
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

pub fn deploy_that_cannot_work_says_why(xtask: &Xtask) -> Outcome {
    let refused = xtask.run(&["deploy", "--set", "image.tag=no-such-tag"]).expect_code(1);
    assert!(refused.stderr().contains("no-such-tag"), "{}", refused.stderr());
    let failed = xtask.run(&["deploy", "--set", "ocrServer.extraArgs=[\"--no-such-flag\"]"]).expect_code(1);
    let said = failed.stderr();
    assert!(
        said.contains("pod backend/ocr-server-deployment-") && said.contains("ended with exit code 2"),
        "{said}"
    );
    assert!(failed.elapsed < Duration::from_mins(2), "took {:?}", failed.elapsed);
    serving::ocr_server_answers(xtask)?;
    xtask.run(&["deploy"]).expect_code(0);
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}
