//! Curves over time, on one scale, with what they mean under them.

use serde_json::{Value, json};

use super::axis::Scale;
use super::draw::{Band, Frame, add, bands, color, escaped, labels, x, y};
use super::{Range, unit};

/// Curves whose areas can lie on one another.
const FEW: usize = 4;

/// A curve: a name, and a value for each step of the range.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

impl Curve {
    fn finite(&self) -> impl Iterator<Item = f64> {
        self.values.iter().flatten().copied().filter(|value| value.is_finite())
    }

    pub fn last(&self) -> Option<f64> {
        self.finite().last()
    }
}

/// What is drawn around the curves.
#[derive(Debug, Default)]
pub(crate) struct Lines<'a> {
    pub title: &'a str,
    /// As Grafana names units.
    pub unit: &'a str,
    /// Where the scale begins and ends, whatever the curves do.
    pub bounds: (Option<f64>, Option<f64>),
    /// Each curve stands on the one before.
    pub stacked: bool,
    pub filled: bool,
    /// Values with the colour of a line there.
    pub thresholds: Vec<(f64, &'a str)>,
    pub bands: Vec<Band>,
}

impl Lines<'_> {
    /// The plot, its legend, and what the page says of a moment under the pointer.
    pub fn html(&self, curves: &[Curve], range: Range) -> String {
        let below = if self.stacked { stack(curves) } else { Vec::new() };
        let tops = below.last().cloned().unwrap_or_default();
        let values = || curves.iter().flat_map(Curve::finite).chain(tops.iter().copied());
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let base = if self.unit == "bytes" { 1024.0 } else { 1000.0 };
        let scale = Scale::around(low.min(high), high, self.bounds, base);
        let mut drawn = bands(&self.bands, range);
        drawn.push_str(&self.thresholds(&scale));
        // Areas of many curves on one another are a dark block.
        let filled = self.stacked || (self.filled && curves.len() <= FEW);
        for (index, curve) in curves.iter().enumerate() {
            let shown =
                if self.stacked { sums(&below[index], &below[index + 1], curve) } else { plain(curve) };
            drawn.push_str(&drawing(&shown, index, range, &scale, filled));
        }
        let label = format!("{}: {} curves", self.title, curves.len());
        let frame = Frame { range, ys: labels(&scale, self.unit), label: &label };
        format!("{}{}{}", frame.html(&drawn), legend(curves, self.unit), told(curves, range, self.unit))
    }

    fn thresholds(&self, scale: &Scale) -> String {
        let mut text = String::new();
        for (value, color) in self.thresholds.iter().filter(|(it, _)| *it > scale.low && *it < scale.high) {
            let y = y(scale.place(*value));
            add(
                &mut text,
                format_args!(r#"<path class="threshold is-{}" d="M0 {y}H1000"/>"#, escaped(color)),
            );
        }
        text
    }
}

/// Samples by their place in the range.
pub(crate) fn steps(samples: &[(f64, f64)], range: Range) -> Vec<Option<f64>> {
    let index = |time: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a short list"
        )]
        let index = ((time - range.start) / range.step).round().max(0.0) as usize;
        index
    };
    let mut values = vec![None; index(range.end) + 1];
    for (time, value) in samples {
        if let Some(place) = values.get_mut(index(*time)) {
            *place = Some(*value);
        }
    }
    values
}

/// The bottom of each curve and, last, the top of all.
fn stack(curves: &[Curve]) -> Vec<Vec<f64>> {
    let length = curves.first().map_or(0, |curve| curve.values.len());
    let mut sums = vec![vec![0.0; length]];
    for curve in curves {
        let mut next = sums.last().cloned().unwrap_or_default();
        for (sum, value) in next.iter_mut().zip(&curve.values) {
            *sum += value.filter(|value| value.is_finite()).unwrap_or(0.0);
        }
        sums.push(next);
    }
    sums
}

/// A point of a drawing: bottom and top.
type Points = Vec<Option<(f64, f64)>>;

fn plain(curve: &Curve) -> Points {
    curve
        .values
        .iter()
        .map(|value| value.filter(|it| it.is_finite()).map(|it| (f64::NEG_INFINITY, it)))
        .collect()
}

fn sums(bottom: &[f64], top: &[f64], curve: &Curve) -> Points {
    let both = bottom.iter().zip(top).zip(&curve.values);
    both.map(|((bottom, top), value)| value.filter(|it| it.is_finite()).map(|_| (*bottom, *top))).collect()
}

/// One line for each run of points without a gap, and what is under it.
fn drawing(points: &Points, index: usize, range: Range, scale: &Scale, filled: bool) -> String {
    let (mut line, mut area) = (String::new(), String::new());
    #[expect(clippy::cast_precision_loss, reason = "a place in a short list")]
    let at = |place: usize| x(range, range.start + place as f64 * range.step);
    let mut place = 0;
    for run in points.split(Option::is_none) {
        let run: Vec<(f64, f64)> = run.iter().flatten().copied().collect();
        for (offset, (_, top)) in run.iter().enumerate() {
            let letter = if offset == 0 { 'M' } else { 'L' };
            add(&mut line, format_args!("{letter}{} {}", at(place + offset), y(scale.place(*top))));
        }
        if run.len() == 1 {
            // A point alone is as long as a hair; its round end makes it seen.
            line.push_str("h.1");
        }
        if filled && run.len() > 1 {
            add(&mut area, format_args!("M{} {}", at(place), y(scale.place(run[0].1))));
            for (offset, (_, top)) in run.iter().enumerate().skip(1) {
                add(&mut area, format_args!("L{} {}", at(place + offset), y(scale.place(*top))));
            }
            for (offset, (bottom, _)) in run.iter().enumerate().rev() {
                add(&mut area, format_args!("L{} {}", at(place + offset), y(scale.place(*bottom))));
            }
            area.push('Z');
        }
        place += run.len() + 1;
    }
    let class = color(index);
    let area = if area.is_empty() { area } else { format!(r#"<path class="area {class}" d="{area}"/>"#) };
    let line = if line.is_empty() { line } else { format!(r#"<path class="line {class}" d="{line}"/>"#) };
    area + &line
}

fn legend(curves: &[Curve], unit: &str) -> String {
    let mut text = String::from(r#"<ul class="legend">"#);
    for (index, curve) in curves.iter().enumerate() {
        let last = curve.last().map_or_else(|| "–".into(), |value| unit::text(value, unit));
        add(
            &mut text,
            format_args!(
                r#"<li><i class="{}"></i>{} <b>{last}</b></li>"#,
                color(index),
                escaped(&curve.name)
            ),
        );
    }
    text + "</ul>"
}

/// What the page says of a moment under the pointer, as JSON for `page.js`.
pub(crate) fn told(curves: &[Curve], range: Range, unit: &str) -> String {
    let text = |value: &Option<f64>| value.map(|value| unit::text(value, unit));
    let series: Vec<Value> = curves
        .iter()
        .enumerate()
        .map(|(index, curve)| {
            json!([curve.name, color(index), curve.values.iter().map(text).collect::<Vec<_>>()])
        })
        .collect();
    let json = json!({"clock": range.clock, "start": range.start, "step": range.step, "end": range.end, "series": series});
    // No end of the script can stand in it.
    let json = json.to_string().replace('<', "\\u003c");
    format!(r#"<script type="application/json">{json}</script>"#)
}

/// A curve alone, as small as a word.
pub(crate) fn spark(curve: &Curve, index: usize, range: Range, bounds: (Option<f64>, Option<f64>)) -> String {
    let scale = Scale::around(0.0, curve.finite().fold(0.0, f64::max), bounds, 1000.0);
    let drawn = drawing(&plain(curve), index, range, &scale, true);
    format!(
        r#"<svg class="spark" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>"#
    )
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
