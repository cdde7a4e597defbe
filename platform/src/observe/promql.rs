//! Expressions of dashboards and alerts: Grafana's variables filled in, and what they select.

use std::collections::BTreeSet;
use std::time::Duration;

use rusty_promql_parser::ast::Expr;
use rusty_promql_parser::parser::selector::{LabelMatchOp, LabelMatcher, VectorSelector};

/// Of a cluster, in seconds.
const SCRAPE: f64 = 15.0;
/// Of a panel's whole time, where nothing else is said.
const RANGE: Duration = Duration::from_mins(30);

/// The expression as Grafana would send it with "All" chosen for every variable.
pub fn filled(expr: &str) -> String {
    filled_for(expr, SCRAPE, RANGE)
}

/// As [`filled`], for a panel that shows `range` with a point every `step` seconds.
pub fn filled_for(expr: &str, step: f64, range: Duration) -> String {
    // Four scrapes at least, and no gap between two points: what Grafana does.
    let rate = (step + SCRAPE).max(4.0 * SCRAPE);
    // The longest first: a name may begin another.
    let known = [
        ("__rate_interval", format!("{rate}s")),
        ("__interval_ms", format!("{}", step * 1000.0)),
        ("__interval", format!("{step}s")),
        ("__range_s", range.as_secs().to_string()),
        ("__range", format!("{}s", range.as_secs())),
    ];
    let text = known.iter().fold(expr.to_owned(), |text, (name, value)| fill(&text, name, value));
    let mut names: Vec<String> = variables(&text).into_iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text, |text, name| fill(&text, &name, ".+"))
}

/// Both of Grafana's spellings.
fn fill(text: &str, name: &str, value: &str) -> String {
    text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
}

/// Names of variables that an expression uses.
pub fn variables(expr: &str) -> BTreeSet<String> {
    let word = |rest: &str| -> String {
        rest.trim_start_matches('{').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    expr.split('$').skip(1).map(word).filter(|name| !name.is_empty()).collect()
}

/// A selector of series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Where it is named.
    pub metric: Option<String>,
    /// Whether the selected series are counted over a time (`[1m]`).
    pub ranged: bool,
}

/// All selectors of an expression whose variables are filled in, or why it is none.
pub fn selectors(expr: &str) -> Result<Vec<Selector>, String> {
    let (rest, parsed) = rusty_promql_parser::expr(expr.trim())
        .map_err(|error| format!("it is no expression of PromQL: {error}"))?;
    if !rest.trim().is_empty() {
        return Err(format!("it is no expression of PromQL from here on: {rest}"));
    }
    let mut found = Vec::new();
    collect(&parsed, &mut found);
    Ok(found)
}

fn collect(expr: &Expr, found: &mut Vec<Selector>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(selected(selector, false)),
        Expr::MatrixSelector(matrix) => found.push(selected(&matrix.selector, true)),
        Expr::Call(call) => call.args.iter().for_each(|arg| collect(arg, found)),
        Expr::Aggregation(aggregation) => {
            aggregation.param.iter().for_each(|param| collect(param, found));
            collect(&aggregation.expr, found);
        }
        Expr::Binary(binary) => {
            collect(&binary.lhs, found);
            collect(&binary.rhs, found);
        }
        Expr::Unary(unary) => collect(&unary.expr, found),
        Expr::Paren(inner) => collect(inner, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, found),
        Expr::Number(_) | Expr::String(_) => {}
    }
}

fn selected(selector: &VectorSelector, ranged: bool) -> Selector {
    // A pattern names no one metric.
    let is_name = |matcher: &&LabelMatcher| matcher.name == "__name__" && matcher.op == LabelMatchOp::Equal;
    let named = selector.matchers.iter().find(is_name).map(|matcher| matcher.value.clone());
    Selector { metric: selector.name.clone().or(named), ranged }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_what_grafana_sends_for_all() {
        let expr = r#"sum(rate(a{job=~"$job", pod=~"${pod}"}[$__rate_interval]))"#;
        assert_eq!(filled(expr), r#"sum(rate(a{job=~".+", pod=~".+"}[60s]))"#);
        assert_eq!(variables(expr), ["__rate_interval", "job", "pod"].map(str::to_owned).into());
        assert_eq!(filled("rate(a[${__rate_interval}])*$__interval_ms"), "rate(a[60s])*15000");
        let wide = filled_for("rate(a[$__rate_interval]) + b[$__range]", 120.0, Duration::from_hours(6));
        assert_eq!(wide, "rate(a[135s]) + b[21600s]");
        assert_eq!(filled("a{b=\"$jobname\",c=\"$job\"}"), "a{b=\".+\",c=\".+\"}");
    }

    #[test]
    fn every_selector_is_found_however_deep() {
        let expr = r#"sum by (pod) (rate(a_total{x="1"}[1m])) / on (pod) (b > 0) or vector(0)"#;
        let found: Vec<_> =
            selectors(expr).unwrap().into_iter().map(|it| (it.metric.unwrap(), it.ranged)).collect();
        assert_eq!(found, [("a_total".to_owned(), true), ("b".to_owned(), false)]);
    }

    #[test]
    fn what_is_no_expression_is_told() {
        assert!(selectors("sum(rate(a[1m])").is_err());
        assert!(selectors("sum(a) b").is_err());
    }
}
