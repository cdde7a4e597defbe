//! Why an image could not be had: what container runtimes and registries say, told in a sentence.

use super::short;

/// A failed pull.
pub(super) struct Pull<'a> {
    pub image: &'a str,
    /// What the kubelet says, with the words of the runtime and the registry in it.
    pub message: &'a str,
    /// The platform of the pod's node, as `linux/amd64`, where it is known.
    pub platform: Option<&'a str>,
    pub has_pull_secret: bool,
    pub namespace: &'a str,
    pub pod: &'a str,
}

/// What a pull can fail of, as far as the next step differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    OtherPlatform,
    NotLoaded,
    Unauthorized,
    PlainHttp,
    Certificate,
    Silent,
    NoSuchImage,
    NoReference,
    DiskFull,
    Other,
}

/// The first cause with one of its words in the message. Order matters: a refused login also says "not found", and a
/// platform that is missing does too.
const WORDS: &[(Cause, &[&str])] = &[
    (
        Cause::OtherPlatform,
        &["no match for platform", "no matching manifest for", "no image found in manifest list"],
    ),
    (Cause::NotLoaded, &["is not present with pull policy of Never"]),
    (
        Cause::Unauthorized,
        &[
            " 401",
            " 403",
            "insufficient_scope",
            "authorization failed",
            "unauthorized",
            "pull access denied",
            "no basic auth credentials",
            "denied:",
        ],
    ),
    (Cause::PlainHttp, &["server gave HTTP response to HTTPS client"]),
    (Cause::Certificate, &["x509:", "certificate signed by unknown authority"]),
    (
        Cause::Silent,
        &[
            "connection refused",
            "no such host",
            "i/o timeout",
            "no route to host",
            "network is unreachable",
            "server misbehaving",
        ],
    ),
    (Cause::NoSuchImage, &["not found", "manifest unknown", "NotFound", "name unknown"]),
    (Cause::NoReference, &["couldn't parse image", "InvalidImageName", "invalid reference format"]),
    (Cause::DiskFull, &["no space left on device"]),
];

impl Pull<'_> {
    fn cause(&self) -> Cause {
        let says = |words: &[&str]| words.iter().any(|word| self.message.contains(word));
        WORDS.iter().find(|(_, words)| says(words)).map_or(Cause::Other, |(cause, _)| *cause)
    }

    /// What is wrong, and what to type next.
    pub fn explained(&self) -> (String, String) {
        let cause = self.cause();
        (self.sentence(cause), self.command(cause))
    }

    fn sentence(&self, cause: Cause) -> String {
        let (image, registry) = (self.image, registry(self.image));
        match cause {
            Cause::OtherPlatform => match self.platform {
                Some(platform) => {
                    format!("the image {image} was not built for its node's platform {platform}")
                }
                None => format!("the image {image} was not built for its node's platform"),
            },
            Cause::NotLoaded => format!("the image {image} is not on the node, and its pull policy is Never"),
            Cause::Unauthorized if self.has_pull_secret => {
                format!("the registry {registry} refuses the pull secret for the image {image}")
            }
            Cause::Unauthorized => format!(
                "the registry {registry} asks for a login to pull the image {image}, and the pod names no pull secret"
            ),
            Cause::PlainHttp => {
                format!("the registry {registry} speaks plain HTTP and the node was not told so")
            }
            Cause::Certificate => {
                format!("the node does not trust the certificate of the registry {registry}")
            }
            Cause::Silent => {
                format!(
                    "the registry {registry} does not answer the node, so the image {image} cannot be pulled"
                )
            }
            Cause::NoSuchImage => format!("there is no image {image} in the registry {registry}"),
            Cause::NoReference => format!("{image:?} is not an image reference"),
            Cause::DiskFull => format!("the node has no disk space left for the image {image}"),
            Cause::Other => format!("the image {image} cannot be pulled: {}", short(self.message)),
        }
    }

    fn command(&self, cause: Cause) -> String {
        let Self { namespace, pod, .. } = self;
        match cause {
            Cause::OtherPlatform => "kubectl get nodes --label-columns kubernetes.io/arch".to_owned(),
            Cause::NoSuchImage | Cause::NotLoaded | Cause::Silent => "cargo xtask up".to_owned(),
            Cause::Unauthorized if !self.has_pull_secret => format!(
                "kubectl --namespace {namespace} create secret generic regcred --type \
                 kubernetes.io/dockerconfigjson --from-file .dockerconfigjson=$HOME/.docker/config.json"
            ),
            Cause::DiskFull => "docker system df".to_owned(),
            Cause::Unauthorized
            | Cause::PlainHttp
            | Cause::Certificate
            | Cause::NoReference
            | Cause::Other => {
                format!("kubectl --namespace {namespace} describe pod {pod}")
            }
        }
    }
}

/// The registry of an image reference, by the rule that every runtime follows: the first part is a host if it has a
/// dot or a port or is `localhost`.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_host_is_on_docker_hub() {
        assert_eq!(registry("user/ocr:1"), "docker.io");
        assert_eq!(registry("localhost:5000/ocr:1"), "localhost:5000");
        assert_eq!(registry("localhost/ocr"), "localhost");
    }
}
