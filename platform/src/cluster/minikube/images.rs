//! Whether every node has the image that was deployed: by the node's own containerd, and by digest.

use crate::cluster::containers;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::CERTS_D;
use crate::process::Cmd;
use crate::registry::{Reference, Registries};

/// Looks at each node, and pulls where the image is missing or another one.
pub async fn ensure(
    host: &Host,
    docker_host: &str,
    nodes: &[String],
    image: &Reference,
    tell: &Step,
) -> Result<()> {
    let wanted = Registries::new(host)?.require(image).await?.digest;
    let name = image.to_string();
    for node in nodes {
        tell.message(format!("looking for the image on {node}"));
        if digest_on(host, docker_host, node, &name).await?.as_ref() == Some(&wanted) {
            continue;
        }
        tell.message(format!("pulling the image on {node}"));
        let pull = ctr(docker_host, node, &["images", "pull", "--hosts-dir", CERTS_D, &name]);
        host.processes.run(&pull).await?;
        let found = digest_on(host, docker_host, node, &name).await?;
        if found.as_ref() != Some(&wanted) {
            let found = found.unwrap_or_else(|| "none".into());
            return Err(Error::unhealthy(
                format!("the node {node} has {found} as {name}, and the registry {wanted}"),
                format!("look at what it says: docker exec {node} ctr -n k8s.io images ls"),
            ));
        }
    }
    Ok(())
}

fn ctr(docker_host: &str, node: &str, args: &[&str]) -> Cmd {
    containers::exec(docker_host, node).args(["ctr", "-n", "k8s.io"]).args(args)
}

async fn digest_on(host: &Host, docker_host: &str, node: &str, name: &str) -> Result<Option<String>> {
    let cmd = ctr(docker_host, node, &["images", "ls", &format!("name=={name}")]);
    Ok(digest(&host.processes.run(&cmd).await?.stdout_text(), name))
}

/// The digest in ctr's table: `REF TYPE DIGEST SIZE PLATFORMS LABELS`.
fn digest(table: &str, name: &str) -> Option<String> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    row.split_whitespace().find(|word| word.starts_with("sha256:")).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_read_of_the_images_own_row() {
        let table = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
            localhost:5000/platen/ocr-service:ab application/vnd.oci.image.index.v1+json sha256:0a 9.1 MiB linux/amd64 -\n";
        assert_eq!(digest(table, "localhost:5000/platen/ocr-service:ab").as_deref(), Some("sha256:0a"));
        assert_eq!(digest(table, "localhost:5000/platen/ocr-service:cd"), None);
        assert_eq!(digest("", "x"), None);
    }
}
