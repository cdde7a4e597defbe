//! What a caller may choose about one recognition. Everything is checked against a list before it reaches Tesseract,
//! whose own variables can name files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::prepare::Preparation;

/// A language, or several joined by `+` in order of preference: `kor+eng` and `eng+kor` give different text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Language(String);

impl Language {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Language {
    type Err = OptionError;

    /// Names of trained data are file names to Tesseract: only letters, digits and `_` can be in one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if text.split('+').all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(OptionError::MalformedLanguage(text.to_owned()))
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tesseract's page segmentation mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Segmentation(u8);

impl Segmentation {
    /// Fully automatic, Tesseract's own default on the command line.
    pub const AUTO: Self = Self(3);
    /// One block of lines of text.
    pub const BLOCK: Self = Self(6);
    /// Without the modes that need the orientation data (0, 1, 2, 12), which the image does not carry.
    const ALLOWED: [u8; 10] = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13];

    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Segmentation {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(mode) if Self::ALLOWED.contains(&mode) => Ok(Self(mode)),
            _ => Err(OptionError::UnknownSegmentation(text.to_owned())),
        }
    }
}

impl fmt::Display for Segmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Pixels per inch of the sent image, for images that do not say it themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dpi(u16);

impl Dpi {
    /// What Tesseract takes for plausible.
    const ALLOWED: std::ops::RangeInclusive<u16> = 70..=2400;

    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for Dpi {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(dpi) if Self::ALLOWED.contains(&dpi) => Ok(Self(dpi)),
            _ => Err(OptionError::ImplausibleDpi(text.to_owned())),
        }
    }
}

/// What is wanted beside the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Output {
    #[default]
    Text,
    /// Each word with its confidence and its box.
    Words,
    /// The page as hOCR, an HTML with boxes.
    Hocr,
    /// The page as Tesseract's table of boxes.
    Tsv,
}

impl Output {
    /// As callers and replies name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Words => "words",
            Self::Hocr => "hocr",
            Self::Tsv => "tsv",
        }
    }
}

impl FromStr for Output {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Text, Self::Words, Self::Hocr, Self::Tsv];
        let named = known.into_iter().find(|output| output.name() == text);
        named.ok_or_else(|| OptionError::UnknownOutput(text.to_owned()))
    }
}

/// The options of one recognition, complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Options {
    pub language: Language,
    /// None where nobody named one: the image decides.
    pub segmentation: Option<Segmentation>,
    pub preparation: Preparation,
    pub dpi: Option<Dpi>,
    pub output: Output,
}

/// What callers may choose from, and what they get when they choose nothing.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Never empty; the first is the default.
    languages: Vec<Language>,
    segmentation: Option<Segmentation>,
    preparation: Preparation,
}

impl Allowed {
    pub fn new(
        default: Language,
        others: Vec<Language>,
        segmentation: Option<Segmentation>,
        preparation: Preparation,
    ) -> Self {
        let mut languages = vec![default];
        languages.extend(others);
        Self { languages, segmentation, preparation }
    }

    pub fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// The options for what a caller asked, each missing choice filled in.
    pub fn choose(&self, asked: &Asked) -> Result<Options, OptionError> {
        let language = match asked.lang.as_deref() {
            None => &self.languages[0],
            Some(lang) => self
                .languages
                .iter()
                .find(|known| known.as_str() == lang)
                .ok_or_else(|| self.unknown_language(lang))?,
        };
        let segmentation = asked.psm.as_deref().map(str::parse).transpose()?.or(self.segmentation);
        let dpi = asked.dpi.as_deref().map(str::parse).transpose()?;
        let output = asked.output.as_deref().map(str::parse).transpose()?.unwrap_or_default();
        Ok(Options { language: language.clone(), segmentation, preparation: self.preparation, dpi, output })
    }

    fn unknown_language(&self, lang: &str) -> OptionError {
        let known: Vec<_> = self.languages.iter().map(Language::as_str).collect();
        OptionError::UnknownLanguage { lang: lang.to_owned(), known: known.join(", ") }
    }
}

/// A caller's choices as they came, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Asked {
    pub lang: Option<String>,
    pub psm: Option<String>,
    pub dpi: Option<String>,
    pub output: Option<String>,
}

impl Asked {
    /// The options that callers may name, wherever they name them.
    pub const NAMES: [&str; 4] = ["lang", "psm", "dpi", "output"];

    /// The place of the option of this name, if there is one.
    pub fn named(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "lang" => Some(&mut self.lang),
            "psm" => Some(&mut self.psm),
            "dpi" => Some(&mut self.dpi),
            "output" => Some(&mut self.output),
            _ => None,
        }
    }

    /// Those that were named, with what was asked.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = [&self.lang, &self.psm, &self.dpi, &self.output];
        Self::NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("lang {lang:?} is not served here; choose one of {known}")]
    UnknownLanguage { lang: String, known: String },
    #[error("{0:?} is no language; write names of trained data joined by +, as in kor+eng")]
    MalformedLanguage(String),
    #[error("psm {0:?} is not served here; choose one of 3 to 11 or 13")]
    UnknownSegmentation(String),
    #[error("dpi {0:?} is not served here; write a number from 70 to 2400")]
    ImplausibleDpi(String),
    #[error("output {0:?} is not served here; choose one of text, words, hocr, tsv")]
    UnknownOutput(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        Allowed::new("kor+eng".parse().unwrap(), vec!["eng".parse().unwrap()], None, Preparation::On)
    }

    #[test]
    fn nothing_asked_gives_the_defaults() {
        let options = allowed().choose(&Asked::default()).unwrap();
        assert_eq!(options.language.as_str(), "kor+eng");
        assert_eq!((options.segmentation, options.dpi, options.output), (None, None, Output::Text));
    }

    #[test]
    fn a_language_outside_the_list_is_refused_with_the_list() {
        let asked = Asked { lang: Some("eng+kor".into()), ..Asked::default() };
        let error = allowed().choose(&asked).unwrap_err().to_string();
        assert!(error.contains("kor+eng, eng"), "{error}");
    }

    #[test]
    fn a_language_that_could_be_a_path_cannot_be_made() {
        for text in ["../eng", "eng+", "", "kor eng", "eng\0", "/etc/passwd", "eng.traineddata"] {
            assert!(text.parse::<Language>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn segmentation_modes_that_need_the_orientation_data_are_refused() {
        for text in ["0", "1", "2", "12", "14", "-1", "six", ""] {
            assert!(text.parse::<Segmentation>().is_err(), "{text:?}");
        }
        assert_eq!("6".parse::<Segmentation>().unwrap().number(), 6);
    }

    #[test]
    fn a_callers_mode_goes_before_the_services() {
        let allowed =
            Allowed::new("eng".parse().unwrap(), Vec::new(), Some("4".parse().unwrap()), Preparation::On);
        let mode = |psm: Option<&str>| {
            let asked = Asked { psm: psm.map(str::to_owned), ..Asked::default() };
            allowed.choose(&asked).unwrap().segmentation.unwrap().number()
        };
        assert_eq!((mode(None), mode(Some("6"))), (4, 6));
    }

    #[test]
    fn a_resolution_or_an_output_outside_its_list_is_refused_with_the_list() {
        for text in ["69", "2401", "-300", "300dpi", "", "70000"] {
            assert!(text.parse::<Dpi>().unwrap_err().to_string().contains("70 to 2400"), "{text:?}");
        }
        assert_eq!("2400".parse::<Dpi>().unwrap().number(), 2400);
        assert!("pdf".parse::<Output>().unwrap_err().to_string().contains("text, words, hocr, tsv"));
    }

    #[test]
    fn every_option_has_its_place_under_its_name() {
        let mut asked = Asked::default();
        for name in Asked::NAMES {
            *asked.named(name).unwrap() = Some(format!("a {name}"));
        }
        let given: Vec<_> = asked.given().map(|(name, value)| format!("{name} is {value}")).collect();
        assert_eq!(given, ["lang is a lang", "psm is a psm", "dpi is a dpi", "output is a output"]);
        assert!(asked.named("config").is_none());
    }
}
