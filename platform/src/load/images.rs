//! Images of a file or folder, and the texts beside them.

use std::path::{Path, PathBuf};

use super::Image;
use crate::error::{Doing, Error, Result};

/// Endings of files that the service reads.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp"];

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
    let mut image = Image::new(name, bytes);
    image.expected = expected;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
