//! The service's image: built for every platform by the builder, tried, listed with what it is made of, and pushed under
//! its tag only then.

mod asking;
mod base;
pub mod builder;
mod context;
mod emulated;
mod image;
mod inspect;
mod plan;
pub mod preflight;
mod present;
mod progress;
pub mod pull_secret;
mod sbom;
mod solve;
mod trial;
mod wire;

use std::time::Instant;

use bollard::Docker;
use serde::Serialize;

pub use asking::Asking;
pub use emulated::{emulated_platform, stage_seconds};
pub use image::{is_in_registry, own_image, service_image};
pub use inspect::Inspection;
pub use plan::{Planned, plan};
pub use progress::StageTime;
pub use solve::Secret;

use crate::engine;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{self, Mirror, Supply, registry};
use crate::registry::{Credentials, Manifest, Platform, Reference, Registries, at_digest};

/// What the Dockerfile can be built for.
pub const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// What the caller of `build` decided.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Empty: this machine's own.
    pub platforms: Vec<Platform>,
    /// Where the index goes; without it, the local registry.
    pub push: Option<Reference>,
    /// Whether Docker gets the image of this machine's platform too.
    pub load: bool,
    pub no_cache: bool,
    /// Whether what was built must read an image before it is pushed.
    pub test: bool,
    pub secrets: Vec<Secret>,
}

/// What was built.
#[derive(Debug, Clone, Serialize)]
pub struct BuildReport {
    pub reference: String,
    /// Of the index.
    pub digest: String,
    /// False where the local registry had it of the very same sources.
    pub built: bool,
    pub platforms: Vec<BuiltPlatform>,
    pub stages: Vec<StageTime>,
    /// What Docker knows it by, where it was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<String>,
    pub seconds: f64,
}

/// The image of one platform. Sizes are in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltPlatform {
    pub platform: Platform,
    pub digest: String,
    pub compressed: u64,
    pub unpacked: u64,
    /// How it was tried, a phrase; nothing where that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<String>,
}

/// The same, as values.
pub fn platforms() -> Vec<Platform> {
    PLATFORMS.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Whether the Dockerfile can be built for a platform, by its name.
fn can_be_built(platform: &str) -> bool {
    PLATFORMS.contains(&platform)
}

/// Refuses platforms that the Dockerfile cannot be built for.
pub fn check_platforms(platforms: &[Platform]) -> Result<()> {
    match platforms.iter().find(|platform| !can_be_built(&platform.to_string())) {
        None => Ok(()),
        Some(unknown) => Err(Error::usage(
            format!("the image cannot be built for {unknown}"),
            format!("use --platform {}", PLATFORMS.join(",")),
        )),
    }
}

/// Refuses what could not be done to the end, before any of it is begun.
pub fn check(options: &BuildOptions) -> Result<()> {
    check_platforms(&options.platforms)?;
    if let Some(target) = options.push.as_ref().filter(|target| target.digest().is_some()) {
        return Err(Error::usage(
            format!("{target} names a digest, and what is built has one of its own"),
            "push to a tag: --push HOST[:PORT]/NAME:TAG",
        ));
    }
    let own = own_platform();
    if options.load && !options.platforms.is_empty() && !options.platforms.contains(&own) {
        return Err(Error::usage(
            format!("--load gives Docker the image for {own}, and --platform does not name that"),
            format!("add it: --platform {},{own}; or leave --load out", commas(&options.platforms)),
        ));
    }
    Ok(())
}

fn commas(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// This machine's platform, as images name it.
pub fn own_platform() -> Platform {
    Platform::linux(crate::tools::Platform::host().arch)
}

/// From whatever this machine is to a pushed index.
pub async fn build(host: &Host, supply: Supply, options: &BuildOptions) -> Result<BuildReport> {
    check(options)?;
    let ready = engine::ensure(host).await?;
    let mirror = Mirror::new(host)?;
    if supply == Supply::Source
        && !(plan::registry_runs(host, &ready.docker, &mirror, supply).await?
            && plan::has_image(host, options).await?)
    {
        mirror.build(host, Some(&ready.docker), mirror::BUILD).await?;
    }
    registry::ensure(host, &ready.docker, &mirror.registry_image(supply)).await?;
    let step = host.events.step("image", "building the OCR service's image", None);
    let report = build_on(host, &ready.docker, supply, options, &step).await?;
    step.done();
    Ok(report)
}

/// Removes from Docker what builds keep there and left there, once no build runs; tells what was there.
pub async fn remove(host: &Host, docker: &Docker, dry_run: bool) -> Result<Vec<String>> {
    let _lock = if dry_run { None } else { Some(plan::lock(host).await?) };
    let mut removed = trial::sweep(host, docker, dry_run).await?;
    removed.extend(builder::remove(docker, dry_run).await?);
    Ok(removed)
}

/// The service's image of these sources into the local registry: the one that the mirror brought from elsewhere, else
/// built.
pub async fn provide(host: &Host, docker: &Docker, supply: Supply, tell: &Step) -> Result<()> {
    let (image, mirror) = (own_image(host)?, Mirror::new(host)?);
    if !mirror.holds_service(&image)? {
        return build_on(host, docker, supply, &BuildOptions::default(), tell).await.map(drop);
    }
    let only = [mirror::carried(&image)];
    mirror.publish(&Registries::new(host)?, image.registry(), &only, tell).await.map(drop)
}

/// As [`build`], where Docker, the local registry and what the builder is made of are there.
pub async fn build_on(
    host: &Host,
    docker: &Docker,
    supply: Supply,
    options: &BuildOptions,
    tell: &Step,
) -> Result<BuildReport> {
    let begun = Instant::now();
    let _lock = plan::lock(host).await?;
    let mirror = Mirror::new(host)?;
    let registries = Registries::new(host)?;
    let target = plan::target(host, options)?;
    let rounded = |begun: Instant| (begun.elapsed().as_secs_f64() * 100.0).round() / 100.0;
    let on_trial =
        |staging| Staged { host, docker, registries: &registries, staging, test: options.test, tell };
    if let Some((index, images)) = present::find(&registries, options, &target).await? {
        let platforms = on_trial(&target).all_tried(&images).await?;
        let loaded = loaded(docker, options, &target, &images, &target).await?;
        let (reference, digest) = (target.to_string(), index.digest);
        let (stages, seconds) = (Vec::new(), rounded(begun));
        return Ok(BuildReport { reference, digest, built: false, platforms, stages, loaded, seconds });
    }
    builder::ensure(host, docker, &mirror, supply, tell).await?;
    if supply == Supply::Source {
        base::ensure(host, docker, &registries, &mirror, tell).await?;
    }
    let staging = image::staging(host);
    let platforms = present::to_build(&registries, options, &target).await?;
    tell.message(format!("building for {}", names(&platforms)));
    let hub = if supply == Supply::Pull { hub(&registries).await } else { None };
    let request = request(host, options, platforms, hub).await?;
    let stages = solve::solve(host, docker, request).await?;
    let images = image::images_of(&registries, &staging).await?;
    let platforms = on_trial(&staging).all_tried(&images).await?;
    tell.message(format!("pushing {target}"));
    let index = sbom::with_materials(host, &registries, &staging, &images).await?;
    registries.push_manifest(&at_digest(&staging, &index.digest), &index).await?;
    push(&registries, &at_digest(&staging, &index.digest), &target, &index, tell).await?;
    let loaded = loaded(docker, options, &staging, &images, &target).await?;
    let (reference, digest, seconds) = (target.to_string(), index.digest, rounded(begun));
    Ok(BuildReport { reference, digest, built: true, platforms, stages, loaded, seconds })
}

/// Docker's own name for it, where it was asked for.
async fn loaded(
    docker: &Docker,
    options: &BuildOptions,
    from: &Reference,
    images: &[(Platform, Manifest)],
    target: &Reference,
) -> Result<Option<String>> {
    if options.load { image::load(docker, from, images, target).await.map(Some) } else { Ok(None) }
}

fn names(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// The login at Docker Hub: what is public comes without one, also where that cannot be read.
async fn hub(registries: &Registries) -> Option<Credentials> {
    let base = Reference::with_tag("docker.io".into(), "library/debian".into(), "latest".into());
    registries.login(&base).await.ok().flatten()
}

async fn request(
    host: &Host,
    options: &BuildOptions,
    platforms: Vec<Platform>,
    hub: Option<Credentials>,
) -> Result<solve::Request> {
    Ok(solve::Request {
        context: context::archive(&host.root)?,
        platforms,
        args: image::build_args(host).await,
        secrets: options.secrets.clone(),
        no_cache: options.no_cache,
        hub,
        to: image::staging_for_builder(),
    })
}

/// What was built and is not pushed under its tag yet.
struct Staged<'a> {
    host: &'a Host,
    docker: &'a Docker,
    registries: &'a Registries,
    staging: &'a Reference,
    test: bool,
    tell: &'a Step,
}

impl Staged<'_> {
    async fn all_tried(&self, images: &[(Platform, Manifest)]) -> Result<Vec<BuiltPlatform>> {
        let mut report = Vec::new();
        for (platform, manifest) in images {
            report.push(self.tried(platform, manifest).await?);
        }
        Ok(report)
    }

    /// Sizes; whether its program could start; and the trial where it was asked for. What fails is never pushed under its
    /// tag.
    async fn tried(&self, platform: &Platform, manifest: &Manifest) -> Result<BuiltPlatform> {
        self.tell.message(format!("looking into the image for {platform}"));
        let inspection = inspect::inspect(self.host, self.registries, self.staging, manifest).await?;
        inspection.check(platform)?;
        let tried =
            if self.test { Some(trial::run(self, platform, manifest, &inspection).await?) } else { None };
        Ok(BuiltPlatform {
            platform: platform.clone(),
            digest: manifest.digest.clone(),
            compressed: manifest.blob_bytes(),
            unpacked: inspection.unpacked,
            tried,
        })
    }
}

async fn push(
    registries: &Registries,
    from: &Reference,
    target: &Reference,
    index: &Manifest,
    tell: &Step,
) -> Result<()> {
    let mut arrived = 0_u64;
    let mut sent = |copied: crate::registry::Copied| {
        arrived += copied.bytes;
        tell.message(format!("pushing {target}: {} MB arrived", arrived / 1_000_000));
    };
    registries.copy_manifest(from, target, index, &mut sent).await?;
    registries.push_manifest(target, index).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Platform> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_platform_that_the_dockerfile_does_not_know_is_refused_with_those_that_it_does() {
        check_platforms(&[]).unwrap();
        assert_eq!(platforms(), named(&PLATFORMS));
        check_platforms(&platforms()).unwrap();
        let error = check_platforms(&named(&["linux/amd64", "linux/riscv64"])).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Usage);
        assert!(error.to_string().contains("linux/riscv64"), "{error}");
        assert!(error.hint().unwrap().contains("linux/amd64,linux/arm64"), "{error}");
    }

    #[test]
    fn nothing_is_built_for_a_digest() {
        let digest = crate::registry::digest_of(b"any");
        let to = |name: &str| BuildOptions {
            push: Some(crate::registry::parse(name).unwrap()),
            ..BuildOptions::default()
        };
        let error = check(&to(&format!("r.example/ocr@{digest}"))).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Usage);
        check(&to("r.example/ocr:1")).unwrap();
    }

    #[test]
    fn docker_is_given_only_what_is_built_and_that_is_said_before() {
        let other = platforms().into_iter().find(|platform| *platform != own_platform()).unwrap();
        let options =
            |platforms: Vec<Platform>, load| BuildOptions { platforms, load, ..BuildOptions::default() };
        check(&options(vec![other.clone()], false)).unwrap();
        check(&options(Vec::new(), true)).unwrap();
        check(&options(vec![other.clone(), own_platform()], true)).unwrap();
        let hint = check(&options(vec![other], true)).unwrap_err().hint().unwrap();
        assert!(hint.contains(&own_platform().to_string()), "{hint}");
    }
}
