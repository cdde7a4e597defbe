//! A plot's frame: the scale at its left, the time under it, and between them what is drawn, stretched to whatever room
//! there is; the words are HTML, so that they keep their size.

use std::fmt::Write;

use super::Range;
use super::axis::{Scale, moments};

/// Width and height of a plot in its own units.
const SIDE: f64 = 1000.0;
/// As many colours as there are in `page.css`.
const COLORS: usize = 8;

/// A plot, ready but for what is drawn in it.
pub(crate) struct Frame<'a> {
    pub range: Range,
    /// Heights from 0 to 1, with their labels.
    pub ys: Vec<(f64, String)>,
    /// What a person who does not see it is told.
    pub label: &'a str,
}

impl Frame<'_> {
    pub fn html(&self, drawn: &str) -> String {
        let mut text = String::from(r#"<div class="plot" tabindex="0"><div class="ys" aria-hidden="true">"#);
        for (place, label) in &self.ys {
            add(
                &mut text,
                format_args!(r#"<span style="bottom:{:.2}%">{}</span>"#, place * 100.0, escaped(label)),
            );
        }
        add(
            &mut text,
            format_args!(
                r#"</div><svg viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none" role="img" aria-label="{}">"#,
                escaped(self.label)
            ),
        );
        for (place, _) in &self.ys {
            let y = y(*place);
            add(&mut text, format_args!(r#"<path class="grid" d="M0 {y}H{SIDE}"/>"#));
        }
        text.push_str(drawn);
        text.push_str(r#"</svg><div class="xs" aria-hidden="true">"#);
        for (time, label) in moments(self.range) {
            let place = spot(self.range, time);
            add(&mut text, format_args!(r#"<span style="left:{place}">{label}</span>"#));
        }
        text.push_str("</div></div>");
        text
    }
}

/// Lines of a scale with their values.
pub(crate) fn labels(scale: &Scale, unit: &str) -> Vec<(f64, String)> {
    scale.ticks.iter().map(|tick| (scale.place(*tick), super::unit::text(*tick, unit))).collect()
}

/// Where a moment lies, for CSS.
pub(crate) fn spot(range: Range, time: f64) -> String {
    format!("{:.2}%", range.share(time) * 100.0)
}

pub(crate) fn x(range: Range, time: f64) -> String {
    short(range.share(time) * SIDE)
}

/// From the height, 0 at the bottom and 1 at the top.
pub(crate) fn y(place: f64) -> String {
    short((1.0 - place) * SIDE)
}

fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A time that is marked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Band {
    pub from: f64,
    pub to: f64,
}

pub(crate) fn bands(bands: &[Band], range: Range) -> String {
    let mut text = String::new();
    for it in bands {
        let (from, to) = (x(range, it.from.max(range.start)), x(range, it.to.min(range.end)));
        add(&mut text, format_args!(r#"<path class="band" d="M{from} 0H{to}V{SIDE}H{from}Z"/>"#));
    }
    text
}

/// The class of the colour of a series; from the ninth on the colours come again, dashed.
pub(crate) fn color(index: usize) -> String {
    let dashed = if index < COLORS { "" } else { " again" };
    format!("c{}{dashed}", index % COLORS + 1)
}

pub(crate) fn escaped(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}

/// Writing to a String cannot fail.
pub(crate) fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}
