//! What is seen, and what is told to those who do not see it.

use std::path::PathBuf;

use super::chromium::Chromium;
use super::compare::{BOUND, difference};
use super::harness::Service;
use super::page::{DESKTOP, PHONE, Page, Viewport};

async fn mock() -> Service {
    Service::role("frontend", &["--frontend-mode=mock", "--mock-ocr-delay=0s", "--mock-translate-delay=0s"])
        .await
}

fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/browser/reference").join(name)
}

/// Compares with the committed picture; `PLATEN_UPDATE_REFERENCE=1` writes it instead.
#[track_caller]
fn assert_looks_like(browser: &Chromium, picture: &[u8], name: &str) {
    let path = reference(name);
    if std::env::var_os("PLATEN_UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, picture).unwrap();
    }
    let found = difference(browser, picture, &std::fs::read(&path).unwrap());
    let kept = std::env::temp_dir().join(format!("platen-{name}"));
    if found > BOUND {
        std::fs::write(&kept, picture).unwrap();
    }
    assert!(
        found <= BOUND,
        "differs by {found:.3} from {}; what was seen is in {}",
        path.display(),
        kept.display()
    );
}

/// The page after the sample letter has been translated, from its top.
fn with_result<'a>(browser: &'a Chromium, url: &str, viewport: Viewport) -> Page<'a> {
    let page = Page::open(browser, url, viewport);
    page.click("#sample");
    page.until(
        "the result",
        "!document.querySelector('#picture').hidden && !document.querySelector('#sample').ariaDisabled",
    );
    page.eval("scrollTo(0, 0)");
    page
}

#[tokio::test]
async fn the_page_looks_as_it_was_drawn_on_a_desktop() {
    let (service, browser) = (mock().await, Chromium::start());
    let page = Page::open(&browser, &service.url("frontend", "/?lang=ko"), DESKTOP);
    assert_looks_like(&browser, &page.screenshot(), "desktop.png");
}

#[tokio::test]
async fn the_result_looks_as_it_was_drawn_on_desktop_and_phone() {
    let (service, browser) = (mock().await, Chromium::start());
    for (viewport, name) in [(DESKTOP, "desktop-result.png"), (PHONE, "phone-result.png")] {
        let page = with_result(&browser, &service.url("frontend", "/?lang=ko"), viewport);
        page.eval("document.querySelector('#result').scrollIntoView({ block: 'start' })");
        assert_looks_like(&browser, &page.screenshot(), name);
    }
}

#[tokio::test]
async fn the_comparison_overlooks_another_font_and_notices_a_card_that_is_missing() {
    let (service, browser) = (mock().await, Chromium::start());
    let page = Page::open(&browser, &service.url("frontend", "/?lang=ko"), DESKTOP);
    let drawn = std::fs::read(reference("desktop.png")).unwrap();
    page.eval("document.body.style.fontFamily = 'serif'");
    let found = difference(&browser, &page.screenshot(), &drawn);
    assert!(found <= BOUND, "{found:.3}");
    page.eval("document.querySelector('.progress').hidden = true");
    let found = difference(&browser, &page.screenshot(), &drawn);
    assert!(found > BOUND, "only {found:.3}");
}

#[tokio::test]
async fn nothing_is_wider_than_a_phone() {
    let (service, browser) = (mock().await, Chromium::start());
    for width in [320, PHONE.width] {
        for lang in ["ko", "en"] {
            let viewport = Viewport { width, ..PHONE };
            let page = with_result(&browser, &service.url("frontend", &format!("/?lang={lang}")), viewport);
            let wide = page.eval("document.documentElement.scrollWidth");
            assert_eq!(wide, width, "{lang}");
        }
    }
}

#[tokio::test]
async fn assistive_technology_is_told_of_everything_by_name() {
    let (service, browser) = (mock().await, Chromium::start());
    let page = with_result(&browser, &service.url("frontend", "/?lang=en"), DESKTOP);
    assert_eq!(page.eval("document.documentElement.lang"), "en");
    let told = page.accessibility();
    for (role, name) in [
        ("heading", "Your letter, read and translated"),
        ("form", "Letter"),
        ("button", "choose a file"),
        ("combobox", "Translate into"),
        ("button", "Translate this letter"),
        ("button", "Translate the sample letter 샘플 편지 번역 요청하기"),
        ("heading", "Progress"),
        ("list", ""),
        ("status", ""),
        ("region", "Result"),
        ("image", "The letter that was read"),
        ("article", "Translation"),
        ("article", "Text of the letter"),
        ("link", "Skip to the content"),
        ("link", "한국어"),
    ] {
        let found = told.iter().any(|(its_role, its_name)| its_role == role && its_name == name);
        assert!(found, "no {role} {name:?} in {told:?}");
    }
    let nameless = |(role, name): &&(String, String)| {
        ["button", "combobox", "link", "checkbox", "image"].contains(&role.as_str()) && name.is_empty()
    };
    assert_eq!(told.iter().find(nameless), None);
}

/// WCAG 2.2, 1.4.3: the contrast of every text with what is behind it.
const LOW_CONTRAST: &str = "(() => {
    const parse = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = parse(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0.9) return color;
        }
        return [255, 255, 255];
    };
    const low = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility()) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) low.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
    }
    return low;
})()";

#[tokio::test]
async fn every_text_stands_out_from_what_is_behind_it_by_day_and_by_night() {
    let (service, browser) = (mock().await, Chromium::start());
    for scheme in ["light", "dark"] {
        let page = with_result(&browser, &service.url("frontend", "/?lang=ko"), DESKTOP);
        let features = serde_json::json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        page.call("Emulation.setEmulatedMedia", &serde_json::json!({ "features": features }));
        page.eval("document.querySelector('#error').hidden = false");
        assert_eq!(page.eval(LOW_CONTRAST), serde_json::json!([]), "{scheme}");
    }
}
