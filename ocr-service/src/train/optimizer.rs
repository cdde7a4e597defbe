//! Adam (Kingma and Ba 2015), with the paper's constants.

use ndarray::{ArrayBase, DataMut, Dimension, RawData, Zip};

use super::network::{Autoencoder, Dense};

const MEAN_DECAY: f32 = 0.9;
const SQUARE_DECAY: f32 = 0.999;
const SMALL: f32 = 1e-8;

pub struct Adam {
    learning_rate: f32,
    means: Vec<Dense>,
    squares: Vec<Dense>,
    steps: i32,
}

impl Adam {
    pub fn new(network: &Autoencoder, learning_rate: f64) -> Self {
        let zeros: Vec<_> = network.layers.iter().map(Dense::zeros_like).collect();
        #[expect(clippy::cast_possible_truncation, reason = "a learning rate needs no more digits")]
        let learning_rate = learning_rate as f32;
        Self { learning_rate, means: zeros.clone(), squares: zeros, steps: 0 }
    }

    pub fn step(&mut self, network: &mut Autoencoder, gradients: &[Dense]) {
        self.steps = self.steps.saturating_add(1);
        // The moments begin at nought: this takes that out again.
        let warm = (1.0 - SQUARE_DECAY.powi(self.steps)).sqrt() / (1.0 - MEAN_DECAY.powi(self.steps));
        let rate = self.learning_rate * warm;
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for ((layer, gradient), (mean, square)) in network.layers.iter_mut().zip(gradients).zip(moments) {
            update(rate, &mut layer.weights, &gradient.weights, (&mut mean.weights, &mut square.weights));
            update(rate, &mut layer.bias, &gradient.bias, (&mut mean.bias, &mut square.bias));
        }
    }
}

fn update<S, D>(
    rate: f32,
    parameters: &mut ArrayBase<S, D>,
    gradients: &ArrayBase<S, D>,
    (means, squares): (&mut ArrayBase<S, D>, &mut ArrayBase<S, D>),
) where
    S: DataMut + RawData<Elem = f32>,
    D: Dimension,
{
    Zip::from(parameters).and(gradients).and(means).and(squares).for_each(|value, slope, mean, square| {
        *mean = MEAN_DECAY * *mean + (1.0 - MEAN_DECAY) * slope;
        *square = SQUARE_DECAY * *square + (1.0 - SQUARE_DECAY) * slope * slope;
        *value -= rate * *mean / (square.sqrt() + SMALL);
    });
}
