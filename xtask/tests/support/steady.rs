//! Requests at a steady rate while something happens to what answers them.

use std::time::{Duration, Instant};

/// What did not go well, a line each; every request counts, from the first to the last.
pub fn failures_while(
    runtime: &tokio::runtime::Runtime,
    urls: &[String],
    image: &[u8],
    lasting: Duration,
    happens: impl FnOnce(),
) -> Vec<String> {
    const EVERY: Duration = Duration::from_millis(250);
    let urls = urls.to_vec();
    let image = image.to_vec();
    let load = runtime.spawn(async move {
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().expect("a client");
        let mut sent = tokio::task::JoinSet::new();
        let mut ticks = tokio::time::interval(EVERY);
        let begun = Instant::now();
        for (turn, url) in urls.iter().cycle().enumerate() {
            ticks.tick().await;
            if begun.elapsed() > lasting {
                break;
            }
            // Each one is read anew: another resolution is another request to the cache of results.
            sent.spawn(ask(client.clone(), format!("{url}?dpi={}", 100 + turn), image.clone()));
        }
        sent.join_all().await.into_iter().flatten().collect()
    });
    happens();
    runtime.block_on(load).expect("the load")
}

async fn ask(client: reqwest::Client, url: String, image: Vec<u8>) -> Option<String> {
    let part = reqwest::multipart::Part::bytes(image).file_name("letter.jpg");
    // A new connection each time, as by different callers.
    let form = reqwest::multipart::Form::new().part("image_file", part);
    let request = client.post(&url).header("connection", "close").multipart(form);
    match request.send().await {
        Ok(response) if response.status() == 200 => None,
        Ok(response) => Some(format!("{url}: {}", response.status())),
        Err(error) => Some(format!("{url}: {error:?}")),
    }
}
