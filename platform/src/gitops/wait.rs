//! Waiting until Argo CD has made the cluster what was wanted, and giving up early where it never will.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::APPLICATION;
use super::objects::{GitOps, Owned, REFRESH, application};
use super::state::{Seen, State};
use crate::diagnose::{self, Scope};
use crate::error::{Error, Result};
use crate::event::Step;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A repository server that only starts, or a webhook that is late, mends itself within this time.
const PATIENCE: Duration = Duration::from_secs(30);

impl GitOps {
    /// Until it is Synced at what is wanted, its operation succeeded and all of it is Healthy. What cannot mend itself (an
    /// image that is not there, a container that ends again and again, a chart that does not render) ends the wait
    /// after half a minute, with its cause.
    pub async fn wait(&self, scope: &Scope<'_>, within: Duration, tell: &Step) -> Result<()> {
        Self::wait_for(&self.client, &self.wanted()?, scope, within, tell).await
    }

    /// As [`GitOps::wait`], for a source that was wanted before.
    pub async fn wait_for(
        client: &kube::Client,
        wanted: &Value,
        scope: &Scope<'_>,
        within: Duration,
        tell: &Step,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut stuck_since: Option<Instant> = None;
        loop {
            let Owned::There(found) = application(client).await? else {
                return Err(Error::unhealthy(
                    format!("the Application {APPLICATION} was removed while it was waited for"),
                    "deploy again: cargo xtask deploy",
                ));
            };
            let asked = found.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(REFRESH));
            let seen = Seen::of(&found)?;
            if seen.is_another_owners(wanted) && found.data.get("operation").is_none() {
                Self::take_over(client).await?;
            }
            let state = match seen.judge(APPLICATION, wanted) {
                // What it says is of before it was asked: a branch may have new commits.
                State::Done if asked => State::Awaiting(format!("Argo CD to look at {APPLICATION} again")),
                state => state,
            };
            if state == State::Done {
                return Ok(());
            }
            let lasting = diagnose::lasting(client, scope).await?;
            let hopeless = match (&state, lasting) {
                (_, Some(finding)) => Some(finding.into()),
                (State::Stuck(trouble), None) => Some(trouble.clone().into()),
                _ => None,
            };
            match hopeless {
                None => stuck_since = None,
                Some(error) => {
                    if stuck_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(error);
                    }
                }
            }
            let awaited = match state {
                State::Awaiting(what) => what,
                State::Stuck(trouble) => trouble.sentence,
                State::Done => return Ok(()),
            };
            if begun.elapsed() > within {
                let hint =
                    format!("see more: kubectl -n {} describe application {APPLICATION}", super::NAMESPACE);
                return Err(Error::timed_out(awaited, begun.elapsed(), hint));
            }
            tell.message(format!("waiting for {awaited}"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
