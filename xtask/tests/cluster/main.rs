//! End to end on a real Kubernetes cluster made by kind: one cluster serves all tests.

#![expect(clippy::unnecessary_wraps, reason = "all tests have the same shape, so that each may use `?`")]

mod application_sets;
mod carried;
mod chaos;
mod consoles;
mod database;
mod doctor;
mod existing;
mod git_host;
mod git_source;
mod gitops;
mod registry;
mod serving;
#[expect(dead_code, reason = "each of the end-to-end tests uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod troubles;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, ListParams};
use libtest_mimic::{Arguments, Trial};
use support::{Outcome, Xtask};

const PROFILE: &str = "e2e-cluster";
/// A gateway, a page and a translation on each of three nodes, two models, the OCR backend, the experiments.
const PODS: usize = 13;
/// Steps of `up` at which it is killed, in their order, and how many milliseconds after their beginning.
const KILLS: [(&str, u64); 8] = [
    ("engine", 200),
    ("sources", 500),
    ("registry", 50),
    ("cluster", 8000),
    ("image", 100),
    ("argocd", 4000),
    ("monitoring", 3000),
    ("apps", 1500),
];

fn main() -> ExitCode {
    platform::tls::install();
    let mut arguments = Arguments::from_args();
    // The tests stand on one cluster and follow each other.
    arguments.test_threads = Some(1);
    let trials = [it_serves(), argocd_delivers(), doctor_explains(), it_breaks(), it_ends()];
    let trials = trials.into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        // Also after a failure: no cluster of the tests stays behind.
        XTASK.run(&["down"]);
    }
    conclusion.exit_code()
}

/// What the cluster is made of, and what runs on it.
fn it_serves() -> Vec<Trial> {
    vec![
        trial("up killed at each of its steps converges", killed_up_converges),
        trial("up again changes nothing, says so, and is quick", second_up_changes_nothing),
        trial("three nodes are Ready, gateway and models are spread over them", pods_are_spread),
        trial("every pod would pass Pod Security restricted", namespaces_are_restricted),
        trial("demo reads the letter by a model on a worker", serving::demo_reads_the_letter),
        trial(
            "demo --follow opens Argo CD and Prometheus, and follows a pod that dies",
            consoles::demo_opens_the_pages,
        ),
        trial("every node's door on loopback leads to the gateway", serving::every_door_answers),
        trial("the page at every node's door reads and translates a letter", serving::page_translates),
        trial(
            "an experiment is a Job of the cluster, whose results lie on this machine",
            serving::experiment_is_a_job,
        ),
        trial(
            "the experiments' account may make Jobs and nothing else",
            serving::experiments_account_is_narrow,
        ),
        trial("the OCR backend answers in the cluster as documented", serving::ocr_server_answers),
        trial("a rolling restart fails no request at any door", serving::rolling_restart),
        trial("a worker that is killed fails no request at another node's door", serving::killed_worker),
        trial("the registry is announced and answers inside each node", registry_is_wired),
        trial(
            "build finds the image of these sources, tries it and tells its digest",
            registry::image_is_found_and_tried,
        ),
        trial(
            "nodes of a cluster that is there already are wired by its context",
            registry::nodes_are_wired_by_context,
        ),
        trial(
            "a deploy is refused where a node has another architecture than the image",
            registry::foreign_node_is_refused,
        ),
        trial("status shows every pod ready and its node", status_is_healthy),
        trial("another number of nodes is refused and nothing is deleted", other_node_count_is_refused),
    ]
}

/// What comes of changes, by somebody or by a deploy.
fn argocd_delivers() -> Vec<Trial> {
    vec![
        trial("Argo CD's Application is Synced and Healthy", gitops::applications_are_synced),
        trial(
            "every query of the dashboards has an answer from the cluster's Prometheus",
            gitops::dashboards_have_answers,
        ),
        trial(
            "what was deleted or scaled behind its back comes back by itself",
            gitops::what_was_deleted_or_scaled_comes_back,
        ),
        trial(
            "a component that is no longer wanted goes, and a rollback brings it back",
            gitops::removed_component_is_pruned,
        ),
        trial(
            "experiments keep their record in a MariaDB of the cluster, behind network policies",
            database::experiments_keep_their_record,
        ),
        trial(
            "a broken image takes no working pod away and is told by its pod",
            gitops::broken_image_takes_no_pod_away,
        ),
        trial(
            "a deploy that cannot work says why and leaves what serves",
            gitops::deploy_that_cannot_work_says_why,
        ),
        trial(
            "what something else in the cluster writes anew is told to stay OutOfSync",
            troubles::what_stays_out_of_sync_is_named,
        ),
        trial("a right that Argo CD has not is named", troubles::missing_rights_of_argocd_are_named),
        trial(
            "an Argo CD whose repository server starts is waited for",
            troubles::argocd_that_starts_is_awaited,
        ),
        trial(
            "Argo CD follows a private Git repository, and goes back to the registry",
            git_source::follows_a_private_repository,
        ),
        trial(
            "Argo CD follows ApplicationSets in the Application's place, and no pod is taken away",
            application_sets::replace_the_application,
        ),
    ]
}

/// Faults that are provoked and undone, and what is said of them.
fn doctor_explains() -> Vec<Trial> {
    vec![
        trial("doctor explains pods that are sick of seven things", doctor::sick_pods_are_explained),
        trial("doctor explains a cluster without DNS", doctor::lost_dns_is_explained),
        trial("doctor explains an empty panel by its target", troubles::target_that_is_down_is_named),
        trial("doctor explains a node that does not answer", doctor::dead_node_is_explained),
    ]
}

/// Faults under load.
fn it_breaks() -> Vec<Trial> {
    vec![
        trial(
            "a worker that is killed under load fails no request, and all is as before",
            chaos::killed_worker_fails_no_request,
        ),
        trial("the same without retries and failover fails some", chaos::control_run_shows_what_is_prevented),
        trial(
            "a run of chaos that is interrupted in mid-fault undoes it at once",
            chaos::interrupted_run_is_undone_at_once,
        ),
        trial(
            "a run of chaos that is killed in mid-fault is undone by --recover",
            chaos::killed_run_is_undone,
        ),
    ]
}

/// Other checkouts and other commands; stopped, carried away and removed.
fn it_ends() -> Vec<Trial> {
    vec![
        trial("another checkout's cluster is not touched", foreign_cluster_is_refused),
        trial("the cluster can be used as an existing one by its context", existing::used_by_its_context),
        trial(
            "an account with few rights is refused with the list, and accepted with what it is given",
            existing::restricted_account,
        ),
        trial("an existing cluster's own Argo CD delivers", existing::own_argocd_delivers),
        trial("a stopped cluster starts again", stop_and_start),
        trial("everything that a cluster needs is exported into one folder", carried::export),
        trial("down leaves no container, no context and no record", down_leaves_nothing),
        trial("a cluster is made of the folder alone, without a network", carried::up_from_the_folder_alone),
    ]
}

fn trial(name: &str, test: fn(&Xtask) -> Outcome) -> Trial {
    Trial::test(name, move || test(&XTASK))
}

/// Made at the first use, so that listing the tests starts nothing.
static XTASK: LazyLock<Xtask> = LazyLock::new(|| Xtask::new(PROFILE));
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));

fn up(xtask: &Xtask) -> support::Ran {
    xtask.run(&["up", "--provider", "kind"])
}

fn client() -> kube::Client {
    RUNTIME
        .block_on(platform::cluster::client::client(&format!("kind-{PROFILE}")))
        .expect("a client of the cluster")
}

fn pods(namespace: &str, component: &str) -> Vec<Pod> {
    let selector = format!("app.kubernetes.io/component={component}");
    let api = Api::<Pod>::namespaced(client(), namespace);
    RUNTIME.block_on(api.list(&ListParams::default().labels(&selector))).expect("the pods").items
}

fn nodes_of(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect()
}

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("docker");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn killed_up_converges(xtask: &Xtask) -> Outcome {
    for (turn, (step, after)) in KILLS.into_iter().enumerate() {
        // What comes later is still to be done when its turn to be killed comes, however quick this step is.
        let later = KILLS[turn + 1..].iter().flat_map(|(step, _)| ["--skip", step]);
        let args: Vec<&str> = ["up", "--provider", "kind"].into_iter().chain(later).collect();
        let plan = xtask.run(&[&args[..], &["--dry-run"]].concat()).expect_code(0).json();
        let actions = plan["plan"]["actions"].as_array().expect("actions").clone();
        let planned = actions.iter().any(|action| action["step"] == step);
        let killed = planned && xtask.kill_in_step(&args, step, Duration::from_millis(after))?;
        // What lies in caches or serves other clusters of this machine is not done again, or in no time.
        let may_be_quick = matches!(step, "engine" | "sources" | "registry" | "image");
        assert!(killed || may_be_quick, "{step} was to be killed: {actions:?}");
    }
    up(xtask).expect_code(0);
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

/// The pods of `status` that are not on their way out.
fn staying(xtask: &Xtask) -> Vec<support::Json> {
    let workloads = xtask.run(&["status"]).json()["workloads"].as_array().expect("workloads").clone();
    workloads.into_iter().filter(|workload| workload["leaving"] == false).collect()
}

fn second_up_changes_nothing(xtask: &Xtask) -> Outcome {
    let before = staying(xtask);
    let again = up(xtask).expect_code(0);
    assert_eq!(again.json()["plan"]["actions"], serde_json::json!([]));
    assert_eq!(staying(xtask), before, "the same pods go on");
    assert!(again.elapsed < Duration::from_secs(5), "took {:?}", again.elapsed);
    Ok(())
}

fn pods_are_spread(_: &Xtask) -> Outcome {
    let nodes = RUNTIME.block_on(Api::<Node>::all(client()).list(&ListParams::default()))?;
    assert_eq!(nodes.items.len(), 3);
    for node in &nodes.items {
        let version =
            &node.status.as_ref().and_then(|it| it.node_info.as_ref()).expect("its version").kubelet_version;
        assert!(version.starts_with("v1.36."), "{version}");
    }
    let (gateways, models) = (nodes_of(&pods("ocr", "gateway")), nodes_of(&pods("ocr", "model")));
    assert_eq!(gateways.len(), 3, "a gateway on every node: {gateways:?}");
    let workers: BTreeSet<String> = [format!("{PROFILE}-worker"), format!("{PROFILE}-worker2")].into();
    assert_eq!(models, workers, "a model on every worker");
    Ok(())
}

fn namespaces_are_restricted(_: &Xtask) -> Outcome {
    let api = Api::<k8s_openapi::api::core::v1::Namespace>::all(client());
    for name in ["ocr", "backend"] {
        let labels = RUNTIME.block_on(api.get(name))?.metadata.labels.unwrap_or_default();
        assert_eq!(labels.get("pod-security.kubernetes.io/enforce").map(String::as_str), Some("restricted"));
    }
    Ok(())
}

fn registry_is_wired(_: &Xtask) -> Outcome {
    let api = Api::<ConfigMap>::namespaced(client(), "kube-public");
    let hosting = RUNTIME.block_on(api.get("local-registry-hosting"))?.data.unwrap_or_default();
    assert!(hosting["localRegistryHosting.v1"].contains("localhost:5000"), "{hosting:?}");
    for node in ["control-plane", "worker", "worker2"] {
        let node = format!("{PROFILE}-{node}");
        let images = docker(&["exec", &node, "ctr", "-n", "k8s.io", "images", "ls", "-q"]);
        assert!(images.contains("localhost:5000/platen/ocr-service"), "{node}: {images}");
    }
    Ok(())
}

fn status_is_healthy(xtask: &Xtask) -> Outcome {
    let status = xtask.run(&["status"]).expect_code(0).json();
    assert_eq!(status["healthy"], true);
    let workloads = staying(xtask);
    assert_eq!(workloads.len(), PODS, "{workloads:?}");
    assert!(workloads.iter().all(|it| it["node"].as_str().expect("a node").starts_with(PROFILE)));
    Ok(())
}

fn other_node_count_is_refused(xtask: &Xtask) -> Outcome {
    let refused = xtask.run(&["up", "--nodes", "2"]).expect_code(2);
    assert!(refused.stderr().contains("3 nodes"), "{}", refused.stderr());
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

/// The same profile from a checkout that knows nothing of it: a copy without records.
fn foreign_cluster_is_refused(xtask: &Xtask) -> Outcome {
    let records = support::root().join(".platen").join(PROFILE);
    let aside = support::root().join(".platen/aside-for-a-test");
    std::fs::rename(&records, &aside)?;
    let refused = up(xtask);
    let down = xtask.run(&["down"]);
    let _ = std::fs::remove_dir_all(&records);
    std::fs::rename(&aside, &records)?;
    assert!(refused.expect_code(2).stderr().contains("not made from this checkout"));
    down.expect_code(0);
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

fn stop_and_start(xtask: &Xtask) -> Outcome {
    xtask.run(&["down", "--stop"]).expect_code(0);
    xtask.run(&["status"]).expect_code(1);
    up(xtask).expect_code(0);
    serving::demo_reads_the_letter(xtask)
}

fn down_leaves_nothing(xtask: &Xtask) -> Outcome {
    xtask.run(&["down"]).expect_code(0);
    let label = format!("label=io.x-k8s.kind.cluster={PROFILE}");
    assert_eq!(docker(&["ps", "-a", "-q", "--filter", &label]), "");
    let kubeconfig = kube::config::Kubeconfig::read().map(|it| it.contexts).unwrap_or_default();
    assert!(kubeconfig.iter().all(|context| context.name != format!("kind-{PROFILE}")));
    assert!(!support::root().join(".platen").join(PROFILE).exists());
    let again = xtask.run(&["down"]).expect_code(0);
    assert_eq!(again.json()["removed"], serde_json::json!([]));
    Ok(())
}
