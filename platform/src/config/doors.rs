//! Which ports of this machine each provider takes, and for what.

use super::{NodeCount, PortsConfig};

impl PortsConfig {
    /// Those of embedded nodes. Prometheus' is not among them: where it is taken, they do without.
    pub fn of_processes(&self, nodes: NodeCount) -> Vec<(u16, String)> {
        let each = [
            ("the gateway", self.gateway),
            ("the model", self.model),
            ("the OCR server", self.ocr_server),
            ("the translation", self.translate),
            ("the page", self.frontend),
            ("the metrics", self.node_metrics),
        ];
        let mut ports = self.on_every_node(nodes, &each);
        ports.push((self.experiments, "the experiments".to_owned()));
        ports
    }

    /// Those of a cluster whose nodes are containers, and of the registry beside it.
    pub fn of_containers(&self, nodes: NodeCount) -> Vec<(u16, String)> {
        let [gateway, page, experiments] = self.node_ports;
        let each = [
            ("the gateway's door", gateway),
            ("the page's door", page),
            ("the experiments' door", experiments),
        ];
        let mut ports = self.on_every_node(nodes, &each);
        ports.push((self.registry, "the local registry".to_owned()));
        ports
    }

    fn on_every_node(&self, nodes: NodeCount, each: &[(&str, u16)]) -> Vec<(u16, String)> {
        let on = |node| {
            each.iter()
                .map(move |(what, base)| (self.on_node(*base, node), format!("{what} of node {}", node + 1)))
        };
        (0..nodes.get()).flat_map(on).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_own() {
        let ports = PortsConfig::default();
        let two = NodeCount::try_from(2).unwrap();
        let processes = ports.of_processes(two);
        assert_eq!(processes.len(), 13);
        assert!(processes.contains(&(8101, "the gateway of node 2".to_owned())), "{processes:?}");
        let containers = ports.of_containers(two);
        assert_eq!(containers.len(), 7);
        assert!(containers.contains(&(30180, "the page's door of node 2".to_owned())), "{containers:?}");
    }
}
