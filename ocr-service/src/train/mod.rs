//! Trains a small autoencoder on the images of a folder: what an experiment's Job runs.
//!
//! Written with ndarray and its own gradients rather than with a framework: three dense layers do not need one, and
//! candle alone is 129 crates (tokenizers among them), which every build of the service would pay for.

pub mod args;
mod input;
mod network;
mod optimizer;
mod output;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Instant;

pub use args::TrainArgs;
use ndarray::{Array2, Axis};
use network::Autoencoder;
use optimizer::Adam;

use crate::random::Random;

/// Images in a step.
const BATCH: usize = 16;
/// Widths of the layers between two pictures; the middle one is the code.
const HIDDEN: usize = 64;
const CODE: usize = 16;
/// The same for every run, so that two runs differ by what they were asked for.
const SEED: u64 = 20_261_121;
/// A loss this many times the untrained one will not come back.
const HOPELESS: f64 = 100.0;

/// Why there is no trained model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the experiment {0} has results already; choose another --experiment-id")]
    Used(String),
    #[error("cannot read the input folder {folder}: {source}; name a folder with images with --input", folder = folder.display())]
    Unreadable { folder: PathBuf, source: std::io::Error },
    #[error("no PNG or JPEG image that can be read is in {}{}; put images there or name another folder with --input", folder.display(), others(*skipped))]
    NoImages { folder: PathBuf, skipped: usize },
    #[error("cannot write {}: {source}; user {} must be able to write there, or name another folder with --output", path.display(), rustix::process::getuid().as_raw())]
    Output { path: PathBuf, source: std::io::Error },
    #[error("the loss diverged at epoch {epoch} ({loss:.3e}); try a smaller learning rate")]
    Diverged { epoch: u32, loss: f64 },
}

fn others(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" ({count} other files were passed over)") }
}

impl TrainError {
    /// 1: the training failed; 2: it was asked for wrongly; 3: the machine lacks something.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Diverged { .. } => 1,
            Self::Used(_) => 2,
            Self::Unreadable { .. } | Self::NoImages { .. } | Self::Output { .. } => 3,
        }
    }
}

/// This process was started as a training, as experiments do it: the subcommand first.
pub fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == "train")
}

/// Trains, and leaves the results under `{output}/{experiment_id}/`: whole, or not there.
pub fn run(args: &TrainArgs) -> Result<(), TrainError> {
    if args.end_with_parent {
        end_with_parent();
    }
    let begun = Instant::now();
    let results = output::Results::begin(&args.output, &args.experiment_id)?;
    let images = input::read(&args.input)?;
    tracing::info!(images = images.nrows(), epochs = args.epochs.get(), "training begins");
    let mut network = Autoencoder::new(&[input::PIXELS, HIDDEN, CODE, HIDDEN, input::PIXELS], SEED);
    let (losses, diverged) = fit(&mut network, &images, args);
    let summary = output::Summary {
        experiment_id: args.experiment_id.as_str(),
        state: if diverged.is_some() { "diverged" } else { "succeeded" },
        learning_rate: args.learning_rate.get(),
        epochs: args.epochs.get(),
        images: images.nrows(),
        side: input::SIDE,
        parameters: network.parameters(),
        losses: &losses,
        seconds: begun.elapsed().as_secs_f64(),
    };
    results.finish(&summary, &network, &images)?;
    tracing::info!(seconds = summary.seconds, folder = %args.output.join(summary.experiment_id).display(), "results written");
    diverged.map_or(Ok(()), Err)
}

/// The loss before training and after each epoch, and whether it diverged.
fn fit(network: &mut Autoencoder, images: &Array2<f32>, args: &TrainArgs) -> (Vec<f64>, Option<TrainError>) {
    let untrained = network.loss(images);
    let mut losses = vec![untrained];
    let mut adam = Adam::new(network, args.learning_rate.get());
    let mut random = Random::new(SEED);
    let mut order: Vec<usize> = (0..images.nrows()).collect();
    for epoch in 1..=args.epochs.get() {
        random.shuffle(&mut order);
        for batch in order.chunks(BATCH) {
            let gradients = network.gradients(&images.select(Axis(0), batch));
            adam.step(network, &gradients);
        }
        let loss = network.loss(images);
        losses.push(loss);
        tracing::info!(epoch, of = args.epochs.get(), loss, "epoch done");
        if !loss.is_finite() || loss > untrained * HOPELESS {
            return (losses, Some(TrainError::Diverged { epoch, loss }));
        }
    }
    (losses, None)
}

/// Ends this process when the one that started it has ended, however that happened: it holds the other end of the
/// standard input.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
