//! A number with its unit.

use serde::{Serialize, Serializer};

/// What a nutrient is given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    #[serde(rename = "kcal")]
    Kilocalorie,
    #[serde(rename = "mg")]
    Milligram,
    #[serde(rename = "g")]
    Gram,
}

/// As in `{"value": 0.5, "unit": "g"}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Amount {
    #[serde(serialize_with = "plain")]
    pub value: f64,
    pub unit: Unit,
}

impl Amount {
    pub fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }
}

/// Whole numbers without a fraction: 505, not 505.0.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serialize_with takes")]
fn plain<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    /// The tokens hold fewer digits than would lose any of them.
    #[expect(clippy::cast_possible_truncation, reason = "whole, and far below the range's end")]
    fn whole(value: f64) -> Option<i64> {
        (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64)
    }
    match whole(*value) {
        Some(whole) => serializer.serialize_i64(whole),
        None => serializer.serialize_f64(*value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_has_no_fraction_in_json() {
        let json = |value| serde_json::to_string(&Amount::new(value, Unit::Gram)).unwrap();
        assert_eq!(json(505.0), r#"{"value":505,"unit":"g"}"#);
        assert_eq!(json(0.5), r#"{"value":0.5,"unit":"g"}"#);
    }
}
