//! Secrets as they stand in logs, manifests and environments; and what only looks like one.

use proptest::prelude::*;

use super::*;

#[test]
fn values_behind_secret_names_go_however_they_are_written() {
    let cases = [
        ("DB_PASSWORD=hunter2 DB_USER=me", "DB_PASSWORD=*** DB_USER=me"),
        ("password = \"two words\" # mine", "password = \"***\" # mine"),
        (r#"{"token":"abc","other":1}"#, r#"{"token":"***","other":1}"#),
        ("serve --token abc123 --port 80", "serve --token *** --port 80"),
        ("serve --api-key=abc123", "serve --api-key=***"),
        ("NAVER_OCR_SECRET_KEY: c2VjcmV0", "NAVER_OCR_SECRET_KEY: ***"),
        ("GET /x?access_token=abc&page=2", "GET /x?access_token=***&page=2"),
        ("authorization: Bearer abcdefghijklmnop", "authorization: Bearer ***"),
        ("x-auth-token: Bearer abcdefghijklmnop", "x-auth-token: Bearer ***"),
        ("{\"token\": \"Bearer abcdef\"}", "{\"token\": \"***\"}"),
        ("token=Bearer abc, page=2", "token=Bearer ***, page=2"),
        ("no bearer token, Bearer q8Zr, Bearer abcdefghijklmnop", "no bearer token, Bearer ***, Bearer ***"),
        ("sent Basic YTpi and Basic bWU6cHc=", "sent Basic *** and Basic ***"),
        ("Authorization:  bearer  opaque", "Authorization:  bearer  ***"),
        ("token=Bearer", "token=***"),
        ("credentials=me:pw tokens=abc", "credentials=*** tokens=***"),
        ("tokens=abc,def page=2", "tokens=*** page=2"),
        ("tokens=abc, def page=2", "tokens=*** page=2"),
        ("api_keys:\n- abc\n- def\nuser: me", "api_keys:\n- ***\n- ***\nuser: me"),
        ("- tokens:\n  - abc\n  user: me", "- tokens:\n  - ***\n  user: me"),
        (
            "{\n  \"tokens\": [\n    \"abc\",\n    \"def\"\n  ],\n  \"page\": 2\n}",
            "{\n  \"tokens\": [\n    ***\n    ***\n  ],\n  \"page\": 2\n}",
        ),
        (r#"{"tokens": ["abc", "def"], "page": 2}"#, r#"{"tokens": [***], "page": 2}"#),
        ("token:\n  abc\nuser: me", "token:\n  ***\nuser: me"),
        (
            "a:\n  - api_keys:\n      - abc\n      - def\n  - b: c",
            "a:\n  - api_keys:\n      - ***\n      - ***\n  - b: c",
        ),
        ("pull http://me:pw@registry/x now", "pull http://***@registry/x now"),
        ("http://a:b@x,http://c:d@y/z", "http://***@x,http://***@y/z"),
        ("oci://registry/x@sha256:12", "oci://registry/x@sha256:12"),
        ("got eyJhbGciOi.eyJzdWIi.c2ln and went", "got *** and went"),
    ];
    for (text, wanted) in cases {
        assert_eq!(Redactor::default().text(text), wanted);
    }
}

#[test]
fn names_of_secrets_and_sentences_about_them_stay() {
    let redactor = Redactor::default();
    for text in [
        "secretName: ocr-server-env",
        "secret \"regcred\" not found",
        "the pod names no pull secret",
        "an unexpected token in line 3",
        "basic usage: see the manual",
        "no bearer token, and basic login is off",
        "www-authenticate: Basic realm=x",
        "max_tokens: 512",
        "imagePullSecrets: []",
        "imagePullSecrets:\n- name: regcred",
        r#""imagePullSecrets": [{"name": "regcred"}]"#,
        "could not read the token:\n  no such file",
        "secretName: |",
    ] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn values_of_the_environment_file_go_wherever_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let env = "DB_PASSWORD=correct-horse\nDB_USER=somebody\nNAVER_OCR_SECRET_KEY=bluebird\n";
    std::fs::write(dir.path().join(".env"), env).unwrap();
    let redactor = Redactor::of(dir.path());
    assert_eq!(
        redactor.text("a line with correct-horse, bluebird and somebody"),
        "a line with ***, *** and somebody"
    );
}

#[test]
fn values_of_the_environment_go_beside_those_of_the_file_that_it_overrides() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "DB_PASSWORD=from-the-file\n").unwrap();
    let environment = [("DB_PASSWORD", "overriding"), ("DB_USER", "somebody"), ("A_TOKEN", "false")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let redactor = Redactor::with(dir.path(), environment.into_iter());
    assert_eq!(redactor.text("overriding from-the-file somebody false"), "*** *** somebody false");
    let key = Redactor::knowing(["first-half\nsecond-half\n".to_owned()]);
    assert_eq!(key.text("first-half\n  second-half"), "***\n  ***");
}

#[test]
fn a_block_of_yaml_goes_with_all_its_lines() {
    let text = "- password: |-\n    hunter2\n\n    second\n  user: me\nDB_TOKEN: > # folded\n  abc\nkeys: |\n  stay\n";
    let wanted = "- password: |-\n    ***\n  user: me\nDB_TOKEN: > # folded\n  ***\nkeys: |\n  stay\n";
    assert_eq!(Redactor::default().text(text), wanted);
    let last = "  secret: |\n    eyJ\n  token: >2\n      abc";
    assert_eq!(Redactor::default().text(last), "  secret: |\n    ***\n  token: >2\n    ***");
}

#[test]
fn a_private_key_goes_with_all_its_lines() {
    let text = "before\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nafter\n";
    assert_eq!(Redactor::default().text(text), "before\n***\nafter\n");
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,80}", value in "[a-zA-Z0-9]{5,20}") {
        let redactor = Redactor::knowing([value.clone()]);
        let shown = redactor.text(&format!("{text} {value} password={value} {text}"));
        prop_assert!(!shown.contains(&value) || GONE.contains(&value));
    }
}
