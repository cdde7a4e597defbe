//! Durations on the command line: a number and its unit.

use std::time::Duration;

/// "500ms", "30s" or "2m".
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no duration; write a number and ms, s or m, as in 30s");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("2m"), Ok(Duration::from_mins(2)));
    }

    #[test]
    fn a_number_alone_or_a_unit_alone_is_refused() {
        for text in ["30", "s", "", "1h", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
