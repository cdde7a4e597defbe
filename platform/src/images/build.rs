//! Builds an image by the BuildKit inside Docker, with its own events as progress.

use std::collections::BTreeMap;

use bollard::Docker;
use bollard::models::BuildInfoAux;
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion};
use futures_util::StreamExt;

use super::ImageRef;
use super::context::archive;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;

const DOCKERFILE: &str = "ocr-service/Dockerfile";
/// How many of BuildKit's own lines an error shows.
const SHOWN_LINES: usize = 20;

/// Builds the service's image for this machine's platform, into Docker's own store.
pub async fn build(host: &Host, docker: &Docker, image: &ImageRef, step: &Step) -> Result<()> {
    let session = format!("platen-{}-{}", image.tag, std::process::id());
    let options = BuildImageOptionsBuilder::default()
        .dockerfile(DOCKERFILE)
        .t(&image.to_string())
        .version(BuilderVersion::BuilderBuildKit)
        .session(&session)
        .build();
    let context = archive(&host.root)?;
    let mut events = docker.build_image(options, None, Some(bollard::body_full(context.into())));
    let mut progress = Progress::default();
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| progress.failure(&error.to_string()))?;
        if let Some(BuildInfoAux::BuildKit(status)) = event.aux {
            progress.see(status);
            step.progress(progress.message(), Some(progress.done()), Some(progress.total()));
        }
    }
    Ok(())
}

/// What BuildKit has told so far.
#[derive(Default)]
struct Progress {
    /// By digest: the name, and whether it is completed.
    stages: BTreeMap<String, (String, bool)>,
    current: String,
    failed: Option<String>,
    lines: Vec<String>,
}

impl Progress {
    fn see(&mut self, status: bollard::moby::buildkit::v1::StatusResponse) {
        for stage in status.vertexes {
            if stage.started.is_some() && stage.completed.is_none() {
                self.current.clone_from(&stage.name);
            }
            if !stage.error.is_empty() {
                self.failed = Some(stage.name.clone());
            }
            self.stages.insert(stage.digest, (stage.name, stage.completed.is_some()));
        }
        for log in status.logs {
            self.lines
                .extend(String::from_utf8_lossy(&log.msg).lines().map(|line| line.trim_end().to_owned()));
        }
        let surplus = self.lines.len().saturating_sub(SHOWN_LINES);
        self.lines.drain(..surplus);
    }

    fn message(&self) -> String {
        match self.lines.last() {
            Some(line) => format!("{}: {line}", shortened(&self.current)),
            None => shortened(&self.current),
        }
    }

    fn done(&self) -> u64 {
        self.stages.values().filter(|(_, completed)| *completed).count() as u64
    }

    fn total(&self) -> u64 {
        self.stages.len() as u64
    }

    /// BuildKit's own last lines, and the step of the Dockerfile that failed.
    fn failure(&self, error: &str) -> Error {
        let stage =
            self.failed.as_deref().map(|stage| format!(" at {}", shortened(stage))).unwrap_or_default();
        let lines: String = self.lines.iter().flat_map(|line| ["\n    ", line.as_str()]).collect();
        Error::Build { why: format!("building the image failed{stage}: {error}{lines}") }
    }
}

/// A step of a Dockerfile can be a screen long.
fn shortened(stage: &str) -> String {
    const LONGEST: usize = 60;
    match stage.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &stage[..end]),
        None => stage.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

    use super::*;

    #[test]
    fn a_failure_shows_the_step_and_buildkits_own_lines() {
        let mut progress = Progress::default();
        progress.see(StatusResponse {
            vertexes: vec![Vertex {
                digest: "sha256:1".into(),
                name: "[build 3/5] RUN cargo build".into(),
                error: "exit code: 101".into(),
                ..Vertex::default()
            }],
            logs: vec![VertexLog {
                msg: b"error[E0425]: cannot find value\n".into(),
                ..VertexLog::default()
            }],
            ..StatusResponse::default()
        });
        let error = progress.failure("exit code: 101").to_string();
        assert!(error.contains("[build 3/5] RUN cargo build"), "{error}");
        assert!(error.contains("error[E0425]"), "{error}");
    }

    #[test]
    fn progress_counts_completed_stages() {
        let mut progress = Progress::default();
        let stage = |digest: &str, completed: bool| Vertex {
            digest: digest.into(),
            completed: completed.then(Default::default),
            ..Vertex::default()
        };
        progress.see(StatusResponse {
            vertexes: vec![stage("a", true), stage("b", false)],
            ..Default::default()
        });
        assert_eq!((progress.done(), progress.total()), (1, 2));
    }
}
