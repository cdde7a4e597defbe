//! What a build will do here, told before it does; and that one build runs at a time.

use std::fs::File;

use bollard::Docker;
use serde::Serialize;

use super::{BuildOptions, builder, image, names, present};
use crate::engine;
use crate::error::{Doing, Result};
use crate::host::Host;
use crate::lock;
use crate::mirror::{self, Mirror, Supply, registry};
use crate::registry::{Platform, Reference, Registries};

/// One thing to do, and why. The forecast is for two cores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    pub title: String,
    pub why: String,
    pub expected_seconds: u64,
}

impl Planned {
    fn new(title: impl Into<String>, why: impl Into<String>, expected_seconds: u64) -> Self {
        Self { title: title.into(), why: why.into(), expected_seconds }
    }
}

/// What is missing on this machine, and the build itself.
pub async fn plan(host: &Host, supply: Supply, options: &BuildOptions) -> Result<Vec<Planned>> {
    super::check(options)?;
    let mirror = Mirror::new(host)?;
    let mut planned = Vec::new();
    let docker = match engine::observe(host).await? {
        engine::State::Ready(ready) => Some(ready.docker),
        engine::State::NotThere(lack) => {
            planned.push(Planned::new("make Docker answer", lack.to_string(), 40));
            None
        }
    };
    if supply == Supply::Source {
        let present = mirror.observe(docker.as_ref()).await?;
        let missing = mirror.missing(&present, mirror::BUILD);
        if !missing.is_empty() {
            let titles: Vec<&str> = missing.iter().map(|artifact| artifact.title()).collect();
            let why = format!("no image can be pulled here; missing: {}", titles.join(", "));
            let seconds = mirror::expected(&missing).as_secs();
            planned.push(Planned::new("build the builder's parts from source", why, seconds));
        }
    }
    let (mut has_registry, mut builder_runs) = (false, false);
    if let Some(docker) = &docker {
        has_registry = registry_runs(host, docker, &mirror, supply).await?;
        builder_runs = builder::is_current(docker, &mirror, supply).await?;
    }
    if !has_registry {
        planned.push(Planned::new("start the local registry", "it does not run", 3));
    }
    if !builder_runs {
        planned.push(Planned::new(
            "start the builder",
            "it does not run, or is not as it would be made now",
            5,
        ));
    }
    let target = target(host, options)?;
    if has_registry && has_image(host, options).await? {
        return Ok(with_it(options, &target));
    }
    let platforms = if has_registry {
        present::to_build(&Registries::new(host)?, options, &target).await?
    } else {
        present::wanted(options)
    };
    planned.push(the_build(&platforms, &target));
    Ok(planned)
}

/// Whether the local registry runs as it would be made now.
pub async fn registry_runs(host: &Host, docker: &Docker, mirror: &Mirror, supply: Supply) -> Result<bool> {
    let image = mirror.registry_image(supply);
    let state = registry::observe(docker, &image, host.config.ports.registry).await?;
    Ok(matches!(state, registry::State::Running { .. }))
}

/// Whether the local registry, which runs, has the image of these sources.
pub async fn has_image(host: &Host, options: &BuildOptions) -> Result<bool> {
    let found = present::find(&Registries::new(host)?, options, &target(host, options)?).await?;
    Ok(found.is_some())
}

/// Where the index goes.
pub fn target(host: &Host, options: &BuildOptions) -> Result<Reference> {
    options.push.clone().map_or_else(|| image::own_image(host), Ok)
}

/// What is done with an image that is there.
fn with_it(options: &BuildOptions, target: &Reference) -> Vec<Planned> {
    let tried = Planned::new(format!("try {target}: it reads an image"), "asked for", 10);
    let loaded = Planned::new(format!("give Docker {target}"), "asked for", 5);
    [(options.test, tried), (options.load, loaded)].into_iter().filter(|it| it.0).map(|it| it.1).collect()
}

fn the_build(platforms: &[Platform], target: &Reference) -> Planned {
    let title = format!("build the OCR service's image for {}, push {target}", names(platforms));
    let seconds = if platforms.len() > 1 { 300 } else { 240 };
    Planned::new(title, "asked for; what the cache holds is not built again", seconds)
}

/// Waits until no other run builds an image; held as long as the returned file lives.
pub async fn lock(host: &Host) -> Result<File> {
    let path = host.cache.join("build.lock");
    let tell = || host.events.note("another run is building an image: waiting for it");
    lock::wait_for(&path, tell).await.doing(format!("locking {}", path.display()))
}
