//! Whether everything that an item of the mirror refers to is there, whole: each blob with its size and digest.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use bollard::Docker;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::layout::{Item, Layout};
use super::{Artifact, Kind, Mirror, Present, charts};
use crate::error::{Doing, Error, Result};
use crate::host::Host;

/// Something of the mirror that is not as it must be, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The upstream reference of the image or chart.
    pub name: String,
    /// The blob; none where the whole item is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub why: String,
    pub command: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}: {} {}", self.name, digest, self.why),
            None => write!(f, "{}: {}", self.name, self.why),
        }
    }
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub items: usize,
    pub blobs: usize,
    pub bytes: u64,
    pub faults: Vec<Fault>,
}

impl Verified {
    /// An error that names every fault and what mends the first.
    pub fn verdict(&self) -> Result<()> {
        let Some(first) = self.faults.first() else { return Ok(()) };
        let lines: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        let commands: BTreeSet<&str> = self.faults.iter().map(|fault| fault.command.as_str()).collect();
        let hint = if commands.len() == 1 {
            first.command.clone()
        } else {
            commands.into_iter().collect::<Vec<_>>().join(" && ")
        };
        Err(Error::unhealthy(
            format!("the mirror is not whole, {} faults:\n    {}", lines.len(), lines.join("\n    ")),
            hint,
        ))
    }
}

impl Mirror {
    /// Looks at everything that the mirror must hold for `wanted`, and at every other item that it holds: whether it is
    /// there, whole, for this machine's processor, and as the lock has it.
    pub async fn verify(
        &self,
        host: &Host,
        docker: Option<&Docker>,
        wanted: &[Artifact],
    ) -> Result<Verified> {
        let mut verified = self.whole(host).await?;
        verified.faults.extend(self.absent(&self.observe(docker).await?, wanted));
        verified.faults.extend(self.misfits(host)?);
        Ok(verified)
    }

    /// What of `wanted` is not here.
    fn absent(&self, present: &Present, wanted: &[Artifact]) -> Vec<Fault> {
        let held = self.held();
        let fault = |name: String, artifact: Artifact| {
            let command = format!("cargo xtask mirror build {}", artifact.id());
            Fault { name, digest: None, why: "is not in the mirror".into(), command }
        };
        let is_part = |it: &&Artifact| it.kind() != Kind::Layout && !present.has(&self.names, **it);
        let parts = wanted.iter().filter(is_part).map(|it| fault(self.names.name(*it), *it));
        let names = self.expected_names(wanted).into_iter();
        let names = names.filter(|(name, _)| !held.iter().any(|(_, item)| item.name == *name));
        parts.chain(names.map(|(name, artifact)| fault(name, artifact))).collect()
    }

    /// Looks at every blob of every item that the mirror holds.
    pub(super) async fn whole(&self, host: &Host) -> Result<Verified> {
        let step = host.events.step("mirror-verify", "verifying the mirror", None);
        let held = self.held();
        let mut verified = Verified { faults: self.unreadable(), ..Verified::default() };
        let total = held.len() as u64;
        for (done, (layout, item)) in held.into_iter().enumerate() {
            step.progress(item.name.clone(), Some(done as u64), Some(total));
            let command = self.mends(&item);
            let looked = tokio::task::spawn_blocking(move || look(&layout, &item, &command)).await;
            let one = looked.map_err(|error| Error::malformed("the mirror", error, ""))?;
            verified.items += 1;
            verified.blobs += one.blobs;
            verified.bytes += one.bytes;
            verified.faults.extend(one.faults);
        }
        step.done();
        Ok(verified)
    }

    /// The upstream names that are to be there, and what makes each.
    pub(super) fn expected_names(&self, wanted: &[Artifact]) -> Vec<(String, Artifact)> {
        let wanted = wanted.iter().filter(|artifact| artifact.kind() == Kind::Layout);
        wanted
            .flat_map(|artifact| match self.names.services().reference(*artifact) {
                Some(name) => vec![(name, *artifact)],
                None => charts::references(&self.names).into_iter().map(|name| (name, *artifact)).collect(),
            })
            .collect()
    }

    /// What brings an item back.
    pub(super) fn mends(&self, item: &Item) -> String {
        let made = self.expected_names(super::STACK).into_iter().find(|(name, _)| *name == item.name);
        match (item.origin, made) {
            (super::Origin::Source, Some((_, artifact))) => {
                format!("cargo xtask mirror build {}", artifact.id())
            }
            (super::Origin::Pulled, _) => format!("cargo xtask mirror pull {}", item.name),
            _ => "cargo xtask mirror import ARCHIVE, with the archive it came from".into(),
        }
    }
}

/// What is wrong with the folder of an artifact, which must hold these names; nothing where it is whole.
pub fn fault_in(folder: &Path, names: &[(String, Artifact)]) -> Option<String> {
    let (layout, items) = match Layout::opened(folder) {
        Ok(opened) => opened,
        Err(error) => return Some(error.to_string()),
    };
    if let Some((name, _)) = names.iter().find(|(name, _)| !items.iter().any(|item| item.name == *name)) {
        return Some(format!("{name} is not in it"));
    }
    let mut faults = items.iter().flat_map(|item| look(&layout, item, "").faults);
    faults.next().map(|fault| fault.to_string())
}

/// One item with all that it refers to.
pub fn look(layout: &Layout, item: &Item, command: &str) -> Verified {
    let mut look = Look { layout, item, command, seen: BTreeSet::new(), found: Verified::default() };
    look.manifest(&item.digest, item.size);
    look.found
}

struct Look<'a> {
    layout: &'a Layout,
    item: &'a Item,
    command: &'a str,
    seen: BTreeSet<String>,
    found: Verified,
}

impl Look<'_> {
    fn manifest(&mut self, digest: &str, size: i64) {
        if !self.blob(digest, size) {
            return;
        }
        match self.layout.manifest(digest) {
            Ok(manifest) => {
                for entry in manifest.entries() {
                    self.manifest(&entry.digest, entry.size);
                }
                for blob in manifest.blobs() {
                    self.blob(&blob.digest, blob.size);
                }
            }
            Err(error) => self.fault(digest, error.to_string()),
        }
    }

    /// Whether the blob is there with its size and digest.
    fn blob(&mut self, digest: &str, size: i64) -> bool {
        if !self.seen.insert(digest.to_owned()) {
            return true;
        }
        self.found.blobs += 1;
        match measure(&self.layout.blob_path(digest)) {
            Ok((bytes, actual)) if actual == digest && i64::try_from(bytes) == Ok(size) => {
                self.found.bytes += bytes;
                true
            }
            Ok((bytes, _)) if i64::try_from(bytes) != Ok(size) => {
                self.fault(digest, format!("has {bytes} bytes instead of {size}"));
                false
            }
            Ok((_, actual)) => {
                self.fault(digest, format!("has another content, of digest {actual}"));
                false
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.fault(digest, "is missing".into());
                false
            }
            Err(error) => {
                self.fault(digest, format!("cannot be read: {error}"));
                false
            }
        }
    }

    fn fault(&mut self, digest: &str, why: String) {
        let (name, command) = (self.item.name.clone(), self.command.to_owned());
        self.found.faults.push(Fault { name, digest: Some(digest.to_owned()), why, command });
    }
}

/// Removes the blobs that are not what they are named by, so that a copy writes them again. How many there were; `tell`
/// hears how many of all were looked at.
pub fn remove_damaged(layout: &Layout, tell: impl Fn(usize, usize)) -> Result<usize> {
    let (mut removed, digests) = (0, layout.digests()?);
    for (done, digest) in digests.iter().enumerate() {
        tell(done, digests.len());
        let path = layout.blob_path(digest);
        let (_, actual) = measure(&path).doing(format!("reading {}", path.display()))?;
        if actual != *digest {
            std::fs::remove_file(&path).doing(format!("removing {}", path.display()))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Size and digest of a file.
fn measure(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = std::fs::File::open(path)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, format!("sha256:{}", hex::encode(hash.finalize()))));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::layout::tests::with_image;

    const NAME: &str = "quay.io/a/b:v1";

    fn looked(layout: &Layout) -> Verified {
        let item = layout.items().unwrap().remove(0);
        look(layout, &item, "cargo xtask mirror build argocd")
    }

    #[test]
    fn a_whole_image_has_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let verified = looked(&with_image(dir.path(), NAME));
        assert_eq!((verified.faults.len(), verified.blobs), (0, 3));
        assert!(verified.bytes > 0 && verified.verdict().is_ok());
    }

    #[test]
    fn a_deleted_blob_is_named_with_its_image_and_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = with_image(dir.path(), NAME);
        let manifest = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
        for blob in manifest.blobs() {
            let path = layout.blob_path(&blob.digest);
            let kept = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let error = looked(&layout).verdict().unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&blob.digest) && said.contains(NAME) && said.contains("missing"), "{said}");
            assert_eq!(error.hint().unwrap(), "cargo xtask mirror build argocd");
            assert_eq!(error.exit(), crate::Exit::Failed);
            std::fs::write(&path, kept).unwrap();
        }
    }

    #[test]
    fn a_cut_or_changed_blob_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let layout = with_image(dir.path(), NAME);
        let manifest = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
        let path = layout.blob_path(&manifest.blobs()[1].digest);
        let kept = std::fs::read(&path).unwrap();
        std::fs::write(&path, &kept[..10]).unwrap();
        assert!(looked(&layout).faults[0].why.contains("has 10 bytes instead of"));
        std::fs::write(&path, vec![1; kept.len()]).unwrap();
        assert!(looked(&layout).faults[0].why.contains("another content"));
    }

    #[test]
    fn a_blob_of_the_right_size_and_another_content_is_removed_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let layout = with_image(dir.path(), NAME);
        let blobs = layout.blob_path(&layout.items().unwrap()[0].digest).parent().unwrap().to_owned();
        for other in ["abc.new", ".DS_Store"] {
            std::fs::write(blobs.join(other), "cut off").unwrap();
        }
        assert_eq!(remove_damaged(&layout, |_, _| {}).unwrap(), 0);
        let manifest = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
        let path = layout.blob_path(&manifest.blobs()[1].digest);
        let size = std::fs::read(&path).unwrap().len();
        std::fs::write(&path, vec![1; size]).unwrap();
        assert_eq!(remove_damaged(&layout, |_, _| {}).unwrap(), 1);
        assert!(looked(&layout).faults[0].why.contains("missing"));
    }

    #[test]
    fn without_its_manifest_nothing_else_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let layout = with_image(dir.path(), NAME);
        let digest = layout.items().unwrap()[0].digest.clone();
        std::fs::remove_file(layout.blob_path(&digest)).unwrap();
        let faults = looked(&layout).faults;
        assert_eq!((faults.len(), faults[0].digest.as_ref()), (1, Some(&digest)));
    }
}
