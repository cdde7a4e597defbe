//! The few things that the source build asks of Docker, each safe to repeat.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::body_try_stream;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, ImportImageOptions, ListContainersOptions,
    RemoveContainerOptions, RemoveImageOptions, TagImageOptions, UploadToContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};
use tokio_util::io::ReaderStream;

use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::registry::{self, Credentials, Registries};

/// On everything in Docker that Platen made; the value says what it is.
pub const LABEL: &str = "dev.platen";
/// The value on containers that live only while something is built.
pub const BUILDING: &str = "building";

const CHUNK: usize = 1 << 20;
/// How long a request of a run that is gone may still go on.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// Whole transfers of several hundred MiB go through one request.
pub fn patient(docker: &Docker) -> Docker {
    docker.clone().with_timeout(Duration::from_mins(15))
}

/// References of all local images.
pub async fn references(docker: &Docker) -> Result<BTreeSet<String>> {
    let options = None::<bollard::query_parameters::ListImagesOptions>;
    let images = docker.list_images(options).await.doing("listing Docker's images")?;
    Ok(images.into_iter().flat_map(|image| image.repo_tags).collect())
}

/// References of local images that were made longer ago than `age`.
pub async fn references_older_than(docker: &Docker, age: Duration) -> Result<Vec<String>> {
    let options = None::<bollard::query_parameters::ListImagesOptions>;
    let images = docker.list_images(options).await.doing("listing Docker's images")?;
    let limit = SystemTime::now() - age;
    let made = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let old = images.into_iter().filter(|image| made(image.created) < limit);
    Ok(old.flat_map(|image| image.repo_tags).collect())
}

/// Loads an archive that [`super::archive`] wrote.
pub async fn load(docker: &Docker, archive: &Path) -> Result<()> {
    let doing = || format!("loading {} into Docker", archive.display());
    let file = tokio::fs::File::open(archive).await.doing(doing())?;
    let options = ImportImageOptions { quiet: true, ..Default::default() };
    let patient = patient(docker);
    let mut told = patient.import_image_stream(options, ReaderStream::with_capacity(file, CHUNK), None);
    while told.try_next().await.doing(doing())?.is_some() {}
    Ok(())
}

/// Gives the image another reference.
pub async fn tag(docker: &Docker, image: &str, repo: &str, tag: &str) -> Result<()> {
    let options = TagImageOptions { repo: Some(repo.into()), tag: Some(tag.into()) };
    docker.tag_image(image, Some(options)).await.doing(format!("tagging {image} as {repo}:{tag}"))
}

/// A login as Docker and BuildKit take it.
pub fn credentials(login: Credentials) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.user),
        password: Some(login.password),
        serveraddress: Some(login.server),
        ..DockerCredentials::default()
    }
}

/// Pulls an image that Docker does not have, with this machine's login at its registry.
pub async fn ensure_image(host: &Host, docker: &Docker, reference: &str) -> Result<()> {
    if found(docker.inspect_image(reference).await)
        .doing(format!("looking for the image {reference}"))?
        .is_some()
    {
        return Ok(());
    }
    // A login that is of no use is none: what is public comes without, also where one is refused.
    let login = Registries::new(host)?.login(&registry::parse(reference)?).await.ok().flatten();
    let Some(login) = login else { return pull(docker, reference, None).await };
    match pull(docker, reference, Some(login)).await {
        Ok(()) => Ok(()),
        Err(with_login) => pull(docker, reference, None).await.map_err(|_| with_login),
    }
}

async fn pull(docker: &Docker, reference: &str, login: Option<Credentials>) -> Result<()> {
    let options = CreateImageOptions { from_image: Some(reference.into()), ..CreateImageOptions::default() };
    let pulled: Vec<_> = docker
        .create_image(Some(options), None, login.map(credentials))
        .try_collect()
        .await
        .doing(format!("pulling {reference}"))?;
    drop(pulled);
    Ok(())
}

/// Removes the reference, and the image when it was its last one; none is fine.
pub async fn remove_image(docker: &Docker, reference: &str) -> Result<()> {
    let options = RemoveImageOptions { force: true, ..Default::default() };
    found(docker.remove_image(reference, Some(options), None).await)
        .doing(format!("removing the image {reference}"))?;
    Ok(())
}

/// Removes these images where no container uses them.
pub async fn prune(docker: &Docker, outdated: impl IntoIterator<Item = String>) -> Result<()> {
    for reference in outdated {
        let options = None::<RemoveImageOptions>;
        match docker.remove_image(&reference, options, None).await {
            // Gone already, or in use by a container.
            Err(DockerError::DockerResponseServerError { status_code: 404 | 409, .. }) | Ok(_) => {}
            Err(error) => return Err(error).doing(format!("removing the image {reference}")),
        }
    }
    Ok(())
}

/// Creates a container under a name that is ours; what has it goes first. A run that was killed may have asked Docker
/// for the same a moment ago, and Docker is still at it.
pub async fn create_container(docker: &Docker, name: &str, body: &ContainerCreateBody) -> Result<()> {
    let begun = Instant::now();
    loop {
        remove_container(docker, name).await?;
        let options = CreateContainerOptions { name: Some(name.into()), ..Default::default() };
        match docker.create_container(Some(options), body.clone()).await {
            Err(DockerError::DockerResponseServerError { status_code: 409, .. })
                if begun.elapsed() < SETTLES_WITHIN =>
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            created => return created.map(drop).doing(format!("creating the container {name}")),
        }
    }
}

/// Removes the container and its volumes, running or not; none is fine.
pub async fn remove_container(docker: &Docker, container: &str) -> Result<()> {
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    found(docker.remove_container(container, Some(options)).await)
        .doing(format!("removing the container {container}"))?;
    Ok(())
}

/// Ids of containers with this value of [`LABEL`], running or not.
pub async fn labelled(docker: &Docker, value: &str) -> Result<Vec<String>> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{LABEL}={value}")])]);
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let containers = docker.list_containers(Some(options)).await.doing("listing Docker's containers")?;
    Ok(containers.into_iter().filter_map(|container| container.id).collect())
}

/// Unpacks a tar at the container's root.
pub async fn upload(docker: &Docker, container: &str, tar: &Path) -> Result<()> {
    let doing = || format!("copying {} into a container", tar.display());
    let file = tokio::fs::File::open(tar).await.doing(doing())?;
    let body = body_try_stream(ReaderStream::with_capacity(file, CHUNK));
    let options = UploadToContainerOptions { path: "/".into(), ..Default::default() };
    patient(docker).upload_to_container(container, Some(options), body).await.doing(doing())
}

/// Runs a program in the container; an exit code but 0 is an error with the end of what it said.
pub async fn exec(docker: &Docker, container: &str, argv: &[&str]) -> Result<String> {
    let command = argv.join(" ");
    let doing = || format!("running {command} in a container");
    let config = CreateExecOptions {
        cmd: Some(argv.iter().map(ToString::to_string).collect::<Vec<_>>()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let patient = patient(docker);
    let exec = patient.create_exec(container, config).await.doing(doing())?;
    let mut said = String::new();
    if let StartExecResults::Attached { mut output, .. } =
        patient.start_exec(&exec.id, None).await.doing(doing())?
    {
        while let Some(line) = output.next().await {
            said.push_str(&log_text(&line.doing(doing())?));
        }
    }
    let code = patient.inspect_exec(&exec.id).await.doing(doing())?.exit_code.unwrap_or(-1);
    if code == 0 {
        return Ok(said);
    }
    let lines: Vec<_> = said.trim_end().lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n    ");
    Err(Error::unhealthy(
        format!("{command} in a container exited with {code}\n    {tail}"),
        "run the same command again; if it fails the same way, look at Docker's log",
    ))
}

fn log_text(line: &LogOutput) -> String {
    String::from_utf8_lossy(line.as_ref()).into_owned()
}

/// `None` where Docker has no such thing.
pub fn found<T>(result: Result<T, bollard::errors::Error>) -> Result<Option<T>, bollard::errors::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
