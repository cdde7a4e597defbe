//! What all checks look at: the profile, Docker, and the cluster's API where there is one.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::DoctorOptions;
use crate::cluster::client::client;
use crate::config::ProviderChoice;
use crate::engine;
use crate::error::{Doing, Error, Result, if_allowed};
use crate::host::Host;
use crate::up::{self, Component, Target};

/// A cluster that does not answer such a question within this time does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(8);

pub(super) struct World {
    /// As the profile was made.
    pub host: Host,
    /// What `up` made; `None` where it made nothing.
    pub made: Option<Target>,
    /// What is to be served by.
    pub wanted: ProviderChoice,
    pub engine: engine::State,
    pub cluster: Cluster,
}

/// The API server of the profile's cluster.
pub(super) enum Cluster {
    /// There is none to look at, and why.
    None(String),
    Silent {
        context: String,
        why: String,
        /// The kubeconfig lacks the context, or it cannot be used.
        unusable: bool,
    },
    Answers {
        context: String,
        client: kube::Client,
    },
}

impl World {
    pub async fn look(host: &Host, options: DoctorOptions) -> Result<Self> {
        let record = up::read_record(host, &host.config.cluster.profile)?;
        let host = record.as_ref().map_or_else(|| host.clone(), |record| record.host(host));
        let made = record.map(|record| record.choice.target);
        let wanted = options.provider.unwrap_or_else(|| match &made {
            Some(target) => choice_of(target),
            None => host.config.cluster.provider,
        });
        let (engine, cluster) =
            tokio::join!(engine::observe(&host), find_cluster(&host, made.as_ref(), wanted));
        Ok(Self { host, made, wanted, engine: engine?, cluster })
    }

    pub fn provider_name(&self) -> &'static str {
        self.wanted.as_str()
    }

    /// Whether it is there already.
    pub fn is_made(&self) -> bool {
        self.made.as_ref().map(choice_of) == Some(self.wanted)
    }

    /// Whether it cannot do without Docker.
    pub fn needs_docker(&self) -> bool {
        matches!(self.wanted, ProviderChoice::Kind | ProviderChoice::Minikube)
    }

    /// The cluster's client and context, or how a check that needs them ends.
    pub fn cluster(&self) -> Result<(&kube::Client, &str), super::Verdict> {
        match &self.cluster {
            Cluster::Answers { context, client } => Ok((client, context)),
            Cluster::None(why) => Err(super::Verdict::Skipped(why.clone())),
            Cluster::Silent { context, .. } => Err(super::Verdict::Unknown(format!(
                "the API server of the context {context} does not answer"
            ))),
        }
    }

    /// The context that the profile's cluster has in the kubeconfig.
    pub fn context(&self) -> Option<String> {
        match &self.cluster {
            Cluster::None(_) => None,
            Cluster::Silent { context, .. } | Cluster::Answers { context, .. } => Some(context.clone()),
        }
    }

    /// Whether everything in the cluster is there because of Platen; of another's cluster only its own is looked at.
    pub fn owns_the_cluster(&self) -> bool {
        matches!(self.made, Some(Target::Kind { .. } | Target::Minikube { .. }))
    }
}

/// Namespaces that Platen has something in.
pub(super) fn namespaces() -> Vec<&'static str> {
    up::NAMESPACES.into_iter().chain(Component::ALL.into_iter().map(Component::namespace)).collect()
}

fn choice_of(target: &Target) -> ProviderChoice {
    match target {
        Target::Embedded => ProviderChoice::Embedded,
        Target::Kind { .. } => ProviderChoice::Kind,
        Target::Minikube { .. } => ProviderChoice::Minikube,
        Target::Existing { .. } => ProviderChoice::Existing,
    }
}

/// The kubeconfig context of what was made, or is to be used.
fn context_of(host: &Host, made: Option<&Target>, wanted: ProviderChoice) -> Option<String> {
    match (made, wanted) {
        (Some(target), _) => target.context(&host.config.cluster.profile),
        (None, ProviderChoice::Existing) => host.config.cluster.context.clone(),
        (None, _) => None,
    }
}

async fn find_cluster(host: &Host, made: Option<&Target>, wanted: ProviderChoice) -> Cluster {
    let Some(context) = context_of(host, made, wanted) else {
        return Cluster::None(match made {
            Some(_) => "what runs here is no Kubernetes".into(),
            None => format!("no cluster was made under the profile {}", host.config.cluster.profile),
        });
    };
    let asked = async {
        let client = client(&context).await?;
        // Whatever the account may see: that it answers is what counts.
        let listed = Api::<Node>::all(client.clone()).list(&ListParams::default().limit(1)).await;
        if_allowed(listed.doing("asking the API server"))?;
        Ok::<_, Error>(client)
    };
    let silent = |why: String, unusable| Cluster::Silent { context: context.clone(), why, unusable };
    match tokio::time::timeout(ANSWERS_WITHIN, asked).await {
        Ok(Ok(client)) => Cluster::Answers { context, client },
        Ok(Err(error)) => silent(error.to_string(), matches!(error, Error::Usage { .. })),
        Err(_) => silent(format!("no answer within {} s", ANSWERS_WITHIN.as_secs()), false),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use crate::engine::Lack;

    /// A machine with nothing on it, in a folder of its own.
    pub fn bare() -> (tempfile::TempDir, World) {
        let dir = tempfile::tempdir().unwrap();
        let world = World {
            host: Host::bare(dir.path()),
            made: None,
            wanted: ProviderChoice::Auto,
            engine: engine::State::NotThere(Lack::NotInstalled),
            cluster: Cluster::None("no cluster".into()),
        };
        (dir, world)
    }

    #[test]
    fn the_context_is_that_of_what_was_made() {
        let (_dir, world) = bare();
        let of = |made: Option<&Target>, wanted| context_of(&world.host, made, wanted);
        let kind = Target::Kind { images: crate::mirror::Supply::Source };
        assert_eq!(of(Some(&kind), ProviderChoice::Kind).as_deref(), Some("kind-platen"));
        assert_eq!(of(Some(&Target::Embedded), ProviderChoice::Embedded), None);
        let existing = Target::Existing { context: "mine".into() };
        assert_eq!(of(Some(&existing), ProviderChoice::Auto).as_deref(), Some("mine"));
        assert_eq!(of(None, ProviderChoice::Auto), None);
    }
}
