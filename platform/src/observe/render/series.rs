//! Curves, single values and tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::axis::Scale;
use super::draw::{Frame, add, bands, color, escaped, labels, x, y};
use super::unit;
use super::{Asked, Firing, Range};
use crate::observe::dashboard::{FieldDefaults, Panel};

/// Curves whose areas can lie on one another.
const FEW: usize = 4;

/// A curve: a name, and a value for each step of the range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

impl Curve {
    fn finite(&self) -> impl Iterator<Item = f64> {
        self.values.iter().flatten().copied().filter(|value| value.is_finite())
    }

    fn last(&self) -> Option<f64> {
        self.finite().last()
    }
}

/// The curves of all queries of a panel.
pub(super) fn curves(panel: &Panel, asked: &[Asked<'_>], range: Range) -> Vec<Curve> {
    let all = asked.iter().flat_map(|it| it.series.iter().map(move |series| (it, series)));
    all.map(|(it, series)| Curve {
        name: name(&it.target.legend, &series.labels, &panel.title),
        values: steps(&series.values, range),
    })
    .collect()
}

/// Samples by their place in the range.
pub(super) fn steps(samples: &[(f64, f64)], range: Range) -> Vec<Option<f64>> {
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

/// As Grafana fills a legend: `{{label}}`; all labels where nothing is said.
fn name(legend: &str, labels: &BTreeMap<String, String>, title: &str) -> String {
    if !legend.is_empty() && legend != "__auto" {
        let filled = labels
            .iter()
            .fold(legend.to_owned(), |text, (label, value)| text.replace(&format!("{{{{{label}}}}}"), value));
        // A label that a series does not have is empty.
        let known = filled.split("{{").map(|part| part.split_once("}}").map_or(part, |(_, rest)| rest));
        return known.collect::<String>().trim().to_owned();
    }
    let list: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    if list.is_empty() { title.to_owned() } else { list.join(" ") }
}

/// A time series: its curves, thresholds and legend.
pub(super) fn lines(panel: &Panel, curves: &[Curve], range: Range, firing: &[Firing]) -> String {
    let fields = &panel.fields.defaults;
    let stacked = fields.custom.stacking.mode == "normal";
    let below = if stacked { stack(curves) } else { Vec::new() };
    let tops = below.last().cloned().unwrap_or_default();
    let values = || curves.iter().flat_map(Curve::finite).chain(tops.iter().copied());
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let base = if fields.unit == "bytes" { 1024.0 } else { 1000.0 };
    let scale = Scale::around(low.min(high), high, (fields.min, fields.max), base);
    let mut drawn = bands(firing, range);
    drawn.push_str(&thresholds(fields, &scale));
    // Areas of many curves on one another are a dark block.
    let filled = stacked || (fields.custom.fill_opacity > 0.0 && curves.len() <= FEW);
    for (index, curve) in curves.iter().enumerate() {
        let shown = if stacked { sums(&below[index], &below[index + 1], curve) } else { plain(curve) };
        drawn.push_str(&drawing(&shown, index, range, &scale, filled));
    }
    let label = format!("{}: {} curves", panel.title, curves.len());
    let frame = Frame { range, ys: labels(&scale, &fields.unit), label: &label };
    format!("{}{}{}", frame.html(&drawn), legend(curves, &fields.unit), told(curves, range, &fields.unit))
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

fn thresholds(fields: &FieldDefaults, scale: &Scale) -> String {
    let mut text = String::new();
    if fields.custom.thresholds_style.mode != "line" {
        return text;
    }
    for step in &fields.thresholds.steps {
        let Some(value) = step.value.filter(|it| *it > scale.low && *it < scale.high) else { continue };
        let y = y(scale.place(value));
        add(
            &mut text,
            format_args!(r#"<path class="threshold is-{}" d="M0 {y}H1000"/>"#, escaped(&step.color)),
        );
    }
    text
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
pub(super) fn told(curves: &[Curve], range: Range, unit: &str) -> String {
    let text = |value: &Option<f64>| value.map(|value| unit::text(value, unit));
    let series: Vec<Value> = curves
        .iter()
        .enumerate()
        .map(|(index, curve)| {
            json!([curve.name, color(index), curve.values.iter().map(text).collect::<Vec<_>>()])
        })
        .collect();
    let json = json!({"start": range.start, "step": range.step, "end": range.end, "series": series});
    // No end of the script can stand in it.
    let json = json.to_string().replace('<', "\\u003c");
    format!(r#"<script type="application/json">{json}</script>"#)
}

/// The last value of each curve with what led to it.
pub(super) fn stat(panel: &Panel, curves: &[Curve], range: Range) -> String {
    let fields = &panel.fields.defaults;
    let mut text = String::new();
    for (index, curve) in curves.iter().enumerate() {
        let last = curve.last();
        let color = last.map_or("none", |value| fields.thresholds.color(value));
        let shown = last.map_or_else(|| "–".into(), |value| unit::text(value, &fields.unit));
        let name = if curves.len() > 1 { escaped(&curve.name) } else { String::new() };
        add(&mut text, format_args!(r#"<p class="value is-{}"><b>{shown}</b> {name}</p>"#, escaped(color)));
        let high = curve.finite().fold(0.0, f64::max);
        let scale = Scale::around(0.0, high, (fields.min, fields.max), 1000.0);
        let drawn = drawing(&plain(curve), index, range, &scale, true);
        add(
            &mut text,
            format_args!(
                r#"<svg class="spark" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>"#
            ),
        );
    }
    text
}

/// A row for each series: its labels, then what each query has.
pub(super) fn table(panel: &Panel, asked: &[Asked<'_>]) -> String {
    let unit = &panel.fields.defaults.unit;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut rows: BTreeMap<Vec<(&str, &str)>, Vec<Option<f64>>> = BTreeMap::new();
    for (column, it) in asked.iter().enumerate() {
        for series in &it.series {
            let labels = series.labels.iter().filter(|(name, _)| *name != "__name__");
            let labels: Vec<(&str, &str)> = labels.map(|(a, b)| (a.as_str(), b.as_str())).collect();
            names.extend(labels.iter().map(|(name, _)| name));
            let row = rows.entry(labels).or_insert_with(|| vec![None; asked.len()]);
            row[column] = series.values.last().map(|(_, value)| *value);
        }
    }
    let mut text = String::from(r#"<div class="table"><table><thead><tr>"#);
    for name in &names {
        add(&mut text, format_args!("<th>{}</th>", escaped(name)));
    }
    for it in asked {
        let name = if it.target.legend.is_empty() { "value" } else { &it.target.legend };
        add(&mut text, format_args!(r#"<th class="number">{}</th>"#, escaped(name)));
    }
    text.push_str("</tr></thead><tbody>");
    for (labels, values) in rows {
        text.push_str("<tr>");
        for name in &names {
            let value = labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value);
            add(&mut text, format_args!("<td>{}</td>", escaped(value)));
        }
        for value in values {
            let value = value.map_or_else(|| "–".into(), |value| unit::text(value, unit));
            add(&mut text, format_args!(r#"<td class="number">{value}</td>"#));
        }
        text.push_str("</tr>");
    }
    text + "</tbody></table></div>"
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
