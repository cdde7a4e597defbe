//! The settings of the role.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::jobs::manifest::JobConfig;
use super::store::target::DatabaseArgs;
use crate::cli::{LimitArgs, ServerArgs};
use crate::duration;

#[derive(Debug, Args)]
pub struct ExperimentsRoleArgs {
    /// The port to listen on; 0 takes any free one
    #[arg(long, env = "PLATEN_LISTEN_PORT", default_value_t = 5002)]
    pub port: u16,
    #[command(flatten)]
    pub experiments: ExperimentsArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// What `serve` takes as well.
#[derive(Clone, Debug, Args)]
pub struct ExperimentsArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The folder of the SQLite file, and of the results and logs of local Jobs
    #[arg(long, value_name = "DIR", env = "PLATEN_EXPERIMENTS_DATA", default_value = ".platen/experiments")]
    pub experiments_data: PathBuf,
    /// The folder with the images that local Jobs train on [default: input in the data folder]
    #[arg(long, value_name = "DIR", env = "PLATEN_EXPERIMENTS_INPUT")]
    pub experiments_input: Option<PathBuf>,
    #[command(flatten)]
    pub job: JobArgs,
}

/// Where Jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JobsKind {
    /// Processes beside this one
    Local,
    /// Jobs of the cluster that this pod is in
    Kubernetes,
}

#[derive(Clone, Debug, Args)]
pub struct JobArgs {
    /// Where experiments run
    #[arg(long, env = "PLATEN_JOBS", value_enum, default_value = "local")]
    pub jobs: JobsKind,
    /// The longest that a Job may take
    #[arg(long, env = "PLATEN_JOB_LIMIT", default_value = "60m", value_parser = duration::parse)]
    pub job_limit: Duration,
    /// In a cluster: the image of the Jobs; the service's own
    #[arg(long, env = "PLATEN_JOB_IMAGE")]
    pub job_image: Option<String>,
    /// In a cluster: another image for the Jobs, which goes before --job-image
    #[arg(long, env = "AE_MODEL_IMAGE_URL")]
    pub job_model_image: Option<String>,
    /// In a cluster: what the image is given before --learning-rate and the others, separated by commas
    #[arg(
        long,
        env = "PLATEN_JOB_FIRST_ARGS",
        value_delimiter = ',',
        default_value = "train",
        allow_hyphen_values = true
    )]
    pub job_first_args: Vec<String>,
    /// In a cluster: the claim of the volume with the images
    #[arg(long, env = "PLATEN_JOB_INPUT_CLAIM", default_value = "experiments-input")]
    pub job_input_claim: String,
    /// In a cluster: the claim of the volume for the results
    #[arg(long, env = "PLATEN_JOB_OUTPUT_CLAIM", default_value = "experiments-output")]
    pub job_output_claim: String,
    /// In a cluster: how long a Job that has ended is kept
    #[arg(long, env = "PLATEN_JOB_KEPT", default_value = "60m", value_parser = duration::parse)]
    pub job_kept: Duration,
    /// In a cluster: the memory of a Job
    #[arg(long, env = "PLATEN_JOB_MEMORY", default_value = "512Mi")]
    pub job_memory: String,
    /// In a cluster: pull secrets of the Jobs, separated by commas
    #[arg(long, env = "PLATEN_JOB_PULL_SECRETS", value_delimiter = ',')]
    pub job_pull_secrets: Vec<String>,
    /// In a cluster: the label app.kubernetes.io/instance of the Jobs
    #[arg(long, env = "PLATEN_JOB_INSTANCE", default_value = "ocr")]
    pub job_instance: String,
}

impl JobArgs {
    /// Nothing if no image is named. An empty variable counts as not set.
    pub fn config(&self) -> Option<JobConfig> {
        let given = |list: &[String]| list.iter().filter(|item| !item.is_empty()).cloned().collect();
        let image =
            [&self.job_model_image, &self.job_image].into_iter().flatten().find(|image| !image.is_empty());
        Some(JobConfig {
            image: image?.clone(),
            first_args: given(&self.job_first_args),
            pull_secrets: given(&self.job_pull_secrets),
            input_claim: self.job_input_claim.clone(),
            output_claim: self.job_output_claim.clone(),
            limit: self.job_limit,
            kept: self.job_kept,
            memory: self.job_memory.clone(),
            instance: self.job_instance.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        job: JobArgs,
    }

    fn config(line: &str) -> Option<JobConfig> {
        Line::parse_from(line.split(' ')).job.config()
    }

    #[test]
    fn the_users_image_goes_before_the_services_own() {
        assert_eq!(config("x --job-image own:1").unwrap().image, "own:1");
        assert_eq!(config("x --job-image own:1 --job-model-image theirs:2").unwrap().image, "theirs:2");
        assert_eq!(config("x --job-image own:1 --job-model-image=").unwrap().image, "own:1");
        assert!(config("x --jobs kubernetes").is_none());
    }

    #[test]
    fn an_image_that_takes_no_subcommand_is_given_none() {
        assert_eq!(config("x --job-image a").unwrap().first_args, ["train"]);
        assert!(config("x --job-image a --job-first-args=").unwrap().first_args.is_empty());
        assert_eq!(config("x --job-image a --job-first-args=-m,ae").unwrap().first_args, ["-m", "ae"]);
    }
}
