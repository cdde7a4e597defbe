//! Keeps cluster addresses on this machine: a Service address that kube-proxy does not handle yet would otherwise go
//! out by the default route.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::{Doing, Error, Result};
use crate::host::{Host, Privilege, write_atomically};
use crate::process::Cmd;

/// Services and pods of a cluster whose nodes are containers here.
const GUARDED: [&str; 2] = ["10.96.0.0/12", "10.244.0.0/16"];

/// Adds an unreachable route for each range of cluster addresses that has none.
pub async fn guard_addresses(host: &Host) -> Result<()> {
    if !cfg!(target_os = "linux") || host.processes.find("ip").is_none() {
        return Ok(());
    }
    let missing: Vec<_> = missing(&unreachable(host).await?).into_iter().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let privilege = host.privilege().await;
    if privilege == Privilege::None {
        host.events.warn(format!(
            "cluster addresses ({}) are not kept from leaving this machine: that takes root",
            missing.join(", ")
        ));
        return Ok(());
    }
    // Recorded first: a route that was set and not recorded would stay for ever.
    record(host, &recorded(host).into_iter().chain(missing.iter().map(ToString::to_string)).collect())?;
    for range in missing {
        host.processes.run(&route(privilege, "add", range)).await?;
    }
    Ok(())
}

/// Removes the routes that were added; tells which. Those that cannot be removed stay recorded, with a warning.
pub async fn lift(host: &Host, dry_run: bool) -> Result<Vec<String>> {
    let ours = recorded(host);
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    if host.processes.find("ip").is_none() {
        warn_of_rest(host, &ours, "the program ip is not on this machine");
        return Ok(Vec::new());
    }
    let there = unreachable(host).await?;
    let ours: BTreeSet<String> = ours.intersection(&there).cloned().collect();
    if !dry_run {
        let privilege = if ours.is_empty() { Privilege::None } else { host.privilege().await };
        if !remove(host, &ours, privilege).await? {
            return Ok(Vec::new());
        }
        record(host, &BTreeSet::new())?;
    }
    Ok(ours.iter().map(|range| format!("unreachable route {range}")).collect())
}

/// Removes these routes; false, with a warning, where this process may not.
async fn remove(host: &Host, ranges: &BTreeSet<String>, privilege: Privilege) -> Result<bool> {
    if privilege == Privilege::None && !ranges.is_empty() {
        warn_of_rest(host, ranges, "removing them takes root");
        return Ok(false);
    }
    for range in ranges {
        host.processes.run(&route(privilege, "del", range)).await?;
    }
    Ok(true)
}

fn warn_of_rest(host: &Host, ranges: &BTreeSet<String>, why: &str) {
    let list: Vec<&str> = ranges.iter().map(String::as_str).collect();
    host.events.warn(format!("unreachable routes that up added stay ({}): {why}", list.join(", ")));
}

fn route(privilege: Privilege, verb: &str, range: &str) -> Cmd {
    let cmd = privilege.wrap("ip").unwrap_or_else(|| Cmd::new("ip"));
    cmd.args(["route", verb, "unreachable", range])
}

/// Ranges that have an unreachable route.
async fn unreachable(host: &Host) -> Result<BTreeSet<String>> {
    let list = Cmd::new("ip").args(["route", "show", "type", "unreachable"]);
    Ok(ranges(&host.processes.run(&list).await?.stdout_text()))
}

/// Reads lines such as `unreachable 10.96.0.0/12` or `unreachable 10.244.0.0/16 metric 1024`.
fn ranges(routes: &str) -> BTreeSet<String> {
    routes
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.contains('/')))
        .map(ToOwned::to_owned)
        .collect()
}

fn missing(there: &BTreeSet<String>) -> Vec<&'static str> {
    GUARDED.into_iter().filter(|range| !there.contains(*range)).collect()
}

fn record_path(host: &Host) -> PathBuf {
    host.cache.join("engine/routes.json")
}

fn recorded(host: &Host) -> BTreeSet<String> {
    std::fs::read(record_path(host))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn record(host: &Host, ranges: &BTreeSet<String>) -> Result<()> {
    let path = record_path(host);
    if ranges.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(format!("removing {}", path.display()))
            }
            _ => Ok(()),
        };
    }
    let bytes = serde_json::to_vec(ranges).map_err(|error| Error::malformed("the record", error, ""))?;
    write_atomically(&path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scripted::{Expect, scripted};

    const LIST: &str = "ip route show type unreachable";

    fn host(cache: &std::path::Path, script: impl IntoIterator<Item = Expect>) -> Host {
        host_with(&["ip"], cache, script)
    }

    fn host_with(
        programs: &[&str],
        cache: &std::path::Path,
        script: impl IntoIterator<Item = Expect>,
    ) -> Host {
        Host { processes: scripted(programs, script), may_install: true, ..Host::bare(cache) }
    }

    #[tokio::test]
    async fn where_both_routes_are_there_nothing_is_changed_and_nothing_recorded() {
        let cache = tempfile::tempdir().unwrap();
        let routes = "unreachable 10.96.0.0/12 \nunreachable 10.244.0.0/16 \n";
        let host = host(cache.path(), [Expect::new(LIST).stdout(routes)]);
        guard_addresses(&host).await.unwrap();
        assert!(!record_path(&host).exists());
    }

    #[tokio::test]
    async fn only_routes_that_were_recorded_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        let routes = "unreachable 10.96.0.0/12 \nunreachable 10.244.0.0/16 \n";
        let host = host(cache.path(), [Expect::new(LIST).stdout(routes)]);
        assert_eq!(lift(&host, true).await.unwrap(), Vec::<String>::new());
        record(&host, &BTreeSet::from(["10.244.0.0/16".to_owned()])).unwrap();
        // A rehearsal tells, and changes nothing.
        assert_eq!(lift(&host, true).await.unwrap(), ["unreachable route 10.244.0.0/16"]);
        assert!(record_path(&host).exists());
    }

    #[tokio::test]
    async fn routes_that_cannot_be_removed_stay_recorded_and_are_no_failure() {
        let cache = tempfile::tempdir().unwrap();
        let ours = BTreeSet::from(["10.244.0.0/16".to_owned()]);
        let without_ip = host_with(&[], cache.path(), []);
        record(&without_ip, &ours).unwrap();
        assert_eq!(lift(&without_ip, false).await.unwrap(), Vec::<String>::new());
        assert!(!remove(&host(cache.path(), []), &ours, Privilege::None).await.unwrap());
        assert_eq!(recorded(&without_ip), ours);
    }

    #[test]
    fn a_route_that_is_there_is_not_added_again() {
        let there = ranges("unreachable 10.96.0.0/12 \nunreachable 10.244.0.0/16 metric 1024 \n");
        assert_eq!(missing(&there), Vec::<&str>::new());
        assert_eq!(missing(&ranges("unreachable 10.96.0.0/12\n")), ["10.244.0.0/16"]);
    }

    #[test]
    fn routes_are_set_with_the_privilege_that_there_is() {
        assert_eq!(
            route(Privilege::Sudo, "add", GUARDED[0]).to_string(),
            "sudo -n ip route add unreachable 10.96.0.0/12"
        );
    }
}
