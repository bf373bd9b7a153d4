//! Named access to all parameters of a network, for initialisation, optimisers and files.

use dfdx::prelude::*;
use ndarray::ArrayView2;
use rand::Rng;
use rand_distr::StandardNormal;

use super::linear::Linear;
use super::norm::LayerNorm;
use super::tensor::constant;
use super::Real;
use crate::error::{Error, Result};
use crate::exact::polar::polar_factor;
use crate::seed;

/// How a parameter starts: as the official code has it, where it has the parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Ones: a LayerNorm gain.
    One,
    /// Zeros: a LayerNorm bias.
    Zero,
    /// Uniform on `[-1/sqrt(fan_in), 1/sqrt(fan_in)]`: weight and bias of PyTorch's `nn.Linear`.
    Linear {
        /// Inputs of the map.
        fan_in: usize,
    },
    /// Uniform on `[-sqrt(6/fan_in), sqrt(6/fan_in)]`: `kaiming_uniform_` with its defaults, used
    /// for ISTA dictionaries.
    KaimingUniform {
        /// Inputs of the map.
        fan_in: usize,
    },
    /// The polar factor of what [`Init::KaimingUniform`] draws: a dictionary that is kept orthogonal. See
    /// [`Parameter::constrain`].
    Orthogonal {
        /// Inputs of the map.
        fan_in: usize,
    },
    /// A number: the scale of a tied output.
    Constant(f64),
    /// Uniform on `[-sqrt(6/(fan_in + fan_out)), sqrt(6/(fan_in + fan_out))]`: `xavier_uniform_`, of the official
    /// autoencoders' linear maps.
    XavierUniform {
        /// Inputs of the map.
        fan_in: usize,
        /// Outputs.
        fan_out: usize,
    },
    /// What the network was made with: a table that follows from its sizes.
    Given,
    /// Normal with mean zero: class token and positional embedding, and in a ViT all weights (timm cuts
    /// them off at two, a hundred deviations).
    Normal {
        /// Standard deviation.
        deviation: f64,
    },
}

/// A parameter as files and optimisers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Key in the official state dict.
    pub name: String,
    /// Shape in the official state dict.
    pub shape: Vec<usize>,
    /// Official initialisation.
    pub init: Init,
    /// Whether training moves it. The official code keeps some tensors in its files that never change: a table of
    /// fixed positions, a map that nothing goes through.
    pub trained: bool,
}

impl Parameter {
    /// Brings changed values back to where the parameter lives: a dictionary that is kept orthogonal to the nearest
    /// orthogonal matrix, computed in f64. Other parameters live everywhere. Values that are not finite stay as they
    /// are.
    ///
    /// # Errors
    /// [`Error::Domain`] if there is no nearest one.
    pub fn constrain<E: Real>(&self, values: &mut [E]) -> Result<()> {
        let Init::Orthogonal { .. } = self.init else {
            return Ok(());
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        let wide = values
            .iter()
            .map(|value| value.to_f64().unwrap_or(f64::NAN));
        let wide: Vec<f64> = wide.collect();
        let matrix = ArrayView2::from_shape((self.shape[0], self.shape[1]), &wide)
            .map_err(|e| Error::misfit(&self.name, &self.shape, &e))?;
        let nearest = polar_factor(&self.name, matrix)?;
        for (value, near) in values.iter_mut().zip(&nearest) {
            *value = constant(*near);
        }
        Ok(())
    }
}

/// Something to do to every parameter, in the fixed order of the network.
pub trait Visitor<E: Real, D: Device<E>> {
    /// Handles one parameter.
    ///
    /// # Errors
    /// Whatever the visitor meets; the walk stops there.
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, E, D>,
    ) -> Result<()>;
}

/// Visits one tensor under `name`.
pub(super) fn visit<E: Real, D: Device<E>, S: Shape>(
    visitor: &mut impl Visitor<E, D>,
    name: String,
    shape: &[usize],
    init: Init,
    tensor: &mut Tensor<S, E, D>,
) -> Result<()> {
    let parameter = Parameter {
        name,
        shape: shape.to_vec(),
        init,
        trained: true,
    };
    visitor.visit(&parameter, tensor)
}

/// Visits a tensor that files hold and no training moves.
pub(super) fn visit_untrained<E: Real, D: Device<E>, S: Shape>(
    visitor: &mut impl Visitor<E, D>,
    name: &str,
    shape: &[usize],
    init: Init,
    tensor: &mut Tensor<S, E, D>,
) -> Result<()> {
    let parameter = Parameter {
        name: name.to_owned(),
        shape: shape.to_vec(),
        init,
        trained: false,
    };
    visitor.visit(&parameter, tensor)
}

/// Visits gain and bias of a LayerNorm under `prefix`.
pub(super) fn visit_norm<E: Real, D: Device<E>>(
    visitor: &mut impl Visitor<E, D>,
    prefix: &str,
    norm: &mut LayerNorm<E, D>,
) -> Result<()> {
    let features = norm.gain.shape().0;
    let weight = format!("{prefix}.weight");
    visit(visitor, weight, &[features], Init::One, &mut norm.gain)?;
    let bias = format!("{prefix}.bias");
    visit(visitor, bias, &[features], Init::Zero, &mut norm.bias)
}

/// Visits weight and bias of a linear map under `prefix`, which start from `inits`.
pub(super) fn visit_linear_from<E: Real, D: Device<E>>(
    visitor: &mut impl Visitor<E, D>,
    prefix: &str,
    [weight_init, bias_init]: [Init; 2],
    linear: &mut Linear<E, D>,
) -> Result<()> {
    let (outputs, fan_in) = *linear.weight.shape();
    visit(
        visitor,
        format!("{prefix}.weight"),
        &[outputs, fan_in],
        weight_init,
        &mut linear.weight,
    )?;
    visit(
        visitor,
        format!("{prefix}.bias"),
        &[outputs],
        bias_init,
        &mut linear.bias,
    )
}

/// Fills every parameter as its [`Init`] says, from the stream
/// `init/<parameter name>` of the seed.
#[derive(Debug, Clone, Copy)]
pub struct Initialise {
    /// The seed.
    pub seed: u64,
}

impl<E: Real, D: Device<E>> Visitor<E, D> for Initialise {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, E, D>,
    ) -> Result<()> {
        if parameter.init == Init::Given {
            return Ok(());
        }
        let mut rng = seed::stream(self.seed, &format!("init/{}", parameter.name));
        let mut values: Vec<E> = (0..tensor.shape().num_elements())
            .map(|_| {
                constant(match parameter.init {
                    Init::One => 1.0,
                    Init::Zero => 0.0,
                    Init::Linear { fan_in } => {
                        (2.0 * rng.gen::<f64>() - 1.0) / (fan_in as f64).sqrt()
                    }
                    Init::KaimingUniform { fan_in } | Init::Orthogonal { fan_in } => {
                        (2.0 * rng.gen::<f64>() - 1.0) * (6.0 / fan_in as f64).sqrt()
                    }
                    Init::XavierUniform { fan_in, fan_out } => {
                        let both = (fan_in + fan_out) as f64;
                        (2.0 * rng.gen::<f64>() - 1.0) * (6.0 / both).sqrt()
                    }
                    Init::Constant(value) => value,
                    Init::Given => unreachable!("left as it is above"),
                    Init::Normal { deviation } => deviation * rng.sample::<f64, _>(StandardNormal),
                })
            })
            .collect();
        parameter.constrain(&mut values)?;
        tensor.copy_from(&values);
        Ok(())
    }
}

/// A parameter and its values, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Values<E> {
    /// Name, shape and kind.
    pub parameter: Parameter,
    /// As many numbers as the shape holds.
    pub values: Vec<E>,
}

/// Copies out every parameter.
#[derive(Debug, Clone, Default)]
pub struct Collect<E>(
    /// In the order of the network.
    pub Vec<Values<E>>,
);

impl<E: Real, D: Device<E>> Visitor<E, D> for Collect<E> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, E, D>,
    ) -> Result<()> {
        self.0.push(Values {
            parameter: parameter.clone(),
            values: tensor.as_vec(),
        });
        Ok(())
    }
}

/// Writes collected values back, in the same order.
#[derive(Debug)]
pub struct Restore<'a, E>(
    /// What is left to write.
    pub std::slice::Iter<'a, Values<E>>,
);

impl<E: Real, D: Device<E>> Visitor<E, D> for Restore<'_, E> {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, E, D>,
    ) -> Result<()> {
        let wanted = || format!("{:?}", parameter.shape);
        let remedy = "collect the values from a network of the same sizes";
        match self.0.next() {
            Some(found) if found.values.len() == tensor.shape().num_elements() => {
                tensor.copy_from(&found.values);
                Ok(())
            }
            Some(found) => Err(Error::shape(
                &parameter.name,
                wanted(),
                format!("{:?}", found.parameter.shape),
                remedy,
            )),
            None => Err(Error::shape(&parameter.name, wanted(), "nothing", remedy)),
        }
    }
}
