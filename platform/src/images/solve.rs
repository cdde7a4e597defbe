//! One build by BuildKit: sent through bollard, watched through BuildKit's own status stream.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::grpc::BuildRef;
use bollard::grpc::build::{
    ImageBuildFrontendOptions, ImageBuildLoadInput, ImageBuildPlatform, SecretSource,
};
use bollard::grpc::driver::Image as _;
use bollard::grpc::driver::buildkitd::{BuildkitDaemon, ControlClient, Endpoint};
use bollard::grpc::registry::ImageRegistryOutput;
use bollard::moby::buildkit::v1::StatusRequest;
use futures_util::FutureExt;
use futures_util::future::FusedFuture;

use super::progress::{Progress, StageTime};
use super::wire::Wire;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::mirror::docker::credentials;
use crate::registry::{Credentials, Platform};

const DOCKERFILE: &str = "ocr-service/Dockerfile";
/// As BuildKit calls Docker Hub where it asks for a login.
const HUB: &str = "registry-1.docker.io";
/// A status may carry many lines of output.
const LARGEST_STATUS: usize = 16 << 20;
/// The end of the status stream follows the end of the build.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What to build.
pub struct Request {
    pub context: Vec<u8>,
    pub platforms: Vec<Platform>,
    pub args: Vec<(String, String)>,
    pub secrets: Vec<Secret>,
    pub no_cache: bool,
    /// The login at Docker Hub, where the base image comes from.
    pub hub: Option<Credentials>,
    /// Where the builder pushes it: the local registry, by the name that the builder knows.
    pub to: String,
}

/// A file that build steps may read and that stays in no layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub id: String,
    pub file: PathBuf,
}

impl std::str::FromStr for Secret {
    type Err = String;

    /// As BuildKit writes it: `id=NAME,src=FILE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let pairs: HashMap<&str, &str> = text.split(',').filter_map(|part| part.split_once('=')).collect();
        match (pairs.get("id"), pairs.get("src").or_else(|| pairs.get("source"))) {
            (Some(id), Some(file)) if !id.is_empty() && Path::new(file).is_file() => {
                Ok(Self { id: (*id).into(), file: file.into() })
            }
            (Some(_), Some(file)) => Err(format!("the secret's file {file:?} is not there")),
            _ => Err("write it as id=NAME,src=FILE".into()),
        }
    }
}

/// Builds and pushes; returns how long each stage took. Dropped on the way, it ends the build.
pub async fn solve(host: &Host, docker: &Docker, request: Request) -> Result<Vec<StageTime>> {
    let wire = Wire::open(docker)?;
    let reference = BuildRef::default();
    let id = reference.as_ref().to_owned();
    let mut progress = Progress::new(host.events.clone(), request.platforms.len() > 1);
    // Dropped with this future.
    let (_alive, gone) = tokio::sync::oneshot::channel::<()>();
    let build = start(wire.endpoint()?, request, reference, gone);
    let outcome = {
        let mut watch = std::pin::pin!(watch(&wire, id, &mut progress).fuse());
        tokio::select! {
            biased;
            ended = build => {
                // A status stream that is cut off takes nothing from the result.
                if !watch.is_terminated() {
                    tokio::time::timeout(LAST_WORDS, watch).await.ok();
                }
                ended
            }
            // Without its status the build goes on, in silence.
            never = async { watch.as_mut().await.ok(); std::future::pending().await } => never,
        }
    };
    match outcome.map_err(|error| Error::malformed("the build", error, "run the same command again"))? {
        Ok(()) => Ok(progress.finish()),
        Err(why) => Err(progress.failure(&why)),
    }
}

/// bollard's build cannot move between threads, so it has one of its own.
fn start(
    endpoint: Endpoint,
    request: Request,
    reference: BuildRef,
    gone: tokio::sync::oneshot::Receiver<()>,
) -> tokio::task::JoinHandle<Result<(), String>> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let (options, output) = (options(&request), output(&request));
        let login = request.hub.map(|login| HashMap::from([(HUB, credentials(login))]));
        let input = ImageBuildLoadInput::Upload(request.context.into());
        let daemon = BuildkitDaemon::new(endpoint);
        runtime.block_on(async {
            tokio::select! {
                built = daemon.registry(output, options, input, login, Some(reference)) => {
                    built.map_err(|error| error.to_string())
                }
                _ = gone => Err("it was given up".to_owned()),
            }
        })
    })
}

async fn watch(wire: &Wire, id: String, progress: &mut Progress) -> Result<()> {
    let lost = |why: String| Error::Build { why };
    let channel = wire.endpoint()?.connect().await.map_err(|error| lost(error.to_string()))?;
    let mut control = ControlClient::new(channel).max_decoding_message_size(LARGEST_STATUS);
    let request = StatusRequest { r#ref: id };
    let mut stream = control.status(request).await.map_err(|error| lost(error.to_string()))?.into_inner();
    while let Some(status) = stream.message().await.map_err(|error| lost(error.to_string()))? {
        progress.see(status);
    }
    Ok(())
}

fn options(request: &Request) -> ImageBuildFrontendOptions {
    let mut options =
        ImageBuildFrontendOptions::builder().dockerfile(Path::new(DOCKERFILE)).nocache(request.no_cache);
    for platform in &request.platforms {
        options = options.platforms(&ImageBuildPlatform {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
        });
    }
    for (name, value) in &request.args {
        options = options.buildarg(name, value);
    }
    for secret in &request.secrets {
        options = options.set_secret(&secret.id, &SecretSource::File(secret.file.clone()));
    }
    options.build()
}

fn output(request: &Request) -> ImageRegistryOutput {
    ImageRegistryOutput::builder(&request.to)
        .push(true)
        .insecure_registry(true)
        .oci_mediatypes(true)
        .consume()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_as_buildkit_writes_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("id=ca,src={}", file.path().display());
        assert_eq!(text.parse::<Secret>().unwrap(), Secret { id: "ca".into(), file: file.path().into() });
        assert!("id=ca,src=/no/such/file".parse::<Secret>().unwrap_err().contains("not there"));
        assert!("ca".parse::<Secret>().unwrap_err().contains("id=NAME,src=FILE"));
    }
}
