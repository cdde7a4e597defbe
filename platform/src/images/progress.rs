//! What BuildKit tells while it builds: a step for each platform, with the stage that it is at, and how long each took.

use std::collections::BTreeMap;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use serde::Serialize;

use super::builder::NAME;
use crate::error::Error;
use crate::event::{Events, Step};

/// How many of BuildKit's own lines an error shows.
const SHOWN_LINES: usize = 20;

/// Time that a stage of the Dockerfile took on one platform, over all its steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTime {
    /// `linux/arm64`, or `all` for what belongs to none alone.
    pub platform: String,
    pub stage: String,
    pub steps: usize,
    /// Of them, those that came from the cache.
    pub cached: usize,
    pub seconds: f64,
}

pub struct Progress {
    events: Events,
    /// Whether steps are named after their platform.
    several: bool,
    vertexes: BTreeMap<String, Vertex>,
    /// In the order in which they were first told.
    order: Vec<String>,
    running: BTreeMap<String, Step>,
    lines: BTreeMap<String, Vec<String>>,
    failed: Option<String>,
}

/// What the name of a step says: `[linux/amd64->linux/arm64 build 3/9] RUN …`.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    platform: Option<String>,
    stage: &'a str,
    command: &'a str,
}

fn place(name: &str) -> Place<'_> {
    let Some((inside, command)) = name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
        return Place { platform: None, stage: name.split(' ').next().unwrap_or(name), command: name };
    };
    let mut words = inside.split(' ').peekable();
    let platform = words
        .next_if(|word| word.contains('/') && word.starts_with(|first: char| first.is_ascii_lowercase()));
    // What is compiled here for another platform is told of that one, whose system is left out where it is the same.
    let platform = platform.map(|platform| match platform.split_once("->") {
        Some((host, target)) if !target.contains('/') => {
            format!("{}/{target}", host.split('/').next().unwrap_or("linux"))
        }
        Some((_, target)) => target.to_owned(),
        None => platform.to_owned(),
    });
    Place { platform, stage: words.next().unwrap_or(inside), command }
}

impl Progress {
    pub fn new(events: Events, several: bool) -> Self {
        Self {
            events,
            several,
            vertexes: BTreeMap::new(),
            order: Vec::new(),
            running: BTreeMap::new(),
            lines: BTreeMap::new(),
            failed: None,
        }
    }

    pub fn see(&mut self, status: StatusResponse) {
        for vertex in status.vertexes {
            if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
                self.failed.get_or_insert_with(|| vertex.digest.clone());
            }
            if !self.vertexes.contains_key(&vertex.digest) {
                self.order.push(vertex.digest.clone());
            }
            let digest = vertex.digest.clone();
            self.vertexes.insert(digest.clone(), vertex);
            self.show(&digest, None);
        }
        for log in status.logs {
            let text = String::from_utf8_lossy(&log.msg);
            let lines = self.lines.entry(log.vertex.clone()).or_default();
            lines.extend(text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()));
            lines.drain(..lines.len().saturating_sub(SHOWN_LINES));
            let last = lines.last().cloned();
            self.show(&log.vertex, last.as_deref());
        }
    }

    fn show(&mut self, digest: &str, line: Option<&str>) {
        let Some(vertex) = self.vertexes.get(digest) else { return };
        let place = place(&vertex.name);
        if vertex.started.is_none() || vertex.completed.is_some() || place.stage == "internal" {
            return;
        }
        let owner = place.platform.clone().unwrap_or_else(|| "all".into());
        let title = match (&place.platform, self.several) {
            (Some(platform), true) => format!("building for {platform}"),
            _ => "building the image".to_owned(),
        };
        let key = if self.several { owner.clone() } else { "all".to_owned() };
        let events = &self.events;
        let step = self
            .running
            .entry(key.clone())
            .or_insert_with(|| events.step(format!("build-{key}"), title, None));
        let of_lane = |vertex: &&Vertex| {
            !self.several || self::place(&vertex.name).platform.as_deref().unwrap_or("all") == owner
        };
        let total = self.vertexes.values().filter(of_lane).count() as u64;
        let done =
            self.vertexes.values().filter(of_lane).filter(|vertex| vertex.completed.is_some()).count() as u64;
        let message = match line {
            Some(line) => format!("{}: {line}", place.stage),
            None => format!("{}: {}", place.stage, shortened(place.command)),
        };
        step.progress(message, Some(done), Some(total));
    }

    /// Ends the steps well, and sums up.
    pub fn finish(mut self) -> Vec<StageTime> {
        for (_, step) in std::mem::take(&mut self.running) {
            step.done();
        }
        let mut stages: Vec<StageTime> = Vec::new();
        for vertex in self.order.iter().filter_map(|digest| self.vertexes.get(digest)) {
            let place = place(&vertex.name);
            let platform = place.platform.as_deref().unwrap_or("all");
            let known = stages.iter().position(|time| time.platform == platform && time.stage == place.stage);
            let at = known.unwrap_or_else(|| {
                let (platform, stage) = (platform.to_owned(), place.stage.to_owned());
                stages.push(StageTime { platform, stage, steps: 0, cached: 0, seconds: 0.0 });
                stages.len() - 1
            });
            let stage = &mut stages[at];
            stage.steps += 1;
            stage.cached += usize::from(vertex.cached);
            stage.seconds += seconds(vertex);
        }
        for stage in &mut stages {
            stage.seconds = (stage.seconds * 1000.0).round() / 1000.0;
        }
        stages
    }

    /// BuildKit's own last lines, and the step of the Dockerfile that failed.
    pub fn failure(&self, error: &str) -> Error {
        if error.contains("no space left on device") {
            return Error::machine(
                "the disk is full: BuildKit has no space left",
                format!(
                    "free disk space, then run the same command again; what the builder keeps of earlier builds goes by: \
                     docker exec {NAME} buildctl prune"
                ),
            );
        }
        let failed = self.failed.as_ref().and_then(|digest| self.vertexes.get(digest));
        let stage = failed.map(|vertex| format!(" at {}", shortened(&vertex.name))).unwrap_or_default();
        let lines = self.failed.as_ref().and_then(|digest| self.lines.get(digest)).into_iter().flatten();
        let lines: String = lines.flat_map(|line| ["\n    ", line.as_str()]).collect();
        let why = error.split("message = ").nth(1).unwrap_or(error);
        Error::Build { why: format!("building the image failed{stage}: {why}{lines}") }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a float")]
fn seconds(vertex: &Vertex) -> f64 {
    match (&vertex.started, &vertex.completed) {
        (Some(from), Some(to)) if !vertex.cached => {
            (to.seconds - from.seconds) as f64 + f64::from(to.nanos - from.nanos) / 1e9
        }
        _ => 0.0,
    }
}

/// A step of a Dockerfile can be a screen long.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::VertexLog;

    use super::*;
    use crate::event::{Event, Recorded};

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex { digest: digest.into(), name: name.into(), started: Some(time()), ..Vertex::default() }
    }

    /// A time, whatever its type is called.
    fn time<T: Default>() -> T {
        T::default()
    }

    fn seen(vertexes: Vec<Vertex>) -> StatusResponse {
        StatusResponse { vertexes, ..StatusResponse::default() }
    }

    #[test]
    fn the_name_of_a_step_says_platform_and_stage() {
        let crossed = place("[linux/amd64->linux/arm64 build 3/9] RUN cargo build");
        assert_eq!((crossed.platform.as_deref(), crossed.stage), (Some("linux/arm64"), "build"));
        let short = place("[linux/amd64->arm64 tools 2/2] RUN apt-get update");
        assert_eq!(short.platform.as_deref(), Some("linux/arm64"));
        assert_eq!(place("[linux/amd64 tools 1/2] FROM debian").platform.as_deref(), Some("linux/amd64"));
        assert_eq!(place("[build 2/9] COPY . .").platform, None);
        assert_eq!(place("exporting to image").stage, "exporting");
    }

    #[test]
    fn a_failure_shows_the_step_and_buildkits_own_lines() {
        let mut progress = Progress::new(Events::silent(), false);
        progress.see(StatusResponse {
            vertexes: vec![Vertex {
                error: "exit code: 101".into(),
                ..vertex("a", "[build 3/5] RUN cargo build")
            }],
            logs: vec![VertexLog {
                vertex: "a".into(),
                msg: b"error[E0425]: cannot find value\n".into(),
                ..VertexLog::default()
            }],
            ..StatusResponse::default()
        });
        let error =
            progress.failure("Grpc response failure: status = Unknown, message = exit code: 101").to_string();
        assert!(error.contains("[build 3/5] RUN cargo build: exit code: 101"), "{error}");
        assert!(error.contains("error[E0425]"), "{error}");
    }

    #[test]
    fn each_platform_is_a_step_of_its_own() {
        let recorded = Recorded::default();
        let mut progress = Progress::new(Events::new(recorded.clone()), true);
        progress.see(seen(vec![
            vertex("a", "[linux/amd64 build 1/2] RUN a"),
            vertex("b", "[linux/amd64->linux/arm64 build 1/2] RUN a"),
        ]));
        progress.finish();
        let titles: Vec<String> = recorded
            .events()
            .into_iter()
            .filter_map(|event| match event {
                Event::StepStarted { title, .. } => Some(title),
                _ => None,
            })
            .collect();
        assert_eq!(titles, ["building for linux/amd64", "building for linux/arm64"]);
    }

    #[test]
    fn a_stage_is_summed_over_its_steps() {
        let mut progress = Progress::new(Events::silent(), false);
        let mut done = vertex("a", "[build 1/2] RUN a");
        let mut end = done.started.unwrap();
        end.seconds += 3;
        done.completed = Some(end);
        let cached = Vertex { cached: true, completed: Some(end), ..vertex("b", "[build 2/2] RUN b") };
        progress.see(seen(vec![done, cached]));
        let stages = progress.finish();
        assert_eq!((stages.len(), stages[0].steps, stages[0].cached), (1, 2, 1));
        assert!((stages[0].seconds - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_full_disk_is_the_machines_lack() {
        let error = Progress::new(Events::silent(), false).failure("write /x: no space left on device");
        assert_eq!(error.exit(), crate::Exit::Machine);
        let hint = error.hint().unwrap();
        assert!(hint.contains("buildctl prune") && !hint.contains("down"), "{hint}");
    }
}
