//! What an embedded node tells Prometheus of its processes: under the names that a kubelet and its cAdvisor use, so that
//! the same panels show them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::net::TcpListener;

use super::spec::NodeSpec;
use super::supervisor::{Layout, Record};

/// A node that was killed leaves its port a moment later.
const BIND_AGAIN: Duration = Duration::from_millis(200);
const CONTENT_TYPE: [(&str, &str); 1] = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];

/// What one role's process uses, with all that it started.
#[derive(Debug, Clone, PartialEq)]
struct Usage {
    pod: String,
    container: &'static str,
    cpu: Duration,
    memory_bytes: u64,
    limit_bytes: u64,
}

/// What each role's processes have used so far, also those that have ended since: an engine is replaced, and a counter
/// that fell would be taken for one that began anew.
#[derive(Debug, Default)]
struct Meter {
    /// Milliseconds of the living, by process id and start.
    seen: BTreeMap<(Pid, u64), u64>,
    /// Milliseconds by pod.
    total: BTreeMap<String, u64>,
}

impl Meter {
    /// Adds what a pod's living processes used since the last time; returns the pod's sum.
    fn add(&mut self, pod: &str, living: &[(Pid, u64, u64)]) -> Duration {
        let total = self.total.entry(pod.to_owned()).or_default();
        for (pid, start, used) in living {
            let before = self.seen.insert((*pid, *start), *used).unwrap_or_default();
            *total += used.saturating_sub(before);
        }
        Duration::from_millis(*total)
    }

    /// Forgets processes that have ended.
    fn keep(&mut self, is_alive: impl Fn(Pid, u64) -> bool) {
        self.seen.retain(|(pid, start), _| is_alive(*pid, *start));
    }
}

/// Answers on the node's port until it is dropped; never ends by itself.
pub(super) async fn serve(layout: Layout, node: NodeSpec, index: usize) {
    let meter = Arc::new(Mutex::new(Meter::default()));
    let listener = loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, node.metrics_port)).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(BIND_AGAIN).await,
        }
    };
    let running = {
        let (layout, node) = (layout.clone(), node.clone());
        move || pods(&layout, &node).len()
    };
    let measured = move || {
        let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
        cadvisor(&usages(&layout, &node, index, &mut meter))
    };
    let router = Router::new()
        .route("/metrics", get(async move || (CONTENT_TYPE, kubelet(running()))))
        .route("/metrics/cadvisor", get(async move || (CONTENT_TYPE, measured())));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the node's metrics are not served any more");
    }
    // The node goes on without them.
    std::future::pending::<()>().await;
}

/// Process ids of the roles that live, by their place in the node.
fn pods(layout: &Layout, node: &NodeSpec) -> Vec<(usize, u32)> {
    let record = |name: String| Record::read(&layout.record(&name)).filter(Record::is_alive);
    let alive = node.roles.iter().enumerate().filter_map(|(place, role)| {
        record(format!("{}/{}", node.name, role.role.name())).map(|record| (place, record.process.pid))
    });
    alive.collect()
}

fn usages(layout: &Layout, node: &NodeSpec, index: usize, meter: &mut Meter) -> Vec<Usage> {
    // Without the numbers of this moment there is a gap in the curves, and nothing else.
    let Ok(mut system) = System::new() else { return Vec::new() };
    system.refresh_memory();
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let parents: BTreeMap<Pid, Option<Pid>> =
        system.processes().iter().map(|(pid, process)| (*pid, process.parent())).collect();
    meter.keep(|pid, start| system.process(pid).is_some_and(|process| process.start_time() == start));
    pods(layout, node)
        .into_iter()
        .map(|(place, pid)| {
            let (role, root) = (&node.roles[place], Pid::from_u32(pid));
            // Threads are listed beside processes, and counted in them.
            let family: Vec<&Process> = system
                .processes()
                .values()
                .filter(|process| process.thread_kind().is_none() && descends(&parents, process.pid(), root))
                .collect();
            let living: Vec<(Pid, u64, u64)> = family
                .iter()
                .map(|process| (process.pid(), process.start_time(), process.accumulated_cpu_time()))
                .collect();
            let pod = role.pod(index);
            Usage {
                cpu: meter.add(&pod, &living),
                pod,
                container: role.role.name(),
                memory_bytes: family.iter().map(|process| process.memory()).sum(),
                limit_bytes: system.total_memory(),
            }
        })
        .collect()
}

fn descends(parents: &BTreeMap<Pid, Option<Pid>>, pid: Pid, root: Pid) -> bool {
    let mut next = Some(pid);
    while let Some(at) = next {
        if at == root {
            return true;
        }
        next = parents.get(&at).copied().flatten();
    }
    false
}

fn kubelet(running: usize) -> String {
    format!("# TYPE kubelet_running_pods gauge\nkubelet_running_pods {running}\n")
}

fn cadvisor(usages: &[Usage]) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, value: &dyn Fn(&Usage) -> f64| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for usage in usages {
            let Usage { pod, container, .. } = usage;
            let labels = format!("namespace=\"ocr\",pod=\"{pod}\",container=\"{container}\"");
            let _ = writeln!(text, "{name}{{{labels}}} {}", value(usage));
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "no machine's memory needs more than 52 bits")]
    let bytes = |count: u64| count as f64;
    metric("container_cpu_usage_seconds_total", "counter", &|usage| usage.cpu.as_secs_f64());
    metric("container_memory_usage_bytes", "gauge", &|usage| bytes(usage.memory_bytes));
    metric("container_memory_working_set_bytes", "gauge", &|usage| bytes(usage.memory_bytes));
    metric("container_spec_memory_limit_bytes", "gauge", &|usage| bytes(usage.limit_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_counted_with_all_that_it_started_and_no_other() {
        let pid = Pid::from_u32;
        let parents = BTreeMap::from([
            (pid(1), None),
            (pid(10), Some(pid(1))),
            (pid(11), Some(pid(10))),
            (pid(20), Some(pid(1))),
        ]);
        assert!(descends(&parents, pid(11), pid(10)) && descends(&parents, pid(10), pid(10)));
        assert!(!descends(&parents, pid(20), pid(10)));
    }

    #[test]
    fn what_an_ended_process_used_stays_counted() {
        let (mut meter, pid) = (Meter::default(), Pid::from_u32);
        let mut sum = |pod: &str, living: &[_]| meter.add(pod, living).as_millis();
        assert_eq!(sum("model-server-1", &[(pid(1), 7, 2000), (pid(2), 7, 3000)]), 5000);
        assert_eq!(sum("model-server-1", &[(pid(1), 7, 2500)]), 5500);
        assert_eq!(sum("ocr-gateway-1", &[]), 0);
        meter.keep(|it, _| it == pid(1));
        // The same id, another process.
        let living = [(pid(1), 7, 2500), (pid(2), 9, 1000)];
        assert_eq!(meter.add("model-server-1", &living).as_millis(), 6500);
    }

    #[test]
    fn the_numbers_have_a_cadvisors_names_and_labels() {
        let usage = Usage {
            pod: "model-server-1".into(),
            container: "model",
            cpu: Duration::from_millis(1500),
            memory_bytes: 1024,
            limit_bytes: 4096,
        };
        let text = cadvisor(&[usage]);
        let labels = r#"{namespace="ocr",pod="model-server-1",container="model"}"#;
        assert!(text.contains(&format!("container_cpu_usage_seconds_total{labels} 1.5\n")), "{text}");
        assert!(text.contains(&format!("container_memory_usage_bytes{labels} 1024\n")), "{text}");
    }
}
