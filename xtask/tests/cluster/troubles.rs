//! What keeps Argo CD from what is wanted, and Prometheus from its metrics: each provoked for real and undone.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::doctor::expect_findings;
use crate::support::{Outcome, Xtask, eventually};
use crate::{RUNTIME, client, up};

const NAME: &str = "platen-trial";

/// A value whose change restarts no pod.
fn interval(seconds: u32) -> String {
    format!("monitoring.podMonitor.interval={seconds}s")
}

fn deploys_well_again(xtask: &Xtask) {
    xtask.run(&["deploy"]).expect_code(0);
    eventually("all is well again", Duration::from_mins(1), || xtask.run(&["status"]).code() == Some(0));
}

/// A policy of the API server writes another number into a Deployment than the chart has, at every write.
struct Rewritten;

impl Rewritten {
    fn begin() -> Self {
        let policy: MutatingAdmissionPolicy = serde_json::from_value(json!({
            "metadata": {"name": NAME},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["deployments"], "resourceNames": ["ocr-translate"],
                }]},
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [{
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": "Object{spec: Object.spec{revisionHistoryLimit: 5}}"},
                }],
            },
        }))
        .expect("a policy");
        let binding: MutatingAdmissionPolicyBinding =
            serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": {"policyName": NAME}}))
                .expect("its binding");
        let (rewritten, params) = (Self, PostParams::default());
        RUNTIME.block_on(Api::all(client()).create(&params, &policy)).expect("the policy");
        RUNTIME.block_on(Api::all(client()).create(&params, &binding)).expect("its binding");
        let deployments = Api::<Deployment>::namespaced(client(), "ocr");
        eventually("the policy writes", Duration::from_secs(30), || {
            let written = Patch::Merge(json!({"metadata": {"annotations": {"platen.dev/trial": "written"}}}));
            let params = PatchParams::default();
            let patched = RUNTIME.block_on(deployments.patch("ocr-translate", &params, &written));
            patched.expect("the deployment").spec.revision_history_limit == Some(5)
        });
        rewritten
    }
}

impl Drop for Rewritten {
    fn drop(&mut self) {
        let now = DeleteParams::default();
        let _ = RUNTIME.block_on(Api::<MutatingAdmissionPolicyBinding>::all(client()).delete(NAME, &now));
        let _ = RUNTIME.block_on(Api::<MutatingAdmissionPolicy>::all(client()).delete(NAME, &now));
    }
}

pub fn what_stays_out_of_sync_is_named(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let rewritten = Rewritten::begin();
    let failed = xtask.run(&["deploy", "--set", &interval(16)]).expect_code(1);
    let said = failed.stderr();
    assert!(said.contains("OutOfSync by Deployment ocr-translate"), "{said}");
    assert!(said.contains("mutatingadmissionpolicies"), "what to look for: {said}");
    drop(rewritten);
    deploys_well_again(xtask);
    Ok(())
}

/// Argo CD's controller may look and not write.
struct ReadOnly {
    before: ClusterRole,
}

impl ReadOnly {
    const ROLE: &str = "argocd-application-controller";

    fn begin() -> Self {
        let roles = Api::<ClusterRole>::all(client());
        let before = RUNTIME.block_on(roles.get(Self::ROLE)).expect("Argo CD's role");
        let look = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
        let look = serde_json::from_value(look).expect("rules");
        let narrow = ClusterRole { rules: Some(look), ..before.clone() };
        RUNTIME.block_on(roles.replace(Self::ROLE, &PostParams::default(), &narrow)).expect("to narrow it");
        Self { before }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let roles = Api::<ClusterRole>::all(client());
        let mut before = self.before.clone();
        before.metadata.resource_version = None;
        let _ = RUNTIME.block_on(roles.replace(Self::ROLE, &PostParams::default(), &before));
    }
}

pub fn missing_rights_of_argocd_are_named(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let narrow = ReadOnly::begin();
    let failed = xtask.run(&["deploy", "--set", &interval(17)]).expect_code(1);
    let said = failed.stderr();
    assert!(said.contains("Argo CD has not the right to do it"), "{said}");
    assert!(said.contains("cannot patch resource"), "which one: {said}");
    assert!(said.contains("kubectl auth can-i"), "{said}");
    drop(narrow);
    deploys_well_again(xtask);
    Ok(())
}

/// Argo CD without its repository server, as after the loss of its node.
struct WithoutRepoServer;

impl WithoutRepoServer {
    fn begin() -> Self {
        Self::scale(0);
        Self
    }

    fn scale(replicas: i32) {
        let deployments = Api::<Deployment>::namespaced(client(), "argocd");
        let scaled = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let params = PatchParams::default();
        let patched = RUNTIME.block_on(deployments.patch("argocd-repo-server", &params, &scaled));
        patched.expect("Argo CD's repository server");
        eventually("it has so many pods", Duration::from_secs(90), || {
            let found = RUNTIME.block_on(deployments.get("argocd-repo-server")).expect("it");
            let status = found.status.unwrap_or_default();
            status.replicas.unwrap_or(0) == replicas && status.ready_replicas.unwrap_or(0) == replicas
        });
    }
}

impl Drop for WithoutRepoServer {
    fn drop(&mut self) {
        Self::scale(1);
    }
}

pub fn argocd_that_starts_is_awaited(xtask: &Xtask) -> Outcome {
    const OWN: &str = "Argo CD's own repository server does not answer it";
    up(xtask).expect_code(0);
    let deployed = std::thread::scope(|scope| {
        let without = WithoutRepoServer::begin();
        let deployed = scope.spawn(|| xtask.run(&["deploy", "--set", &interval(18)]));
        eventually("status tells it", Duration::from_mins(1), || {
            xtask.run(&["status"]).json()["applications"].to_string().contains(OWN)
        });
        // For longer than what cannot mend itself is waited for.
        std::thread::sleep(Duration::from_secs(35));
        drop(without);
        deployed.join()
    });
    let deployed = deployed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).expect_code(0);
    assert!(deployed.stderr().contains(OWN), "{}", deployed.stderr());
    deploys_well_again(xtask);
    Ok(())
}

/// A pod of the release whose port answers nobody.
pub fn target_that_is_down_is_named(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let deployments = Api::<Deployment>::namespaced(client(), "ocr");
    let template = RUNTIME.block_on(deployments.get("ocr-translate"))?.spec.template;
    let mut pod = serde_json::to_value(template)?;
    pod["metadata"]["name"] = json!(NAME);
    pod["metadata"]["labels"]["app.kubernetes.io/component"] = json!("trial");
    let container = &mut pod["spec"]["containers"][0];
    container["ports"][0]["containerPort"] = json!(9999);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe", "lifecycle"] {
        container.as_object_mut().expect("a container").remove(probe);
    }
    let pods = Api::<Pod>::namespaced(client(), "ocr");
    RUNTIME.block_on(pods.create(&PostParams::default(), &serde_json::from_value(pod)?))?;
    let found = std::panic::catch_unwind(|| {
        expect_findings(xtask, &[("Prometheus", "ocr, pod platen-trial (", "cargo xtask status")])
    });
    RUNTIME.block_on(pods.delete(NAME, &DeleteParams::default().grace_period(0)))?;
    let found = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let sentence = found.iter().find(|it| it["object"] == "Prometheus").expect("it")["sentence"].to_string();
    assert!(sentence.contains("connection refused"), "{sentence}");
    Ok(())
}
