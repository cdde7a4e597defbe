//! Where the images of a new cluster come from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::ImageSource;
use crate::error::{Doing, Result};
use crate::host::Host;

/// The upstream registry that is asked first by whoever pulls.
const UPSTREAM: &str = "https://registry-1.docker.io/v2/";
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supply {
    /// From the upstream registries.
    Pull,
    /// Built on this machine from package registries.
    Source,
}

impl Supply {
    /// As configured; left open, by whether the upstream registry answers.
    pub async fn decide(host: &Host) -> Result<Self> {
        let pulls = match host.config.images.source {
            ImageSource::Pull => true,
            ImageSource::Source | ImageSource::Mirror => false,
            ImageSource::Auto => answers(UPSTREAM).await?,
        };
        Ok(if pulls { Self::Pull } else { Self::Source })
    }
}

impl std::fmt::Display for Supply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pull => "pulled from upstream",
            Self::Source => "built from source",
        })
    }
}

/// A registry's answer: without credentials it is 401. Another is a proxy's, or of one that gives nothing now.
async fn answers(url: &str) -> Result<bool> {
    let client =
        reqwest::Client::builder().timeout(ANSWERS_WITHIN).build().doing("preparing the HTTP client")?;
    Ok(client.get(url).send().await.is_ok_and(|answer| matches!(answer.status().as_u16(), 200 | 401)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_that_does_not_answer_cannot_be_pulled_from() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!answers(&format!("http://{free}/v2/")).await.unwrap());
    }
}
