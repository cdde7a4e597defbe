//! The alerts: one rule file for the operator and for the embedded Prometheus, and what each measures.

use super::promql;
use super::verify::Query;
use crate::error::{Error, Result};
use crate::manifests::monitoring::{AlertRule, RuleFile};

/// The chart's file, compiled in.
pub const RULES: &str = include_str!("../../../charts/ocr-app/files/alerts.yaml");
/// Its path under the project's root.
pub const FILE: &str = "charts/ocr-app/files/alerts.yaml";
/// When each must fire and when not, in promtool's form.
pub const TESTS: &str = "dashboards/alerts-test.yaml";

/// All of a rule file, each with a severity and words for a person.
pub fn parse(text: &str) -> Result<Vec<AlertRule>> {
    let file: RuleFile = serde_yaml::from_str(text).map_err(|error| broken(error.to_string()))?;
    let rules: Vec<AlertRule> = file.groups.into_iter().flat_map(|group| group.rules).collect();
    for rule in &rules {
        let lacks = |what: &str| broken(format!("{} has no {what}", rule.alert));
        if !rule.labels.contains_key("severity") {
            return Err(lacks("severity among its labels"));
        }
        for words in ["summary", "description"] {
            if rule.annotations.get(words).is_none_or(|text| text.trim().is_empty()) {
                return Err(lacks(words));
            }
        }
        measured(&rule.expr).map_err(|why| broken(format!("{}: {why}", rule.alert)))?;
    }
    Ok(rules)
}

/// What the alerts measure, as queries that have an answer whether or not an alert fires.
pub fn queries() -> Result<Vec<Query>> {
    let query = |rule: AlertRule| {
        let expr = measured(&rule.expr).map_err(broken)?.to_owned();
        Ok(Query { dashboard: "Alerts".into(), panel: rule.alert, expr })
    };
    parse(RULES)?.into_iter().map(query).collect()
}

/// An alert's expression without the comparison with a number at its end: where that does not hold, the whole has no
/// answer, which is as it should be.
fn measured(expr: &str) -> Result<&str, String> {
    let compared = expr.trim().rsplit_once(char::is_whitespace).and_then(|(before, bound)| {
        bound.parse::<f64>().ok()?;
        let (measured, operator) = before.trim_end().rsplit_once(char::is_whitespace)?;
        ["<", ">", "<=", ">=", "==", "!="].contains(&operator).then_some(measured.trim_end())
    });
    let measured = compared.ok_or("it does not end in a comparison with a number")?;
    // A comparison inside of brackets would have left them open.
    promql::selectors(measured).map(|_| measured)
}

fn broken(why: String) -> Error {
    Error::malformed(FILE, why, "correct it; its form is that of Prometheus' rule files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_is_complete_and_measures_something() {
        let queries = queries().unwrap();
        assert!(queries.iter().any(|query| query.panel == "OcrNodeDown"));
        assert!(queries.iter().all(|query| !query.expr.is_empty()));
    }

    #[test]
    fn what_an_alert_measures_is_all_before_its_comparison() {
        assert_eq!(measured("sum(a) / sum(b > 0)\n> 0.05\n"), Ok("sum(a) / sum(b > 0)"));
        assert_eq!(measured("up < 1"), Ok("up"));
        for wrong in ["up", "sum(a > 5)", "absent(up)", "up > other"] {
            assert!(measured(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_alert_that_says_nothing_is_refused() {
        let rule = |rest: &str| format!("groups: [{{name: g, rules: [{{alert: A, expr: up < 1, {rest}}}]}}]");
        let complete = "labels: {severity: x}, annotations: {summary: s, description: d}";
        assert_eq!(parse(&rule(complete)).unwrap().len(), 1);
        for (without, named) in [
            ("labels: {}, annotations: {summary: s, description: d}", "severity"),
            ("labels: {severity: x}, annotations: {summary: s}", "description"),
        ] {
            assert!(parse(&rule(without)).unwrap_err().to_string().contains(named));
        }
        assert!(parse(&rule(&format!("{complete}, fro: 1m"))).unwrap_err().to_string().contains("fro"));
    }
}
