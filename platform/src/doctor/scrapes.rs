//! What Prometheus scrapes: a target that is down is an empty panel, though its pod may serve.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::cluster::ClusterState;
use crate::cluster::embedded::Embedded;
use crate::diagnose;
use crate::error::{Doing, Result};
use crate::observe::prometheus::ScrapeTarget;
use crate::observe::{JOB, Prometheus};
use crate::up::{self, Target};

/// Prometheus may be starting; within the time that a check has.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);
/// Within so long its operator has told it of the service.
const TOLD_WITHIN: Duration = Duration::from_mins(2);

pub async fn check(world: &World) -> Result<Verdict> {
    let Some(made) = &world.made else {
        return Ok(Verdict::Skipped("nothing runs under this profile".into()));
    };
    if made.context(&world.host.config.cluster.profile).is_some()
        && let Err(verdict) = world.cluster()
    {
        return Ok(verdict);
    }
    let is_embedded = *made == Target::Embedded;
    if is_embedded && !matches!(Embedded::new(&world.host)?.observe(None).await, ClusterState::Running { .. })
    {
        return Ok(Verdict::Skipped("the embedded nodes do not run".into()));
    }
    let provider = up::provider(&world.host, made)?;
    let Ok(found) = tokio::time::timeout(ANSWERS_WITHIN, provider.prometheus()).await else {
        return Ok(Verdict::Unknown("Prometheus is there, and does not get ready".into()));
    };
    let Some(address) = found? else {
        return Ok(Verdict::Skipped("there is no Prometheus here".into()));
    };
    let targets = Prometheus::new(&address)?.targets().await?;
    let all_ours = is_embedded || world.owns_the_cluster();
    let is_new = match world.cluster() {
        Ok((client, _)) => all_ours && is_new(client).await?,
        Err(_) => false,
    };
    // What else somebody's own Prometheus scrapes, and whether it is to scrape the service, is for them.
    let targets = targets.into_iter().filter(|target| all_ours || target.job() == JOB).collect();
    Ok(judge(targets, all_ours && !is_new))
}

/// Whether the service was installed so lately that Prometheus may not have been told of it.
async fn is_new(client: &kube::Client) -> Result<bool> {
    let [namespace, _] = up::NAMESPACES;
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&diagnose::ours()).await;
    Ok(all_young(pods.doing("listing the service's pods")?.items, Timestamp::now()))
}

/// One pod that is older has been there all the while: the others replaced what Prometheus knows.
fn all_young(pods: Vec<Pod>, now: Timestamp) -> bool {
    let made = pods.into_iter().filter_map(|pod| pod.metadata.creation_timestamp);
    made.map(|made| made.0).min().is_some_and(|first| now < first + TOLD_WITHIN)
}

/// Of one node that died many targets are down at once: it is one finding, with the first of them.
const NAMED: usize = 3;

fn judge(targets: Vec<ScrapeTarget>, must_serve: bool) -> Verdict {
    let (count, ours) = (targets.len(), targets.iter().filter(|target| target.job() == JOB).count());
    let finding =
        |sentence: String, command: &str| Finding::new(Severity::Warning, "Prometheus", sentence, command);
    let mut down: Vec<ScrapeTarget> = targets.into_iter().filter(ScrapeTarget::is_down).collect();
    down.sort_by_key(|target| target.job() != JOB);
    let mut findings = Vec::new();
    if !down.is_empty() {
        let named = down.iter().take(NAMED).map(|target| format!("{} ({})", target.name(), target.why()));
        let named = named.collect::<Vec<_>>().join("; ");
        let more = match down.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let sentence =
            format!("it gets no metrics from {} of its {count} targets: {named}{more}", down.len());
        findings.push(finding(sentence, "cargo xtask status"));
    }
    if ours == 0 && must_serve {
        let sentence = "it scrapes nothing of the service: the panels of its dashboards stay empty";
        findings.push(finding(sentence.into(), "cargo xtask dashboards verify"));
    }
    Verdict::of(findings, format!("{count} targets, {ours} of them the service's"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(job: &str, pod: &str, health: &str) -> ScrapeTarget {
        serde_json::from_value(json!({
            "labels": {"job": job, "pod": pod, "instance": "10.244.1.7:8080"},
            "scrapeUrl": "http://10.244.1.7:8080/metrics",
            "health": health,
            "lastError": if health == "down" { "connection refused" } else { "" },
        }))
        .unwrap()
    }

    #[test]
    fn a_target_that_is_down_is_told_with_its_error_and_one_not_asked_yet_is_not() {
        let all = ["up", "unknown"].map(|health| target("ocr", "model-server-1", health));
        assert!(
            matches!(judge(all.into(), true), Verdict::Passed(detail) if detail == "2 targets, 2 of them the service's")
        );
        let mut down: Vec<_> =
            (1..=4).map(|number| target("ocr", &format!("model-{number}"), "down")).collect();
        down[1] = target("kubelet", "", "down");
        let Verdict::Found(found) = judge(down, true) else { panic!("found") };
        assert_eq!(
            found[0].sentence,
            "it gets no metrics from 4 of its 4 targets: ocr, pod model-1 (connection refused); ocr, pod \
             model-3 (connection refused); ocr, pod model-4 (connection refused); and 1 more"
        );
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_prometheus_that_does_not_know_the_service_is_told() {
        let Verdict::Found(found) = judge(vec![target("kubelet", "", "up")], true) else { panic!("found") };
        assert_eq!((found[0].command.as_str(), found.len()), ("cargo xtask dashboards verify", 1));
        assert!(matches!(judge(Vec::new(), false), Verdict::Passed(_)), "somebody else's Prometheus");
    }

    #[test]
    fn a_service_is_new_for_two_minutes() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let pod = |made: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"creationTimestamp": made}})).unwrap()
        };
        let (young, old) = (|| pod("2026-11-22T11:58:01Z"), || pod("2026-11-22T11:58:00Z"));
        assert!(all_young(vec![young(), young()], now));
        assert!(!all_young(vec![young(), old()], now), "a pod was replaced");
        assert!(!all_young(Vec::new(), now), "nothing is there, and that is told");
    }
}
