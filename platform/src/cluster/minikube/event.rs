//! What minikube tells with `-o json`: one `CloudEvent` a line. Between them stand lines of other programs, which are no
//! events; klog writes to standard error. None of it says whether a run went well: only the exit code does.

use serde::Deserialize;

/// The name of the step with which each node begins.
pub const STARTING_NODE: &str = "Starting Node";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Steps skip, go back, and begin anew for each worker.
    Step {
        name: String,
        message: String,
        current: u64,
        total: u64,
    },
    Download {
        artifact: String,
        /// In percent, where it is known.
        percent: Option<u64>,
    },
    Info(String),
    Warning(String),
    Error(Complaint),
}

/// An error event. A run that goes well has some of them too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaint {
    pub message: String,
    /// minikube's name for it, as `RSRC_INSUFFICIENT_REQ_MEMORY`; not every error has one.
    pub name: String,
    /// What minikube advises.
    pub advice: String,
    pub url: String,
    /// The code that it would end the run with, where it can.
    pub code: Option<i32>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Data,
}

/// All values are strings.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    message: String,
    name: String,
    currentstep: String,
    totalsteps: String,
    artifact: String,
    progress: String,
    advice: String,
    url: String,
    exitcode: String,
}

/// The event of a line; `None` for whatever else stands there.
pub fn parse(line: &str) -> Option<Event> {
    let Line { kind, data } = serde_json::from_str(line).ok()?;
    match kind.strip_prefix("io.k8s.sigs.minikube.")? {
        "step" => Some(Event::Step {
            current: data.currentstep.parse().unwrap_or_default(),
            total: data.totalsteps.parse().unwrap_or_default(),
            name: data.name,
            message: data.message,
        }),
        "download" => Some(Event::Download { artifact: data.artifact, percent: None }),
        "download.progress" => {
            Some(Event::Download { percent: percent(&data.progress), artifact: data.artifact })
        }
        "info" => Some(Event::Info(data.message)),
        "warning" => Some(Event::Warning(data.message)),
        "error" => Some(Event::Error(Complaint {
            code: data.exitcode.parse().ok(),
            message: data.message,
            name: data.name,
            advice: data.advice,
            url: data.url,
        })),
        _ => None,
    }
}

/// Of a share between 0 and 1.
fn percent(share: &str) -> Option<u64> {
    let share: f64 = share.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
    (0.0..=1.0).contains(&share).then(|| (share * 100.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the real program writes a line.
    fn line(kind: &str, data: &serde_json::Value) -> String {
        serde_json::json!({
            "specversion": "1.0", "id": "0", "source": "https://minikube.sigs.k8s.io/",
            "type": format!("io.k8s.sigs.minikube.{kind}"), "datacontenttype": "application/json", "data": data,
        })
        .to_string()
    }

    #[test]
    fn each_kind_of_event_is_read() {
        let step = serde_json::json!({"currentstep": "8", "totalsteps": "19", "name": "Creating Container", "message": "Creating docker container"});
        let Some(Event::Step { current: 8, total: 19, name, .. }) = parse(&line("step", &step)) else {
            panic!("no step");
        };
        assert_eq!(name, "Creating Container");
        let half = serde_json::json!({"artifact": "preload", "progress": "0.5"});
        let download = parse(&line("download.progress", &half));
        assert_eq!(download, Some(Event::Download { artifact: "preload".into(), percent: Some(50) }));
        let error = serde_json::json!({"exitcode": "57", "advice": "", "name": "DRV_AS_ROOT", "message": "no", "issues": ""});
        let Some(Event::Error(complaint)) = parse(&line("error", &error)) else { panic!("no error") };
        assert_eq!((complaint.code, complaint.name.as_str()), (Some(57), "DRV_AS_ROOT"));
        let bare = parse(&line("error", &serde_json::json!({"message": "may be"})));
        assert!(matches!(bare, Some(Event::Error(Complaint { code: None, .. }))));
    }

    #[test]
    fn lines_that_are_no_events_are_none() {
        for stray in [
            "",
            "* Deleting \"pc\" in docker ...",
            "{\"a\": 1}",
            "[]",
            "W1121 04:23 docker.go:244] x",
            "{\"type\"",
        ] {
            assert_eq!(parse(stray), None, "{stray}");
        }
        assert_eq!(parse(&line("surprise", &serde_json::json!({"message": "new"}))), None);
    }
}
