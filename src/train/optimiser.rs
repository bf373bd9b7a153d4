//! AdamW over the parameters of a network: dfdx's update rule, walked over run-time shapes.

use dfdx::prelude::*;
use dfdx::tensor_ops::AdamConfig;

use crate::error::{Error, Result};
use crate::model::parameters::{Parameter, Visitor};
use crate::model::CrateClassifier;

/// AdamW with PyTorch's constants: betas 0.9 and 0.999, epsilon 1e-8.
#[derive(Debug)]
pub struct AdamW {
    weight_decay: f64,
    steps: i32,
    moments: [Gradients<f32, Cpu>; 2],
}

impl AdamW {
    /// No steps taken yet.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            steps: 0,
            moments: [Gradients::leaky(), Gradients::leaky()],
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// One step along `gradients`, which stand in the order of the network's parameters.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn step(
        &mut self,
        network: &mut CrateClassifier<f32, Cpu>,
        gradients: Vec<Vec<f32>>,
        learning_rate: f64,
    ) -> Result<()> {
        self.steps += 1;
        let config = AdamConfig {
            lr: learning_rate,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: Some(WeightDecay::Decoupled(self.weight_decay)),
        };
        network.visit_parameters(&mut Update {
            config,
            steps: self.steps,
            moments: &mut self.moments,
            gradient: Gradients::leaky(),
            gradients: gradients.into_iter(),
        })
    }

    /// Both moments of every parameter, in the order of the network.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn moments(&mut self, network: &CrateClassifier<f32, Cpu>) -> Result<[Vec<Vec<f32>>; 2]> {
        let mut copies = [Vec::new(), Vec::new()];
        for (moment, copy) in self.moments.iter_mut().zip(&mut copies) {
            network.clone().visit_parameters(&mut Copy {
                from: moment,
                to: copy,
            })?;
        }
        Ok(copies)
    }

    /// Takes up an earlier state.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn restore(
        &mut self,
        network: &CrateClassifier<f32, Cpu>,
        steps: i32,
        moments: &[Vec<Vec<f32>>; 2],
    ) -> Result<()> {
        self.steps = steps;
        for (moment, values) in self.moments.iter_mut().zip(moments) {
            network.clone().visit_parameters(&mut Fill {
                to: moment,
                from: values.iter(),
            })?;
        }
        Ok(())
    }
}

struct Update<'a> {
    config: AdamConfig,
    steps: i32,
    moments: &'a mut [Gradients<f32, Cpu>; 2],
    gradient: Gradients<f32, Cpu>,
    gradients: std::vec::IntoIter<Vec<f32>>,
}

impl Visitor<f32, Cpu> for Update<'_> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, Cpu>,
    ) -> Result<()> {
        let found = self.gradients.next().unwrap_or_default();
        let slot = self.gradient.get_or_alloc_mut(tensor);
        let slot = slot.map_err(Error::device)?;
        if found.len() != slot.len() {
            return Err(unfit(parameter, slot.len(), found.len()));
        }
        **slot = found;
        let [first, second] = &mut *self.moments;
        let first = first.get_or_alloc_mut(tensor).map_err(Error::device)?;
        let second = second.get_or_alloc_mut(tensor).map_err(Error::device)?;
        let gradient = self.gradient.get_or_alloc_mut(tensor);
        let gradient = gradient.map_err(Error::device)?;
        self.config
            .try_update(self.steps, tensor, first, second, gradient)
            .map_err(Error::device)
    }
}

struct Copy<'a> {
    from: &'a mut Gradients<f32, Cpu>,
    to: &'a mut Vec<Vec<f32>>,
}

impl Visitor<f32, Cpu> for Copy<'_> {
    fn visit<S: Shape>(&mut self, _: &Parameter, tensor: &mut Tensor<S, f32, Cpu>) -> Result<()> {
        let values = self.from.get_or_alloc_mut(tensor).map_err(Error::device)?;
        self.to.push(values.to_vec());
        Ok(())
    }
}

struct Fill<'a> {
    to: &'a mut Gradients<f32, Cpu>,
    from: std::slice::Iter<'a, Vec<f32>>,
}

impl Visitor<f32, Cpu> for Fill<'_> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, Cpu>,
    ) -> Result<()> {
        fill(self.to, self.from.next(), parameter, tensor)
    }
}

fn fill<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    values: Option<&Vec<f32>>,
    parameter: &Parameter,
    tensor: &Tensor<S, f32, Cpu>,
) -> Result<()> {
    let storage = gradients.get_or_alloc_mut(tensor).map_err(Error::device)?;
    match values {
        Some(values) if values.len() == storage.len() => {
            storage.copy_from_slice(values);
            Ok(())
        }
        other => Err(unfit(parameter, storage.len(), other.map_or(0, Vec::len))),
    }
}

fn unfit(parameter: &Parameter, wanted: usize, found: usize) -> Error {
    Error::shape(
        &parameter.name,
        format!("{wanted} numbers"),
        format!("{found} numbers"),
        "use the state of a network of the same sizes",
    )
}

/// The gradient of every parameter, in the order of the network.
///
/// # Errors
/// [`Error::Device`].
pub fn gradients_of(
    network: &CrateClassifier<f32, Cpu>,
    gradients: Gradients<f32, Cpu>,
) -> Result<Vec<Vec<f32>>> {
    let mut take = Take {
        from: gradients,
        to: Vec::new(),
    };
    network.clone().visit_parameters(&mut take)?;
    Ok(take.to)
}

/// Moves every gradient out, without a copy.
struct Take {
    from: Gradients<f32, Cpu>,
    to: Vec<Vec<f32>>,
}

impl Visitor<f32, Cpu> for Take {
    fn visit<S: Shape>(&mut self, _: &Parameter, tensor: &mut Tensor<S, f32, Cpu>) -> Result<()> {
        let slot = self.from.get_or_alloc_mut(tensor).map_err(Error::device)?;
        self.to.push(std::mem::take(&mut **slot));
        Ok(())
    }
}
