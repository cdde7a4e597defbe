//! Whether what was read back is what was sent.

use serde_json::Value;

/// As many differences as help a person.
const TOLD: usize = 5;

/// Where `found` lacks what is in `sent`, or has it otherwise. What Grafana adds of its own is no difference.
pub(super) fn differences(sent: &Value, found: &Value) -> Vec<String> {
    let mut list = Vec::new();
    compare(sent, found, "", &mut list);
    if list.len() > TOLD {
        let more = list.len() - TOLD;
        list.truncate(TOLD);
        list.push(format!("and {more} more"));
    }
    list
}

fn compare(sent: &Value, found: &Value, path: &str, list: &mut Vec<String>) {
    match (sent, found) {
        (Value::Object(sent), Value::Object(found)) => {
            for (key, value) in sent {
                compare(value, found.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), list);
            }
        }
        (Value::Array(sent), Value::Array(found)) if sent.len() == found.len() => {
            for (index, (sent, found)) in sent.iter().zip(found).enumerate() {
                compare(sent, found, &format!("{path}[{index}]"), list);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if sent == found || (is_nothing(sent) && is_nothing(found)) => {}
        _ => list.push(format!("{path} is {}", short(found))),
    }
}

/// Grafana leaves out what is empty.
fn is_nothing(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(59).chain(['…']).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_added_is_no_difference_and_what_is_changed_is_named() {
        let sent = json!({"title": "T", "links": [], "panels": [{"id": 1, "w": 2.0}], "tags": ["a"]});
        let found =
            json!({"title": "T", "panels": [{"id": 1, "w": 2, "more": true}], "tags": ["a"], "id": 7});
        assert_eq!(differences(&sent, &found), Vec::<String>::new());
        let changed = json!({"title": "U", "panels": [{"id": 1, "w": 3}], "tags": []});
        assert_eq!(differences(&sent, &changed), [".panels[0].w is 3", ".tags is []", ".title is \"U\""]);
    }
}
