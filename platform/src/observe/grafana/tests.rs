//! Imports into a Grafana that both APIs are written from their documentation for.

use serde_json::json;

use super::double::{Double, Kind, PASSWORD};
use super::*;
use crate::error::Exit;

const NEW: &[&str] = &["v2beta1", "v1beta1", "v1"];

fn dashboards() -> Vec<Dashboard> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    crate::observe::dashboard::read(&folder).unwrap()
}

fn wanted() -> Import {
    Import {
        folder: "platen".into(),
        folder_title: "Platen".into(),
        datasource: None,
        overwrite: false,
        dry_run: false,
    }
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    report.dashboards.iter().map(|it| it.outcome).collect()
}

#[tokio::test]
async fn dashboards_are_made_once_and_then_left_alone_by_either_api() {
    let new = "POST apis/dashboard.grafana.app/v1/namespaces/default/dashboards";
    for (versions, write, api) in [
        (&[][..], "POST api/dashboards/db", "api/dashboards/db"),
        (NEW, new, "apis/dashboard.grafana.app/v1"),
        // One that has only the form of dashboards that ours do not have.
        (&["v2beta1"][..], "POST api/dashboards/db", "api/dashboards/db"),
    ] {
        let double = Double::start(Kind { versions, ..Kind::default() }).await;
        let grafana = double.client(PASSWORD);
        let dry = import(&grafana, &dashboards(), &Import { dry_run: true, ..wanted() }).await.unwrap();
        assert_eq!((outcomes(&dry), double.writes()), (vec![Outcome::Created; 2], vec![]));
        let report = import(&grafana, &dashboards(), &wanted()).await.unwrap();
        assert_eq!((report.api.as_str(), report.datasource.as_str()), (api, "prometheus"));
        assert_eq!(outcomes(&report), [Outcome::Created; 2]);
        assert_eq!(double.writes(), ["POST api/folders", write, write]);
        let (document, folder) = double.dashboard("platen-ocr");
        assert_eq!((document["title"].as_str(), folder.as_str()), (Some("OCR overview"), "platen"));
        assert_eq!(document["templating"]["list"][0]["current"]["value"], "prometheus");

        let again = import(&grafana, &dashboards(), &wanted()).await.unwrap();
        assert_eq!(outcomes(&again), [Outcome::Unchanged; 2]);
        assert_eq!(double.writes(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn another_dashboard_is_written_over_only_where_asked() {
    for versions in [&[], NEW] {
        let double = Double::start(Kind { versions, ..Kind::default() }).await;
        double.put("platen-ocr", json!({"uid": "platen-ocr", "title": "Mine", "panels": []}), "");
        let grafana = double.client(PASSWORD);
        let error = import(&grafana, &dashboards(), &wanted()).await.unwrap_err();
        assert!(error.to_string().contains("\"Mine\" in no folder"), "{error}");
        assert!(error.hint().unwrap().contains("--overwrite"));

        let report = import(&grafana, &dashboards(), &Import { overwrite: true, ..wanted() }).await.unwrap();
        assert!(outcomes(&report).contains(&Outcome::Updated));
        assert_eq!(double.dashboard("platen-ocr").1, "platen");
    }
}

#[tokio::test]
async fn a_changed_password_is_told_with_what_to_do() {
    let double = Double::start(Kind::default()).await;
    let error = import(&double.client("old"), &dashboards(), &wanted()).await.unwrap_err();
    assert!(error.to_string().contains("does not know the user admin: 401"), "{error}");
    assert!(error.hint().unwrap().contains("may have been changed"));
    assert_eq!(error.exit(), Exit::Failed);
    assert!(!format!("{:?}", double.client("old")).contains("old"));
}

#[tokio::test]
async fn a_provisioned_dashboard_is_not_fought_over() {
    for versions in [&[], NEW] {
        let double =
            Double::start(Kind { versions, provisioned: Some("platen-ocr"), ..Kind::default() }).await;
        double.put("platen-ocr", json!({"uid": "platen-ocr", "title": "OCR overview"}), "platen");
        for dry_run in [true, false] {
            let wanted = Import { overwrite: true, dry_run, ..wanted() };
            let error = import(&double.client(PASSWORD), &dashboards(), &wanted).await.unwrap_err();
            assert!(error.to_string().contains("provisioned from a file"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_grafana_keeps_otherwise_is_found_by_reading_it_back() {
    for versions in [&[], NEW] {
        let double = Double::start(Kind { versions, forgetful: true, ..Kind::default() }).await;
        let error = import(&double.client(PASSWORD), &dashboards(), &wanted()).await.unwrap_err();
        assert!(error.to_string().contains(".title is \"another\""), "{error}");
    }
}

#[tokio::test]
async fn the_data_source_must_be_clear() {
    let prometheus = |uid: &str| json!({"uid": uid, "name": uid, "type": "prometheus"});
    for (datasources, named, expected) in [
        (json!([prometheus("a")]), None, Ok("a")),
        (json!([prometheus("a"), prometheus("b")]), Some("b"), Ok("b")),
        (json!([prometheus("a"), prometheus("b")]), None, Err("not clear")),
        (json!([]), None, Err("there is none")),
        (json!([prometheus("a")]), Some("c"), Err("there are: a (a)")),
    ] {
        let double = Double::start(Kind { datasources, ..Kind::default() }).await;
        let wanted = Import { datasource: named.map(str::to_owned), ..wanted() };
        let done = import(&double.client(PASSWORD), &dashboards(), &wanted).await;
        match (done, expected) {
            (Ok(report), Ok(uid)) => assert_eq!(report.datasource, uid),
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
            (done, _) => panic!("{done:?}"),
        }
    }
}

#[tokio::test]
async fn other_organisations_have_a_namespace_with_their_number() {
    let double = Double::start(Kind { versions: NEW, organisation: 7, ..Kind::default() }).await;
    import(&double.client(PASSWORD), &dashboards(), &wanted()).await.unwrap();
    assert!(double.writes().iter().any(|it| it.contains("/namespaces/org-7/")));
}

#[tokio::test]
async fn who_does_not_answer_or_is_no_grafana_is_told() {
    let login = || Login::Token("t".into());
    let nobody = Grafana::new("http://127.0.0.1:1", login()).unwrap();
    let error = import(&nobody, &[], &wanted()).await.unwrap_err();
    assert!(error.to_string().contains("nobody answers"), "{error}");
    assert!(Grafana::new("127.0.0.1:3000", login()).is_err());
    assert!(
        Grafana::new("http://admin:x@127.0.0.1", login())
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("GRAFANA_USER")
    );
}

fn in_pairs(pairs: &[(&str, &str)], name: &str) -> Option<String> {
    pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[tokio::test]
async fn the_address_comes_from_a_variable_or_is_this_machines() {
    let of = |pairs: &[(&str, &str)]| Grafana::of_variables(|name| in_pairs(pairs, name)).unwrap();
    let token = ("GRAFANA_TOKEN", "hidden");
    assert_eq!(of(&[token]).address(), "http://127.0.0.1:3000/");
    assert_eq!(of(&[token, ("GRAFANA_URL", "http://grafana.test/x")]).address(), "http://grafana.test/x/");
}

#[test]
fn a_login_comes_from_variables_and_is_never_shown() {
    let of = |pairs: &[(&str, &str)]| Login::of_variables(|name| in_pairs(pairs, name));
    let password = of(&[("GRAFANA_PASSWORD", "hidden")]).unwrap();
    assert_eq!(format!("{password:?}"), "the user admin");
    assert_eq!(of(&[("GRAFANA_TOKEN", "hidden")]).unwrap(), Login::Token("hidden".into()));
    for wrong in [&[][..], &[("GRAFANA_TOKEN", "a"), ("GRAFANA_PASSWORD", "b")][..]] {
        assert_eq!(of(wrong).unwrap_err().exit(), Exit::Usage);
    }
}
