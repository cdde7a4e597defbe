//! Shows that it works: sends an image through the gateway, or many, and opens what there is to look at.

mod stress;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cluster::consoles::{self, Console};
use crate::cluster::{Endpoint, doors};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::up;
pub use stress::{Moved, StressReport};

/// Longer than the service's own deadline, so that its answer is what is seen.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Between two looks at a page that is kept open.
const LOOK: Duration = Duration::from_secs(10);

/// The sample that is sent when no image is named: a letter in English and Korean.
pub const SAMPLE: &[u8] = include_bytes!("../../stack/sample.jpg");

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions<'a> {
    /// Without it the sample.
    pub image: Option<&'a Path>,
    /// How many images are sent after the first, in a row.
    pub stress: u32,
    /// Whether the pages of what runs beside the service are opened.
    pub consoles: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    pub first: DemoReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stress: Option<StressReport>,
    /// Doors to the gateway on this machine.
    pub endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// Open as long as this process runs.
    pub consoles: Vec<Console>,
}

#[derive(Debug, Clone, Serialize)]
pub struct DemoReport {
    pub image: String,
    pub url: String,
    pub text: String,
    /// The model that read the image, as the service names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_by: Option<String>,
    pub elapsed_ms: u128,
}

/// Everything that is asked for, one after the other.
pub async fn show(host: &Host, options: &DemoOptions<'_>) -> Result<Shown> {
    let (_, provider) = up::recorded(host)?;
    let consoles = if options.consoles {
        let step = host.events.step("doors", "open the pages of what runs beside the service", None);
        let consoles = provider.consoles().await?;
        step.done();
        consoles
    } else {
        Vec::new()
    };
    let first = demo(host, options.image).await?;
    let stress = match options.stress {
        0 => None,
        count => {
            let step = host.events.step("stress", format!("send {count} images in a row"), None);
            let prometheus = provider.prometheus().await?;
            let report = stress::stress(host, prometheus.as_deref(), count, &step).await?;
            step.done();
            Some(report)
        }
    };
    Ok(Shown { first, stress, endpoints: provider.endpoints(), page: provider.page(), consoles })
}

/// Keeps the doors open, and tells when a page goes away or comes back; never ends.
pub async fn follow(host: &Host, consoles: &[Console]) -> Result<std::convert::Infallible> {
    let mut away = vec![false; consoles.len()];
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for (console, away) in consoles.iter().zip(&mut away) {
            let gone = !consoles::answers(console).await?;
            if std::mem::replace(away, gone) != gone {
                let how = if gone { "does not answer; its port stays open" } else { "answers again" };
                host.events.note(format!("{} {how}", console.name));
            }
        }
    }
}

pub async fn demo(host: &Host, image: Option<&Path>) -> Result<DemoReport> {
    let (name, bytes) = match image {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| {
                Error::usage(
                    format!("{} cannot be read: {error}", path.display()),
                    "name an image file: --image FILE",
                )
            })?;
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes)
        }
        None => ("sample letter".into(), SAMPLE.to_vec()),
    };
    let (endpoints, unready) = entries(host).await?;
    let Some(endpoint) = endpoints.iter().find(|endpoint| !unready.contains(endpoint)) else {
        return Err(Error::unhealthy("no gateway answers", "see what is wrong: cargo xtask status"));
    };
    send(&endpoint.ocr_url(), name, bytes).await
}

/// Sends the sample to every door by turns, one a second, each to be read anew; ends only where there is no door.
pub async fn trickle(host: &Host) -> Error {
    let endpoints = match entries(host).await {
        Ok((endpoints, _)) => endpoints,
        Err(error) => return error,
    };
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Another resolution is another request to the cache of results.
    for (dpi, endpoint) in (70..600).cycle().zip(endpoints.iter().cycle()) {
        seconds.tick().await;
        let url = format!("{}?dpi={dpi}", endpoint.ocr_url());
        // A refused or failed one is traffic too; the panels show it.
        let _ = send(&url, "sample letter".into(), SAMPLE.to_vec()).await;
    }
    Error::Interrupted
}

/// The doors, and those of them behind which no gateway is ready.
async fn entries(host: &Host) -> Result<(Vec<Endpoint>, Vec<Endpoint>)> {
    let endpoints = up::endpoints(host)?;
    if endpoints.is_empty() {
        return Err(Error::machine(
            "no way to the gateway is known on this machine",
            "forward one (kubectl -n ocr port-forward service/ocr-gateway 8001) and name it in platen.toml: [cluster] gateway = \"127.0.0.1:8001\"",
        ));
    }
    let unready = doors::unready(&endpoints).await?.into_iter().cloned().collect();
    Ok((endpoints, unready))
}

async fn send(url: &str, name: String, bytes: Vec<u8>) -> Result<DemoReport> {
    let doing = format!("sending {name} to {url}");
    let part = reqwest::multipart::Part::bytes(bytes).file_name(name.clone());
    let form = reqwest::multipart::Form::new().part("image_file", part);
    let begun = Instant::now();
    let response = crate::http::direct(TIMEOUT)?.post(url).multipart(form).send().await.doing(&doing)?;
    let status = response.status();
    let served_by = response
        .headers()
        .get("x-platen-endpoint")
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned);
    let body: serde_json::Value = response.json().await.doing(&doing)?;
    match body["text"].as_str() {
        Some(text) if status.is_success() => Ok(DemoReport {
            image: name,
            url: url.to_owned(),
            text: text.to_owned(),
            served_by,
            elapsed_ms: begun.elapsed().as_millis(),
        }),
        _ => {
            let why = body["error"].as_str().unwrap_or("it gave no reason");
            let hint =
                if status.is_client_error() { "send another image" } else { "see: cargo xtask status" };
            Err(Error::unhealthy(format!("the gateway answered {status}: {why}"), hint))
        }
    }
}
