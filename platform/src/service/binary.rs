//! The service's binary for this machine, built by Cargo and kept by the hash of its sources.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::embedded::supervisor::{Layout, read_spec};
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::{Cmd, Line};

/// What the service needs on a Debian machine to be built and run outside of its image.
pub const PACKAGES: [&str; 7] = [
    "libtesseract-dev",
    "libleptonica-dev",
    "libclang-dev",
    "clang",
    "pkg-config",
    "tesseract-ocr-eng",
    "tesseract-ocr-kor",
];

/// Where the binary of these sources is kept: a copy, so that a later build does not change what runs.
pub fn binary_path(host: &Host, inputs: &str) -> PathBuf {
    host.state_dir().join("bin").join(format!("ocr-service-{inputs}"))
}

/// Builds the binary and keeps it at [`binary_path`].
pub async fn build_binary(host: &Host, inputs: &str, step: &Step) -> Result<PathBuf> {
    // Chosen together with xtask, so that features are those of both: what was compiled for this command is then
    // taken for the service too. Built is the service alone.
    let wanted = ["--package", "ocr-service", "--package", "xtask", "--bin", "ocr-service"];
    let messages = cargo_build(host, &wanted, step).await?;
    let built = executable(&messages, "ocr-service")?;
    let target = binary_path(host, inputs);
    keep(&built, &target)?;
    remove_unused(host, &target);
    Ok(target)
}

/// Builds what is `wanted` and gives Cargo's messages; the step shows what is being compiled.
pub(crate) async fn cargo_build(host: &Host, wanted: &[&str], step: &Step) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let cmd = Cmd::new(cargo)
        .arg("build")
        .args(wanted)
        .args(["--locked", "--message-format", "json-render-diagnostics"])
        .cwd(&host.root)
        .deadline(Duration::from_mins(20));
    let cmd = without_cargo_env(cmd);
    let mut compiled = 0;
    let output = host
        .processes
        .run_with(&cmd, &mut |line| match line {
            Line::Err(text) if text.trim_start().starts_with("Compiling") => {
                compiled += 1;
                step.progress(text.trim(), Some(compiled), None);
            }
            _ => {}
        })
        .await?;
    Ok(output.stdout_text())
}

/// `cargo run` sets variables for the package it runs; a nested Cargo would see them as changed inputs and build anew.
pub(crate) fn without_cargo_env(cmd: Cmd) -> Cmd {
    let inherited = std::env::vars_os().map(|(key, _)| key);
    let mut cmd = cmd;
    cmd.unset = inherited
        .filter(|key| {
            let key = key.to_string_lossy();
            key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST") || key == "CARGO_CRATE_NAME"
        })
        .collect();
    cmd
}

/// The path of the executable called `name` in Cargo's messages, one JSON object a line.
pub(crate) fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    parsed
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| {
            let why = format!("no executable named {name}");
            Error::malformed("what cargo build said", why, "run: cargo build -p ocr-service")
        })
}

fn keep(built: &Path, target: &Path) -> Result<()> {
    let doing = || format!("keeping {}", target.display());
    let dir = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).doing(doing())?;
    let staged = dir.join("ocr-service.new");
    std::fs::copy(built, &staged).and_then(|_| std::fs::rename(&staged, target)).doing(doing())?;
    Ok(())
}

/// Removes the binaries of earlier sources that no profile runs.
fn remove_unused(host: &Host, target: &Path) {
    let profiles = std::fs::read_dir(host.state_dir()).into_iter().flatten().flatten();
    let mut used: Vec<PathBuf> = profiles
        .filter_map(|profile| read_spec(&Layout::new(&profile.path()).spec()).ok())
        .map(|spec| spec.binary)
        .collect();
    used.push(target.to_owned());
    let kept = target.parent().and_then(|dir| std::fs::read_dir(dir).ok());
    for entry in kept.into_iter().flatten().flatten().filter(|entry| !used.contains(&entry.path())) {
        let _ = std::fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_in_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"ocr-service"},"executable":"/t/debug/ocr-service"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "ocr-service").unwrap(), Path::new("/t/debug/ocr-service"));
        assert!(executable("", "ocr-service").is_err());
    }
}
