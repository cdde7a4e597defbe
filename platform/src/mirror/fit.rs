//! Whether what the mirror holds, whole, is what it must be here: for this machine's processor, and of the lock's digest.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Mirror;
use super::layout::{Item, Layout, Origin};
use super::pull::{LOCK, Lock};
use super::verify::Fault;
use crate::error::Result;
use crate::host::Host;
use crate::registry::Manifest;

/// No index is larger; layers are.
const LARGEST_INDEX: u64 = 1 << 20;

impl Mirror {
    /// Items that nodes here cannot run, or that are another thing than the lock names.
    pub(super) fn misfits(&self, host: &Host) -> Result<Vec<Fault>> {
        let lock = Lock::read(&host.root.join(LOCK))?;
        let mut faults = Vec::new();
        for (layout, item) in self.held() {
            // What cannot be read is told by whoever looks at the blobs.
            let Ok(manifest) = layout.manifest(&item.digest) else { continue };
            let why = self.foreign(&layout, &manifest).or_else(|| stray(&layout, &item, &manifest, &lock));
            let (name, command) = (item.name.clone(), self.mends(&item));
            faults.extend(why.map(|why| Fault { name, digest: None, why, command }));
        }
        Ok(faults)
    }

    /// What an image is for, a phrase, where that is not this machine's processor.
    pub(super) fn foreign(&self, layout: &Layout, manifest: &Manifest) -> Option<String> {
        let (there, own) = (architectures(layout, manifest), self.names.arch());
        if there.is_empty() || there.contains(own) {
            return None;
        }
        let there: Vec<String> = there.into_iter().collect();
        Some(format!("is for {} and not for {own}, this machine's processor", there.join(", ")))
    }
}

/// Of an image; none of a chart, which is for every processor.
fn architectures(layout: &Layout, manifest: &Manifest) -> BTreeSet<String> {
    if manifest.is_index() {
        return manifest.platforms().into_iter().map(|found| found.platform.architecture).collect();
    }
    let config = manifest.image().and_then(|image| layout.read(&image.config.digest).ok());
    let config = config.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()).unwrap_or_default();
    config["architecture"].as_str().map(ToOwned::to_owned).into_iter().collect()
}

/// Why a pulled item is not, and is no part of, what the lock names now.
fn stray(layout: &Layout, item: &Item, manifest: &Manifest, lock: &Lock) -> Option<String> {
    let locked = lock.digests.get(&item.name).filter(|_| item.origin == Origin::Pulled)?;
    let is_part = || layout.manifest(locked).is_ok_and(|whole| includes(&whole, manifest));
    if item.digest == *locked || is_part() {
        return None;
    }
    Some(format!("was pulled as another digest than {locked}, which {LOCK} has now"))
}

/// What upstream has under the name of a pulled item that is a part of it. It is kept beside the part, for the lock names
/// the whole.
pub(super) fn whole_of(layout: &Layout, part: &Manifest) -> Result<Option<Manifest>> {
    if !part.is_index() {
        return Ok(None);
    }
    for digest in layout.digests()?.into_iter().filter(|digest| *digest != part.digest) {
        let size = std::fs::metadata(layout.blob_path(&digest)).map(|found| found.len());
        if !size.is_ok_and(|size| size <= LARGEST_INDEX) {
            continue;
        }
        let Ok(found) = layout.manifest(&digest) else { continue };
        if found.digest == digest && includes(&found, part) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether every entry of an index is one of another's.
fn includes(whole: &Manifest, part: &Manifest) -> bool {
    let has = |digest: &str| whole.entries().iter().any(|entry| entry.digest == digest);
    !part.entries().is_empty() && part.entries().iter().all(|entry| has(&entry.digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::layout::tests::with_image;
    use crate::mirror::pull::tests::mirror;

    #[test]
    fn an_image_for_another_processor_is_told_and_a_chart_is_for_every_one() {
        let (dir, _host, mirror) = mirror();
        let layout = with_image(dir.path(), "quay.io/a/b:v1");
        let digest = layout.items().unwrap()[0].digest.clone();
        assert_eq!(mirror.foreign(&layout, &layout.manifest(&digest).unwrap()), None);
        let elsewhere = Mirror { names: crate::mirror::Names::pinned("arm64").unwrap(), ..mirror.clone() };
        let why = elsewhere.foreign(&layout, &layout.manifest(&digest).unwrap()).unwrap();
        assert!(why.contains("is for amd64 and not for arm64"), "{why}");
        layout.write_chart("quay.io/a/chart:1", &serde_json::json!({"name": "b"}), b"chart").unwrap();
        let chart = layout.items().unwrap().into_iter().find(|item| item.name.contains("chart")).unwrap();
        assert_eq!(elsewhere.foreign(&layout, &layout.manifest(&chart.digest).unwrap()), None);
    }
}
