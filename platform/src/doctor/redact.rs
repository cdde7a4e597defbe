//! Takes secrets out of what is shown or handed on.

use std::path::Path;

const GONE: &str = "***";
/// A name with one of these in it stands for a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api-key", "api_key", "apikey", "credential"];
/// What may follow such a word in the name of something that is none: the name of a Secret, its place, its kind.
const HARMLESS_ENDS: [&str; 8] =
    ["name", "names", "ref", "keyref", "s", "key.ref", "expirationseconds", "namespace"];
/// Schemes of the header Authorization.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];
/// Shorter values of `.env` stand anywhere by chance.
const SHORTEST: usize = 5;

/// Knows the secrets of this machine's `.env`, and how others look.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
}

impl Redactor {
    /// With every secret that stands in `.env` in `root`.
    pub fn of(root: &Path) -> Self {
        let entries = dotenvy::from_path_iter(root.join(".env")).into_iter().flatten().flatten();
        Self::knowing(entries.filter(|(name, _)| is_secret(name)).map(|(_, value)| value))
    }

    /// With these values, wherever they stand.
    pub fn knowing(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= SHORTEST).collect();
        // The longest first: one may be a part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { values }
    }

    /// The same text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut in_key = false;
        let mut lines = Vec::new();
        for line in text.lines() {
            if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
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
        let named = SECRET_WORDS.iter().fold(known, |line, word| without_value_of(&line, word));
        let headed = SCHEMES.iter().fold(named, |line, scheme| without_word_behind(&line, scheme));
        headed.split_inclusive(' ').map(|word| without_tokens(&without_userinfo(word))).collect()
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

fn without_word_behind(line: &str, before: &str) -> String {
    let Some(start) = line.to_ascii_lowercase().find(before) else { return line.to_owned() };
    let from = start + before.len();
    let rest = &line[from..];
    let end = rest.find([' ', '"', '\'', ',']).unwrap_or(rest.len());
    // Of a sentence with this word in it nothing is taken: a credential is longer than a word.
    if end < 12 {
        return line.to_owned();
    }
    format!("{}{GONE}{}", &line[..from], &rest[end..])
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
        let value = if HARMLESS_ENDS.contains(&suffix) { None } else { value_at(line, name_end, is_flag) };
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

/// Where the value behind a name that ends at `at` begins and ends.
fn value_at(line: &str, at: usize, is_flag: bool) -> Option<(usize, usize)> {
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
    } else {
        let end = line[start..].find([' ', ',', '&', '}', '"', '\'', ';']).unwrap_or(line.len() - start);
        (start, start + end)
    };
    // A reference to a file or a structure below is no value; a path in a URL is none either.
    let value = &line[start..end];
    let nothing = value.is_empty() || matches!(value, "{" | "[" | "null" | "true" | "false" | "|" | ">");
    (!nothing && !value.starts_with("//")).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_behind_secret_names_go_however_they_are_written() {
        let cases = [
            ("DB_PASSWORD=hunter2 DB_USER=me", "DB_PASSWORD=*** DB_USER=me"),
            ("password = \"two words\" # mine", "password = \"***\" # mine"),
            (r#"{"token":"abc","other":1}"#, r#"{"token":"***","other":1}"#),
            ("serve --token abc123 --port 80", "serve --token *** --port 80"),
            ("serve --api-key=abc123", "serve --api-key=***"),
            ("NAVER_OCR_SECRET_KEY: c2VjcmV0", "NAVER_OCR_SECRET_KEY: ***"),
            ("GET /x?access_token=abc&page=2", "GET /x?access_token=***&page=2"),
            ("authorization: Bearer abcdefghijklmnop", "authorization: Bearer ***"),
            ("pull http://me:pw@registry/x now", "pull http://***@registry/x now"),
            ("http://a:b@x,http://c:d@y/z", "http://***@x,http://***@y/z"),
            ("oci://registry/x@sha256:12", "oci://registry/x@sha256:12"),
            ("got eyJhbGciOi.eyJzdWIi.c2ln and went", "got *** and went"),
        ];
        for (text, wanted) in cases {
            assert_eq!(Redactor::default().text(text), wanted);
        }
    }

    #[test]
    fn names_of_secrets_and_sentences_about_them_stay() {
        let redactor = Redactor::default();
        for text in [
            "secretName: ocr-server-env",
            "secret \"regcred\" not found",
            "the pod names no pull secret",
            "an unexpected token in line 3",
            "basic usage: see the manual",
        ] {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn values_of_the_environment_file_go_wherever_they_stand() {
        let dir = tempfile::tempdir().unwrap();
        let env = "DB_PASSWORD=correct-horse\nDB_USER=somebody\nNAVER_OCR_SECRET_KEY=bluebird\n";
        std::fs::write(dir.path().join(".env"), env).unwrap();
        let redactor = Redactor::of(dir.path());
        assert_eq!(
            redactor.text("a line with correct-horse, bluebird and somebody"),
            "a line with ***, *** and somebody"
        );
    }

    #[test]
    fn a_private_key_goes_with_all_its_lines() {
        let text =
            "before\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nafter\n";
        assert_eq!(Redactor::default().text(text), "before\n***\nafter\n");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,80}", value in "[a-zA-Z0-9]{5,20}") {
            let redactor = Redactor::knowing([value.clone()]);
            let shown = redactor.text(&format!("{text} {value} password={value} {text}"));
            prop_assert!(!shown.contains(&value) || GONE.contains(&value));
        }
    }
}
