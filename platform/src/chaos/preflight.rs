//! Before anything is done: what goes with the victim and is nowhere else, and whether the rest can carry what it
//! carried.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::report::{Finding, Headroom, Preflight, Severity};
use super::survey::{PodFacts, Resources, Survey};
use super::victim::Victim;

/// What is missed while the only one of these is away.
const MISSED: [(&str, &str); 8] = [
    ("coredns", "names in the cluster are not resolved"),
    ("argocd-", "nothing is synced by Argo CD"),
    ("prometheus-monitoring", "no metrics are recorded, and the dashboards have a gap"),
    ("grafana", "no dashboards are shown"),
    ("mariadb", "the experiments have no database"),
    ("ocr-server", "other services of the cluster have no OCR backend"),
    ("experiments", "no experiment is started"),
    ("local-path-provisioner", "no volume is made"),
];

/// `doors`: nodes by which requests come in.
pub fn preflight(survey: &Survey, victim: &Victim, doors: &[String]) -> Preflight {
    let mut findings = not_well(survey);
    let lost: Vec<&PodFacts> =
        survey.pods.iter().filter(|pod| victim.hits(&pod.node, &pod.full_name())).collect();
    findings.extend(single_points(survey, &lost));
    let whole_node = matches!(victim.fault, Fault::Node { .. });
    if whole_node {
        findings.extend(lost.iter().filter(|pod| pod.ours && pod.waits_for_its_node()).map(|pod| {
            let sentence = format!("{} waits for its node: nothing replaces it elsewhere", pod.full_name());
            Finding { severity: Severity::Warning, sentence }
        }));
    }
    if whole_node && doors.contains(&victim.node) {
        let (severity, others) = match doors.len() {
            1 => (Severity::Warning, "it is the only one: every request will fail"),
            _ => (Severity::Note, "requests have to find another one"),
        };
        let sentence = format!("{} is a door for requests from outside; {others}", victim.node);
        findings.push(Finding { severity, sentence });
    }
    // Processes of this machine reserve nothing.
    let reserves = survey.nodes.iter().any(|node| node.free_to_reserve != Resources::default());
    let headroom = if whole_node && reserves { headroom(survey, victim) } else { Vec::new() };
    for short in headroom.iter().filter(|headroom| !headroom.fits) {
        let Headroom { resource, unit, needed, free, .. } = short;
        let sentence = format!(
            "without {} there is too little {resource} to reserve: {needed} {unit} needed, {free} {unit} free; \
             some pods will stay Pending",
            victim.node
        );
        findings.push(Finding { severity: Severity::Warning, sentence });
    }
    findings.sort_by_key(|finding| match finding.severity {
        Severity::Blocking => 0,
        Severity::Warning => 1,
        Severity::Note => 2,
    });
    Preflight { findings, headroom }
}

/// What a fault on top would only hide.
fn not_well(survey: &Survey) -> Vec<Finding> {
    let blocking = |sentence| Finding { severity: Severity::Blocking, sentence };
    let nodes = survey.nodes.iter().filter(|node| !node.ready).map(|node| format!("node {}", node.name));
    let pods = survey.pods.iter().filter(|pod| pod.ours && !pod.ready).map(PodFacts::full_name);
    nodes.chain(pods).map(|name| blocking(format!("{name} is not Ready before any fault"))).collect()
}

/// What has all of its pods among the lost ones.
fn single_points(survey: &Survey, lost: &[&PodFacts]) -> Vec<Finding> {
    let mut owners = BTreeMap::<(&str, &str), u32>::new();
    for pod in lost.iter().filter(|pod| !pod.bound_to_node) {
        *owners.entry((pod.namespace.as_str(), pod.owner.as_deref().unwrap_or(&pod.name))).or_default() += 1;
    }
    let of = |namespace: &str, owner: &str| {
        let same = |pod: &&PodFacts| {
            pod.namespace == namespace && pod.owner.as_deref().unwrap_or(&pod.name) == owner && pod.ready
        };
        survey.pods.iter().filter(same).count()
    };
    let mut findings = Vec::new();
    for ((namespace, owner), count) in owners {
        if of(namespace, owner) > count as usize {
            continue;
        }
        let serves = lost.iter().any(|pod| pod.owner.as_deref() == Some(owner) && is_on_the_way(pod));
        let missed = MISSED.iter().find(|(name, _)| owner.contains(name));
        let missed = if serves {
            Some("requests will fail until it is replaced".to_owned())
        } else {
            missed.map(|(_, missed)| format!("{missed} until it is back"))
        };
        let known = missed.as_ref().map_or_else(String::new, |missed| format!(": {missed}"));
        let place = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
        let severity = if missed.is_some() { Severity::Warning } else { Severity::Note };
        findings.push(Finding { severity, sentence: format!("all of {owner}{place} goes with it{known}") });
    }
    findings
}

/// Whether requests of the load pass it.
fn is_on_the_way(pod: &PodFacts) -> bool {
    pod.ours && matches!(pod.component.as_str(), "gateway" | "model")
}

/// What has to find another place, beside what is free there. Sums: that each pod fits in one piece is the scheduler's
/// to find out.
fn headroom(survey: &Survey, victim: &Victim) -> Vec<Headroom> {
    let moving: Vec<&PodFacts> = survey.replaced(&victim.node).collect();
    let beside_control_plane = moving.iter().all(|pod| pod.tolerates_control_plane);
    let others = survey.nodes.iter().filter(|node| node.name != victim.node && node.ready).filter(|node| {
        // Who may go there as well is few and small: counted as if they all had to go to workers.
        !node.control_plane || beside_control_plane
    });
    let needed = sum(moving.iter().map(|pod| pod.reserves));
    let free = sum(others.map(|node| {
        let taken = sum(survey.on(&node.name).map(|pod| pod.reserves));
        Resources {
            cpu_milli: node.free_to_reserve.cpu_milli.saturating_sub(taken.cpu_milli),
            memory_mib: node.free_to_reserve.memory_mib.saturating_sub(taken.memory_mib),
        }
    }));
    let of = |resource: &str, unit: &str, needed, free| Headroom {
        resource: resource.into(),
        unit: unit.into(),
        needed,
        free,
        fits: needed <= free,
    };
    vec![
        of("cpu", "m", needed.cpu_milli, free.cpu_milli),
        of("memory", "MiB", needed.memory_mib, free.memory_mib),
    ]
}

fn sum(all: impl Iterator<Item = Resources>) -> Resources {
    all.fold(Resources::default(), |sum, one| Resources {
        cpu_milli: sum.cpu_milli + one.cpu_milli,
        memory_mib: sum.memory_mib + one.memory_mib,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fault::Mode;
    use super::super::survey::samples::{pod, three_nodes};
    use super::super::victim::What;
    use super::*;

    fn looked(survey: &Survey, node: &str) -> Preflight {
        let what = What::Node { name: Some(node.into()), mode: Mode::Kill };
        let doors = ["c-control-plane", "c-worker", "c-worker2"].map(String::from);
        preflight(survey, &what.aim(survey, true).unwrap(), &doors)
    }

    fn sentences(preflight: &Preflight, severity: Severity) -> Vec<&str> {
        let findings = preflight.findings.iter().filter(|finding| finding.severity == severity);
        findings.map(|finding| finding.sentence.as_str()).collect()
    }

    #[test]
    fn what_is_only_on_the_victim_is_named_with_what_will_be_missed() {
        let mut survey = three_nodes();
        let other = |owner: &str| PodFacts {
            ours: false,
            namespace: "kube-system".into(),
            owner: Some(owner.into()),
            ..pod("other", 1, "c-worker2")
        };
        survey.pods.push(other("Deployment coredns"));
        survey.pods.push(PodFacts { bound_to_node: true, ..other("DaemonSet kube-proxy") });
        let preflight = looked(&survey, "c-worker2");
        let warnings = sentences(&preflight, Severity::Warning);
        assert_eq!(
            warnings,
            [
                "all of Deployment coredns in kube-system goes with it: names in the cluster are not resolved until it is back",
                "all of Deployment ocr-server in ocr goes with it: other services of the cluster have no OCR backend until it is back",
            ]
        );
        assert_eq!(sentences(&preflight, Severity::Note).len(), 1, "the door");
        survey.pods.push(PodFacts { node: "c-worker".into(), ..other("Deployment coredns") });
        assert_eq!(sentences(&looked(&survey, "c-worker2"), Severity::Warning).len(), 1);
    }

    #[test]
    fn the_only_model_is_told_to_cost_requests() {
        let mut survey = three_nodes();
        survey.pods.retain(|pod| pod.name != "model-1");
        let preflight = looked(&survey, "c-worker2");
        let warnings = sentences(&preflight, Severity::Warning).join("\n");
        assert!(
            warnings
                .contains("Deployment model in ocr goes with it: requests will fail until it is replaced"),
            "{warnings}"
        );
    }

    #[test]
    fn what_waits_for_its_node_is_named() {
        let mut survey = three_nodes();
        survey.pods.push(PodFacts { owner: Some("StatefulSet db".into()), ..pod("db", 0, "c-worker2") });
        let warnings = sentences(&looked(&survey, "c-worker2"), Severity::Warning).join("\n");
        assert!(warnings.contains("ocr/db-0 waits for its node"), "{warnings}");
        assert!(!sentences(&looked(&survey, "c-worker"), Severity::Warning).join("").contains("waits"));
    }

    #[test]
    fn what_is_not_well_before_blocks() {
        let mut survey = three_nodes();
        survey.pods[3].ready = false;
        assert_eq!(
            sentences(&looked(&survey, "c-worker2"), Severity::Blocking),
            ["ocr/model-1 is not Ready before any fault"]
        );
        assert!(sentences(&looked(&three_nodes(), "c-worker2"), Severity::Blocking).is_empty());
    }

    #[test]
    fn headroom_is_what_the_other_workers_have_free() {
        let mut survey = three_nodes();
        // Three pods of 250 m and 256 MiB have to leave; the other worker has two of them and 2000 m, 4096 MiB.
        let enough = looked(&survey, "c-worker2").headroom;
        assert_eq!((enough[0].needed, enough[0].free, enough[0].fits), (750, 1500, true));
        assert_eq!((enough[1].needed, enough[1].free, enough[1].fits), (768, 3584, true));
        survey.nodes[1].free_to_reserve.cpu_milli = 1000;
        let short = looked(&survey, "c-worker2");
        assert!(!short.headroom[0].fits);
        let warnings = sentences(&short, Severity::Warning).join("\n");
        assert!(warnings.contains("750 m needed, 500 m free"), "{warnings}");
    }

    #[test]
    fn a_pod_takes_no_node_with_it() {
        let survey = three_nodes();
        let victim = What::Pod { name: Some("model-1".into()) }.aim(&survey, false).unwrap();
        assert_eq!(preflight(&survey, &victim, &["c-worker".into()]), Preflight::default());
    }
}
