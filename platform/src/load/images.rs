//! What is sent: images of a folder in turn, each a form that was made once, and the text that each has to give.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Payload;
use crate::error::{Doing, Error, Result};

/// Endings of files that the service reads.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp"];
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
        let (to_its_end, rest) = self.form.body.split_at(self.end);
        let body = [to_its_end, &number.to_le_bytes(), rest].concat();
        Payload { headers: self.form.headers.clone(), body: body.into() }
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

/// The image in a file, or all in a folder by their names. `NAME.txt` beside `NAME.png` has the text to be expected.
pub fn read(path: &Path) -> Result<Vec<Image>> {
    let images = if path.is_dir() { in_folder(path)? } else { vec![path.to_owned()] };
    if images.is_empty() {
        let what = format!("{} holds no image", path.display());
        return Err(Error::usage(what, format!("put images into it, ending in {}", ENDINGS.join(", "))));
    }
    images.iter().map(|path| image(path)).collect()
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("listing {}", folder.display());
    let entries = std::fs::read_dir(folder).doing(doing())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.doing(doing())?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn image(path: &Path) -> Result<Image> {
    let bytes = std::fs::read(path).map_err(|error| {
        let what = format!("{} cannot be read: {error}", path.display());
        Error::usage(what, "name an image, or a folder of images: --image PATH")
    })?;
    let expected = match std::fs::read_to_string(path.with_extension("txt")) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).doing(format!("reading the text that belongs to {}", path.display()));
        }
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Image { expected, ..Image::new(name, bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> String {
        serde_json::json!({"text": text, "model": "ocr-model"}).to_string()
    }

    #[test]
    fn a_folders_images_come_by_name_with_the_texts_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("b.PNG", "b"), ("a.jpg", "a"), ("a.txt", "read me"), ("notes.md", "no")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let images = read(folder.path()).unwrap();
        assert_eq!(images.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["a.jpg", "b.PNG"]);
        assert_eq!(images[0].expected.as_deref(), Some("read me"));
        assert_eq!(images[1].expected, None);
    }

    #[test]
    fn a_folder_without_images_and_a_file_that_is_not_there_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("holds no image"));
        let error = read(&folder.path().join("none.png")).unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Usage);
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
