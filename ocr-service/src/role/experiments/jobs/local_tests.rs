//! Real processes: programs that stand for the service's own, which `tests/service/experiments.rs` runs.

use std::fs;
use std::time::Instant;

use super::*;

/// A folder whose `program` is a shell script.
struct Place(tempfile::TempDir);

impl Place {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Not written by this process: what another test starts at that moment would inherit the open file, and a
        // program that somebody may still write to cannot be started (ETXTBSY).
        let written = std::process::Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\""])
            .arg(folder.path().join("program"))
            .arg(script)
            .status();
        assert!(written.unwrap().success());
        Self(folder)
    }

    fn config(&self) -> LocalConfig {
        let at = |name: &str| self.0.path().join(name);
        LocalConfig {
            program: at("program"),
            input: at("input"),
            output: at("output"),
            logs: at("logs"),
            limit: Duration::from_mins(1),
        }
    }
}

async fn status(jobs: &Local, id: &str) -> Status {
    jobs.status(id, &Status::of(State::Pending)).await.unwrap().unwrap()
}

async fn until(jobs: &Local, id: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let give_up = Instant::now() + Duration::from_mins(1);
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    loop {
        let status = status(jobs, id).await;
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < give_up, "still {status:?}");
        ticks.tick().await;
    }
}

async fn outcome(script: &str) -> Status {
    let place = Place::new(script);
    let jobs = Local::open(place.config()).unwrap();
    jobs.start(&Asked::named("run-1")).await.unwrap();
    until(&jobs, "run-1", |status| status.state.is_final()).await
}

#[tokio::test]
async fn a_program_that_ends_well_has_succeeded() {
    assert_eq!(outcome("exit 0").await, Status { exit_code: Some(0), ..Status::of(State::Succeeded) });
}

#[tokio::test]
async fn a_program_that_fails_says_its_exit_code_and_its_last_line() {
    let status = outcome("echo 'epoch 1' >&2; echo 'error: the loss diverged' >&2; exit 1").await;
    assert_eq!(status, Status { exit_code: Some(1), ..Status::failed("Error", "the loss diverged") });
}

#[tokio::test]
async fn a_program_that_is_killed_says_by_which_signal() {
    let status = outcome("kill -9 $$").await;
    assert_eq!(status, Status::failed("Killed", "the training was ended by signal 9"));
}

#[tokio::test]
async fn a_program_that_is_not_there_cannot_be_started() {
    let place = Place::new("");
    fs::remove_file(place.config().program).unwrap();
    let jobs = Local::open(place.config()).unwrap();
    jobs.start(&Asked::named("run-1")).await.unwrap();
    let status = until(&jobs, "run-1", |status| status.state.is_final()).await;
    assert_eq!(status.reason.as_deref(), Some("CannotStart"));
}

#[tokio::test]
async fn one_runs_and_the_next_waits() {
    let place = Place::new("while [ ! -e $(dirname $0)/go ]; do sleep 0.02; done");
    let jobs = Local::open(place.config()).unwrap();
    jobs.start(&Asked::named("first")).await.unwrap();
    until(&jobs, "first", |status| status.state == State::Running).await;
    jobs.start(&Asked::named("second")).await.unwrap();
    assert_eq!(status(&jobs, "second").await.state, State::Pending);
    fs::write(place.0.path().join("go"), "").unwrap();
    until(&jobs, "second", |status| status.state == State::Succeeded).await;
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let place = Place::new("exec sleep 600");
    let config = LocalConfig { limit: Duration::from_millis(50), ..place.config() };
    let jobs = Local::open(config).unwrap();
    jobs.start(&Asked::named("run-1")).await.unwrap();
    let status = until(&jobs, "run-1", |status| status.state.is_final()).await;
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
}

#[tokio::test]
async fn a_name_with_results_is_used() {
    let place = Place::new("");
    let jobs = Local::open(place.config()).unwrap();
    fs::create_dir(place.config().output.join("run-1")).unwrap();
    assert!(matches!(jobs.start(&Asked::named("run-1")).await, Err(JobsError::Used(_))));
}

#[tokio::test]
async fn what_an_earlier_process_has_started_is_known_by_its_results() {
    let place = Place::new("");
    let jobs = Local::open(place.config()).unwrap();
    for (id, text) in [("good", "{\"state\":\"succeeded\"}"), ("bad", "{\"state\":\"diverged\"}")] {
        let folder = place.config().output.join(id);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("result.json"), text).unwrap();
    }
    let of = async |id| status(&jobs, id).await;
    assert_eq!(of("good").await.state, State::Succeeded);
    assert!(of("bad").await.message.unwrap().contains("diverged"));
    assert_eq!(of("none").await.reason.as_deref(), Some("Interrupted"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_training_knows_none_of_the_services_settings() {
    assert!(std::env::var_os("PATH").is_some(), "nothing to keep from it");
    let place = Place::new("cat /proc/$$/environ > $(dirname $0)/environment");
    let jobs = Local::open(place.config()).unwrap();
    jobs.start(&Asked::named("run-1")).await.unwrap();
    until(&jobs, "run-1", |status| status.state == State::Succeeded).await;
    let environment = fs::read_to_string(place.0.path().join("environment")).unwrap();
    let variables = environment.split_terminator('\0');
    let mut names: Vec<_> = variables.map(|variable| variable.split('=').next().unwrap()).collect();
    names.retain(|name| *name != "LD_LIBRARY_PATH");
    names.sort_unstable();
    assert_eq!(names, ["PLATEN_LOG", "PLATEN_LOG_FORMAT"]);
}

#[test]
fn folders_keep_their_name_and_others_have_another() {
    let (place, other) = (Place::new(""), Place::new(""));
    let owner = |place: &Place| Local::open(place.config()).unwrap().owner();
    let first = owner(&place);
    assert_eq!(owner(&place), first);
    assert_ne!(owner(&other), first);
    fs::write(place.config().logs.join("lock"), "torn").unwrap();
    let renamed = owner(&place);
    assert_ne!(renamed, first);
    assert_eq!(owner(&place), renamed);
}

#[test]
fn a_second_process_is_told_that_the_folder_is_taken() {
    let place = Place::new("");
    let _first = Local::open(place.config()).unwrap();
    let Err(why) = Local::open(place.config()) else { panic!("it was opened twice") };
    assert!(why.contains("another process"), "{why}");
}
