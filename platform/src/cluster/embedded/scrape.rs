//! Prometheus beside the embedded nodes: what it scrapes, under the labels that pods have in a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::spec::{NodeSpec, Role, RoleSpec, Spec};
use crate::error::{Error, Result};
use crate::host::write_atomically;
use crate::observe::{self, alerts};
use crate::process::Cmd;

/// The namespace that the dashboards look into.
const NAMESPACE: &str = "ocr";
const RULES: &str = "alerts.yaml";

#[derive(Serialize)]
struct Config {
    global: Global,
    /// Beside this file.
    rule_files: [&'static str; 1],
    scrape_configs: Vec<Job>,
}

#[derive(Serialize)]
struct Global {
    scrape_interval: &'static str,
    evaluation_interval: &'static str,
}

#[derive(Serialize)]
struct Job {
    #[serde(rename = "job_name")]
    name: &'static str,
    metrics_path: &'static str,
    static_configs: Vec<Targets>,
}

#[derive(Serialize)]
struct Targets {
    targets: [String; 1],
    labels: BTreeMap<&'static str, String>,
}

/// Where its configuration lies, in the folder of the profile's processes.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("prometheus.yml")
}

/// Writes the configuration and the alerts that it names.
pub(super) fn write(spec: &Spec, dir: &Path) -> Result<()> {
    write_atomically(&dir.join(RULES), alerts::RULES.as_bytes())?;
    write_atomically(&file(dir), config(spec)?.as_bytes())
}

pub(super) fn cmd(program: &Path, port: u16, dir: &Path) -> Cmd {
    Cmd::new(program)
        .arg(format!("--config.file={}", file(dir).display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()))
        .args([
            "--storage.tsdb.retention.time=24h",
            "--storage.tsdb.retention.size=512MB",
            "--log.level=warn",
        ])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
}

/// Roles under the job `ocr`; each node's own numbers as a kubelet gives them, under the job `kubelet`.
pub fn config(spec: &Spec) -> Result<String> {
    let roles = spec.nodes.iter().enumerate().flat_map(|(index, node)| {
        let scraped = node.roles.iter().filter(|role| role.role != Role::Prometheus);
        scraped.map(move |role| role_targets(index, node, role))
    });
    let nodes = |path: &'static str| Job {
        name: if path == "/metrics" { "kubelet" } else { "cadvisor" },
        metrics_path: path,
        static_configs: spec.nodes.iter().map(|node| node_targets(node, path)).collect(),
    };
    let config = Config {
        // A third of a cluster's: whoever looks has just started it.
        global: Global { scrape_interval: "5s", evaluation_interval: "5s" },
        rule_files: [RULES],
        scrape_configs: vec![
            Job { name: observe::JOB, metrics_path: "/metrics", static_configs: roles.collect() },
            nodes("/metrics"),
            nodes("/metrics/cadvisor"),
        ],
    };
    serde_yaml::to_string(&config).map_err(|error| Error::malformed("Prometheus' configuration", error, ""))
}

fn role_targets(index: usize, node: &NodeSpec, role: &RoleSpec) -> Targets {
    let labels = BTreeMap::from([
        ("namespace", NAMESPACE.to_owned()),
        ("node", node.name.clone()),
        ("pod", role.pod(index)),
        ("role", role.role.name().to_owned()),
    ]);
    Targets { targets: [format!("127.0.0.1:{}", role.port)], labels }
}

fn node_targets(node: &NodeSpec, path: &str) -> Targets {
    // Both are a kubelet's, as Prometheus' operator names them.
    let labels = BTreeMap::from([
        ("job", "kubelet".to_owned()),
        ("metrics_path", path.to_owned()),
        ("node", node.name.clone()),
    ]);
    Targets { targets: [format!("127.0.0.1:{}", node.metrics_port)], labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config as Settings, NodeCount};

    #[test]
    fn every_role_and_every_node_is_scraped() {
        let mut settings = Settings::default();
        settings.cluster.nodes = NodeCount::try_from(1).unwrap();
        let spec =
            Spec::new(&settings, "/bin/ocr-service".into(), Some("/bin/prometheus".into()), Path::new("/p"));
        insta::assert_snapshot!(config(&spec).unwrap());
    }
}
