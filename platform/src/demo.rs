//! Shows that it works: sends an image through the gateway.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cluster::{Endpoint, doors};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::up;

/// Longer than the service's own deadline, so that its answer is what is seen.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The sample that is sent when no image is named: a letter in English and Korean.
pub const SAMPLE: &[u8] = include_bytes!("../stack/sample.jpg");

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
