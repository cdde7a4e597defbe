//! A heat map: how many requests took how long, at each moment.

use serde_json::Value;

use super::Asked;
use crate::observe::dashboard::Panel;
use crate::report::plot::{Band, Curve, Frame, Range, add, bands, steps, told, unit, x, y};

/// A bucket of a histogram: its upper bound, and how many fell into it at each step.
#[derive(Debug, PartialEq)]
struct Bucket {
    bound: f64,
    counts: Vec<Option<f64>>,
}

pub(super) fn map(panel: &Panel, asked: &[Asked<'_>], range: Range, firing: &[Band]) -> String {
    let unit = panel.options.pointer("/yAxis/unit").and_then(Value::as_str).unwrap_or("short");
    let buckets = filled(buckets(asked, range));
    let most = buckets.iter().flat_map(|it| it.counts.iter().flatten()).copied().fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a histogram has few buckets")]
    let row = |index: usize| index as f64 / buckets.len() as f64;
    let mut drawn = bands(firing, range);
    for (index, bucket) in buckets.iter().enumerate() {
        let (top, bottom) = (y(row(index + 1)), y(row(index)));
        for (place, count) in bucket.counts.iter().enumerate() {
            let Some(count) = count.filter(|count| *count > most * 1e-3) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a place in a short list")]
            let from = range.start + (place as f64 - 1.0) * range.step;
            let (from, to) = (x(range, from.max(range.start)), x(range, from + range.step));
            // Few requests are to be seen beside many.
            let heat = 0.12 + 0.88 * (count / most).sqrt();
            add(
                &mut drawn,
                format_args!(
                    r#"<path class="heat" fill-opacity="{heat:.2}" d="M{from} {top}H{to}V{bottom}H{from}Z"/>"#
                ),
            );
        }
    }
    let ys = buckets.iter().enumerate().map(|(index, it)| (row(index + 1), unit::text(it.bound, unit)));
    let label = format!("{}: {} buckets", panel.title, buckets.len());
    let frame = Frame { range, ys: every_other(ys.collect()), label: &label };
    let scale = format!(
        r#"<p class="scale">few <i></i> many (up to {} in a bucket at once)</p>"#,
        unit::text(most.round(), "short")
    );
    let curves: Vec<Curve> = buckets
        .into_iter()
        .rev()
        .map(|it| Curve {
            name: format!("≤ {}", unit::text(it.bound, unit)),
            values: it.counts.into_iter().map(|count| count.filter(|count| *count >= 0.05)).collect(),
        })
        .collect();
    format!("{}{scale}{}", frame.html(&drawn), told(&curves, range, "short"))
}

/// Prometheus' buckets count all that is not above their bound; these count what is between two bounds.
fn buckets(asked: &[Asked<'_>], range: Range) -> Vec<Bucket> {
    let series = asked.iter().flat_map(|it| &it.series);
    let mut list: Vec<Bucket> = series
        .filter_map(|it| {
            let bound = it.labels.get("le")?.parse().ok()?;
            Some(Bucket { bound, counts: steps(&it.values, range) })
        })
        .collect();
    list.sort_by(|a, b| a.bound.total_cmp(&b.bound));
    for index in (1..list.len()).rev() {
        let (smaller, rest) = list.split_at_mut(index);
        let Some(below) = smaller.last() else { continue };
        for (count, under) in rest[0].counts.iter_mut().zip(&below.counts) {
            *count = count.map(|count| (count - under.unwrap_or(0.0)).max(0.0));
        }
    }
    list
}

/// From the first to the last that anything fell into, and one more on either side.
fn filled(mut buckets: Vec<Bucket>) -> Vec<Bucket> {
    let has = |it: &Bucket| it.counts.iter().flatten().any(|count| *count > 0.0);
    let (Some(first), Some(last)) = (buckets.iter().position(has), buckets.iter().rposition(has)) else {
        return buckets;
    };
    buckets.truncate(last + 2);
    buckets.drain(..first.saturating_sub(1));
    buckets
}

/// Labels of many rows would lie on one another.
fn every_other(labels: Vec<(f64, String)>) -> Vec<(f64, String)> {
    let every = labels.len().div_ceil(8).max(1);
    labels.into_iter().rev().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::observe::dashboard::Target;
    use crate::observe::prometheus::Series;
    use crate::report::plot::Clock;

    #[test]
    fn buckets_count_what_lies_between_two_bounds() {
        let range = Range { start: 0.0, end: 15.0, step: 15.0, clock: Clock::Utc };
        let target = Target::default();
        let series = |le: &str, values: [f64; 2]| Series {
            labels: BTreeMap::from([("le".into(), le.into())]),
            values: vec![(0.0, values[0]), (15.0, values[1])],
        };
        let series = vec![
            series("+Inf", [5.0, 9.0]),
            series("0.5", [3.0, 0.0]),
            series("1", [5.0, 8.0]),
            series("0.1", [0.0, 0.0]),
            series("0.05", [0.0, 0.0]),
        ];
        let found = filled(buckets(&[Asked { target: &target, series }], range));
        let counts: Vec<_> = found.iter().map(|it| (it.bound, it.counts.clone())).collect();
        let some = |a, b| vec![Some(a), Some(b)];
        let expected = [
            (0.1, some(0.0, 0.0)),
            (0.5, some(3.0, 0.0)),
            (1.0, some(2.0, 8.0)),
            (f64::INFINITY, some(0.0, 1.0)),
        ];
        assert_eq!(counts, expected);
    }
}
