//! The way to BuildKit in its container: a socket of this process alone, each connection to it carried by `docker exec`.
//! It works wherever Docker's own interface does, and opens no port to others.

use std::path::PathBuf;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::grpc::driver::buildkitd::Endpoint;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::builder::NAME;
use crate::error::{Doing, Error, Result};
use crate::mirror::docker::patient;

/// Open as long as this value lives.
pub struct Wire {
    folder: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

impl Wire {
    pub fn open(docker: &Docker) -> Result<Self> {
        // Nobody else may connect: the folder is this user's alone.
        let folder =
            tempfile::Builder::new().prefix("platen-").tempdir().doing("creating a folder for a socket")?;
        let listener = UnixListener::bind(folder.path().join("buildkit.sock")).doing("opening a socket")?;
        let docker = patient(docker);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let docker = docker.clone();
                // What goes wrong is seen by whoever is at the other end: the connection closes.
                tokio::spawn(async move { carry(&docker, stream).await.is_ok() });
            }
        });
        Ok(Self { folder, accepting })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("buildkit.sock")
    }

    pub fn endpoint(&self) -> Result<Endpoint> {
        Endpoint::from_shared(format!("unix://{}", self.path().display()))
            .map_err(|error| Error::malformed("the address of the builder", error, ""))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(docker: &Docker, stream: UnixStream) -> Result<()> {
    let config = CreateExecOptions {
        cmd: Some(vec!["buildctl", "dial-stdio"]),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(false),
        ..Default::default()
    };
    let exec = docker.create_exec(NAME, config).await.doing("connecting to the builder")?;
    let options = StartExecOptions { output_capacity: Some(1 << 20), ..Default::default() };
    let started = docker.start_exec(&exec.id, Some(options)).await.doing("connecting to the builder")?;
    let StartExecResults::Attached { mut output, mut input } = started else { return Ok(()) };
    let (mut from, mut to) = stream.into_split();
    let up = async {
        tokio::io::copy(&mut from, &mut input).await?;
        input.shutdown().await
    };
    let down = async {
        while let Some(Ok(chunk)) = output.next().await {
            to.write_all(&chunk.into_bytes()).await?;
        }
        to.shutdown().await
    };
    // When either end is gone the connection is over.
    tokio::select! { ended = up => ended, ended = down => ended }.doing("speaking with the builder")
}
