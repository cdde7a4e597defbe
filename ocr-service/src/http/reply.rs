//! What callers get who send an image in a form: the text, and beside it what they asked for.

use serde_json::{Map, Value};

use crate::engine::Output;

/// `{"text": …}`, and for another output its value under its own name: a list for words, else a string.
pub fn body(text: String, beside: Option<(Output, String)>) -> Value {
    let mut body = Map::from_iter([("text".to_owned(), Value::from(text))]);
    if let Some((output, rendered)) = beside {
        let value = match output {
            Output::Words => serde_json::from_str(&rendered).unwrap_or_default(),
            Output::Text | Output::Hocr | Output::Tsv => Value::from(rendered),
        };
        body.insert(output.name().to_owned(), value);
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_default_reply_has_the_text_and_nothing_else() {
        assert_eq!(body("Platen".into(), None), json!({ "text": "Platen" }));
    }

    #[test]
    fn words_are_a_list_and_tables_a_string() {
        let words = body("a".into(), Some((Output::Words, r#"[{"text":"a"}]"#.into())));
        assert_eq!(words, json!({ "text": "a", "words": [{ "text": "a" }] }));
        let table = body("a".into(), Some((Output::Tsv, "level\t".into())));
        assert_eq!(table, json!({ "text": "a", "tsv": "level\t" }));
    }
}
