//! Where a chart does not render, read from what helm says.

use std::fmt;

/// A place in a template, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `ocr-app/templates/model.yaml`: the chart's name and the path in it.
    pub file: String,
    pub line: Option<u32>,
    /// The value or action that was evaluated, as `.Values.model.replicas`.
    pub at: Option<String>,
    pub why: String,
}

impl Fault {
    /// The first one in helm's words, which may stand in the middle of others; `None` where it is another failure.
    pub fn find(said: &str) -> Option<Self> {
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((_, rest)) = said.split_once("YAML parse error on ") {
            let (file, why) = rest.split_once(": ")?;
            let line = why.split_once("line ").and_then(|(_, rest)| number(rest));
            return Some(Self { file: file.to_owned(), line, at: None, why: why.to_owned() });
        }
        let begins = ["execution error at (", "parse error at (", "template: "];
        let (_, rest) = begins.iter().find_map(|begin| said.split_once(begin))?;
        let (place, why) = rest.split_once(": ")?;
        let mut place = place.trim_end_matches(')').splitn(3, ':');
        let file = place.next().filter(|file| file.contains("templates/"))?.to_owned();
        let line = place.next().and_then(number);
        // Of templates that call each other, the innermost one has the cause.
        let (at, why) = match why.rsplit_once(" at <").and_then(|(_, rest)| rest.split_once(">: ")) {
            Some((at, why)) => (Some(at.to_owned()), why),
            None => (None, why),
        };
        Some(Self { file, line, at, why: why.to_owned() })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "charts/{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(at) = &self.at {
            write!(f, ", at {at}")?;
        }
        write!(f, ": {}", self.why)
    }
}

fn number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(said: &str) -> String {
        Fault::find(said).unwrap().to_string()
    }

    #[test]
    fn file_line_and_value_are_named() {
        assert_eq!(
            found(
                "Error: template: ocr-app/templates/model.yaml:3:20: executing \"ocr-app/templates/model.yaml\" at \
                 <.Values.model.absent.deep>: nil pointer evaluating interface {}.deep"
            ),
            "charts/ocr-app/templates/model.yaml, line 3, at .Values.model.absent.deep: nil pointer evaluating interface {}.deep"
        );
        assert_eq!(
            found("Error: execution error at (ocr-app/templates/gateway.yaml:6:4): a gateway needs a model"),
            "charts/ocr-app/templates/gateway.yaml, line 6: a gateway needs a model"
        );
        assert_eq!(
            found("Error: parse error at (ocr-app/templates/gateway.yaml:3): unclosed action"),
            "charts/ocr-app/templates/gateway.yaml, line 3: unclosed action"
        );
        assert_eq!(
            found(
                "Error: YAML parse error on ocr-app/templates/model.yaml: error converting YAML to JSON: yaml: line 12: \
                 mapping values are not allowed in this context"
            ),
            "charts/ocr-app/templates/model.yaml, line 12: error converting YAML to JSON: yaml: line 12: mapping values \
             are not allowed in this context"
        );
    }

    #[test]
    fn another_failure_is_none() {
        assert_eq!(Fault::find("Error: release: not found"), None);
    }
}
