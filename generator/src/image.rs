//! One image as it is sent: a form that was made once, and the text that it has to give.

use std::borrow::Cow;

use serde::Deserialize;

use super::Payload;
use super::http::Message;

/// The service's field.
const FIELD: &str = "image_file";

/// One image, ready to be sent again and again.
#[derive(Debug, Clone)]
pub struct Image {
    pub name: String,
    /// The form, made once; its file is the image as it is.
    form: Payload,
    /// Where the image ends in the form.
    end: usize,
    /// What it has to be read as; `None` until that is known.
    pub expected: Option<String>,
}

impl Image {
    pub fn new(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Self {
        let name = name.into();
        let (form, end) = Payload::form_with_end(FIELD, &name, bytes.as_ref());
        Self { name, form, end, expected: None }
    }

    #[must_use]
    pub fn expecting(self, text: impl Into<String>) -> Self {
        Self { expected: Some(text.into()), ..self }
    }

    /// The form. With `fresh` the file gets that number behind its end, where no reader of images looks: so the service
    /// has never seen it, and reads it anew.
    pub fn payload(&self, fresh: Option<u64>) -> Payload {
        let Some(number) = fresh else { return self.form.clone() };
        self.message(&number.to_le_bytes()).payload()
    }

    /// The form with this behind the image.
    pub(super) fn message<'a>(&'a self, behind: &'a [u8]) -> Message<'a> {
        let (to_its_end, rest) = self.form.body.split_at(self.end);
        Message { headers: &self.form.headers, parts: [to_its_end, behind, rest] }
    }

    /// Whether a body says the expected text, but for white space.
    pub fn judge(&self, body: &[u8]) -> Result<(), String> {
        let Some(expected) = &self.expected else { return Ok(()) };
        match serde_json::from_slice::<Answer<'_>>(body) {
            Ok(Answer { text }) if text.split_whitespace().eq(expected.split_whitespace()) => Ok(()),
            Ok(_) => Err("wrong text".into()),
            Err(_) => Err("no text in the answer".into()),
        }
    }
}

/// What the gateway and the OCR server answer, as far as it is looked at.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// The text in an answer of the gateway or the OCR server.
pub fn text_of(body: &[u8]) -> Option<String> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    Some(answer.text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> String {
        serde_json::json!({"text": text, "model": "ocr-model"}).to_string()
    }

    #[test]
    fn only_the_expected_text_is_good() {
        let image = Image::new("line.png", "png").expecting("Platen 1\n");
        assert_eq!(image.judge(answer("Platen  1").as_bytes()), Ok(()));
        assert_eq!(image.judge(answer("Platen 2").as_bytes()), Err("wrong text".into()));
        assert!(image.judge(b"<html>").unwrap_err().contains("no text"));
    }

    #[test]
    fn a_fresh_image_has_other_bytes_and_the_same_beginning() {
        let image = Image::new("line.png", "png");
        let fresh = |number| image.payload(Some(number)).body;
        assert_ne!(fresh(1), fresh(2));
        assert_eq!(image.payload(None).body, image.payload(None).body);
        assert!(fresh(1).windows(7).any(|window| window == b"\r\n\r\npng"));
    }
}
