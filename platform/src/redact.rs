//! Takes secrets out of what is shown or handed on.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

const GONE: &str = "***";
/// A name with one of these in it stands for a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api-key", "api_key", "apikey", "credential"];
/// What may follow such a word in the name of something that is none: the name of a Secret, its place, its kind.
const HARMLESS_ENDS: [&str; 7] =
    ["name", "names", "ref", "keyref", "key.ref", "expirationseconds", "namespace"];
/// Schemes of the header Authorization.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];
/// Names before a scheme whose value it begins, however short that is.
const HEADERS: [&str; 3] = ["authorization", "auth", "token"];
/// No word of a sentence about a scheme is as long.
const LONGER_THAN_WORDS: usize = 12;
/// Shorter values of `.env` and of the environment stand anywhere by chance.
const SHORTEST: usize = 5;

/// Knows the secrets of this machine's `.env` and of the environment, and how others look.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
}

impl Redactor {
    /// With every secret that the environment sets, or `.env` in `root`: either may be what is in use.
    pub fn of(root: &Path) -> Self {
        let environment = std::env::vars_os();
        Self::with(
            root,
            environment.filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok())),
        )
    }

    fn with(root: &Path, environment: impl Iterator<Item = (String, String)>) -> Self {
        let in_file = dotenvy::from_path_iter(root.join(".env")).into_iter().flatten().flatten();
        let entries = in_file.chain(environment);
        Self::knowing(entries.filter(|(name, _)| is_secret(name)).map(|(_, value)| value))
    }

    /// With these values, wherever they stand; of one with several lines, each line.
    pub fn knowing(values: impl IntoIterator<Item = String>) -> Self {
        let telling = |line: &str| line.len() >= SHORTEST && line != "false";
        let mut values: Vec<String> = values
            .into_iter()
            .flat_map(|value| value.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
            .filter(|line| telling(line))
            .collect();
        // The longest first: one may be a part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { values }
    }

    /// The same text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut in_key = false;
        // Of the lines below `password: |`: the column of the name, which they stand behind.
        let mut in_block = None;
        // Of the lines below a bare `password:`: the same.
        let mut below = None;
        let mut lines = Vec::new();
        for line in text.lines() {
            if in_block.is_some_and(|column| line.trim().is_empty() || indent(line) > column) {
                continue;
            }
            below = below.filter(|column| line.trim().is_empty() || is_below(line, *column));
            if let Some(hidden) = below.and_then(|_| without_scalar(line)) {
                lines.push(hidden);
                continue;
            }
            let block = block_of(line);
            let opens = key_of(line).filter(|(_, _, value)| matches!(*value, "" | "["));
            below = opens.map(|(column, ..)| column).or(below);
            in_block = block.map(|(column, _)| column);
            if let Some((column, colon)) = block {
                in_key = false;
                lines.push(format!("{}{}", self.line(&line[..colon]), &line[colon..]));
                lines.push(format!("{}{GONE}", " ".repeat(column + 2)));
            } else if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
                in_key = !line.contains("-----END");
                lines.push(GONE.to_owned());
            } else if in_key {
                in_key = !line.contains("-----END");
            } else {
                lines.push(self.line(line));
            }
        }
        let mut whole = lines.join("\n");
        if text.ends_with('\n') {
            whole.push('\n');
        }
        whole
    }

    fn line(&self, line: &str) -> String {
        let known = self.values.iter().fold(line.to_owned(), |line, value| line.replace(value, GONE));
        // The schemes first: behind a name, `Bearer` alone would be taken for the value.
        let headed = SCHEMES.iter().fold(known, |line, scheme| without_word_behind(&line, scheme));
        let named = SECRET_WORDS.iter().fold(headed, |line, word| without_value_of(&line, word));
        named.split_inclusive(' ').map(|word| without_tokens(&without_userinfo(word))).collect()
    }
}

/// Whether a variable of this name holds a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) || name.ends_with("_key")
}

/// `http://user:password@host` as `http://***@host`, in each address of the text.
pub fn without_userinfo(text: &str) -> String {
    const BEFORE: &str = "://";
    let (mut out, mut rest) = (String::new(), text);
    while let Some(found) = rest.find(BEFORE) {
        let (before, mut after) = rest.split_at(found + BEFORE.len());
        out.push_str(before);
        loop {
            let end = after.find(['/', '?', '#', '"', '\'', ' ']).unwrap_or(after.len());
            let authority = &after[..end];
            match authority.rfind('@') {
                Some(at) => out.extend([GONE, &authority[at..]]),
                None => out.push_str(authority),
            }
            after = &after[end..];
            // `…@host,http:` is followed by the next address of a list.
            match after.strip_prefix("//").filter(|_| authority.ends_with(':')) {
                Some(next) => {
                    out.push_str("//");
                    after = next;
                }
                None => break,
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A JSON Web Token (RFC 7519): three parts, the first of which begins an encoded JSON object.
fn without_tokens(word: &str) -> String {
    let Some(start) = word.find("eyJ") else { return word.to_owned() };
    let rest = &word[start..];
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let end = rest.find(|c| !is_of_token(c)).unwrap_or(rest.len());
    if rest[..end].matches('.').count() < 2 {
        return word.to_owned();
    }
    format!("{}{GONE}{}", &word[..start], &rest[end..])
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Of a line of YAML whose key stands for a secret: where the key begins, the colon, and what follows that.
fn key_of(line: &str) -> Option<(usize, usize, &str)> {
    let (name, value) = line.rsplit_once(':')?;
    let value = value.split_once(" #").map_or(value, |(value, _)| value).trim();
    let key = name.trim_start_matches([' ', '-']);
    let lower = key.trim_matches(['"', '\'']).to_ascii_lowercase();
    let is_harmless = HARMLESS_ENDS.iter().any(|end| lower.ends_with(end));
    let is_key = !lower.contains(' ') && is_secret(&lower) && !is_harmless;
    is_key.then(|| (name.len() - key.len(), name.len(), value))
}

/// Of a line that begins a block of YAML which is a secret's value (`password: |-`): where its name stands, and the colon.
fn block_of(line: &str) -> Option<(usize, usize)> {
    let (column, colon, value) = key_of(line)?;
    let is_block = value.starts_with(['|', '>']) && value[1..].bytes().all(|b| b"+-123456789".contains(&b));
    is_block.then_some((column, colon))
}

/// Whether a line belongs to the key in this column; items of a list may begin there as well.
fn is_below(line: &str, column: usize) -> bool {
    indent(line) > column || (indent(line) == column && line.trim_start().starts_with("- "))
}

/// A line that is a value or an item of a list, without it; none of one that has a key, and none of a bracket.
fn without_scalar(line: &str) -> Option<String> {
    let value = line.trim_start();
    let item = value.strip_prefix("- ").unwrap_or(value);
    let has_key = item.contains(": ") || item.ends_with(':') || item.starts_with(['{', '}', '[', ']']);
    let before = &line[..line.len() - item.len()];
    (!has_key && !item.is_empty()).then(|| format!("{before}{GONE}"))
}

/// What stands behind a scheme, each time, where it looks like a credential and not like the next word of a sentence.
fn without_word_behind(line: &str, scheme: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let (mut out, mut from) = (String::new(), 0);
    while let Some(found) = lower[from..].find(scheme) {
        let begin = from + found;
        let start = begin + scheme.len();
        let start = start + indent(&line[start..]);
        let rest = &line[start..];
        let end = start + rest.find([' ', '\t', '"', '\'', ',', ';']).unwrap_or(rest.len());
        out.push_str(&line[from..start]);
        if is_credential(&line[start..end], scheme, &lower[..begin]) {
            out.push_str(GONE);
            from = end;
        } else {
            from = start;
        }
    }
    out.push_str(&line[from..]);
    out
}

/// Whether `word` is a credential, by its length, its place behind the name of a header, or its letters: what `Basic`
/// carries is `user:password` in base64 (RFC 7617), and no word has digits or capitals in it.
fn is_credential(word: &str, scheme: &str, before: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    let name = before.trim_end_matches([' ', '"', '\'', ':', '=']);
    let is_header = name.len() < before.trim_end().len() && HEADERS.iter().any(|end| name.ends_with(end));
    let looks_so = if scheme.starts_with("basic") {
        let decoded = STANDARD.decode(word).or_else(|_| STANDARD_NO_PAD.decode(word));
        decoded.is_ok_and(|bytes| bytes.contains(&b':'))
    } else {
        word.bytes().skip(1).any(|b| b.is_ascii_uppercase()) || word.bytes().any(|b| b.is_ascii_digit())
    };
    word.len() >= LONGER_THAN_WORDS || is_header || looks_so
}

/// What stands behind a name with `word` in it and `=`, `:` or (of a flag) a space, in quotes or not.
fn without_value_of(line: &str, word: &str) -> String {
    let lower = line.to_ascii_lowercase();
    if lower.len() != line.len() {
        return line.to_owned();
    }
    let (mut out, mut from) = (String::new(), 0);
    while let Some(found) = lower[from..].find(word) {
        let start = from + found;
        let after = start + word.len();
        let name_end =
            lower[after..].find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
        let name_end = name_end.map_or(lower.len(), |end| after + end);
        let suffix = lower[after..name_end].trim_start_matches(['_', '-', '.']);
        let begin = line[..start].rfind([' ', '"', '\'', ',', '&', '?', '{']).map_or(0, |at| at + 1);
        let is_flag = line[begin..].starts_with("--");
        let value = if HARMLESS_ENDS.contains(&suffix) {
            None
        } else {
            value_at(line, name_end, is_flag, suffix == "s")
        };
        // `tokens: 512` counts them.
        let counts = |&(from, to): &(usize, usize)| {
            suffix == "s" && line[from..to].bytes().all(|b| b.is_ascii_digit())
        };
        let value = value.filter(|value| !counts(value));
        if let Some((value_start, value_end)) = value {
            out.push_str(&line[from..value_start]);
            out.push_str(GONE);
            from = value_end;
        } else {
            out.push_str(&line[from..name_end]);
            from = name_end;
        }
    }
    out.push_str(&line[from..]);
    out
}

/// Where the value behind a name that ends at `at` begins and ends; of `several`, all of them.
fn value_at(line: &str, at: usize, is_flag: bool, several: bool) -> Option<(usize, usize)> {
    let rest = &line[at..];
    let unquoted = rest.trim_start_matches(['"', '\'']);
    let spaces = |text: &str| text.len() - text.trim_start().len();
    let mut start = at + (rest.len() - unquoted.len());
    let gap = spaces(unquoted);
    match unquoted[gap..].chars().next() {
        Some('=' | ':') => start += gap + 1,
        Some(_) if is_flag && gap > 0 && unquoted.len() == rest.len() => {}
        _ => return None,
    }
    start += spaces(&line[start..]);
    let quote = line[start..].chars().next().filter(|c| matches!(c, '"' | '\''));
    let (start, end) = if let Some(quote) = quote {
        let start = start + 1;
        (start, line[start..].find(quote).map_or(line.len(), |end| start + end))
    } else if let Some(list) = line[start..].strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        // A list of structures has keys of its own.
        let end = if list.contains('{') { start } else { start + 1 + list.len() };
        (start + 1, end.max(start + 1))
    } else {
        let is_end = |c: char| matches!(c, ' ' | '&' | '}' | '"' | '\'' | ';') || (c == ',' && !several);
        let mut end = start + line[start..].find(is_end).unwrap_or(line.len() - start);
        // `abc, def` goes on behind the space.
        while several && line[start..end].ends_with(',') && line[end..].starts_with(' ') {
            let next = end + 1;
            end = next + line[next..].find(is_end).unwrap_or(line.len() - next);
        }
        (start, end)
    };
    // A reference to a file or a structure below is no value; a path in a URL is none either.
    let value = &line[start..end];
    let nothing =
        value.is_empty() || matches!(value, "{" | "[" | "[]" | "null" | "true" | "false" | "|" | ">");
    // Behind a scheme the credential is gone already.
    let is_scheme = SCHEMES.iter().any(|scheme| value.eq_ignore_ascii_case(scheme.trim_end()))
        && line[end..].trim_start().starts_with(GONE);
    (!nothing && !is_scheme && !value.starts_with("//")).then_some((start, end))
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
