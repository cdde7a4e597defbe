//! What is in a reply beside the text, on every way in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::harness::{Answer, Service, data};

/// Each way in with its path and its field.
const WAYS: [(&str, &str, &str); 2] =
    [("gateway", "/gateway/ocr", "image_file"), ("ocr-server", "/ocr", "file")];

async fn ask(service: &Service, way: (&str, &str, &'static str), query: &str, image: &str) -> Answer {
    let (role, path, field) = way;
    let form = Form::new().part(field, Part::bytes(data(image)).file_name("image"));
    let url = service.url(role, &format!("{path}{query}"));
    Answer::of(Client::new().post(url).multipart(form).send().await.unwrap()).await
}

fn fields(answer: &Answer) -> Vec<&String> {
    answer.body.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn the_default_reply_is_the_text_alone_and_each_output_comes_beside_it() {
    let service = Service::serve(&["--engines=1"]).await;
    for way in WAYS {
        assert_eq!(fields(&ask(&service, way, "", "line.png").await), ["text"]);
        assert_eq!(fields(&ask(&service, way, "?output=text", "line.png").await), ["text"]);
        for output in ["words", "hocr", "tsv"] {
            let answer = ask(&service, way, &format!("?output={output}"), "line.png").await;
            assert_eq!(answer.text().trim(), "Platen 1");
            let mut expected = ["text", output];
            expected.sort_unstable();
            assert_eq!(fields(&answer), expected, "{way:?}");
        }
    }
}

#[tokio::test]
async fn words_have_their_boxes_in_pixels_of_the_sent_image() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let answer = ask(&service, WAYS[1], "?output=words", "line.png").await;
    let words = answer.body["words"].as_array().unwrap();
    assert_eq!(words.iter().map(|word| word["text"].as_str().unwrap()).collect::<Vec<_>>(), ["Platen", "1"]);
    let side = |word: &Value, name: &str| word["box"][name].as_u64().unwrap();
    for word in words {
        assert!((50.0..=100.0).contains(&word["confidence"].as_f64().unwrap()), "{word}");
        assert!(side(word, "x") + side(word, "width") <= 200 && side(word, "y") + side(word, "height") <= 56);
        assert!(side(word, "width") > 2 && side(word, "height") > 10, "{word}");
    }
    assert!(side(&words[0], "x") + side(&words[0], "width") < side(&words[1], "x"), "{words:?}");
}

#[tokio::test]
async fn korean_words_are_whole_and_the_same_as_in_the_text() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let answer = ask(&service, WAYS[1], "?output=words", "nutrition-label.png").await;
    let words: Vec<_> =
        answer.body["words"].as_array().unwrap().iter().map(|word| word["text"].as_str().unwrap()).collect();
    assert!(words.contains(&"영양정보") && words.contains(&"505"), "{words:?}");
    assert_eq!(words, answer.text().split_whitespace().collect::<Vec<_>>());
}

#[tokio::test]
async fn hocr_and_tsv_name_every_word_of_the_text() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let hocr = ask(&service, WAYS[1], "?output=hocr", "letter.jpg").await;
    let page = hocr.body["hocr"].as_str().unwrap();
    assert!(page.contains("title='bbox 0 0 1260 928; ppageno 0'"), "{page}");
    assert_eq!(page.matches("class='ocrx_word'").count(), hocr.text().split_whitespace().count());
    let tsv = ask(&service, WAYS[1], "?output=tsv", "letter.jpg").await;
    let table = tsv.body["tsv"].as_str().unwrap();
    let rows = table.lines().filter(|row| row.starts_with("5\t")).count();
    assert_eq!(rows, tsv.text().split_whitespace().count());
}

#[tokio::test]
async fn options_are_taken_from_the_forms_fields_too() {
    let service = Service::serve(&["--engines=1"]).await;
    for (role, path, field) in WAYS {
        let form =
            Form::new().text("output", "words").text("lang", "eng").text("psm", "7").text("dpi", "300");
        let form = form.part(field, Part::bytes(data("line.png")).file_name("image"));
        let sent = Client::new().post(service.url(role, path)).multipart(form).send().await;
        let answer = Answer::of(sent.unwrap()).await;
        assert_eq!(
            (answer.text().trim(), answer.body["words"][0]["text"].as_str()),
            ("Platen 1", Some("Platen"))
        );
    }
}

#[tokio::test]
async fn what_is_not_on_the_list_of_options_is_refused_with_the_list() {
    let service = Service::serve(&["--engines=1"]).await;
    for way in WAYS {
        for (query, list) in [
            ("?output=pdf", "text, words, hocr, tsv"),
            ("?dpi=69", "70 to 2400"),
            ("?dpi=high", "70 to 2400"),
            ("?psm=14", "3 to 11 or 13"),
        ] {
            let answer = ask(&service, way, query, "line.png").await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(answer.error().contains(list), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn the_model_gives_listed_outputs_and_no_others() {
    let service = Service::role("model", &["--engines=1"]).await;
    let image = BASE64_STANDARD.encode(data("line.png"));
    let tensor = json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": [image] });
    let outputs = json!([{ "name": "words" }, { "name": "tsv" }]);
    let request = json!({ "inputs": [tensor], "outputs": outputs });
    let url = service.url("model", "/v2/models/ocr-model/infer");
    let answer = Answer::of(Client::new().post(url).json(&request).send().await.unwrap()).await;
    let outputs = answer.body["outputs"].as_array().unwrap();
    assert_eq!(outputs.iter().map(|output| &output["name"]).collect::<Vec<_>>(), ["words", "tsv"]);
    let words: Value = serde_json::from_str(outputs[0]["data"][0].as_str().unwrap()).unwrap();
    assert_eq!(words[0]["text"], "Platen");
}

#[tokio::test]
async fn what_is_too_large_is_told_the_limit() {
    let service = Service::serve(&["--engines=1", "--max-body-mib=1", "--max-megapixels=1"]).await;
    for (role, path, field) in WAYS {
        let form = Form::new().part(field, Part::bytes(vec![0; 3 << 20]).file_name("image"));
        let sent = Client::new().post(service.url(role, path)).multipart(form).send().await;
        let answer = Answer::of(sent.unwrap()).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answer.error().contains("limit of 1 MiB"), "{answer:?}");
        let answer = ask(&service, (role, path, field), "", "letter.jpg").await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answer.error().contains("limit of 1000000"), "{answer:?}");
    }
}
