//! What the cluster's own settings say of the times to come.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use crate::chaos::predict::{ClusterTimings, Timings};
use crate::chaos::report::Setting;
use crate::chaos::survey::{DEFAULT_TOLERATION, Patience, PodFacts, Survey};
use crate::chaos::timeline::Clock;
use crate::chaos::victim::Victim;
use crate::error::{Doing, Result, if_allowed};
use crate::load;

/// What kube-controller-manager documents for itself since Kubernetes 1.32.
const GRACE: f64 = 50.0;
const MONITOR: f64 = 5.0;
/// What kubelet documents for itself.
const LEASE: f64 = 40.0;
const NAMESPACE: &str = "kube-node-lease";

pub async fn read(
    client: &kube::Client,
    survey: &Survey,
    victim: &Victim,
    clock: Clock,
) -> Result<(Timings, Vec<Setting>)> {
    let flags = flags(client).await?;
    let mut settings = Vec::new();
    let grace = flag(&flags, "node-monitor-grace-period", GRACE, &mut settings);
    let monitor = flag(&flags, "node-monitor-period", MONITOR, &mut settings);
    let lease = if_allowed(lease(client, &victim.node).await)?.flatten();
    let duration = lease.as_ref().and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds);
    settings.push(Setting {
        name: "leaseDurationSeconds".into(),
        value: format!("{} s", duration.map_or(LEASE, f64::from)),
        source: match duration {
            Some(_) => format!("Lease {NAMESPACE}/{}", victim.node),
            None => "not seen: kubelet's documented default".into(),
        },
        is_default: duration.is_none(),
    });
    let renewed = lease.as_ref().and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref());
    let hit: Vec<&PodFacts> = victim.takes(survey).collect();
    let cluster = ClusterTimings {
        grace,
        monitor,
        lease: duration.map_or(LEASE, f64::from),
        renewed: renewed.map_or_else(|| clock.now(), |renewed| clock.of(renewed.0)),
        replaces: !hit.is_empty(),
        is_watched: !survey.is_only_control_plane(&victim.node),
    };
    settings.extend(hit.iter().map(|pod| toleration(pod)));
    let patience: Vec<Patience> = hit.iter().map(|pod| pod.patience).collect();
    let most = |of: fn(&Patience) -> u64| seconds(patience.iter().map(of).max().unwrap_or_default());
    let timings = Timings {
        cluster: Some(cluster),
        restart_pause: 0.0,
        toleration: most(|patience| patience.toleration.unwrap_or(DEFAULT_TOLERATION.into())),
        startup_period: most(|patience| patience.startup_period),
        readiness_period: most(|patience| patience.readiness_period),
        unready: patience.first().map_or((0.0, 0.0), unready),
        door: None,
        between: 0.0,
    };
    Ok((timings, settings))
}

/// From when it stops answering until the probe has failed often enough and the endpoints have heard of it.
fn unready(patience: &Patience) -> (f64, f64) {
    let (period, timeout) = (seconds(patience.readiness_period), seconds(patience.readiness_timeout));
    let more = seconds(patience.readiness_failures.saturating_sub(1)) * period.max(timeout);
    (more + timeout, period + more + timeout + 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a probe")]
fn seconds(whole: u64) -> f64 {
    whole as f64
}

fn toleration(pod: &PodFacts) -> Setting {
    let value = match pod.patience.toleration {
        Some(toleration) => format!("{toleration} s"),
        None => "for ever".into(),
    };
    Setting {
        name: "tolerationSeconds of unreachable".into(),
        value,
        source: format!("pod {}", pod.full_name()),
        is_default: pod.patience.toleration == Some(DEFAULT_TOLERATION.into()),
    }
}

pub async fn lease(client: &kube::Client, node: &str) -> Result<Option<Lease>> {
    let api = Api::<Lease>::namespaced(client.clone(), NAMESPACE);
    api.get_opt(node).await.doing(format!("reading the lease of {node}"))
}

/// The arguments of kube-controller-manager, where it is a pod that this account may see.
async fn flags(client: &kube::Client) -> Result<Vec<String>> {
    let of_it = ListParams::default().labels("component=kube-controller-manager");
    let pods = Api::<Pod>::namespaced(client.clone(), "kube-system").list(&of_it).await;
    let pods = if_allowed(pods.doing("reading the flags of kube-controller-manager"))?;
    let pods = pods.into_iter().flat_map(|pods| pods.items);
    let containers = pods.filter_map(|pod| pod.spec).flat_map(|spec| spec.containers);
    Ok(containers
        .flat_map(|it| it.command.into_iter().flatten().chain(it.args.into_iter().flatten()))
        .collect())
}

/// `--NAME=40s`; without it, what is documented.
fn flag(flags: &[String], name: &str, documented: f64, settings: &mut Vec<Setting>) -> f64 {
    let given = flags.iter().find_map(|flag| flag.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('='));
    let parsed = given.and_then(|text| load::duration(text).ok()).map(|duration| duration.as_secs_f64());
    let value = parsed.unwrap_or(documented);
    settings.push(Setting {
        name: format!("--{name}"),
        value: format!("{value:.0} s"),
        source: match parsed {
            Some(_) => "the arguments of kube-controller-manager".into(),
            None => "not seen: the documented default since Kubernetes 1.32".into(),
        },
        is_default: parsed.is_none(),
    });
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_is_set_counts_and_one_that_is_not_is_told_to_be_a_default() {
        let flags = ["kube-controller-manager", "--node-monitor-grace-period=20s"].map(String::from);
        let mut settings = Vec::new();
        let grace = flag(&flags, "node-monitor-grace-period", GRACE, &mut settings);
        let monitor = flag(&flags, "node-monitor-period", MONITOR, &mut settings);
        assert!((grace - 20.0).abs() < 1e-9 && (monitor - 5.0).abs() < 1e-9);
        assert_eq!((settings[0].is_default, settings[0].value.as_str()), (false, "20 s"));
        assert!(settings[1].is_default && settings[1].source.contains("documented default"));
    }

    #[test]
    fn a_probe_that_times_out_twice_takes_four_to_seven_seconds() {
        let patience = Patience {
            readiness_period: 2,
            readiness_timeout: 2,
            readiness_failures: 2,
            ..Patience::default()
        };
        assert_eq!(unready(&patience), (4.0, 7.0));
    }
}
