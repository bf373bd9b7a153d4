//! AdamW and Lion over the parameters of a network.

use clap::ValueEnum;
use dfdx::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fused;
use crate::model::backbone::Reader;
use crate::model::parameters::{Parameter, Visitor};
use crate::model::{Backbone, Classifier};

/// The rule of the updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Method {
    /// With PyTorch's constants: betas 0.9 and 0.999, epsilon 1e-8.
    #[default]
    AdamW,
    /// With betas 0.9 and 0.99.
    Lion,
}

impl Method {
    /// Numbers that it keeps for each of a parameter.
    fn moments(self) -> usize {
        match self {
            Self::AdamW => 2,
            Self::Lion => 1,
        }
    }
}

/// The parameters that weight decay shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// All, as in the official code.
    #[default]
    All,
    /// Weights of linear maps, bases and dictionaries: neither gains nor biases, nor class token and
    /// positions.
    Matrices,
}

/// An optimiser and its state.
#[derive(Debug)]
pub struct Optimiser {
    method: Method,
    weight_decay: f64,
    decay: Decay,
    /// By parameter in the order of the network; one that is not there is not frozen.
    frozen: Vec<bool>,
    steps: i32,
    /// By moment, then by parameter in the order of the network; empty before the first step.
    moments: Vec<Vec<Vec<f32>>>,
}

impl Optimiser {
    /// No steps taken yet.
    pub fn new(method: Method, weight_decay: f64, decay: Decay) -> Self {
        Self {
            method,
            weight_decay,
            decay,
            frozen: Vec::new(),
            steps: 0,
            moments: vec![Vec::new(); method.moments()],
        }
    }

    /// The same, but for the parameters whose name contains one of `names`: a step leaves them alone.
    ///
    /// # Errors
    /// [`Error::Argument`] with a name that no parameter of the network contains.
    pub fn freezing<D: Backbone<f32>>(
        mut self,
        network: &Classifier<f32, D>,
        names: &[String],
    ) -> Result<Self> {
        let parameters = network.parameters();
        let parameters: Vec<&str> = parameters.iter().map(|p| &*p.parameter.name).collect();
        for name in names {
            if !parameters.iter().any(|p| p.contains(name.as_str())) {
                return Err(Error::argument(
                    "freeze",
                    "a part of a parameter's name, such as qkv.weight",
                    name,
                    "change it with `set` freeze='[\"NAME\"]'",
                ));
            }
        }
        let frozen = |p: &&str| names.iter().any(|name| p.contains(name.as_str()));
        self.frozen = parameters.iter().map(frozen).collect();
        Ok(self)
    }

    /// Sets the gradients of what stays as it is to zero: their length is of no concern to clipping.
    pub fn clear_frozen(&self, gradients: &mut [Vec<f32>]) {
        for (gradient, frozen) in gradients.iter_mut().zip(&self.frozen) {
            if *frozen {
                gradient.fill(0.0);
            }
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// One step along `gradients`, which stand in the order of the network's parameters, and back to where a
    /// parameter has to stay ([`Parameter::constrain`]). The work is shared out over the rayon pool it is called in.
    ///
    /// # Errors
    /// [`Error::Shape`] if the gradients or the state are those of another network; as [`Parameter::constrain`].
    pub fn step<D: Backbone<f32>>(
        &mut self,
        network: &mut Classifier<f32, D>,
        gradients: &[Vec<f32>],
        learning_rate: f64,
    ) -> Result<()> {
        if self.steps == 0 {
            for moment in &mut self.moments {
                *moment = gradients.iter().map(|g| vec![0.0; g.len()]).collect();
            }
        }
        self.steps += 1;
        let mut read = Read(Vec::new());
        network.visit_parameters(&mut read)?;
        let values = self.update(read.0, gradients, learning_rate)?;
        network.visit_parameters(&mut Write(values.into_iter()))
    }

    /// The parameters' values after the step, side by side; nothing for what is frozen.
    fn update(
        &mut self,
        parameters: Vec<(Parameter, Reader<f32>)>,
        gradients: &[Vec<f32>],
        learning_rate: f64,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let count = parameters.len();
        let mut moments: Vec<Vec<&mut [f32]>> = (0..count).map(|_| Vec::new()).collect();
        for moment in &mut self.moments {
            for (all, moment) in moments.iter_mut().zip(moment) {
                all.push(moment);
            }
        }
        let step = Step {
            method: self.method,
            number: self.steps,
            learning_rate,
        };
        let (decay, weight_decay, frozen) = (self.decay, self.weight_decay, &self.frozen);
        let tasks = parameters.into_par_iter().zip(moments).enumerate();
        let tasks = tasks
            .with_max_len(1)
            .map(|(index, ((parameter, reader), moments))| {
                if frozen.get(index) == Some(&true) {
                    return Ok(None);
                }
                let decays = match decay {
                    Decay::All => true,
                    // Class token and positions have an axis of length 1 in front.
                    Decay::Matrices => parameter.shape.len() >= 2 && parameter.shape[0] > 1,
                };
                let decay = if decays { weight_decay } else { 0.0 };
                let gradient = gradients.get(index).map_or(&[][..], Vec::as_slice);
                let mut values = reader();
                step.take(&parameter, decay, &mut values, gradient, moments)?;
                parameter.constrain(&mut values)?;
                Ok(Some(values))
            });
        tasks.collect()
    }

    /// The moments, by moment, then by parameter in the order of the network.
    pub fn moments(&self) -> &[Vec<Vec<f32>>] {
        &self.moments
    }

    /// Takes up an earlier state.
    pub fn restore(&mut self, steps: i32, moments: Vec<Vec<Vec<f32>>>) {
        self.steps = steps;
        self.moments = moments;
    }
}

/// Gives access to all parameters at once.
struct Read(Vec<(Parameter, Reader<f32>)>);

impl<D: Backbone<f32>> Visitor<f32, D> for Read {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, D>,
    ) -> Result<()> {
        self.0.push((parameter.clone(), D::reader(tensor)));
        Ok(())
    }
}

/// Puts new values in place of the old ones, where there are some.
struct Write(std::vec::IntoIter<Option<Vec<f32>>>);

impl<D: Backbone<f32>> Visitor<f32, D> for Write {
    fn visit<S: Shape>(&mut self, _: &Parameter, tensor: &mut Tensor<S, f32, D>) -> Result<()> {
        if let Some(Some(values)) = self.0.next() {
            let new = tensor.device().try_tensor_from_vec(values, *tensor.shape());
            *tensor = new.map_err(Error::device)?;
        }
        Ok(())
    }
}

/// The rule and the constants of one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    method: Method,
    number: i32,
    learning_rate: f64,
}

impl Step {
    /// Steps `values` along `gradient`.
    fn take(
        self,
        parameter: &Parameter,
        decay: f64,
        values: &mut [f32],
        gradient: &[f32],
        mut moments: Vec<&mut [f32]>,
    ) -> Result<()> {
        let lengths = moments.iter().map(|moment| moment.len());
        let unfit_length = lengths
            .chain([gradient.len()])
            .find(|&length| length != values.len());
        if let Some(length) = unfit_length {
            return Err(unfit(parameter, values.len(), length));
        }
        let rate = self.learning_rate;
        match (self.method, &mut moments[..]) {
            (Method::AdamW, [first, second]) => {
                let rule =
                    fused::optimiser::AdamW::at(self.number, rate, decay, [0.9, 0.999], 1e-8);
                rule.step(values, first, second, gradient);
            }
            (Method::Lion, [moment]) => {
                let rule = fused::optimiser::Lion::at(rate, decay, [0.9, 0.99]);
                rule.step(values, moment, gradient);
            }
            (_, found) => return Err(unfit(parameter, self.method.moments(), found.len())),
        }
        Ok(())
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
pub fn gradients_of<D: Backbone<f32>>(
    network: &Classifier<f32, D>,
    gradients: Gradients<f32, D>,
) -> Result<Vec<Vec<f32>>> {
    let mut take = Take {
        from: gradients,
        to: Vec::new(),
    };
    network.clone().visit_parameters(&mut take)?;
    Ok(take.to)
}

/// Takes every gradient out.
struct Take<D: Backbone<f32>> {
    from: Gradients<f32, D>,
    to: Vec<Vec<f32>>,
}

impl<D: Backbone<f32>> Visitor<f32, D> for Take<D> {
    fn visit<S: Shape>(&mut self, _: &Parameter, tensor: &mut Tensor<S, f32, D>) -> Result<()> {
        let gradient = D::take_gradient(&mut self.from, tensor);
        self.to.push(gradient.map_err(Error::device)?);
        Ok(())
    }
}
