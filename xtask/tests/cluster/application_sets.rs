//! The service in two ApplicationSets instead of one Application: as somebody who follows docs/gitops.md puts one in the
//! other's place, and back.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use platform::manifests::{self, Params, Source};
use serde_json::json;

use crate::git_source::names;
use crate::gitops::argocd;
use crate::support::{Json, Outcome, Xtask, eventually};
use crate::{RUNTIME, client, serving, up};

const PARTS: [&str; 2] = ["model-server", "api-gateway"];

fn get(name: &str) -> Option<Json> {
    let found = RUNTIME.block_on(argocd("Application").get_opt(name)).expect("Argo CD's objects");
    found.map(|found| serde_json::to_value(found).expect("JSON"))
}

/// The manifest that `cargo xtask render` writes, with the cluster's own repository and values in it.
fn sets(source: &Json) -> Result<Vec<Json>, libtest_mimic::Failed> {
    let text = |key: &str| source[key].as_str().expect("a text").to_owned();
    let source_there =
        Source { repo_url: text("repoURL"), path: text("path"), revision: text("targetRevision") };
    let values = source["helm"]["valuesObject"].clone();
    let params = Params { source: source_there, values, ..Params::default() };
    let rendered = manifests::application_sets(&params).expect("the sets");
    Ok(rendered.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}

pub fn replace_the_application(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let (pods, one) = (names(), get("ocr-app").expect("the Application"));
    let applications = argocd("Application");
    let alone = json!({"metadata": {"finalizers": null}});
    RUNTIME.block_on(applications.patch("ocr-app", &PatchParams::default(), &Patch::Merge(alone)))?;
    RUNTIME.block_on(applications.delete("ocr-app", &DeleteParams::default()))?;
    eventually("the Application is gone", Duration::from_secs(30), || get("ocr-app").is_none());
    for set in sets(&one["spec"]["source"])? {
        let set = serde_json::from_value(set)?;
        RUNTIME.block_on(argocd("ApplicationSet").create(&PostParams::default(), &set))?;
    }
    eventually("both parts were compared", Duration::from_mins(1), || {
        PARTS.iter().all(|name| get(name).is_some_and(|it| it["status"]["sync"]["status"] == "Synced"))
    });
    for name in PARTS {
        let sync = Patch::Merge(json!({"operation": {"sync": {}}}));
        RUNTIME.block_on(argocd("Application").patch(name, &PatchParams::default(), &sync))?;
    }
    eventually("both parts are Synced and Healthy", Duration::from_mins(1), || {
        PARTS.iter().all(|name| {
            let status = get(name).map(|it| it["status"].clone()).unwrap_or_default();
            status["sync"]["status"] == "Synced"
                && status["health"]["status"] == "Healthy"
                && status["operationState"]["phase"] == "Succeeded"
        })
    });
    each_object_has_one_owner();
    assert_eq!(owner("model-server"), "model-server");
    assert_eq!(owner("ocr-gateway"), "api-gateway");
    assert_eq!(names(), pods, "no pod was started anew");
    serving::demo_reads_the_letter(xtask)?;
    let applications = xtask.run(&["status"]).expect_code(0).json()["applications"].clone();
    assert_eq!(applications.as_array().map(Vec::len), Some(2), "{applications}");

    let refused = xtask.run(&["deploy"]).expect_code(1);
    assert!(refused.stderr().contains("delete applicationset"), "{}", refused.stderr());
    let all = RUNTIME.block_on(argocd("ApplicationSet").list(&ListParams::default()))?;
    for name in all.items.into_iter().filter_map(|set| set.metadata.name) {
        RUNTIME.block_on(argocd("ApplicationSet").delete(&name, &DeleteParams::default()))?;
    }
    eventually("their Applications go", Duration::from_mins(1), || {
        PARTS.iter().all(|name| get(name).is_none())
    });
    up(xtask).expect_code(0);
    assert_eq!(names(), pods, "no pod was ever taken away");
    assert_eq!((owner("model-server"), owner("ocr-gateway")), ("ocr-app".into(), "ocr-app".into()));
    let source = get("ocr-app").expect("the Application")["spec"]["source"].clone();
    assert_eq!(source, one["spec"]["source"]);
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

/// The Application that has a deployment.
fn owner(deployment: &str) -> String {
    let api = Api::<Deployment>::namespaced(client(), "ocr");
    let annotations = RUNTIME.block_on(api.get(deployment)).expect("it").metadata.annotations;
    let id = annotations.expect("annotations").remove("argocd.argoproj.io/tracking-id").expect("an owner");
    id.split(':').next().unwrap_or_default().to_owned()
}

/// No object stands in both parts, and the models stand in theirs.
fn each_object_has_one_owner() {
    let objects = |name: &str| -> Vec<String> {
        let application = get(name).expect("the part");
        let resources = application["status"]["resources"].as_array().cloned().unwrap_or_default();
        resources.iter().map(|it| format!("{} {}/{}", it["kind"], it["namespace"], it["name"])).collect()
    };
    let [model, rest] = PARTS.map(objects);
    assert!(model.iter().any(|it| it.contains("Deployment") && it.contains("model-server")), "{model:?}");
    assert!(rest.iter().any(|it| it.contains("Deployment") && it.contains("ocr-gateway")), "{rest:?}");
    let both: Vec<_> = model.iter().filter(|it| rest.contains(it)).collect();
    assert!(both.is_empty(), "{both:?}");
}
