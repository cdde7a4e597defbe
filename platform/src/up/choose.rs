//! Which provider a run uses, and why.

use serde::{Deserialize, Serialize};

use super::record::{UpRecord, read_record};
use crate::cluster::kind::Kind;
use crate::config::{ImageSource, ProfileName, ProviderChoice};
use crate::engine;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::mirror::Supply;
use crate::tools::{self, Reach, Tool};

/// A provider that was settled on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "provider")]
pub enum Target {
    Embedded,
    Kind { images: Supply },
    Minikube { images: Supply },
    Existing { context: String },
}

impl Target {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kind { .. } => "kind",
            Self::Minikube { .. } => "minikube",
            Self::Existing { .. } => "existing",
        }
    }

    /// Where the images of a cluster that `up` makes come from.
    fn images(&self) -> Option<Supply> {
        match self {
            Self::Kind { images } | Self::Minikube { images } => Some(*images),
            Self::Embedded | Self::Existing { .. } => None,
        }
    }

    /// Its context in the kubeconfig; `None` where it is no Kubernetes.
    pub fn context(&self, profile: &ProfileName) -> Option<String> {
        match self {
            Self::Embedded => None,
            Self::Kind { .. } => Some(Kind::context(profile)),
            Self::Minikube { .. } => Some(profile.to_string()),
            Self::Existing { context } => Some(context.clone()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind { images } => write!(f, "kind with images {images}"),
            Self::Minikube { images } => write!(f, "minikube with images {images}"),
            Self::Existing { context } => write!(f, "the existing cluster {context}"),
            Self::Embedded => f.write_str(self.name()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    #[serde(flatten)]
    pub target: Target,
    /// One line for the user.
    pub because: String,
}

/// What the choice depends on.
#[derive(Debug, Clone)]
pub struct Seen {
    pub recorded: Option<UpRecord>,
    pub docker_answers: bool,
    /// Whether minikube is here or can be downloaded.
    pub minikube: bool,
    /// Where images of a new cluster would come from.
    pub supply: Supply,
}

pub fn choose(wanted: ProviderChoice, context: Option<&str>, seen: &Seen) -> Result<Choice> {
    let target = match wanted {
        ProviderChoice::Auto => return Ok(automatic(seen)),
        ProviderChoice::Embedded => Target::Embedded,
        ProviderChoice::Kind => Target::Kind { images: seen.supply },
        ProviderChoice::Minikube => Target::Minikube { images: seen.supply },
        ProviderChoice::Existing => Target::Existing {
            context: context.map(ToOwned::to_owned).ok_or_else(|| {
                Error::usage(
                    "an existing cluster needs its kubeconfig context",
                    "name it: --context NAME (kubectl config get-contexts lists them)",
                )
            })?,
        },
    };
    match &seen.recorded {
        Some(recorded) if recorded.choice.target != target => Err(Error::usage(
            format!("this profile already runs on {}", recorded.choice.target),
            "take it down first (cargo xtask down), or use another one: --profile NAME",
        )),
        _ => Ok(Choice { target, because: "as asked for".into() }),
    }
}

fn automatic(seen: &Seen) -> Choice {
    let (target, because) = match &seen.recorded {
        Some(recorded) => (recorded.choice.target.clone(), "as made before"),
        None if seen.docker_answers && seen.minikube => (
            Target::Minikube { images: seen.supply },
            "Docker answers and minikube can be had; the same cluster by kind: cargo xtask up --provider kind",
        ),
        None if seen.docker_answers => (
            Target::Kind { images: seen.supply },
            "Docker answers, and minikube cannot be had; to serve within seconds and without a cluster: cargo xtask up --provider embedded",
        ),
        None => (
            Target::Embedded,
            "no Docker answers; for a real Kubernetes cluster, about 15 minutes the first time on two cores: cargo xtask up --provider kind",
        ),
    };
    Choice { target, because: because.into() }
}

pub(super) async fn choose_for(host: &Host, recorded: Option<UpRecord>) -> Result<Choice> {
    let cluster = &host.config.cluster;
    let docker_answers = matches!(engine::observe(host).await?, engine::State::Ready(_));
    // Only a choice that is still open depends on it.
    let open = recorded.is_none() && docker_answers && cluster.provider == ProviderChoice::Auto;
    let minikube = open && !matches!(tools::reach(host, Tool::Minikube).await?, Reach::None(_));
    let mut seen = Seen { recorded, docker_answers, minikube, supply: Supply::Source };
    let choice = choose(cluster.provider, cluster.context.as_deref(), &seen);
    // Only a new cluster asks whether images can be pulled, or one that is asked for otherwise than it was made.
    let is_asked = host.config.images.source != ImageSource::Auto;
    let has_images = choice.as_ref().is_ok_and(|choice| choice.target.images().is_some());
    seen.supply = match as_made(host, seen.recorded.as_ref()) {
        Some(images) => images,
        None if !is_asked && !has_images => return choice,
        None => Supply::decide(host).await?,
    };
    choose(cluster.provider, cluster.context.as_deref(), &seen)
}

/// Where images come from: as the profile's cluster was made, else decided.
pub async fn supply(host: &Host) -> Result<Supply> {
    let recorded = read_record(host, &host.config.cluster.profile)?;
    match as_made(host, recorded.as_ref()) {
        Some(made) => Ok(made),
        None => Supply::decide(host).await,
    }
}

/// Where the profile's cluster has its images from, where nothing is asked for. To decide it anew, by what answers today,
/// would replace the registry that its nodes ask, and the builder.
fn as_made(host: &Host, recorded: Option<&UpRecord>) -> Option<Supply> {
    if host.config.images.source != ImageSource::Auto {
        return None;
    }
    recorded?.choice.target.images()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::config::{NodeCount, PortsConfig};
    use crate::up::record::write_record;

    const NOTHING: Seen =
        Seen { recorded: None, docker_answers: false, minikube: false, supply: Supply::Source };
    const KIND: Target = Target::Kind { images: Supply::Source };

    fn recorded(target: Target) -> Seen {
        let choice = Choice { target, because: String::new() };
        let record = UpRecord { choice, nodes: NodeCount::default(), ports: PortsConfig::default() };
        Seen { recorded: Some(record), ..NOTHING }
    }

    #[test]
    fn what_was_made_before_is_used_again() {
        let seen = Seen { docker_answers: true, ..recorded(Target::Embedded) };
        assert_eq!(choose(ProviderChoice::Auto, None, &seen).unwrap().target, Target::Embedded);
    }

    #[test]
    fn without_docker_it_is_embedded_and_says_how_to_get_a_cluster() {
        let choice = choose(ProviderChoice::Auto, None, &NOTHING).unwrap();
        assert_eq!(choice.target, Target::Embedded);
        assert!(choice.because.contains("up --provider kind"));
    }

    #[test]
    fn with_docker_it_is_a_real_cluster() {
        let seen = Seen { docker_answers: true, ..NOTHING };
        assert_eq!(choose(ProviderChoice::Auto, None, &seen).unwrap().target, KIND);
    }

    #[test]
    fn with_docker_minikube_goes_before_kind_where_it_can_be_had() {
        let seen = Seen { docker_answers: true, minikube: true, ..NOTHING };
        let choice = choose(ProviderChoice::Auto, None, &seen).unwrap();
        assert_eq!(choice.target, Target::Minikube { images: Supply::Source });
        assert!(choice.because.contains("--provider kind"));
        let without = Seen { docker_answers: false, ..seen };
        assert_eq!(choose(ProviderChoice::Auto, None, &without).unwrap().target, Target::Embedded);
    }

    #[test]
    fn other_images_than_the_cluster_was_made_with_are_refused() {
        let seen = Seen { supply: Supply::Pull, ..recorded(KIND) };
        let error = choose(ProviderChoice::Kind, None, &seen).unwrap_err();
        assert!(error.to_string().contains("built from source"), "{error}");
    }

    #[tokio::test]
    async fn images_go_on_coming_from_where_the_profiles_cluster_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Host::bare(dir.path());
        for images in [Supply::Source, Supply::Pull] {
            let choice = Choice { target: Target::Kind { images }, because: String::new() };
            write_record(&host, &choice).unwrap();
            assert_eq!(supply(&host).await.unwrap(), images);
        }
        host.config.images.source = ImageSource::Source;
        assert_eq!(supply(&host).await.unwrap(), Supply::Source, "what is asked for goes before");
    }

    #[test]
    fn another_provider_in_the_same_profile_is_refused() {
        let error = choose(ProviderChoice::Kind, None, &recorded(Target::Embedded)).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("embedded"));
    }

    #[test]
    fn an_existing_cluster_needs_its_context() {
        let error = choose(ProviderChoice::Existing, None, &NOTHING).unwrap_err();
        assert!(error.hint().unwrap().contains("--context"));
    }
}
