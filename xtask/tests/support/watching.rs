//! The live view in a real terminal: drawn, followed and left.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::terminal::Terminal;
use super::{Json, Outcome, Xtask};

/// How the command is typed; quoted for a shell.
fn typed(xtask: &Xtask, more: &str) -> String {
    let command = xtask.command(&["status", "--watch"]);
    let mut line = String::new();
    // As text, which is what is drawn.
    let args: Vec<_> = command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
    let args: Vec<&String> = args.iter().filter(|it| !matches!(it.as_str(), "-o" | "json")).collect();
    write!(line, "cd {} && {}", super::root().display(), command.get_program().to_string_lossy())
        .expect("a line");
    for arg in args {
        write!(line, " '{arg}'").expect("a line");
    }
    format!("{line}{more}; echo ended with $?")
}

/// The processes of a node by their pids, as `status` tells.
fn pid_of(status: &Json, role: &str) -> (String, String) {
    let workloads = status["workloads"].as_array().expect("workloads").clone();
    let found = workloads.into_iter().find(|it| it["name"] == role).expect("the role");
    let place = found["place"].as_str().expect("a place");
    let pid = place.trim_start_matches("pid ").split(',').next().expect("a pid").to_owned();
    (pid, found["node"].as_str().expect("a node").to_owned())
}

/// Three columns; a role that is killed is seen to go and to come back; `q` gives the screen back. What was seen is
/// written to `recording`.
pub fn killed_role_is_seen(xtask: &Xtask, recording: &Path) -> Outcome {
    let terminal = Terminal::open(xtask.profile, 120, 36);
    terminal.type_line("echo what was there before");
    terminal.type_line(&typed(xtask, ""));
    let columns = (1..=3).map(|node| format!("{}-{node} Ready", xtask.profile)).collect::<Vec<_>>();
    let drawn = terminal
        .expect_that("three columns, all ready", |screen| columns.iter().all(|it| screen.contains(it)));
    assert!(!drawn.contains("what was there before"), "it has a screen of its own:\n{drawn}");
    let (pid, node) = pid_of(&xtask.run(&["status"]).json(), "ocr-server");
    Command::new("kill").args(["-9", &pid]).status()?;
    let told = |screen: &str, words: &str| {
        screen.lines().any(|line| line.contains("pod ocr-server: ") && line.contains(words))
    };
    let back = terminal.expect_that("the OCR server leaves and comes back", |screen| {
        told(screen, ", was ready")
            && told(screen, "1 restart ")
            && told(screen, " ready, was ")
            && columns.iter().all(|it| screen.contains(it))
    });
    assert!(back.contains(&format!("on {node}")), "{back}");
    std::fs::write(recording, &back)?;
    terminal.press("q");
    let left = terminal.expect("the end", "ended with 0");
    assert!(left.contains("what was there before") && !left.contains("what happened"), "{left}");

    // Ctrl-C gives the terminal back as well, and says that it was interrupted.
    terminal.type_line(&typed(xtask, ""));
    terminal.expect("the view again", "what happened");
    terminal.press("C-c");
    terminal.expect("the end by Ctrl-C", "ended with 130");
    terminal.type_line("stty -a | grep -c -- ' -echo '");
    terminal.expect("a terminal that echoes", "\n0");
    Ok(())
}

/// Without a terminal: a line for each change.
pub fn lines_are_told(xtask: &Xtask) -> Outcome {
    let mut child = xtask
        .command(&["status", "--watch"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("its output")));
    let mut first = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        let change: Json = serde_json::from_str(&line)?;
        first.push(change["object"].as_str().expect("an object").to_owned());
        if first.iter().filter(|it| it.starts_with("node ")).count() == 3
            && first.contains(&"pod gateway".into())
        {
            break;
        }
    }
    // A reader that goes away ends it.
    drop(lines);
    let (pid, _) = pid_of(&xtask.run(&["status"]).json(), "frontend");
    Command::new("kill").args(["-9", &pid]).status()?;
    super::eventually("the view ends with its reader", std::time::Duration::from_secs(20), || {
        child.try_wait().expect("its state").is_some()
    });
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}
