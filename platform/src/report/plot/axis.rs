//! Where the lines of a scale go.

use k8s_openapi::jiff::Timestamp;

use super::{Clock, Range};

/// A scale of values from `low` to `high`, and where it has lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
}

impl Scale {
    /// Round numbers around what is shown; a given bound is kept.
    pub fn around(low: f64, high: f64, bounds: (Option<f64>, Option<f64>), base: f64) -> Self {
        let low = bounds.0.unwrap_or(low);
        let mut high = bounds.1.unwrap_or(high);
        if high <= low {
            // One value, or none: room above it.
            high = low + if low == 0.0 { 1.0 } else { low.abs() };
        }
        let step = nice((high - low) / 4.0, base);
        let first = (low / step).floor();
        let last = (high / step - 1e-9).ceil();
        let (low, high) = (bounds.0.unwrap_or(first * step), bounds.1.unwrap_or(last * step));
        let within = |tick: &f64| *tick >= low - step * 1e-9 && *tick <= high + step * 1e-9;
        let ticks = every(first, 1.0, last).map(|at| at * step).filter(within).collect();
        Self { low, high, ticks }
    }

    /// From 0 at the bottom to 1 at the top; what lies beyond stays at the edge.
    pub fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The next of 1, 2, 2.5, 5 and their multiples; powers of two where counted in 1024.
fn nice(step: f64, base: f64) -> f64 {
    if base > 1000.0 {
        return step.log2().ceil().exp2();
    }
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|it| it * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// Moments with a label, at whole seconds, minutes, hours or nines.
pub(crate) fn moments(range: Range) -> Vec<(f64, String)> {
    let steps = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0,
        43200.0, 86400.0,
    ];
    let wanted = (range.end - range.start) / 5.0;
    let step = steps.into_iter().find(|it| *it >= wanted).unwrap_or(86400.0 * (wanted / 86400.0).ceil());
    let form = match step {
        step if step < 60.0 => "%H:%M:%S",
        step if step < 43200.0 => "%H:%M",
        _ => "%m-%d %H:%M",
    };
    let label = |at: f64| match range.clock {
        Clock::Utc => clock(at, form),
        // Without a minus before the zero.
        Clock::FromStart => format!("{:.0} s", at + 0.0),
        Clock::Quantile => format!("{} %", (1.0 - 10_f64.powf(-at)) * 100.0),
    };
    every((range.start / step).ceil() * step, step, range.end).map(|at| (at, label(at))).collect()
}

fn every(first: f64, step: f64, last: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), move |at| Some(at + step)).take_while(move |at| *at <= last)
}

/// A moment in UTC, in strftime's words.
pub(crate) fn clock(seconds: f64, form: &str) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "times of the present are far from the ends of i64")]
    Timestamp::from_second(seconds as i64).map(|it| it.strftime(form).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_has_round_numbers_and_keeps_given_bounds() {
        let scale = Scale::around(0.0, 0.83, (Some(0.0), None), 1000.0);
        assert_eq!((scale.low, scale.high), (0.0, 1.0));
        assert_eq!(scale.ticks, [0.0, 0.25, 0.5, 0.75, 1.0]);
        let share = Scale::around(0.2, 0.4, (Some(0.0), Some(1.0)), 1000.0);
        assert_eq!((share.low, share.high, share.place(0.5)), (0.0, 1.0, 0.5));
        let bytes = Scale::around(0.0, 700.0 * 1024.0 * 1024.0, (Some(0.0), None), 1024.0);
        assert_eq!(bytes.ticks[..2], [0.0, 256.0 * 1024.0 * 1024.0]);
    }

    #[test]
    fn one_value_alone_has_room_above_it() {
        assert!(Scale::around(0.0, 0.0, (Some(0.0), None), 1000.0).high >= 1.0);
        assert!(Scale::around(5.0, 5.0, (None, None), 1000.0).high > 5.0);
    }

    #[test]
    fn moments_lie_at_whole_minutes() {
        let range = Range { start: 1_000_000_010.0, end: 1_000_001_810.0, step: 15.0, clock: Clock::Utc };
        let labels: Vec<String> = moments(range).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["01:50", "02:00", "02:10"]);
        let run = Range { start: 0.0, end: 10.0, step: 1.0, clock: Clock::FromStart };
        let labels: Vec<String> = moments(run).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]);
    }
}
