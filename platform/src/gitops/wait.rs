//! Waiting until Argo CD has made the cluster what was wanted, and giving up early where it never will.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::objects::{GitOps, Owned, REFRESH, application};
use super::state::{Seen, State};
use super::{APPLICATION, NAMESPACE};
use crate::diagnose::{self, Scope};
use crate::error::{Error, Result};
use crate::event::Step;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A webhook that is late, or a pod that ends once or twice before it runs, mends itself within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two askings of an Argo CD that could not compare.
const ASK_EVERY: Duration = Duration::from_secs(5);

impl GitOps {
    /// Until it is Synced at what is wanted, its operation succeeded and all of it is Healthy. What cannot mend itself (an
    /// image that is not there, a container that ends again and again, a chart that does not render) ends the wait
    /// after half a minute, with its cause. An Argo CD that is not whole itself is waited for.
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
        let mut asked_at: Option<Instant> = None;
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
            let due = asked_at.is_none_or(|at| at.elapsed() > ASK_EVERY);
            if seen.complaint().is_some() && !asked && due {
                Self::look_again(client, APPLICATION).await?;
                asked_at = Some(Instant::now());
            }
            let hopeless = hopeless(client, scope, &state).await?;
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
                let hint = format!(
                    "see more: kubectl -n {NAMESPACE} describe application {APPLICATION}; and whether Argo CD runs: kubectl -n {NAMESPACE} get pods"
                );
                return Err(Error::timed_out(awaited, begun.elapsed(), hint));
            }
            tell.message(format!("waiting for {awaited}"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What of this state no waiting mends.
async fn hopeless(client: &kube::Client, scope: &Scope<'_>, state: &State) -> Result<Option<Error>> {
    if let Some(finding) = diagnose::lasting(client, scope).await? {
        return Ok(Some(finding.into()));
    }
    let State::Stuck(trouble) = state else { return Ok(None) };
    if !trouble.is_argocds_own {
        return Ok(Some(trouble.clone().into()));
    }
    // Who deploys may have no business in Argo CD's namespace.
    let lasting = diagnose::lasting(client, &Scope::all(&[NAMESPACE])).await.unwrap_or_default();
    Ok(lasting.map(Error::from))
}
