//! What an image is made of (SPDX), attached to the index as an attestation in BuildKit's form: a manifest for no platform,
//! whose one layer is an in-toto statement about the image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oci_client::manifest::{IMAGE_CONFIG_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::inspect::{self, Inspection};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::registry::{
    ImageIndexEntry, Manifest, OciImageManifest, OciManifest, Platform, Reference, Registries, at_digest,
};

const PREDICATE: &str = "https://spdx.dev/Document";
const STATEMENT: &str = "application/vnd.in-toto+json";
const MEMBER: &str = "ocr-service";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Crate {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The index of these images and of their attestations, which are pushed beside them.
pub async fn with_materials(
    host: &Host,
    registries: &Registries,
    repository: &Reference,
    built: &[(Platform, Manifest)],
) -> Result<Manifest> {
    let crates = crates(&host.root)?;
    let mut entries = Vec::new();
    for (platform, manifest) in built {
        entries.push(entry(manifest, &oci(platform), None)?);
    }
    for (platform, manifest) in built {
        let inspection = inspect::inspect(host, registries, repository, manifest).await?;
        let statement = to_bytes(&statement(platform, manifest, &crates, &inspection))?;
        let layer = Registries::descriptor(STATEMENT, &statement);
        let config = to_bytes(&json!({
            "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }))?;
        let mut attestation = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
            config: Registries::descriptor(IMAGE_CONFIG_MEDIA_TYPE, &config),
            layers: vec![layer],
            ..OciImageManifest::default()
        };
        attestation.layers[0].annotations =
            Some(BTreeMap::from([("in-toto.io/predicate-type".to_owned(), PREDICATE.to_owned())]));
        let attestation = Manifest::of(&OciManifest::Image(attestation))?;
        registries.push_blob(repository, statement).await?;
        registries.push_blob(repository, config).await?;
        registries.push_manifest(&at_digest(repository, &attestation.digest), &attestation).await?;
        let annotations = json!({
            "vnd.docker.reference.digest": manifest.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        });
        let nothing = json!({"architecture": "unknown", "os": "unknown"});
        entries.push(entry(&attestation, &nothing, Some(&annotations))?);
    }
    Manifest::index(entries)
}

fn oci(platform: &Platform) -> Value {
    let mut object = json!({"os": platform.os, "architecture": platform.architecture});
    if let Some(variant) = &platform.variant {
        object["variant"] = json!(variant);
    }
    object
}

fn entry(manifest: &Manifest, platform: &Value, annotations: Option<&Value>) -> Result<ImageIndexEntry> {
    let mut entry = json!({
        "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(), "platform": platform,
    });
    if let Some(annotations) = annotations {
        entry["annotations"] = annotations.clone();
    }
    serde_json::from_value(entry).map_err(|error| Error::malformed("an entry of the index", error, ""))
}

fn to_bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::malformed("the attestation", error, ""))
}

fn statement(platform: &Platform, manifest: &Manifest, crates: &[Crate], inspection: &Inspection) -> Value {
    let sha256 = manifest.digest.trim_start_matches("sha256:");
    json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": PREDICATE,
        "subject": [{"name": format!("pkg:docker/platen/ocr-service?platform={platform}"), "digest": {"sha256": sha256}}],
        "predicate": document(platform, sha256, crates, inspection),
    })
}

/// The same image gives the same document: its time is none of its own.
fn document(platform: &Platform, sha256: &str, crates: &[Crate], inspection: &Inspection) -> Value {
    let mut packages: Vec<Value> = crates.iter().map(cargo_package).collect();
    packages.extend(inspection.debian.iter().map(debian_package));
    // Without the packages' list, the libraries themselves.
    if inspection.debian.is_empty() {
        packages.extend(inspection.libraries.iter().map(|(name, digest)| {
            json!({
                "SPDXID": id("Library", name), "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
                "checksums": [{"algorithm": "SHA256", "checksumValue": digest.trim_start_matches("sha256:")}],
            })
        }));
    }
    let describes: Vec<Value> = packages
        .iter()
        .map(|package| {
            json!({
                "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": package["SPDXID"],
            })
        })
        .collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("platen/ocr-service for {platform}"),
        "documentNamespace": format!("https://github.com/platen/platen/sbom/{sha256}"),
        "creationInfo": {
            "created": "1970-01-01T00:00:00Z",
            "creators": [format!("Tool: platen-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": describes,
    })
}

fn cargo_package(found: &Crate) -> Value {
    let purl = format!("pkg:cargo/{}@{}", found.name, found.version);
    let mut package = json!({
        "SPDXID": id("Cargo", &format!("{}-{}", found.name, found.version)),
        "name": found.name, "versionInfo": found.version, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    });
    if let Some(checksum) = &found.checksum {
        package["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": checksum}]);
    }
    package
}

fn debian_package((name, version, architecture): &(String, String, String)) -> Value {
    // As the specification of package URLs asks for.
    let encoded = |text: &str| text.replace(':', "%3A").replace('+', "%2B");
    let purl = format!("pkg:deb/debian/{}@{}?arch={architecture}", encoded(name), encoded(version));
    json!({
        "SPDXID": id("Debian", &format!("{name}-{version}")),
        "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    })
}

/// SPDX allows letters, digits, dots and hyphens.
fn id(kind: &str, name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    format!("SPDXRef-{kind}-{plain}")
}

/// The crates that the service is built from, as locked.
fn crates(root: &Path) -> Result<Vec<Crate>> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).doing(format!("reading {path}"));
    closure(&read("Cargo.lock")?, &read("ocr-service/Cargo.toml")?)
}

fn closure(lock: &str, manifest: &str) -> Result<Vec<Crate>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Crate>,
    }
    let malformed = |file: &str, error: toml::de::Error| Error::malformed(file, error, "run: cargo check");
    let lock: Lock = toml::from_str(lock).map_err(|error| malformed("Cargo.lock", error))?;
    let manifest: toml::Table =
        toml::from_str(manifest).map_err(|error| malformed("ocr-service/Cargo.toml", error))?;
    // The lock file names what the member's tests need as well: that is in no image.
    let tables = ["dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|table| manifest.get(table)?.as_table());
    let direct: BTreeSet<&String> = tables.flat_map(toml::Table::keys).collect();
    let find = |wanted: &str| {
        let (name, version) =
            wanted.split_once(' ').map_or((wanted, None), |(name, rest)| (name, rest.split(' ').next()));
        lock.package
            .iter()
            .position(|found| found.name == name && version.is_none_or(|version| found.version == version))
    };
    let root = find(MEMBER)
        .ok_or_else(|| Error::malformed("Cargo.lock", format!("it lists no {MEMBER}"), "run: cargo check"))?;
    let (mut reached, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(at) = open.pop() {
        if !reached.insert(at) {
            continue;
        }
        let wanted = lock.package[at].dependencies.iter().filter(|wanted| {
            let name = wanted.split(' ').next().unwrap_or_default().to_owned();
            at != root || direct.contains(&name) || renamed(&manifest, &name)
        });
        open.extend(wanted.filter_map(|wanted| find(wanted)));
    }
    Ok(reached.into_iter().map(|at| lock.package[at].clone()).collect())
}

/// A dependency that the manifest calls by another name is kept: rather one too many than one too few.
fn renamed(manifest: &toml::Table, name: &str) -> bool {
    let dev = manifest.get("dev-dependencies").and_then(toml::Value::as_table);
    !dev.is_some_and(|dev| dev.contains_key(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "ocr-service"
version = "0.1.0"
dependencies = ["axum", "insta"]
[[package]]
name = "axum"
version = "0.8.1"
checksum = "ab"
dependencies = ["http 1.0.0"]
[[package]]
name = "http"
version = "0.2.0"
[[package]]
name = "http"
version = "1.0.0"
[[package]]
name = "insta"
version = "1.0.0"
"#;
    const MANIFEST: &str =
        "[dependencies]\naxum.workspace = true\n[dev-dependencies]\ninsta.workspace = true\n";

    #[test]
    fn the_list_holds_what_is_linked_and_not_what_tests_need() {
        let names: Vec<String> = closure(LOCK, MANIFEST)
            .unwrap()
            .into_iter()
            .map(|found| format!("{} {}", found.name, found.version))
            .collect();
        assert_eq!(names, ["ocr-service 0.1.0", "axum 0.8.1", "http 1.0.0"]);
    }

    #[test]
    fn the_document_names_crates_and_debian_packages_by_purl() {
        let inspection = Inspection {
            unpacked: 0,
            architecture: None,
            libraries: BTreeMap::from([("libc.so.6".into(), "sha256:1".into())]),
            missing: Vec::new(),
            debian: vec![("libc6".into(), "2.41-12".into(), "arm64".into())],
        };
        let crates = closure(LOCK, MANIFEST).unwrap();
        let document = document(&Platform::linux("arm64"), "00", &crates, &inspection).to_string();
        assert!(
            document.contains("pkg:cargo/axum@0.8.1")
                && document.contains("pkg:deb/debian/libc6@2.41-12?arch=arm64")
        );
        let without = Inspection { debian: Vec::new(), ..inspection };
        assert!(
            super::document(&Platform::linux("arm64"), "00", &crates, &without)
                .to_string()
                .contains("libc.so.6")
        );
    }
}
