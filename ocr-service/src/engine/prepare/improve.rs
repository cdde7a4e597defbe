//! From a picture as it was sent to one that Tesseract reads best: even paper, the right size, level lines, no rules.
//!
//! The numbers were chosen on one labelled set and hold on others: `cargo xtask bench accuracy`.

use std::ops::Range;

use super::geometry::Geometry;
use super::ink::{Area, Ink};
use super::{Picture, Prepared, Rect, Region, blocks, lines};
use crate::engine::Segmentation;

/// The height of a line of text, in pixels, at which Tesseract reads well. More costs time and gains nothing.
const LINE: f32 = 24.0;
const SCALES: Range<f32> = 0.5..3.0;
/// As good as the right size: scaling blurs a little.
const NEAR: Range<f32> = 0.9..1.15;
/// No picture is made larger than this.
const MOST_PIXELS: f32 = 24e6;
/// What [`Picture::evened`] makes of paper.
const PAPER: u8 = 200;
/// Less contrast than this is noise on an empty page.
const LEAST_CONTRAST: u8 = 40;
/// Degrees; less does no harm.
const LEAST_SKEW: f32 = 0.15;
const SURE: f32 = 2.0;
/// Lines of text in a region, at least: fewer are read worse, because Tesseract learns the lines' measures from all of
/// them. Nobody is helped by more regions of a block than engines take part.
const LINES_OF_REGION: usize = 4;
const MOST_REGIONS: usize = 4;

/// Nothing where the picture does not look like dark text on light paper, or the reverse: it is better left alone.
/// Nothing either as soon as `stop` says so, between two steps.
pub fn improved(sent: &Picture, stop: &dyn Fn() -> bool) -> Option<Prepared> {
    let go_on = || (!stop()).then_some(());
    let grey = upright_contrast(sent.grey()?)?;
    let even = grey.evened()?;
    go_on()?;
    let first = even.smoothed()?;
    let cutoff = cutoff(&first.histogram())?;
    let ink = first.ink(cutoff).without_specks();
    if has_dark_fields(&grey, &ink) {
        return None;
    }
    go_on()?;
    let scale = scale(lines::height(&without_frame(&ink))?, sent.whole());
    let sized = if NEAR.contains(&scale) { first } else { even.scaled(scale)?.smoothed()? };
    let scale = if NEAR.contains(&scale) { 1.0 } else { scale };
    go_on()?;
    let (level, radians) = levelled(sized, cutoff)?;
    let page = level.ink(cutoff).without_specks();
    go_on()?;
    let (picture, page) = without_rules(level, page)?;
    go_on()?;
    let regions = regions(&page, lines::height(&page)?, stop);
    let size = |picture: &Picture| (picture.width(), picture.height());
    let geometry = Geometry { scale, radians, sent: size(sent), prepared: size(&picture) };
    (!regions.is_empty()).then_some(Prepared { picture, regions, is_dark_on_light: true, geometry })
}

/// Dark on light, whichever way it was sent.
fn upright_contrast(grey: Picture) -> Option<Picture> {
    if quantile(&grey.histogram(), 0.5) < 100 { grey.inverted() } else { Some(grey) }
}

/// The level below which a pixel is ink: half way from the paper to the darkest there is.
fn cutoff(histogram: &[u64; 256]) -> Option<u8> {
    let darkest = quantile(histogram, 0.005);
    let contrast = PAPER.checked_sub(darkest).filter(|contrast| *contrast >= LEAST_CONTRAST)?;
    Some(darkest + contrast / 2)
}

/// The lowest level that is not below `share` of the pixels.
#[expect(clippy::cast_precision_loss, reason = "a share of pixels, not their exact number")]
fn quantile(histogram: &[u64; 256], share: f64) -> u8 {
    let all = histogram.iter().sum::<u64>() as f64;
    let mut below = 0;
    let level = histogram.iter().position(|count| {
        below += count;
        below as f64 >= share * all
    });
    level.and_then(|level| u8::try_from(level).ok()).unwrap_or(u8::MAX)
}

/// A bar with light text on it, a photograph: dark areas that are paper once the page is evened, or that are not text.
fn has_dark_fields(grey: &Picture, ink: &Ink) -> bool {
    let histogram = grey.histogram();
    let half = usize::from(quantile(&histogram, 0.9) / 2);
    let all = histogram.iter().sum::<u64>();
    let dark = histogram[..half].iter().sum::<u64>();
    let inked = u64::try_from(ink.count()).unwrap_or(u64::MAX);
    10 * inked > 3 * all || dark > inked + all / 25
}

#[expect(clippy::cast_precision_loss, reason = "sides of pictures are short")]
fn scale(line: usize, picture: Rect) -> f32 {
    let pixels = picture.width as f32 * picture.height as f32;
    let room = (MOST_PIXELS / pixels.max(1.0)).sqrt().max(1.0);
    (LINE / line.max(1) as f32).clamp(SCALES.start, SCALES.end).min(room)
}

/// The picture with its lines level, and by how much it was turned clockwise for that.
fn levelled(picture: Picture, cutoff: u8) -> Option<(Picture, f32)> {
    match picture.skew(cutoff) {
        Some((degrees, confidence)) if confidence > SURE && degrees.abs() > LEAST_SKEW => {
            let radians = degrees.to_radians();
            Some((picture.turned(radians)?, radians))
        }
        _ => Some((picture, 0.0)),
    }
}

/// Without what runs over most of the page: it would be taken for very high lines.
fn without_frame(ink: &Ink) -> Ink {
    let page = ink.whole();
    ink.without(&ink.rules(page.x.len() / 2, page.y.len() * 3 / 5))
}

/// Without frames and rules, which Tesseract's block mode reads as letters.
fn without_rules(picture: Picture, ink: Ink) -> Option<(Picture, Ink)> {
    let height = lines::height(&without_frame(&ink))?;
    let rules = ink.rules(8 * height, 2 * height);
    if rules.is_empty() {
        return Some((picture, ink));
    }
    let bare = ink.without(&rules);
    let page = ink.whole().x.len() * ink.whole().y.len();
    // So much of it is no rule.
    if (ink.count() - bare.count()) * 16 > page {
        return None;
    }
    // Their pale edges too.
    let wider = |range: &Range<usize>| range.start.saturating_sub(2)..range.end + 2;
    let painted: Vec<_> =
        rules.iter().map(|rule| rect(&Area { x: wider(&rule.x), y: wider(&rule.y) })).collect();
    Some((picture.painted(&painted, PAPER)?, bare))
}

fn regions(ink: &Ink, height: usize, stop: &dyn Fn() -> bool) -> Vec<Region> {
    blocks::find(ink, height, stop).iter().flat_map(|block| regions_of_block(ink, block, height)).collect()
}

/// Bands of whole lines, so that several engines can share the block; all of it where its lines are not plain to see.
fn regions_of_block(ink: &Ink, block: &Area, height: usize) -> Vec<Region> {
    let Some(text) = ink.trim(block) else { return Vec::new() };
    let found = lines::find(ink, &text, height);
    let all: usize = found.iter().map(Range::len).sum();
    let high: usize = found.iter().map(Range::len).filter(|line| *line > 3 * height).sum();
    let x = padded(&text.x, height / 2, &block.x);
    let y = padded(&text.y, height / 2, &block.y);
    if 10 * high > 3 * all {
        return vec![Region { rect: rect(&Area { x, y }), segmentation: Segmentation::AUTO }];
    }
    let bands = (found.len() / LINES_OF_REGION).clamp(1, MOST_REGIONS);
    let cut = |band: usize| match band * found.len() / bands {
        0 => y.start,
        line if line == found.len() => y.end,
        line => usize::midpoint(found[line - 1].end, found[line].start),
    };
    let band = |band| Area { x: x.clone(), y: cut(band)..cut(band + 1) };
    let region = |band| Region { rect: rect(&band), segmentation: Segmentation::BLOCK };
    (0..bands).map(band).map(region).collect()
}

fn padded(text: &Range<usize>, margin: usize, limits: &Range<usize>) -> Range<usize> {
    text.start.saturating_sub(margin).max(limits.start)..(text.end + margin).min(limits.end)
}

fn rect(area: &Area) -> Rect {
    let number = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    Rect {
        x: number(area.x.start),
        y: number(area.y.start),
        width: number(area.x.len()),
        height: number(area.y.len()),
    }
}
