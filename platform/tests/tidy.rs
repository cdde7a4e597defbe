//! The house rules that rustfmt and clippy do not know. The length of functions is clippy's (`too_many_lines`, at the
//! threshold that is asserted here); a longer one carries `#[expect(clippy::too_many_lines, reason = "…")]`.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use syn::visit::Visit;

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: i64 = 60;
/// Of a file that a member may hold twice, in bytes.
const SMALL: u64 = 16 << 10;

/// Files that are longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Where a terminal is written to: nowhere else.
const PRINTERS: &[&str] = &["xtask/src/printer", "xtask/src/main.rs", "ocr-service/src/main.rs"];

/// Others in the libraries and the service that may name a terminal's streams. (The command hands them on.)
const STREAM_USERS: &[(&str, &str)] = &[("ocr-service/src/logging.rs", "the log goes to standard error")];

const STREAMS: &[&str] = &["stdout", "stderr"];

const PRINTS: &[&str] = &["println", "eprintln", "print", "eprint", "dbg"];

/// The modules over C libraries, which may be unsafe. Elsewhere the service is held by this list, the rest by `forbid`.
const UNSAFE: &[&str] = &[
    "ocr-service/src/engine/child/fork.rs",
    "ocr-service/src/engine/child/signals.rs",
    "ocr-service/src/engine/child/tesseract.rs",
    "ocr-service/src/engine/prepare/picture.rs",
];

/// Crates that a member may not depend on.
const FORBIDDEN_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("ocr-service", &["platen-generator", "platen-platform", "generator", "platform", "xtask"]),
    ("platform", &["xtask", "ocr-service"]),
    ("generator", &["platen-platform", "platform", "xtask", "ocr-service"]),
];

/// Folders that exist on the machine of one person.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

const COMMAND: &str = "cargo xtask";

const MEMBERS: [&str; 4] = ["xtask", "platform", "generator", "ocr-service"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files of the project with one of these extensions, by their path from the root.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let skipped = ["target", ".git", ".platen", "node_modules"];
    let root = root();
    let walk = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| !skipped.iter().any(|name| entry.file_name() == *name));
    let mut found = Vec::new();
    for entry in walk.map(Result::unwrap).filter(|entry| entry.file_type().is_file()) {
        let extension = entry.path().extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !extensions.contains(&extension) {
            continue;
        }
        let name = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        found.push((name, std::fs::read_to_string(entry.path()).unwrap()));
    }
    found
}

fn sources() -> Vec<(String, String)> {
    let sources: Vec<_> = files(&["rs"]);
    assert!(sources.len() > MEMBERS.len(), "the sources were not found under {}", root().display());
    sources
}

#[track_caller]
fn assert_none(found: &[String], rule: &str) {
    let mut list = String::new();
    for line in found {
        writeln!(list, "  {line}").unwrap();
    }
    assert!(found.is_empty(), "{rule}:\n{list}");
}

#[test]
fn every_module_says_first_what_it_is_for() {
    let silent = |(name, text): (String, String)| (!text.starts_with("//! ")).then_some(name);
    let found: Vec<_> = sources().into_iter().filter_map(silent).collect();
    assert_none(&found, "the first line of a module is a //! comment");
}

#[test]
fn files_are_short_or_have_a_reason() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        let (lines, listed) = (text.lines().count(), LONG_FILES.iter().any(|(file, _)| *file == name));
        if lines > LONGEST_FILE && !listed {
            found.push(format!("{name} has {lines} lines, at most {LONGEST_FILE}; or list it with a reason"));
        }
        if lines <= LONGEST_FILE && listed {
            found.push(format!("{name} is short enough: take it off the list"));
        }
    }
    assert_none(&found, "files are short");
}

#[test]
fn clippy_holds_functions_to_their_length() {
    let clippy: toml::Table = std::fs::read_to_string(root().join("clippy.toml")).unwrap().parse().unwrap();
    assert_eq!(clippy["too-many-lines-threshold"].as_integer(), Some(LONGEST_FUNCTION));
}

/// Collects prints and `#[allow]`s.
#[derive(Default)]
struct Forbidden {
    prints: Vec<String>,
    streams: Vec<String>,
    allows: Vec<String>,
}

impl<'ast> Visit<'ast> for Forbidden {
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if PRINTS.contains(&name.as_str()) {
            self.prints.push(name);
        }
        syn::visit::visit_macro(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let [.., module, stream] = &*names
            && module == "io"
            && STREAMS.contains(&stream.as_str())
        {
            self.streams.push(stream.clone());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_use_path(&mut self, path: &'ast syn::UsePath) {
        if path.ident == "io" {
            self.streams.extend(streams_in(&path.tree));
        }
        syn::visit::visit_use_path(self, path);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("allow") {
            self.allows.push("allow".into());
        }
        syn::visit::visit_attribute(self, attribute);
    }
}

/// The streams that are imported from `io`.
fn streams_in(tree: &syn::UseTree) -> Vec<String> {
    let name = match tree {
        syn::UseTree::Name(name) => &name.ident,
        syn::UseTree::Rename(rename) => &rename.ident,
        syn::UseTree::Group(group) => return group.items.iter().flat_map(streams_in).collect(),
        syn::UseTree::Path(_) | syn::UseTree::Glob(_) => return Vec::new(),
    };
    STREAMS.iter().filter(|stream| name == **stream).map(ToString::to_string).collect()
}

fn forbidden_in(text: &str) -> Forbidden {
    let mut forbidden = Forbidden::default();
    forbidden.visit_file(&syn::parse_file(text).unwrap());
    forbidden
}

#[test]
fn only_the_printers_print() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if !PRINTERS.iter().any(|printer| name.starts_with(printer)) {
            let forbidden = forbidden_in(&text);
            found.extend(forbidden.prints.iter().map(|print| format!("{name}: {print}!")));
            let may_stream = name.starts_with("xtask/") || STREAM_USERS.iter().any(|(file, _)| *file == name);
            if !may_stream {
                found.extend(forbidden.streams.iter().map(|stream| format!("{name}: io::{stream}")));
            }
        }
    }
    assert_none(&found, "what happens is told as an event, or traced");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let allows = |(name, text): (String, String)| (!forbidden_in(&text).allows.is_empty()).then_some(name);
    let found: Vec<_> = sources().into_iter().filter_map(allows).collect();
    assert_none(&found, "#[expect(…, reason = \"…\")] instead of #[allow]");
}

#[test]
fn only_the_modules_over_c_libraries_are_unsafe() {
    let lint = concat!("expect(unsafe", "_code");
    let expects = sources().into_iter().filter(|(_, text)| text.contains(lint)).map(|(name, _)| name);
    let found: Vec<_> = expects.filter(|name| !UNSAFE.contains(&name.as_str())).collect();
    assert_none(&found, "what is unsafe stands in a small module over one library");
}

#[test]
fn the_rules_see_what_they_forbid() {
    let forbidden =
        forbidden_in("#![allow(dead_code)]\nfn f() { std::println!(\"x\"); let _ = \"println!()\"; }");
    assert_eq!((forbidden.prints.len(), forbidden.allows.len()), (1, 1));
    let streams = forbidden_in(
        "use std::io::{self, Write, stdout as out}; use tokio::io::stderr; fn stdout() {} \
         fn f() { io::stdout(); std::io::stderr(); stdout(); }",
    );
    assert_eq!(streams.streams.len(), 4, "{:?}", streams.streams);
}

fn manifest(member: &str) -> toml::Table {
    std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap().parse().unwrap()
}

/// Every table of dependencies of a manifest, those for one target included.
fn dependencies(manifest: &toml::Table) -> Vec<(&String, &toml::Value)> {
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let scopes = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    std::iter::once(manifest)
        .chain(scopes)
        .flat_map(|scope| tables.iter().filter_map(|table| scope.get(*table)?.as_table()))
        .flatten()
        .collect()
}

#[test]
fn dependencies_are_named_once_in_the_workspace() {
    let mut found = Vec::new();
    for member in MEMBERS {
        let manifest = manifest(member);
        for (name, dependency) in dependencies(&manifest) {
            if dependency.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                found.push(format!("{member}: {name}"));
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
            found.push(format!("{member}: [lints] workspace = true"));
        }
    }
    assert_none(&found, "a member's dependency is `NAME.workspace = true`");
}

#[test]
fn the_crates_depend_only_downwards() {
    let mut found = Vec::new();
    for (member, forbidden) in FORBIDDEN_DEPENDENCIES {
        let manifest = manifest(member);
        let names = dependencies(&manifest).into_iter().map(|(name, _)| name);
        found.extend(
            names.filter(|name| forbidden.contains(&name.as_str())).map(|name| format!("{member}: {name}")),
        );
    }
    assert_none(&found, "the service knows nothing of the toolkit, the library nothing of the command");
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    let mut found = Vec::new();
    for (name, text) in files(&["rs", "toml", "yaml", "yml", "j2", "tpl", "json", "sh", "md", "txt"]) {
        for (number, line) in text.lines().enumerate() {
            if MACHINE_PATHS.iter().any(|path| line.contains(path)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none(&found, "paths are relative, or read from the environment");
}

/// The large files below `folder` that are there already under another name. A link is no copy.
fn copies(folder: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| entry.file_name() != "target").map(Result::unwrap);
    let files = walk.filter(|entry| entry.file_type().is_file() && entry.metadata().unwrap().len() > SMALL);
    let (mut seen, mut found) = (HashMap::new(), Vec::new());
    for path in files.map(walkdir::DirEntry::into_path) {
        if let Some(before) = seen.insert(std::fs::read(&path).unwrap(), path.clone()) {
            found.push(format!("{} is {}", path.display(), before.display()));
        }
    }
    found
}

#[test]
fn no_member_holds_a_large_file_twice() {
    let found: Vec<_> = MEMBERS.iter().flat_map(|member| copies(&root().join(member))).collect();
    assert_none(&found, "of two equal files one is a link to the other");
}

#[test]
fn the_rule_of_copies_tells_a_copy_from_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("large"), vec![0; 20 << 10]).unwrap();
    std::fs::write(at("other"), vec![1; 20 << 10]).unwrap();
    std::os::unix::fs::symlink("large", at("link")).unwrap();
    assert!(copies(folder.path()).is_empty());
    std::fs::copy(at("large"), at("copy")).unwrap();
    assert_eq!(copies(folder.path()).len(), 1);
}

/// The subcommands that the command line has, as they are typed.
fn subcommands() -> Vec<String> {
    let cli = std::fs::read_to_string(root().join("xtask/src/cli.rs")).unwrap();
    let commands = syn::parse_file(&cli).unwrap().items.into_iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "Command" => Some(item),
        _ => None,
    });
    commands.unwrap().variants.iter().map(|variant| variant.ident.to_string().to_lowercase()).collect()
}

/// The word after each mention of the command; none where an option or the end of the sentence follows.
fn named_subcommands(line: &str) -> Vec<&str> {
    let rests = line.split(COMMAND).skip(1);
    let words = rests.filter_map(|rest| {
        let rest = rest.strip_prefix(' ')?;
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()
    });
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

#[test]
fn only_subcommands_that_exist_are_named() {
    let known = subcommands();
    assert!(known.contains(&"up".to_owned()), "{known:?}");
    let mut found = Vec::new();
    for (name, text) in files(&["rs", "toml", "yaml", "yml", "j2", "tpl", "json", "sh", "md", "txt"]) {
        for (number, line) in text.lines().enumerate() {
            let unknown = named_subcommands(line).into_iter().filter(|word| !known.iter().any(|k| k == word));
            found.extend(unknown.map(|word| format!("{name}:{}: {word}", number + 1)));
        }
    }
    assert_none(&found, "a hint names a command that exists");
}

#[test]
fn the_rule_of_subcommands_sees_the_word_behind_the_command() {
    let line = format!("run: {COMMAND} doctor, `{COMMAND}` builds, {COMMAND} --help, {COMMAND} up");
    assert_eq!(named_subcommands(&line), ["doctor", "up"]);
}
