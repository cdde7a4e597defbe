//! Whether what lies on this machine is enough for a cluster, asked before anything of it is begun.

use super::artifact::{Artifact, Kind};
use super::names::Present;
use super::verify::{Fault, Verified};
use super::{Mirror, carried, transfer};
use crate::error::Result;
use crate::host::Host;
use crate::registry::Reference;
use crate::tools::{self, Tool};

/// What brings everything at once, from a machine that has a network.
const CARRY: &str = "cargo xtask mirror import FOLDER, with a folder that `cargo xtask mirror export FOLDER` wrote on a machine \
                     with a network";

impl Mirror {
    /// An error that names everything that `wanted` lacks. `service` is the image that must be there too.
    pub async fn must_suffice(
        &self,
        host: &Host,
        present: &Present,
        wanted: &[Artifact],
        service: Option<&Reference>,
    ) -> Result<()> {
        let lacks = |name: String| {
            let (why, command) = ("is not on this machine".to_owned(), CARRY.to_owned());
            Fault { name, digest: None, why, command }
        };
        let mut found = Verified::default();
        found.faults.extend(self.lacking(present, wanted).iter().map(|it| lacks(it.title().to_owned())));
        if tools::find(host, Tool::Helm).await?.is_none() {
            found.faults.push(lacks("helm".into()));
        }
        if let Some(service) = service
            && !self.holds_service(service)?
        {
            found.faults.push(lacks(carried(service)));
        }
        let (held, expected) = (self.held(), self.expected_names(wanted));
        let is_held = |name: &str| held.iter().any(|(_, item)| item.name == name);
        // Its folder is there, and cannot be read.
        let lost = expected.iter().filter(|it| present.has(&self.names, it.1) && !is_held(&it.0));
        found.faults.extend(lost.map(|(name, _)| lacks(name.clone())));
        let mut names: Vec<String> = expected.into_iter().map(|(name, _)| name).collect();
        names.extend(service.map(carried));
        for (layout, item) in held.into_iter().filter(|(_, item)| names.contains(&item.name)) {
            let looked = transfer::blocking(move || Ok(super::verify::look(&layout, &item, CARRY))).await?;
            found.faults.extend(looked.faults);
        }
        found.verdict()
    }

    /// Which files are missing for `wanted`. What lies in Docker is put together from files.
    fn lacking(&self, present: &Present, wanted: &[Artifact]) -> Vec<Artifact> {
        let mut lacking = Vec::new();
        for artifact in wanted.iter().filter(|artifact| !present.has(&self.names, **artifact)) {
            match artifact.kind() {
                Kind::Docker if present.is_made(&self.names, *artifact) => {}
                Kind::Docker => lacking.extend(self.lacking(present, artifact.needs())),
                Kind::Debian | Kind::Go | Kind::Layout => lacking.push(*artifact),
            }
        }
        lacking.sort();
        lacking.dedup();
        lacking
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::pull::tests::mirror;
    use crate::mirror::{BUILD, CLUSTER, STACK};
    use crate::registry::parse;

    #[tokio::test]
    async fn everything_that_is_missing_is_named_at_once() {
        let (_dir, host, mirror) = mirror();
        let service = parse("localhost:5000/platen/ocr-service:0123").unwrap();
        let wanted = [CLUSTER, BUILD, STACK].concat();
        let error =
            mirror.must_suffice(&host, &Present::default(), &wanted, Some(&service)).await.unwrap_err();
        let said = error.to_string();
        for name in ["Debian system of a node", "BuildKit (Go)", "Argo CD's image", "helm"] {
            assert!(said.contains(name), "{name} in {said}");
        }
        assert!(said.contains("platen.dev/platen/ocr-service:0123"), "{said}");
        assert!(!said.contains("node image"), "it is put together from files: {said}");
        assert!(error.hint().unwrap().contains("mirror import"));
    }

    #[tokio::test]
    async fn what_cannot_be_read_does_not_suffice() {
        let (_dir, host, mirror) = mirror();
        let folder = mirror.names.name(Artifact::RedisImage);
        std::fs::create_dir_all(mirror.store.path(&folder)).unwrap();
        let present = mirror.observe(None).await.unwrap();
        let error = mirror.must_suffice(&host, &present, &[Artifact::RedisImage], None).await.unwrap_err();
        let redis = mirror.expected_names(&[Artifact::RedisImage]).remove(0).0;
        assert!(error.to_string().contains(&redis), "{error}");
        assert!(error.hint().unwrap().contains("mirror import"));
    }

    #[tokio::test]
    async fn what_is_in_docker_already_needs_no_files() {
        let (_dir, host, mirror) = mirror();
        let mut present = Present::default();
        present.images.insert(mirror.node_image());
        let error = mirror.must_suffice(&host, &present, &[Artifact::NodeImage], None).await.unwrap_err();
        assert!(error.to_string().contains("1 faults") && error.to_string().contains("helm"), "{error}");
    }
}
