//! The experiments' record in a MariaDB of the cluster, behind network policies.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, PostParams};

use crate::support::roles::Experiments;
use crate::support::{Outcome, Xtask, eventually};
use crate::{PROFILE, RUNTIME, client, up};

const SECRET: &str = "e2e-database";
const EXPERIMENT: &str = "in-a-database";

/// What was recorded outlives the experiments' pod; without the database everything is as before.
pub fn experiments_keep_their_record(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    // `up` brings only what every cluster needs.
    xtask.run(&["mirror", "build", "mariadb"]).expect_code(0);
    let secret: Secret = serde_json::from_value(serde_json::json!({
        "metadata": {"name": SECRET},
        "stringData": {"password": "of-a-test", "root-password": "of-its-root"},
    }))?;
    let secrets = Api::<Secret>::namespaced(client(), "ocr");
    RUNTIME.block_on(secrets.create(&PostParams::default(), &secret))?;
    let named = format!("mariadb.existingSecret={SECRET}");
    let values = [
        "mariadb.enabled=true",
        &named,
        "mariadb.storage.ephemeral=true",
        "experiments.sqlite=false",
        "networkPolicies.enabled=true",
    ];
    let set = values.into_iter().flat_map(|value| ["--set", value]);
    xtask.run(&["deploy"].into_iter().chain(set).collect::<Vec<_>>()).expect_code(0);

    let databases = Api::<StatefulSet>::namespaced(client(), "ocr");
    let database = RUNTIME.block_on(databases.get("ocr-mariadb"))?;
    assert_eq!(database.status.and_then(|status| status.ready_replicas), Some(1));
    let policies = Api::<NetworkPolicy>::namespaced(client(), "ocr");
    assert!(!RUNTIME.block_on(policies.list(&ListParams::default()))?.items.is_empty());
    let experiments = Experiments::new(&RUNTIME, PROFILE, xtask.experiments_port());
    experiments.give_an_image();
    assert_eq!(experiments.start(EXPERIMENT), 201);
    assert_eq!(experiments.ended(EXPERIMENT)["state"], "succeeded");

    let pods = Api::<Pod>::namespaced(client(), "ocr");
    let of_role = ListParams::default().labels("app.kubernetes.io/component=experiments");
    for pod in RUNTIME.block_on(pods.list(&of_role))?.items {
        RUNTIME.block_on(pods.delete(&pod.metadata.name.expect("a name"), &DeleteParams::default()))?;
    }
    eventually("another pod serves", Duration::from_mins(1), || {
        xtask.run(&["status"]).json()["healthy"] == true
    });
    assert_eq!(experiments.start(EXPERIMENT), 409, "the database knows its name");

    xtask.run(&["deploy"]).expect_code(0);
    assert!(RUNTIME.block_on(databases.get_opt("ocr-mariadb"))?.is_none(), "it goes with its value");
    RUNTIME.block_on(secrets.delete(SECRET, &DeleteParams::default()))?;
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}
