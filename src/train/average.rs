//! The exponential moving average of the weights, which some recipes evaluate and keep in their place.

use dfdx::prelude::*;

use crate::error::{Error, Result};
use crate::model::parameters::{Parameter, Values, Visitor};
use crate::model::Network;
use crate::model::Runtime;

/// `A <- decay A + (1 - decay) W` after every step, from the weights `W` at the start, as timm's
/// `ModelEma` has it: no correction for the start.
#[derive(Debug, Clone)]
pub(super) struct Average {
    decay: f32,
    values: Vec<Values<f32>>,
}

impl Average {
    /// The weights themselves.
    pub(super) fn of<D: Runtime<f32>>(network: &impl Network<f32, D>, decay: f64) -> Self {
        Self {
            decay: decay as f32,
            values: network.parameters(),
        }
    }

    /// Takes in the weights after a step.
    pub(super) fn follow<D: Runtime<f32>>(&mut self, network: &impl Network<f32, D>) -> Result<()> {
        // A clone shares the numbers.
        network.clone().visit_parameters(&mut Follow {
            decay: self.decay,
            values: self.values.iter_mut(),
        })
    }

    /// `network` with the average for its weights; of orthogonal matrices, the orthogonal one nearest to it.
    pub(super) fn network<N: Network<f32, D>, D: Runtime<f32>>(&self, network: &N) -> Result<N> {
        let mut values = self.values.clone();
        for found in &mut values {
            found.parameter.constrain(&mut found.values)?;
        }
        let mut network = network.clone();
        network.set_parameters(&values)?;
        Ok(network)
    }

    /// By name of the parameter.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let values = self.values.iter();
        values.map(|found| (found.parameter.name.as_str(), found.values.as_slice()))
    }

    /// Takes up an earlier average, by name and number of a parameter.
    pub(super) fn restore(
        &mut self,
        mut read: impl FnMut(&str, usize) -> Result<Vec<f32>>,
    ) -> Result<()> {
        for own in &mut self.values {
            own.values = read(&own.parameter.name, own.values.len())?;
        }
        Ok(())
    }
}

struct Follow<'a> {
    decay: f32,
    values: std::slice::IterMut<'a, Values<f32>>,
}

impl<D: Device<f32>> Visitor<f32, D> for Follow<'_> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, D>,
    ) -> Result<()> {
        let own = self.values.next();
        let own = own.filter(|own| own.parameter.name == parameter.name);
        let own = own.ok_or_else(|| {
            Error::shape(
                &parameter.name,
                "an average of the weights of this network",
                "one of other parameters",
                "please report this",
            )
        })?;
        let weights = tensor.as_vec();
        for (average, weight) in own.values.iter_mut().zip(weights) {
            *average += (1.0 - self.decay) * (weight - *average);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Classifier, Config};

    #[test]
    fn an_average_forgets_its_start_at_the_rate_of_its_decay() {
        let config = Config::preset("demo").unwrap();
        let config = Config { depth: 1, ..config }.with_width(8, 2).unwrap();
        let device = Cpu::default();
        let start = Classifier::<f32, Cpu>::new(config, 0, &device).unwrap();
        let end = Classifier::<f32, Cpu>::new(config, 1, &device).unwrap();
        let mut average = Average::of(&start, 0.5);
        for _ in 0..3 {
            average.follow(&end).unwrap();
        }
        let found = average.network(&end).unwrap().parameters();
        let (start, end) = (start.parameters(), end.parameters());
        for ((found, start), end) in found.iter().zip(&start).zip(&end) {
            for ((f, s), e) in found.values.iter().zip(&start.values).zip(&end.values) {
                // Powers of two: the three roundings are of the sums alone.
                let expected = 0.125 * s + 0.875 * e;
                assert!((f - expected).abs() <= 2e-7 * (s.abs() + e.abs()));
            }
        }
    }
}
