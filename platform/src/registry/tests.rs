//! The client against a strict double, and against the real registry where the source build has made it.

use super::double::{Double, Login, PASSWORD, USER};
use super::*;
use crate::process::scripted::scripted;

fn host() -> Host {
    Host { processes: scripted(&[], []), ..Host::bare("/nowhere") }
}

fn login(server: &str, password: &str) -> Credentials {
    Credentials { server: server.into(), user: USER.into(), password: password.into(), email: None }
}

fn registries(credentials: impl IntoIterator<Item = Credentials>) -> Registries {
    crate::tls::install();
    Registries::with_keyring(&host(), Keyring::only(credentials))
}

/// Pushes an index of one image for each architecture.
async fn push_index(registries: &Registries, reference: &Reference, architectures: &[&str]) -> Manifest {
    let mut entries = Vec::new();
    for architecture in architectures {
        let config = format!("{{\"os\":\"linux\",\"architecture\":\"{architecture}\"}}").into_bytes();
        let layer = format!("layer of {architecture}").into_bytes();
        let image = OciImageManifest {
            media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
            config: Registries::descriptor("application/vnd.oci.image.config.v1+json", &config),
            layers: vec![Registries::descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
            ..OciImageManifest::default()
        };
        registries.push_blob(reference, config).await.unwrap();
        registries.push_blob(reference, layer).await.unwrap();
        let manifest = Manifest::of(&OciManifest::Image(image)).unwrap();
        registries.push_manifest(&at_digest(reference, &manifest.digest), &manifest).await.unwrap();
        let entry = serde_json::json!({
            "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(),
            "platform": {"os": "linux", "architecture": architecture},
        });
        entries.push(serde_json::from_value(entry).unwrap());
    }
    let index = Manifest::index(entries).unwrap();
    registries.push_manifest(reference, &index).await.unwrap();
    index
}

#[tokio::test]
async fn an_index_is_pushed_and_read_back_with_its_platforms() {
    let double = Double::start(Login::None).await;
    let registries = registries([]);
    let reference = parse(&format!("{}/platen/ocr:1", double.name())).unwrap();
    let pushed = push_index(&registries, &reference, &["amd64", "arm64"]).await;
    let read = registries.require(&reference).await.unwrap();
    assert_eq!((read.digest.as_str(), read.is_index()), (pushed.digest.as_str(), true));
    let platforms = registries.platforms(&reference).await.unwrap().unwrap();
    let names: Vec<String> = platforms.iter().map(|found| found.platform.to_string()).collect();
    assert_eq!(names, ["linux/amd64", "linux/arm64"]);
    let one = at_digest(&reference, &platforms[1].digest);
    assert_eq!(registries.platforms(&one).await.unwrap().unwrap()[0].platform, Platform::linux("arm64"));
    assert_eq!(registries.tags(&reference).await.unwrap(), ["1"]);
    assert!(!registries.exists(&at_tag(&reference, "2")).await.unwrap());
    let none = parse(&format!("{}/no/such:1", double.name())).unwrap();
    assert!(registries.tags(&none).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_nodes_find_in_their_mirror_is_asked_of_it_and_everything_else_of_its_host() {
    let (mirror, other) = (Double::start(Login::None).await, Double::start(Login::None).await);
    let plain = registries([]);
    let at = |double: &Double, name: &str| parse(&format!("{}/{name}", double.name())).unwrap();
    push_index(&plain, &at(&mirror, "library/mariadb:11"), &["amd64"]).await;
    let behind = plain.clone().behind(Some(&mirror.name()));
    let upstream = parse("docker.io/library/mariadb:11").unwrap();
    let find = async |registries: &Registries, it: &Reference| registries.as_nodes_find(it).await.unwrap();
    assert_eq!(find(&behind, &upstream).await, at(&mirror, "library/mariadb:11"));
    assert_eq!(find(&plain, &upstream).await, upstream);
    let elsewhere = at(&other, "library/mariadb:12");
    assert_eq!(find(&behind, &elsewhere).await, elsewhere, "the mirror has no such tag");
}

#[tokio::test]
async fn a_copy_goes_to_another_registry_and_a_second_one_sends_nothing() {
    let (from, to) = (Double::start(Login::None).await, Double::start(Login::Basic).await);
    let registries = registries([login(&to.name(), PASSWORD)]);
    let source = parse(&format!("{}/platen/ocr:1", from.name())).unwrap();
    let target = parse(&format!("{}/mine/ocr:final", to.name())).unwrap();
    let index = push_index(&registries, &source, &["amd64", "arm64"]).await;
    let mut sent = 0;
    let digest =
        registries.copy(&source, &target, &mut |copied| sent += usize::from(copied.sent)).await.unwrap();
    assert_eq!((digest, sent), (index.digest, 6), "two manifests, two configurations, two layers");
    let mut again = 0;
    registries.copy(&source, &target, &mut |copied| again += usize::from(copied.sent)).await.unwrap();
    assert_eq!(again, 0);
}

#[tokio::test]
async fn a_blob_that_the_target_has_lost_is_copied_again() {
    let (from, to) = (Double::start(Login::None).await, Double::start(Login::None).await);
    let registries = registries([]);
    let source = parse(&format!("{}/platen/ocr:1", from.name())).unwrap();
    let target = parse(&format!("{}/mine/ocr:1", to.name())).unwrap();
    push_index(&registries, &source, &["amd64", "arm64"]).await;
    registries.copy(&source, &target, &mut |_| {}).await.unwrap();
    let lost = digest_of(b"layer of arm64");
    to.content().blobs.remove(&("mine/ocr".to_owned(), lost.clone())).unwrap();
    let mut sent = Vec::new();
    let mut tell = |copied: Copied| sent.extend(copied.sent.then_some(copied.digest));
    registries.copy(&source, &target, &mut tell).await.unwrap();
    assert_eq!(sent, [lost]);
}

#[tokio::test]
async fn an_interrupted_copy_leaves_no_tag_and_is_gone_on_with() {
    let (from, to) = (Double::start(Login::None).await, Double::start(Login::None).await);
    let registries = registries([]);
    let source = parse(&format!("{}/platen/ocr:1", from.name())).unwrap();
    let target = parse(&format!("{}/mine/ocr:1", to.name())).unwrap();
    push_index(&registries, &source, &["amd64", "arm64"]).await;
    to.content().space_for = Some(3);
    let failed = registries.copy(&source, &target, &mut |_| {}).await.unwrap_err();
    assert_eq!(failed.exit(), crate::Exit::Machine);
    assert!(failed.to_string().contains("no space left"), "{failed}");
    assert!(!registries.exists(&target).await.unwrap());
    to.content().space_for = None;
    let before = to.asked("POST");
    registries.copy(&source, &target, &mut |_| {}).await.unwrap();
    assert_eq!(to.asked("POST") - before, 1, "only what had not arrived is sent");
}

#[tokio::test]
async fn within_one_registry_blobs_are_mounted() {
    let double = Double::start(Login::None).await;
    let registries = registries([]);
    let source = parse(&format!("{}/a/ocr:1", double.name())).unwrap();
    push_index(&registries, &source, &["amd64"]).await;
    let patches = double.asked("PATCH");
    let target = parse(&format!("{}/b/ocr:1", double.name())).unwrap();
    registries.copy(&source, &target, &mut |_| {}).await.unwrap();
    assert_eq!(double.asked("PATCH"), patches);
}

#[tokio::test]
async fn a_login_by_basic_or_token_is_used_and_a_wrong_one_is_told() {
    for kind in [Login::Basic, Login::Bearer] {
        let double = Double::start(kind).await;
        let name = double.name();
        let reference = parse(&format!("{name}/platen/ocr:1")).unwrap();
        let good = registries([login(&name, PASSWORD)]);
        push_index(&good, &reference, &["amd64"]).await;
        assert!(good.exists(&reference).await.unwrap());
        let none = registries([]).manifest(&reference).await.unwrap_err();
        assert!(none.to_string().contains("wants credentials"), "{kind:?}: {none}");
        assert!(none.hint().unwrap().contains("REGISTRY_USER"));
        let wrong = registries([login(&name, "wrong")]).manifest(&reference).await.unwrap_err();
        assert!(wrong.to_string().contains("refuses the credentials"), "{kind:?}: {wrong}");
        assert_eq!(wrong.exit(), crate::Exit::Machine);
        assert!(!wrong.to_string().contains("wrong"), "the password is not told");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_told_as_such() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference = parse(&format!("{free}/platen/ocr:1")).unwrap();
    let error = registries([]).manifest(&reference).await.unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert_eq!(error.exit(), crate::Exit::Machine);
}

#[tokio::test]
async fn a_blob_is_checked_against_its_digest() {
    let double = Double::start(Login::None).await;
    let registries = registries([]);
    let reference = parse(&format!("{}/platen/ocr:1", double.name())).unwrap();
    registries.push_blob(&reference, &b"content"[..]).await.unwrap();
    let blob = Registries::descriptor("application/octet-stream", b"content");
    assert_eq!(registries.blob(&reference, &blob).await.unwrap(), b"content");
    let key = ("platen/ocr".to_owned(), blob.digest.clone());
    double.content().blobs.insert(key, bytes::Bytes::from_static(b"tampered"));
    assert!(registries.blob(&reference, &blob).await.is_err());
}

#[test]
fn only_loopback_and_what_is_named_so_is_spoken_to_in_plain_http() {
    let mut host = host();
    host.config.images.insecure = vec!["registry.lan:5000".into()];
    let registries = Registries::with_keyring(&host, Keyring::default());
    for plain in ["localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000", "registry.lan:5000"] {
        assert!(registries.is_plain_http(plain), "{plain}");
    }
    for tls in ["registry.lan", "localhost.example", "10.0.0.1:5000", "docker.io"] {
        assert!(!registries.is_plain_http(tls), "{tls}");
    }
}

#[test]
fn a_platform_is_read_and_shown_as_oci_writes_it() {
    for text in ["linux/amd64", "linux/arm/v7"] {
        assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
    }
    for text in ["amd64", "linux/", "linux/amd64/v1/x", "Linux/AMD64", ""] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn tags_are_listed_to_the_end_however_few_a_registry_gives_at_once() {
    let double = Double::start(Login::None).await;
    let registries = registries([]);
    let reference = parse(&format!("{}/platen/ocr:1", double.name())).unwrap();
    for tag in ["1", "2", "3"] {
        push_index(&registries, &at_tag(&reference, tag), &["amd64"]).await;
    }
    double.content().tags_at_once = Some(2);
    assert_eq!(registries.tags(&reference).await.unwrap(), ["1", "2", "3"]);
}

/// The source build's own registry: what the double claims, it does too. Nothing is built for a unit test, and without that
/// program nothing is shown here; the end-to-end tests have a registry always.
#[tokio::test]
async fn a_registry_that_the_source_build_made_here_if_it_did_takes_what_the_double_takes() {
    let home = std::env::var("HOME").unwrap_or_default();
    let folders = std::fs::read_dir(format!("{home}/.cache/platen/mirror")).into_iter().flatten().flatten();
    let mut programs = folders.map(|entry| entry.path().join("bin/registry"));
    let Some(program) = programs.find(|program| program.is_file()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let storage = dir.path().join("data");
    let config = crate::mirror::registry::CONFIGURATION
        .replace("/var/lib/registry", &storage.display().to_string())
        .replace("addr: :5000", &format!("addr: {free}"));
    let file = dir.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let _child = tokio::process::Command::new(program)
        .arg("serve")
        .arg(&file)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let registries = registries([]);
    let reference = parse(&format!("{free}/platen/ocr:1")).unwrap();
    crate::wait::until(Duration::from_secs(20), "", || async {
        Ok(match registries.tags(&reference).await {
            Ok(_) => crate::wait::Seen::Ready(()),
            Err(error) => crate::wait::Seen::Awaiting(error.to_string()),
        })
    })
    .await
    .unwrap();
    let index = push_index(&registries, &reference, &["amd64", "arm64"]).await;
    let target = parse(&format!("{free}/other/ocr:2")).unwrap();
    assert_eq!(registries.copy(&reference, &target, &mut |_| {}).await.unwrap(), index.digest);
    assert_eq!(registries.tags(&target).await.unwrap(), ["2"]);
    let layer = Registries::descriptor("application/octet-stream", b"layer of arm64");
    assert_eq!(registries.blob(&target, &layer).await.unwrap(), b"layer of arm64");
    let mut again = 0;
    registries.copy(&reference, &target, &mut |copied| again += usize::from(copied.sent)).await.unwrap();
    assert_eq!(again, 0);
}
