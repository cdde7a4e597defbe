//! A cluster from one carried folder: an empty cache, nothing of it in Docker, and no way to any other machine.

use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use crate::support::{Json, Outcome, Ran, Xtask, letter};

/// Written while the set's cluster runs, read after it is gone.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
/// What the export named as missing.
static LACKS: Mutex<Vec<Json>> = Mutex::new(Vec::new());
const PROFILE: &str = "e2e-carried";
/// Nobody listens there: whoever asks for something of another machine fails at once.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The programs and systems of the cluster, the stack's images, and the service's image.
pub fn export(xtask: &Xtask) -> Outcome {
    let exported = xtask.run(&["mirror", "export", &path(FOLDER.path())]).expect_code(0).json();
    let names: Vec<&str> =
        exported["names"].as_array().expect("names").iter().filter_map(Json::as_str).collect();
    for part in ["platen.dev/parts/programs:", "platen.dev/parts/helm:", "platen.dev/platen/ocr-service:"] {
        assert!(names.iter().any(|name| name.starts_with(part)), "{part} in {names:?}");
    }
    exported["lacks"].as_array().expect("lacks").clone_into(&mut LACKS.lock().expect("what is missing"));
    Ok(())
}

/// Runs when no cluster is left on this machine, for the local registry's container goes with the last.
pub fn up_from_the_folder_alone(_: &Xtask) -> Outcome {
    let cache = tempfile::tempdir()?;
    // What the set needs is all there; a part that only building needs may have been pruned.
    assert_eq!(*LACKS.lock().expect("what is missing"), Vec::<Json>::new());
    let xtask = Xtask::configured(PROFILE, "[cluster]\nnodes = 1\n");
    let offline = |args: &[&str]| {
        let mut command = xtask.command(args);
        command.env("PLATEN_CACHE", cache.path());
        cut_off(&mut command);
        Ran::of(args, &mut command)
    };
    let up = ["up", "--provider", "kind", "--images", "mirror"];
    remove_from_docker(&offline(&["mirror", "list"]).expect_code(0).json());

    let refused = offline(&up).expect_code(1).stderr();
    for missing in ["Debian system of a node", "Kubernetes", "helm", "platen.dev/platen/ocr-service:"] {
        assert!(refused.contains(missing), "{missing} in {refused}");
    }
    offline(&["mirror", "import", &path(FOLDER.path())]).expect_code(0);
    let served = offline(&up);
    let read = offline(&["demo", "--image", &path(&letter())]);
    let down = offline(&["down"]);
    served.expect_code(0);
    let text = read.expect_code(0).json().to_string();
    assert!(text.contains("Hello from your child"), "{text}");
    down.expect_code(0);
    Ok(())
}

/// For programs that speak HTTP through what the environment says, and for those that have a word of their own for it.
fn cut_off(command: &mut Command) {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, NOWHERE).env(name.to_lowercase(), NOWHERE);
    }
    command.env("GOPROXY", "off").env("CARGO_NET_OFFLINE", "true").env("PIP_NO_INDEX", "1");
}

/// Node, registry, base and builder: what is put together from the folder must not be there already.
fn remove_from_docker(listing: &Json) {
    for item in listing["items"].as_array().expect("items") {
        let name = item["name"].as_str().expect("a name");
        if item["present"] == true && name.starts_with("platen/") {
            crate::docker(&["rmi", "--force", name]);
        }
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
