//! The support bundle: what somebody else needs to see what is wrong here, without a secret in it.

mod cluster;

use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::DoctorOptions;
use super::report::Report;
use super::world::World;
use crate::cluster::embedded::supervisor::Layout;
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::redact::Redactor;
use crate::status;

const ENDINGS: [&str; 2] = [".tar.gz", ".tgz"];
/// The whole of what is asked of a cluster.
const CLUSTER_WITHIN: Duration = Duration::from_mins(1);
/// Of each log the last lines.
const LINES: usize = 200;

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Bundle {
    pub file: PathBuf,
    /// Names of the files in it.
    pub entries: Vec<String>,
    pub bytes: usize,
}

/// Files of the bundle: their names, and their texts as they were found.
type Entries = Vec<(String, String)>;

/// Writes the findings and what lies around them to `file`. Secrets of the cluster and `.env` are not read into it; what
/// looks like a secret elsewhere is taken out.
pub async fn bundle(host: &Host, options: DoctorOptions, report: &Report, file: &Path) -> Result<Bundle> {
    check_name(file)?;
    let step = host.events.step("bundle", "collecting the support bundle", Some(Duration::from_secs(5)));
    let world = World::look(host, options).await?;
    let mut entries = vec![
        ("findings.json".to_owned(), json(report)),
        ("versions.json".to_owned(), json(&versions())),
        ("configuration.toml".to_owned(), toml::to_string(&world.host.config).unwrap_or_default()),
    ];
    match status::status(host).await {
        Ok(status) => entries.push(("status.json".into(), json(&status))),
        Err(error) => entries.push(("status-error.txt".into(), error.to_string())),
    }
    entries.extend(records(&world.host));
    if let Ok((client, _)) = world.cluster() {
        step.message("asking the cluster");
        match tokio::time::timeout(CLUSTER_WITHIN, cluster::entries(&world, client)).await {
            Ok(Ok(found)) => entries.extend(found),
            Ok(Err(error)) => entries.push(("cluster-error.txt".into(), error.to_string())),
            Err(_) => entries.push(("cluster-error.txt".into(), "it did not answer in time".into())),
        }
    }
    let redactor = Redactor::of(&host.root);
    for (_, text) in &mut entries {
        *text = redactor.text(text);
    }
    let packed = packed(&entries).doing("packing the support bundle")?;
    write_atomically(file, &packed)?;
    step.done();
    let names = entries.into_iter().map(|(name, _)| name).collect();
    Ok(Bundle { file: file.to_owned(), entries: names, bytes: packed.len() })
}

/// Before anything is collected.
pub fn check_name(file: &Path) -> Result<()> {
    let name = file.to_string_lossy();
    if ENDINGS.iter().any(|ending| name.ends_with(ending)) && !file.is_dir() {
        return Ok(());
    }
    Err(Error::usage(
        format!("{name} is not the name of a bundle"),
        "name a file that ends in .tar.gz: --bundle platen.tar.gz",
    ))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}

fn versions() -> serde_json::Value {
    let system = rustix::system::uname();
    let (free, total) = crate::room::memory().unwrap_or_default();
    serde_json::json!({
        "platen": env!("CARGO_PKG_VERSION"),
        "system": system.sysname().to_string_lossy(),
        "kernel": system.release().to_string_lossy(),
        "machine": system.machine().to_string_lossy(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_bytes": total,
        "memory_free_bytes": free,
    })
}

/// The profile's record, and of its embedded processes the plan and the ends of their logs.
fn records(host: &Host) -> Entries {
    let dir = host.profile_dir(&host.config.cluster.profile);
    let mut entries = Vec::new();
    let mut add = |name: String, path: &Path| {
        if let Ok(text) = std::fs::read(path) {
            entries.push((name, tail(&String::from_utf8_lossy(&text))));
        }
    };
    add("record.json".into(), &dir.join("record.json"));
    let layout = Layout::new(&dir);
    add("embedded/plan.json".into(), &layout.spec());
    let logs = std::fs::read_dir(layout.dir().join("logs"));
    for entry in logs.into_iter().flatten().flatten() {
        add(format!("embedded/logs/{}", entry.file_name().to_string_lossy()), &entry.path());
    }
    entries
}

/// The last lines; a document of fewer is whole.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n") + "\n"
}

fn packed(entries: &Entries) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("platen-bundle/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::doctor;
    use super::super::world::tests::bare;
    use super::*;

    fn unpacked(file: &Path) -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()));
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (name, text)
            })
            .collect()
    }

    #[tokio::test]
    async fn no_planted_secret_is_in_the_bundle() {
        crate::tls::install();
        let (dir, world) = bare();
        let host = &world.host;
        std::fs::create_dir_all(host.root.join("ocr-service")).unwrap();
        std::fs::write(host.root.join("ocr-service/main.rs"), "").unwrap();
        std::fs::write(host.root.join(".env"), "DB_PASSWORD=planted-one\nREGISTRY_USER=somebody\n").unwrap();
        let logs = host.profile_dir(&host.config.cluster.profile).join("embedded/logs");
        std::fs::create_dir_all(&logs).unwrap();
        let log =
            "connecting with planted-one\nx-ocr-secret: planted-two\nurl http://me:planted-three@db/\nwell\n";
        std::fs::write(logs.join("platen-1_model.log"), log).unwrap();
        let report = doctor(host, DoctorOptions::default()).await.unwrap();
        let file = dir.path().join("out/bundle.tar.gz");
        let written = bundle(host, DoctorOptions::default(), &report, &file).await.unwrap();
        assert_eq!(written.bytes as u64, std::fs::metadata(&file).unwrap().len());
        let entries = unpacked(&file);
        let all: String = entries.iter().map(|(_, text)| text.as_str()).collect();
        for secret in ["planted-one", "planted-two", "planted-three"] {
            assert!(!all.contains(secret), "{secret} is in {all}");
        }
        assert!(all.contains("connecting with ***") && all.contains("well"), "{all}");
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        for name in
            ["findings.json", "versions.json", "configuration.toml", "embedded/logs/platen-1_model.log"]
        {
            assert!(names.contains(&&*format!("platen-bundle/{name}")), "{names:?}");
        }
        assert!(names.iter().all(|name| !name.contains(".env")));
    }

    #[test]
    fn a_bundle_has_the_name_of_one() {
        check_name(Path::new("/tmp/x.tar.gz")).unwrap();
        assert!(check_name(Path::new("bundle.zip")).unwrap_err().hint().unwrap().contains(".tar.gz"));
    }
}
