//! What `up` made in a profile, so that the next run, `status` and `down` know.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::choose::Choice;
use crate::config::{NodeCount, PortsConfig, ProfileName};
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::lock;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpRecord {
    pub choice: Choice,
    pub nodes: NodeCount,
    pub ports: PortsConfig,
}

impl UpRecord {
    /// The host as this profile was made: what `status`, `demo` and `down` must look at.
    pub fn host(&self, host: &Host) -> Host {
        let mut host = host.clone();
        host.config.cluster.nodes = self.nodes;
        host.config.ports = self.ports.clone();
        host
    }

    /// The host for another `up`: what was made stays as it is where nothing else is asked for.
    pub(super) fn settle(&self, host: &Host, nodes: Option<NodeCount>) -> Host {
        let mut host = host.clone();
        let config = &mut host.config;
        if nodes.is_none() && config.cluster.nodes == NodeCount::default() {
            config.cluster.nodes = self.nodes;
        }
        if config.ports == PortsConfig::default() {
            config.ports = self.ports.clone();
        }
        host
    }
}

fn path(host: &Host, profile: &ProfileName) -> PathBuf {
    host.profile_dir(profile).join("record.json")
}

pub fn read_record(host: &Host, profile: &ProfileName) -> Result<Option<UpRecord>> {
    let path = path(host, profile);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::malformed(path.display().to_string(), error, format!("remove it: rm {}", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(format!("reading {}", path.display())),
    }
}

/// The kubeconfig contexts that profiles of this checkout use, each with its profile.
pub fn contexts(host: &Host) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(host.state_dir()) else { return Ok(found) };
    for entry in entries.flatten() {
        let Some(profile) = entry.file_name().to_str().and_then(|name| name.parse::<ProfileName>().ok())
        else {
            continue;
        };
        if let Some(record) = read_record(host, &profile)? {
            let context = record.choice.target.context(&profile);
            found.extend(context.map(|context| (context, profile.to_string())));
        }
    }
    Ok(found)
}

pub(super) fn write_record(host: &Host, choice: &Choice) -> Result<()> {
    let record = UpRecord {
        choice: choice.clone(),
        nodes: host.config.cluster.nodes,
        ports: host.config.ports.clone(),
    };
    let bytes =
        serde_json::to_vec_pretty(&record).map_err(|error| Error::malformed("the record", error, ""))?;
    write_atomically(&path(host, &host.config.cluster.profile), &bytes)
}

/// One change of a profile at a time, and none while chaos breaks it. Outside of the profile's folder, which `down` removes.
pub(crate) fn lock_profile(host: &Host) -> Result<std::fs::File> {
    let profile = &host.config.cluster.profile;
    let held = lock::attempt(&host.state_dir().join("locks").join(format!("{profile}.lock")))?;
    held.ok_or_else(|| {
        Error::machine(
            format!("another command is at the profile {profile} (up, down, deploy or chaos)"),
            "wait for its end, or interrupt it there; chaos undoes its fault at Ctrl-C",
        )
    })
}

/// Removes the profile's folder: nothing of it is left.
pub fn forget_record(host: &Host, profile: &ProfileName) -> Result<()> {
    let dir = host.profile_dir(profile);
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}
