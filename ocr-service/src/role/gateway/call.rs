//! One request of a caller: attempts at models, one after the other or side by side, until one has answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::attempt::{Answer, Failure, Question, Reason, attempt};
use super::choice::Wanted;
use super::endpoint::Endpoint;
use super::upstream::Upstream;
use crate::http::ApiError;

/// More than this many endpoints that fail one request are not each other's misfortune any more.
const MOST_TRIES: usize = 6;
/// One model may break under a request because it is killed; when a second one does, the image is what kills them.
const MOST_BROKEN: usize = 2;
/// Before the same endpoint is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// For the first endpoints to be known.
const FOR_ENDPOINTS: Duration = Duration::from_secs(1);
/// When no retry is left for a late answer: ask for one again so much later.
const LATER: Duration = Duration::from_millis(250);

/// How an attempt went on.
enum Event<'a> {
    Ended {
        endpoint: Arc<Endpoint>,
        result: Result<Answer, Failure>,
        hung: bool,
    },
    /// Its endpoint does not live; should it answer all the same, that is taken.
    Hung(BoxFuture<'a, Event<'a>>),
}

pub struct Call<'a> {
    upstream: &'a Upstream,
    question: &'a Question,
    tried: Vec<Arc<Endpoint>>,
    running: FuturesUnordered<BoxFuture<'a, Event<'a>>>,
    /// Attempts that neither ended nor hang.
    hopeful: usize,
    broken: usize,
    refused: usize,
    hedged: bool,
    denied: bool,
    /// What was told is not for another model to mend: no further attempt is made.
    is_final: bool,
    /// When the attempts under way are late.
    late: Instant,
    told: Option<ApiError>,
}

impl<'a> Call<'a> {
    pub fn new(upstream: &'a Upstream, question: &'a Question) -> Self {
        Self {
            upstream,
            question,
            tried: Vec::new(),
            running: FuturesUnordered::new(),
            hopeful: 0,
            broken: 0,
            refused: 0,
            hedged: false,
            denied: false,
            is_final: false,
            late: Instant::now(),
            told: None,
        }
    }

    /// The first answer; every other attempt is dropped with it, and by that cancelled.
    pub async fn answer(mut self) -> Result<Answer, ApiError> {
        let patience = self.question.deadline.remaining().min(FOR_ENDPOINTS);
        self.upstream.directory.some_endpoints(patience).await;
        if !self.launch(Wanted::Any) {
            let message = "no model is known; are the model pods ready?";
            return Err(ApiError::unavailable(message, Duration::from_secs(1)));
        }
        while let Some(event) = self.next().await {
            let over = match event {
                Event::Hung(rest) => self.hung(rest),
                Event::Ended { endpoint, result: Ok(answer), .. } => {
                    endpoint.answered();
                    return Ok(Answer { tries: self.tried.len(), ..answer });
                }
                Event::Ended { endpoint, result: Err(Failure::Final(error)), hung } => {
                    self.upstream.note_final(&endpoint, &error);
                    self.refused_for_good(error, hung)
                }
                Event::Ended { endpoint, result: Err(Failure::Retry(reason, error)), hung } => {
                    self.upstream.note_failure(&endpoint, reason, &error);
                    self.failed(reason, error, hung)
                }
            };
            if let Some(error) = over {
                return Err(error);
            }
        }
        Err(self.told.unwrap_or_else(|| ApiError::new(StatusCode::BAD_GATEWAY, "no model was asked")))
    }

    /// What happens next; meanwhile, what is late is asked for elsewhere.
    async fn next(&mut self) -> Option<Event<'a>> {
        loop {
            let (late, may_hedge) = (self.late, self.may_hedge());
            tokio::select! {
                event = self.running.next() => return event,
                () = tokio::time::sleep_until(late.into()), if may_hedge => self.hedge(),
            }
        }
    }

    /// Should it come to life again, its answer is as good as another's.
    fn hung(&mut self, rest: BoxFuture<'a, Event<'a>>) -> Option<ApiError> {
        self.hopeful -= 1;
        let rest = rest.map(|event| match event {
            Event::Ended { endpoint, result, .. } => Event::Ended { endpoint, result, hung: true },
            hung @ Event::Hung(_) => hung,
        });
        self.running.push(rest.boxed());
        self.go_on(Reason::Hung)
    }

    /// One model's own failure says nothing about an answer that is still awaited from another.
    fn refused_for_good(&mut self, error: ApiError, hung: bool) -> Option<ApiError> {
        self.hopeful -= usize::from(!hung);
        if self.hopeful == 0 || !error.status.is_server_error() {
            return Some(error);
        }
        self.is_final = true;
        self.told = Some(error);
        None
    }

    fn failed(&mut self, reason: Reason, error: ApiError, hung: bool) -> Option<ApiError> {
        if !hung {
            self.hopeful -= 1;
            self.broken += usize::from(reason == Reason::Broken);
            self.refused += usize::from(reason == Reason::Overloaded);
        }
        if self.broken >= MOST_BROKEN {
            let message = "two models broke off while they read this image; it may be what breaks them";
            self.told = Some(ApiError::new(StatusCode::BAD_GATEWAY, message));
            self.is_final = true;
        } else if !self.is_final {
            self.told = Some(error);
        }
        self.go_on(reason)
    }

    /// Another attempt, if none is under way whose end can be waited for. When there is none either, what was told is
    /// the end: for models that hang nobody waits who knows that much.
    fn go_on(&mut self, reason: Reason) -> Option<ApiError> {
        if self.hopeful > 0 || self.again(reason) { None } else { self.told.take() }
    }

    /// One more attempt, if there is a use for it and it may be made.
    fn again(&mut self, reason: Reason) -> bool {
        let (wanted, useful) = match reason {
            Reason::Overloaded => (Wanted::Idle, self.refused == 1),
            Reason::Slow | Reason::Hung => (Wanted::Other, true),
            _ => (Wanted::Any, true),
        };
        let known = self.upstream.directory.endpoints().len();
        let left =
            self.tried.len() < MOST_TRIES.min(known.max(3)) && !self.question.deadline.remaining().is_zero();
        let sensible = !self.is_final
            && useful
            && left
            && self.upstream.retries
            && self.upstream.can_choose(&self.tried, wanted);
        if !sensible || (reason.is_limited() && !self.may_spend()) {
            return false;
        }
        let launched = self.launch(wanted);
        if launched {
            self.upstream.note_retry(reason);
        }
        launched
    }

    /// Whether the budget has an attempt left; that it has none is counted once for a request.
    fn may_spend(&mut self) -> bool {
        let enough = self.upstream.spend();
        if !enough && !self.denied {
            self.denied = true;
            self.upstream.note_denied();
        }
        enough
    }

    /// Late answers are asked for elsewhere only once.
    fn may_hedge(&self) -> bool {
        self.upstream.retries && !self.hedged && self.hopeful > 0
    }

    fn hedge(&mut self) {
        self.hedged = self.again(Reason::Slow);
        if !self.hedged {
            self.late = Instant::now() + LATER;
        }
    }

    fn launch(&mut self, wanted: Wanted) -> bool {
        let Some((endpoint, turn)) = self.upstream.choose(&self.tried, wanted) else { return false };
        let pause =
            if self.tried.iter().any(|it| Arc::ptr_eq(it, &endpoint)) { PAUSE } else { Duration::ZERO };
        let client = if self.tried.is_empty() { &self.upstream.pooled } else { &self.upstream.fresh };
        self.tried.push(endpoint.clone());
        self.hopeful += 1;
        self.late = Instant::now() + self.upstream.late();
        let (upstream, question) = (self.upstream, self.question);
        let pending = endpoint.enter(turn);
        let asked = endpoint.clone();
        let ended = async move {
            let _pending = pending;
            // Not of no length: the timer rounds every sleep up to a millisecond.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let started = Instant::now();
            let result = attempt(client, &asked, question).await;
            if result.is_ok() {
                upstream.note_answer(started.elapsed());
            }
            Event::Ended { endpoint: asked, result, hung: false }
        };
        let watched = async move {
            let dies = endpoint.clone().dies(upstream.fresh.clone());
            match select(ended.boxed(), dies.boxed()).await {
                Either::Left((event, _)) => event,
                Either::Right(((), rest)) => {
                    upstream.note_hung(&endpoint);
                    Event::Hung(rest)
                }
            }
        };
        self.running.push(watched.boxed());
        true
    }
}
