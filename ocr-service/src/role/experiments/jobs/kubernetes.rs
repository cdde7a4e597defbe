//! Jobs in the namespace of this pod, through its own ServiceAccount.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams, PostParams};
use kube::{Api, Client, Config};

use super::manifest::{self, JobConfig};
use super::{Jobs, JobsError, explain};
use crate::role::experiments::experiment::{Asked, State, Status};
use crate::role::experiments::owner::Owner;
use crate::role::experiments::parameters::JOB_PREFIX;

/// An API server that takes longer is asked again; the defaults are made for long watches.
const CONNECT: Duration = Duration::from_secs(3);
const READ: Duration = Duration::from_secs(10);

pub struct Kubernetes {
    namespace: String,
    jobs: Api<Job>,
    pods: Api<Pod>,
    config: JobConfig,
}

impl Kubernetes {
    /// With the address, token and namespace that a pod is given.
    pub fn in_cluster(config: JobConfig) -> Result<Self, String> {
        let mut cluster = Config::incluster()
            .map_err(|error| format!("this is no pod with a service account ({error}); use --jobs local"))?;
        (cluster.connect_timeout, cluster.read_timeout) = (Some(CONNECT), Some(READ));
        let namespace = cluster.default_namespace.clone();
        let client =
            Client::try_from(cluster).map_err(|error| format!("no client for the cluster: {error}"))?;
        Ok(Self::new(client, &namespace, config))
    }

    pub fn new(client: Client, namespace: &str, config: JobConfig) -> Self {
        Self {
            namespace: namespace.to_owned(),
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client, namespace),
            config,
        }
    }

    async fn pods_of(&self, job: &str) -> Result<Vec<Pod>, kube::Error> {
        let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        Ok(self.pods.list(&selector).await?.items)
    }

    /// The end of what the pod has logged, where its status does not have it.
    async fn last_log_line(&self, pod: &Pod) -> Option<String> {
        let name = pod.metadata.name.as_deref()?;
        let params = LogParams { tail_lines: Some(5), limit_bytes: Some(4096), ..LogParams::default() };
        let text = self.pods.logs(name, &params).await.ok()?;
        explain::last_line(&text).map(str::to_owned)
    }
}

#[async_trait::async_trait]
impl Jobs for Kubernetes {
    fn owner(&self) -> Owner {
        Owner::Namespace(self.namespace.clone())
    }

    async fn start(&self, asked: &Asked) -> Result<(), JobsError> {
        let job = manifest::job(asked, &self.config);
        match self.jobs.create(&PostParams::default(), &job).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Err(JobsError::Used(format!("there is a Job {} already", asked.id.job())))
            }
            Err(error) => Err(refused_or_unavailable(error)),
        }
    }

    async fn status(&self, id: &str, last: &Status) -> Result<Option<Status>, JobsError> {
        let name = format!("{JOB_PREFIX}{id}");
        let Some(job) = self.jobs.get_opt(&name).await.map_err(refused_or_unavailable)? else {
            return Ok(None);
        };
        let pods = self.pods_of(&name).await.map_err(refused_or_unavailable)?;
        let mut status = explain::status(&job, &pods, last);
        if status.state == State::Failed
            && status.exit_code.is_some()
            && let Some(pod) = explain::newest(&pods).filter(|pod| !said_something(pod))
            && let Some(line) = self.last_log_line(pod).await
        {
            status.message = Some(line);
        }
        Ok(Some(status))
    }
}

fn said_something(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses
        .into_iter()
        .flatten()
        .filter_map(|status| status.state.as_ref()?.terminated.as_ref())
        .any(|end| end.message.is_some() || end.reason.as_deref() == Some("OOMKilled"))
}

/// What the API server decides and what is only its being away.
fn refused_or_unavailable(error: kube::Error) -> JobsError {
    match error {
        kube::Error::Api(status) if status.code == 429 || status.code >= 500 => {
            JobsError::Unavailable(format!("the cluster is busy: {}", status.message))
        }
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            let what = "the service account may not do this; its Role must allow jobs (create, get), pods (list) and pods/log (get)";
            JobsError::Refused(format!("{what}: {}", status.message))
        }
        kube::Error::Api(status) => JobsError::Refused(format!("the cluster refuses it: {}", status.message)),
        other => JobsError::Unavailable(format!("the cluster's API does not answer: {other}")),
    }
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
