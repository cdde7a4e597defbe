//! What commands of the mirror would do, told without doing it.

use std::collections::BTreeSet;
use std::path::Path;

use bollard::Docker;

use super::layout::Item;
use super::parts::{Part, is_part};
use super::{Mirror, registry, transfer};
use crate::error::Result;
use crate::host::Host;
use crate::registry::Reference;

impl Mirror {
    /// What [`Mirror::build_and_publish`] would do, a phrase each.
    pub async fn plan_build(
        &self,
        host: &Host,
        docker: Option<&Docker>,
        names: &[String],
    ) -> Result<Vec<String>> {
        let wanted = super::named(names, docker.is_some())?;
        let mut planned = Vec::new();
        for artifact in &wanted {
            if let Some(fault) = self.fault_of(*artifact).await? {
                planned.push(format!("build {} again: {fault}", artifact.title()));
            }
        }
        let missing = self.missing(&self.observe(docker).await?, &wanted);
        planned.extend(missing.iter().map(|artifact| {
            let seconds = artifact.expected().as_secs();
            format!("build {} (about {seconds} s)", artifact.title())
        }));
        let ports = &host.config.ports;
        if registry::answers(ports.registry).await {
            let to = ports.local_registry();
            planned.push(format!("push to {to} what the mirror then holds and is not there"));
        }
        Ok(planned)
    }

    /// What [`Mirror::publish`] would push, a phrase each. The registry is not asked what it has.
    pub fn plan_publish(&self, to: &str, only: &[String]) -> Result<Vec<String>> {
        let wanted = self.held_of(only)?;
        Ok(wanted
            .iter()
            .map(|(_, item)| format!("push {} to {to} where it is not there", item.name))
            .collect())
    }

    /// What [`Mirror::export`] would write, a phrase each. Neither the folder nor the registry is looked at.
    pub async fn plan_export(&self, host: &Host, service: &Reference, folder: &Path) -> Result<Vec<String>> {
        let (held, parts) = self.exportable(host).await?;
        let names = held.into_iter().map(|(_, item)| item.name);
        let (there, missing): (Vec<_>, Vec<_>) = parts.into_iter().partition(Part::is_there);
        let names = names.chain(there.into_iter().map(|part| part.name)).collect::<BTreeSet<_>>();
        let written = names
            .into_iter()
            .map(|name| format!("write {name} to {} where it is not there whole", folder.display()));
        let service = format!("write {service} where the local registry has it");
        let lacks = missing
            .into_iter()
            .map(|part| format!("leave out {}, which is not here: {}", part.title, part.command));
        Ok(written.chain([service]).chain(lacks).collect())
    }

    /// What [`Mirror::import`] would take over, a phrase each. An archive is unpacked for that, and removed again.
    pub async fn plan_import(&self, host: &Host, from: &Path) -> Result<Vec<String>> {
        transfer::must_exist(from)?;
        let _lock = self.store.lock(&host.events).await?;
        let step = host.events.step("mirror-import", format!("looking into {}", from.display()), None);
        let staged = self.store.stage()?;
        let (source, items) = transfer::opened(from, staged.path()).await?;
        step.done();
        let (held, parts) = (self.held(), self.cluster_parts(host)?);
        let plan = |item: &Item| -> Result<String> {
            let name = &item.name;
            let part = parts.iter().find(|part| part.name == *name);
            if part.is_none()
                && !is_part(item)
                && let Some(why) = self.of_no_use(&source, item)?
            {
                return Ok(format!("leave out {name}, which {why}"));
            }
            Ok(match part {
                Some(part) if part.is_there() => format!("leave {name} as it is, which is there"),
                None if is_part(item) => {
                    format!("leave out {name}, which is of another version of Platen or another processor")
                }
                _ if held.iter().any(|(_, held)| held.name == *name) => {
                    format!("import {name}, in place of the one that is there")
                }
                _ => format!("import {name}"),
            })
        };
        items.iter().map(plan).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::mirror::layout::tests::with_image;
    use crate::mirror::pull::tests::mirror;
    use crate::registry::Reference;

    #[tokio::test]
    async fn what_would_be_imported_is_told_and_nothing_is_taken() {
        let (dir, host, mirror) = mirror();
        let given = dir.path().join("given");
        with_image(&given, "quay.io/a/b:v1");
        assert_eq!(mirror.plan_import(&host, &given).await.unwrap(), ["import quay.io/a/b:v1"]);
        assert!(mirror.held().is_empty());
        mirror.import(&host, &given).await.unwrap();
        let planned = mirror.plan_import(&host, &given).await.unwrap();
        assert!(planned[0].ends_with("in place of the one that is there"), "{planned:?}");
        assert!(mirror.plan_import(&host, &dir.path().join("absent")).await.is_err());
    }

    #[tokio::test]
    async fn what_would_be_exported_is_told_with_what_is_missing() {
        let (dir, host, mirror) = mirror();
        let given = dir.path().join("given");
        with_image(&given, "quay.io/a/b:v1");
        mirror.import(&host, &given).await.unwrap();
        let service = Reference::with_tag("localhost:5000".into(), "platen/ocr-service".into(), "1".into());
        let folder = dir.path().join("stick");
        let planned = mirror.plan_export(&host, &service, &folder).await.unwrap();
        assert!(planned[0].starts_with("write quay.io/a/b:v1 to "), "{planned:?}");
        assert!(planned.iter().any(|line| line.starts_with("leave out ")), "{planned:?}");
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn what_would_be_built_is_told_by_its_title() {
        let (_dir, host, mirror) = mirror();
        let planned = mirror.plan_build(&host, None, &["programs".into()]).await.unwrap();
        assert!(planned[0].starts_with("build "), "{planned:?}");
        assert!(mirror.store.folders().is_empty());
    }
}
