//! The dashboards' rules, and the alerts: by promtool's own tests.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::observe::lint::{self, Exceptions};
use crate::observe::{alerts, dashboard};
use crate::process::Cmd;
use crate::tools::{self, Tool};

pub async fn check(host: &Host) -> Result<String> {
    let folder = host.root.join(dashboard::DIR);
    let (dashboards, exceptions) = (dashboard::read(&folder)?, Exceptions::read(&folder)?);
    let findings: Vec<String> = dashboards
        .iter()
        .flat_map(|dashboard| lint::lint(dashboard, &exceptions))
        .map(|finding| finding.to_string())
        .collect();
    if !findings.is_empty() {
        return Err(Error::unhealthy(findings.join("\n"), "see them alone: cargo xtask dashboards lint"));
    }
    let rules = alerts::parse(alerts::RULES)?.len();
    let program = tools::ensure(host, Tool::Promtool).await?;
    for (what, file) in [("check", alerts::FILE), ("test", alerts::TESTS)] {
        let cmd =
            Cmd::new(&program).args([what, "rules", file]).cwd(&host.root).deadline(Duration::from_mins(2));
        let output = host.processes.output(&cmd).await?;
        if output.code != 0 {
            let said = format!("{}{}", output.stdout_text(), String::from_utf8_lossy(&output.stderr));
            return Err(Error::unhealthy(said.trim(), format!("correct {file}; alone: {cmd}")));
        }
    }
    Ok(format!("{} dashboards, {rules} alerts with promtool", dashboards.len()))
}
