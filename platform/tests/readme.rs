//! The Korean README says what the English one says: the same commands, settings and links, in the same order.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::path::Path;

fn text(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// The lines of all code blocks without their comments, which are in the reader's language.
fn code(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            // A key that has no default is a comment itself.
            let from = usize::from(line.starts_with('#'));
            let end = line[from..].find(['#', ';']).map_or(line.len(), |end| from + end);
            lines.push(line[..end].split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

/// Where links lead to, each once.
fn links(text: &str) -> std::collections::BTreeSet<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("README")).map(ToOwned::to_owned).collect()
}

/// What stands in backquotes outside of code blocks, each once: commands, flags, names.
fn names(text: &str) -> std::collections::BTreeSet<String> {
    let mut inside = false;
    let prose: String = text
        .lines()
        .filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !fence && !inside
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let quoted = prose.split('`').skip(1).step_by(2);
    quoted.map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn both_have_the_same_commands_and_settings() {
    assert_eq!(code(&text("README.ko.md")), code(&text("README.md")));
}

#[test]
fn both_lead_to_the_same_places() {
    assert_eq!(links(&text("README.ko.md")), links(&text("README.md")));
}

#[test]
fn both_name_the_same_things() {
    let (english, korean) = (names(&text("README.md")), names(&text("README.ko.md")));
    let missing: Vec<_> = english.difference(&korean).collect();
    let surplus: Vec<_> = korean.difference(&english).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing in Korean: {missing:?}; only there: {surplus:?}"
    );
}
