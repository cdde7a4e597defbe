//! Whether a text that was read is right: as near to what stands on the image as the bare library reads it.

use std::collections::HashMap;
use std::sync::Mutex;

use super::picture::Picture;

/// How much further from the truth than the bare library's a text may be: decoders differ in a pixel here and there.
const SLACK: f64 = 0.02;

/// Edits for each character of the truth (Levenshtein), runs of white space counting as one space.
pub fn error_rate(truth: &str, read: &str) -> f64 {
    let (edits, characters) = errors(truth, read);
    ratio(edits, characters.max(1))
}

/// The edits, and the characters of the truth.
pub fn errors(truth: &str, read: &str) -> (usize, usize) {
    let (truth, read) = (normalised(truth), normalised(read));
    (strsim::levenshtein(&truth, &read), truth.chars().count())
}

#[expect(clippy::cast_precision_loss, reason = "lengths of texts")]
pub fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

pub fn normalised(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Judges texts of one image; each different text once.
pub struct Judge {
    truth: &'static str,
    limit: f64,
    seen: Mutex<HashMap<String, Result<(), String>>>,
}

impl Judge {
    /// `reference` is the bare library's text.
    pub fn new(picture: Picture, reference: &str) -> Self {
        let truth = picture.truth();
        Self { truth, limit: error_rate(truth, reference) + SLACK, seen: Mutex::default() }
    }

    pub fn judge(&self, text: &str) -> Result<(), String> {
        let Ok(mut seen) = self.seen.lock() else { return Err("a judge panicked".into()) };
        if let Some(verdict) = seen.get(text) {
            return verdict.clone();
        }
        let rate = error_rate(self.truth, text);
        let verdict = if rate <= self.limit {
            Ok(())
        } else {
            Err(format!("character error rate {rate:.3}, at most {:.3} is right: {text:?}", self.limit))
        };
        seen.insert(text.to_owned(), verdict.clone());
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_no_error_and_each_wrong_character_is_one() {
        assert!(error_rate("a b\nc", " a\n\nb c ").abs() < f64::EPSILON);
        assert!((error_rate("나트륨 74%", "나트름 74") - 2.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn what_the_library_reads_is_right_and_nothing_is_not() {
        let reference = "나트륨 11480 mg Sodium 74%\n";
        let judge = Judge::new(Picture::Line, reference);
        assert_eq!(judge.judge(reference), Ok(()));
        assert_eq!(judge.judge(Picture::Line.truth()), Ok(()));
        for wrong in ["", "Sodium", "영양정보 나트륨 11480 mg Sodium 74%"] {
            assert!(judge.judge(wrong).unwrap_err().contains("error rate"), "{wrong}");
            assert!(judge.judge(wrong).is_err(), "the second time too");
        }
    }
}
