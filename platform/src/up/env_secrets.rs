//! What `.env` and the environment say to the service's roles in a cluster: a Secret for each role, with no more than the
//! variables which that role reads.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::apps::NAMESPACES;
use crate::cluster::secrets::Place;
use crate::digest::Parts;

/// A role's Secret, under the name that the chart's values have for it.
struct Kind {
    /// The role in the chart's values.
    role: &'static str,
    place: Place,
    variables: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind {
        role: "ocrServer",
        place: Place { namespace: NAMESPACES[1], name: "ocr-server-env" },
        variables: &["NAVER_OCR_APIGW_URL", "NAVER_OCR_SECRET_KEY"],
    },
    Kind {
        role: "translate",
        place: Place { namespace: NAMESPACES[0], name: "translate-env" },
        variables: &["LIBRETRANSLATE_URL", "LIBRETRANSLATE_API_KEY"],
    },
    Kind {
        role: "experiments",
        place: Place { namespace: NAMESPACES[0], name: "experiments-env" },
        variables: &[
            "DB_IP",
            "DB_HOST",
            "DB_PORT",
            "DB_USER",
            "DB_PASSWORD",
            "DB_NAME",
            "AE_MODEL_IMAGE_URL",
        ],
    },
];

/// Where such Secrets are.
pub fn places() -> [Place; 3] {
    KINDS.map(|kind| kind.place)
}

/// What is set here.
#[derive(Debug, Default)]
pub struct EnvSecrets {
    pub secrets: Vec<(Place, Secret)>,
    /// Places for which nothing is set.
    pub unset: Vec<Place>,
    /// To be laid over the chart's values.
    pub values: Value,
}

impl EnvSecrets {
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let (mut secrets, mut unset, mut values) = (Vec::new(), Vec::new(), json!({}));
        let set = |name: &&'static str| Some((*name, variable(name).filter(|value| !value.is_empty())?));
        for kind in KINDS {
            let data: BTreeMap<&str, String> = kind.variables.iter().filter_map(set).collect();
            if data.is_empty() {
                unset.push(kind.place);
                continue;
            }
            values[kind.role] = json!({"envChecksum": checksum(&data)});
            if kind.role == "experiments" && ["DB_IP", "DB_HOST"].iter().any(|name| data.contains_key(name)) {
                values[kind.role]["sqlite"] = json!(false);
            }
            let data =
                data.into_iter().map(|(name, value)| (name.to_owned(), ByteString(value.into_bytes())));
            secrets.push((kind.place, Secret { data: Some(data.collect()), ..Secret::default() }));
        }
        if let Some(backend) = set(&"PLATEN_TRANSLATE_BACKEND") {
            values["translate"]["backend"] = json!(backend.1);
        }
        Self { secrets, unset, values }
    }
}

/// Another one whenever the pods have to be started anew to see it.
fn checksum(data: &BTreeMap<&str, String>) -> String {
    let mut parts = Parts::default();
    for (name, value) in data {
        parts.add(name);
        parts.add(value);
    }
    parts.hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> EnvSecrets {
        EnvSecrets::of(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_role_gets_no_more_than_what_it_reads() {
        let found = of(&[
            ("NAVER_OCR_SECRET_KEY", "hunter2"),
            ("NAVER_OCR_APIGW_URL", ""),
            ("REGISTRY_PASSWORD", "hunter3"),
            ("DB_PASSWORD", "hunter4"),
        ]);
        let names: Vec<_> = found
            .secrets
            .iter()
            .map(|(place, secret)| {
                let keys: Vec<_> = secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
                (place.namespace, place.name, keys)
            })
            .collect();
        let expected = [
            ("backend", "ocr-server-env", vec!["NAVER_OCR_SECRET_KEY"]),
            ("ocr", "experiments-env", vec!["DB_PASSWORD"]),
        ];
        assert_eq!(names, expected);
        assert_eq!(found.unset.iter().map(|place| place.name).collect::<Vec<_>>(), ["translate-env"]);
    }

    #[test]
    fn a_value_that_changes_starts_its_pods_anew_and_is_not_told() {
        let checksum =
            |value| of(&[("NAVER_OCR_SECRET_KEY", value)]).values["ocrServer"]["envChecksum"].clone();
        assert!(checksum("one") != checksum("two") && checksum("one") == checksum("one"));
        assert!(!format!("{:?}", of(&[("DB_PASSWORD", "hunter2")]).values).contains("hunter2"));
    }

    #[test]
    fn where_nothing_is_set_nothing_is_made_and_the_values_stay() {
        let found = of(&[]);
        assert!(found.secrets.is_empty());
        assert_eq!(found.values, json!({}));
    }

    #[test]
    fn a_database_server_takes_the_place_of_the_file_and_a_backend_that_of_the_mock() {
        let values = of(&[("DB_IP", "10.0.0.1"), ("PLATEN_TRANSLATE_BACKEND", "libretranslate")]).values;
        assert_eq!(
            (&values["experiments"]["sqlite"], &values["translate"]["backend"]),
            (&json!(false), &json!("libretranslate"))
        );
    }
}
