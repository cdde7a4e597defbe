//! One file for each command: its arguments, and the wiring to the library.

pub mod bench;
pub mod build;
pub mod chaos;
pub mod completions;
pub mod config;
pub mod context;
pub mod dashboards;
pub mod demo;
pub mod deploy;
pub mod doctor;
pub mod down;
pub mod internal;
pub mod load;
pub mod login;
pub mod man;
pub mod mirror;
pub mod render;
pub mod serve;
pub mod status;
pub mod test;
pub mod up;

use std::path::PathBuf;

use platform::config::Config;
use platform::event::Events;
use platform::host::Host;
use platform::{Error, Result};

use crate::cli::GlobalArgs;

/// The project's root: the nearest folder upwards that holds this workspace.
fn project_root() -> Result<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Error::machine(format!("the current folder cannot be read: {error}"), ""))?;
    here.ancestors()
        .find(|dir| dir.join("ocr-service/Cargo.toml").is_file() && dir.join("platform/Cargo.toml").is_file())
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::usage("this is not inside a checkout of Platen", "change into the checkout"))
}

/// The machine and the configuration, with the flags that every command has laid over the file.
fn host(global: &GlobalArgs, events: Events) -> Result<Host> {
    let root = project_root()?;
    let mut config = Config::load(&root, global.config.as_deref())?;
    if let Some(profile) = &global.profile {
        config.cluster.profile = profile.clone();
    }
    let mut host = Host::new(root, config, events)?;
    host.may_install = !global.no_install;
    Ok(host)
}
