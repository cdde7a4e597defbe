//! `.env` in the working directory: settings and secrets that are not in the environment yet.

use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    /// The line's content is not shown: it may be a secret.
    #[error("{path} line {line} is not NAME=value; mend that line")]
    Line { path: String, line: usize },
    #[error("cannot read {path}: {source}; mend or remove the file")]
    Read { path: String, source: dotenvy::Error },
}

/// Adds what `path` sets to the environment; what the environment has already stays. No file is fine.
///
/// Call it before any thread is started: the environment must not change under one.
pub fn load(path: &Path) -> Result<(), EnvFileError> {
    let shown = || path.display().to_string();
    match dotenvy::from_path(path) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::LineParse(text, _)) => {
            Err(EnvFileError::Line { path: shown(), line: number_of(path, &text) })
        }
        Err(source) => Err(EnvFileError::Read { path: shown(), source }),
    }
}

/// The first line that holds `text`, from 1; 0 if it cannot be told.
fn number_of(path: &Path, text: &str) -> usize {
    let content = std::fs::read_to_string(path).unwrap_or_default();
    content.lines().position(|line| line.trim() == text.trim()).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_is_named_by_number_and_its_content_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "# settings\nNAVER_OCR_SECRET_KEY 'hunter2\n").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn no_file_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        load(&folder.path().join(".env")).unwrap();
    }
}
