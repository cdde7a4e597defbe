//! Many images at once, each of which must get the text that it gets alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::pictures::DIFFERENT;
use super::{Crowd, RATE, address};
use crate::bench::measure::text_of;
use crate::bench::running::Running;
use crate::error::{Error, Result};
use crate::load::{Counts, HttpTarget, Outcome, Payload, Target};

#[derive(Debug, Clone, Serialize)]
pub struct Texts {
    pub images: usize,
    /// Different ones among them, and different texts of these.
    pub different: usize,
    pub texts: usize,
    /// From the first request to the last answer.
    pub seconds: f64,
    pub counts: Counts,
}

pub async fn measure(crowd: &Crowd<'_>, images: usize) -> Result<Texts> {
    let different = images.min(DIFFERENT);
    let expected = Duration::from_secs((images + different) as u64 / RATE);
    let step = crowd.step("texts", format!("{images} images at once"), expected);
    let running = crowd.start("texts", images).await?;
    let mut alone = Vec::with_capacity(different);
    for index in 0..different {
        step.progress("one after the other", u64::try_from(index).ok(), u64::try_from(different).ok());
        alone.push(read(crowd, &running, index).await?);
    }
    let mut asked = JoinSet::new();
    let begun = Instant::now();
    for index in 0..images {
        let target = target(crowd, &running, index, Some(alone[index % different].clone()))?;
        asked.spawn(async move { target.send().await });
    }
    let mut counts = Counts::default();
    let mut answered = 0;
    while let Some(outcome) = asked.join_next().await {
        counts.count(outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string())));
        answered += 1;
        if answered % 50 == 0 {
            step.progress("at once", Some(answered), u64::try_from(images).ok());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    running.end().await;
    step.done();
    alone.sort_unstable();
    alone.dedup();
    Ok(Texts { images, different, texts: alone.len(), seconds, counts })
}

/// Asks the gateway for a strip; right is `text`, or whatever is read.
pub fn target(
    crowd: &Crowd<'_>,
    running: &Running,
    index: usize,
    text: Option<String>,
) -> Result<HttpTarget> {
    let judge = move |body: &[u8]| {
        let read = text_of(body)?;
        match &text {
            Some(text) if *text != read => Err(format!("{read:?} instead of {text:?}")),
            _ => Ok(()),
        }
    };
    Ok(HttpTarget {
        client: crowd.client.clone(),
        url: address(running.entry("/gateway/ocr"))?,
        payload: Payload::form("image_file", "strip.bmp", &crowd.pictures.strip(index)),
        judge: Arc::new(judge),
    })
}

/// What is read in a strip when nothing else is asked for.
pub async fn read(crowd: &Crowd<'_>, running: &Running, index: usize) -> Result<String> {
    let failed = |why: String| {
        Error::unhealthy(
            format!("an image that was sent alone was not read: {why}"),
            "see what the service says of it",
        )
    };
    let body = target(crowd, running, index, None)?.ask().await.map_err(failed)?;
    text_of(&body).map_err(failed)
}
