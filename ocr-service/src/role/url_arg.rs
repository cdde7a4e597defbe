//! An address on the command line or in the environment, refused without being repeated: it may hold a password.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use reqwest::Url;

/// Parses with `parse`; a refusal names the flag and the variable, and says why.
#[derive(Clone)]
pub struct UrlArg<T> {
    pub names: &'static str,
    pub parse: fn(&str) -> Result<T, String>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for UrlArg<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        (self.parse)(&value.to_string_lossy()).map_err(|why| {
            command.clone().error(clap::error::ErrorKind::ValueValidation, format!("{}: {why}", self.names))
        })
    }
}

/// A base address of another service, without a slash at its end: paths are put behind it.
pub fn base(text: &str) -> Result<Url, String> {
    let mut url: Url = text.trim().parse().map_err(|error| format!("{error}; write http://HOST:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("the address begins with http:// or https://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds no user name and no password; write http://HOST:PORT".into());
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// `path` (with its slash) behind a base address, whatever that ends with.
pub fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!("{}{path}", base.path().trim_end_matches('/'));
    url.set_path(&joined);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_behind_the_bases_own() {
        for text in ["http://a:1/x", "http://a:1/x/", "http://a:1/x?y"] {
            assert_eq!(under(&base(text).unwrap(), "/translate").as_str(), "http://a:1/x/translate");
        }
    }

    #[test]
    fn what_is_no_base_address_is_refused() {
        for text in ["a:80", "ftp://a", "http://user:hunter2@a", ""] {
            assert!(!base(text).unwrap_err().contains("hunter2"));
        }
    }
}
