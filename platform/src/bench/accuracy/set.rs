//! Pictures whose text is known.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::Options;
use crate::error::{Doing, Result};
use crate::host::Host;
use crate::process::Cmd;

/// The script, from the project's root.
const SCRIPT: &str = "platform/stack/bench/labelled.py";

#[derive(Debug, Clone, Deserialize)]
pub struct Labelled {
    pub file: String,
    /// Label, letter, receipt, note, columns.
    pub kind: String,
    pub layout: Layout,
    pub text: String,
    #[serde(skip)]
    pub image: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    Block,
    Columns,
}

/// Makes the set of `seed` in `folder`.
pub async fn make(
    host: &Host,
    python: &Path,
    folder: &Path,
    seed: u64,
    options: &Options,
) -> Result<Vec<Labelled>> {
    let cmd = Cmd::new(python)
        .arg(host.root.join(SCRIPT))
        .arg(folder)
        .args(["--seed", &seed.to_string()])
        .args(["--blocks", &options.blocks.to_string(), "--columns", &options.columns.to_string()])
        .deadline(Duration::from_mins(5));
    host.processes.run(&cmd).await?;
    let labels = folder.join("labels.json");
    let doing = || format!("reading {}", labels.display());
    let listed = std::fs::read(&labels).doing(doing())?;
    let mut set: Vec<Labelled> = serde_json::from_slice(&listed).map_err(io::Error::from).doing(doing())?;
    for labelled in &mut set {
        let path = folder.join(&labelled.file);
        labelled.image = std::fs::read(&path).doing(format!("reading {}", path.display()))?.into();
    }
    Ok(set)
}
