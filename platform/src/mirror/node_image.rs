//! The node image: Debian, the programs and kind's files put together in a container, the control plane's images
//! imported into its containerd, and the result committed.

use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig};
use bollard::query_parameters::CommitContainerOptions;

use super::archive::{self, Entry, Image};
use super::artifact::Artifact;
use super::docker::{self, BUILDING, LABEL};
use super::images;
use super::names::Names;
use super::rootfs::TAR;
use super::stack::{self, KIND_FILES, NODE_TREE};
use super::store::Store;
use crate::error::{Doing, Error, Result};
use crate::event::Step;

/// Programs of a node and where they go; the entrypoint and units look for them there.
const PROGRAMS: [(&str, &str); 6] = [
    ("kubeadm", "usr/bin"),
    ("kubelet", "usr/bin"),
    ("kubectl", "usr/bin"),
    ("containerd", "usr/local/bin"),
    ("containerd-shim-runc-v2", "usr/local/bin"),
    ("ctr", "usr/local/bin"),
];

pub async fn build(docker: &Docker, store: &Store, names: &Names, step: &Step) -> Result<()> {
    for container in docker::labelled(docker, BUILDING).await? {
        docker::remove_container(docker, &container).await?;
    }
    let staged = store.stage()?;
    let programs = store.path(&names.name(Artifact::Programs));
    let rootfs = store.path(&names.name(Artifact::NodeRootfs)).join(TAR);
    let proxy_rootfs = store.path(&names.name(Artifact::ProxyRootfs)).join(TAR);

    step.message("packing the control plane's images");
    let below = format!("platen/rootfs:{}", names.key(Artifact::NodeRootfs));
    let packed = Packed {
        images: staged.path().join("images.tar"),
        rootfs: staged.path().join("rootfs-image.tar"),
        files: staged.path().join("files.tar"),
    };
    let control_plane = images::control_plane(names.versions(), &programs.join("bin"), &proxy_rootfs);
    packed.write(names, control_plane, images::base(&below, &rootfs), &programs).await?;

    step.message("loading Debian into Docker");
    docker::load(docker, &packed.rootfs).await?;
    let built = assemble(docker, names, &below, &packed.files, step).await;
    for container in docker::labelled(docker, BUILDING).await? {
        docker::remove_container(docker, &container).await?;
    }
    docker::remove_image(docker, &below).await?;
    built
}

/// The tars that go to Docker.
#[derive(Clone)]
struct Packed {
    images: PathBuf,
    rootfs: PathBuf,
    files: PathBuf,
}

impl Packed {
    async fn write(
        &self,
        names: &Names,
        control_plane: Vec<Image>,
        rootfs: Image,
        programs: &Path,
    ) -> Result<()> {
        let (packed, arch) = (self.clone(), names.arch().to_owned());
        let entries = node_entries(names, programs, &self.images);
        let written = tokio::task::spawn_blocking(move || -> Result<()> {
            archive::write(&packed.images, &arch, &control_plane)?;
            archive::write(&packed.rootfs, &arch, &[rootfs])?;
            let doing = || format!("writing {}", packed.files.display());
            let file = std::fs::File::create(&packed.files).doing(doing())?;
            let mut tar = tar::Builder::new(std::io::BufWriter::new(file));
            archive::append_entries(&mut tar, &entries).doing(doing())?;
            tar.finish().doing(doing())
        });
        written.await.map_err(|error| Error::malformed("the node's files", error, ""))?
    }
}

/// Everything that is put on top of Debian.
fn node_entries(names: &Names, programs: &Path, images: &Path) -> Vec<Entry> {
    let versions = names.versions();
    let mut entries = vec![
        Entry::dir("kind"),
        Entry::text("kind/version", format!("v{}\n", versions.kubernetes)),
        Entry::Copy { path: "kind/images.tar".into(), from: images.into(), mode: 0o600 },
    ];
    for (name, dir) in PROGRAMS {
        entries.push(Entry::program(format!("{dir}/{name}"), programs.join("bin").join(name)));
    }
    for (path, to, is_program) in NODE_TREE {
        let content = stack::file(path).replace("@PAUSE@", &versions.pause_image());
        entries.push(Entry::Text { path: (*to).into(), content, mode: mode(*is_program) });
    }
    for (_, to, is_program) in KIND_FILES {
        let from = programs.join("kind").join(to);
        entries.push(Entry::Copy { path: (*to).into(), from, mode: mode(*is_program) });
    }
    entries
}

fn mode(is_program: bool) -> u32 {
    if is_program { 0o755 } else { 0o644 }
}

async fn assemble(docker: &Docker, names: &Names, below: &str, files: &Path, step: &Step) -> Result<()> {
    let reference = names.name(Artifact::NodeImage);
    let body = ContainerCreateBody {
        image: Some(below.into()),
        entrypoint: Some(vec!["sleep".into(), "infinity".into()]),
        cmd: Some(vec![]),
        labels: Some([(LABEL.to_owned(), BUILDING.to_owned())].into()),
        // containerd mounts what it unpacks.
        host_config: Some(HostConfig { privileged: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let options = None::<bollard::query_parameters::CreateContainerOptions>;
    let container =
        docker.create_container(options, body).await.doing("creating the container of the node image")?.id;
    step.message("copying programs and images into the node");
    docker::upload(docker, &container, files).await?;
    let options = None::<bollard::query_parameters::StartContainerOptions>;
    docker.start_container(&container, options).await.doing("starting the container of the node image")?;
    step.message("importing the control plane's images into the node's containerd");
    docker::exec(docker, &container, &["/kind/prepare"]).await?;
    step.message(format!("committing {reference}"));
    commit(docker, &container, &reference).await
}

async fn commit(docker: &Docker, container: &str, reference: &str) -> Result<()> {
    let (repo, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let options = CommitContainerOptions {
        container: Some(container.into()),
        repo: Some(repo.into()),
        tag: Some(tag.into()),
        pause: true,
        ..Default::default()
    };
    let config = ContainerConfig {
        // kind's entrypoint prepares the container and starts what follows; the last of it becomes init.
        entrypoint: Some(
            ["/usr/local/bin/entrypoint", "/kind/bin/platen-net", "/sbin/init"].map(Into::into).into(),
        ),
        env: Some(vec!["container=docker".into()]),
        stop_signal: Some("SIGRTMIN+3".into()),
        labels: Some([(LABEL.to_owned(), "node".to_owned())].into()),
        ..Default::default()
    };
    docker::patient(docker)
        .commit_container(options, config)
        .await
        .doing(format!("committing the node image {reference}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_node_names_its_sandbox_image_and_holds_every_program() {
        let names = Names::pinned("amd64").unwrap();
        let entries = node_entries(&names, Path::new("programs"), Path::new("images.tar"));
        let text = |wanted: &str| {
            entries.iter().find_map(|entry| match entry {
                Entry::Text { path, content, .. } if path == wanted => Some(content.clone()),
                _ => None,
            })
        };
        let containerd = text("etc/containerd/config.toml").unwrap();
        assert!(containerd.contains("sandbox = \"registry.k8s.io/pause:3.10.2\""), "{containerd}");
        assert_eq!(text("kind/version").unwrap(), "v1.36.3\n");
        for (name, dir) in PROGRAMS {
            let wanted = format!("{dir}/{name}");
            assert!(entries.iter().any(|e| matches!(e, Entry::Copy { path, .. } if *path == wanted)));
        }
    }
}
