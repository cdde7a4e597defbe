//! Carrying the mirror from one folder to another.

use super::*;
use crate::mirror::archive::{self, Entry, Image};
use crate::mirror::layout::tests::with_image;
use crate::mirror::pull::tests::mirror;
use crate::mirror::{Artifact, Exported};

const NAME: &str = "quay.io/a/b:v1";

/// As where no local registry runs, and without the service's image.
async fn exported(mirror: &Mirror, host: &Host, folder: &Path) -> Exported {
    let service = registry::parse("localhost:1/platen/ocr-service:0123").unwrap();
    let mut host = host.clone();
    host.config.ports.registry = 1;
    let registries = crate::registry::Registries::with_keyring(&host, crate::registry::Keyring::only([]));
    mirror.export(&host, &registries, &service, folder).await.unwrap()
}

#[tokio::test]
async fn what_a_cluster_is_made_of_arrives_where_it_is_looked_for_and_what_was_built_counts_as_built() {
    let (dir, host, here) = mirror();
    let part = here.cluster_parts(&host).unwrap().remove(0);
    std::fs::create_dir_all(&part.folder).unwrap();
    std::fs::write(part.folder.join("rootfs.tar"), "Debian").unwrap();
    let built = here.store.path(&here.names.name(Artifact::RedisImage));
    let redis = here.expected_names(&[Artifact::RedisImage]).remove(0).0;
    with_image(&built, &redis);
    let folder = dir.path().join("carried");
    let exported = exported(&here, &host, &folder).await;
    assert_eq!(exported.names, [part.name.clone(), redis.clone()]);
    let lacks: Vec<_> = exported.lacks.iter().map(|lack| lack.what.as_str()).collect();
    assert!(lacks.contains(&"BuildKit (Go)") && lacks.last().unwrap().contains("ocr-service"), "{lacks:?}");

    let (_dir, elsewhere, there) = mirror();
    // As an import of before would have left it: it must not stand before what is built.
    with_image(&dir.path().join("old"), &redis);
    there.import(&elsewhere, &dir.path().join("old")).await.unwrap();
    there.import(&elsewhere, &folder).await.unwrap();
    let arrived = there.store.path(&there.names.name(Artifact::BaseRootfs)).join("rootfs.tar");
    assert_eq!(std::fs::read_to_string(arrived).unwrap(), "Debian");
    let present = there.observe(None).await.unwrap();
    assert!(there.missing(&present, &[Artifact::BaseRootfs, Artifact::RedisImage]).is_empty());
    let (_, item) = there.held().remove(0);
    assert_eq!((item.name, item.origin), (redis, Origin::Source));
    assert_eq!(there.import(&elsewhere, &folder).await.unwrap().names.len(), 2, "a second time");
}

#[tokio::test]
async fn what_was_built_and_is_damaged_is_brought_again_and_what_is_whole_stays() {
    let (dir, host, mirror) = mirror();
    let folder = mirror.names.name(Artifact::RedisImage);
    let redis = mirror.expected_names(&[Artifact::RedisImage]).remove(0).0;
    let built = with_image(&mirror.store.path(&folder), &redis);
    let carried = dir.path().join("carried");
    exported(&mirror, &host, &carried).await;
    let item = built.items().unwrap().remove(0);
    let layer = built.blob_path(&built.manifest(&item.digest).unwrap().blobs()[1].digest);
    let marker = mirror.store.path(&folder).join("marker");
    std::fs::write(&marker, "").unwrap();

    mirror.import(&host, &carried).await.unwrap();
    assert!(marker.exists(), "nothing was wrong with it");
    // Removed, and not written over: the file system may keep both copies as one file.
    std::fs::remove_file(&layer).unwrap();
    mirror.import(&host, &carried).await.unwrap();
    assert!(!marker.exists() && layer.is_file());
    std::fs::write(mirror.store.path(&folder).join("index.json"), "{").unwrap();
    mirror.import(&host, &carried).await.unwrap();
    assert!(mirror.verify(&host, None, &[Artifact::RedisImage]).await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn an_image_for_another_processor_is_left_out_and_the_others_are_taken() {
    let (dir, host, mirror) = mirror();
    let image =
        |name: &str| Image { reference: name.into(), entries: vec![Entry::dir("etc")], ..Image::default() };
    let (foreign, own) = (dir.path().join("foreign.tar"), dir.path().join("own"));
    archive::write(&foreign, "arm64", &[image(NAME)]).unwrap();
    let imported = mirror.import(&host, &foreign).await.unwrap();
    assert_eq!((imported.names, imported.left_out), (Vec::new(), vec![NAME.to_owned()]));
    let planned = mirror.plan_import(&host, &foreign).await.unwrap();
    assert_eq!(planned.len(), 1);
    assert!(planned[0].starts_with("leave out ") && planned[0].contains("is for arm64"), "{planned:?}");
    assert!(mirror.held().is_empty());

    // In one folder with what runs here.
    let other = "quay.io/a/c:v1";
    let layout = with_image(&own, other);
    let unpacked = tempfile::tempdir().unwrap();
    let (given, items) = opened(&foreign, unpacked.path()).await.unwrap();
    copy(&given, &items[0], &layout, Origin::Archive).unwrap();
    let imported = mirror.import(&host, &own).await.unwrap();
    assert_eq!((imported.names, imported.left_out), (vec![other.to_owned()], vec![NAME.to_owned()]));
}

#[tokio::test]
async fn a_link_that_leads_out_of_an_archive_takes_nothing_of_this_machine() {
    let (dir, host, mirror) = mirror();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "hunter2").unwrap();
    let path = dir.path().join("evil.tar");
    let manifest = r#"[{"Config": "config.json", "RepoTags": ["a/b:1"], "Layers": ["layer.tar"]}]"#;
    let entries = [
        Entry::text("manifest.json", manifest),
        Entry::text("config.json", r#"{"architecture": "amd64"}"#),
        Entry::link("layer.tar", secret.display().to_string()),
    ];
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    archive::append_entries(&mut tar, &entries).unwrap();
    tar.into_inner().unwrap();
    let error = mirror.import(&host, &path).await.unwrap_err();
    assert!(error.to_string().contains("layer.tar leads out of it"), "{error}");
    assert!(mirror.held().is_empty());
}

#[tokio::test]
async fn parts_of_another_make_are_left_out_and_told() {
    let (dir, host, mirror) = mirror();
    let given = dir.path().join("given");
    with_image(&given, "platen.dev/parts/programs:000000000000");
    let imported = mirror.import(&host, &given).await.unwrap();
    assert_eq!((imported.names.len(), imported.left_out.len()), (0, 1));
    assert!(mirror.store.folders().is_empty());
}

#[tokio::test]
async fn what_one_machine_exports_another_imports_whole() {
    let (dir, host, here) = mirror();
    with_image(&dir.path().join("given"), NAME);
    here.import(&host, &dir.path().join("given")).await.unwrap();
    let folder = dir.path().join("carried");
    assert_eq!(exported(&here, &host, &folder).await.names, [NAME]);
    assert_eq!(exported(&here, &host, &folder).await.names, [NAME], "a second time");

    let (_dir, elsewhere, there) = mirror();
    assert_eq!(there.import(&elsewhere, &folder).await.unwrap().names, [NAME]);
    let verified = there.verify(&elsewhere, None, &[]).await.unwrap();
    assert_eq!((verified.items, verified.faults.len()), (1, 0));
}

#[tokio::test]
async fn a_folder_with_a_blob_missing_is_not_imported() {
    let (dir, host, mirror) = mirror();
    let layout = with_image(&dir.path().join("given"), NAME);
    let manifest = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
    let lost = manifest.blobs()[1].digest.clone();
    std::fs::remove_file(layout.blob_path(&lost)).unwrap();
    let error = mirror.import(&host, &dir.path().join("given")).await.unwrap_err();
    assert!(error.to_string().contains(&lost), "{error}");
    assert!(mirror.held().is_empty());
}

#[tokio::test]
async fn an_archive_of_docker_is_taken_under_its_full_name_and_replaces_an_older_one() {
    let (dir, host, mirror) = mirror();
    for content in ["one", "two"] {
        let image = Image {
            reference: "grafana/grafana:13.2.0".into(),
            entries: vec![Entry::text("etc/grafana", content)],
            ..Image::default()
        };
        let path = dir.path().join("grafana.tar");
        archive::write(&path, "amd64", &[image]).unwrap();
        mirror.import(&host, &path).await.unwrap();
    }
    let held = mirror.held();
    let names: Vec<_> = held.iter().map(|(_, item)| item.name.as_str()).collect();
    assert_eq!(names, ["docker.io/grafana/grafana:13.2.0"]);
    assert_eq!(mirror.store.folders().len(), 1);
    assert!(mirror.verify(&host, None, &[]).await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn what_lacks_a_platform_is_taken_without_it_and_the_given_folder_stays_as_it_is() {
    let (dir, host, mirror) = mirror();
    let given = dir.path().join("given");
    let layout = with_image(&given, "example.com/one:1");
    let image = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
    let entry = |digest: &str, size: usize, architecture: &str| {
        serde_json::from_value(serde_json::json!({
            "mediaType": image.media_type, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": architecture},
        }))
        .unwrap()
    };
    let absent = registry::digest_of(b"of another platform");
    let entries = vec![entry(&image.digest, image.bytes.len(), "amd64"), entry(&absent, 19, "arm64")];
    let whole = Manifest::index(entries).unwrap();
    layout.add(NAME, Origin::Archive, &whole).unwrap();
    let blobs = || std::fs::read_dir(given.join("blobs/sha256")).unwrap().count();
    let before = blobs();

    mirror.import(&host, &given).await.unwrap();
    assert_eq!(blobs(), before);
    let held = mirror.held();
    let (here, item) = held.iter().find(|(_, item)| item.name == NAME).unwrap();
    assert_ne!(item.digest, whole.digest);
    assert_eq!(here.manifest(&item.digest).unwrap().entries()[0].digest, image.digest);
    assert!(mirror.verify(&host, None, &[]).await.unwrap().faults.is_empty());
    mirror.import(&host, &given).await.unwrap();
    assert_eq!(mirror.held().len(), 2, "a second time");
}

#[tokio::test]
async fn a_file_that_is_no_archive_is_refused() {
    let (dir, host, mirror) = mirror();
    let path = dir.path().join("noise.tar");
    std::fs::write(&path, b"no tar at all").unwrap();
    let error = mirror.import(&host, &path).await.unwrap_err();
    assert!(error.to_string().contains("noise.tar"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_path_that_leads_out_of_the_archive_is_refused() {
    for name in ["../config.json", "/etc/passwd", ""] {
        assert!(inside(Path::new("a"), name).is_err(), "{name}");
    }
}
