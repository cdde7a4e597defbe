//! Pulling from a strict registry inside the test, and pushing into one.

use super::*;
use crate::mirror::Names;
use crate::mirror::layout::tests::with_image;
use crate::mirror::publish::push;
use crate::process::scripted::scripted;
use crate::registry::Keyring;
use crate::registry::double::{Double, Login};

/// A mirror in a folder of its own, of the processor that the images of these tests are for.
pub fn mirror() -> (tempfile::TempDir, Host, Mirror) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host { processes: scripted(&[], []), ..Host::bare(dir.path()) };
    let mirror = Mirror { names: Names::pinned("amd64").unwrap(), ..Mirror::new(&host).unwrap() };
    (dir, host, mirror)
}

fn registries(host: &Host) -> Registries {
    crate::tls::install();
    Registries::with_keyring(host, Keyring::only([]))
}

/// A registry with nothing in it, and the name of an image to be.
async fn upstream(host: &Host) -> (Double, Registries, [String; 1]) {
    let double = Double::start(Login::None).await;
    let names = [format!("{}/argoproj/argocd:v1", double.name())];
    (double, registries(host), names)
}

/// The image of one platform of an index.
async fn child(registries: &Registries, name: &str, index: &Manifest) -> Manifest {
    let upstream = registry::parse(name).unwrap();
    registries.require(&at_digest(&upstream, &index.entries()[0].digest)).await.unwrap()
}

fn options(update_lock: bool) -> PullOptions {
    PullOptions { names: Vec::new(), update_lock, platforms: vec![Platform::linux("amd64")] }
}

/// Puts an index of two platforms into the registry, whose images differ with `content`.
async fn publish_index(registries: &Registries, name: &str, content: &str) -> Manifest {
    let upstream = registry::parse(name).unwrap();
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let dir = tempfile::tempdir().unwrap();
        let layout = with_image(dir.path(), &format!("example.com/{content}:{architecture}"));
        let image = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
        for blob in image.blobs() {
            registries
                .push_blob_file(&upstream, &blob.digest, &layout.blob_path(&blob.digest))
                .await
                .unwrap();
        }
        registries.push_manifest(&at_digest(&upstream, &image.digest), &image).await.unwrap();
        let entry = serde_json::json!({
            "mediaType": image.media_type, "digest": image.digest, "size": image.bytes.len(),
            "platform": {"os": "linux", "architecture": architecture},
        });
        entries.push(serde_json::from_value(entry).unwrap());
    }
    let index = Manifest::index(entries).unwrap();
    registries.push_manifest(&upstream, &index).await.unwrap();
    index
}

#[tokio::test]
async fn the_first_pull_writes_the_lock_and_the_second_has_nothing_to_do() {
    let (_dir, host, mirror) = mirror();
    let (double, registries, names) = upstream(&host).await;
    let index = publish_index(&registries, &names[0], "one").await;

    let pulled = mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap();
    assert_eq!(pulled, [Pulled { name: names[0].clone(), digest: index.digest.clone(), pulled: true }]);
    let lock = std::fs::read_to_string(host.root.join(LOCK)).unwrap();
    assert!(lock.contains(&index.digest), "{lock}");

    let read = double.asked("GET /v2/argoproj/argocd/blobs");
    assert_eq!(read, 2, "the configuration and the layer of one platform");
    let again = mirror.pull_named(&host, &registries, &names, &options(false)).await.unwrap();
    assert!(!again[0].pulled);
    assert_eq!(double.asked("GET /v2/argoproj/argocd/blobs"), read);
    assert!(mirror.verify(&host, None, &[]).await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn what_is_held_by_the_locks_digest_is_asked_of_nobody() {
    let (_dir, host, mirror) = mirror();
    let (double, registries, names) = upstream(&host).await;
    publish_index(&registries, &names[0], "one").await;
    let lock = || Lock::read(&host.root.join(LOCK)).unwrap();
    let planned = mirror.plan_one(&lock(), &names[0], &options(true)).unwrap().unwrap();
    assert!(planned.starts_with("ask upstream"), "{planned}");
    mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap();

    let asked = double.asked("");
    assert!(!mirror.pull_named(&host, &registries, &names, &options(false)).await.unwrap()[0].pulled);
    assert_eq!(mirror.plan_one(&lock(), &names[0], &options(false)).unwrap(), None);
    assert_eq!(double.asked(""), asked);

    // Another platform of the same digest is not held.
    let other = PullOptions { platforms: vec![Platform::linux("arm64")], ..options(false) };
    let planned = mirror.plan_one(&lock(), &names[0], &other).unwrap().unwrap();
    assert!(planned.starts_with("pull ") && planned.contains("sha256:"), "{planned}");
    assert!(mirror.pull_named(&host, &registries, &names, &other).await.unwrap()[0].pulled);
    assert_eq!(mirror.held().len(), 1);
}

#[tokio::test]
async fn a_tag_that_moved_upstream_changes_nothing_until_the_lock_is_updated() {
    let (_dir, host, mirror) = mirror();
    let (_double, registries, names) = upstream(&host).await;
    let first = publish_index(&registries, &names[0], "one").await;
    mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap();
    let second = publish_index(&registries, &names[0], "two").await;
    assert_ne!(first.digest, second.digest);

    let locked = mirror.pull_named(&host, &registries, &names, &options(false)).await.unwrap();
    assert_eq!((locked[0].digest.as_str(), locked[0].pulled), (first.digest.as_str(), false));
    let updated = mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap();
    assert_eq!((updated[0].digest.as_str(), updated[0].pulled), (second.digest.as_str(), true));
    assert_eq!(mirror.held().len(), 1);
}

#[tokio::test]
async fn what_was_pulled_by_another_digest_than_the_locks_is_told_wherever_it_was_carried() {
    let (_dir, host, mirror) = mirror();
    let (_double, registries, names) = upstream(&host).await;
    publish_index(&registries, &names[0], "one").await;
    mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap();
    let (carried, lock) = (host.root.join("carried"), std::fs::read_to_string(host.root.join(LOCK)).unwrap());
    let service = registry::parse("localhost:1/platen/ocr-service:0123").unwrap();
    let mut offline = host.clone();
    offline.config.ports.registry = 1;
    mirror.export(&offline, &registries, &service, &carried).await.unwrap();

    let (_elsewhere, other, there) = super::tests::mirror();
    there.import(&other, &carried).await.unwrap();
    write_atomically(&other.root.join(LOCK), lock.as_bytes()).unwrap();
    assert!(there.verify(&other, None, &[]).await.unwrap().faults.is_empty());
    let moved = format!("[digests]\n\"{}\" = \"{}\"\n", names[0], registry::digest_of(b"another"));
    write_atomically(&other.root.join(LOCK), moved.as_bytes()).unwrap();
    let faults = there.verify(&other, None, &[]).await.unwrap().faults;
    assert!(faults.len() == 1 && faults[0].why.contains("another digest"), "{faults:?}");
    assert_eq!(faults[0].command, format!("cargo xtask mirror pull {}", names[0]));
}

#[tokio::test]
async fn without_a_digest_in_the_lock_nothing_is_pulled() {
    let (_dir, host, mirror) = mirror();
    let names = ["127.0.0.1:1/argoproj/argocd:v1".to_owned()];
    let error = mirror.pull_named(&host, &registries(&host), &names, &options(false)).await.unwrap_err();
    assert_eq!(error.exit(), crate::Exit::Usage);
    assert!(error.hint().unwrap().contains("--update-lock"));
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_named_with_the_build_from_source() {
    let (_dir, host, mirror) = mirror();
    let names = ["127.0.0.1:1/argoproj/argocd:v1".to_owned()];
    let error = mirror.pull_named(&host, &registries(&host), &names, &options(true)).await.unwrap_err();
    assert_eq!(error.exit(), crate::Exit::Machine);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.hint().unwrap().contains("mirror build"));
}

#[tokio::test]
async fn a_pull_that_was_cut_off_goes_on_with_the_blobs_that_arrived() {
    let (_dir, host, mirror) = mirror();
    let (double, registries, names) = upstream(&host).await;
    let index = publish_index(&registries, &names[0], "one").await;
    let child = child(&registries, &names[0], &index).await;
    let layer = child.blobs()[1].digest.clone();
    let key = ("argoproj/argocd".to_owned(), layer.clone());
    let lost = double.content().blobs.remove(&key).unwrap();

    let error = mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap_err();
    assert!(error.to_string().contains(&layer), "{error}");
    assert!(mirror.held().is_empty());

    double.content().blobs.insert(key, lost);
    mirror.pull_named(&host, &registries, &names, &options(true)).await.unwrap();
    let config = format!("GET /v2/argoproj/argocd/blobs/{}", child.blobs()[0].digest);
    assert_eq!(double.asked(&config), 1);
}

#[tokio::test]
async fn a_blob_that_is_not_what_its_digest_says_is_not_kept() {
    let (_dir, host, mirror) = mirror();
    let (double, registries, names) = upstream(&host).await;
    let index = publish_index(&registries, &names[0], "one").await;
    let child = child(&registries, &names[0], &index).await;
    let key = ("argoproj/argocd".to_owned(), child.blobs()[1].digest.clone());
    double.content().blobs.insert(key, "something else".into());
    assert!(mirror.pull_named(&host, &registries, &names, &options(true)).await.is_err());
    assert!(mirror.held().is_empty());
}

#[tokio::test]
async fn a_platform_that_upstream_does_not_have_is_named_with_those_that_it_has() {
    let (_dir, host, mirror) = mirror();
    let (_double, registries, names) = upstream(&host).await;
    publish_index(&registries, &names[0], "one").await;
    let options = PullOptions { platforms: vec![Platform::linux("s390x")], ..options(true) };
    let error = mirror.pull_named(&host, &registries, &names, &options).await.unwrap_err().to_string();
    assert!(error.contains("linux/s390x") && error.contains("linux/arm64"), "{error}");
}

#[tokio::test]
async fn an_item_is_pushed_under_its_upstream_path_and_only_once() {
    let (dir, host, _mirror) = mirror();
    let double = Double::start(Login::None).await;
    let registries = registries(&host);
    let layout = with_image(&dir.path().join("layout"), "quay.io/argoproj/argocd:v3.1.16");
    let item = layout.items().unwrap().remove(0);
    assert!(push(&registries, &double.name(), &layout, &item).await.unwrap());
    let pushed = double.asked("PUT");
    assert!(!push(&registries, &double.name(), &layout, &item).await.unwrap());
    assert_eq!(double.asked("PUT"), pushed);
    let found = registry::parse(&format!("{}/argoproj/argocd:v3.1.16", double.name())).unwrap();
    assert_eq!(registries.require(&found).await.unwrap().digest, item.digest);

    let layer = layout.manifest(&item.digest).unwrap().blobs()[1].digest.clone();
    let key = ("argoproj/argocd".to_owned(), layer);
    double.content().blobs.remove(&key).unwrap();
    assert!(push(&registries, &double.name(), &layout, &item).await.unwrap(), "the registry lost a blob");
    assert!(double.content().blobs.contains_key(&key));
}

#[test]
fn what_is_pulled_is_named_in_full() {
    let upstream = Upstream::pinned().unwrap();
    for name in upstream.images.iter().chain(&upstream.charts) {
        let reference = registry::parse(name).unwrap();
        assert!(reference.tag().is_some() && name.starts_with(reference.registry()), "{name}");
    }
    let error = wanted(&["quay.io/unknown:1".into()]).unwrap_err();
    assert_eq!(error.exit(), crate::Exit::Usage);
}
