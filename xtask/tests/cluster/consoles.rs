//! The pages of what runs beside the service, opened by `demo --follow`.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use crate::support::{Json, Outcome, Xtask, eventually};
use crate::{RUNTIME, client, up};

/// Ended with its test, also where that fails.
struct Followed(Child);

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn console<'a>(shown: &'a Json, name: &str) -> &'a Json {
    let consoles = shown["consoles"].as_array().expect("consoles");
    consoles.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name}: {shown}"))
}

fn asked(request: reqwest::RequestBuilder) -> Option<Json> {
    RUNTIME.block_on(async {
        let response = request.send().await.ok().filter(|it| it.status().is_success())?;
        response.json().await.ok()
    })
}

/// Argo CD lets its login in and Prometheus answers; a pod that dies behind an open port is followed by another.
pub fn demo_opens_the_pages(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let mut command = xtask.command(&["demo", "--follow"]);
    let mut followed = Followed(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let stdout = followed.0.stdout.take().expect("its stdout");
    let shown =
        serde_json::Deserializer::from_reader(stdout).into_iter::<Json>().next().expect("a report")?;
    assert!(shown["text"].as_str().expect("text").contains("Hello from your child"), "{shown}");

    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let prometheus = console(&shown, "Prometheus")["url"].as_str().expect("its address").to_owned();
    let query = || asked(http.get(format!("{prometheus}api/v1/query?query=count(up)")));
    assert_eq!(query().expect("an answer")["status"], "success");

    let argocd = console(&shown, "Argo CD");
    let (url, login) = (argocd["url"].as_str().expect("its address"), &argocd["login"]);
    let login = json!({"username": login["user"], "password": login["password"]});
    let session = asked(http.post(format!("{url}api/v1/session")).json(&login)).expect("a session");
    let token = session["token"].as_str().expect("a token");
    let listed = asked(http.get(format!("{url}api/v1/applications")).bearer_auth(token)).expect("a list");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");

    let pods = Api::<Pod>::namespaced(client(), "monitoring");
    let selected = ListParams::default().labels("app.kubernetes.io/name=prometheus");
    let gone = RUNTIME.block_on(pods.list(&selected))?.items;
    assert!(!gone.is_empty(), "Prometheus' pods have this label");
    for pod in &gone {
        let name = pod.metadata.name.as_deref().expect("a name");
        RUNTIME.block_on(pods.delete(name, &DeleteParams::default().grace_period(0)))?;
    }
    eventually("the same port leads to the new pod", Duration::from_mins(3), || query().is_some());

    Command::new("kill").args(["-INT", &followed.0.id().to_string()]).status()?;
    assert_eq!(followed.0.wait()?.code(), Some(130), "Ctrl-C ends it");
    Ok(())
}
