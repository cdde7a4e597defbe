//! The image on trial before it is pushed under its tag: where it can run here it reads an image, else its program and
//! libraries are looked at.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{CreateContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt;

use super::emulated::is_emulated;
use super::inspect::Inspection;
use super::{Staged, image};
use crate::demo::SAMPLE;
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::mirror::{LABEL, docker};
use crate::registry::{Manifest, Platform, at_digest};
use crate::wait::{self, Seen};

const SERVES_WITHIN: Duration = Duration::from_mins(1);
const READS_WITHIN: Duration = Duration::from_mins(2);
/// The value of [`LABEL`] on the container.
const TRIAL: &str = "trial";
/// The OCR server's port inside the container.
const PORT: &str = "5000/tcp";
/// What the sample letter says.
const EXPECTED: &str = "Hello from your child";

/// Tries it; tells how, as a phrase. Only one build runs at a time: whatever of a trial is in Docker before was left by
/// a run that was cut off.
pub async fn run(
    staged: &Staged<'_>,
    platform: &Platform,
    manifest: &Manifest,
    inspection: &Inspection,
) -> Result<String> {
    let (host, docker) = (staged.host, staged.docker);
    if *platform != super::own_platform() && !is_emulated(&platform.architecture) {
        let libraries = inspection.libraries.len();
        return Ok(format!(
            "its program and {libraries} libraries fit; not run: this machine is no {platform}, and has no emulation for it \
             (packages qemu-user-static and binfmt-support)"
        ));
    }
    staged.tell.message(format!("trying the image for {platform}"));
    sweep(host, docker, false).await?;
    let read = read_in_container(staged, platform, manifest).await;
    // Whoever wants the image in Docker asks for that.
    let swept = sweep(host, docker, false).await;
    let text = read?;
    swept?;
    if text.contains(EXPECTED) {
        return Ok("it ran and read the sample letter".into());
    }
    Err(Error::unhealthy(
        format!("the image for {platform} reads {text:?}, and the sample letter says {EXPECTED:?}"),
        "nothing was pushed; look at what it serves: cargo xtask build --load, then docker run",
    ))
}

/// Removes container and image of the last trial where they are still there; tells what was.
pub async fn sweep(host: &Host, docker: &Docker, dry_run: bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for container in docker::labelled(docker, TRIAL).await? {
        removed.push(format!("the container of a trial {}", &container[..container.len().min(12)]));
        if !dry_run {
            docker::remove_container(docker, &container).await?;
        }
    }
    if let Some(image) = on_trial(host)? {
        removed.push(format!("the image of a trial {image}"));
        if !dry_run {
            docker::remove_image(docker, &image).await?;
            let record = record(host);
            std::fs::remove_file(&record).doing(format!("removing {}", record.display()))?;
        }
    }
    Ok(removed)
}

/// Names the image on trial from before it is pulled until it is removed: an image takes no label of ours.
fn record(host: &Host) -> PathBuf {
    host.cache.join("build.trial")
}

fn on_trial(host: &Host) -> Result<Option<String>> {
    let record = record(host);
    match std::fs::read_to_string(&record) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|image| !image.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(format!("reading {}", record.display())),
    }
}

async fn read_in_container(staged: &Staged<'_>, platform: &Platform, manifest: &Manifest) -> Result<String> {
    let Staged { host, docker, staging, .. } = *staged;
    write_atomically(&record(host), at_digest(staging, &manifest.digest).to_string().as_bytes())?;
    let pulled = image::pull(docker, staging, manifest, platform).await?;
    let name = format!("platen-trial-{}-{}", platform.architecture, std::process::id());
    let options = CreateContainerOptions { name: Some(name.clone()), platform: platform.to_string() };
    docker
        .create_container(Some(options), container(&pulled))
        .await
        .doing("creating the container of the trial")?;
    read_sample(docker, &name).await
}

fn container(image: &str) -> ContainerCreateBody {
    let binding = PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(String::new()) };
    ContainerCreateBody {
        image: Some(image.into()),
        cmd: Some(["ocr-server", "--bind", "0.0.0.0", "--port", "5000"].map(Into::into).into()),
        labels: Some(HashMap::from([(LABEL.to_owned(), TRIAL.to_owned())])),
        exposed_ports: Some(vec![PORT.into()]),
        host_config: Some(HostConfig {
            port_bindings: Some(HashMap::from([(PORT.to_owned(), Some(vec![binding]))])),
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), String::new())])),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn read_sample(docker: &Docker, name: &str) -> Result<String> {
    let options = None::<bollard::query_parameters::StartContainerOptions>;
    docker.start_container(name, options).await.doing("starting the container of the trial")?;
    let address = address(docker, name).await?;
    let client = crate::http::direct(READS_WITHIN)?;
    let ready = format!("http://{address}/healthz/ready");
    wait::until_every(
        Duration::from_millis(300),
        SERVES_WITHIN,
        "build again with --load and run it by hand",
        || async {
            if client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(Seen::Ready(()));
            }
            if !runs(docker, name).await? {
                return Err(Error::unhealthy(
                    format!("the image ended right after its start:{}", log(docker, name).await),
                    "nothing was pushed; mend what it says, then build again",
                ));
            }
            Ok(Seen::Awaiting("the image on trial to serve".into()))
        },
    )
    .await?;
    let part = reqwest::multipart::Part::bytes(SAMPLE).file_name("sample.jpg");
    let form = reqwest::multipart::Form::new().part("file", part);
    let doing = "asking the image on trial to read the sample";
    let answer = client.post(format!("http://{address}/ocr")).multipart(form).send().await.doing(doing)?;
    let answer: serde_json::Value = answer.json().await.doing(doing)?;
    Ok(answer["text"].as_str().map_or_else(|| answer.to_string(), str::to_owned))
}

async fn address(docker: &Docker, name: &str) -> Result<String> {
    let inspected = inspect(docker, name).await?;
    let ports = inspected.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let port = ports.get(PORT).cloned().flatten().and_then(|bindings| bindings.into_iter().next()?.host_port);
    match port {
        Some(port) => Ok(format!("127.0.0.1:{port}")),
        None => Err(Error::unhealthy(
            format!("the image did not start:{}", log(docker, name).await),
            "nothing was pushed; mend what it says, then build again",
        )),
    }
}

async fn inspect(docker: &Docker, name: &str) -> Result<bollard::models::ContainerInspectResponse> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    docker.inspect_container(name, options).await.doing("looking at the image on trial")
}

async fn runs(docker: &Docker, name: &str) -> Result<bool> {
    Ok(inspect(docker, name).await?.state.and_then(|state| state.running).unwrap_or(false))
}

async fn log(docker: &Docker, name: &str) -> String {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("8").build();
    let mut stream = docker.logs(name, Some(options));
    let mut lines = Vec::new();
    while let Some(Ok(line)) = stream.next().await {
        lines.push(format!("\n    {}", line.to_string().trim_end()));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::event::Events;

    #[test]
    fn the_image_on_trial_is_known_to_the_next_run() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path().into(), Config::default(), Events::silent()).unwrap();
        let host = Host { cache: dir.path().join("cache"), ..host };
        assert_eq!(on_trial(&host).unwrap(), None);
        write_atomically(&record(&host), b"localhost:5000/platen/ocr-service@sha256:ab\n").unwrap();
        assert_eq!(on_trial(&host).unwrap().unwrap(), "localhost:5000/platen/ocr-service@sha256:ab");
    }
}
