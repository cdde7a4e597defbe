//! Expressions of dashboards and alerts: Grafana's variables filled in, and what they select.

use std::collections::BTreeSet;

use rusty_promql_parser::ast::Expr;
use rusty_promql_parser::parser::selector::{LabelMatchOp, LabelMatcher, VectorSelector};

/// Four scrapes of 15 s: what Grafana makes of `$__rate_interval` at such a data source.
const RATE_INTERVAL: &str = "1m";
/// Of a panel's whole time, where an expression asks for it.
const RANGE: &str = "30m";

/// The expression as Grafana would send it with "All" chosen for every variable.
pub fn filled(expr: &str) -> String {
    // The longest first: a name may begin another.
    let known = [
        ("__rate_interval", RATE_INTERVAL),
        ("__interval_ms", "15000"),
        ("__interval", "15s"),
        ("__range_s", "1800"),
        ("__range", RANGE),
    ];
    let text = known.into_iter().fold(expr.to_owned(), |text, (name, value)| fill(&text, name, value));
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
        assert_eq!(filled(expr), r#"sum(rate(a{job=~".+", pod=~".+"}[1m]))"#);
        assert_eq!(variables(expr), ["__rate_interval", "job", "pod"].map(str::to_owned).into());
        assert_eq!(filled("rate(a[${__rate_interval}])*$__interval_ms"), "rate(a[1m])*15000");
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
