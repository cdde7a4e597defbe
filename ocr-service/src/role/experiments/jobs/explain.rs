//! From a Job and its pods to a state and a sentence: pure, so that each case is tested with the status that a
//! cluster shows.

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerState, Pod};

use crate::role::experiments::experiment::{State, Status};

/// Reasons of a container that waits, which will not go away by themselves, and what helps.
const STUCK: &[(&str, &str)] = &[
    ("ImagePullBackOff", "its image cannot be pulled; push it, or set AE_MODEL_IMAGE_URL to one that can"),
    ("ErrImagePull", "its image cannot be pulled; push it, or set AE_MODEL_IMAGE_URL to one that can"),
    ("ErrImageNeverPull", "its image is not on the node; load it there"),
    ("InvalidImageName", "AE_MODEL_IMAGE_URL is no name of an image; correct it"),
    ("CreateContainerConfigError", "its container cannot be made"),
    ("CreateContainerError", "its container cannot be made"),
    ("RunContainerError", "its container cannot be started; is its program in the image?"),
    ("StartError", "its container cannot be started; is its program in the image?"),
];

/// `last`: how the Job was last seen, for what its pods tell no more.
pub fn status(job: &Job, pods: &[Pod], last: &Status) -> Status {
    if condition(job, "Complete").is_some() {
        return Status { exit_code: Some(0), ..Status::of(State::Succeeded) };
    }
    // Said before the last pod is gone, and decided then.
    if let Some(failed) = condition(job, "Failed").or_else(|| condition(job, "FailureTarget")) {
        return failure(failed, pods, last);
    }
    let Some(pod) = newest(pods) else {
        return Status {
            reason: Some("NoPod".into()),
            message: Some("its pod is not there yet; a quota, or a limit range, can keep it away".into()),
            ..Status::of(State::Pending)
        };
    };
    let state = container_state(pod);
    if state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some()) {
        return Status::of(State::Running);
    }
    waiting(pod, state.as_ref())
}

fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

pub(super) fn newest(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn container_state(pod: &Pod) -> Option<ContainerState> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone()
}

fn failure(condition: &JobCondition, pods: &[Pod], last: &Status) -> Status {
    let reason = condition.reason.clone().unwrap_or_else(|| "Failed".into());
    if reason == "DeadlineExceeded" {
        let message = match why_it_waited(pods, last) {
            Some(why) => format!("it took longer than a Job may, and waited when it was last seen: {why}"),
            None => "it took longer than a Job may; ask for fewer epochs".into(),
        };
        return Status::failed(&reason, message);
    }
    let terminated = newest(pods).and_then(container_state).and_then(|state| state.terminated);
    let Some(terminated) = terminated else {
        let why = condition.message.clone().unwrap_or_default();
        return Status::failed(&reason, format!("the Job failed and its pod is gone: {why}"));
    };
    let said = terminated.message.as_deref().and_then(last_line);
    let message = match (terminated.reason.as_deref(), said) {
        (Some("OOMKilled"), _) => "it needed more memory than its limit; raise experiments.job.memory".into(),
        (_, Some(line)) => line.to_owned(),
        (_, None) => format!("it ended with exit code {} and said nothing", terminated.exit_code),
    };
    let reason = terminated.reason.as_deref().unwrap_or(&reason);
    Status { exit_code: Some(terminated.exit_code), ..Status::failed(reason, message) }
}

/// What kept a Job from running until its time was over, which counts from its creation: its pod says so, and once that
/// is removed, how it was last seen.
fn why_it_waited(pods: &[Pod], last: &Status) -> Option<String> {
    let pod = newest(pods);
    let state = pod.and_then(container_state);
    // A container that is given up before it was started ends as well, but was started at no time.
    let has_run = state.as_ref().is_some_and(|state| {
        state.running.is_some() || state.terminated.as_ref().is_some_and(|end| end.started_at.is_some())
    });
    if has_run {
        return None;
    }
    let now = pod.map(|pod| waiting(pod, state.as_ref())).filter(|now| now.reason.is_some());
    let seen = now.as_ref().unwrap_or(last);
    let reason = seen.reason.as_deref().filter(|_| seen.state == State::Pending)?;
    Some(seen.message.as_ref().map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}")))
}

/// Why a pod does not run yet.
fn waiting(pod: &Pod, state: Option<&ContainerState>) -> Status {
    let pending = |reason: Option<String>, message| Status { reason, message, ..Status::of(State::Pending) };
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.clone().unwrap_or_default();
        let help = STUCK.iter().find(|(stuck, _)| *stuck == reason).map(|(_, help)| *help);
        let message = match (help, &waiting.message) {
            (Some(help), Some(detail)) => Some(format!("{help} ({detail})")),
            (Some(help), None) => Some(help.to_owned()),
            (None, detail) => detail.clone(),
        };
        return pending(Some(reason), message);
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let unscheduled =
        conditions.into_iter().flatten().find(|it| it.type_ == "PodScheduled" && it.status == "False");
    match unscheduled {
        Some(condition) => pending(
            condition.reason.clone(),
            condition.message.as_ref().map(|message| format!("no node takes its pod: {message}")),
        ),
        None => pending(None, None),
    }
}

/// The last line that says something, without the mark that our own last words carry.
pub fn last_line(text: &str) -> Option<&str> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.strip_prefix("error: ").unwrap_or(line))
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
