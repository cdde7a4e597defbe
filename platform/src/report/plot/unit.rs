//! Values as a person reads them, by the names that Grafana has for units.

/// A value with its unit, with three digits that count.
pub(crate) fn text(value: f64, unit: &str) -> String {
    if value.is_nan() {
        return "–".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞".into() } else { "−∞".into() };
    }
    match unit {
        "s" => seconds(value),
        "percentunit" => format!("{} %", number(value * 100.0)),
        "percent" => format!("{} %", number(value)),
        "bytes" => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
        "reqps" => format!("{} req/s", number(value)),
        "bool_yes_no" => {
            if value == 0.0 {
                "no".into()
            } else {
                "yes".into()
            }
        }
        _ => scaled(value, 1000.0, &["", "K", "Mio", "Bio"]),
    }
}

fn seconds(value: f64) -> String {
    let (factor, name) = match value.abs() {
        0.0 => (1.0, "s"),
        v if v < 0.001 => (1e6, "µs"),
        v if v < 1.0 => (1e3, "ms"),
        v if v < 120.0 => (1.0, "s"),
        v if v < 7200.0 => (1.0 / 60.0, "min"),
        _ => (1.0 / 3600.0, "h"),
    };
    format!("{} {name}", number(value * factor))
}

fn scaled(value: f64, base: f64, names: &[&str]) -> String {
    let mut value = value;
    let mut names = names.iter();
    let mut name = names.next().copied().unwrap_or_default();
    for next in names {
        if value.abs() < base {
            break;
        }
        value /= base;
        name = next;
    }
    format!("{} {name}", number(value)).trim_end().to_owned()
}

/// Without digits that say nothing.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.replace('-', "−") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_with_the_unit_that_suits_their_size() {
        for (value, unit, expected) in [
            (0.0, "s", "0 s"),
            (0.000_25, "s", "250 µs"),
            (0.412_3, "s", "412 ms"),
            (2.5, "s", "2.5 s"),
            (300.0, "s", "5 min"),
            (0.0512, "percentunit", "5.12 %"),
            (1536.0, "bytes", "1.5 KiB"),
            (268_435_456.0, "bytes", "256 MiB"),
            (12.34, "reqps", "12.3 req/s"),
            (3.0, "short", "3"),
            (1_250_000.0, "short", "1.25 Mio"),
            (-0.5, "short", "−0.5"),
            (f64::NAN, "s", "–"),
            (f64::INFINITY, "s", "∞"),
        ] {
            assert_eq!(text(value, unit), expected);
        }
    }
}
