//! Pods: from the kubelet's and the scheduler's words to what is wrong.

use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Event, Node, Pod};
use k8s_openapi::jiff::Timestamp;

use super::image::Pull;
use super::{Finding, pending, short};

/// What is wrong with a pod. `events` and `nodes` may hold more than this pod's.
pub fn explain_pod(pod: &Pod, events: &[Event], nodes: &[Node]) -> Vec<Finding> {
    let Some(view) = View::of(pod, events, nodes) else { return Vec::new() };
    if pod.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    if let Some(finding) = view.unschedulable() {
        return vec![finding];
    }
    let statuses: Vec<Finding> = view.statuses().filter_map(|status| view.container(status)).collect();
    if !statuses.is_empty() {
        return statuses;
    }
    view.not_started().into_iter().collect()
}

/// Containers that run again, and were killed for their memory since then: the next time is only a matter of time.
pub fn killed_since(pod: &Pod, since: Timestamp) -> Vec<Finding> {
    let Some(view) = View::of(pod, &[], &[]) else { return Vec::new() };
    let lately = |status: &&ContainerStatus| {
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        status.ready
            && last.is_some_and(|ended| {
                ended.reason.as_deref() == Some("OOMKilled")
                    && ended.finished_at.as_ref().is_some_and(|time| time.0 >= since)
            })
    };
    view.statuses().filter(lately).map(|status| view.out_of_memory(status)).collect()
}

/// Pods that could not even be created: a controller says so in an event, and there is no pod to look at. Told only
/// where the controller has no pod at all, because events outlive what they tell of.
pub(super) fn not_created(events: &[Event], pods: &[Pod]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for event in events.iter().filter(|event| event.reason.as_deref() == Some("FailedCreate")) {
        let object = &event.involved_object;
        let (Some(kind), Some(name)) = (object.kind.as_deref(), object.name.as_deref()) else { continue };
        let owns = |pod: &Pod| {
            let owners = pod.metadata.owner_references.iter().flatten();
            owners.into_iter().any(|owner| owner.kind == kind && owner.name == name)
        };
        if pods.iter().any(owns) {
            continue;
        }
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let finding = Finding::new(
            format!("{} {namespace}/{name}", kind.to_lowercase()),
            format!("its pods are refused: {}", short(event.message.as_deref().unwrap_or_default())),
            format!("kubectl --namespace {namespace} describe {} {name}", kind.to_lowercase()),
        );
        if !findings.iter().any(|it| it.object == finding.object) {
            findings.push(finding);
        }
    }
    findings
}

/// A pod with what is known around it.
struct View<'a> {
    pod: &'a Pod,
    name: &'a str,
    namespace: &'a str,
    events: Vec<&'a Event>,
    node: Option<&'a Node>,
}

impl<'a> View<'a> {
    fn of(pod: &'a Pod, events: &'a [Event], nodes: &'a [Node]) -> Option<Self> {
        let name = pod.metadata.name.as_deref()?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let of_this_pod = |event: &&Event| {
            let object = &event.involved_object;
            object.kind.as_deref() == Some("Pod")
                && object.name.as_deref() == Some(name)
                && (object.uid.is_none() || pod.metadata.uid.is_none() || object.uid == pod.metadata.uid)
        };
        let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        Some(Self {
            pod,
            name,
            namespace,
            events: events.iter().filter(of_this_pod).collect(),
            node: nodes.iter().find(|node| on.is_some() && node.metadata.name.as_deref() == on),
        })
    }

    fn statuses(&self) -> impl Iterator<Item = &'a ContainerStatus> + use<'a> {
        let status = self.pod.status.as_ref();
        let init = status.and_then(|it| it.init_container_statuses.as_deref()).unwrap_or_default();
        init.iter().chain(status.and_then(|it| it.container_statuses.as_deref()).unwrap_or_default())
    }

    fn unschedulable(&self) -> Option<Finding> {
        let conditions = self.pod.status.as_ref()?.conditions.as_deref()?;
        let scheduled = conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
        let message = scheduled.message.as_deref().filter(|message| !message.is_empty())?;
        let mut sentence = format!("no node can take it: {}", pending::reasons(message));
        if let Some(asked) = self.asked().filter(|_| message.contains("Insufficient")) {
            sentence = format!("{sentence}; it asks for {asked}");
        }
        let command = if message.contains("PersistentVolumeClaim") {
            format!("kubectl --namespace {} describe pvc", self.namespace)
        } else {
            "kubectl describe nodes".to_owned()
        };
        Some(self.finding(sentence, command))
    }

    /// The requests of the first container, as `250m cpu and 256Mi memory`.
    fn asked(&self) -> Option<String> {
        let requests = self.spec(None)?.resources.as_ref()?.requests.as_ref()?;
        let asked: Vec<String> =
            requests.iter().map(|(resource, amount)| format!("{} {resource}", amount.0)).collect();
        Some(asked.join(" and "))
    }

    fn container(&self, status: &ContainerStatus) -> Option<Finding> {
        let state = status.state.as_ref()?;
        let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let killed = |ended: &ContainerStateTerminated| ended.reason.as_deref() == Some("OOMKilled");
        if state.terminated.as_ref().is_some_and(killed) || (last.is_some_and(killed) && !status.ready) {
            return Some(self.out_of_memory(status).lasting());
        }
        if let Some(waiting) = &state.waiting {
            let message = waiting.message.as_deref().unwrap_or_default();
            return match waiting.reason.as_deref()? {
                "ErrImagePull"
                | "ImagePullBackOff"
                | "ErrImageNeverPull"
                | "InvalidImageName"
                | "ImageInspectError"
                | "RegistryUnavailable" => Some(self.image(status, message).lasting()),
                "CrashLoopBackOff" => Some(self.crash(status, last).lasting()),
                "CreateContainerConfigError" => Some(self.configuration(status, message).lasting()),
                reason @ ("CreateContainerError"
                | "RunContainerError"
                | "PreStartHookError"
                | "PostStartHookError") => Some(self.finding(
                    format!("container {} cannot be started ({reason}): {}", status.name, short(message)),
                    self.describe(),
                )),
                _ => None,
            };
        }
        if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
            return Some(self.crash(status, Some(ended)).lasting());
        }
        self.probe(status)
    }

    fn image(&self, status: &ContainerStatus, message: &str) -> Finding {
        // "Back-off pulling image" alone says nothing; the event of the try before says why.
        let event = self.newest(&["Failed"], |text| text.contains("Failed to pull image"));
        let telling = message.contains("rpc error") || message.contains("pull policy of Never");
        let said = if telling { message } else { event.unwrap_or(message) };
        let image = self.spec(Some(&status.name)).and_then(|it| it.image.as_deref()).unwrap_or(&status.image);
        let secret = self.pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let platform = self.node.and_then(|node| node.status.as_ref()?.node_info.as_ref());
        let platform = platform.map(|info| format!("{}/{}", info.operating_system, info.architecture));
        let pull = Pull {
            image,
            message: said,
            platform: platform.as_deref(),
            has_pull_secret: secret.is_some_and(|secrets| !secrets.is_empty()),
            namespace: self.namespace,
            pod: self.name,
        };
        let (sentence, command) = pull.explained();
        self.finding(sentence, command)
    }

    fn crash(&self, status: &ContainerStatus, ended: Option<&ContainerStateTerminated>) -> Finding {
        let mut said =
            vec![format!("container {} {}", status.name, ended.map_or("keeps ending".into(), ending))];
        if status.restart_count > 0 {
            let restarts = if status.restart_count == 1 { "restart" } else { "restarts" };
            said.push(format!(", {} {restarts} so far", status.restart_count));
        }
        let words = ended.and_then(|it| it.message.as_deref());
        let last = words.and_then(|text| text.lines().map(str::trim).rfind(|line| !line.is_empty()));
        said.extend(last.map(|line| format!("; its last words: {}", short(line))));
        // Of one that has just ended, the log at hand is its own: the one before is mostly removed already.
        let has_just_ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
        let previous = if status.restart_count > 0 && !has_just_ended { " --previous" } else { "" };
        let command = format!(
            "kubectl --namespace {} logs {} --container {}{previous}",
            self.namespace, self.name, status.name
        );
        self.finding(said.concat(), command)
    }

    fn out_of_memory(&self, status: &ContainerStatus) -> Finding {
        let limits = self.spec(Some(&status.name)).and_then(|it| it.resources.as_ref()?.limits.as_ref());
        let limit = limits.and_then(|limits| limits.get("memory")).map(|amount| amount.0.as_str());
        let sentence = match limit {
            Some(limit) => {
                format!("container {} was killed for using more than its {limit} of memory", status.name)
            }
            None => format!("container {} was killed because its node ran out of memory", status.name),
        };
        let command = match (limit.and_then(twice), self.deployment()) {
            (Some(more), Some(deployment)) => format!(
                "kubectl --namespace {} set resources deployment {deployment} --containers {} --limits memory={more}",
                self.namespace, status.name
            ),
            _ => self.describe(),
        };
        self.finding(sentence, command)
    }

    fn configuration(&self, status: &ContainerStatus, message: &str) -> Finding {
        let missing = message.split('"').nth(1).filter(|_| message.contains("not found"));
        let command = match missing {
            Some(name) if message.starts_with("secret") => {
                format!(
                    "kubectl --namespace {} create secret generic {name} --from-env-file .env",
                    self.namespace
                )
            }
            Some(name) if message.starts_with("configmap") => {
                format!("kubectl --namespace {} get configmap {name}", self.namespace)
            }
            _ => self.describe(),
        };
        self.finding(format!("container {} cannot be made: {}", status.name, short(message)), command)
    }

    /// A container that runs and is not ready. Without a failed probe it is only young.
    fn probe(&self, status: &ContainerStatus) -> Option<Finding> {
        if status.ready || status.state.as_ref()?.running.is_none() {
            return None;
        }
        let said = self.newest(&["Unhealthy"], |_| true)?;
        Some(self.finding(
            format!("container {} runs and is not ready: {}", status.name, short(said)),
            format!("kubectl --namespace {} logs {} --container {}", self.namespace, self.name, status.name),
        ))
    }

    /// Nothing of it runs yet and the kubelet says why: no volume, no network.
    fn not_started(&self) -> Option<Finding> {
        if self.pod.status.as_ref()?.phase.as_deref() != Some("Pending") {
            return None;
        }
        let said = self.newest(&["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"], |_| true)?;
        Some(self.finding(format!("it cannot start: {}", short(said)), self.describe()))
    }

    /// The message of this pod's newest event with one of these reasons.
    fn newest(&self, reasons: &[&str], fits: impl Fn(&str) -> bool) -> Option<&'a str> {
        let fitting = self.events.iter().filter(|event| {
            event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
                && event.message.as_deref().is_some_and(&fits)
        });
        let time = |event: &&&'a Event| {
            event.last_timestamp.as_ref().map(|time| time.0).or(event.event_time.as_ref().map(|time| time.0))
        };
        fitting.max_by_key(time).and_then(|event| event.message.as_deref())
    }

    fn spec(&self, container: Option<&str>) -> Option<&'a Container> {
        let spec = self.pod.spec.as_ref()?;
        let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        all.find(|it| container.is_none_or(|name| it.name == name))
    }

    /// The deployment above, by the name of its replica set without the hash.
    fn deployment(&self) -> Option<&'a str> {
        let owners = self.pod.metadata.owner_references.as_deref()?;
        let set = owners.iter().find(|owner| owner.kind == "ReplicaSet")?;
        set.name.rsplit_once('-').map(|(name, _)| name)
    }

    fn describe(&self) -> String {
        format!("kubectl --namespace {} describe pod {}", self.namespace, self.name)
    }

    fn finding(&self, sentence: impl Into<String>, command: impl Into<String>) -> Finding {
        Finding::new(format!("pod {}/{}", self.namespace, self.name), sentence, command)
    }
}

/// How a container ended; 128 and more stand for a signal.
fn ending(ended: &ContainerStateTerminated) -> String {
    match ended.exit_code {
        0 => "ends at once with exit code 0, but should keep running".to_owned(),
        137 => "was killed (exit code 137)".to_owned(),
        139 => "crashed with a segmentation fault (exit code 139)".to_owned(),
        134 => "aborted (exit code 134)".to_owned(),
        126..=128 if ended.reason.as_deref() == Some("StartError") => {
            "has no program that can be started".to_owned()
        }
        code => format!("ended with exit code {code}"),
    }
}

/// Twice an amount of memory in whole Mi or Gi.
fn twice(amount: &str) -> Option<String> {
    let unit = amount.len().checked_sub(2)?;
    let (number, unit) = amount.split_at_checked(unit)?;
    matches!(unit, "Mi" | "Gi").then_some(())?;
    Some(format!("{}{unit}", number.parse::<u32>().ok()?.checked_mul(2)?))
}
