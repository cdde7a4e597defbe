//! The driver against a scripted helm: every argv and every answer.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::Exit;
use crate::process::scripted::{Expect, scripted};

const HISTORY_CMD: &str =
    "helm history ocr --kube-context kind-platen --namespace ocr --max 10 --output json";
const NOT_FOUND: &str = "Error: release: not found";

fn upgrade() -> Upgrade {
    Upgrade {
        release: Release::new("ocr", "ocr"),
        chart: Chart::Oci { url: "oci://r/charts/ocr-app".into(), version: "0.1.0".into() },
        values: json!({"password": "s3cret"}),
        timeout: Duration::from_mins(2),
        restore: false,
        adopt: false,
    }
}

fn inputs() -> String {
    InputsHash::of(&upgrade().chart, &upgrade().values).unwrap().to_string()
}

fn helm(script: Vec<Expect>) -> Helm {
    // Nothing is cut off here, and no two tests wait for each other.
    let offline = Helm::offline(scripted(&["helm"], script), "helm");
    Helm { context: Some("kind-platen".into()), ..offline }
}

fn history(status: &str, description: &str) -> Expect {
    let revisions = json!([
        {"revision": 1, "updated": "2026-11-21T05:00:00Z", "status": "superseded", "chart": "ocr-app-0.1.0",
         "app_version": "0.1.0", "description": "other"},
        {"revision": 2, "updated": "2026-11-21T05:10:00Z", "status": status, "chart": "ocr-app-0.1.0",
         "app_version": "0.1.0", "description": description},
    ]);
    Expect::new(HISTORY_CMD).stdout(revisions.to_string())
}

fn upgrade_command() -> String {
    format!(
        "helm upgrade ocr --kube-context kind-platen oci://r/charts/ocr-app --version 0.1.0 \
         --namespace ocr --install --reset-values --values - --timeout 120s --history-max 10 \
         --description '{}' --output json",
        inputs()
    )
}

fn upgrade_expected() -> Expect {
    Expect::new(upgrade_command()).given(r#"{"password":"s3cret"}"#)
}

fn upgraded() -> Expect {
    upgrade_expected().stdout(r#"{"name":"ocr","version":3,"info":{"status":"deployed"}}"#)
}

#[tokio::test]
async fn the_manifests_of_a_revision_are_asked_for_by_its_number() {
    let command = "helm get manifest ocr --kube-context kind-platen --namespace ocr --revision 2";
    let helm = helm(vec![Expect::new(command).stdout("kind: Pod\n")]);
    assert_eq!(helm.manifest(&Release::new("ocr", "ocr"), 2).await.unwrap(), "kind: Pod");
}

#[tokio::test]
async fn a_release_that_does_not_exist_is_installed() {
    let helm = helm(vec![Expect::new(HISTORY_CMD).fails(1, NOT_FOUND), upgraded()]);
    assert_eq!(helm.upgrade_install(&upgrade()).await.unwrap(), Applied::Changed { revision: 3 });
}

#[tokio::test]
async fn a_chart_whose_definitions_are_only_just_made_is_applied_once_more() {
    const EARLY: &str = "Error: unable to build kubernetes objects from release manifest: no matches for kind \
                         \"Prometheus\" in version \"monitoring.coreos.com/v1\"\nensure CRDs are installed first";
    let helm = helm(vec![
        Expect::new(HISTORY_CMD).fails(1, NOT_FOUND),
        upgrade_expected().fails(1, EARLY),
        upgraded(),
    ]);
    assert_eq!(helm.upgrade_install(&upgrade()).await.unwrap(), Applied::Changed { revision: 3 });
}

#[tokio::test]
async fn a_release_with_the_same_inputs_is_left_alone() {
    let helm = helm(vec![history("deployed", &inputs())]);
    assert_eq!(helm.upgrade_install(&upgrade()).await.unwrap(), Applied::Unchanged { revision: 2 });
}

#[tokio::test]
async fn a_release_with_other_inputs_is_upgraded() {
    let helm = helm(vec![history("deployed", "platen inputs sha256:00"), upgraded()]);
    assert_eq!(helm.upgrade_install(&upgrade()).await.unwrap(), Applied::Changed { revision: 3 });
}

#[tokio::test]
async fn a_failed_release_with_the_same_inputs_is_tried_again() {
    let helm = helm(vec![history("failed", &inputs()), upgraded()]);
    assert_eq!(helm.upgrade_install(&upgrade()).await.unwrap(), Applied::Changed { revision: 3 });
}

#[tokio::test]
async fn an_upgrade_that_was_killed_is_rolled_back_first() {
    let rollback = Expect::new("helm rollback ocr --kube-context kind-platen --namespace ocr --timeout 60s");
    let helm = helm(vec![history("pending-upgrade", "Preparing upgrade"), rollback, upgraded()]);
    assert!(helm.upgrade_install(&upgrade()).await.is_ok());
}

/// A single letter stands for inputs of Platen's.
fn revisions(of: &[(&str, Status)]) -> Vec<Revision> {
    let revision = |(at, (said, status)): (u32, &(&str, Status))| Revision {
        revision: at,
        status: *status,
        chart: "ocr-app-0.1.0".into(),
        description: if said.len() == 1 { format!("platen inputs sha256:{said}") } else { (*said).into() },
    };
    (1..).zip(of).map(revision).collect()
}

#[test]
fn what_was_before_is_another_content_that_the_cluster_took() {
    use Status::{Deployed, Failed, Superseded};
    let before = |of: &[(&str, Status)]| before(&revisions(of)).map(|it| it.revision);
    assert_eq!(before(&[]), None);
    assert_eq!(before(&[("a", Deployed)]), None);
    assert_eq!(before(&[("a", Superseded), ("b", Deployed)]), Some(1));
    assert_eq!(before(&[("a", Superseded), ("b", Superseded), ("b", Deployed)]), Some(1), "restored once");
    assert_eq!(before(&[("a", Superseded), ("b", Failed), ("c", Deployed)]), Some(1));
    assert_eq!(before(&[("a", Deployed), ("b", Failed)]), Some(1), "what never came to serve");
    let by_hand = ("Upgrade complete", Superseded);
    assert_eq!(before(&[by_hand, by_hand, ("Upgrade complete", Deployed)]), Some(2), "by hand");
    let back = [("a", Superseded), ("b", Superseded), ("Rollback to 1", Deployed)];
    assert_eq!(before(&back), Some(2), "once more goes forward again");
    let forth = [&back[..2], &[("Rollback to 1", Superseded), ("Rollback to 2", Deployed)]].concat();
    assert_eq!(before(&forth), Some(3));
    assert_eq!(before(&[("Rollback to 9", Superseded), ("b", Deployed)]), Some(1));
}

#[test]
fn a_rollback_that_came_to_nothing_is_tried_again() {
    use Status::{Deployed, Failed, PendingRollback, Superseded};
    let cut_off = [("a", Superseded), ("b", Deployed), ("Rollback to 1", PendingRollback)];
    let failed = [("a", Superseded), ("b", Superseded), ("Rollback \"ocr\" failed: no", Failed)];
    for history in [cut_off, failed] {
        assert_eq!(before(&revisions(&history)).map(|it| it.revision), Some(1), "{history:?}");
    }
}

#[tokio::test]
async fn a_release_goes_back_to_the_revision_that_is_named() {
    let rollback =
        "helm rollback ocr 4 --kube-context kind-platen --namespace ocr --force-conflicts --timeout 60s";
    let helm = helm(vec![Expect::new(rollback)]);
    helm.roll_back(&upgrade().release, 4, Duration::from_mins(1)).await.unwrap();
}

#[tokio::test]
async fn an_install_that_was_killed_is_removed_first() {
    let uninstall =
        Expect::new("helm uninstall ocr --kube-context kind-platen --namespace ocr --wait --timeout 60s");
    let helm = helm(vec![history("pending-install", "Initial install underway"), uninstall, upgraded()]);
    assert!(helm.upgrade_install(&upgrade()).await.is_ok());
}

#[tokio::test]
async fn an_install_that_adopts_serving_objects_never_removes_them() {
    let adopts = || Expect::new(format!("{} --force-conflicts --take-ownership", upgrade_command()));
    let adopting = Upgrade { adopt: true, ..upgrade() };
    let busy = "Error: another operation (install/upgrade/rollback) is in progress";
    let killed = helm(vec![history("pending-install", "Initial install underway"), adopts().fails(1, busy)]);
    assert!(killed.upgrade_install(&adopting).await.unwrap_err().to_string().contains("another helm"));
    let current = helm(vec![history("deployed", &inputs()), adopts().stdout(r#"{"version":3}"#)]);
    assert_eq!(current.upgrade_install(&adopting).await.unwrap(), Applied::Changed { revision: 3 });
}

#[tokio::test]
async fn objects_that_do_not_become_ready_are_a_time_out_and_no_secret_is_told() {
    let said = "Error: UPGRADE FAILED: resource Deployment/ocr/model-server not ready. status: InProgress, \
                message: Available: 0/2\ncontext deadline exceeded";
    let helm = helm(vec![history("deployed", "other"), upgrade_expected().fails(1, said)]);
    let error = helm.upgrade_install(&upgrade()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::TimedOut);
    assert!(error.to_string().contains("release ocr in namespace ocr"), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn values_that_the_schema_refuses_are_a_usage_error_that_names_the_key() {
    let said = "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nocr-app:\n\
                - at '/gateway': additional properties 'replcas' not allowed";
    let helm = helm(vec![history("deployed", "other"), upgrade_expected().fails(1, said)]);
    let error = helm.upgrade_install(&upgrade()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("replcas"), "{error}");
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_not_a_missing_release() {
    let said = "Error: Kubernetes cluster unreachable: Get \"https://127.0.0.1:6443/version\": dial tcp \
                127.0.0.1:6443: connect: connection refused";
    let helm = helm(vec![Expect::new(HISTORY_CMD).fails(1, said)]);
    let error = helm.status(&upgrade().release).await.unwrap_err();
    assert!(error.to_string().contains("cannot reach the cluster"), "{error}");
}

#[tokio::test]
async fn uninstalling_what_is_not_there_is_no_error() {
    let uninstall =
        Expect::new("helm uninstall ocr --kube-context kind-platen --namespace ocr --wait --timeout 9s");
    let helm =
        helm(vec![uninstall.fails(1, "Error: uninstall: Release not loaded: ocr: release: not found")]);
    assert!(!helm.uninstall(&upgrade().release, Duration::from_secs(9)).await.unwrap());
}

#[tokio::test]
async fn a_chart_is_rendered_with_values_from_stdin() {
    let expected = Expect::new("helm template ocr charts/ocr-app --namespace ocr --values -")
        .given(r#"{"a":1}"#)
        .stdout("kind: Service\n");
    let helm = Helm::offline(scripted(&["helm"], [expected]), "helm");
    let chart = Chart::Path("charts/ocr-app".into());
    let text = helm.template(&upgrade().release, &chart, &json!({"a": 1})).await.unwrap();
    assert_eq!(text, "kind: Service");
}

#[tokio::test]
async fn the_values_of_a_release_are_read_and_may_be_none() {
    let asked =
        || Expect::new("helm get values ocr --kube-context kind-platen --namespace ocr --output json");
    let helm = helm(vec![asked().stdout(r#"{"model":{"replicas":3}}"#), asked().stdout("null\n")]);
    assert_eq!(helm.values(&upgrade().release).await.unwrap()["model"]["replicas"], 3);
    assert!(helm.values(&upgrade().release).await.unwrap().is_null());
}

#[tokio::test]
async fn a_packaged_chart_is_found_where_helm_says() {
    let expected = Expect::new("helm package charts/ocr-app --version 0.1.0+abc --destination out")
        .stdout("Successfully packaged chart and saved it to: out/ocr-app-0.1.0+abc.tgz\n");
    let helm = Helm::offline(scripted(&["helm"], [expected]), "helm");
    let file = helm.package("charts/ocr-app".as_ref(), "out".as_ref(), "0.1.0+abc").await.unwrap();
    assert_eq!(file, std::path::Path::new("out/ocr-app-0.1.0+abc.tgz"));
}

#[tokio::test]
async fn an_answer_that_is_no_json_is_named() {
    let helm = helm(vec![Expect::new(HISTORY_CMD).stdout("WARNING: not json")]);
    let error = helm.status(&upgrade().release).await.unwrap_err();
    assert!(error.to_string().starts_with("helm history's answer cannot be read"), "{error}");
}

#[tokio::test]
async fn a_wait_for_another_runs_helm_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("helm");
    let another = crate::lock::take(&lock).unwrap();
    let told = crate::event::Recorded::default();
    let helm = Helm { lock: Some(lock), events: Events::new(told.clone()), ..helm(Vec::new()) };
    let waits = helm.wait_for_another(Duration::from_mins(1));
    assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err());
    assert!(format!("{:?}", told.events()).contains("another run's helm"));
    drop(another);
    helm.wait_for_another(Duration::from_mins(1)).await.unwrap();
    assert_eq!(told.events().len(), 1, "told only where there is something to wait for");
}
