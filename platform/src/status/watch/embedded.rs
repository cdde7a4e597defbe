//! The embedded processes: asked a few times a second, for nobody tells of their changes.

use std::time::Duration;

use tokio::sync::watch::Sender;

use super::{NodeSeen, PodSeen, PodState, Scene, show};
use crate::cluster::embedded::{Embedded, RoleStatus, Spec};
use crate::cluster::{ClusterState, NodeState};
use crate::error::Result;
use crate::host::Host;

const EVERY: Duration = Duration::from_millis(300);

pub async fn watch(host: &Host, scenes: &Sender<Scene>) -> Result<()> {
    let embedded = Embedded::new(host)?;
    let title = format!("{}: embedded processes on this machine", host.config.cluster.profile);
    while !scenes.is_closed() {
        let roles = embedded.roles().await;
        let spec = embedded.spec();
        let trouble = match embedded.supervised() {
            Ok(_) | Err(ClusterState::Running { .. }) => None,
            Err(ClusterState::Absent) => Some("nothing is there any more".to_owned()),
            Err(ClusterState::Stopped { .. }) => Some("they are stopped".to_owned()),
            Err(ClusterState::Broken { why } | ClusterState::Mismatched { why }) => Some(why),
        };
        show(scenes, scene(&title, spec.as_ref(), &roles, trouble));
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = scenes.closed() => {}
        }
    }
    Ok(())
}

fn scene(title: &str, spec: Option<&Spec>, roles: &[RoleStatus], trouble: Option<String>) -> Scene {
    let nodes = spec.iter().flat_map(|spec| &spec.nodes).map(|node| {
        let mut of_it = roles.iter().filter(|role| role.node == node.name).peekable();
        let runs = of_it.peek().is_some() && of_it.clone().any(|role| role.pid.is_some());
        let state = match (runs, of_it.all(|role| role.ready)) {
            (false, _) => NodeState::Stopped,
            (true, true) => NodeState::Ready,
            (true, false) => NodeState::NotReady,
        };
        NodeSeen { name: node.name.clone(), state }
    });
    let pods = roles.iter().map(|role| PodSeen {
        id: format!("{}/{}", role.node, role.role.name()),
        name: role.role.name().into(),
        node: Some(role.node.clone()),
        state: match (role.pid, role.ready) {
            (Some(_), true) => PodState::Ready,
            (Some(_), false) => PodState::Starting,
            (None, _) => PodState::Failing,
        },
        restarts: role.restarts,
    });
    Scene { title: title.into(), nodes: nodes.collect(), pods: pods.collect(), events: Vec::new(), trouble }
}
