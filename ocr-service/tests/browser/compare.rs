//! Whether two pictures show the same page: by structure, since fonts differ in detail from one machine to another.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::chromium::Chromium;
use super::page::{DESKTOP, Page};

/// The share of cells of a grid over the page that may differ. Measured: 0 for the same page, 0.02 for another font,
/// 0.07 for a page that lacks one of its cards, 0.7 for one without its styles.
pub const BOUND: f64 = 0.045;

/// Both are scaled to the same grid, so that a few pixels more in height do not count as another page.
const DIFFERENCE: &str = "async (first, second) => {
    const [width, height] = [64, 48];
    const cells = async (data) => {
        const image = new Image();
        image.src = 'data:image/png;base64,' + data;
        await image.decode();
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [width, height];
        const context = canvas.getContext('2d');
        context.imageSmoothingQuality = 'high';
        context.drawImage(image, 0, 0, width, height);
        return context.getImageData(0, 0, width, height).data;
    };
    const [a, b] = [await cells(first), await cells(second)];
    let differing = 0;
    for (let at = 0; at < a.length; at += 4) {
        const by = [0, 1, 2].reduce((sum, color) => sum + Math.abs(a[at + color] - b[at + color]), 0);
        if (by / (3 * 255) > 0.04) differing += 1;
    }
    return differing / (width * height);
}";

pub fn difference(browser: &Chromium, first: &[u8], second: &[u8]) -> f64 {
    let page = Page::open(browser, "data:text/html,", DESKTOP);
    let [first, second] = [first, second].map(|png| json!(BASE64_STANDARD.encode(png)));
    page.eval(&format!("({DIFFERENCE})({first}, {second})")).as_f64().unwrap()
}
