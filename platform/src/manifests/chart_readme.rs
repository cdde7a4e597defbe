//! The chart's README: its table of values is made from `values.yaml`, so that neither can say what the other does not.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CHART, Drift, stale};
use crate::error::{Doing, Error, Result};
use crate::host::write_atomically;

const BEGIN: &str = "<!-- values: made from values.yaml by `cargo xtask render` -->\n";
const END: &str = "<!-- end of values -->\n";

/// One key of `values.yaml`.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// As `gateway.service.type`.
    path: String,
    /// What stands above it.
    comment: String,
    /// As JSON; none where further keys follow under it.
    default: Option<String>,
}

/// How the committed README differs from what would be rendered.
pub fn check(root: &Path) -> Result<Vec<Drift>> {
    let (path, committed, rendered) = both(root)?;
    Ok(stale(path, &committed, &rendered).into_iter().collect())
}

/// Writes the README, and returns its path where it changed.
pub fn render(root: &Path) -> Result<Option<PathBuf>> {
    let (path, committed, rendered) = both(root)?;
    if committed == rendered {
        return Ok(None);
    }
    write_atomically(&path, rendered.as_bytes())?;
    Ok(Some(path))
}

fn both(root: &Path) -> Result<(PathBuf, String, String)> {
    let read = |path: &Path| std::fs::read_to_string(path).doing(format!("reading {}", path.display()));
    let chart = root.join(CHART);
    let path = chart.join("README.md");
    let committed = read(&path)?;
    let rendered = filled(&committed, &read(&chart.join("values.yaml"))?)?;
    Ok((path, committed, rendered))
}

/// The README with its part between the marks replaced.
fn filled(readme: &str, values: &str) -> Result<String> {
    let parts = readme
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
    let (before, after) = parts.ok_or_else(|| {
        Error::malformed(
            format!("{CHART}/README.md"),
            "the marks around its values are missing",
            "restore it: git checkout charts/ocr-app/README.md",
        )
    })?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(&entries(values)?)))
}

fn table(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let Entry { path, comment, default } = entry;
        // Writing to a String cannot fail.
        let _ = match default {
            None if !path.contains('.') => {
                writeln!(text, "\n### {path}\n\n{comment}\n\n| value | default | what it is |\n|---|---|---|")
            }
            None => writeln!(text, "| `{path}` | | {} |", cell(comment)),
            Some(default) if !path.contains('.') => {
                writeln!(text, "\n### {path}\n\n{comment} Default: `{default}`")
            }
            Some(default) => writeln!(text, "| `{path}` | `{}` | {} |", cell(default), cell(comment)),
        };
    }
    format!("{}\n\n", text.trim_end())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn entries(values: &str) -> Result<Vec<Entry>> {
    let malformed = |error: String| Error::malformed(format!("{CHART}/values.yaml"), error, "correct it");
    let document: Value = serde_yaml::from_str(values).map_err(|error| malformed(error.to_string()))?;
    let (mut found, mut comment) = (Vec::new(), Vec::new());
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in values.lines() {
        let (indent, content) = (line.len() - line.trim_start().len(), line.trim());
        if let Some(said) = content.strip_prefix('#') {
            comment.push(said.trim());
            continue;
        }
        let said = std::mem::take(&mut comment).join(" ");
        let Some((key, rest)) = content.split_once(':').filter(|_| !content.starts_with('-')) else {
            continue;
        };
        above.retain(|(outer, _)| *outer < indent);
        above.push((indent, key));
        // What has no comment belongs to the key above it.
        if said.is_empty() {
            continue;
        }
        let keys: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
        let value = document
            .pointer(&format!("/{}", keys.join("/")))
            .ok_or_else(|| malformed(format!("{} is not where it seems", keys.join("."))))?;
        // Resources are named as a whole, however they are laid out.
        let is_section = rest.trim().is_empty() && value.is_object() && key != "resources";
        let default = (!is_section).then(|| value.to_string());
        found.push(Entry { path: keys.join("."), comment: said, default });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "# About the file.\n\n# The entry.\ngateway:\n  # Pods,\n  # at least | one.\n  replicas: 2\n  \
                          # The Service.\n  service:\n    # Type.\n    type: NodePort\n  # Taints.\n  tolerations:\n    \
                          - {key: a}\n  # Reserved.\n  resources:\n    requests: {cpu: 1}\n";

    #[test]
    fn every_key_with_a_comment_has_a_row_with_its_default() {
        let readme = format!("# Head\n{BEGIN}old\n{END}Tail\n");
        let filled = filled(&readme, VALUES).unwrap();
        let rows = [
            "\n### gateway\n\nThe entry.\n\n| value | default | what it is |\n|---|---|---|\n",
            "| `gateway.replicas` | `2` | Pods, at least \\| one. |\n",
            "| `gateway.service` | | The Service. |\n",
            "| `gateway.service.type` | `\"NodePort\"` | Type. |\n",
            "| `gateway.tolerations` | `[{\"key\":\"a\"}]` | Taints. |\n",
            "| `gateway.resources` | `{\"requests\":{\"cpu\":1}}` | Reserved. |\n",
        ];
        for row in rows {
            assert!(filled.contains(row), "{row} in {filled}");
        }
        assert!(filled.starts_with("# Head\n") && filled.ends_with("Tail\n") && !filled.contains("old"));
        assert!(!filled.contains("About the file"));
    }

    #[test]
    fn a_readme_without_its_marks_is_refused() {
        assert!(filled("# Head\n", VALUES).unwrap_err().to_string().contains("marks"));
    }

    #[test]
    fn the_committed_readme_is_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root).unwrap(), []);
    }
}
