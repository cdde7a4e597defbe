//! What each node hears of the service's image when it asks the local registry: no pod starts on one that hears nothing.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value;

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::cluster::containers::{self, ContainerState};
use crate::cluster::objects::nodes;
use crate::engine::{Ready, State};
use crate::error::Result;
use crate::images;
use crate::mirror::registry;

const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// A node's container, and the tags that it was told, or why it was told none.
type Answer = (String, Result<Vec<String>, String>);

pub async fn check(world: &World) -> Result<Verdict> {
    let State::Ready(ready) = &world.engine else {
        return Ok(Verdict::Skipped("no Docker answers, in which nodes would be".into()));
    };
    let (client, _) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    if !world.owns_the_cluster() {
        return Ok(Verdict::Skipped("its nodes are no containers of this machine".into()));
    }
    let repository = images::own_image(&world.host)?.repository().to_owned();
    let asked = nodes(client).await?.into_iter().map(|node| ask(world, ready, node.name, &repository));
    let answers = try_join_all(asked).await?;
    Ok(judge(answers.into_iter().flatten().collect(), &repository))
}

/// None of a node that does not run: another check tells of that.
async fn ask(world: &World, ready: &Ready, node: String, repository: &str) -> Result<Option<Answer>> {
    if containers::state(&ready.docker, &node).await? != Some(ContainerState::Running) {
        return Ok(None);
    }
    let cmd = containers::exec(ready.docker_host(), &node).args(["bash", "-c", &question(repository)]);
    let said = world.host.processes.run(&cmd.deadline(ANSWERS_WITHIN)).await;
    // The shell's own words stand at the end.
    let why = |error: String| error.lines().last().unwrap_or_default().trim().to_owned();
    let said = said.map_err(|error| why(error.to_string()));
    Ok(Some((node, said.and_then(|said| tags_of(&said.stdout_text())))))
}

/// What a shell of the node runs: no image of nodes is sure to have a program for HTTP.
fn question(repository: &str) -> String {
    let (name, port) = (registry::NAME, registry::PORT);
    format!(
        "exec 3<>/dev/tcp/{name}/{port} && \
         printf 'GET /v2/{repository}/tags/list HTTP/1.0\\r\\nHost: {name}\\r\\n\\r\\n' >&3 && cat <&3"
    )
}

/// The tags in an answer, as it comes over the wire.
fn tags_of(answer: &str) -> Result<Vec<String>, String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().unwrap_or_default().trim();
    match status.split_whitespace().nth(1) {
        Some("200") => {}
        // It has no such repository.
        Some("404") => return Ok(Vec::new()),
        _ => return Err(format!("it answered {status:?}")),
    }
    let body: Value = serde_json::from_str(body).map_err(|error| format!("it answered no JSON: {error}"))?;
    let tags = body["tags"].as_array().into_iter().flatten();
    Ok(tags.filter_map(|tag| tag.as_str().map(ToOwned::to_owned)).collect())
}

fn judge(answers: Vec<Answer>, repository: &str) -> Verdict {
    let mut findings = Vec::new();
    let mut told = 0;
    for (node, answer) in answers {
        let (sentence, command) = match answer {
            Ok(there) if !there.is_empty() => {
                told += 1;
                continue;
            }
            Ok(_) => (format!("the local registry tells it no tag of {repository}"), "cargo xtask build"),
            Err(why) => (format!("it does not reach the local registry: {why}"), "cargo xtask up"),
        };
        findings.push(Finding::new(Severity::Error, format!("node {node}"), sentence, command));
    }
    if told == 0 && findings.is_empty() {
        return Verdict::Skipped("no node runs".into());
    }
    Verdict::of(findings, format!("{told} nodes are told the tags of {repository}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}")
    }

    #[test]
    fn tags_are_read_of_the_answer_as_it_comes() {
        let answer = http("200 OK", r#"{"name":"platen/ocr-service","tags":["0123","staging"]}"#);
        assert_eq!(tags_of(&answer).unwrap(), ["0123", "staging"]);
        assert!(tags_of(&http("404 Not Found", "{}")).unwrap().is_empty());
        assert!(tags_of(&http("200 OK", r#"{"tags":null}"#)).unwrap().is_empty());
        assert!(tags_of(&http("502 Bad Gateway", "")).unwrap_err().contains("502"));
        assert!(tags_of("").is_err());
    }

    #[test]
    fn a_node_that_hears_nothing_is_named_with_what_mends_it() {
        let node = |name: &str, answer| (name.to_owned(), answer);
        let hears = || Ok(vec!["0123".to_owned()]);
        let repository = "platen/ocr-service";
        let Verdict::Passed(seen) = judge(vec![node("a", hears()), node("b", hears())], repository) else {
            panic!("nothing is wrong");
        };
        assert_eq!(seen, "2 nodes are told the tags of platen/ocr-service");
        let answers = vec![node("a", hears()), node("b", Err("refused".into())), node("c", Ok(Vec::new()))];
        let Verdict::Found(found) = judge(answers, repository) else { panic!("two hear nothing") };
        let told: Vec<_> = found.iter().map(|it| (it.object.as_str(), it.command.as_str())).collect();
        assert_eq!(told, [("node b", "cargo xtask up"), ("node c", "cargo xtask build")]);
        assert!(matches!(judge(Vec::new(), repository), Verdict::Skipped(_)));
    }

    #[test]
    fn the_question_is_one_that_a_shell_asks() {
        let asked = question("platen/ocr-service");
        assert!(asked.contains("/dev/tcp/platen-registry/5000"), "{asked}");
        assert!(
            asked.contains(
                r"'GET /v2/platen/ocr-service/tags/list HTTP/1.0\r\nHost: platen-registry\r\n\r\n'"
            )
        );
    }
}
