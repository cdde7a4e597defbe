//! One page in the browser, as a person uses it: clicks, keys, files, and what is seen.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::chromium::{Chromium, PATIENCE};

/// The size of the window, in CSS pixels.
#[derive(Clone, Copy)]
pub struct Viewport {
    pub width: u32,
    pub height: u32,
    pub mobile: bool,
}

pub const DESKTOP: Viewport = Viewport { width: 1280, height: 900, mobile: false };
pub const PHONE: Viewport = Viewport { width: 360, height: 740, mobile: true };

pub struct Page<'a> {
    browser: &'a Chromium,
    session: String,
}

impl<'a> Page<'a> {
    pub fn open(browser: &'a Chromium, url: &str, viewport: Viewport) -> Self {
        let target = browser.call(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            browser.call(None, "Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned();
        let page = Self { browser, session };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "DOM.enable"] {
            page.call(domain, &json!({}));
        }
        let Viewport { width, height, mobile } = viewport;
        page.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "mobile": mobile, "deviceScaleFactor": 1 }),
        );
        let calm = json!([{ "name": "prefers-reduced-motion", "value": "reduce" }, { "name": "prefers-color-scheme", "value": "light" }]);
        page.call("Emulation.setEmulatedMedia", &json!({ "features": calm }));
        page.call("Page.navigate", &json!({ "url": url }));
        page.until("the page", "document.readyState === 'complete' && location.href !== 'about:blank'");
        page
    }

    #[track_caller]
    pub fn call(&self, method: &str, parameters: &Value) -> Value {
        self.browser.call(Some(&self.session), method, parameters)
    }

    /// The value of a JavaScript expression in the page.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        match self.try_eval(expression) {
            Ok(value) => value,
            Err(error) => panic!("{expression}: {error}"),
        }
    }

    /// The error is the browser's: a page that gives way to the next evaluates nothing.
    #[track_caller]
    fn try_eval(&self, expression: &str) -> Result<Value, Value> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.browser.try_call(Some(&self.session), "Runtime.evaluate", &asked)?;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].clone())
    }

    /// Asks again and again until the expression holds, in whichever page is there by then.
    #[track_caller]
    pub fn until(&self, what: &str, expression: &str) {
        let give_up = Instant::now() + PATIENCE;
        while self.try_eval(&format!("Boolean({expression})")) != Ok(true.into()) {
            assert!(
                Instant::now() < give_up,
                "{what} did not come about; the page says: {}",
                self.eval("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap_or_else(|| panic!("{selector}: {text}")).trim().to_owned()
    }

    /// With the mouse, in the middle of the element.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let (x, y) = self.middle(selector);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    #[track_caller]
    fn middle(&self, selector: &str) -> (f64, f64) {
        let place = self.eval(&format!(
            "(() => {{ const element = document.querySelector({}); element.scrollIntoView({{ block: 'center' }}); \
             const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    /// Drops a file from the desktop onto the element.
    #[track_caller]
    pub fn drop_file(&self, selector: &str, file: &Path) {
        let (x, y) = self.middle(selector);
        let data = json!({ "items": [], "files": [file], "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            self.call("Input.dispatchDragEvent", &json!({ "type": kind, "x": x, "y": y, "data": data }));
        }
    }

    /// Chooses a file in the dialogue of a file field.
    #[track_caller]
    pub fn choose_file(&self, selector: &str, file: &Path) {
        let root = self.call("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let node = self.call("DOM.querySelector", &json!({ "nodeId": root, "selector": selector }));
        self.call("DOM.setFileInputFiles", &json!({ "nodeId": node["nodeId"], "files": [file] }));
    }

    /// Presses and releases a key by its name.
    pub fn key(&self, name: &str, code: u32) {
        let text = if name == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// PNG of the window.
    pub fn screenshot(&self) -> Vec<u8> {
        // A page behind another one is not drawn.
        self.call("Page.bringToFront", &json!({}));
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// Role and name of everything that assistive technology is told of.
    pub fn accessibility(&self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let told = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != true);
        let value = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
        told.map(|node| (value(node, "role"), value(node, "name"))).collect()
    }

    /// Nothing went wrong behind the page's back: no exception, no refusal by its own policy, no missing file.
    #[track_caller]
    pub fn assert_quiet(&self) {
        let exceptions = self.browser.events(&self.session, "Runtime.exceptionThrown");
        let errors = self.browser.events(&self.session, "Log.entryAdded");
        let errors: Vec<_> = errors.iter().filter(|event| event["entry"]["level"] == "error").collect();
        assert!(exceptions.is_empty() && errors.is_empty(), "{exceptions:#?} {errors:#?}");
    }
}
