//! What the gateway costs: the same model asked directly and by way of the gateway, by turns, so that a machine that
//! becomes slower or faster meanwhile does so for both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::measure::{Bench, Texts};
use super::peers::Peer;
use super::picture::Picture;
use super::report::Hop;
use super::running::Running;
use crate::error::Result;
use crate::load::{Closed, HttpTarget, Latencies, Outcome, Payload, Target, closed};

pub const INFER: &str = "/v2/models/ocr-model/infer";

/// None where a side gave no good answer.
pub async fn measure(
    bench: &Bench<'_>,
    running: &Running,
    picture: Picture,
    reference: &str,
) -> Result<Option<Hop>> {
    let texts = Texts::new(picture, reference);
    let gateway = bench.gateway(Peer::PlatenPlain, running, picture, &texts)?;
    let url = running.model(INFER).unwrap_or_default();
    let direct = bench.target(&url, infer(picture.bytes()), {
        let texts = Arc::clone(&texts);
        Arc::new(move |body| texts.take(&text_of_infer(body)?))
    })?;
    let lasting = bench.options.lasting();
    let [gateway_alone, direct_alone] = one_by_one(&gateway, &direct, lasting).await;
    let (Some(gateway_p50_ms), Some(direct_p50_ms)) =
        (gateway_alone.quantile_ms(0.5), direct_alone.quantile_ms(0.5))
    else {
        return Ok(None);
    };
    let loaded = Closed { clients: bench.options.clients, lasting: lasting / ROUNDS };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(&gateway, &direct, loaded).await);
    }
    let [gateway_rate, direct_rate] = middle(rounds);
    Ok(Some(Hop { image: picture, gateway_p50_ms, direct_p50_ms, gateway_rate, direct_rate }))
}

const ROUNDS: u32 = 5;

/// One client that asks one after the other: whatever slows the machine slows both.
async fn one_by_one(
    gateway: &Arc<HttpTarget>,
    direct: &Arc<HttpTarget>,
    lasting: Duration,
) -> [Latencies; 2] {
    let mut latencies = [Latencies::default(), Latencies::default()];
    let begun = Instant::now();
    while begun.elapsed() < lasting {
        for (target, latencies) in [gateway, direct].into_iter().zip(&mut latencies) {
            let sent = Instant::now();
            if target.send().await == Outcome::Good {
                latencies.record(sent.elapsed());
            }
        }
    }
    latencies
}

/// Gateway, direct, direct, gateway: the rate of each.
async fn round(gateway: &Arc<HttpTarget>, direct: &Arc<HttpTarget>, plan: Closed) -> [f64; 2] {
    let first = closed(gateway, plan).await.rate;
    let second = closed(direct, plan).await.rate;
    let third = closed(direct, plan).await.rate;
    let fourth = closed(gateway, plan).await.rate;
    [f64::midpoint(first, fourth), f64::midpoint(second, third)]
}

/// The round whose ratio is the middle one: a round into which something else fell is not it.
fn middle(mut rounds: Vec<[f64; 2]>) -> [f64; 2] {
    let ratio = |[gateway, direct]: &[f64; 2]| gateway / direct.max(1e-9);
    rounds.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

/// A request of the Open Inference Protocol with the image raw behind its JSON, as the gateway sends it.
pub fn infer(image: &[u8]) -> Payload {
    // A raw element is preceded by its length, four bytes, little-endian.
    let length = u32::try_from(image.len()).unwrap_or(u32::MAX).to_le_bytes();
    let json = serde_json::json!({
        "inputs": [{
            "name": "image",
            "shape": [1],
            "datatype": "BYTES",
            "parameters": { "binary_data_size": image.len() + length.len() },
        }],
    })
    .to_string();
    let mut payload = Payload::new("application/octet-stream", [json.as_bytes(), &length, image].concat());
    payload.headers.insert("inference-header-content-length", json.len().into());
    payload
}

/// The text of a V2 answer.
pub fn text_of_infer(body: &[u8]) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let outputs = value["outputs"].as_array().into_iter().flatten();
    let text =
        outputs.filter(|output| output["name"] == "text").find_map(|output| output["data"][0].as_str());
    text.map(str::to_owned).ok_or_else(|| "the answer has no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_follows_the_json_whose_length_is_in_the_header() {
        let payload = infer(b"png");
        let length: usize =
            payload.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
        let (json, raw) = payload.body.split_at(length);
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["inputs"][0]["parameters"]["binary_data_size"], 7);
        assert_eq!(raw, b"\x03\0\0\0png");
    }

    #[test]
    fn a_round_that_was_disturbed_is_not_the_one_that_counts() {
        let rounds = vec![[98.0, 100.0], [40.0, 100.0], [99.0, 100.0], [97.0, 100.0], [150.0, 100.0]];
        let [gateway, direct] = middle(rounds);
        assert!((gateway - 98.0).abs() < 1e-9 && (direct - 100.0).abs() < 1e-9, "{gateway} {direct}");
    }

    #[test]
    fn the_text_is_found_among_the_outputs() {
        let body = br#"{"outputs":[{"name":"words","data":["x"]},{"name":"text","data":["a"]}]}"#;
        assert_eq!(text_of_infer(body).unwrap(), "a");
        assert!(text_of_infer(b"{}").is_err());
    }
}
