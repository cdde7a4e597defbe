//! What minikube's exit codes mean: tens tell where it failed, units how.

use std::time::Duration;

use super::tracker::Tracker;
use crate::error::Error;
use crate::process::{Cmd, Output};

/// No profile of this name.
pub const NO_PROFILE: i32 = 85;
/// A message of kubeadm's has a screenful of advice behind what matters.
const LINES: usize = 12;
const LINE: usize = 400;

/// How it failed, in the words of this program's own exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Usage,
    Machine,
    TimedOut,
    Program,
}

fn sort(code: i32) -> Sort {
    match (code, code / 10, code % 10) {
        // A Kubernetes that this minikube does not know, and flags.
        (106, ..) | (_, 1, 4 | 6 | 8) | (_, 3 | 5, 4) => Sort::Usage,
        (_, 3..=11, 2) => Sort::TimedOut,
        (_, 2..=7, _) => Sort::Machine,
        _ => Sort::Program,
    }
}

/// Where it failed, by the tens.
fn source(code: i32) -> &'static str {
    match code / 10 {
        1 => "minikube itself",
        2 => "the machine's resources",
        3 => "the host",
        4 => "the internet",
        5 => "the driver",
        6 => "Docker",
        7 => "the local network",
        8 => "the node",
        9 => "the container runtime",
        10 => "the control plane",
        11 => "a service of the cluster",
        _ if code > 128 => "it was killed",
        _ => "unknown",
    }
}

/// The error for a run that ended with `code`, with minikube's own words and advice.
pub fn explain(cmd: &Cmd, output: &Output, tracker: &Tracker, took: Duration) -> Error {
    let code = output.code;
    let cause = tracker.cause(code);
    let said = match cause {
        Some(cause) => shortened(&cause.message),
        None => uncaused(output, tracker),
    };
    let name = cause.map(|cause| cause.name.as_str()).filter(|name| !name.is_empty());
    let name = name.map(|name| format!(", {name}")).unwrap_or_default();
    let indented: String = said.lines().flat_map(|line| ["\n    ", line]).collect();
    let ended = format!("exited with {code} ({}{name}){indented}", source(code));
    let what = format!("{cmd} {ended}");
    let advice = cause.map(|cause| cause.advice.trim()).filter(|advice| !advice.is_empty());
    let url = cause.map(|cause| cause.url.trim()).filter(|url| !url.is_empty());
    let hint = match (advice, url) {
        (Some(advice), Some(url)) => format!("minikube advises: {advice} ({url})"),
        (Some(advice), None) => format!("minikube advises: {advice}"),
        (None, Some(url)) => format!("minikube names {url}"),
        (None, None) => match (own_hint(code, &said), tracker.earlier(code)) {
            (Some(hint), _) => hint,
            // With --force it goes on, and fails later of the same.
            (None, Some(earlier)) => {
                let next = earlier.code.and_then(|code| own_hint(code, "")).unwrap_or_else(|| logs(cmd));
                format!("before that it said: {}; {next}", shortened(&earlier.message))
            }
            (None, None) => logs(cmd),
        },
    };
    match sort(code) {
        Sort::Usage => Error::usage(what, hint),
        Sort::Machine => Error::machine(what, hint),
        Sort::TimedOut => Error::timed_out(format!("{cmd}, which {ended}"), took, hint),
        Sort::Program => Error::Program { what, hint },
    }
}

/// Where minikube itself has no advice.
fn own_hint(code: i32, said: &str) -> Option<String> {
    let said = said.to_lowercase();
    let no_image = ["manifest unknown", "unable to find image", "failed to pull", "pull access denied"];
    let hint = match code {
        14 => {
            "this minikube does not know one of these flags: correct [minikube] in platen.toml, or use another minikube"
        }
        57 => "run as a user who may use Docker",
        _ if no_image.iter().any(|words| said.contains(words)) => {
            "name an image of the nodes that Docker has or can pull: base_image under [minikube] in platen.toml"
        }
        20..=29 => "ask for what the machine has and Kubernetes needs: cargo xtask up --memory MIB --nodes 1",
        40..=49 => {
            "behind a mirror, name it in platen.toml: binary_mirror, base_image and image_repository under [minikube]; or \
             use kind: cargo xtask up --provider kind"
        }
        100 | 106 => {
            "name a version that this minikube knows: kubernetes_version under [minikube] in platen.toml"
        }
        _ => return None,
    };
    Some(hint.into())
}

fn logs(cmd: &Cmd) -> String {
    let profile = cmd.args.iter().skip_while(|arg| *arg != "-p").nth(1);
    let profile = profile.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("see more: minikube -p {profile} logs; the next `up` goes on from what is there")
}

/// A run that ended without a word of its own: what stands on standard error, and how far it came.
fn uncaused(output: &Output, tracker: &Tracker) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<String> = stderr.lines().rev().take(LINES).map(ToOwned::to_owned).collect();
    lines.reverse();
    lines.extend(tracker.last.as_ref().map(|step| format!("it ended in the step: {step}")));
    shortened(&lines.join("\n"))
}

/// Its beginning and its end, where it is long; without colours.
fn shortened(text: &str) -> String {
    let text = plain(text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
    let cut = |line: &&str| match line.char_indices().nth(LINE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => (*line).to_owned(),
    };
    if lines.len() <= LINES {
        return lines.iter().map(cut).collect::<Vec<_>>().join("\n");
    }
    let (head, tail) = (&lines[..LINES / 2], &lines[lines.len() - LINES / 2..]);
    let middle = std::iter::once("…".to_owned());
    head.iter().map(cut).chain(middle).chain(tail.iter().map(cut)).collect::<Vec<_>>().join("\n")
}

/// Without the escape sequences that colour a terminal.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::super::event::{Complaint, Event};
    use super::*;
    use crate::Exit;

    fn explained(code: i32, complaint: Option<Complaint>, stderr: &str) -> Error {
        let mut tracker = Tracker::new(1);
        if let Some(complaint) = complaint {
            tracker.see(Event::Error(complaint));
        }
        let output = Output { code, stderr: stderr.into(), ..Output::default() };
        let cmd = Cmd::new("minikube").args(["start", "-p", "pc"]);
        explain(&cmd, &output, &tracker, Duration::from_mins(10))
    }

    #[test]
    fn codes_become_this_programs_own() {
        let cases = [
            (14, Exit::Usage),
            (23, Exit::Machine),
            (45, Exit::Machine),
            (57, Exit::Machine),
            (69, Exit::Machine),
            (80, Exit::Program),
            (82, Exit::TimedOut),
            (100, Exit::Program),
            (102, Exit::TimedOut),
            (106, Exit::Usage),
            (1, Exit::Program),
            (137, Exit::Program),
        ];
        for (code, exit) in cases {
            assert_eq!(explained(code, None, "").exit(), exit, "{code}");
        }
    }

    #[test]
    fn a_time_out_of_minikubes_own_is_told_with_how_long_it_took() {
        let said = explained(82, None, "").to_string();
        assert!(
            said.starts_with("timed out after 600 s waiting for minikube start -p pc, which exited with 82"),
            "{said}"
        );
    }

    #[test]
    fn minikubes_own_advice_is_the_hint() {
        let complaint = Complaint {
            message: "Failed to start".into(),
            name: "GUEST_PROVISION".into(),
            advice: "Restart Docker".into(),
            url: String::new(),
            code: Some(80),
        };
        let error = explained(80, Some(complaint), "E1121 klog");
        assert_eq!(error.hint().unwrap(), "minikube advises: Restart Docker");
        let said = error.to_string();
        assert!(said.contains("start -p pc exited with 80 (the node, GUEST_PROVISION)"), "{said}");
        assert!(said.contains("Failed to start") && !said.contains("klog"), "{said}");
    }

    #[test]
    fn a_run_that_ends_without_a_word_shows_its_standard_error() {
        let error = explained(137, None, "panic: runtime error\ngoroutine 1");
        assert!(
            error.to_string().contains("it was killed") && error.to_string().contains("panic"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("minikube -p pc logs"));
        let flag =
            explained(14, None, "Error: unknown flag: --nodez\nSee 'minikube start --help' for usage.");
        assert!(
            flag.to_string().contains("--nodez") && flag.hint().unwrap().contains("[minikube]"),
            "{flag}"
        );
    }

    #[test]
    fn what_force_passed_over_is_told_where_the_end_has_no_advice() {
        let mut tracker = Tracker::new(1);
        let said = [
            (23, "Requested memory allocation 300MiB is too little"),
            (80, "kubeadm init: \u{1b}[0;37mfailed\u{1b}[0m"),
        ];
        for (code, message) in said {
            let complaint = Complaint { message: message.into(), code: Some(code), ..Complaint::default() };
            tracker.see(Event::Error(complaint));
        }
        let output = Output { code: 80, ..Output::default() };
        let error = explain(&Cmd::new("minikube"), &output, &tracker, Duration::ZERO);
        assert!(error.to_string().ends_with("kubeadm init: failed"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("300MiB") && hint.contains("--memory"), "{hint}");
    }

    #[test]
    fn a_screenful_is_shortened_to_its_beginning_and_its_end() {
        let long: Vec<String> = (0..80).map(|n| format!("line {n}")).collect();
        let short = shortened(&long.join("\n"));
        assert!(short.starts_with("line 0") && short.ends_with("line 79") && short.contains('…'), "{short}");
        assert_eq!(short.lines().count(), LINES + 1);
    }
}
