//! Pushes an image from Docker's store to its registry.

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::StreamExt;

use super::ImageRef;
use crate::error::{Doing, Error, Result};
use crate::event::Step;

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";

pub async fn push(docker: &Docker, image: &ImageRef, step: &Step) -> Result<()> {
    let options = PushImageOptionsBuilder::default().tag(&image.tag).build();
    let mut events = docker.push_image(&image.name(), Some(options), None);
    while let Some(event) = events.next().await {
        let event = event.doing(format!("pushing {image}"))?;
        if let Some(error) = event.error_detail.and_then(|detail| detail.message) {
            return Err(Error::Build { why: format!("pushing {image} failed: {error}") });
        }
        if let Some(status) = event.status {
            step.message(format!("pushing: {status}"));
        }
    }
    Ok(())
}

/// Whether the registry has the image. One that does not answer, or wants credentials, is an error that names it.
pub async fn is_in_registry(image: &ImageRef) -> Result<bool> {
    let mut client = reqwest::Client::builder().timeout(Duration::from_secs(5));
    if image.base_url().starts_with("http://") {
        // No proxy leads to loopback.
        client = client.no_proxy();
    }
    let client = client.build().doing("preparing the HTTP client")?;
    let url = format!("{}/v2/{}/manifests/{}", image.base_url(), image.repository, image.tag);
    let answer = client.head(url).header("accept", MANIFESTS).send().await;
    let answer = answer.doing(format!("asking the registry {}", image.registry))?;
    match answer.status().as_u16() {
        200 => Ok(true),
        404 => Ok(false),
        401 | 403 => Err(Error::machine(
            format!("the registry {} wants credentials", image.registry),
            "use one that this machine and the nodes may use without; credentials cannot be given yet",
        )),
        status => Err(Error::unhealthy(
            format!("the registry {} answered {status}", image.registry),
            format!("look whether it is well: curl -i {}/v2/", image.base_url()),
        )),
    }
}
