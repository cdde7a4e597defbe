//! Certificates that have ended, or will soon: the API server's, the kubeconfig's, and those that the cluster keeps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::config::{AuthInfo, Cluster};

use super::pods::list;
use super::report::{Finding, Severity, Verdict};
use super::tls;
use super::world::World;
use super::x509::{Certificate, Validity};
use crate::cluster::contexts;
use crate::error::{Doing, Result};
use crate::up::Target;

/// Where a certificate was found, and what it says.
struct Found {
    object: String,
    certificate: Certificate,
    command: String,
}

/// The client's certificate, the authority's, and the API server's own.
pub async fn of_the_way(world: &World) -> Result<Verdict> {
    let Some(context) = world.context() else {
        return Ok(Verdict::Skipped("there is no API server to reach".into()));
    };
    let held = contexts::read()?;
    let named = held.contexts.iter().find(|it| it.name == context).and_then(|it| it.context.as_ref());
    let Some(named) = named else {
        return Ok(Verdict::Unknown(format!("the kubeconfig holds no context {context}")));
    };
    let user = held.auth_infos.iter().find(|it| Some(&it.name) == named.user.as_ref());
    let cluster = held.clusters.iter().find(|it| it.name == named.cluster);
    let renew = renewal(world, &context);
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    if let Some(pem) = user.and_then(|it| it.auth_info.as_ref()).and_then(client_certificate) {
        take(&mut found, &mut failures, &format!("client certificate of {context}"), pem, &renew);
    }
    if let Some(cluster) = cluster.and_then(|it| it.cluster.as_ref()) {
        if let Some(pem) = authority(cluster) {
            take(&mut found, &mut failures, &format!("authority of {context}"), pem, &renew);
        }
        match of_server(cluster).await {
            Ok(Some(certificate)) => {
                let object = format!("API server of {context}");
                found.push(Found { object, certificate, command: renew.clone() });
            }
            Ok(None) => {}
            Err(error) => failures.push(error),
        }
    }
    Ok(judged(&found, &failures, "no certificate is used on the way"))
}

fn client_certificate(user: &AuthInfo) -> Option<Result<Vec<u8>, String>> {
    data_or_file(user.client_certificate_data.as_deref(), user.client_certificate.as_deref())
}

fn authority(cluster: &Cluster) -> Option<Result<Vec<u8>, String>> {
    data_or_file(cluster.certificate_authority_data.as_deref(), cluster.certificate_authority.as_deref())
}

/// What stands in the kubeconfig itself goes before the file that it names.
fn data_or_file(data: Option<&str>, file: Option<&str>) -> Option<Result<Vec<u8>, String>> {
    match (data, file) {
        (Some(data), _) => Some(STANDARD.decode(data).map_err(|error| error.to_string())),
        (None, Some(file)) => Some(std::fs::read(file).map_err(|error| format!("{file}: {error}"))),
        (None, None) => None,
    }
}

fn take(
    found: &mut Vec<Found>,
    failures: &mut Vec<String>,
    object: &str,
    pem: Result<Vec<u8>, String>,
    command: &str,
) {
    match pem.and_then(|pem| Certificate::of_pem(&pem)) {
        Ok(certificates) => found.extend(certificates.into_iter().map(|certificate| Found {
            object: object.to_owned(),
            certificate,
            command: command.to_owned(),
        })),
        Err(why) => failures.push(format!("the {object} cannot be read: {why}")),
    }
}

async fn of_server(cluster: &Cluster) -> Result<Option<Certificate>, String> {
    let Some(server) = cluster.server.as_deref().and_then(|server| server.parse::<http::Uri>().ok()) else {
        return Ok(None);
    };
    let (Some("https"), Some(host)) = (server.scheme_str(), server.host()) else { return Ok(None) };
    let (host, port) = (host.trim_matches(['[', ']']).to_owned(), server.port_u16().unwrap_or(443));
    let shown = tokio::task::spawn_blocking(move || tls::shown_by(&host, port)).await;
    let shown = shown.map_err(|error| error.to_string())?;
    let bytes = shown.map_err(|error| format!("the API server's certificate cannot be seen: {error}"))?;
    Certificate::of_der(&bytes).map(Some)
}

/// How the certificates of this cluster are made anew.
fn renewal(world: &World, context: &str) -> String {
    let profile = &world.host.config.cluster.profile;
    match &world.made {
        Some(Target::Kind { .. }) => {
            format!("docker exec {profile}-control-plane kubeadm certs renew all")
        }
        Some(Target::Minikube { .. }) => format!("minikube start --profile {profile}"),
        _ => format!("kubectl config view --minify --context {context}"),
    }
}

/// Those of webhooks and of TLS secrets. Of a Secret only its certificate is looked at, never its key.
pub async fn in_the_cluster(world: &World) -> Result<Verdict> {
    let (client, context) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    let (mut found, mut failures, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    match webhooks(client, &mut found, &mut failures).await {
        Err(error) if error.is_forbidden() => refused.push(error),
        Err(error) => failures.push(error.to_string()),
        Ok(()) => {}
    }
    let of_type = ListParams::default().fields("type=kubernetes.io/tls");
    match list::<Secret>(world, client, &of_type).await {
        Ok(secrets) => {
            for secret in &secrets {
                of_secret(secret, &mut found, &mut failures);
            }
        }
        Err(error) if error.is_forbidden() => refused.push(error),
        Err(error) => failures.push(error.to_string()),
    }
    // Those of somebody else's cluster are for him to see; of what is seen in part, that part is told.
    let none_seen = refused.len() == 2;
    if let Some(refused) = refused.pop().filter(|_| none_seen || world.owns_the_cluster()) {
        return Err(refused);
    }
    for it in &mut found {
        it.command = it.command.replacen("kubectl ", &format!("kubectl --context {context} "), 1);
    }
    Ok(judged(&found, &failures, "there is none"))
}

async fn webhooks(client: &kube::Client, found: &mut Vec<Found>, failures: &mut Vec<String>) -> Result<()> {
    let all = ListParams::default();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone()).list(&all).await;
    for it in validating.doing("listing the validating webhooks")?.items {
        let name = it.metadata.name.unwrap_or_default();
        for hook in it.webhooks.unwrap_or_default() {
            of_webhook("validatingwebhookconfiguration", &name, &hook.client_config, found, failures);
        }
    }
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone()).list(&all).await;
    for it in mutating.doing("listing the mutating webhooks")?.items {
        let name = it.metadata.name.unwrap_or_default();
        for hook in it.webhooks.unwrap_or_default() {
            of_webhook("mutatingwebhookconfiguration", &name, &hook.client_config, found, failures);
        }
    }
    Ok(())
}

fn of_webhook(
    kind: &str,
    name: &str,
    config: &WebhookClientConfig,
    found: &mut Vec<Found>,
    failures: &mut Vec<String>,
) {
    // Without one, the API server trusts what the system trusts.
    if let Some(bundle) = config.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty()) {
        let command = format!("kubectl describe {kind} {name}");
        take(found, failures, &format!("{kind} {name}"), Ok(bundle.0.clone()), &command);
    }
}

fn of_secret(secret: &Secret, found: &mut Vec<Found>, failures: &mut Vec<String>) {
    let (name, namespace) =
        (secret.metadata.name.as_deref().unwrap_or_default(), secret.metadata.namespace.as_deref());
    let namespace = namespace.unwrap_or("default");
    let certificate = secret.data.as_ref().and_then(|data| data.get("tls.crt"));
    if let Some(pem) = certificate {
        let command = format!("kubectl --namespace {namespace} describe secret {name}");
        take(found, failures, &format!("secret {namespace}/{name}"), Ok(pem.0.clone()), &command);
    }
}

fn judged(found: &[Found], failures: &[String], none: &str) -> Verdict {
    let now = Timestamp::now().as_second();
    let findings: Vec<Finding> = found
        .iter()
        .filter_map(|it| {
            let soon = it.certificate.at(now) == Validity::EndsSoon;
            let severity = if soon { Severity::Warning } else { Severity::Error };
            let sentence = format!("its certificate {}", it.certificate.complaint(now)?);
            Some(Finding::new(severity, &*it.object, sentence, &*it.command))
        })
        .collect();
    if !findings.is_empty() {
        return Verdict::Found(findings);
    }
    // What could not be read may be the one that has ended.
    if !failures.is_empty() {
        return Verdict::Unknown(failures.join("; "));
    }
    let left = |it: &Found| match it.certificate.at(now) {
        Validity::Holds(days) => days,
        _ => 0,
    };
    match found.iter().map(left).min() {
        Some(days) => Verdict::Passed(format!("{} looked at, the first ends in {days} days", found.len())),
        None => Verdict::Passed(none.into()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::super::x509::tests::pem;
    use super::*;

    fn secret(pem: String) -> Secret {
        let mut secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": "webhook-cert", "namespace": "argocd"}}))
                .unwrap();
        secret.data = Some([("tls.crt".to_owned(), ByteString(pem.into_bytes()))].into());
        secret
    }

    fn checked(secret: &Secret) -> Verdict {
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        of_secret(secret, &mut found, &mut failures);
        judged(&found, &failures, "none")
    }

    #[test]
    fn a_secret_whose_certificate_has_ended_is_found() {
        let Verdict::Found(found) = checked(&secret(pem(2019, 2020))) else { panic!("nothing was found") };
        assert_eq!(found[0].object, "secret argocd/webhook-cert");
        assert!(found[0].sentence.starts_with("its certificate expired on 2020-01-01"), "{found:?}");
        assert_eq!(found[0].command, "kubectl --namespace argocd describe secret webhook-cert");
    }

    #[test]
    fn one_that_holds_passes_and_one_that_cannot_be_read_does_not() {
        assert!(matches!(checked(&secret(pem(2019, 2400))), Verdict::Passed(_)));
        assert!(matches!(checked(&secret("broken".into())), Verdict::Unknown(_)));
    }

    #[test]
    fn the_kubeconfigs_own_data_go_before_its_file() {
        let data = STANDARD.encode("from the data");
        assert_eq!(data_or_file(Some(&data), Some("/no/file")).unwrap().unwrap(), b"from the data");
        assert!(data_or_file(None, Some("/no/file")).unwrap().unwrap_err().contains("/no/file"));
        assert!(data_or_file(None, None).is_none());
    }
}
