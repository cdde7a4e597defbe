//! Whether Argo CD can read the chart from a repository, asked of Argo CD itself before anything depends on it: an Application
//! beside the real one, which is compared and never synced.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::NAMESPACE;
use super::explain::{Trouble, explain_probe, how_it_is_read};
use super::objects::{GitOps, REFRESH, only, without_argocd};
use super::repository::withdraw_from_probe;
use super::state::{Seen, api};
use crate::error::{Doing, Error, Result, if_allowed};
use crate::manifests::{self, FIELD_MANAGER, Params};
use crate::wait;

/// Its Application and its AppProject.
const PROBE: &str = "platen-probe";
/// A single complaint may be of a repository that is late.
const COMPLAINTS: u32 = 2;

impl GitOps {
    /// The commit that Argo CD finds there; else its complaint, explained. The real Application and its AppProject are as
    /// before, so is the login that is in use, and nothing of the probe stays.
    pub async fn probe(&self, within: Duration) -> Result<String> {
        let params = Params { project: PROBE.into(), ..self.params.clone() };
        let asked = async {
            self.repository.give_to_probe(&self.client, PROBE).await.map_err(without_argocd)?;
            ask(&self.client, &params, within).await
        };
        let found = asked.await;
        let forgotten = forget(&self.client).await;
        // Why it does not work counts more than what is left of the question.
        let found = found?;
        forgotten.map(|()| found)
    }
}

/// Removes what an interrupted probe left.
pub(super) async fn forget_interrupted(client: &kube::Client) -> Result<()> {
    // Who may not remove one has made none.
    if_allowed(forget(client).await).map(drop)
}

async fn ask(client: &kube::Client, params: &Params, within: Duration) -> Result<String> {
    let force = PatchParams::apply(FIELD_MANAGER).force();
    let project = only(manifests::projects(params)?)?;
    let applied = api(client, "AppProject").patch(PROBE, &force, &Patch::Apply(&project)).await;
    applied.doing("making the AppProject of a probe").map_err(without_argocd)?;
    let applications = api(client, "Application");
    let applied = applications.patch(PROBE, &force, &Patch::Apply(&application(params)?)).await;
    applied.doing("asking Argo CD whether it reaches the repository")?;
    let mut complaints = 0;
    let until = std::time::Instant::now() + within;
    loop {
        let found = applications.get(PROBE).await.doing("looking at the probe")?;
        match answer(&found, params)? {
            Answer::Found(commit) => return Ok(commit),
            Answer::Complains(trouble) => {
                let late = std::time::Instant::now() > until;
                complaints += u32::from(!trouble.is_argocds_own);
                if complaints >= COMPLAINTS || late {
                    return Err(trouble.into());
                }
                GitOps::look_again(client, PROBE).await?;
            }
            Answer::None if std::time::Instant::now() > until => {
                let awaited = format!("Argo CD to read {}", params.source.repo_url);
                return Err(Error::timed_out(awaited, within, how_it_is_read()));
            }
            Answer::None => {}
        }
        tokio::time::sleep(wait::POLL).await;
    }
}

/// As the real one, and neither synced nor counted as Platen's; its end takes nothing along.
fn application(params: &Params) -> Result<Value> {
    let mut application = only(manifests::applications(params)?)?;
    application["metadata"] =
        json!({"name": PROBE, "namespace": NAMESPACE, "annotations": {REFRESH: "normal"}});
    application["spec"]["syncPolicy"] = json!({});
    Ok(application)
}

enum Answer {
    /// The commit.
    Found(String),
    Complains(Trouble),
    None,
}

fn answer(found: &DynamicObject, params: &Params) -> Result<Answer> {
    let asked = found.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(REFRESH));
    let seen = Seen::of(found)?;
    if asked {
        return Ok(Answer::None);
    }
    let source = json!({"repoURL": params.source.repo_url});
    Ok(match seen.complaint() {
        Some(complaint) => Answer::Complains(explain_probe(&source, complaint)),
        None if seen.sync.revision.is_empty() => Answer::None,
        None => Answer::Found(seen.sync.revision),
    })
}

/// The login goes first: it is what must not stay.
async fn forget(client: &kube::Client) -> Result<()> {
    let withdrawn = withdraw_from_probe(client).await;
    for kind in ["Application", "AppProject"] {
        match api(client, kind).delete(PROBE, &DeleteParams::default()).await {
            Err(kube::Error::Api(gone)) if gone.code == 404 => {}
            deleted => deleted.map(drop).doing("removing the probe")?,
        }
    }
    withdrawn
}
