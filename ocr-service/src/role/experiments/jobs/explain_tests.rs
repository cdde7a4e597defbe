//! Each state of a Job, with the status that a cluster shows of it.

use serde_json::{Value, json};

use super::*;

/// Of a Job that was not looked at before.
fn status(job: &Job, pods: &[Pod]) -> Status {
    super::status(job, pods, &Status::of(State::Creating))
}

fn job(conditions: &Value) -> Job {
    serde_json::from_value(json!({"metadata": {"name": "j"}, "status": {"conditions": conditions}})).unwrap()
}

fn pod(created: &str, status: &Value) -> Pod {
    let metadata = json!({"name": "p", "creationTimestamp": created});
    serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
}

/// A pod whose one container is in `state`.
fn with(state: &Value) -> Pod {
    let container = json!({
        "name": "train", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    });
    pod("2026-11-21T09:00:00Z", &json!({"containerStatuses": [container]}))
}

const EARLY: &str = "2026-11-21T08:00:00Z";

fn failed(reason: &str) -> Job {
    job(&json!([{"type": "Failed", "status": "True", "reason": reason, "message": "Job has failed"}]))
}

#[test]
fn a_complete_job_has_succeeded_also_when_its_pod_is_gone() {
    let done = job(&json!([{"type": "Complete", "status": "True"}]));
    assert_eq!(status(&done, &[]), Status { exit_code: Some(0), ..Status::of(State::Succeeded) });
}

#[test]
fn a_failure_says_its_exit_code_and_its_last_line() {
    let said = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "reading\nerror: no image is in /input\n"}});
    let status = status(&failed("BackoffLimitExceeded"), &[with(&said)]);
    assert_eq!(status, Status { exit_code: Some(3), ..Status::failed("Error", "no image is in /input") });
}

#[test]
fn a_container_that_needed_too_much_memory_is_told_to_have_more() {
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let status = status(&failed("BackoffLimitExceeded"), &[with(&killed)]);
    assert_eq!((status.reason.as_deref(), status.exit_code), (Some("OOMKilled"), Some(137)));
    assert!(status.message.unwrap().contains("memory"));
}

#[test]
fn a_job_that_took_too_long_says_so() {
    let started = json!({"exitCode": 137, "startedAt": EARLY});
    let waited = Status { reason: Some("ContainerCreating".into()), ..Status::of(State::Pending) };
    for (pods, last) in [
        (vec![], Status::of(State::Creating)),
        (vec![], Status::of(State::Running)),
        (vec![with(&json!({"terminated": started}))], waited.clone()),
        (vec![with(&json!({"running": {}}))], waited),
    ] {
        let status = super::status(&failed("DeadlineExceeded"), &pods, &last);
        assert_eq!((status.state, status.reason.as_deref()), (State::Failed, Some("DeadlineExceeded")));
        assert!(status.message.unwrap().contains("fewer epochs"));
    }
}

#[test]
fn a_job_that_waited_until_its_time_was_over_says_for_what() {
    let waited = Status {
        reason: Some("ImagePullBackOff".into()),
        message: Some("its image cannot be pulled".into()),
        ..Status::of(State::Pending)
    };
    let waits = json!({"waiting": {"reason": "ImagePullBackOff", "message": "its image cannot be pulled"}});
    let given_up = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
    for (pods, last) in [
        (vec![], waited.clone()),
        (vec![with(&given_up)], waited),
        (vec![with(&waits)], Status::of(State::Creating)),
    ] {
        let status = super::status(&failed("DeadlineExceeded"), &pods, &last);
        assert_eq!((status.state, status.reason.as_deref()), (State::Failed, Some("DeadlineExceeded")));
        let message = status.message.unwrap();
        assert!(message.contains("ImagePullBackOff: its image cannot be pulled"), "{message}");
        assert!(!message.contains("epochs"), "{message}");
    }
}

#[test]
fn a_job_that_is_about_to_fail_has_failed() {
    let about = job(&json!([{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]));
    assert_eq!(status(&about, &[]).state, State::Failed);
}

#[test]
fn the_newest_pod_counts() {
    let job = job(&json!([]));
    let lost = pod(EARLY, &json!({"conditions": [{"type": "DisruptionTarget", "status": "True"}]}));
    assert_eq!(status(&job, &[with(&json!({"running": {}})), lost]).state, State::Running);
}

#[test]
fn an_image_that_cannot_be_pulled_leaves_it_pending_and_says_why() {
    let waiting =
        json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
    let status = status(&job(&json!([])), &[with(&waiting)]);
    assert_eq!((status.state, status.reason.as_deref()), (State::Pending, Some("ImagePullBackOff")));
    let message = status.message.unwrap();
    assert!(message.contains("AE_MODEL_IMAGE_URL") && message.contains("Back-off"), "{message}");
}

#[test]
fn a_pod_that_no_node_takes_says_what_the_scheduler_says() {
    let condition = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims",
    }]);
    let status = status(&job(&json!([])), &[pod(EARLY, &json!({"conditions": condition}))]);
    assert_eq!((status.state, status.reason.as_deref()), (State::Pending, Some("Unschedulable")));
    assert!(status.message.unwrap().contains("PersistentVolumeClaims"));
}

#[test]
fn a_job_whose_pod_is_kept_away_says_what_can_keep_it() {
    let status = status(&job(&json!([])), &[]);
    assert_eq!((status.state, status.reason.as_deref()), (State::Pending, Some("NoPod")));
}

#[test]
fn the_last_line_is_the_last_that_says_something() {
    assert_eq!(last_line("a\nerror: b\n\n  \n"), Some("b"));
    assert_eq!(last_line("\n"), None);
}
