//! What is inside each image: the control plane's under their upstream names, and the registry's.

use std::path::Path;

use super::archive::{Entry, Image};
use super::stack::Versions;

/// The DaemonSet of the node's own network manifest runs this.
pub const POD_ROUTES: &str = "platen.dev/pod-routes:v1";

const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n";

/// The images that a node needs before it can pull any, by the names that kubeadm gives them.
pub fn control_plane(versions: &Versions, programs: &Path, proxy_rootfs: &Path) -> Vec<Image> {
    let kubernetes = |name: &str| format!("registry.k8s.io/{name}:v{}", versions.kubernetes);
    let mut images: Vec<Image> = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        .into_iter()
        .map(|name| static_image(&kubernetes(name), programs, name))
        .collect();
    images.push(static_image(&format!("registry.k8s.io/etcd:{}", versions.etcd_tag), programs, "etcd"));
    images.push(static_image(
        &format!("registry.k8s.io/coredns/coredns:v{}", versions.coredns),
        programs,
        "coredns",
    ));
    images.push(static_image(&versions.pause_image(), programs, "pause"));
    images.push(static_image(POD_ROUTES, programs, "pod-routes"));
    images.push(kube_proxy(&kubernetes("kube-proxy"), programs, proxy_rootfs));
    images
}

/// The registry, which starts with the configuration beside it.
pub fn registry(reference: &str, programs: &Path) -> Image {
    let mut image = static_image(reference, programs, "registry");
    image.entries.push(Entry::text("etc/registry.yml", super::registry::CONFIGURATION));
    image.entries.push(Entry::dir("var/lib/registry"));
    image.cmd = vec!["serve".into(), "/etc/registry.yml".into()];
    image
}

/// Debian as a base image.
pub fn base(reference: &str, rootfs: &Path) -> Image {
    Image {
        reference: reference.into(),
        below: Some(rootfs.into()),
        cmd: vec!["bash".into()],
        ..Image::default()
    }
}

/// One static program, by its name on PATH, which is how kubeadm's manifests start it.
fn static_image(reference: &str, programs: &Path, name: &str) -> Image {
    let path = format!("usr/local/bin/{name}");
    Image {
        reference: reference.into(),
        below: None,
        entries: vec![
            Entry::Dir { path: "tmp".into(), mode: 0o1777 },
            Entry::text("etc/passwd", PASSWD),
            Entry::program(path.clone(), programs.join(name)),
        ],
        entrypoint: vec![format!("/{path}")],
        ..Image::default()
    }
}

/// kube-proxy calls iptables and nft. Debian's packages are only unpacked here, so the links that their installation
/// would make are made by hand.
fn kube_proxy(reference: &str, programs: &Path, rootfs: &Path) -> Image {
    let mut image = static_image(reference, programs, "kube-proxy");
    image.below = Some(rootfs.into());
    let merged = ["bin", "sbin", "lib", "lib64"].map(|dir| Entry::link(dir, format!("usr/{dir}")));
    image.entries.extend(merged);
    for family in ["iptables", "ip6tables"] {
        for program in ["", "-save", "-restore"] {
            let link = Entry::link(format!("usr/sbin/{family}{program}"), "xtables-nft-multi");
            image.entries.push(link);
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_carry_the_names_that_kubeadm_asks_for() {
        let versions = Versions::pinned().unwrap();
        let images = control_plane(&versions, Path::new("bin"), Path::new("proxy.tar"));
        let references: Vec<_> = images.iter().map(|image| image.reference.as_str()).collect();
        let listed_by_kubeadm = [
            "registry.k8s.io/kube-apiserver:v1.36.3",
            "registry.k8s.io/kube-controller-manager:v1.36.3",
            "registry.k8s.io/kube-scheduler:v1.36.3",
            "registry.k8s.io/kube-proxy:v1.36.3",
            "registry.k8s.io/coredns/coredns:v1.14.2",
            "registry.k8s.io/pause:3.10.2",
            "registry.k8s.io/etcd:3.6.8-0",
        ];
        for reference in listed_by_kubeadm {
            assert!(references.contains(&reference), "{reference} is not in {references:?}");
        }
    }

    #[test]
    fn the_manifest_of_the_network_uses_the_image_that_is_built() {
        assert!(super::super::stack::file("node/default-cni.yaml").contains(POD_ROUTES));
    }
}
