//! What a caller may choose about one recognition. Everything is checked against a list before it reaches Tesseract,
//! whose own variables can name files.

use std::fmt;
use std::str::FromStr;

use super::prepare::Preparation;

/// A language, or several joined by `+` in order of preference: `kor+eng` and `eng+kor` give different text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segmentation(u8);

impl Segmentation {
    /// Fully automatic, Tesseract's own default on the command line.
    pub const AUTO: Self = Self(3);
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

/// The options of one recognition, complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    pub language: Language,
    /// None: found out for each picture.
    pub segmentation: Option<Segmentation>,
    pub preparation: Preparation,
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
        let segmentation = match asked.psm.as_deref() {
            None => self.segmentation,
            Some(psm) => Some(psm.parse()?),
        };
        Ok(Options { language: language.clone(), segmentation, preparation: self.preparation })
    }

    fn unknown_language(&self, lang: &str) -> OptionError {
        let known: Vec<_> = self.languages.iter().map(Language::as_str).collect();
        OptionError::UnknownLanguage { lang: lang.to_owned(), known: known.join(", ") }
    }
}

/// A caller's choices as they came, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Asked {
    pub lang: Option<String>,
    pub psm: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("lang {lang:?} is not served here; choose one of {known}")]
    UnknownLanguage { lang: String, known: String },
    #[error("{0:?} is no language; write names of trained data joined by +, as in kor+eng")]
    MalformedLanguage(String),
    #[error("psm {0:?} is not served here; choose one of 3 to 11 or 13")]
    UnknownSegmentation(String),
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
        assert_eq!(options.segmentation, None);
    }

    #[test]
    fn a_language_outside_the_list_is_refused_with_the_list() {
        let asked = Asked { lang: Some("eng+kor".into()), psm: None };
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
}
