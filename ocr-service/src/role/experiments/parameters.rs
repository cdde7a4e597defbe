//! What an experiment is asked with, parsed: a name, a learning rate, a number of epochs.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Before the name of an experiment in the name of its Job.
pub const JOB_PREFIX: &str = "experiment-";

/// A Job's name is also a label of its pods, and labels have at most 63 characters.
const LONGEST_ID: usize = 63 - JOB_PREFIX.len();

/// A name that can be part of a Kubernetes object's name and of a path: a DNS label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ExperimentId(String);

impl ExperimentId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn job(&self) -> String {
        format!("{JOB_PREFIX}{self}")
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ExperimentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inside = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let whole = (1..=LONGEST_ID).contains(&text.len()) && text.as_bytes().iter().all(inside);
        if whole && !text.starts_with('-') && !text.ends_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "experiment_id must be 1 to {LONGEST_ID} of a-z, 0-9 and -, with a letter or digit first and last, as in run-7"
        ))
    }
}

/// Above 0 and at most [`LearningRate::MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LearningRate(f64);

impl LearningRate {
    pub const MOST: f64 = 10.0;

    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for LearningRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().parse().ok();
        number.filter(|rate| *rate > 0.0 && *rate <= Self::MOST).map(Self).ok_or_else(|| {
            format!("learning_rate must be a number above 0 and at most {}, as in 0.001", Self::MOST)
        })
    }
}

/// 1 to [`Epochs::MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Epochs(u32);

impl Epochs {
    pub const MOST: u32 = 10_000;

    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for Epochs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().parse().ok();
        number
            .filter(|epochs| (1..=Self::MOST).contains(epochs))
            .map(Self)
            .ok_or_else(|| format!("epoch must be a whole number from 1 to {}, as in 20", Self::MOST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_or_a_traversal_is_no_experiment_id() {
        let long = "a".repeat(LONGEST_ID + 1);
        for text in
            ["", ".", "..", "../a", "a/b", "/etc", "a b", "A", "a_b", "-a", "a-", "a.b", "é", "a\0", &long]
        {
            assert!(text.parse::<ExperimentId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_longest_id_still_makes_a_jobs_name_that_fits_a_label() {
        let id: ExperimentId = "a".repeat(LONGEST_ID).parse().unwrap();
        assert_eq!(id.job().len(), 63);
    }

    #[test]
    fn only_finite_numbers_within_bounds_are_learning_rates() {
        for text in ["0", "-0.1", "NaN", "inf", "10.1", "fast", "", "0,1", "1e400"] {
            assert!(text.parse::<LearningRate>().is_err(), "{text}");
        }
        assert!((" 1e-3 ".parse::<LearningRate>().unwrap().get() - 0.001).abs() < f64::EPSILON);
    }

    #[test]
    fn only_whole_numbers_within_bounds_are_epochs() {
        for text in ["0", "-1", "1.5", "10001", "99999999999999999999", "", "ten"] {
            assert!(text.parse::<Epochs>().is_err(), "{text}");
        }
        assert_eq!("20".parse::<Epochs>().unwrap().get(), 20);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_as_an_id_is_one_plain_path_component(text in ".{0,70}") {
            if let Ok(id) = text.parse::<ExperimentId>() {
                let components: Vec<_> = std::path::Path::new(id.as_str()).components().collect();
                prop_assert_eq!(components.len(), 1);
                prop_assert!(matches!(components[0], std::path::Component::Normal(_)));
            }
        }
    }
}
