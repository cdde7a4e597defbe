//! The contexts of the user's kubeconfig: which there are, which is current, and another one made current.

use std::path::{Path, PathBuf};

use kube::config::Kubeconfig;
use serde::Serialize;

use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};

/// One context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Context {
    pub name: String,
    pub current: bool,
    /// The address of its API server.
    pub server: String,
    /// The profile of this checkout that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// The user's kubeconfig; one that is not there holds nothing.
pub fn read() -> Result<Kubeconfig> {
    use kube::config::KubeconfigError::ReadConfig;
    match Kubeconfig::read() {
        Ok(kubeconfig) => Ok(kubeconfig),
        Err(ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Kubeconfig::default())
        }
        Err(error) => Err(Error::usage(
            format!("the kubeconfig cannot be read: {error}"),
            "mend it, or set KUBECONFIG to another file",
        )),
    }
}

/// All contexts, in the order of the kubeconfig.
pub fn list(host: &Host) -> Result<Vec<Context>> {
    let held = read()?;
    let ours = crate::up::contexts(host)?;
    let server = |cluster: &str| {
        let of = held.clusters.iter().find(|it| it.name == cluster)?;
        of.cluster.as_ref()?.server.clone()
    };
    let contexts = held.contexts.iter().map(|it| Context {
        current: held.current_context.as_deref() == Some(it.name.as_str()),
        server: it.context.as_ref().and_then(|context| server(&context.cluster)).unwrap_or_default(),
        profile: ours.iter().find(|(context, _)| *context == it.name).map(|(_, profile)| profile.clone()),
        name: it.name.clone(),
    });
    Ok(contexts.collect())
}

/// Makes a context current; true where it was not before. Nothing else in the file is touched.
pub fn make_current(name: &str) -> Result<bool> {
    let held = read()?;
    let known: Vec<&str> = held.contexts.iter().map(|it| it.name.as_str()).collect();
    if !known.contains(&name) {
        return Err(unknown(name, &known));
    }
    if held.current_context.as_deref() == Some(name) {
        return Ok(false);
    }
    let path = file()?;
    let by_hand = format!("do it by hand: kubectl config use-context {name}");
    let text = std::fs::read_to_string(&path).doing(format!("reading {}", path.display()))?;
    let changed = with_current(&text, name).ok_or_else(|| {
        let what = format!("{} is written in a way that is not changed here", path.display());
        Error::usage(what, by_hand)
    })?;
    let permissions = std::fs::metadata(&path).map(|file| file.permissions());
    // A link stays one: what it leads to is replaced.
    let target = path.canonicalize().doing(format!("reading {}", path.display()))?;
    write_atomically(&target, changed.as_bytes())?;
    if let Ok(permissions) = permissions {
        std::fs::set_permissions(&target, permissions).doing(format!("writing {}", target.display()))?;
    }
    Ok(true)
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let nearest = known.iter().map(|it| (strsim::damerau_levenshtein(name, it), it)).min();
    let hint = match nearest {
        None => "the kubeconfig holds no context at all; make a cluster: cargo xtask up --provider kind"
            .to_owned(),
        Some((distance, nearest)) if distance <= 3 => format!("did you mean {nearest}?"),
        Some(_) => format!("it holds: {}", known.join(", ")),
    };
    Error::usage(format!("the kubeconfig holds no context {name}"), hint)
}

/// The file whose current context counts, by kubectl's rule: the first of KUBECONFIG that names one, else the first.
fn file() -> Result<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let files: Vec<PathBuf> =
        std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    let names_one = |path: &&PathBuf| {
        Kubeconfig::read_from(path).is_ok_and(|it| it.current_context.is_some_and(|name| !name.is_empty()))
    };
    let chosen = files.iter().find(names_one).or_else(|| files.iter().find(|path| path.is_file()));
    if let Some(path) = chosen {
        return Ok(path.clone());
    }
    let home = std::env::var_os("HOME").ok_or_else(|| {
        Error::machine("there is no home folder with a kubeconfig", "set KUBECONFIG to a file")
    })?;
    Ok(Path::new(&home).join(".kube/config"))
}

/// The text with another current context; `None` where that cannot be done without touching anything else.
fn with_current(text: &str, name: &str) -> Option<String> {
    const KEY: &str = "current-context:";
    let value = serde_json::to_string(name).ok()?;
    // A plain word needs no quotes, and kubectl writes none.
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&name.to_ascii_lowercase().as_str());
    let line = format!("{KEY} {}", if plain { name } else { &value });
    let mut found = 0;
    let mut lines: Vec<String> = text
        .split_inclusive('\n')
        .map(|old| {
            if !old.starts_with(KEY) {
                return old.to_owned();
            }
            found += 1;
            format!("{line}{}", if old.ends_with("\r\n") { "\r\n" } else { "\n" })
        })
        .collect();
    if found == 0 {
        if lines.last().is_some_and(|last| !last.ends_with('\n')) {
            lines.push("\n".into());
        }
        lines.push(format!("{line}\n"));
    }
    let changed = lines.concat();
    same_but_current(text, &changed, name).then_some(changed)
}

fn same_but_current(before: &str, after: &str, name: &str) -> bool {
    let read = |text: &str| serde_yaml::from_str::<serde_json::Value>(text).ok();
    let (Some(mut before), Some(mut after)) = (read(before), read(after)) else { return false };
    let is_set = after["current-context"] == name;
    for value in [&mut before, &mut after] {
        if let Some(map) = value.as_object_mut() {
            map.remove("current-context");
        }
    }
    is_set && before == after
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiVersion: v1\n# mine\ncontexts:\n- context: {cluster: a, user: a}\n  name: a\n\
                        current-context: a\nusers: []\n";

    #[test]
    fn only_the_line_of_the_current_context_changes() {
        let changed = with_current(TEXT, "kind-platen").unwrap();
        assert_eq!(changed, TEXT.replace("current-context: a", "current-context: kind-platen"));
    }

    #[test]
    fn a_file_that_names_none_gets_a_line() {
        let without = TEXT.replace("current-context: a\n", "");
        assert_eq!(with_current(&without, "a").unwrap(), format!("{without}current-context: a\n"));
    }

    #[test]
    fn a_name_with_strange_characters_is_quoted() {
        let name = "arn:aws:eks:eu:1:cluster/x";
        let changed = with_current(TEXT, name).unwrap();
        assert!(changed.contains(&format!("current-context: \"{name}\"\n")), "{changed}");
    }

    #[test]
    fn a_file_that_is_written_otherwise_is_not_touched() {
        assert_eq!(with_current(r#"{"apiVersion": "v1", "current-context": "a"}"#, "b"), None);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert_eq!(unknown("kind-platn", &["a", "kind-platen"]).hint().unwrap(), "did you mean kind-platen?");
        assert_eq!(unknown("something", &["a", "b"]).hint().unwrap(), "it holds: a, b");
        assert!(unknown("something", &[]).hint().unwrap().contains("no context at all"));
    }
}
