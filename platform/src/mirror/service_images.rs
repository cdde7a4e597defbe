//! What is inside the image of each service: programs where upstream's manifests call them, users by upstream's numbers.

use std::path::PathBuf;

use super::archive::{Entry, Image};
use super::artifact::Artifact;

/// What an image is put together from; where one part is not needed, it stays empty.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    pub rootfs: PathBuf,
    /// Folder of Go programs.
    pub programs: PathBuf,
    pub helm: PathBuf,
    /// Authorities in PEM.
    pub certificates: String,
}

const ENTRYPOINT: &str = include_str!("../../stack/services/docker-entrypoint.sh");
const MARIADB_ENTRYPOINT: &str = include_str!("../../stack/services/mariadb-entrypoint.sh");
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Where upstream's manifests mount plugins.
const ARGOCD_HOME: &str = "home/argocd";
/// Argo CD's one binary goes by the name that it is called by.
const ARGOCD_NAMES: [&str; 9] = [
    "argocd-application-controller",
    "argocd-applicationset-controller",
    "argocd-cmp-server",
    "argocd-commit-server",
    "argocd-dex",
    "argocd-k8s-auth",
    "argocd-notifications",
    "argocd-repo-server",
    "argocd-server",
];
/// As upstream's images of Argo CD, redis and MariaDB number their users.
const SERVICE_USER: u32 = 999;
const NOBODY: u32 = 65534;

/// The image of a service; none where the artifact is no such image.
pub fn image(artifact: Artifact, reference: &str, parts: &Parts) -> Option<Image> {
    let mut image = match artifact {
        Artifact::ArgocdImage => argocd(parts),
        Artifact::RedisImage => redis(),
        Artifact::PrometheusImage => prometheus(parts),
        Artifact::OperatorImage => go_program(parts, "operator", "bin/operator"),
        Artifact::ReloaderImage => {
            go_program(parts, "prometheus-config-reloader", "bin/prometheus-config-reloader")
        }
        Artifact::MariadbImage => mariadb(),
        _ => return None,
    };
    image.reference = reference.into();
    if artifact.needs().iter().any(|need| need.kind() == super::artifact::Kind::Debian) {
        image.below = Some(parts.rootfs.clone());
    }
    Some(image)
}

/// Debian's packages are only unpacked: the links of its merged /usr are made here, and its users.
fn unpacked(user: u32, name: &str, home: &str) -> Vec<Entry> {
    let links = ["bin", "sbin", "lib", "lib64"].map(|dir| Entry::link(dir, format!("usr/{dir}")));
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\n{name}:x:{user}:{user}::{home}:/bin/sh\n\
         nobody:x:{NOBODY}:{NOBODY}::/:/sbin/nologin\n"
    );
    let group = format!("root:x:0:\n{name}:x:{user}:\nnogroup:x:{NOBODY}:\n");
    let mut entries = Vec::from(links);
    entries.push(Entry::link("usr/bin/sh", "dash"));
    entries.push(Entry::text("etc/passwd", passwd));
    entries.push(Entry::text("etc/group", group));
    entries.push(open("tmp"));
    entries
}

/// A folder that every user may write into: entries belong to root.
fn open(path: &str) -> Entry {
    Entry::Dir { path: path.into(), mode: 0o1777 }
}

fn script(path: &str, content: &str) -> Entry {
    Entry::Text { path: path.into(), content: content.into(), mode: 0o755 }
}

fn argocd(parts: &Parts) -> Image {
    let mut entries = unpacked(SERVICE_USER, "argocd", &format!("/{ARGOCD_HOME}"));
    entries.push(Entry::text(CERTIFICATES, parts.certificates.clone()));
    entries.push(Entry::program("usr/local/bin/argocd", parts.programs.join("cmd")));
    entries.push(Entry::program("usr/local/bin/helm", parts.helm.clone()));
    let names = ARGOCD_NAMES.map(|name| Entry::link(format!("usr/local/bin/{name}"), "argocd"));
    entries.extend(names);
    entries.push(open(ARGOCD_HOME));
    entries.extend(["ssh", "tls", "gpg/source"].map(|dir| Entry::dir(format!("app/config/{dir}"))));
    entries.push(open("app/config/gpg/keys"));
    Image {
        entries,
        entrypoint: vec!["/usr/bin/tini".into(), "--".into()],
        env: vec!["USER=argocd".into(), "ARGOCD_USER=argocd".into()],
        user: SERVICE_USER.to_string(),
        working_dir: format!("/{ARGOCD_HOME}"),
        ..Image::default()
    }
}

fn redis() -> Image {
    let mut entries = unpacked(SERVICE_USER, "redis", "/data");
    entries.push(open("data"));
    entries.push(script("usr/local/bin/docker-entrypoint.sh", ENTRYPOINT));
    Image {
        entries,
        entrypoint: vec!["docker-entrypoint.sh".into()],
        cmd: vec!["redis-server".into()],
        user: SERVICE_USER.to_string(),
        working_dir: "/data".into(),
        ..Image::default()
    }
}

/// The operator calls /bin/prometheus, which the merged /usr gives.
fn prometheus(parts: &Parts) -> Image {
    let mut entries = unpacked(SERVICE_USER, "prometheus", "/prometheus");
    entries.push(Entry::text(CERTIFICATES, parts.certificates.clone()));
    entries.push(open("prometheus"));
    let cmd = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"];
    Image {
        entries,
        entrypoint: vec!["/bin/prometheus".into()],
        cmd: cmd.map(Into::into).into(),
        user: NOBODY.to_string(),
        working_dir: "/prometheus".into(),
        ..Image::default()
    }
}

/// One static program.
fn go_program(parts: &Parts, name: &str, path: &str) -> Image {
    Image {
        entries: vec![open("tmp"), Entry::program(path, parts.programs.join(name))],
        entrypoint: vec![format!("/{path}")],
        user: NOBODY.to_string(),
        ..Image::default()
    }
}

fn mariadb() -> Image {
    let mut entries = unpacked(SERVICE_USER, "mysql", "/var/lib/mysql");
    entries.push(script("usr/local/bin/docker-entrypoint.sh", MARIADB_ENTRYPOINT));
    entries.push(open("var/lib/mysql"));
    entries.push(open("run/mysqld"));
    Image {
        entries,
        entrypoint: vec!["docker-entrypoint.sh".into()],
        cmd: vec!["mariadbd".into()],
        user: SERVICE_USER.to_string(),
        ..Image::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(image: &Image) -> Vec<String> {
        image.entries.iter().map(|entry| entry.path().to_owned()).collect()
    }

    #[test]
    fn no_service_runs_as_root() {
        for artifact in Artifact::ALL {
            if let Some(image) = image(artifact, "example.com/a:1", &Parts::default()) {
                assert!(image.user.parse::<u32>().is_ok_and(|user| user > 0), "{artifact:?}");
            }
        }
    }

    #[test]
    fn programs_lie_where_upstreams_manifests_call_them() {
        let parts = Parts::default();
        let argocd = paths(&image(Artifact::ArgocdImage, "a:1", &parts).unwrap());
        for name in ARGOCD_NAMES.iter().chain(&["argocd", "helm"]) {
            assert!(argocd.contains(&format!("usr/local/bin/{name}")), "{name} in {argocd:?}");
        }
        let reloader = image(Artifact::ReloaderImage, "a:1", &parts).unwrap();
        assert!(paths(&reloader).contains(&"bin/prometheus-config-reloader".into()));
    }
}
