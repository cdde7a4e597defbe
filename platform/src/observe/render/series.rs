//! Curves, single values and tables.

use std::collections::{BTreeMap, BTreeSet};

use super::Asked;
use crate::observe::dashboard::{FieldDefaults, Panel};
use crate::report::plot::{Band, Curve, Lines, Range, add, escaped, spark, steps, unit};

/// The curves of all queries of a panel.
pub(super) fn curves(panel: &Panel, asked: &[Asked<'_>], range: Range) -> Vec<Curve> {
    let all = asked.iter().flat_map(|it| it.series.iter().map(move |series| (it, series)));
    all.map(|(it, series)| Curve {
        name: name(&it.target.legend, &series.labels, &panel.title),
        values: steps(&series.values, range),
    })
    .collect()
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
pub(super) fn lines(panel: &Panel, curves: &[Curve], range: Range, bands: Vec<Band>) -> String {
    let fields = &panel.fields.defaults;
    let plot = Lines {
        title: &panel.title,
        unit: &fields.unit,
        bounds: (fields.min, fields.max),
        stacked: fields.custom.stacking.mode == "normal",
        filled: fields.custom.fill_opacity > 0.0,
        thresholds: thresholds(fields),
        bands,
    };
    plot.html(curves, range)
}

fn thresholds(fields: &FieldDefaults) -> Vec<(f64, &str)> {
    if fields.custom.thresholds_style.mode != "line" {
        return Vec::new();
    }
    fields.thresholds.steps.iter().filter_map(|step| Some((step.value?, step.color.as_str()))).collect()
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
        text.push_str(&spark(curve, index, range, (fields.min, fields.max)));
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
mod tests {
    use super::*;

    #[test]
    fn a_legend_is_filled_as_grafana_does() {
        let labels = BTreeMap::from([("pod".into(), "m-1".into()), ("role".into(), "model".into())]);
        assert_eq!(name("{{role}} {{pod}}", &labels, "T"), "model m-1");
        assert_eq!(name("p95 {{node}}", &labels, "T"), "p95");
        assert_eq!(name("", &labels, "T"), "pod=m-1 role=model");
        assert_eq!(name("", &BTreeMap::new(), "T"), "T");
    }
}
