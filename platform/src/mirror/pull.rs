//! Images and charts from their upstream registries, each by the digest that the lock file holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Mirror;
use super::layout::{Layout, Origin};
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::{Host, write_atomically};
use crate::registry::{self, Manifest, OciDescriptor, Platform, Reference, Registries, at_digest};

/// The lock file, under the project's root.
pub const LOCK: &str = "platform/stack/mirror.lock";
const LOCK_HEAD: &str =
    "# Digests of what `cargo xtask mirror pull` takes from upstream; written by `--update-lock`.\n";

/// What is pulled, from `stack/versions.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Upstream {
    images: Vec<String>,
    charts: Vec<String>,
}

impl Upstream {
    fn pinned() -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            pull: Upstream,
        }
        let file: File = toml::from_str(include_str!("../../stack/versions.toml"))
            .map_err(|error| Error::malformed("stack/versions.toml", error, "restore it from git"))?;
        Ok(file.pull)
    }
}

/// A chart as upstream has it, by its name.
pub fn upstream_chart(name: &str) -> Result<Reference> {
    for chart in Upstream::pinned()?.charts {
        let reference = registry::parse(&chart)?;
        if reference.repository().rsplit('/').next() == Some(name) {
            return Ok(reference);
        }
    }
    Err(Error::malformed("stack/versions.toml", format!("no chart {name} is pulled"), "restore it from git"))
}

/// Names and the digests that they must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    #[serde(default)]
    pub(super) digests: BTreeMap<String, String>,
}

impl Lock {
    pub(super) fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                Error::malformed(path.display().to_string(), error, "restore it from git, or --update-lock")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).doing(format!("reading {}", path.display())),
        }
    }

    /// The digest that a name must have; none where the lock is to be updated.
    fn locked(&self, name: &str, options: &PullOptions) -> Result<Option<&str>> {
        if options.update_lock {
            return Ok(None);
        }
        self.digests.get(name).map(|digest| Some(digest.as_str())).ok_or_else(|| {
            Error::usage(
                format!("{LOCK} has no digest of {name}"),
                "take what upstream has now and write it down: cargo xtask mirror pull --update-lock",
            )
        })
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| Error::malformed("the lock file", error, ""))?;
        write_atomically(path, format!("{LOCK_HEAD}{text}").as_bytes())
    }
}

#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Only these; empty: all that the stack needs.
    pub names: Vec<String>,
    /// Take what the tags name now, and write it down.
    pub update_lock: bool,
    pub platforms: Vec<Platform>,
}

impl PullOptions {
    /// For this machine's own architecture where no platform is named.
    pub fn new(names: Vec<String>, update_lock: bool, platforms: Vec<Platform>) -> Self {
        let own = || vec![Platform::linux(crate::tools::Platform::host().arch)];
        let platforms = if platforms.is_empty() { own() } else { platforms };
        Self { names, update_lock, platforms }
    }
}

/// One item that the mirror now has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pulled {
    pub name: String,
    /// As upstream names it, with all its platforms.
    pub digest: String,
    /// False where the mirror had it.
    pub pulled: bool,
}

impl Mirror {
    /// Pulls what is missing; what was pulled before a run was cut off stays.
    pub async fn pull(
        &self,
        host: &Host,
        registries: &Registries,
        options: &PullOptions,
    ) -> Result<Vec<Pulled>> {
        let names = wanted(&options.names)?;
        let pulled = self.pull_named(host, registries, &names, options).await?;
        if options.names.is_empty() {
            // All that is wanted is whole: what is left is of digests that the lock named once.
            let _held = self.store.lock(&host.events).await?;
            self.store.clear_begun()?;
        }
        Ok(pulled)
    }

    async fn pull_named(
        &self,
        host: &Host,
        registries: &Registries,
        names: &[String],
        options: &PullOptions,
    ) -> Result<Vec<Pulled>> {
        let path = host.root.join(LOCK);
        let mut lock = Lock::read(&path)?;
        let _held = self.store.lock(&host.events).await?;
        let step = host.events.step("mirror-pull", "pulling from upstream registries", None);
        let mut pulled = Vec::new();
        for (done, name) in names.iter().enumerate() {
            step.progress(name.clone(), Some(done as u64), Some(names.len() as u64));
            let locked = lock.locked(name, options)?;
            let one = self.pull_one(registries, name, locked, &options.platforms, &step).await?;
            if options.update_lock {
                lock.digests.insert(name.clone(), one.digest.clone());
                lock.write(&path)?;
            }
            pulled.push(one);
        }
        step.done();
        Ok(pulled)
    }

    async fn pull_one(
        &self,
        registries: &Registries,
        name: &str,
        locked: Option<&str>,
        platforms: &[Platform],
        step: &Step,
    ) -> Result<Pulled> {
        let upstream = registry::parse(name)?;
        let asked = locked.map_or_else(|| upstream.clone(), |digest| at_digest(&upstream, digest));
        let kept = locked.and_then(|digest| self.kept(name, digest));
        let whole = match kept {
            Some(kept) => kept,
            None => registries.require(&asked).await.map_err(|error| unreachable(name, &error))?,
        };
        let digest = whole.digest.clone();
        let chosen = chosen(name, &whole, platforms)?;
        if self.has(name, &chosen.digest) {
            self.forget_others(name, &chosen.digest)?;
            return Ok(Pulled { name: name.into(), digest, pulled: false });
        }
        // By the digest, so that the next run goes on with the blobs that this one brought.
        let folder = self.store.resumable(&chosen.digest)?;
        let layout = Layout::create(&folder)?;
        fetch_tree(registries, &upstream, &layout, &chosen, step).await?;
        // Also as upstream has it: so the next run need not ask what was chosen from.
        layout.put(&whole.media_type, &whole.bytes)?;
        layout.add(name, Origin::Pulled, &chosen)?;
        self.bring_folder(&folder, name, &chosen.digest)?;
        Ok(Pulled { name: name.into(), digest, pulled: true })
    }

    /// What would be pulled, a phrase each.
    pub fn plan_pull(&self, host: &Host, options: &PullOptions) -> Result<Vec<String>> {
        let lock = Lock::read(&host.root.join(LOCK))?;
        let mut planned = Vec::new();
        for name in wanted(&options.names)? {
            planned.extend(self.plan_one(&lock, &name, options)?);
        }
        Ok(planned)
    }

    fn plan_one(&self, lock: &Lock, name: &str, options: &PullOptions) -> Result<Option<String>> {
        let Some(digest) = lock.locked(name, options)? else {
            return Ok(Some(format!(
                "ask upstream what {name} is now, pull it where it is another, and write its digest into {LOCK}"
            )));
        };
        let is_held = match self.kept(name, digest) {
            Some(whole) => self.has(name, &chosen(name, &whole, &options.platforms)?.digest),
            None => false,
        };
        Ok((!is_held).then(|| format!("pull {name} at {digest}")))
    }

    /// What upstream has by this digest, where the mirror keeps it from an earlier pull of the name.
    fn kept(&self, name: &str, digest: &str) -> Option<Manifest> {
        let held = self.held();
        let of_name = held.iter().filter(|(_, item)| item.name == name);
        let mut manifests = of_name.filter_map(|(layout, _)| layout.manifest(digest).ok());
        manifests.find(|manifest| manifest.digest == digest)
    }

    fn has(&self, name: &str, digest: &str) -> bool {
        let held = self.held();
        let found = held.iter().find(|(_, item)| item.name == name && item.digest == digest);
        found.is_some_and(|(layout, item)| super::verify::look(layout, item, "").faults.is_empty())
    }
}

fn wanted(names: &[String]) -> Result<Vec<String>> {
    let upstream = Upstream::pinned()?;
    let all: Vec<String> = upstream.charts.into_iter().chain(upstream.images).collect();
    if names.is_empty() {
        return Ok(all);
    }
    match names.iter().find(|name| !all.contains(name)) {
        None => Ok(names.to_vec()),
        Some(unknown) => {
            Err(Error::usage(format!("the stack pulls no {unknown}"), format!("it pulls {}", all.join(", "))))
        }
    }
}

fn unreachable(name: &str, error: &Error) -> Error {
    let hint = error.hint().map(|hint| format!("{hint}; ")).unwrap_or_default();
    Error::machine(
        format!("{name} cannot be pulled: {error}"),
        format!("{hint}where upstream cannot be reached, build from source: cargo xtask mirror build"),
    )
}

/// What of an index is taken: an index of the wanted platforms.
fn chosen(name: &str, whole: &Manifest, platforms: &[Platform]) -> Result<Manifest> {
    if !whole.is_index() {
        return Ok(whole.clone());
    }
    let has: Vec<_> = whole.platforms();
    let digests: Vec<&str> = has
        .iter()
        .filter(|it| {
            platforms.iter().any(|wanted| wanted.runs_on(&it.platform.os, &it.platform.architecture))
        })
        .map(|it| it.digest.as_str())
        .collect();
    let lacks = platforms
        .iter()
        .find(|wanted| !has.iter().any(|it| wanted.runs_on(&it.platform.os, &it.platform.architecture)));
    if let Some(lacks) = lacks {
        let there: Vec<String> = has.iter().map(|it| it.platform.to_string()).collect();
        return Err(Error::unhealthy(
            format!("{name} has no image for {lacks}, only for {}", there.join(", ")),
            "ask for a platform that it has: --platform",
        ));
    }
    whole
        .only(|entry| digests.contains(&entry.digest.as_str()))?
        .ok_or_else(|| Error::malformed(name, "its index is empty", "look at the upstream registry"))
}

/// Everything that a manifest refers to, into the layout; what is there already is not fetched again.
pub(super) async fn fetch_tree(
    registries: &Registries,
    from: &Reference,
    layout: &Layout,
    root: &Manifest,
    step: &Step,
) -> Result<()> {
    for entry in root.entries() {
        let child = registries.require(&at_digest(from, &entry.digest)).await?;
        blobs(registries, from, layout, &child, step).await?;
        layout.put(&child.media_type, &child.bytes)?;
    }
    blobs(registries, from, layout, root, step).await
}

async fn blobs(
    registries: &Registries,
    from: &Reference,
    layout: &Layout,
    manifest: &Manifest,
    step: &Step,
) -> Result<()> {
    for blob in manifest.blobs() {
        let there = std::fs::metadata(layout.blob_path(&blob.digest))
            .is_ok_and(|found| i64::try_from(found.len()) == Ok(blob.size));
        if !there {
            step.message(format!("{}: {} bytes", from.whole(), blob.size));
            fetch(registries, from, layout, blob).await?;
        }
    }
    Ok(())
}

async fn fetch(
    registries: &Registries,
    from: &Reference,
    layout: &Layout,
    blob: &OciDescriptor,
) -> Result<()> {
    let target = layout.blob_path(&blob.digest);
    let staged: PathBuf = target.with_extension("new");
    let doing = || format!("writing {}", staged.display());
    let file = tokio::fs::File::create(&staged).await.doing(doing())?;
    let mut file = tokio::io::BufWriter::new(file);
    registries.read_blob(from, blob, &mut file).await?;
    tokio::io::AsyncWriteExt::shutdown(&mut file).await.doing(doing())?;
    tokio::fs::rename(&staged, &target).await.doing(doing())
}

#[cfg(test)]
#[path = "pull_tests.rs"]
pub mod tests;
