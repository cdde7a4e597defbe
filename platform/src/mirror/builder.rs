//! BuildKit's daemon as an image, for places that cannot pull it: its two programs from its own Go module, and runc.

use std::path::Path;
use std::time::Duration;

use super::archive::{Entry, Image};
use super::artifact::Artifact;
use super::names::Names;
use super::stack::StackFile;
use super::store::Store;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::{Cmd, Line};
use crate::tools;

const DEADLINE: Duration = Duration::from_mins(30);
/// Apart from the cluster's module: the two need different versions of what they share.
pub const MODULE: &[StackFile] = &[
    StackFile { path: "go.mod", content: include_str!("../../stack/buildkit/go.mod") },
    StackFile { path: "go.sum", content: include_str!("../../stack/buildkit/go.sum") },
    StackFile { path: "tools.go", content: include_str!("../../stack/buildkit/tools.go") },
];
/// The daemon, and the client that carries a connection into its container.
const PROGRAMS: [(&str, &str); 2] = [
    ("github.com/moby/buildkit/cmd/buildkitd", "buildkitd"),
    ("github.com/moby/buildkit/cmd/buildctl", "buildctl"),
];
/// What the daemon starts, with its libraries and nothing else.
pub const PACKAGES: &[&str] = &["runc"];

/// The pinned version, from `stack/versions.toml`.
pub fn buildkit_version() -> Result<String> {
    #[derive(serde::Deserialize)]
    struct File {
        builder: Builder,
    }
    #[derive(serde::Deserialize)]
    struct Builder {
        buildkit: String,
    }
    let file: File = toml::from_str(include_str!("../../stack/versions.toml"))
        .map_err(|error| Error::malformed("stack/versions.toml", error, "restore it from git"))?;
    Ok(file.builder.buildkit)
}

/// Builds the programs.
pub async fn build(host: &Host, store: &Store, names: &Names, step: &Step) -> Result<()> {
    let go = tools::ensure_go(host).await?;
    let staged = store.stage()?;
    let (source, bin) = (staged.path().join("src"), staged.path().join("bin"));
    std::fs::create_dir_all(&source)
        .and_then(|()| std::fs::create_dir_all(&bin))
        .doing("creating a folder to build in")?;
    for file in MODULE {
        let path = source.join(file.path);
        std::fs::write(&path, file.content).doing(format!("writing {}", path.display()))?;
    }
    let version = format!("-X github.com/moby/buildkit/version.Version=v{}", buildkit_version()?);
    let cmd = Cmd::new(&go)
        .args(["build", "-v", "-trimpath", "-gcflags=all=-dwarf=false"])
        .arg(format!("-ldflags=-s -w {version}"))
        .arg("-o")
        .arg(format!("{}/", bin.display()))
        .args(PROGRAMS.map(|(package, _)| package))
        .cwd(&source)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false")
        .env("GOWORK", "off")
        .env("GOGC", "400")
        .deadline(DEADLINE);
    host.processes.run_with(&cmd, &mut |line: Line<'_>| step.message(line.text())).await?;
    for (_, program) in PROGRAMS {
        if !bin.join(program).is_file() {
            return Err(Error::malformed("what go build made", format!("there is no {program}"), ""));
        }
    }
    std::fs::remove_dir_all(&source).doing("removing the sources of the build")?;
    store.publish(staged, &names.name(Artifact::BuilderPrograms))?;
    Ok(())
}

/// The image: the same entry point and places as upstream's.
pub fn image(reference: &str, programs: &Path, rootfs: &Path) -> Image {
    let mut entries: Vec<Entry> =
        ["bin", "sbin", "lib", "lib64"].map(|dir| Entry::link(dir, format!("usr/{dir}"))).into();
    // Docker refuses a layer that names a path twice: what mmdebstrap makes (/tmp among it) is not repeated.
    entries.extend(PROGRAMS.map(|(_, name)| Entry::program(format!("usr/bin/{name}"), programs.join(name))));
    Image {
        reference: reference.into(),
        below: Some(rootfs.into()),
        entries,
        entrypoint: vec!["/usr/bin/buildkitd".into()],
        ..Image::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_that_of_the_go_module() {
        let pinned = buildkit_version().unwrap();
        assert!(MODULE[0].content.contains(&format!("github.com/moby/buildkit v{pinned}\n")), "{pinned}");
    }
}
