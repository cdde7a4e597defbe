//! What a cluster that somebody else runs has already: storage, ways in, Argo CD and Prometheus' operator. Nothing of it is
//! installed by Platen; what is asked for is used where its version will do, and refused where not.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use semver::Version;

use super::stack::Component;
use crate::config::ComponentsConfig;
use crate::error::{Doing, Error, Result, if_allowed};

/// The first Argo CD that reads a chart from a registry (`oci://`).
const ARGOCD: Version = Version::new(3, 1, 0);
const OPERATOR_GROUP: &str = "monitoring.coreos.com";
const OPERATOR_VERSION: &str = "v1";

/// Classes by name, the default one first; `None` where this account may not see them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    pub storage: Option<Vec<String>>,
    pub ingress: Option<Vec<String>>,
}

impl Classes {
    pub async fn of(client: &kube::Client) -> Result<Self> {
        let storage = visible::<StorageClass>(client, "storageclass.kubernetes.io/is-default-class").await?;
        let ingress = visible::<IngressClass>(client, "ingressclass.kubernetes.io/is-default-class").await?;
        Ok(Self { storage, ingress })
    }

    /// One sentence for the user.
    pub fn told(&self) -> String {
        let of = |what: &str, classes: &Option<Vec<String>>, without: &str| match classes.as_deref() {
            None => format!("{what} classes cannot be seen by this account"),
            Some([]) => format!("no {what} class, so that {without}"),
            Some(names) => format!("{what} class {}", names.join(", ")),
        };
        let storage = of("storage", &self.storage, "a claim waits for a volume made by hand");
        let ingress = of("ingress", &self.ingress, "the way in is a NodePort or a forward");
        format!("found on the cluster: {storage}; {ingress}")
    }
}

async fn visible<K>(client: &kube::Client, default: &str) -> Result<Option<Vec<String>>>
where
    K: Resource<Scope = k8s_openapi::ClusterResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let list = Api::<K>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let Some(list) = if_allowed(list.doing("looking at the cluster's storage and ingress classes"))? else {
        return Ok(None);
    };
    let mut names: Vec<(bool, String)> = list
        .items
        .iter()
        .map(|class| {
            let is_default = class.annotations().get(default).is_some_and(|value| value == "true");
            (!is_default, class.name_any())
        })
        .collect();
    names.sort();
    let shown = |(other, name): (bool, String)| if other { name } else { format!("{name} (default)") };
    Ok(Some(names.into_iter().map(shown).collect()))
}

/// Refuses components that were asked for and are not there, or too old. What of them is used.
pub async fn components(client: &kube::Client, wanted: ComponentsConfig) -> Result<Vec<String>> {
    let mut used = Vec::new();
    if wanted.argocd == Some(true) {
        let version = argocd(client).await?.ok_or_else(|| absent("Argo CD", "argocd"))?;
        if version < ARGOCD {
            return Err(Error::usage(
                format!(
                    "the cluster's Argo CD {version} cannot read charts from a registry; {ARGOCD} and later can"
                ),
                "have it brought up to date, or deploy by Helm: argocd = false under [components] in platen.toml",
            ));
        }
        used.push(format!("Argo CD {version} is there already and is used as it is"));
    }
    if wanted.monitoring == Some(true) {
        match operator(client).await?.as_deref() {
            None => return Err(absent("Prometheus' operator", "monitoring")),
            Some(versions) if !versions.iter().any(|version| version == OPERATOR_VERSION) => {
                return Err(Error::usage(
                    format!(
                        "the cluster's Prometheus operator serves {}, and not {OPERATOR_VERSION}",
                        versions.join(", ")
                    ),
                    "have it brought up to date, or leave monitoring = true out of [components] in platen.toml",
                ));
            }
            Some(_) => used.push("Prometheus' operator is there already and is used as it is".into()),
        }
    }
    Ok(used)
}

fn absent(what: &str, key: &str) -> Error {
    Error::usage(
        format!("the cluster has no {what}, and Platen installs it only on clusters that it makes"),
        format!("have it installed, or leave {key} = true out of [components] in platen.toml"),
    )
}

/// The version of the cluster's Argo CD, by its server's image.
async fn argocd(client: &kube::Client) -> Result<Option<Version>> {
    let namespace = Component::Argocd.namespace();
    let servers = ListParams::default().labels("app.kubernetes.io/name=argocd-server");
    let found = Api::<Deployment>::namespaced(client.clone(), namespace).list(&servers).await;
    let found = found.doing(format!("looking for Argo CD in the namespace {namespace}"))?;
    let Some(server) = found.items.into_iter().next() else { return Ok(None) };
    let containers = server.spec.template.spec.map(|spec| spec.containers);
    let image = containers.into_iter().flatten().find_map(|container| container.image).unwrap_or_default();
    version_of(&image).map(Some).ok_or_else(|| {
        Error::unhealthy(
            format!("the version of the cluster's Argo CD cannot be told by its image {image}"),
            "deploy by Helm: argocd = false under [components] in platen.toml",
        )
    })
}

/// By the tag of an image, as `quay.io/argoproj/argocd:v3.1.16@sha256:…`.
fn version_of(image: &str) -> Option<Version> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once('/').unwrap_or(("", name)).1.split_once(':')?;
    Version::parse(tag.trim_start_matches('v')).ok()
}

/// The versions of its kinds that the API server serves; `None` where it is not there.
async fn operator(client: &kube::Client) -> Result<Option<Vec<String>>> {
    let groups = client.list_api_groups().await.doing("asking the cluster for its kinds")?.groups;
    let found = groups.into_iter().find(|group| group.name == OPERATOR_GROUP);
    Ok(found.map(|group| group.versions.into_iter().map(|it| it.version).collect()))
}

#[cfg(test)]
mod tests {
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// What a path answers.
    type Answer = (&'static str, fn() -> Value);

    /// A cluster that answers so; everything else is refused to this account.
    fn cluster(answers: &'static [Answer]) -> kube::Client {
        let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                let answer = answers.iter().find(|(path, _)| *path == request.uri().path());
                let (code, body) = answer.map_or_else(
                    || (403, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"})),
                    |(_, body)| (200, body()),
                );
                let body = Body::from(body.to_string().into_bytes());
                respond.send_response(http::Response::builder().status(code).body(body).unwrap());
            }
        });
        kube::Client::new(service, "default")
    }

    fn argocd_of(tag: &str) -> Value {
        let image = format!("localhost:5000/argoproj/argocd:{tag}");
        let pod = json!({"spec": {"containers": [{"name": "server", "image": image}]}});
        json!({"metadata": {}, "items": [{"metadata": {"name": "argocd-server"},
            "spec": {"selector": {}, "template": pod}}]})
    }

    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/argocd/deployments";
    const ASKED: ComponentsConfig =
        ComponentsConfig { page: true, experiments: None, argocd: Some(true), monitoring: None };

    #[tokio::test]
    async fn an_argo_cd_that_is_new_enough_is_used_and_an_older_one_is_refused() {
        let used = components(&cluster(&[(DEPLOYMENTS, || argocd_of("v3.1.16"))]), ASKED).await.unwrap();
        assert!(used[0].contains("3.1.16 is there already"), "{used:?}");
        let old = components(&cluster(&[(DEPLOYMENTS, || argocd_of("v2.14.0@sha256:0a"))]), ASKED).await;
        assert!(old.unwrap_err().to_string().contains("Argo CD 2.14.0 cannot"));
        let none =
            components(&cluster(&[(DEPLOYMENTS, || json!({"metadata": {}, "items": []}))]), ASKED).await;
        assert!(none.unwrap_err().to_string().contains("has no Argo CD"));
    }

    #[tokio::test]
    async fn the_operator_is_used_where_it_serves_the_version_that_the_chart_has() {
        fn groups(version: &str) -> Value {
            let version = json!({"groupVersion": format!("{OPERATOR_GROUP}/{version}"), "version": version});
            json!({"kind": "APIGroupList", "groups": [{"name": OPERATOR_GROUP, "versions": [version], "preferredVersion": version}]})
        }
        let asked = ComponentsConfig { argocd: None, monitoring: Some(true), ..ASKED };
        assert_eq!(components(&cluster(&[("/apis", || groups("v1"))]), asked).await.unwrap().len(), 1);
        let old = components(&cluster(&[("/apis", || groups("v1alpha1"))]), asked).await.unwrap_err();
        assert!(old.to_string().contains("serves v1alpha1"), "{old}");
        assert!(components(&cluster(&[("/apis", || json!({"groups": []}))]), asked).await.is_err());
        let unasked = ComponentsConfig { monitoring: None, ..asked };
        assert_eq!(components(&cluster(&[]), unasked).await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn classes_are_told_and_what_may_not_be_seen_is_said_so() {
        fn storage() -> Value {
            let class = |name: &str, default: &str| json!({"metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}}});
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {},
                "items": [class("fast", "false"), class("standard", "true")]})
        }
        let seen =
            Classes::of(&cluster(&[("/apis/storage.k8s.io/v1/storageclasses", storage)])).await.unwrap();
        assert_eq!(seen.storage.clone().unwrap(), ["standard (default)", "fast"]);
        let told = seen.told();
        assert!(told.contains("storage class standard (default), fast"), "{told}");
        assert!(told.contains("ingress classes cannot be seen"), "{told}");
        assert!(Classes { storage: Some(Vec::new()), ingress: None }.told().contains("no storage class"));
    }
}
