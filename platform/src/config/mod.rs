//! `platen.toml`: every key has a default, an unknown key is refused with the nearest one that exists.

mod doors;
mod gitops;
mod minikube;
mod names;

use std::net::SocketAddrV4;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Doing, Error, Result};
pub use gitops::{ChartSource, GitopsConfig};
pub use minikube::MinikubeConfig;
pub use names::{NodeCount, ProfileName};

pub const FILE: &str = "platen.toml";
/// The file with every key, its default and what it is for.
pub const DEFAULT_FILE: &str = include_str!("default.toml");

/// The whole file. Flags of the command override it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub cluster: ClusterConfig,
    pub components: ComponentsConfig,
    pub gitops: GitopsConfig,
    pub images: ImagesConfig,
    pub minikube: MinikubeConfig,
    pub ports: PortsConfig,
    pub chaos: ChaosConfig,
}

/// The cluster that `up` makes or uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    pub provider: ProviderChoice,
    /// The name of the cluster; several can live side by side on free ports.
    pub profile: ProfileName,
    pub nodes: NodeCount,
    /// The kubeconfig context of an existing cluster.
    pub context: Option<String>,
    /// Where the gateway of an existing cluster answers on this machine, for example a forward.
    pub gateway: Option<SocketAddrV4>,
    /// Memory of each node in MiB; without it a node of kind may use all of the machine's, and one of minikube gets a share.
    pub memory_mib: Option<u32>,
    /// Processors of each node; without it a node of kind may use all of the machine's, and one of minikube gets 2.
    pub cpus: Option<u32>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            provider: ProviderChoice::Auto,
            profile: ProfileName::default(),
            nodes: NodeCount::default(),
            context: None,
            gateway: None,
            memory_mib: None,
            cpus: None,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderChoice {
    /// What `up` made before; else, where Docker answers, minikube if it can be had, else kind; else embedded.
    #[default]
    Auto,
    /// Supervised processes on this machine; no Kubernetes.
    Embedded,
    Kind,
    Minikube,
    /// A cluster that somebody else runs, by its kubeconfig context.
    Existing,
}

impl ProviderChoice {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Embedded => "embedded",
            Self::Kind => "kind",
            Self::Minikube => "minikube",
            Self::Existing => "existing",
        }
    }
}

/// What a Kubernetes cluster gets beside the gateway, the models and the OCR backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComponentsConfig {
    /// The page, and the translation behind it.
    pub page: bool,
    /// The experiments; without a word, where `up` itself gives the nodes a folder in common.
    pub experiments: Option<bool>,
    /// Argo CD; without a word, on a cluster that `up` itself makes.
    pub argocd: Option<bool>,
    /// Prometheus with its operator; without a word, on a cluster that `up` itself makes.
    pub monitoring: Option<bool>,
}

impl Default for ComponentsConfig {
    fn default() -> Self {
        Self { page: true, experiments: None, argocd: None, monitoring: None }
    }
}

/// Where images come from and go to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesConfig {
    pub source: ImageSource,
    /// The registry that an existing cluster pulls from, as `host[:port]/path`.
    pub registry: Option<String>,
    /// Registries that speak plain HTTP, as `host[:port]`; those on loopback always may.
    pub insecure: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageSource {
    /// Pull where the upstream registries answer, else build from source.
    #[default]
    Auto,
    Pull,
    Source,
    /// As from source, and nothing is fetched for it: all of it must lie in the mirror.
    Mirror,
}

/// Defaults of `cargo xtask chaos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChaosConfig {
    /// How much of what the platform can do is asked of it where no rate is named; at least 1.
    #[serde(deserialize_with = "above_zero")]
    pub load_percent: u32,
    /// A run is ended at once when more of the latest requests fail; 1 to 100.
    #[serde(deserialize_with = "share")]
    pub abort_percent: u32,
    /// Requests that may fail for good.
    pub max_errors: u64,
}

impl Default for ChaosConfig {
    fn default() -> Self {
        Self { load_percent: 60, abort_percent: 60, max_errors: 0 }
    }
}

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let percent = u32::deserialize(deserializer)?;
    if percent == 0 { Err(D::Error::custom("0 percent: write at least 1")) } else { Ok(percent) }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let percent = above_zero(deserializer)?;
    if percent > 100 {
        Err(D::Error::custom(format!("{percent} percent: write at most 100")))
    } else {
        Ok(percent)
    }
}

/// Ports on the host, all on loopback. On node n (from 0) each is `n * stride` higher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortsConfig {
    pub gateway: u16,
    pub model: u16,
    pub ocr_server: u16,
    pub translate: u16,
    pub frontend: u16,
    pub experiments: u16,
    /// NodePorts of the cluster as they are published on the host: gateway, frontend, experiments.
    pub node_ports: [u16; 3],
    pub stride: u16,
    pub registry: u16,
    /// Of the embedded provider, on the first node.
    pub prometheus: u16,
    /// What each embedded node tells Prometheus of its processes.
    pub node_metrics: u16,
}

impl Default for PortsConfig {
    fn default() -> Self {
        Self {
            gateway: 8001,
            model: 8080,
            ocr_server: 5001,
            translate: 8002,
            frontend: 8000,
            experiments: 5002,
            node_ports: [30001, 30080, 31112],
            stride: 100,
            registry: 5000,
            prometheus: 9090,
            node_metrics: 9101,
        }
    }
}

impl PortsConfig {
    /// The port of node `node` (from 0) for what has `base` on the first one.
    pub fn on_node(&self, base: u16, node: u16) -> u16 {
        base.saturating_add(node.saturating_mul(self.stride))
    }

    /// The local registry as programs of this machine reach it.
    pub fn local_registry(&self) -> String {
        format!("127.0.0.1:{}", self.registry)
    }

    /// Whether every port of every node is a port, and no two are the same.
    pub fn check(&self, nodes: NodeCount) -> Result<()> {
        let [gateway_entry, frontend_entry, experiments_entry] = self.node_ports;
        let bases = [
            ("gateway", self.gateway),
            ("model", self.model),
            ("ocr_server", self.ocr_server),
            ("translate", self.translate),
            ("frontend", self.frontend),
            ("experiments", self.experiments),
            ("prometheus", self.prometheus),
            ("node_metrics", self.node_metrics),
            ("node_ports[0]", gateway_entry),
            ("node_ports[1]", frontend_entry),
            ("node_ports[2]", experiments_entry),
        ];
        let mut taken = std::collections::BTreeMap::from([(u32::from(self.registry), "registry".to_owned())]);
        for node in 0..u32::from(nodes.get()) {
            for (key, base) in bases {
                let port = u32::from(base) + node * u32::from(self.stride);
                let name = format!("{key} of node {}", node + 1);
                if base == 0 || port > u32::from(u16::MAX) {
                    let what = format!("[ports]: {name} would be {port}, which is no port");
                    return Err(Error::usage(what, "use 1 to 65535, and leave room for a stride per node"));
                }
                if let Some(other) = taken.insert(port, name.clone()) {
                    let what = format!("[ports]: {name} and {other} would both be {port}");
                    return Err(Error::usage(what, "set them apart, or set another stride"));
                }
            }
        }
        Ok(())
    }
}

impl Config {
    /// Reads the named file, which must be there; else `platen.toml` in `root`, or the default without one.
    pub fn load(root: &Path, named: Option<&Path>) -> Result<Self> {
        let path = named.map_or_else(|| root.join(FILE), Path::to_owned);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse_named(&text, &path.display().to_string()),
            Err(error) if named.is_some() => {
                let what = format!("{} cannot be read: {error}", path.display());
                Err(Error::usage(what, "name a file that is there: --config FILE"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).doing(format!("reading {}", path.display())),
        }
    }

    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_named(text, FILE)
    }

    fn parse_named(text: &str, file: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let what = format!("{file}: {}", error.to_string().trim_end());
            Error::usage(what, suggestion(error.message(), file))
        })
    }
}

/// For "unknown field `nods`, expected one of `nodes`, …": the nearest of the expected ones.
fn suggestion(message: &str, file: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let nearest = quoted
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match nearest {
        Some((_, known)) if message.starts_with("unknown") => format!("did you mean `{known}`?"),
        _ => format!("correct {file}; a key that is left out has its default"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = Config::parse("[cluster]\nnods = 3\n").unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("nods"), "{error}");
        assert_eq!(error.hint().unwrap(), "did you mean `nodes`?");
    }

    #[test]
    fn zero_nodes_are_refused() {
        let error = Config::parse("[cluster]\nnodes = 0\n").unwrap_err();
        assert!(error.to_string().contains("at least 1 node"), "{error}");
    }

    #[test]
    fn shares_that_are_none_are_refused_where_they_stand() {
        for wrong in ["load_percent = 0", "abort_percent = 0", "abort_percent = 101"] {
            let error = Config::parse(&format!("[chaos]\n{wrong}\n")).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            assert!(error.to_string().contains(wrong), "{error}");
        }
        assert_eq!(Config::parse("[chaos]\nload_percent = 120\n").unwrap().chaos.abort_percent, 60);
    }

    #[test]
    fn a_bad_profile_name_is_refused() {
        let error = Config::parse("[cluster]\nprofile = \"../x\"\n").unwrap_err();
        assert!(error.to_string().contains("profile name"), "{error}");
    }

    #[test]
    fn ports_that_meet_or_leave_the_range_are_refused_by_name() {
        let refused = |ports: PortsConfig| ports.check(NodeCount::default()).unwrap_err().to_string();
        assert!(PortsConfig::default().check(NodeCount::try_from(9).unwrap()).is_ok());
        assert!(refused(PortsConfig { gateway: 0, ..Default::default() }).contains("gateway of node 1"));
        assert!(refused(PortsConfig { gateway: 65500, ..Default::default() }).contains("65600"));
        let meeting = refused(PortsConfig { gateway: 8080, ..Default::default() });
        assert!(meeting.contains("model of node 1 and gateway of node 1"), "{meeting}");
    }

    /// The keys that the file knows, or those of one of its tables: what is unknown is refused with all of them.
    fn known(table: Option<&str>) -> Vec<String> {
        let head = table.map(|table| format!("[{table}]\n")).unwrap_or_default();
        let refused = toml::from_str::<Config>(&format!("{head}no-such-key = 1\n")).unwrap_err();
        let keys: Vec<String> =
            refused.message().split('`').skip(3).step_by(2).map(ToOwned::to_owned).collect();
        assert!(!keys.is_empty(), "{refused}");
        keys
    }

    #[test]
    fn the_commented_file_is_the_default_and_has_every_key() {
        assert_eq!(Config::parse(DEFAULT_FILE).unwrap(), Config::default());
        let is_key = |line: &&str| {
            line.strip_prefix('#').is_some_and(|it| it.starts_with(|c: char| c.is_ascii_lowercase()))
        };
        let whole: Vec<&str> =
            DEFAULT_FILE.lines().map(|line| if is_key(&line) { &line[1..] } else { line }).collect();
        let whole = whole.join("\n");
        Config::parse(&whole).unwrap();
        let whole: toml::Table = whole.parse().unwrap();
        for table in known(None) {
            let keys = whole.get(&table).and_then(toml::Value::as_table);
            let keys = keys.unwrap_or_else(|| panic!("default.toml has no [{table}]"));
            for key in known(Some(&table)) {
                assert!(keys.contains_key(&key), "default.toml has no {key} under [{table}]");
            }
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let config = Config::default();
        assert_eq!(Config::parse(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
}
