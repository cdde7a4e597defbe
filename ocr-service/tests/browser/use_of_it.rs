//! The page as it is used: buttons, files, keys, and what it says when something fails.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use super::chromium::Chromium;
use super::harness::Service;
use super::page::{DESKTOP, Page};

const SHOWN: &str =
    "!document.querySelector('#result').hidden && !document.querySelector('#sample').ariaDisabled";

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

async fn mock() -> Service {
    Service::role("frontend", &["--frontend-mode=mock", "--mock-ocr-delay=0s", "--mock-translate-delay=0s"])
        .await
}

#[tokio::test]
async fn the_sample_letter_goes_through_the_mocks_eight_seconds() {
    let service = Service::role("frontend", &["--frontend-mode=mock"]).await;
    let browser = Chromium::start();
    let page = Page::open(&browser, &service.url("frontend", "/?lang=ko"), DESKTOP);
    assert_eq!(page.text("#sample"), "샘플 편지 번역 요청하기");
    let begun = Instant::now();
    page.click("#sample");
    page.until("reading", "document.querySelector('[data-stage=ocr]').dataset.state === 'running'");
    assert_eq!(page.eval("document.querySelector('[data-stage=translate]').dataset.state"), "waiting");
    page.until("translating", "document.querySelector('[data-stage=translate]').dataset.state === 'running'");
    assert_eq!(
        page.text("#original"),
        "Hello from your child",
        "shown while the translation is still to come"
    );
    page.until("the result", SHOWN);
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(page.text("#translation"), "자녀로부터 온 편지입니다. 안녕하세요.");
    let states =
        page.eval("[...document.querySelectorAll('#stages li')].map((stage) => stage.dataset.state)");
    assert_eq!(states, json!(["done", "done", "done"]));
    page.assert_quiet();
}

#[tokio::test]
async fn a_letter_that_is_chosen_is_really_read() {
    let service = Service::serve(&["--engines=1", "--mock-translate-delay=0s"]).await;
    let browser = Chromium::start();
    let page = Page::open(&browser, &service.url("frontend", "/"), DESKTOP);
    page.choose_file("#file", &data("letter.jpg"));
    page.until("the preview", "document.querySelector('#preview-image').naturalWidth > 0");
    assert_eq!(page.text("#preview-name"), "letter.jpg");
    page.click("#send");
    page.until("the result", SHOWN);
    assert!(page.text("#original").contains("Hello from your child"));
    page.until("the picture", "document.querySelector('#letter').naturalWidth > 0");
    page.assert_quiet();
}

/// A gateway and a translation in one, with these words in every letter.
async fn double(words: Value) -> String {
    // The whole request is read: a connection that ends with a part of it unread may be taken for the next one.
    let answer = move |uri: Uri, _whole: Bytes| {
        let translation = json!({ "translatedText": "안녕 <b>하세요</b>" });
        let read = json!({ "text": "Hello <img src=x onerror=alert(1)>", "words": words });
        std::future::ready(Json(if uri.path() == "/translate" { translation } else { read }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // On a thread of its own: the test's waits for the browser.
    let listener = listener.into_std().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let served = async {
            axum::serve(TcpListener::from_std(listener).unwrap(), Router::new().fallback(answer)).await
        };
        runtime.block_on(served)
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_letter_that_is_dropped_is_shown_with_its_words_and_as_plain_text() {
    let word = |x: u32, confidence: f64| json!({ "text": "Hello", "confidence": confidence, "box": { "x": x, "y": 10, "width": 100, "height": 20 } });
    let double = double(json!([word(10, 96.0), word(200, 31.5)])).await;
    let service = Service::role(
        "frontend",
        &[&format!("--gateway-url={double}"), &format!("--translate-url={double}")],
    )
    .await;
    let browser = Chromium::start();
    let page = Page::open(&browser, &service.url("frontend", "/?lang=en"), DESKTOP);
    page.drop_file("#drop", &data("nutrition-label.png"));
    page.until("the preview", "document.querySelector('#preview-image').naturalWidth > 0");
    page.click("#send");
    page.until("the words", "document.querySelectorAll('#boxes rect').length === 2");
    page.until("the result", SHOWN);
    // What was read is shown before its translation is there.
    page.until("the translation", "document.querySelector('#translation').textContent !== '…'");
    assert_eq!(page.text("#count"), "Words found: 2");
    assert_eq!(page.text("#original"), "Hello <img src=x onerror=alert(1)>");
    assert_eq!(page.text("#translation"), "안녕 <b>하세요</b>");
    // The first box lies over the picture as the picture is scaled.
    let off = page.eval(
        "(() => { const [letter, box] = ['#letter', '#boxes rect'].map((it) => document.querySelector(it)); \
         const [a, b] = [letter, box].map((it) => it.getBoundingClientRect()); const scale = a.width / letter.naturalWidth; \
         return Math.abs(b.x - a.x - 10 * scale) + Math.abs(b.width - 100 * scale) + Math.abs(b.y - a.y - 10 * scale); })()",
    );
    assert!(off.as_f64().unwrap() < 6.0, "{off}");
    page.click("#show-boxes");
    page.until("no boxes", "!document.querySelector('#boxes').checkVisibility()");
    page.assert_quiet();
}

#[tokio::test]
async fn a_gateway_that_is_gone_is_told_on_the_page_at_its_stage() {
    // Bound and not listening: it refuses, and nobody else gets the port meanwhile.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = deaf.local_addr().unwrap();
    let service = Service::role("frontend", &[&format!("--gateway-url=http://{gone}")]).await;
    let browser = Chromium::start();
    let page = Page::open(&browser, &service.url("frontend", "/?lang=en"), DESKTOP);
    page.click("#sample");
    page.until("the error", "document.querySelector('#error').checkVisibility()");
    assert!(page.text("#error").contains("gateway cannot be reached"), "{}", page.text("#error"));
    assert_eq!(page.eval("document.querySelector('[data-stage=ocr]').dataset.state"), "failed");
    assert_eq!(page.eval("document.querySelector('#sample').ariaDisabled"), Value::Null);
}

#[tokio::test]
async fn a_file_that_is_no_image_and_no_file_at_all_are_told_without_asking_the_server() {
    let (service, browser) = (mock().await, Chromium::start());
    let page = Page::open(&browser, &service.url("frontend", "/?lang=en"), DESKTOP);
    page.click("#send");
    page.until("the error", "document.querySelector('#error').checkVisibility()");
    assert!(page.text("#error").contains("Choose a picture"), "{}", page.text("#error"));
    page.choose_file("#file", &data("nutrition/labels.txt"));
    page.until("the other error", "document.querySelector('#error').innerText.includes('Only image files')");
    page.assert_quiet();
}

#[tokio::test]
async fn the_keyboard_reaches_everything_in_order_and_enter_asks() {
    let (service, browser) = (mock().await, Chromium::start());
    let page = Page::open(&browser, &service.url("frontend", "/"), DESKTOP);
    let mut reached = Vec::new();
    for _ in 0..6 {
        page.key("Tab", 9);
        reached.push(page.eval("document.activeElement.id || document.activeElement.className"));
    }
    assert_eq!(reached, ["skip", "language", "file", "target", "send", "sample"].map(Value::from));
    page.key("Enter", 13);
    page.until("the result", SHOWN);
    assert_eq!(page.eval("document.activeElement.id"), "result");
    page.assert_quiet();
}

#[tokio::test]
async fn without_scripts_the_form_is_answered_by_a_page() {
    let (service, browser) = (mock().await, Chromium::start());
    let page = Page::open(&browser, "about:blank#", DESKTOP);
    page.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    page.call("Page.navigate", &json!({ "url": service.url("frontend", "/") }));
    page.until("the page", "document.querySelector('#sample')");
    page.click("#sample");
    page.until("the result", "document.querySelector('#translation')?.innerText.includes('자녀로부터')");
    assert_eq!(page.text("#original"), "Hello from your child");
}
