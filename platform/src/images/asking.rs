//! How images are asked for before a deploy: with the logins that nodes have, and with this machine's own only where it is
//! not known that those are refused.

use super::image::{REPOSITORY, local_registry};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::mirror::Mirror;
use crate::registry::{self, Credentials, Keyring, PlatformManifest, Reference, Registries};

/// What helps where `build` would give today's sources a name that stands for others.
const OF_ITS_COMMIT: &str =
    "build it from the commit that it was made of, or deploy this checkout: cargo xtask deploy";

/// Whom images are asked of, and by whose logins.
pub struct Asking {
    pub(super) host: Host,
    /// With no other logins than those that nodes are known to have.
    pub(super) nodes: Registries,
    /// With this machine's, where those can be read.
    pub(super) own: Option<Registries>,
    /// What `build` makes of this checkout, as nodes know it.
    pub(super) service: Reference,
}

/// An image that is there.
pub(super) struct Found<'a> {
    pub registries: &'a Registries,
    /// Where nodes find it.
    pub reference: Reference,
    pub platforms: Vec<PlatformManifest>,
    /// It was let out to this machine's login, and to none that nodes are known to have.
    pub only_here: bool,
}

/// What an image is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    /// This checkout's: its tag is their hash.
    Own,
    /// The service's, of another commit.
    Earlier,
    /// Others publish it, and `build` does not replace it.
    Others,
}

impl Sources {
    fn of(image: &str, service: &Reference) -> Self {
        let Ok(image) = registry::parse(image) else { return Self::Others };
        if !image.repository().ends_with(REPOSITORY) {
            return Self::Others;
        }
        let is_own = image.digest().is_none() && image.tag() == service.tag();
        if is_own { Self::Own } else { Self::Earlier }
    }
}

impl Asking {
    /// `logins`: those that nodes have; `mirror`: the registry that they ask for images of every host; `service`: what
    /// `build` makes of this checkout.
    pub fn new(host: &Host, logins: Vec<Credentials>, mirror: Option<&str>, service: &Reference) -> Self {
        Self {
            host: host.clone(),
            nodes: Registries::with_keyring(host, Keyring::only(logins)).behind(mirror),
            own: Registries::new(host).ok().map(|own| own.behind(mirror)),
            service: service.clone(),
        }
    }

    /// An error where nobody is let in, or where the one login that nodes have for this registry is refused. They may have
    /// one that nobody can see, of their machine's or of a service account.
    pub(super) async fn find(&self, image: &Reference) -> Result<Found<'_>> {
        let refused = match find(&self.nodes, image).await {
            Ok(found) => return Ok(found),
            Err(refused) => refused,
        };
        let Some(own) = &self.own else { return Err(refused) };
        let is_known = self.nodes.keyring().named_at(image.registry()) == 1;
        let has_login = matches!(own.login(image).await, Ok(Some(_)));
        if is_known || !has_login {
            return Err(refused);
        }
        match find(own, image).await {
            Ok(found) => Ok(Found { only_here: true, ..found }),
            Err(_) => Err(refused),
        }
    }

    /// What gives an image further platforms, where that is known.
    pub(super) fn for_platforms(&self, image: &str, platforms: &[String]) -> Option<String> {
        let can_be_built = platforms.iter().all(|platform| super::can_be_built(platform));
        match Sources::of(image, &self.service) {
            Sources::Own if can_be_built => {
                Some(format!("cargo xtask build --platform {} --push {image}", platforms.join(",")))
            }
            Sources::Earlier if can_be_built => Some(OF_ITS_COMMIT.into()),
            _ => None,
        }
    }

    /// With what an image that is not in its registry needs.
    pub(super) fn with_remedy(&self, image: &str, error: Error) -> Error {
        let Error::Unhealthy { what, hint } = error else { return error };
        let hint = match Sources::of(image, &self.service) {
            Sources::Own => format!("push it: cargo xtask build --push {image}; or {hint}"),
            Sources::Earlier => format!("{OF_ITS_COMMIT}; or {hint}"),
            Sources::Others => hint,
        };
        Error::Unhealthy { what, hint }
    }

    /// What brings an image again that its registry has lost something of. `at`: where it was found.
    pub(super) fn again(&self, image: &str, at: &Reference, platforms: &[String]) -> String {
        let is_local = at.registry() == local_registry(&self.host.config);
        match Sources::of(image, &self.service) {
            Sources::Own if is_local => "bring it there again: cargo xtask build".into(),
            Sources::Own => {
                let platforms = platforms.join(",");
                format!("bring it there again: cargo xtask build --platform {platforms} --push {image}")
            }
            Sources::Earlier => OF_ITS_COMMIT.into(),
            Sources::Others if is_local && Mirror::new(&self.host).is_ok_and(|it| it.holds(at)) => {
                "bring it there again: cargo xtask mirror publish".into()
            }
            Sources::Others => "push it again".into(),
        }
    }
}

async fn find<'a>(registries: &'a Registries, image: &Reference) -> Result<Found<'a>> {
    let reference = registries.as_nodes_find(image).await?;
    let Some(platforms) = registries.platforms(&reference).await? else {
        // The error names the registry and what to do.
        let error = registries.require(&reference).await.err();
        return Err(error.unwrap_or_else(|| Error::unhealthy(format!("there is no image {image}"), "")));
    };
    Ok(Found { registries, reference, platforms, only_here: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "localhost:5000/platen/ocr-service:0123456789ab";

    fn asking() -> Asking {
        let host = Host::bare("/nowhere");
        let nodes = Registries::with_keyring(&host, Keyring::only([]));
        Asking { host, nodes, own: None, service: registry::parse(SERVICE).unwrap() }
    }

    #[test]
    fn only_what_this_checkout_makes_is_built_and_pushed_under_its_name() {
        let needed = ["linux/arm64".to_owned()];
        let next = |image: &str| asking().for_platforms(image, &needed);
        let own = next(SERVICE).unwrap();
        assert_eq!(own, format!("cargo xtask build --platform linux/arm64 --push {SERVICE}"));
        let earlier = next("localhost:5000/platen/ocr-service:ba9876543210").unwrap();
        assert!(earlier.contains("the commit") && !earlier.contains("--push"), "{earlier}");
        assert_eq!(next("docker.io/library/redis:8"), None);
        assert_eq!(asking().for_platforms(SERVICE, &["linux/riscv64".to_owned()]), None);
    }

    #[test]
    fn what_is_missing_is_told_with_what_brings_it() {
        let hint = |image: &str| {
            asking().with_remedy(image, Error::unhealthy("it is missing", "look there")).hint().unwrap()
        };
        assert!(hint(SERVICE).starts_with("push it: cargo xtask build --push"));
        assert!(hint("localhost:5000/platen/ocr-service:1").starts_with("build it from the commit"));
        assert_eq!(hint("docker.io/library/redis:8"), "look there");
    }

    #[test]
    fn what_was_lost_is_brought_again_from_where_it_came() {
        let again = |image: &str| {
            asking().again(image, &registry::parse(image).unwrap(), &["linux/amd64".to_owned()])
        };
        assert!(again(SERVICE).ends_with("cargo xtask build"));
        let elsewhere = "127.0.0.1:7000/platen/ocr-service:0123456789ab";
        assert!(again(elsewhere).ends_with(&format!("build --platform linux/amd64 --push {elsewhere}")));
        assert!(again("localhost:5000/platen/ocr-service:1").contains("the commit"));
        assert_eq!(again("localhost:5000/library/redis:8"), "push it again", "the mirror has none");
    }
}
