//! The rules of Grafana's dashboard-linter, and its file of exceptions: `.lint` beside the dashboards.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dashboard::{Dashboard, DataSource, Panel, Target};
use super::promql::{self, Selector};
use crate::error::{Doing, Error, Result};

/// dashboard-linter's name for its file.
pub const FILE: &str = ".lint";

/// A rule, by dashboard-linter's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    TemplateDatasourceRule,
    TemplateJobRule,
    TemplateInstanceRule,
    PanelDatasourceRule,
    PanelTitleDescriptionRule,
    PanelUnitsRule,
    PanelNoTargetsRule,
    TargetPromqlRule,
    TargetRateIntervalRule,
    TargetJobRule,
    TargetInstanceRule,
    TargetCounterAggRule,
}

impl Rule {
    fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|it| it.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// What breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub rule: Rule,
    pub dashboard: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panel: Option<String>,
    /// From 0, among the panel's queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<usize>,
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.dashboard)?;
        if let Some(panel) = &self.panel {
            write!(f, ", panel \"{panel}\"")?;
        }
        if let Some(target) = self.target {
            write!(f, ", query {}", target + 1)?;
        }
        write!(f, ": {}", self.why)
    }
}

/// What is allowed to break a rule, and why.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    #[serde(default)]
    exclusions: BTreeMap<Rule, Exclusion>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exclusion {
    reason: String,
    /// Without any, the rule is off.
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dashboard: Option<String>,
    panel: Option<String>,
    #[serde(rename = "targetIdx")]
    target: Option<usize>,
    #[serde(default)]
    reason: String,
}

impl Entry {
    fn covers(&self, finding: &Finding) -> bool {
        let same = |wanted: Option<&String>, found: Option<&String>| {
            wanted.is_none_or(|wanted| Some(wanted) == found)
        };
        same(self.dashboard.as_ref(), Some(&finding.dashboard))
            && same(self.panel.as_ref(), finding.panel.as_ref())
            && self.target.is_none_or(|target| Some(target) == finding.target)
    }
}

impl Exceptions {
    /// Of the folder's file; none where there is no file.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).doing(format!("reading {}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let exceptions: Self = serde_yaml::from_str(text)
            .map_err(|error| Error::malformed(FILE, error, "its form is dashboard-linter's"))?;
        let silent = exceptions.exclusions.iter().find(|(_, it)| {
            it.reason.trim().is_empty()
                && (it.entries.is_empty() || it.entries.iter().any(|e| e.reason.trim().is_empty()))
        });
        match silent {
            Some((rule, _)) => Err(Error::malformed(
                FILE,
                format!("the exception from {} has no reason", rule.name()),
                "say why it is made",
            )),
            None => Ok(exceptions),
        }
    }

    fn allow(&self, finding: &Finding) -> bool {
        self.exclusions
            .get(&finding.rule)
            .is_some_and(|it| it.entries.is_empty() || it.entries.iter().any(|entry| entry.covers(finding)))
    }
}

/// What breaks a rule without being excepted.
pub fn lint(dashboard: &Dashboard, exceptions: &Exceptions) -> Vec<Finding> {
    let mut found = Findings { dashboard, list: Vec::new() };
    found.templates();
    for panel in dashboard.panels() {
        found.panel(panel);
    }
    found.list.into_iter().filter(|finding| !exceptions.allow(finding)).collect()
}

struct Findings<'a> {
    dashboard: &'a Dashboard,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, rule: Rule, panel: Option<&Panel>, target: Option<usize>, why: impl Into<String>) {
        self.list.push(Finding {
            rule,
            dashboard: self.dashboard.model.title.clone(),
            panel: panel.map(|panel| panel.title.clone()),
            target,
            why: why.into(),
        });
    }

    fn templates(&mut self) {
        let variables = &self.dashboard.model.templating.list;
        let source = variables.iter().find(|it| it.name == "datasource");
        if !source.is_some_and(|it| it.kind == "datasource" && it.query == "prometheus") {
            let why = "there is no variable datasource that offers the data sources of Prometheus";
            self.add(Rule::TemplateDatasourceRule, None, None, why);
        }
        for (rule, name) in [(Rule::TemplateJobRule, "job"), (Rule::TemplateInstanceRule, "instance")] {
            let variable = variables.iter().find(|it| it.name == name);
            let complete = variable.is_some_and(|it| {
                it.kind == "query" && it.include_all && it.all_value.as_deref() == Some(".+")
            });
            if !complete {
                let why = format!("there is no query variable {name} with \"All\" as .+");
                self.add(rule, None, None, why);
            }
        }
    }

    fn panel(&mut self, panel: &Panel) {
        let variable = |source: &DataSource| matches!(source.uid.as_str(), "$datasource" | "${datasource}");
        let sources = panel.targets.iter().filter_map(|target| target.datasource.as_ref());
        if !panel.datasource.iter().chain(sources).all(variable) || panel.datasource.is_none() {
            self.add(Rule::PanelDatasourceRule, Some(panel), None, "its data source is not ${datasource}");
        }
        if panel.title.trim().is_empty() || panel.description.trim().is_empty() {
            self.add(
                Rule::PanelTitleDescriptionRule,
                Some(panel),
                None,
                "it has no title, or no description",
            );
        }
        if panel.fields.defaults.unit.is_empty() {
            self.add(Rule::PanelUnitsRule, Some(panel), None, "its values have no unit");
        }
        if panel.targets.iter().all(|target| target.expr.trim().is_empty()) {
            self.add(Rule::PanelNoTargetsRule, Some(panel), None, "it asks nothing");
        }
        for (index, target) in panel.targets.iter().enumerate() {
            self.target(panel, index, target);
        }
    }

    fn target(&mut self, panel: &Panel, index: usize, target: &Target) {
        let (panel, index) = (Some(panel), Some(index));
        let selectors = match promql::selectors(&promql::filled(&target.expr)) {
            Ok(selectors) => selectors,
            Err(why) => return self.add(Rule::TargetPromqlRule, panel, index, why),
        };
        if selectors.iter().any(|it| it.ranged) && !target.expr.contains("$__rate_interval") {
            let why = "its range is not $__rate_interval";
            self.add(Rule::TargetRateIntervalRule, panel, index, why);
        }
        for (rule, label) in [(Rule::TargetJobRule, "job"), (Rule::TargetInstanceRule, "instance")] {
            let written = target.expr.matches(&format!("{label}=~\"${label}\"")).count();
            if written < selectors.len() {
                self.add(rule, panel, index, format!("a selector lacks {label}=~\"${label}\""));
            }
        }
        if let Some(counter) = selectors.iter().find(|it| is_counter(it) && !it.ranged) {
            let name = counter.metric.as_deref().unwrap_or_default();
            let why = format!("the counter {name} is shown as it is, without rate or increase");
            self.add(Rule::TargetCounterAggRule, panel, index, why);
        }
    }
}

fn is_counter(selector: &Selector) -> bool {
    let name = selector.metric.as_deref().unwrap_or_default();
    ["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn dashboard(panel: &Value) -> Dashboard {
        let list = json!([
            {"name": "datasource", "type": "datasource", "query": "prometheus"},
            {"name": "job", "type": "query", "allValue": ".+", "includeAll": true},
            {"name": "instance", "type": "query", "allValue": ".+", "includeAll": true},
        ]);
        let document = json!({"uid": "u", "title": "T", "templating": {"list": list}, "panels": [panel]});
        Dashboard::parse("t", &document.to_string()).unwrap()
    }

    fn panel(expr: &str) -> Value {
        json!({
            "id": 1, "title": "P", "description": "What it shows", "type": "timeseries",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": "reqps"}},
            "targets": [{"expr": expr, "refId": "A"}],
        })
    }

    fn rules(dashboard: &Dashboard) -> Vec<Rule> {
        lint(dashboard, &Exceptions::default()).into_iter().map(|finding| finding.rule).collect()
    }

    const GOOD: &str = r#"sum(rate(a_total{job=~"$job", instance=~"$instance"}[$__rate_interval]))"#;

    #[test]
    fn a_panel_that_keeps_every_rule_is_not_named() {
        assert_eq!(rules(&dashboard(&panel(GOOD))), []);
    }

    #[test]
    fn each_broken_rule_is_named() {
        for (expr, rule) in [
            ("sum(rate(a_total[", Rule::TargetPromqlRule),
            (r#"rate(a_total{job=~"$job", instance=~"$instance"}[5m])"#, Rule::TargetRateIntervalRule),
            (r#"a{instance=~"$instance"}"#, Rule::TargetJobRule),
            (r#"a{job=~"$job"}"#, Rule::TargetInstanceRule),
            (r#"a_total{job=~"$job", instance=~"$instance"}"#, Rule::TargetCounterAggRule),
            ("", Rule::PanelNoTargetsRule),
        ] {
            assert!(rules(&dashboard(&panel(expr))).contains(&rule), "{expr}");
        }
        for (key, value, rule) in [
            ("description", json!(""), Rule::PanelTitleDescriptionRule),
            ("fieldConfig", json!({}), Rule::PanelUnitsRule),
            ("datasource", json!({"uid": "prometheus"}), Rule::PanelDatasourceRule),
        ] {
            let mut panel = panel(GOOD);
            panel[key] = value;
            assert_eq!(rules(&dashboard(&panel)), [rule]);
        }
        let bare = Dashboard::parse("t", r#"{"uid": "u", "title": "T"}"#).unwrap();
        let templates = [Rule::TemplateDatasourceRule, Rule::TemplateJobRule, Rule::TemplateInstanceRule];
        assert_eq!(rules(&bare), templates);
    }

    #[test]
    fn an_exception_covers_what_it_names_and_nothing_else() {
        let exceptions = Exceptions::parse(
            "exclusions:\n  target-job-rule:\n    reason: node metrics\n    entries:\n      - {dashboard: T, panel: P}\n",
        )
        .unwrap();
        let broken = dashboard(&panel(r#"a{instance=~"$instance"}"#));
        assert_eq!(lint(&broken, &exceptions), []);
        let mut other = broken.clone();
        other.model.panels[0].title = "Q".into();
        assert_eq!(lint(&other, &exceptions).len(), 1);
    }

    #[test]
    fn an_exception_without_a_reason_or_with_an_unknown_rule_is_refused() {
        let refused = |text: &str| Exceptions::parse(text).unwrap_err().to_string();
        assert!(refused("exclusions:\n  target-job-rule: {reason: ''}\n").contains("no reason"));
        assert!(refused("exclusions:\n  target-jobs-rule: {reason: x}\n").contains("target-jobs-rule"));
    }
}
