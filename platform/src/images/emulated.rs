//! Whether this machine runs another processor's programs, and how long a stage of a Dockerfile takes, natively or so.

use bollard::Docker;
use k8s_openapi::jiff::Timestamp;

use super::{BuildOptions, StageTime, base, builder, plan, solve};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{Mirror, Supply};
use crate::registry::{Platform, Registries};

/// The other platform of [`super::PLATFORMS`]; an error where its programs do not run here.
pub fn emulated_platform() -> Result<Platform> {
    let own = super::own_platform().architecture;
    let other = if own == "arm64" { "amd64" } else { "arm64" };
    if is_emulated(other) { Ok(Platform::linux(other)) } else { Err(not_emulated(other)) }
}

fn not_emulated(architecture: &str) -> Error {
    Error::machine(
        format!(
            "programs for linux/{architecture} do not run here: the kernel has no emulator registered for them with the \
             flag F, which containers need"
        ),
        format!(
            "run: sudo apt-get install -y qemu-user-static binfmt-support; where /proc/sys/fs/binfmt_misc is empty, before \
             that: sudo mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; or, where Docker Hub can be reached: \
             docker run --privileged --rm tonistiigi/binfmt --install {architecture}"
        ),
    )
}

/// Whether the kernel starts programs of this architecture through an emulator that needs no file in the container.
pub(super) fn is_emulated(architecture: &str) -> bool {
    let name = match architecture {
        "arm64" => "qemu-aarch64",
        "amd64" => "qemu-x86_64",
        other => other,
    };
    serves_containers(
        &std::fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/{name}")).unwrap_or_default(),
    )
}

fn serves_containers(registered: &str) -> bool {
    let fixed = |line: &str| line.strip_prefix("flags:").is_some_and(|flags| flags.contains('F'));
    registered.starts_with("enabled") && registered.lines().any(fixed)
}

/// How long the steps of one stage take, in seconds, of the Dockerfile under the host's root: BuildKit's own times. The
/// Dockerfile has the arguments `BASE`, the base image for the platform, and `BEGUN`, another one each time.
pub async fn stage_seconds(
    host: &Host,
    docker: &Docker,
    supply: Supply,
    platform: &Platform,
    stage: &str,
    tell: &Step,
) -> Result<f64> {
    let _lock = plan::lock(host).await?;
    let (mirror, registries) = (Mirror::new(host)?, Registries::new(host)?);
    builder::ensure(host, docker, &mirror, supply, tell).await?;
    let base = match supply {
        Supply::Source if *platform != super::own_platform() => {
            base::ensure_foreign(host, docker, &registries, &mirror, &platform.architecture, tell).await?
        }
        Supply::Source => {
            base::ensure(host, docker, &registries, &mirror, tell).await?;
            plain(&mirror)
        }
        Supply::Pull => plain(&mirror),
    };
    let hub = if supply == Supply::Pull { super::hub(&registries).await } else { None };
    let mut request = super::request(host, &BuildOptions::default(), vec![platform.clone()], hub).await?;
    let own = [("BASE", base), ("BEGUN", Timestamp::now().to_string())];
    request.args.extend(own.map(|(name, value)| (name.to_owned(), value)));
    seconds_of(stage, &solve::solve(host, docker, request).await?)
}

/// As Dockerfiles name the base image.
fn plain(mirror: &Mirror) -> String {
    let (name, tag) = mirror.base_tag();
    format!("{name}:{tag}")
}

/// A stage that came from the cache took no time, and says nothing.
fn seconds_of(stage: &str, stages: &[StageTime]) -> Result<f64> {
    let seconds: f64 = stages.iter().filter(|time| time.stage == stage).map(|time| time.seconds).sum();
    if seconds > 0.0 {
        return Ok(seconds);
    }
    Err(Error::malformed(
        format!("the time of the stage {stage}"),
        "BuildKit told none",
        "run the same command again",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_serves_containers_where_the_kernel_holds_it_open() {
        let registered = |state: &str, flags: &str| {
            format!("{state}\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\n")
        };
        assert!(serves_containers(&registered("enabled", "OCF")));
        assert!(!serves_containers(&registered("enabled", "OC")));
        assert!(!serves_containers(&registered("disabled", "OCF")));
        assert!(!serves_containers(""));
    }

    #[test]
    fn without_emulation_the_commands_that_give_it_are_named() {
        let error = not_emulated("arm64");
        assert_eq!(error.exit(), crate::Exit::Machine);
        let hint = error.hint().unwrap();
        for part in ["qemu-user-static", "mount -t binfmt_misc", "tonistiigi/binfmt --install arm64"] {
            assert!(hint.contains(part), "{hint}");
        }
    }

    #[test]
    fn only_the_stage_that_is_asked_for_counts_and_it_must_have_run() {
        let stage = |stage: &str, seconds| StageTime {
            platform: "all".into(),
            stage: stage.into(),
            steps: 1,
            cached: 0,
            seconds,
        };
        let stages = [stage("tools", 60.0), stage("compile", 12.5), stage("cached", 0.0)];
        assert!((seconds_of("compile", &stages).unwrap() - 12.5).abs() < 1e-9);
        seconds_of("cached", &stages).unwrap_err();
        seconds_of("other", &stages).unwrap_err();
    }
}
