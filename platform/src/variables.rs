//! Variables of the environment and of `.env`: logins and addresses that are no part of the configuration.

use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Host;

/// What the environment sets, and `.env` where it does not.
pub fn variables(host: &Host) -> Result<impl Fn(&str) -> Option<String>> {
    let in_file = env_file(&host.root.join(".env"))?;
    Ok(move |name: &str| {
        let set = std::env::var(name).ok();
        set.or_else(|| Some(in_file.iter().find(|(key, _)| key == name)?.1.clone()))
    })
}

/// What `.env` sets; no file sets nothing. A line's content is never told: it may be a secret.
fn env_file(path: &Path) -> Result<Vec<(String, String)>> {
    let read = dotenvy::from_path_iter(path).and_then(Iterator::collect);
    match read {
        Ok(lines) => Ok(lines),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(dotenvy::Error::Io(error)) => {
            Err(Error::usage(format!("{} cannot be read: {error}", path.display()), "mend or remove it"))
        }
        Err(_) => Err(Error::usage(
            format!("{} has a line that is not NAME=value", path.display()),
            "mend that line; a value with spaces stands in quotes",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_env_file_is_read_whole_or_refused_and_none_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert_eq!(env_file(&path).unwrap(), []);
        std::fs::write(&path, "REGISTRY_USER=me\nREGISTRY_PASSWORD 'hunter2\n").unwrap();
        let error = env_file(&path).unwrap_err().to_string();
        assert!(error.contains(".env") && !error.contains("hunter2"), "{error}");
        // A folder of that name gives an error at every read, for ever.
        assert!(env_file(folder.path()).unwrap_err().to_string().contains("cannot be read"));
    }
}
