//! The arguments of `train`.

use std::path::PathBuf;

use clap::Args;

use crate::role::experiments::parameters::{Epochs, ExperimentId, LearningRate};

#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// The step width of the optimiser, above 0 and at most 10
    #[arg(long)]
    pub learning_rate: LearningRate,
    /// How many times all images are seen, 1 to 10000
    #[arg(long)]
    pub epochs: Epochs,
    /// The name of the folder of the results
    #[arg(long)]
    pub experiment_id: ExperimentId,
    /// The folder with the images: PNG or JPEG
    #[arg(long, value_name = "DIR")]
    pub input: PathBuf,
    /// The folder under which the results' folder is made
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Ends when standard input is closed, and so with the process that holds it
    #[arg(long, hide = true)]
    pub end_with_parent: bool,
}
