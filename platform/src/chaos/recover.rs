//! Undoes what a run of chaos that was killed left behind.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::embedded::Processes;
use super::ground::Ground;
use super::journal::{Place, is_left};
use super::kubernetes::{Awaited, Kubernetes};
use super::report::UndoneStep;
use super::run::made;
use super::survey::{NodeFacts, Survey};
use super::undoing::{Undoing, not_undone};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::host::Host;
use crate::status::status;

const LOOK: Duration = Duration::from_secs(1);
const WELL_WITHIN: Duration = Duration::from_mins(4);

#[derive(Debug, Clone, Default, Serialize)]
pub struct Recovered {
    /// What had been done, in words; none where nothing was left.
    pub fault: Option<String>,
    pub undone: Vec<UndoneStep>,
}

/// Afterwards every node is Ready, everything on it too, and the journal is empty. Where nothing was left, nothing is done.
pub async fn recover(host: &Host) -> Result<Recovered> {
    if !is_left(host) {
        return Ok(Recovered::default());
    }
    let place = Place::take(host)?;
    let Some(journal) = place.read()? else { return Ok(Recovered::default()) };
    let (host, target, provider) = made(host)?;
    let ground: Box<dyn Ground> = match provider.context() {
        None => Box::new(Processes::new(&host)?),
        // Of the nodes nothing needs to be known: their containers stand in the journal.
        Some(context) => Box::new(Kubernetes::new(&host, &target, &context, Vec::new(), Awaited::All).await?),
    };
    let fault = Some(journal.title.clone());
    let mut undoing = Undoing::new(&host, place, journal);
    let due_within = undoing.due_within();
    // What a node said before that may have been its last word.
    let since = Timestamp::now() + due_within;
    let look = || well(&host, &*ground, since);
    let undone = see_well(&host.events, &mut undoing, &*ground, due_within, look).await?;
    Ok(Recovered { fault, undone })
}

/// Undoes all of it again with every look, until all is well and nothing more is due; only then the journal is cleared. Who
/// was killed in mid-strike may have left one that goes on, and what is undone before its end is broken after it. What is
/// still not well after long is not the fault's when all of that is undone: then the journal is cleared too.
async fn see_well<F>(
    events: &Events,
    undoing: &mut Undoing,
    ground: &dyn Ground,
    due_within: Duration,
    look: impl Fn() -> F,
) -> Result<Vec<UndoneStep>>
where
    F: Future<Output = Result<Option<String>>>,
{
    let begun = Instant::now();
    let mut undone = undoing.undo_all(ground, events).await;
    let step = events.step("settle", "wait until everything is Ready again", None);
    let mut is_over = due_within.is_zero();
    loop {
        let is_late = begun.elapsed() > due_within + WELL_WITHIN;
        let awaited = match undone.iter().find(|step| !step.done) {
            Some(step) if is_late => {
                return Err(not_undone(step, "mend what it names, then run the same command again"));
            }
            // An API server that starts itself refuses at first.
            Some(step) => not_undone(step, "").to_string(),
            None => match look().await {
                Ok(None) if is_over => break,
                Ok(None) => "what was begun to be at its end".to_owned(),
                Ok(Some(awaited)) => awaited,
                // The API server may take its time as well.
                Err(error) => error.to_string(),
            },
        };
        if is_late {
            undoing.clear()?;
            return Err(Error::timed_out(awaited, begun.elapsed(), "see more: cargo xtask status"));
        }
        step.message(format!("waiting for {awaited}"));
        tokio::time::sleep(LOOK).await;
        is_over = begun.elapsed() >= due_within;
        // It was told once.
        undone = undoing.undo_all(ground, &Events::silent()).await;
    }
    undoing.clear()?;
    step.done();
    Ok(undone)
}

/// What is still awaited.
async fn well(host: &Host, ground: &dyn Ground, since: Timestamp) -> Result<Option<String>> {
    let now = ground.survey().await?;
    let nodes = now.nodes.into_iter().map(|node| NodeFacts { ready: true, ..node });
    let wanted = Survey { nodes: nodes.collect(), pods: Vec::new() };
    if let Some(missing) = ground.missing(&wanted, since).await?.into_iter().next() {
        return Ok(Some(missing));
    }
    // What else is wrong on the cluster was not the fault's doing.
    let status = status(host).await?;
    let pod = status.workloads.iter().find(|it| !it.ready && !it.leaving);
    let application = status.applications.iter().find(|it| !it.is_well());
    Ok(match (pod, application) {
        _ if status.workloads.is_empty() => Some(status.summary),
        (Some(pod), _) => Some(format!("{} to be ready", pod.name)),
        (None, Some(application)) => Some(format!("the Application {} to be well", application.name)),
        (None, None) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::chaos::double::{Blow, Double};
    use crate::chaos::journal::{Journal, UndoStep};
    use crate::event::Recorded;

    /// A journal with a node to be started, of a run that was killed a moment ago, and where it lies.
    fn left_behind() -> (tempfile::TempDir, Host, Undoing) {
        let root = tempfile::tempdir().unwrap();
        let host = Host::bare(root.path());
        let journal = Journal::new(String::new(), String::new(), Vec::new());
        let mut undoing = Undoing::new(&host, Place::take(&host).unwrap(), journal);
        undoing
            .add("node c-worker2 stopped", vec![UndoStep::StartContainer { container: "w".into() }])
            .unwrap();
        (root, host, undoing)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_killed_run_began_is_undone_also_where_it_ends_later() {
        let (_root, host, mut undoing) = left_behind();
        let ground = Double::new(Blow::Works, false, Recorded::default());
        let due_within = undoing.due_within();
        let docker = async {
            tokio::time::sleep(Duration::from_secs(15)).await;
            assert!(is_left(&host), "although it was well all the while");
            ground.broken.store(true, Ordering::SeqCst);
        };
        let well =
            async || -> Result<Option<String>> { Ok(ground.is_broken().then(|| "c-worker2".to_owned())) };
        let (undone, ()) =
            tokio::join!(see_well(&host.events, &mut undoing, &ground, due_within, well), docker);
        assert!(undone.unwrap()[0].done && !ground.is_broken());
        assert!(!is_left(&host));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sick_of_something_else_keeps_no_journal() {
        let (_root, host, mut undoing) = left_behind();
        let ground = Double::new(Blow::Works, false, Recorded::default());
        let sick = async || -> Result<Option<String>> { Ok(Some("ocr/other to be ready".into())) };
        let late = see_well(&host.events, &mut undoing, &ground, Duration::ZERO, sick).await.unwrap_err();
        assert!(late.to_string().contains("ocr/other"), "{late}");
        assert!(!is_left(&host), "all of the fault is undone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_undone_is_an_error_and_leaves_the_journal() {
        let (_root, host, mut undoing) = left_behind();
        let ground = Double::new(Blow::Works, true, Recorded::default());
        let well = async || -> Result<Option<String>> { Ok(None) };
        let refused = see_well(&host.events, &mut undoing, &ground, Duration::ZERO, well).await.unwrap_err();
        assert!(refused.to_string().contains("docker start: no"), "{refused}");
        assert!(is_left(&host));
        assert!(undoing.left().is_none());
        undoing.put_back(&ground, 0).await;
        assert!(undoing.left().unwrap().hint().unwrap().contains("chaos --recover"));
    }
}
