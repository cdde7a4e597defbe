//! Every address of a name: what a headless Service answers with, one for each ready pod.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::super::directory::Directory;

/// Cluster DNS keeps answers for 5 to 30 s; asking more often than this learns nothing new.
const EVERY: Duration = Duration::from_secs(5);
/// Until the first answer: the gateway starts before its models do.
const AT_FIRST: Duration = Duration::from_millis(500);

/// Asks for as long as the process lives. What was known stays while no answer comes.
pub async fn follow(name: String, port: u16, directory: Arc<Directory>, slot: usize) {
    let mut known = false;
    loop {
        match tokio::net::lookup_host((name.as_str(), port)).await {
            Ok(addresses) => {
                let urls = urls(addresses);
                known |= !urls.is_empty();
                directory.publish(slot, urls);
            }
            Err(error) => tracing::warn!(name, %error, "the models' name cannot be resolved"),
        }
        tokio::time::sleep(if known { EVERY } else { AT_FIRST }).await;
    }
}

fn urls(addresses: impl Iterator<Item = SocketAddr>) -> Vec<Url> {
    let distinct: BTreeSet<_> = addresses.collect();
    distinct.iter().filter_map(|address| format!("http://{address}").parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_both_families_is_an_endpoint_once() {
        let addresses = ["[fd00::1]:80", "10.0.0.1:8080", "10.0.0.1:8080"].map(|it| it.parse().unwrap());
        let urls: Vec<_> = urls(addresses.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://10.0.0.1:8080/", "http://[fd00::1]/"]);
    }
}
