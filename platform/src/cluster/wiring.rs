//! How nodes find images: the local registry under its own name, and as mirror of every upstream host.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::error::{Doing, Result};
use crate::mirror::{CERTS_D, hosts_files};
use crate::process::{Cmd, Processes};

/// The registry as the host and as the nodes reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryWiring {
    /// On the host's loopback; images are named `localhost:PORT/…` in manifests.
    pub host_port: u16,
    /// From a node, for example `http://platen-registry:5000`.
    pub node_url: String,
    /// Whether it stands in for every upstream registry.
    pub mirrors_everything: bool,
}

/// Writes containerd's hosts files of one node (hosts.toml of its `certs.d`); containerd reads them at each pull.
pub async fn wire_node(
    processes: &Processes,
    docker_host: &str,
    container: &str,
    wiring: &RegistryWiring,
) -> Result<()> {
    let own = format!("localhost:{}", wiring.host_port);
    let mut names = vec![own.as_str()];
    if wiring.mirrors_everything {
        names.push("_default");
    }
    for file in hosts_files(&wiring.node_url, names) {
        let dir = format!("{CERTS_D}/{}", file.folder);
        let script = format!("mkdir -p {dir} && cat > {dir}/hosts.toml");
        let cmd = Cmd::new("docker")
            .args(["exec", "-i", container, "sh", "-c", &script])
            .env("DOCKER_HOST", docker_host)
            .stdin(file.content);
        processes.run(&cmd).await?;
    }
    Ok(())
}

/// Tells the cluster's tools of the registry (KEP-1755).
pub async fn announce(client: &kube::Client, host_port: u16) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let hosting = format!(
        "host: \"localhost:{host_port}\"\nhelp: \"https://kind.sigs.k8s.io/docs/user/local-registry/\"\n"
    );
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-registry-hosting"},
        "data": {"localRegistryHosting.v1": hosting},
    });
    api.patch("local-registry-hosting", &PatchParams::apply("platen").force(), &Patch::Apply(object))
        .await
        .doing("announcing the local registry")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scripted::{Expect, scripted};

    #[tokio::test]
    async fn a_node_learns_the_registry_under_its_own_name_and_as_mirror() {
        let wiring = RegistryWiring {
            host_port: 5000,
            node_url: "http://platen-registry:5000".into(),
            mirrors_everything: true,
        };
        let hosts = "[host.\"http://platen-registry:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n";
        let expect = |dir: &str| {
            let dir = format!("/etc/containerd/certs.d/{dir}");
            Expect::new(format!("docker exec -i node sh -c 'mkdir -p {dir} && cat > {dir}/hosts.toml'"))
                .given(hosts)
        };
        let processes = scripted(&[], [expect("localhost:5000"), expect("_default")]);
        wire_node(&processes, "unix:///var/run/docker.sock", "node", &wiring).await.unwrap();
    }
}
