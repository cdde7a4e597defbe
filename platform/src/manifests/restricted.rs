//! The Pod Security Standard `restricted`, as far as it can be broken by a pod template
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// What the API server would refuse in a namespace labelled `restricted`.
pub fn violations(spec: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut forbid = |broken: bool, what: &str| {
        if broken {
            found.push(what.to_owned());
        }
    };
    forbid(spec.host_network == Some(true), "hostNetwork");
    forbid(spec.host_pid == Some(true), "hostPID");
    forbid(spec.host_ipc == Some(true), "hostIPC");
    for volume in spec.volumes.iter().flatten() {
        let allowed = volume.config_map.is_some()
            || volume.csi.is_some()
            || volume.downward_api.is_some()
            || volume.empty_dir.is_some()
            || volume.ephemeral.is_some()
            || volume.persistent_volume_claim.is_some()
            || volume.projected.is_some()
            || volume.secret.is_some();
        forbid(!allowed, &format!("volume {} is of a kind that is not allowed", volume.name));
    }
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        found.extend(of_container(spec, container));
    }
    found
}

fn of_container(spec: &PodSpec, container: &Container) -> Vec<String> {
    let context = container.security_context.as_ref();
    let pod = spec.security_context.as_ref();
    let non_root = context.and_then(|it| it.run_as_non_root).or(pod.and_then(|it| it.run_as_non_root));
    let user = context.and_then(|it| it.run_as_user).or(pod.and_then(|it| it.run_as_user));
    let seccomp =
        context.and_then(|it| it.seccomp_profile.as_ref()).or(pod.and_then(|it| it.seccomp_profile.as_ref()));
    let capabilities = context.and_then(|it| it.capabilities.as_ref());
    let drops_all =
        capabilities.and_then(|it| it.drop.as_ref()).is_some_and(|drop| drop.iter().any(|it| it == "ALL"));
    let adds = capabilities
        .and_then(|it| it.add.as_ref())
        .is_some_and(|add| add.iter().any(|it| it != "NET_BIND_SERVICE"));
    let host_port = container.ports.iter().flatten().any(|port| port.host_port.unwrap_or(0) != 0);
    let rules = [
        (non_root != Some(true), "runAsNonRoot must be true"),
        (user == Some(0), "runAsUser must not be 0"),
        (
            context.and_then(|it| it.allow_privilege_escalation) != Some(false),
            "allowPrivilegeEscalation must be false",
        ),
        (context.and_then(|it| it.privileged) == Some(true), "privileged must not be true"),
        (!drops_all, "capabilities must drop ALL"),
        (adds, "capabilities may add NET_BIND_SERVICE only"),
        (
            !seccomp.is_some_and(|it| matches!(it.type_.as_str(), "RuntimeDefault" | "Localhost")),
            "seccompProfile must be RuntimeDefault or Localhost",
        ),
        (host_port, "hostPort must not be set"),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    broken.map(|(_, rule)| format!("container {}: {rule}", container.name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(context: &serde_json::Value, volume: &serde_json::Value) -> PodSpec {
        serde_json::from_value(json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "model", "securityContext": context}],
            "volumes": [volume],
        }))
        .unwrap()
    }

    #[test]
    fn a_restricted_pod_passes() {
        let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        assert_eq!(
            violations(&spec(&context, &json!({"name": "tmp", "emptyDir": {}}))),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_broken_rule_is_named() {
        let context = json!({"runAsUser": 0, "privileged": true, "capabilities": {"add": ["NET_ADMIN"]}});
        let found = violations(&spec(&context, &json!({"name": "host", "hostPath": {"path": "/"}})));
        assert_eq!(
            found,
            [
                "volume host is of a kind that is not allowed",
                "container model: runAsUser must not be 0",
                "container model: allowPrivilegeEscalation must be false",
                "container model: privileged must not be true",
                "container model: capabilities must drop ALL",
                "container model: capabilities may add NET_BIND_SERVICE only",
            ]
        );
    }
}
