//! One request too many, again and again: which are refused, how soon, and whether health is told meanwhile.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{Crowd, address};
use crate::bench::hop;
use crate::error::Result;
use crate::load::{Latencies, Payload, Summary};

/// Behind the engines.
const PLACES: usize = 4;
const LIVE: &str = "/v2/health/live";
const READY: &str = "/v2/health/ready";

#[derive(Debug, Clone, Default, Serialize)]
pub struct Admission {
    pub rounds: usize,
    pub engines: usize,
    pub places: usize,
    /// Rounds in which one request was refused and all others were answered.
    pub exact: usize,
    /// Refusals without 503 or without Retry-After, and other failures; with the first of them in words.
    pub wrong: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_fault: Option<String>,
    /// From sending to the refusal.
    pub refusal: Option<Summary>,
    /// Of both health endpoints, while all engines work and the queue is full.
    pub health: Option<Summary>,
    pub unhealthy: usize,
}

/// How one request ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Answered,
    Refused(Duration),
    Wrong(String),
}

pub async fn measure(crowd: &Crowd<'_>, rounds: usize) -> Result<Admission> {
    let capacity = crowd.engines + PLACES;
    let title = format!("{rounds} times {} requests for {capacity} places", capacity + 1);
    let step = crowd.step("admission", title, Duration::from_secs(rounds as u64));
    let running = crowd.start("admission", PLACES).await?;
    let url = address(running.model(hop::INFER))?;
    let health = [address(running.model(LIVE))?, address(running.model(READY))?];
    let mut found = Admission { rounds, engines: crowd.engines, places: PLACES, ..Admission::default() };
    let (mut refusals, mut healths) = (Latencies::default(), Latencies::default());
    // The first round opens the connections, and counts for nothing.
    for round in 0..=rounds {
        step.progress("asking", u64::try_from(round).ok(), u64::try_from(rounds).ok());
        let payloads = (0..=capacity).map(|index| hop::infer(&crowd.pictures.page(round * capacity + index)));
        let ends = at_once(&crowd.client, &url, payloads.collect());
        let probes = probed(&crowd.client, &health);
        let (ends, (probes, unhealthy)) = tokio::join!(ends, probes);
        if round == 0 {
            continue;
        }
        healths.add(&probes);
        found.unhealthy += unhealthy;
        found.take(ends, &mut refusals);
    }
    running.end().await;
    step.done();
    found.refusal = refusals.summary();
    found.health = healths.summary();
    Ok(found)
}

impl Admission {
    fn take(&mut self, ends: Vec<End>, refusals: &mut Latencies) {
        let mut refused = 0;
        let mut wrong = 0;
        for end in ends {
            match end {
                End::Answered => {}
                End::Refused(after) => {
                    refused += 1;
                    refusals.record(after);
                }
                End::Wrong(why) => {
                    wrong += 1;
                    self.first_fault.get_or_insert(why);
                }
            }
        }
        self.wrong += wrong;
        self.exact += usize::from(refused == 1 && wrong == 0);
    }
}

async fn at_once(client: &Client, url: &Url, payloads: Vec<Payload>) -> Vec<End> {
    let mut asked = JoinSet::new();
    for payload in payloads {
        asked.spawn(one(client.clone(), url.clone(), payload));
    }
    asked.join_all().await
}

async fn one(client: Client, url: Url, payload: Payload) -> End {
    let begun = Instant::now();
    let request = client.post(url).headers(payload.headers).body(payload.body);
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return End::Wrong(error.to_string()),
    };
    let (status, has_time) = (answer.status(), answer.headers().contains_key(RETRY_AFTER));
    let is_json = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let body = answer.bytes().await;
    judged(status, has_time && is_json, &body.unwrap_or_default(), begun.elapsed())
}

fn judged(status: StatusCode, is_complete: bool, body: &[u8], after: Duration) -> End {
    match status {
        StatusCode::OK if hop::text_of_infer(body).is_ok() => End::Answered,
        StatusCode::SERVICE_UNAVAILABLE if is_complete => End::Refused(after),
        status => End::Wrong(format!("{status}: {}", String::from_utf8_lossy(body))),
    }
}

/// Asks for health by turns for a while that is shorter than a page takes; counts what is no 200.
async fn probed(client: &Client, health: &[Url; 2]) -> (Latencies, usize) {
    let (mut latencies, mut unhealthy) = (Latencies::default(), 0);
    for url in health.iter().cycle().take(6) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let begun = Instant::now();
        let is_well = client.get(url.clone()).send().await.is_ok_and(|answer| answer.status().is_success());
        latencies.record(begun.elapsed());
        unhealthy += usize::from(!is_well);
    }
    (latencies, unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Admission {
        Admission { rounds: 1, engines: 2, places: 4, ..Admission::default() }
    }

    #[test]
    fn only_one_refusal_among_answers_is_exact() {
        let refused = || End::Refused(Duration::from_millis(1));
        for (ends, exact) in [
            (vec![End::Answered, refused()], 1),
            (vec![End::Answered, End::Answered], 0),
            (vec![refused(), refused()], 0),
            (vec![refused(), End::Wrong("500".into())], 0),
        ] {
            let mut found = empty();
            found.take(ends, &mut Latencies::default());
            assert_eq!(found.exact, exact, "{found:?}");
        }
    }

    #[test]
    fn a_refusal_without_a_time_to_come_back_is_wrong() {
        let ms = Duration::from_millis(1);
        let refused = |has_time| judged(StatusCode::SERVICE_UNAVAILABLE, has_time, b"", ms);
        assert_eq!(refused(true), End::Refused(ms));
        assert!(matches!(refused(false), End::Wrong(_)));
        assert!(matches!(judged(StatusCode::OK, true, b"{}", ms), End::Wrong(_)));
    }
}
