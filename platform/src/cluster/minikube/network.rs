//! The registry in the network of the nodes. minikube gives the first node the second address of the network, the next node
//! the third, and so on; the registry must have none of these, also when it is started before the nodes.

use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkInspect};

use crate::error::{Doing, Result};
use crate::mirror::registry;

/// The last but one of a network of 256.
const LAST: u8 = 253;

/// Connects the registry's container, if it is not there already.
pub async fn connect(docker: &Docker, network: &str) -> Result<()> {
    let doing = || format!("connecting the registry to the network {network}");
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let container = docker.inspect_container(registry::NAME, options).await.doing(doing())?;
    let networks = container.network_settings.and_then(|it| it.networks).unwrap_or_default();
    let options = None::<bollard::query_parameters::InspectNetworkOptions>;
    let wanted = address(&docker.inspect_network(network, options).await.doing(doing())?);
    if let Some(there) = networks.get(network) {
        let fixed = there.ipam_config.as_ref().and_then(|config| config.ipv4_address.as_deref());
        if wanted.is_none_or(|wanted| fixed == Some(wanted.to_string().as_str())) {
            return Ok(());
        }
        registry::disconnect(docker, network).await?;
    }
    let ipam = wanted.map(|address| EndpointIpamConfig {
        ipv4_address: Some(address.to_string()),
        ..EndpointIpamConfig::default()
    });
    let request = NetworkConnectRequest {
        container: registry::NAME.into(),
        endpoint_config: Some(EndpointSettings { ipam_config: ipam, ..EndpointSettings::default() }),
    };
    docker.connect_network(network, request).await.doing(doing())
}

/// The registry's own address; `None` in a network that is not of minikube's make, where Docker chooses.
fn address(network: &NetworkInspect) -> Option<Ipv4Addr> {
    let subnets = network.ipam.as_ref()?.config.as_ref()?;
    let (base, _) = subnets.iter().find_map(|it| it.subnet.as_deref()?.split_once("/24"))?;
    let [a, b, c, _] = base.parse::<Ipv4Addr>().ok()?.octets();
    Some(Ipv4Addr::new(a, b, c, LAST))
}

#[cfg(test)]
mod tests {
    use bollard::models::{Ipam, IpamConfig};

    use super::*;

    fn network(subnet: &str) -> NetworkInspect {
        let config = vec![IpamConfig { subnet: Some(subnet.into()), ..IpamConfig::default() }];
        NetworkInspect {
            ipam: Some(Ipam { config: Some(config), ..Ipam::default() }),
            ..NetworkInspect::default()
        }
    }

    #[test]
    fn the_registry_is_far_from_the_nodes_addresses() {
        assert_eq!(address(&network("192.168.49.0/24")), Some(Ipv4Addr::new(192, 168, 49, 253)));
        assert_eq!(address(&network("172.18.0.0/16")), None);
        assert_eq!(address(&NetworkInspect::default()), None);
    }
}
