//! Argo CD's Applications in a few words each, for `status` and `doctor`.

use kube::api::{DynamicObject, ListParams};
use serde::Serialize;
use serde_json::Value;

use super::repository::is_from_git;
use super::state::{Seen, State, api, is_absent, or_unknown};
use crate::error::{Doing, Result};

/// Of a commit's name, as it is shown.
const SHORT: usize = 12;

/// An Application in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub name: String,
    pub sync: String,
    pub health: String,
    /// The chart's version, or the branch that it is pointed at and the commit of it that was compared.
    pub revision: String,
    /// A sentence where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Summary {
    pub fn is_well(&self) -> bool {
        self.sync == "Synced" && self.health == "Healthy" && self.trouble.is_none()
    }
}

/// Platen's Applications; none where the cluster has no Argo CD.
pub async fn applications(client: &kube::Client) -> Result<Vec<Summary>> {
    listed(client).await?.iter().map(summary).collect()
}

/// As [`applications`], as they stand in the cluster.
pub(super) async fn listed(client: &kube::Client) -> Result<Vec<DynamicObject>> {
    let ours = ListParams::default().labels("app.kubernetes.io/part-of=platen");
    let list = match api(client, "Application").list(&ours).await {
        Err(kube::Error::Api(refused)) if is_absent(client, refused.code).await? => return Ok(Vec::new()),
        list => list.doing("listing Argo CD's Applications")?,
    };
    Ok(list.items)
}

fn summary(application: &DynamicObject) -> Result<Summary> {
    let seen = Seen::of(application)?;
    let name = application.metadata.name.clone().unwrap_or_default();
    let source = &application.data["spec"]["source"];
    let trouble = match seen.judge(&name, source) {
        State::Stuck(trouble) => Some(trouble.to_string()),
        State::Done | State::Awaiting(_) => None,
    };
    let (sync, health) = (or_unknown(&seen.sync.status).into(), or_unknown(&seen.health.status).into());
    let revision = revision(source, &seen.sync.revision);
    Ok(Summary { name, sync, health, revision, trouble })
}

/// What a source points at, in a few words.
pub fn revision(source: &Value, compared: &str) -> String {
    let wanted = source["targetRevision"].as_str().unwrap_or_default();
    if !is_from_git(source) || compared.is_empty() {
        return wanted.into();
    }
    let commit = compared.get(..SHORT).unwrap_or(compared);
    if compared == wanted { commit.into() } else { format!("{wanted} at {commit}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_branch_is_told_with_its_commit_and_a_commit_by_itself() {
        let git = |wanted: &str| json!({"repoURL": "https://git.example/ocr.git", "targetRevision": wanted});
        let chart = json!({"repoURL": "oci://r:5000/charts/ocr-app", "targetRevision": "0.1.0-c1"});
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(revision(&git("main"), commit), "main at 0123456789ab");
        assert_eq!(revision(&git(commit), commit), "0123456789ab");
        assert_eq!(revision(&chart, "sha256:00"), "0.1.0-c1");
    }
}
