//! The suite's cluster as somebody else's: through an account that may do next to nothing, and then what it was given.

use std::io::Write;
use std::panic::{catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{self, Outcome, Ran, Xtask, eventually};
use crate::{PROFILE, RUNTIME, client, docker, gitops, pods, staying, up};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

const NAMESPACE: &str = "e2e-deployer";
const RESTRICTED: &str = "e2e-restricted";
/// The role that the refusal of `--kill-pod` names.
const CHAOS: &str = "platen-chaos";
const OWN_ARGOCD: &str = "e2e-own-argocd";

pub fn used_by_its_context(xtask: &Xtask) -> Outcome {
    let door = format!("127.0.0.1:{}", xtask.node_port());
    let config = format!(
        "[components]\nexperiments = true\n[images]\nregistry = \"localhost:5000\"\n[cluster]\ngateway = \"{door}\"\n"
    );
    // A killed run's record names a context that is gone; `down` rightly refuses to forget it.
    let _ = std::fs::remove_dir_all(support::root().join(".platen/e2e-existing"));
    let existing = Xtask::configured("e2e-existing", &config);
    let context = format!("kind-{PROFILE}");

    let unknown =
        existing.run(&["up", "--provider", "existing", "--context", "no-such-context"]).expect_code(2);
    assert!(unknown.stderr().contains(&context), "those that exist are named: {}", unknown.stderr());
    let up_there = ["up", "--provider", "existing", "--context", &context];
    let before = staying(xtask);
    let adopted = existing.run(&up_there).expect_code(0);
    let actions = adopted.json()["plan"]["actions"].clone();
    assert_eq!(actions.as_array().map(Vec::len), Some(1), "{actions}");
    assert!(actions[0]["why"].as_str().expect("a reason").contains("Argo CD"), "{actions}");
    assert_eq!(staying(xtask), before, "what serves is taken over, not made anew");
    existing.run(&["demo"]).expect_code(0);
    helm_goes_back_and_forth(&existing);
    existing.run(&["down"]).expect_code(0);
    // The cluster removes pods after their deployment.
    eventually("the pods leave", Duration::from_secs(30), || {
        pods("ocr", "gateway").iter().all(|pod| pod.metadata.deletion_timestamp.is_some())
    });
    let nodes = RUNTIME.block_on(Api::<Node>::all(client()).list(&ListParams::default()))?;
    assert_eq!(nodes.items.len(), 3, "the cluster itself is somebody else's");
    up(xtask).expect_code(0);
    Ok(())
}

fn helm_goes_back_and_forth(xtask: &Xtask) {
    // What is noticed as changed, and what is not.
    let state = || {
        let deployments = Api::<Deployment>::namespaced(client(), "ocr");
        let spec = RUNTIME.block_on(deployments.get("ocr-frontend")).expect("the page").spec;
        (spec.replicas, serde_json::to_string(&spec.template).expect("plain values").contains("platen=debug"))
    };
    let before = state();
    let set = ["--set", "frontend.replicas=1", "--set", "log.filter=info,platen=debug"];
    xtask.run(&[&["deploy"], &set[..]].concat()).expect_code(0);
    assert_eq!(state(), (Some(1), true));
    let back = xtask.run(&["deploy", "--rollback"]).expect_code(0).json();
    assert_eq!(state(), before);
    assert!(back["version"].as_str().expect("a version").contains(", revision "), "{back}");
    xtask.run(&["deploy", "--rollback"]).expect_code(0);
    assert_eq!(state(), (Some(1), true), "forward again");
}

/// Refused with the list, accepted once an administrator applied what it wrote, and the cluster is given back.
pub fn restricted_account(xtask: &Xtask) -> Outcome {
    // Also after a failure: the tests behind this one have the same cluster.
    let tried = catch_unwind(|| refused_and_accepted(xtask.node_port()));
    let given_back = give_back(xtask);
    tried.unwrap_or_else(|panic| resume_unwind(panic)).and(given_back)
}

fn refused_and_accepted(node_port: u16) -> Outcome {
    let config = format!(
        "[components]\nexperiments = true\n[images]\nregistry = \"localhost:5000\"\n\
         [cluster]\ngateway = \"127.0.0.1:{node_port}\"\n"
    );
    let _ = std::fs::remove_dir_all(support::root().join(".platen").join(RESTRICTED));
    let existing = Xtask::configured(RESTRICTED, &config);
    account()?;
    let kubeconfig = kubeconfig()?;
    let as_account = |args: &[&str]| {
        let mut command = existing.command(args);
        command.env("KUBECONFIG", kubeconfig.path());
        Ran::of(args, &mut command)
    };
    let up_there = ["up", "--provider", "existing", "--context", RESTRICTED];
    let before = generations()?;

    let refused = as_account(&up_there).expect_code(1).stderr();
    for missing in [
        "system:serviceaccount:e2e-deployer:deployer",
        "in the cluster: list, watch nodes",
        "in the cluster: create, delete, get, list, patch, watch persistentvolumes",
        "in backend: create, delete, get, list, patch, watch deployments.apps",
        "in ocr: get, list, watch endpointslices.discovery.k8s.io",
        "kubectl apply -f ",
    ] {
        assert!(refused.contains(missing), "{missing} in {refused}");
    }
    assert_eq!(generations()?, before, "nothing was changed");

    let rights = rights();
    apply(&std::fs::read_to_string(&rights)?)?;
    let accepted = as_account(&up_there).expect_code(0);
    assert!(accepted.stderr().contains("found on the cluster: storage class"), "{}", accepted.stderr());
    assert!(!rights.exists(), "nothing is missing any more");
    as_account(&["status"]).expect_code(0);
    let examined = as_account(&["doctor"]).json();
    let of_platform =
        examined["checks"].as_array().expect("checks").iter().filter(|it| it["area"] == "platform");
    let ill: Vec<_> =
        of_platform.filter(|it| it["outcome"] == "found" || it["outcome"] == "unknown").collect();
    assert!(ill.is_empty(), "what it may not see is passed over: {ill:?}");

    // What is applied once more takes nothing away.
    kubectl(
        &[
            "-n",
            "ocr",
            "patch",
            "role",
            "platen",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/rules/0"}]"#,
        ],
        "",
    )?;
    as_account(&up_there).expect_code(1);
    apply(&std::fs::read_to_string(&rights)?)?;
    as_account(&up_there).expect_code(0);

    a_pod_is_killed_where_that_is_allowed(as_account)
}

fn a_pod_is_killed_where_that_is_allowed(as_account: impl Fn(&[&str]) -> Ran) -> Outcome {
    let image = support::root().join("platform/stack/bench/images/line.png").display().to_string();
    let load = ["--image", &image, "--rate", "3", "--steady", "3s", "--max-errors", "0"];
    let kill = [&["chaos", "--kill-pod"][..], &load[..]].concat();
    let refused = as_account(&kill).expect_code(1).stderr();
    assert!(refused.contains("this account may not remove ocr/"), "{refused}");
    kubectl(&["-n", "ocr", "create", "role", CHAOS, "--verb=delete", "--resource=pods"], "")?;
    let account = format!("--serviceaccount={NAMESPACE}:deployer");
    kubectl(&["-n", "ocr", "create", "rolebinding", CHAOS, &format!("--role={CHAOS}"), &account], "")?;
    let killed = as_account(&kill).expect_code(0).json();
    assert_eq!(killed["fault"]["proofs"][0]["holds"], true, "{}", killed["fault"]);
    Ok(())
}

/// The registry by an address that this machine, the nodes and Argo CD's pods all reach, as that of a company would be.
pub fn own_argocd_delivers(xtask: &Xtask) -> Outcome {
    let tried = catch_unwind(|| delivered_by_its_own(xtask));
    // Also after a failure.
    let _ = std::fs::remove_dir_all(support::root().join(".platen").join(OWN_ARGOCD));
    up(xtask).expect_code(0);
    tried.unwrap_or_else(|panic| resume_unwind(panic))?;
    assert!(gitops::source()?["repoURL"].as_str().expect("an address").contains("platen-registry"));
    Ok(())
}

fn delivered_by_its_own(xtask: &Xtask) -> Outcome {
    let address = docker(&[
        "inspect",
        "-f",
        "{{(index .NetworkSettings.Networks \"kind\").IPAddress}}:5000",
        "platen-registry",
    ]);
    for node in ["control-plane", "worker", "worker2"] {
        let trust = format!(
            "mkdir -p /etc/containerd/certs.d/{address} && echo '[host.\"http://{address}\"]' > /etc/containerd/certs.d/{address}/hosts.toml"
        );
        docker(&["exec", &format!("{PROFILE}-{node}"), "sh", "-c", &trust]);
    }
    let door = xtask.node_port();
    let config = format!(
        "[components]\nargocd = true\n[images]\nregistry = \"{address}\"\ninsecure = [\"{address}\"]\n\
         [cluster]\ngateway = \"127.0.0.1:{door}\"\n"
    );
    let _ = std::fs::remove_dir_all(support::root().join(".platen").join(OWN_ARGOCD));
    let existing = Xtask::configured(OWN_ARGOCD, &config);
    let context = format!("kind-{PROFILE}");
    let up_there = ["up", "--provider", "existing", "--context", &context];
    let there = existing.run(&up_there).expect_code(0);
    assert!(there.stderr().contains("is there already and is used as it is"), "{}", there.stderr());
    let source = gitops::source()?;
    assert_eq!(source["repoURL"], format!("oci://{address}/charts/ocr-app"), "{source}");
    existing.run(&["demo"]).expect_code(0);
    let again = existing.run(&up_there).expect_code(0).json();
    assert_eq!(again["plan"]["actions"], json!([]));
    existing.run(&["down"]).expect_code(0);
    Ok(())
}

/// What the account was given goes, and the cluster is the suite's again; how much of it there is depends on how far it came.
fn give_back(xtask: &Xtask) -> Outcome {
    // Its record names what another profile of the suite goes on with.
    let _ = std::fs::remove_dir_all(support::root().join(".platen").join(RESTRICTED));
    let _ = std::fs::remove_file(rights());
    let delete = |args: &[&str]| kubectl(&[&["delete", "--ignore-not-found"], args].concat(), "");
    delete(&["namespace", NAMESPACE, "--wait=false"])?;
    delete(&["clusterrole,clusterrolebinding", "platen"])?;
    for namespace in ["ocr", "backend", "argocd"] {
        delete(&["-n", namespace, "role,rolebinding", "platen", CHAOS])?;
    }
    up(xtask).expect_code(0);
    Ok(())
}

fn rights() -> std::path::PathBuf {
    support::root().join(".platen").join(format!("{RESTRICTED}-rights.yaml"))
}

/// A ServiceAccount without any rights, and a lasting token for it.
fn account() -> Outcome {
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": NAMESPACE}}),
    ];
    for object in objects {
        apply(&object.to_string())?;
    }
    Ok(())
}

/// With the account's own token, and nothing else.
fn kubeconfig() -> Result<tempfile::NamedTempFile, libtest_mimic::Failed> {
    let token = kubectl(&["-n", NAMESPACE, "create", "token", "deployer"], "")?;
    let admin = serde_json::to_value(kube::config::Kubeconfig::read()?)?;
    let name = format!("kind-{PROFILE}");
    let clusters = admin["clusters"].as_array().expect("clusters");
    let cluster = clusters.iter().find(|it| it["name"] == name.as_str()).expect("the suite's");
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster["cluster"]}],
        "users": [{"name": "deployer", "user": {"token": token}}],
        "contexts": [{"name": RESTRICTED, "context": {"cluster": "c", "user": "deployer"}}],
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), config.to_string())?;
    Ok(file)
}

/// By which a change of the service's deployments is seen.
fn generations() -> Result<Vec<Option<i64>>, libtest_mimic::Failed> {
    let api = Api::<Deployment>::namespaced(client(), "ocr");
    let found = RUNTIME.block_on(api.list(&ListParams::default()))?;
    Ok(found.items.into_iter().map(|it| it.metadata.generation).collect())
}

fn apply(manifest: &str) -> Outcome {
    kubectl(&["apply", "-f", "-"], manifest).map(drop)
}

/// As the cluster's administrator, with the node's own program.
fn kubectl(args: &[&str], given: &str) -> Result<String, libtest_mimic::Failed> {
    let node = format!("{PROFILE}-control-plane");
    let mut child = Command::new("docker")
        .args(["exec", "-i", &node, "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().expect("its input").write_all(given.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("kubectl {args:?}: {said}").into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
