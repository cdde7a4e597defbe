//! Argo CD's Applications: Synced and Healthy, or why not.

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::error::Result;
use crate::gitops::{self, NAMESPACE, Summary};

pub async fn check(world: &World) -> Result<Verdict> {
    let (client, context) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    let applications = gitops::applications(client).await?;
    if applications.is_empty() {
        return Ok(Verdict::Skipped("Argo CD keeps nothing here".into()));
    }
    let findings = applications.iter().filter_map(|it| finding(it, context)).collect();
    let seen: Vec<String> = applications.iter().map(|it| format!("{} at {}", it.name, it.revision)).collect();
    Ok(Verdict::of(findings, format!("Synced and Healthy: {}", seen.join(", "))))
}

fn finding(it: &Summary, context: &str) -> Option<Finding> {
    if it.is_well() {
        return None;
    }
    let (severity, sentence) = match &it.trouble {
        Some(trouble) => (Severity::Error, trouble.clone()),
        None => (Severity::Warning, format!("it is {} and {}", it.sync, it.health)),
    };
    let command =
        format!("kubectl --context {context} --namespace {NAMESPACE} describe application {}", it.name);
    Some(Finding::new(severity, format!("application {}", it.name), sentence, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_is_synced_and_healthy_is_well() {
        let mut it = Summary {
            name: "ocr-app".into(),
            sync: "Synced".into(),
            health: "Healthy".into(),
            revision: "0.2.0".into(),
            trouble: None,
        };
        assert_eq!(finding(&it, "c"), None);
        it.health = "Degraded".into();
        assert_eq!(finding(&it, "c").unwrap().severity, Severity::Warning);
        it.trouble = Some("it cannot be read".into());
        assert_eq!(finding(&it, "c").unwrap().severity, Severity::Error);
    }
}
