//! What a training leaves: `loss.csv`, `loss.svg`, `model.safetensors`, `reconstruction.png`, `result.json`.
//!
//! Written to a hidden folder that gets its name at the end, so that a folder with an experiment's name is whole.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis, Slice};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Serialize;

use super::TrainError;
use super::input::{PIXELS, SIDE};
use super::network::Autoencoder;
use crate::role::experiments::parameters::ExperimentId;

/// Pictures in `reconstruction.png`, and the space between them in pixels.
const SHOWN: usize = 8;
const GAP: usize = 2;

/// What `result.json` says.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    pub experiment_id: &'a str,
    pub state: &'a str,
    pub learning_rate: f64,
    pub epochs: u32,
    pub images: usize,
    /// Width and height of the pictures that the network sees.
    pub side: usize,
    pub parameters: usize,
    /// Mean squared error of a pixel, before training and after each epoch; null where it is no number.
    pub losses: &'a [f64],
    pub seconds: f64,
}

/// Results that are being made.
pub struct Results {
    partial: PathBuf,
    place: PathBuf,
}

impl Results {
    /// Refuses a name that has results; what an attempt left that was cut off is removed.
    pub fn begin(output: &Path, id: &ExperimentId) -> Result<Self, TrainError> {
        let place = output.join(id.as_str());
        // Also what the name links to nowhere is used.
        if place.symlink_metadata().is_ok() {
            return Err(TrainError::Used(id.to_string()));
        }
        let partial = output.join(format!(".{id}.partial"));
        let failed = |source| TrainError::Output { path: partial.clone(), source };
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(failed)?;
        }
        std::fs::create_dir_all(&partial).map_err(failed)?;
        Ok(Self { partial, place })
    }

    pub fn finish(
        &self,
        summary: &Summary<'_>,
        network: &Autoencoder,
        images: &Array2<f32>,
    ) -> Result<(), TrainError> {
        self.write("loss.csv", csv(summary.losses).as_bytes())?;
        self.write("loss.svg", svg(summary).as_bytes())?;
        self.write("model.safetensors", &model(network).map_err(|source| self.failed(source))?)?;
        self.write("reconstruction.png", &picture(network, images).map_err(|source| self.failed(source))?)?;
        let result = serde_json::to_vec_pretty(summary).map_err(|source| self.failed(source.into()))?;
        self.write("result.json", &result)?;
        std::fs::rename(&self.partial, &self.place).map_err(|source| self.failed(source))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), TrainError> {
        let path = self.partial.join(name);
        let write = || {
            let mut file = std::fs::File::create(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().map_err(|source| TrainError::Output { path: path.clone(), source })
    }

    fn failed(&self, source: std::io::Error) -> TrainError {
        TrainError::Output { path: self.partial.clone(), source }
    }
}

impl Drop for Results {
    /// What was not finished is not left behind.
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.partial);
    }
}

/// Epoch 0 is the untrained network.
fn csv(losses: &[f64]) -> String {
    let mut text = String::from("epoch,loss\n");
    for (epoch, loss) in losses.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{epoch},{loss}");
    }
    text
}

/// The losses on a logarithmic scale: those of a late epoch differ little and matter most.
fn svg(summary: &Summary<'_>) -> String {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 620.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 320.0;
    let logs: Vec<f64> =
        summary.losses.iter().filter(|loss| loss.is_finite()).map(|loss| loss.max(1e-12).log10()).collect();
    let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
    let lowest = logs.iter().copied().fold(f64::INFINITY, f64::min).floor().min(highest - 1.0);
    let y_of = |log: f64| TOP + (highest - log) / (highest - lowest) * (BOTTOM - TOP);
    let mut points = String::new();
    for (epoch, log) in logs.iter().enumerate() {
        let epoch = f64::from(u32::try_from(epoch).unwrap_or(u32::MAX));
        let x = LEFT + epoch / f64::from(summary.epochs) * (RIGHT - LEFT);
        let _ = write!(points, "{x:.1},{:.1} ", y_of(*log));
    }
    let mut lines = String::new();
    let mut decade = lowest;
    while decade <= highest {
        let y = y_of(decade);
        let _ = writeln!(
            lines,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">1e{decade}</text>",
            y + 4.0
        );
        decade += 1.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 370\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"640\" height=\"370\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"14\">{}: loss by epoch, learning rate {}, {} images</text>\n\
         {lines}<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/>\n\
         <text x=\"{LEFT}\" y=\"340\">0</text><text x=\"{RIGHT}\" y=\"340\" text-anchor=\"end\">{}</text>\n\
         <text x=\"345\" y=\"358\" text-anchor=\"middle\">epoch</text>\n</svg>\n",
        summary.experiment_id,
        summary.learning_rate,
        summary.images,
        points.trim_end(),
        summary.epochs,
    )
}

/// Weights as (inputs, outputs), little-endian, under PyTorch-like names.
fn model(network: &Autoencoder) -> std::io::Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        let weights: Vec<u8> = layer.weights.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bias: Vec<u8> = layer.bias.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((format!("layers.{index}.weight"), layer.weights.shape().to_vec(), weights));
        tensors.push((format!("layers.{index}.bias"), layer.bias.shape().to_vec(), bias));
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect();
    let bytes = views.and_then(|views| safetensors::serialize(views, None));
    bytes.map_err(std::io::Error::other)
}

/// The first images above, what the network makes of each below.
fn picture(network: &Autoencoder, images: &Array2<f32>) -> std::io::Result<Vec<u8>> {
    let shown = images.nrows().min(SHOWN);
    let originals = images.slice_axis(Axis(0), Slice::from(..shown)).to_owned();
    let reconstructions = network.reconstruct(&originals);
    let (width, height) = (shown * (SIDE + GAP) - GAP, 2 * SIDE + GAP);
    let mut pixels = vec![128_u8; width * height];
    for (row, pictures) in [&originals, &reconstructions].into_iter().enumerate() {
        for column in 0..shown {
            for pixel in 0..PIXELS {
                let x = column * (SIDE + GAP) + pixel % SIDE;
                let y = row * (SIDE + GAP) + pixel / SIDE;
                pixels[y * width + x] = grey(1.0 - pictures[(column, pixel)]);
            }
        }
    }
    let side = |pixels: usize| u32::try_from(pixels).map_err(std::io::Error::other);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}

fn grey(value: f32) -> u8 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits; what is no number becomes 0"
    )]
    let grey = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
    grey
}
