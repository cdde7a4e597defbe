//! What Argo CD complains of, as one sentence and what to do next.

use std::fmt;

use serde_json::Value;

use super::NAMESPACE;
use super::repository::is_from_git;
use super::state::Resource;
use crate::error::Error;
use crate::helm::Fault;

/// What keeps an Application from what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The Application and what is wrong with it, without a full stop.
    pub sentence: String,
    /// What to do next.
    pub hint: String,
    /// It ends by itself when Argo CD is whole again, as after the loss of a node.
    pub is_argocds_own: bool,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        Self::unhealthy(trouble.sentence, trouble.hint)
    }
}

impl Trouble {
    /// `objects`: a phrase of them, or nothing.
    pub(super) fn stays_out_of_sync(name: &str, objects: &str, first: Option<&Resource>) -> Self {
        let object = first.map_or_else(
            || "ocr get KIND NAME".to_owned(),
            |it| format!("{} get {} {}", it.namespace, it.kind, it.name),
        );
        Self {
            sentence: format!(
                "the Application {name} was synced and is OutOfSync{objects} again: something else in the cluster writes it"
            ),
            is_argocds_own: false,
            hint: format!(
                "see who writes it: kubectl -n {object} -o yaml --show-managed-fields; and what changes it on its way: kubectl get mutatingwebhookconfigurations (and mutatingadmissionpolicies, where the cluster has them)"
            ),
        }
    }

    pub(super) fn degraded(name: &str, objects: &str) -> Self {
        Self {
            sentence: format!("the Application {name} is Degraded: {objects}"),
            hint: "see which pod and why: cargo xtask status".into(),
            is_argocds_own: false,
        }
    }
}

/// What a complaint comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// One part of Argo CD does not reach another: gRPC's own word for it. What the repository server says of a repository
    /// comes under other codes.
    NotWhole,
    NotPermitted,
    NoRights,
    NotTrusted,
    NoLogin,
    Unreachable,
    NoSuchRevision,
    ValuesRefused,
    DoesNotRender,
    NoSuchKind,
    NoNamespace,
    Other,
}

/// The first cause with one of its words in the message. Order matters: what does not render says "not found" too, and
/// who has no rights is told so in many words.
const WORDS: &[(Cause, &[&str])] = &[
    (Cause::NotWhole, &["rpc error: code = Unavailable"]),
    (
        Cause::NotPermitted,
        &["not permitted in project", "is not allowed in project", "do not match any of the allowed"],
    ),
    (Cause::ValuesRefused, &["don't meet the specifications of the schema"]),
    (Cause::DoesNotRender, &["execution error at", "helm template", "error calling", "parse error at"]),
    (
        Cause::NoSuchKind,
        &[
            "could not find the requested resource",
            "no matches for kind",
            "CRD is installed on the destination cluster",
        ],
    ),
    (Cause::NoNamespace, &["namespaces \""]),
    (
        Cause::NoRights,
        &["is forbidden", "cannot create resource", "cannot patch resource", "cannot list resource"],
    ),
    (Cause::NotTrusted, &["x509:", "tls:", "SSL certificate", "certificate verification failed"]),
    (
        Cause::NoLogin,
        &[
            "authentication required",
            "authorization failed",
            "unauthorized",
            "401",
            "403",
            "denied",
            "ssh: handshake failed",
            "SSH_AUTH_SOCK",
            "knownhosts",
        ],
    ),
    (
        Cause::Unreachable,
        &[
            "connection refused",
            "no such host",
            "i/o timeout",
            "dial tcp",
            "no route to host",
            "server misbehaving",
            "deadline exceeded",
        ],
    ),
    (
        Cause::NoSuchRevision,
        &["not found", "manifest unknown", "unable to resolve", "name unknown", "app path does not exist"],
    ),
];

/// The other way, where Git is the source.
const OR_REGISTRY: &str = "; or deploy by the registry: cargo xtask deploy --source registry";

fn cause(message: &str) -> Cause {
    let says = |words: &[&str]| words.iter().any(|word| contains(message, word));
    WORDS.iter().find(|(_, words)| says(words)).map_or(Cause::Other, |(cause, _)| *cause)
}

/// A number counts only as a word of its own: digests, versions and addresses are full of digits.
fn contains(message: &str, word: &str) -> bool {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return message.contains(word);
    }
    let parts = message.split(|c: char| c.is_whitespace() || c == '=');
    parts.map(|part| part.trim_matches(|c: char| !c.is_alphanumeric())).any(|part| part == word)
}

/// The Application's name and its source, and Argo CD's words.
pub(super) fn explain(name: &str, source: &Value, message: &str) -> Trouble {
    let cause = cause(message);
    let (why, hint) = why_and_what_next(cause, name, is_from_git(source), message);
    let sentence = format!("the Application {name} cannot be synced: {why}");
    Trouble { sentence, hint, is_argocds_own: cause == Cause::NotWhole }
}

fn why_and_what_next(cause: Cause, name: &str, git: bool, message: &str) -> (String, String) {
    let said = short(message);
    match cause {
        Cause::NotWhole => (
            format!("Argo CD's own repository server does not answer it: {said}"),
            format!("it may only start; see whether it runs: kubectl -n {NAMESPACE} get pods"),
        ),
        Cause::NotPermitted => (
            format!("its AppProject does not permit that: {said}"),
            format!("permit it in platform/stack/templates/argocd/app-project.yaml.j2, then deploy again; see what is: kubectl -n {NAMESPACE} get appproject platen -o yaml"),
        ),
        Cause::NoRights => (
            format!("Argo CD has not the right to do it: {said}"),
            format!("see what it may do: kubectl auth can-i --list --as system:serviceaccount:{NAMESPACE}:argocd-application-controller -n ocr"),
        ),
        Cause::NotTrusted => (
            format!("Argo CD does not trust its repository's server, or does not speak TLS with it: {said}"),
            format!("give Argo CD the server's certificate, under its host's name: kubectl -n {NAMESPACE} edit configmap argocd-tls-certs-cm; then deploy again{}", if git { OR_REGISTRY } else { "" }),
        ),
        Cause::NoLogin if git => (
            format!("its Git repository asks for a login, or refuses the one it was given: {said}"),
            format!("set GIT_TOKEN (and GIT_USERNAME, where the server asks for it) in .env to a token that may read it, then deploy again{OR_REGISTRY}"),
        ),
        Cause::NoLogin => (
            format!("its repository asks for a login, or refuses the one it was given: {said}"),
            format!("give it one: kubectl -n {NAMESPACE} edit secret platen-charts (username, password); then deploy again"),
        ),
        Cause::Unreachable if git => (
            format!("Argo CD does not reach its Git repository: {said}"),
            format!("see how it is asked: kubectl -n {NAMESPACE} logs deployment/argocd-repo-server --tail 20{OR_REGISTRY}"),
        ),
        Cause::Unreachable => (
            format!("Argo CD does not reach its repository: {said}"),
            format!("see how it is asked: kubectl -n {NAMESPACE} logs deployment/argocd-repo-server --tail 20; start the local registry: cargo xtask up"),
        ),
        Cause::NoSuchRevision if git => (
            format!("its Git repository has not what it points at: {said}"),
            "push the branch: git push -u origin BRANCH; or correct [gitops] in platen.toml; then deploy again".into(),
        ),
        Cause::NoSuchRevision => (
            format!("its repository has not what it points at: {said}"),
            "push it and point at it: cargo xtask deploy".into(),
        ),
        Cause::ValuesRefused => (
            format!("its values do not fit the chart's schema: {said}"),
            "correct the key that is named; the chart's values.yaml describes each".into(),
        ),
        Cause::DoesNotRender => {
            let where_and_why = Fault::find(message).map_or(said, |fault| fault.to_string());
            (format!("its chart does not render: {where_and_why}"), "correct that line or value, then deploy again".into())
        }
        Cause::NoSuchKind => (
            format!("the cluster does not know a kind that the chart has: {said}"),
            "install what brings it (PodMonitor and PrometheusRule come with the monitoring stack): cargo xtask up".into(),
        ),
        Cause::NoNamespace => (
            format!("a namespace is missing: {said}"),
            "make it, with its Pod Security labels: cargo xtask up".into(),
        ),
        Cause::Other => (said, format!("see all of it: kubectl -n {NAMESPACE} get application {name} -o yaml")),
    }
}

/// What a probe's Application complains of, which is gone when that is told.
pub(super) fn explain_probe(source: &Value, message: &str) -> Trouble {
    let trouble = explain("of the service", source, message);
    match cause(message) {
        Cause::Other => Trouble { hint: how_it_is_read(), ..trouble },
        _ => trouble,
    }
}

/// What to look at where a probe does not say what is wrong.
pub(super) fn how_it_is_read() -> String {
    format!(
        "see how it is read: kubectl -n {NAMESPACE} logs deployment/argocd-repo-server --tail 20{OR_REGISTRY}"
    )
}

/// In one line, cut where it goes on and on: Argo CD quotes whole command lines before the reason, so the end counts.
fn short(message: &str) -> String {
    const LONGEST: usize = 400;
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let length = line.chars().count();
    if length <= LONGEST {
        return line;
    }
    let end: String = line.chars().skip(length - LONGEST).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn expect(message: &str, sentence: &str, hint: &str) {
        expect_of(&json!({"repoURL": "oci://r:5000/charts/ocr-app"}), message, sentence, hint);
    }

    #[track_caller]
    fn expect_of(source: &Value, message: &str, sentence: &str, hint: &str) {
        let trouble = explain("ocr-app", source, message);
        assert!(trouble.sentence.contains(sentence), "{}", trouble.sentence);
        assert!(trouble.hint.contains(hint), "{}", trouble.hint);
    }

    #[test]
    fn each_cause_has_its_sentence_and_next_step() {
        expect(
            "resource networking.k8s.io:Ingress is not permitted in project platen",
            "AppProject does not permit",
            "app-project.yaml.j2",
        );
        expect(
            r#"deployments.apps is forbidden: User "system:serviceaccount:argocd:argocd-application-controller" cannot create resource"#,
            "not the right",
            "auth can-i",
        );
        expect(
            "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = \
             failed to do request: Head \"http://platen-registry:5000/v2/\": dial tcp 172.18.0.2:5000: connect: connection refused",
            "does not reach its repository",
            "argocd-repo-server",
        );
        expect(
            "rpc error: code = Unknown desc = authentication required",
            "asks for a login",
            "edit secret platen-charts",
        );
        expect(
            "The Kubernetes API could not find monitoring.coreos.com/PodMonitor for requested resource ocr/ocr-app. Make sure \
             the \"PodMonitor\" CRD is installed on the destination cluster.",
            "does not know a kind",
            "cargo xtask up",
        );
        expect("no matches for kind \"PodMonitor\"", "does not know a kind", "cargo xtask up");
        expect("something else", "something else", "get application ocr-app");
    }

    #[test]
    fn of_a_git_repository_the_next_step_is_another() {
        let git = json!({"repoURL": "https://git.example/me/ocr.git"});
        let failed = "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = ";
        let expect = |said: &str, sentence: &str, hint: &str| {
            expect_of(&git, &format!("{failed}{said}"), sentence, hint);
        };
        expect("failed to list refs: authentication required: Unauthorized", "for a login", "GIT_TOKEN");
        expect(
            "failed to list refs: ssh: handshake failed: knownhosts: key is unknown",
            "for a login",
            "GIT_TOKEN",
        );
        expect(
            "failed to list refs: Get \"https://git.example/\": dial tcp: no such host",
            "reach its Git",
            "--source registry",
        );
        expect(
            "failed to list refs: Get \"https://git.example/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "does not trust its repository's server",
            "argocd-tls-certs-cm",
        );
        expect("unable to resolve 'nope' to a commit SHA", "has not what it points at", "git push");
        expect("charts/ocr-app: app path does not exist", "has not what it points at", "[gitops]");
    }

    #[test]
    fn a_probe_is_gone_so_that_no_command_looks_at_it() {
        let git = json!({"repoURL": "https://git.example/me/ocr.git"});
        let hint = explain_probe(&git, "something else").hint;
        assert!(
            hint.contains("logs deployment/argocd-repo-server") && hint.contains("--source registry"),
            "{hint}"
        );
        assert!(explain_probe(&git, "authentication required").hint.contains("GIT_TOKEN"));
    }

    #[test]
    fn digits_of_a_digest_or_a_version_are_no_refused_login() {
        expect(
            "failed to fetch 0.1.0-c401f403aa: dial tcp 172.18.0.2:5000: connect: connection refused",
            "does not reach",
            "argocd-repo-server",
        );
        expect(
            "oci://r:5000/charts/ocr-app@sha256:5e403a: not found",
            "has not what it",
            "cargo xtask deploy",
        );
        expect(
            "HEAD \"http://r:5000/v2/\": response status code 401: Unauthorized",
            "asks for a login",
            "secret",
        );
        expect("unexpected status (403)", "asks for a login", "secret");
    }

    #[test]
    fn a_chart_that_does_not_render_is_told_with_its_line_and_value() {
        expect(
            "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = \
             Manifest generation error (cached): failed to execute helm template command: failed to get command args to log: \
             `helm template . --name-template ocr` failed exit status 1: Error: template: ocr-app/templates/model.yaml:3:20: \
             executing \"ocr-app/templates/model.yaml\" at <.Values.model.absent.deep>: nil pointer evaluating interface {}.deep",
            "charts/ocr-app/templates/model.yaml, line 3, at .Values.model.absent.deep: nil pointer",
            "correct that line",
        );
    }
}
