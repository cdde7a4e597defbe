//! Where Docker may answer: what the user chose, else the usual sockets.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// One place to ask, as `DOCKER_HOST` would name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub chosen: Chosen,
}

/// Who says that Docker is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// The variable `DOCKER_HOST`.
    ByVariable,
    /// The current context of the docker command line.
    ByContext(String),
    /// Nobody: it is one of the places where Docker usually is.
    Usual,
}

impl Endpoint {
    fn usual(socket: &Path) -> Self {
        Self { host: format!("unix://{}", socket.display()), chosen: Chosen::Usual }
    }

    /// The socket's file, where it is one.
    pub fn socket(&self) -> Option<&Path> {
        self.host.strip_prefix("unix://").map(Path::new)
    }

    /// Whether the engine runs on this machine itself, not in a virtual machine or elsewhere.
    pub fn is_local(&self) -> bool {
        cfg!(target_os = "linux") && self.socket().is_some_and(|socket| !is_desktop(socket))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.chosen {
            Chosen::ByVariable => write!(f, "{} (DOCKER_HOST)", self.host),
            Chosen::ByContext(name) => write!(f, "{} (docker context {name})", self.host),
            Chosen::Usual => f.write_str(&self.host),
        }
    }
}

fn is_desktop(socket: &Path) -> bool {
    socket.parent().is_some_and(|dir| dir.ends_with(".docker/desktop") || dir.ends_with(".docker/run"))
}

/// Places to ask, in order. What the user chose is the only one: another engine would be the wrong one.
pub fn candidates(var: impl Fn(&str) -> Option<String>) -> Vec<Endpoint> {
    if let Some(host) = var("DOCKER_HOST").filter(|host| !host.is_empty()) {
        return vec![Endpoint { host, chosen: Chosen::ByVariable }];
    }
    let home = var("HOME").map(PathBuf::from);
    let config = var("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(home.clone()?.join(".docker")));
    if let Some(endpoint) = config.and_then(|config| current_context(&config, var("DOCKER_CONTEXT"))) {
        return vec![endpoint];
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    sockets.extend(var("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("docker.sock")));
    if let Some(home) = home {
        sockets.push(home.join(".docker/run/docker.sock"));
        sockets.push(home.join(".docker/desktop/docker.sock"));
    }
    sockets.iter().map(|socket| Endpoint::usual(socket)).collect()
}

/// The context that the docker command line would use, unless it is the default one.
fn current_context(config: &Path, by_variable: Option<String>) -> Option<Endpoint> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "currentContext")]
        current_context: Option<String>,
    }
    let read = || -> Option<String> {
        let text = std::fs::read_to_string(config.join("config.json")).ok()?;
        serde_json::from_str::<Config>(&text).ok()?.current_context
    };
    let name = by_variable.or_else(read).filter(|name| !name.is_empty() && name != "default")?;
    // The command line keeps each context's description in a folder named by the digest of its name.
    let folder = config.join("contexts/meta").join(hex::encode(Sha256::digest(&name)));
    let meta = std::fs::read_to_string(folder.join("meta.json")).ok()?;
    let meta: serde_json::Value = serde_json::from_str(&meta).ok()?;
    let host = meta.pointer("/Endpoints/docker/Host")?.as_str()?.to_owned();
    Some(Endpoint { host, chosen: Chosen::ByContext(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(vars: &[(&str, &str)]) -> Vec<String> {
        let var = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        candidates(var).into_iter().map(|endpoint| endpoint.host).collect()
    }

    #[test]
    fn the_variable_is_the_only_place_asked() {
        assert_eq!(hosts(&[("DOCKER_HOST", "tcp://10.0.0.1:2375"), ("HOME", "/h")]), ["tcp://10.0.0.1:2375"]);
    }

    #[test]
    fn without_a_choice_the_system_rootless_and_desktop_sockets_are_asked() {
        let asked = hosts(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1000")]);
        assert_eq!(
            asked,
            [
                "unix:///var/run/docker.sock",
                "unix:///run/user/1000/docker.sock",
                "unix:///h/.docker/run/docker.sock",
                "unix:///h/.docker/desktop/docker.sock",
            ]
        );
    }

    #[test]
    fn the_current_docker_context_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let name = "colima";
        let folder = dir.path().join("contexts/meta").join(hex::encode(Sha256::digest(name)));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(dir.path().join("config.json"), r#"{"currentContext":"colima"}"#).unwrap();
        let meta = r#"{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///c/docker.sock"}}}"#;
        std::fs::write(folder.join("meta.json"), meta).unwrap();
        let config = dir.path().display().to_string();
        assert_eq!(hosts(&[("DOCKER_CONFIG", &config)]), ["unix:///c/docker.sock"]);
        let default = hosts(&[("DOCKER_CONFIG", &config), ("DOCKER_CONTEXT", "default")]);
        assert_eq!(default[0], "unix:///var/run/docker.sock");
    }

    #[test]
    fn an_engine_in_a_virtual_machine_is_not_local() {
        assert!(!Endpoint::usual(Path::new("/h/.docker/desktop/docker.sock")).is_local());
        assert_eq!(Endpoint::usual(Path::new("/var/run/docker.sock")).is_local(), cfg!(target_os = "linux"));
    }
}
