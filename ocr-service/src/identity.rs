//! What this process is called in its answers: its pod and its node in a cluster.

use axum::http::HeaderValue;

#[derive(Clone, Debug, Default)]
pub struct Identity {
    instance: Option<HeaderValue>,
    node: Option<HeaderValue>,
}

impl Identity {
    /// The instance is the machine's host name where none is given: in a pod, that is the pod's name.
    pub fn new(instance: Option<&str>, node: Option<&str>) -> Self {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let instance = instance.map(str::to_owned).or_else(host);
        Self { instance: instance.as_deref().and_then(header), node: node.and_then(header) }
    }

    pub fn instance(&self) -> Option<HeaderValue> {
        self.instance.clone()
    }

    pub fn node(&self) -> Option<HeaderValue> {
        self.node.clone()
    }
}

fn header(text: &str) -> Option<HeaderValue> {
    let text = text.trim();
    if text.is_empty() { None } else { HeaderValue::from_str(text).ok() }
}
