//! What cargo checks: form, lints, tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::{Cmd, Line};

/// How much of a failed run is shown; all of it is in its log.
const SHOWN_LINES: usize = 60;

/// Cargo in the project's root, with the locked dependencies.
pub(super) fn cargo(host: &Host, args: &[&str]) -> Cmd {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let cmd = Cmd::new(program).args(args).cwd(&host.root).deadline(Duration::from_mins(20));
    crate::service::without_cargo_env(cmd).env("CARGO_TERM_COLOR", "never")
}

pub async fn format(host: &Host) -> Result<String> {
    let output = host.processes.output(&cargo(host, &["fmt", "--all", "--check", "--", "-l"])).await?;
    if output.code == 0 {
        return Ok("nothing to change".into());
    }
    let files: Vec<String> = output
        .stdout_text()
        .lines()
        .map(|file| file.trim_start_matches(&*host.root.to_string_lossy()).trim_start_matches('/').to_owned())
        .collect();
    let what =
        if files.is_empty() { output.complaint() } else { format!("not formatted: {}", files.join(", ")) };
    Err(Error::unhealthy(what, "run: cargo fmt --all"))
}

pub async fn clippy(host: &Host, step: &Step) -> Result<String> {
    let cmd = cargo(host, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    logged(host, step, "clippy", &cmd).await?;
    // "All" targets are not all: these are left out of a plain `cargo test`, and with that out of "all".
    let apart = ["embedded", "cluster", "browser", "drawn"].map(|name| format!("--test={name}"));
    let cmd = cargo(host, &["clippy", "--workspace", "--locked"]).args(apart).args(["--", "-D", "warnings"]);
    logged(host, step, "clippy-end-to-end", &cmd).await?;
    Ok("no warnings".into())
}

/// The targets of libFuzzer, which are a workspace of their own; `scripts/fuzz.sh` runs them.
pub async fn fuzz(host: &Host, step: &Step) -> Result<String> {
    // In the workspace's own folder lies what clippy has compiled of the same dependencies.
    let target = ["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"];
    let cmd = cargo(host, &["check", "--locked"]).args(target);
    logged(host, step, "fuzz", &cmd).await?;
    Ok("all compile".into())
}

/// What the tests start besides the project's own: a database. Without `mariadb-server`, which would start one for
/// the machine.
const TEST_PACKAGES: [&str; 2] = ["mariadb-client-core", "mariadb-server-core"];

/// Compiling and running apart, so that the progress says which of them it is.
pub async fn test(host: &Host, step: &Step) -> Result<String> {
    crate::tools::ensure_packages(host, &TEST_PACKAGES, "the tests").await?;
    logged(host, step, "tests-build", &cargo(host, &["test", "--workspace", "--locked", "--no-run"])).await?;
    let run = cargo(host, &["test", "--workspace", "--locked", "--no-fail-fast"]);
    let lines = logged(host, step, "tests", &run).await?;
    tested(&lines, &log_of(host, "tests"))
}

/// An end-to-end test, which no plain `cargo test` starts; chosen from the workspace, so that nothing is compiled again
/// with the features of one package alone.
pub async fn end_to_end(host: &Host, step: &Step, name: &str, limit: Duration) -> Result<String> {
    let cmd = cargo(host, &["test", "--workspace", "--locked", "--test", name]).deadline(limit);
    tested(&logged(host, step, name, &cmd).await?, &log_of(host, name))
}

/// How many tests passed; skipped ones are a failure, and so is a run without any.
fn tested(lines: &[String], log: &Path) -> Result<String> {
    let count = Count::of(lines);
    if count.ignored > 0 {
        return Err(Error::unhealthy(
            format!("{} tests were skipped", count.ignored),
            "mend or remove what is marked as ignored",
        ));
    }
    if count.passed == 0 {
        return Err(Error::unhealthy("no test ran", format!("all that was said is in {}", log.display())));
    }
    Ok(format!("{} tests", count.passed))
}

/// Where the lines of a check go.
fn log_of(host: &Host, name: &str) -> PathBuf {
    host.state_dir().join("checks").join(format!("{name}.log"))
}

/// Runs to the end with its lines in `.platen/checks/NAME.log`; a failure shows the last of them.
pub(super) async fn logged(host: &Host, step: &Step, name: &str, cmd: &Cmd) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut compiled = 0;
    let mut see = |line: Line<'_>| {
        let text = line.text();
        if text.trim_start().starts_with("Compiling ") || text.trim_start().starts_with("Checking ") {
            compiled += 1;
            step.progress(text.trim(), Some(compiled), None);
        } else if text.trim_start().starts_with("Running ") || text.starts_with("test ") {
            step.message(text.trim());
        }
        lines.push(text.to_owned());
    };
    let ran = host.processes.run_with(cmd, &mut see).await;
    let log = log_of(host, name);
    crate::host::write_atomically(&log, lines.join("\n").as_bytes())?;
    match ran {
        Ok(_) => Ok(lines),
        Err(crate::process::ProcessError::Failed { .. }) => Err(Error::unhealthy(
            shown(&lines),
            format!(
                "all it said is in {}; alone: {cmd}",
                log.strip_prefix(&host.root).unwrap_or(&log).display()
            ),
        )),
        Err(error) => Err(error.into()),
    }
}

/// What a person needs of a failed run: from its first failure on, or from the harness's list of them, without what was
/// compiled, the frames of back traces, and what passed.
fn shown(lines: &[String]) -> String {
    let noise =
        ["Compiling ", "Checking ", "Downloaded ", "Downloading ", "Running ", "Finished ", "Blocking "];
    let telling: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !noise.iter().any(|word| line.trim_start().starts_with(word)))
        .filter(|line| !(line.starts_with("test ") && line.ends_with("... ok")))
        .filter(|line| !is_frame(line))
        .collect();
    let is_failure = |line: &&str| line.starts_with("error") || line.contains("FAILED");
    let list = telling.iter().position(|line| line.starts_with("failures:"));
    let start = list.or_else(|| telling.iter().position(is_failure));
    let start = start.unwrap_or(telling.len().saturating_sub(SHOWN_LINES));
    let failed = &telling[start..];
    if failed.len() <= SHOWN_LINES {
        return failed.join("\n");
    }
    // What failed stands at the beginning, why mostly at the end.
    let (head, tail) = (SHOWN_LINES / 4, SHOWN_LINES - SHOWN_LINES / 4);
    let left_out = format!("… {} lines more …", failed.len() - SHOWN_LINES);
    [&failed[..head], &[left_out.as_str()], &failed[failed.len() - tail..]].concat().join("\n")
}

/// A line of a back trace: `12: some::function`, or `at ./file.rs:1:2`.
fn is_frame(line: &str) -> bool {
    let line = line.trim_start();
    let numbered = line.split_once(": ").is_some_and(|(number, _)| number.parse::<u16>().is_ok());
    numbered || (line.starts_with("at ") && line.contains(".rs:")) || line == "stack backtrace:"
}

/// The totals of the test harness.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u32,
    ignored: u32,
}

impl Count {
    fn of(lines: &[String]) -> Self {
        let mut count = Self::default();
        for line in lines.iter().filter(|line| line.starts_with("test result:")) {
            let number = |word: &str| {
                let before = line.split([';', '.']).find(|part| part.trim().ends_with(word));
                before.and_then(|part| part.split_whitespace().next()?.parse::<u32>().ok()).unwrap_or(0)
            };
            count.passed += number(" passed");
            count.ignored += number(" ignored");
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_tests_of_all_programs_are_counted() {
        let said = "test result: ok. 49 passed; 0 failed; 1 ignored; 0 measured; 23 filtered out; finished in 0.13s\n\
                    test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.07s";
        assert_eq!(Count::of(&lines(said)), Count { passed: 58, ignored: 1 });
    }

    #[test]
    fn a_run_without_any_test_is_a_failure_that_names_its_log() {
        let none =
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s";
        for said in [none, ""] {
            let error = tested(&lines(said), Path::new("checks/tests.log")).unwrap_err();
            assert_eq!(error.to_string(), "no test ran");
            assert!(error.hint().unwrap().contains("checks/tests.log"));
        }
    }

    #[test]
    fn a_failed_run_is_shown_from_its_list_of_failures_without_frames() {
        let said = "   Compiling a v1\ntest one ... ok\ntest two ... FAILED\n\nfailures:\n\nthread 'two' panicked at x.rs:1\n\
                    stack backtrace:\n   0: std::panicking\n             at /rustc/x/panicking.rs:689:5\nit was 3";
        assert_eq!(shown(&lines(said)), "failures:\n\nthread 'two' panicked at x.rs:1\nit was 3");
    }

    #[test]
    fn of_much_that_a_failed_run_said_the_beginning_and_the_end_are_shown() {
        let said: Vec<String> =
            std::iter::once("failures:".to_owned()).chain((1..200).map(|n| format!("line {n}"))).collect();
        let shown = shown(&said);
        assert!(shown.starts_with("failures:\nline 1\n") && shown.ends_with("line 198\nline 199"), "{shown}");
        assert!(shown.contains("… 140 lines more …"), "{shown}");
        assert_eq!(shown.lines().count(), SHOWN_LINES + 1);
    }

    #[test]
    fn without_a_list_a_failed_run_is_shown_from_its_first_error_on() {
        let said = "   Compiling a v1\nwarning: x\nerror[E1]: y\n --> a.rs";
        assert_eq!(shown(&lines(said)), "error[E1]: y\n --> a.rs");
    }
}
