//! The autoencoder: dense layers with their gradients.

use ndarray::{Array1, Array2, Axis};

use crate::random::Random;

/// Weights and bias; of the same shape, their gradients and the optimiser's moments.
#[derive(Clone, Debug)]
pub struct Dense {
    pub weights: Array2<f32>,
    pub bias: Array1<f32>,
}

impl Dense {
    pub fn zeros_like(other: &Self) -> Self {
        Self { weights: Array2::zeros(other.weights.dim()), bias: Array1::zeros(other.bias.dim()) }
    }

    /// Glorot's bounds, which keep the size of what passes from layer to layer.
    fn random((inputs, outputs): (usize, usize), random: &mut Random) -> Self {
        let neurons = u16::try_from(inputs + outputs).unwrap_or(u16::MAX);
        let bound = (6.0 / f32::from(neurons)).sqrt();
        let weights = Array2::from_shape_simple_fn((inputs, outputs), || random.within(bound));
        Self { weights, bias: Array1::zeros(outputs) }
    }
}

/// Layers from picture to code to picture. Rectified after each, except after the code and the picture.
pub struct Autoencoder {
    pub layers: Vec<Dense>,
}

impl Autoencoder {
    /// Layers between consecutive `widths`.
    pub fn new(widths: &[usize], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let layers = widths.windows(2).map(|pair| Dense::random((pair[0], pair[1]), &mut random));
        Self { layers: layers.collect() }
    }

    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.weights.len() + layer.bias.len()).sum()
    }

    pub fn reconstruct(&self, images: &Array2<f32>) -> Array2<f32> {
        let mut values = images.clone();
        for index in 0..self.layers.len() {
            values = self.pass(index, &values);
        }
        values
    }

    /// Mean squared error of a pixel.
    pub fn loss(&self, images: &Array2<f32>) -> f64 {
        let error = self.reconstruct(images) - images;
        let squares = error.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        squares / count(error.len())
    }

    /// The loss's derivative by every parameter.
    pub fn gradients(&self, images: &Array2<f32>) -> Vec<Dense> {
        let mut values = vec![images.clone()];
        for index in 0..self.layers.len() {
            values.push(self.pass(index, &values[index]));
        }
        let scale = 2.0
            / f32::from(u16::try_from(images.nrows()).unwrap_or(u16::MAX))
            / f32::from(u16::try_from(images.ncols()).unwrap_or(u16::MAX));
        let mut delta = (&values[self.layers.len()] - images) * scale;
        let mut gradients = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate().rev() {
            if self.rectified(index) {
                delta.zip_mut_with(&values[index + 1], |slope, value| {
                    if *value <= 0.0 {
                        *slope = 0.0;
                    }
                });
            }
            gradients.push(Dense { weights: values[index].t().dot(&delta), bias: delta.sum_axis(Axis(0)) });
            if index > 0 {
                delta = delta.dot(&layer.weights.t());
            }
        }
        gradients.reverse();
        gradients
    }

    fn rectified(&self, index: usize) -> bool {
        index + 1 != self.layers.len() && index + 1 != self.layers.len() / 2
    }

    fn pass(&self, index: usize, values: &Array2<f32>) -> Array2<f32> {
        let layer = &self.layers[index];
        let mut out = values.dot(&layer.weights) + &layer.bias;
        if self.rectified(index) {
            out.mapv_inplace(|value| value.max(0.0));
        }
        out
    }
}

fn count(items: usize) -> f64 {
    f64::from(u32::try_from(items).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures() -> Array2<f32> {
        let mut random = Random::new(3);
        Array2::from_shape_simple_fn((5, 6), || random.within(1.0))
    }

    #[test]
    fn the_gradients_are_the_slopes_of_the_loss() {
        let (images, step) = (pictures(), 1e-2_f32);
        let network = Autoencoder::new(&[6, 5, 2, 5, 6], 7);
        let gradients = network.gradients(&images);
        for (layer, gradient) in gradients.iter().enumerate() {
            for place in [(0, 0), (1, 1), (0, 1)] {
                let moved = |by: f32| {
                    let mut other = Autoencoder { layers: network.layers.clone() };
                    other.layers[layer].weights[place] += by;
                    other.loss(&images)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                let found = f64::from(gradient.weights[place]);
                assert!((slope - found).abs() < 2e-3, "layer {layer} {place:?}: {slope} and {found}");
            }
            let moved = |by: f32| {
                let mut other = Autoencoder { layers: network.layers.clone() };
                other.layers[layer].bias[1] += by;
                other.loss(&images)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let found = f64::from(gradient.bias[1]);
            assert!((slope - found).abs() < 2e-3, "bias of layer {layer}: {slope} and {found}");
        }
    }

    #[test]
    fn the_code_and_the_picture_are_not_rectified() {
        let network = Autoencoder::new(&[6, 5, 2, 5, 6], 7);
        let rectified: Vec<_> = (0..4).map(|index| network.rectified(index)).collect();
        assert_eq!(rectified, [true, false, true, false]);
    }

    #[test]
    fn one_seed_gives_one_network() {
        let of = |seed| Autoencoder::new(&[6, 2, 6], seed).layers.remove(0).weights;
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
