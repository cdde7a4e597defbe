//! Shell scripts.

use std::io::Read;
use std::path::PathBuf;

use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::Cmd;
use crate::tools;

const NOT_OURS: [&str; 4] = ["target", ".git", ".platen", "node_modules"];
/// As much of a file as is looked at, in bytes.
const FIRST_LINE: u64 = 100;

pub async fn shellcheck(host: &Host) -> Result<String> {
    let scripts = scripts(host)?;
    tools::ensure_packages(host, &["shellcheck"], "checking the scripts").await?;
    let cmd = Cmd::new("shellcheck").args(["--norc", "--severity", "style"]).args(&scripts).cwd(&host.root);
    let output = host.processes.output(&cmd).await?;
    if output.code == 0 {
        return Ok(format!("{} scripts", scripts.len()));
    }
    Err(Error::unhealthy(
        output.stdout_text(),
        "correct what is named; each code has its page at shellcheck.net",
    ))
}

/// Every file of the project whose first line names a shell, relative to the root.
fn scripts(host: &Host) -> Result<Vec<PathBuf>> {
    let ours = |entry: &walkdir::DirEntry| !NOT_OURS.iter().any(|name| entry.file_name() == *name);
    let walk = walkdir::WalkDir::new(&host.root).sort_by_file_name().into_iter().filter_entry(ours).flatten();
    let mut found = Vec::new();
    for entry in walk.filter(|entry| entry.file_type().is_file()) {
        let doing = || format!("reading {}", entry.path().display());
        let mut start = Vec::new();
        let file = std::fs::File::open(entry.path()).doing(doing())?;
        file.take(FIRST_LINE).read_to_end(&mut start).doing(doing())?;
        if names_a_shell(&start) {
            found.push(entry.path().strip_prefix(&host.root).unwrap_or(entry.path()).to_owned());
        }
    }
    Ok(found)
}

fn names_a_shell(start: &[u8]) -> bool {
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let Some(program) = first.strip_prefix("#!") else { return false };
    // `#!/usr/bin/env bash` and `#!/bin/sh -e` alike.
    program.split([' ', '/']).any(|word| ["sh", "bash", "dash"].contains(&word.trim()))
}
