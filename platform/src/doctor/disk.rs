//! Disk space where it is needed: Docker's folder, the cache, the records.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::config::ProviderChoice;
use crate::engine::State;
use crate::error::{Doing, Result};
use crate::room;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Below this nothing can be built any more.
const NONE: u64 = GIB;
/// A disk that is this full fills up during a build; of a large one, a tenth is still much.
const FULL_PERCENT: u64 = 90;
const AMPLE: u64 = 20 * GIB;

/// One place that takes disk space.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    what: &'static str,
    dir: PathBuf,
    /// What to type where it is full.
    command: String,
    /// The file system: two places on one are one finding.
    device: u64,
    free: u64,
    size: u64,
}

impl Place {
    fn at(what: &'static str, dir: &Path, command: String) -> Option<Self> {
        let existing = dir.ancestors().find(|dir| dir.exists())?;
        let device = std::fs::metadata(existing).ok()?.dev();
        let (free, size) = room::disk(existing)?;
        Some(Self { what, dir: dir.to_owned(), command, device, free, size })
    }
}

pub async fn check(world: &World) -> Result<Verdict> {
    let host = &world.host;
    let list = |dir: &Path| format!("du --human-readable --max-depth 1 {}", dir.display());
    let state = host.state_dir();
    let mut places = vec![
        Place::at("the cache", &host.cache, list(&host.cache)),
        Place::at("the records", &state, list(&state)),
    ];
    if let State::Ready(ready) = &world.engine
        && ready.facts.endpoint.is_local()
    {
        let info = ready.docker.info().await.doing("asking Docker for its folder")?;
        if let Some(root) = info.docker_root_dir {
            places.push(Place::at("Docker", Path::new(&root), "docker system prune".into()));
        }
    }
    let builds = !world.is_made() && world.wanted != ProviderChoice::Embedded;
    Ok(judge(places.into_iter().flatten().collect(), builds))
}

fn judge(places: Vec<Place>, builds: bool) -> Verdict {
    let mut systems: Vec<Vec<Place>> = Vec::new();
    for place in places {
        match systems.iter_mut().find(|on| on[0].device == place.device) {
            Some(on) => on.push(place),
            None => systems.push(vec![place]),
        }
    }
    if systems.is_empty() {
        return Verdict::Unknown("the system does not tell how much is free".into());
    }
    let seen: Vec<String> = systems.iter().map(|on| format!("{} at {}", amount(&on[0]), names(on))).collect();
    Verdict::of(systems.iter().filter_map(|on| finding(on, builds)).collect(), seen.join("; "))
}

fn finding(on: &[Place], builds: bool) -> Option<Finding> {
    // Of those on one file system, what is emptied with the least regret stands last.
    let place = on.last()?;
    let used = 100 - (place.free * 100).checked_div(place.size).unwrap_or(0);
    let object = format!("disk at {}", place.dir.display());
    if place.free < NONE {
        let needs = if builds { "; a cluster built from source needs 15 GiB" } else { "" };
        let sentence = format!("{} for {}{needs}", amount(place), names(on));
        return Some(Finding::new(Severity::Lack, object, sentence, &*place.command));
    }
    if used >= FULL_PERCENT && place.free < AMPLE {
        let sentence = format!("it is {used} % full: {} for {}", amount(place), names(on));
        return Some(Finding::new(Severity::Warning, object, sentence, &*place.command));
    }
    None
}

fn names(on: &[Place]) -> String {
    let names: Vec<String> =
        on.iter().map(|place| format!("{} ({})", place.what, place.dir.display())).collect();
    names.join(" and ")
}

fn amount(place: &Place) -> String {
    if place.free < NONE {
        format!("only {} MiB are free", place.free / MIB)
    } else {
        format!("{} GiB are free", place.free / GIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(what: &'static str, device: u64, free: u64) -> Place {
        let command = format!("empty {what}");
        Place { what, dir: format!("/{what}").into(), command, device, free, size: 100 * GIB }
    }

    #[test]
    fn places_on_one_full_disk_are_one_finding() {
        let verdict =
            judge(vec![place("cache", 1, MIB), place("docker", 1, MIB), place("state", 2, 50 * GIB)], true);
        let Verdict::Found(found) = verdict else { panic!("{verdict:?}") };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Lack);
        let sentence = &found[0].sentence;
        assert!(
            sentence.starts_with("only 1 MiB are free for cache (/cache) and docker (/docker)"),
            "{sentence}"
        );
        assert_eq!(found[0].command, "empty docker");
    }

    #[test]
    fn a_disk_that_fills_up_is_a_warning() {
        let verdict = judge(vec![place("cache", 1, 5 * GIB)], false);
        let Verdict::Found(found) = verdict else { panic!("{verdict:?}") };
        assert_eq!((found[0].severity, found.len()), (Severity::Warning, 1));
        assert!(found[0].sentence.contains("95 % full"), "{found:?}");
        assert!(matches!(judge(vec![place("cache", 1, 50 * GIB)], false), Verdict::Passed(_)));
    }
}
