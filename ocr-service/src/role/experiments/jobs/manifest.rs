//! The Job of an experiment, as Kubernetes is given it.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::batch::v1::PodFailurePolicyOnPodConditionsPattern as OnCondition;
use k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicy, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, LocalObjectReference, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::role::experiments::experiment::Asked;

/// Where the volumes are in the Job's container.
pub const INPUT: &str = "/input";
pub const OUTPUT: &str = "/output";
/// The service's own user, who is no one's root.
const USER: i64 = 65_532;
/// The program is process 1, for which SIGTERM has no default: it would only be waited for.
const GRACE_SECONDS: i64 = 2;

/// The watch looks every two seconds, and may have to wait for the database.
const SHORTEST_KEPT: Duration = Duration::from_mins(1);

/// What all Jobs have in common.
#[derive(Clone, Debug)]
pub struct JobConfig {
    pub image: String,
    /// Before the arguments of the experiment: the service's image takes `train`.
    pub first_args: Vec<String>,
    pub pull_secrets: Vec<String>,
    pub input_claim: String,
    pub output_claim: String,
    /// The longest that a Job may take, from its creation.
    pub limit: Duration,
    /// How long a Job that has ended is kept.
    pub kept: Duration,
    pub memory: String,
    /// The chart's release, for the label app.kubernetes.io/instance.
    pub instance: String,
}

/// The arguments of the training of an experiment: `train` and its flags.
pub fn train_args(asked: &Asked, input: &Path, output: &Path) -> Vec<String> {
    let mut args = vec!["train".to_owned()];
    args.extend(flags(asked, &input.to_string_lossy(), &output.to_string_lossy()));
    args
}

fn flags(asked: &Asked, input: &str, output: &str) -> [String; 10] {
    [
        "--learning-rate".into(),
        asked.learning_rate.get().to_string(),
        "--epochs".into(),
        asked.epochs.get().to_string(),
        "--experiment-id".into(),
        asked.id.to_string(),
        "--input".into(),
        input.into(),
        "--output".into(),
        output.into(),
    ]
}

pub fn job(asked: &Asked, config: &JobConfig) -> Job {
    let labels = || {
        let pairs = [
            ("app.kubernetes.io/name", "ocr-app"),
            ("app.kubernetes.io/component", "experiment"),
            ("app.kubernetes.io/part-of", "platen"),
            ("app.kubernetes.io/managed-by", "ocr-service"),
            ("app.kubernetes.io/instance", config.instance.as_str()),
            ("platen.dev/experiment-id", asked.id.as_str()),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    };
    Job {
        metadata: ObjectMeta { name: Some(asked.id.job()), labels: Some(labels()), ..ObjectMeta::default() },
        spec: Some(JobSpec {
            // A training is the same each time: one that failed would fail again. A pod that is lost with its node
            // is no such failure.
            backoff_limit: Some(0),
            pod_failure_policy: Some(lost_pods_do_not_count()),
            active_deadline_seconds: seconds(config.limit).map(i64::from),
            // Its end must be seen before it goes.
            ttl_seconds_after_finished: seconds(config.kept.max(SHORTEST_KEPT)),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels()), ..ObjectMeta::default() }),
                spec: Some(pod(asked, config)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn seconds(duration: Duration) -> Option<i32> {
    i32::try_from(duration.as_secs()).ok()
}

fn lost_pods_do_not_count() -> PodFailurePolicy {
    let disrupted = OnCondition { type_: "DisruptionTarget".into(), status: Some("True".into()) };
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".into(),
            on_pod_conditions: Some(vec![disrupted]),
            on_exit_codes: None,
        }],
    }
}

/// As Pod Security `restricted` demands; and without a token, for a training asks nothing of the cluster.
fn pod(asked: &Asked, config: &JobConfig) -> PodSpec {
    let secrets = config.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        image_pull_secrets: Some(secrets.collect()).filter(|secrets: &Vec<_>| !secrets.is_empty()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(asked, config)],
        volumes: Some(vec![
            claim("input", &config.input_claim, true),
            claim("output", &config.output_claim, false),
            Volume {
                name: "tmp".into(),
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..Volume::default()
            },
        ]),
        ..PodSpec::default()
    }
}

fn claim(name: &str, claim_name: &str, read_only: bool) -> Volume {
    let claim =
        PersistentVolumeClaimVolumeSource { claim_name: claim_name.into(), read_only: Some(read_only) };
    Volume { name: name.into(), persistent_volume_claim: Some(claim), ..Volume::default() }
}

fn container(asked: &Asked, config: &JobConfig) -> Container {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let memory = || Some([("memory".to_owned(), Quantity(config.memory.clone()))].into());
    Container {
        name: "train".into(),
        image: Some(config.image.clone()),
        args: Some(config.first_args.iter().cloned().chain(flags(asked, INPUT, OUTPUT)).collect()),
        // The last line of a failure stands in the pod's status, where it is read.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![
            mount("input", INPUT, true),
            mount("output", OUTPUT, false),
            mount("tmp", "/tmp", false),
        ]),
        resources: Some(ResourceRequirements {
            requests: memory(),
            limits: memory(),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}
