//! AdamW and Lion over the parameters of a network.

use clap::ValueEnum;
use dfdx::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fused;
use crate::model::kernels::Reader;
use crate::model::parameters::{Parameter, Visitor};
use crate::model::{Network, Runtime};

/// The rule of the updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Method {
    /// With PyTorch's constants: epsilon 1e-8, and betas 0.9 and 0.999 where nobody says otherwise.
    #[default]
    AdamW,
    /// With betas 0.9 and 0.99 where nobody says otherwise.
    Lion,
}

impl Method {
    /// How much of the moments a step keeps, where nobody says otherwise.
    pub fn betas(self) -> [f64; 2] {
        match self {
            Self::AdamW => [0.9, 0.999],
            Self::Lion => [0.9, 0.99],
        }
    }

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
    /// What has two axes or more and no name that ends in `.bias`, class token, mask token, positions and the
    /// vectors of a vocabulary among it: as MAE, nanoGPT and DINO.
    TwoAxes,
}

impl Decay {
    fn shrinks(self, parameter: &Parameter) -> bool {
        let axes = parameter.shape.len();
        match self {
            Self::All => true,
            // Class token and positions have an axis of length 1 in front.
            Self::Matrices => axes >= 2 && parameter.shape[0] > 1,
            Self::TwoAxes => axes >= 2 && !parameter.name.ends_with(".bias"),
        }
    }
}

/// An optimiser and its state.
#[derive(Debug)]
pub struct Optimiser {
    method: Method,
    betas: [f64; 2],
    weight_decay: f64,
    decay: Decay,
    steps: i32,
    /// In the order of the network; made of it once.
    entries: Vec<Entry>,
}

/// What the optimiser knows of a parameter.
#[derive(Debug)]
struct Entry {
    name: String,
    /// How many numbers it has.
    length: usize,
    decays: bool,
    frozen: bool,
    /// Steps that it took part in.
    steps: i32,
    moments: Vec<Vec<f32>>,
}

impl Entry {
    /// The parameter's values after a step along `gradient`; nothing if it is left alone.
    fn step(
        &mut self,
        rule: Rule,
        (parameter, length, reader): (Parameter, usize, Reader<f32>),
        gradient: &[f32],
    ) -> Result<Option<Vec<f32>>> {
        let name = &parameter.name;
        if (name, length) != (&self.name, self.length) {
            let wanted = format!("{} numbers of {}", self.length, self.name);
            return Err(unfit(name, wanted, length));
        }
        if self.frozen || gradient.is_empty() {
            return Ok(None);
        }
        if gradient.len() != length {
            let wanted = format!("a gradient of {length} numbers");
            return Err(unfit(name, wanted, gradient.len()));
        }
        self.steps += 1;
        let weight_decay = if self.decays { rule.weight_decay } else { 0.0 };
        let rule = Rule {
            weight_decay,
            ..rule
        };
        let mut values = reader();
        rule.step(self.steps, &mut values, gradient, &mut self.moments);
        parameter.constrain(&mut values)?;
        Ok(Some(values))
    }
}

impl Optimiser {
    /// No steps taken yet.
    pub fn new(method: Method, weight_decay: f64, decay: Decay) -> Self {
        Self {
            method,
            betas: method.betas(),
            weight_decay,
            decay,
            steps: 0,
            entries: Vec::new(),
        }
    }

    /// The same, with other betas.
    pub fn with_betas(self, betas: [f64; 2]) -> Self {
        Self { betas, ..self }
    }

    /// The same, for the parameters of `network` and of no other.
    pub(super) fn on<N: Network<f32, D>, D: Runtime<f32>>(mut self, network: &N) -> Self {
        if self.entries.is_empty() {
            let parameters = network.parameters().into_iter();
            self.entries = parameters
                .map(|found| self.entry(&found.parameter, found.values.len()))
                .collect();
        }
        self
    }

    /// The state of a parameter before the first step.
    fn entry(&self, parameter: &Parameter, length: usize) -> Entry {
        Entry {
            name: parameter.name.clone(),
            length,
            decays: self.decay.shrinks(parameter),
            frozen: !parameter.trained,
            steps: 0,
            moments: vec![vec![0.0; length]; self.method.moments()],
        }
    }

    /// The same, but for the parameters whose name contains one of `names`: a step leaves them alone.
    ///
    /// # Errors
    /// [`Error::Argument`] with a name that no parameter of the network contains.
    pub fn freezing<N: Network<f32, D>, D: Runtime<f32>>(
        self,
        network: &N,
        names: &[String],
    ) -> Result<Self> {
        let mut own = self.on(network);
        own.mark("freeze", names, |entry| entry.frozen = true)?;
        Ok(own)
    }

    /// The same, but for the parameters whose name contains one of `names`: weight decay leaves them alone.
    ///
    /// # Errors
    /// [`Error::Argument`] with a name that no parameter of the network contains.
    pub fn sparing<N: Network<f32, D>, D: Runtime<f32>>(
        self,
        network: &N,
        names: &[String],
    ) -> Result<Self> {
        let mut own = self.on(network);
        own.mark("no_decay", names, |entry| entry.decays = false)?;
        Ok(own)
    }

    /// Does `change` to what is known of every parameter whose name contains one of `names`, which are those of
    /// `setting`.
    fn mark(&mut self, setting: &str, names: &[String], change: impl Fn(&mut Entry)) -> Result<()> {
        for name in names {
            let entries = self.entries.iter_mut();
            let mut named = entries.filter(|entry| entry.name.contains(name.as_str()));
            let Some(first) = named.next() else {
                return Err(Error::argument(
                    setting,
                    "a part of a parameter's name, such as qkv.weight",
                    name,
                    format!("change it with `set` {setting}='[\"NAME\"]'"),
                ));
            };
            change(first);
            named.for_each(&change);
        }
        Ok(())
    }

    /// Takes away the gradients of what stays as it is, being frozen or not among those that move: their length
    /// does not count in clipping.
    pub fn clear_resting(&self, gradients: &mut [Vec<f32>], moves: impl Fn(&str) -> bool) {
        for (gradient, entry) in gradients.iter_mut().zip(&self.entries) {
            if entry.frozen || !moves(&entry.name) {
                *gradient = Vec::new();
            }
        }
    }

    /// From the next step on.
    pub fn set_weight_decay(&mut self, weight_decay: f64) {
        self.weight_decay = weight_decay;
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// One step along `gradients`, which stand in the order of the network's parameters, and back to where a
    /// parameter has to stay ([`Parameter::constrain`]). A parameter whose gradient is empty is left alone
    /// altogether, weight decay and moments included, as PyTorch leaves one that has none. The work is shared out
    /// over the rayon pool it is called in.
    ///
    /// # Errors
    /// [`Error::Shape`] if the gradients or the state are those of another network; as [`Parameter::constrain`].
    pub fn step<N: Network<f32, D>, D: Runtime<f32>>(
        &mut self,
        network: &mut N,
        gradients: &[Vec<f32>],
        learning_rate: f64,
    ) -> Result<()> {
        let mut read = Read(Vec::new());
        network.visit_parameters(&mut read)?;
        if self.entries.is_empty() {
            let entries = read.0.iter().map(|found| self.entry(&found.0, found.1));
            self.entries = entries.collect();
        }
        self.steps += 1;
        let values = self.update(read.0, gradients, learning_rate)?;
        network.visit_parameters(&mut Write(values.into_iter()))
    }

    /// The parameters' values after the step, side by side; nothing for what is left alone.
    fn update(
        &mut self,
        parameters: Vec<(Parameter, usize, Reader<f32>)>,
        gradients: &[Vec<f32>],
        learning_rate: f64,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        for (what, count) in [
            ("parameters", parameters.len()),
            ("gradients", gradients.len()),
        ] {
            if count != self.entries.len() {
                return Err(Error::shape(
                    what,
                    format!("those of {} parameters", self.entries.len()),
                    count.to_string(),
                    UNFIT,
                ));
            }
        }
        let rule = Rule {
            method: self.method,
            betas: self.betas,
            learning_rate,
            weight_decay: self.weight_decay,
        };
        let tasks = parameters.into_par_iter().zip(&mut self.entries);
        let tasks = tasks.zip(gradients).with_max_len(1);
        tasks
            .map(|((parameter, entry), gradient)| entry.step(rule, parameter, gradient))
            .collect()
    }

    /// How many numbers are kept for each of a parameter.
    pub(super) fn kept(&self) -> usize {
        self.method.moments()
    }

    /// Name, steps taken and moments of every parameter, in the order of the network.
    pub(super) fn state(&self) -> impl Iterator<Item = (&str, i32, &[Vec<f32>])> {
        self.entries.iter().map(|entry| {
            // Of what never moves nobody counts the steps.
            let steps = if entry.frozen {
                self.steps
            } else {
                entry.steps
            };
            (entry.name.as_str(), steps, entry.moments.as_slice())
        })
    }

    /// Takes up an earlier state: the steps taken in all, and by name and number of a parameter its own steps and
    /// moments.
    pub(super) fn restore(
        &mut self,
        steps: i32,
        mut read: impl FnMut(&str, usize) -> Result<(i32, Vec<Vec<f32>>)>,
    ) -> Result<()> {
        self.steps = steps;
        for entry in &mut self.entries {
            (entry.steps, entry.moments) = read(&entry.name, entry.length)?;
        }
        Ok(())
    }
}

/// Gives access to all parameters at once.
struct Read(Vec<(Parameter, usize, Reader<f32>)>);

impl<D: Runtime<f32>> Visitor<f32, D> for Read {
    fn visit<S: Shape>(
        &mut self,
        parameter: &Parameter,
        tensor: &mut Tensor<S, f32, D>,
    ) -> Result<()> {
        let length = tensor.shape().num_elements();
        self.0.push((parameter.clone(), length, D::reader(tensor)));
        Ok(())
    }
}

/// Puts new values in place of the old ones, where there are some.
struct Write(std::vec::IntoIter<Option<Vec<f32>>>);

impl<D: Runtime<f32>> Visitor<f32, D> for Write {
    fn visit<S: Shape>(&mut self, _: &Parameter, tensor: &mut Tensor<S, f32, D>) -> Result<()> {
        if let Some(Some(values)) = self.0.next() {
            let new = tensor.device().try_tensor_from_vec(values, *tensor.shape());
            *tensor = new.map_err(Error::device)?;
        }
        Ok(())
    }
}

/// A method with its constants.
#[derive(Debug, Clone, Copy)]
struct Rule {
    method: Method,
    betas: [f64; 2],
    learning_rate: f64,
    weight_decay: f64,
}

impl Rule {
    /// Step `number`, from 1, of `values` along `gradient`.
    ///
    /// # Shapes
    /// All of one length, as many moments as the method has.
    fn step(self, number: i32, values: &mut [f32], gradient: &[f32], moments: &mut [Vec<f32>]) {
        let (rate, decay) = (self.learning_rate, self.weight_decay);
        match (self.method, moments) {
            (Method::AdamW, [first, second]) => {
                let rule = fused::optimiser::AdamW::at(number, rate, decay, self.betas, 1e-8);
                rule.step(values, first, second, gradient);
            }
            (Method::Lion, [moment]) => {
                let rule = fused::optimiser::Lion::at(rate, decay, self.betas);
                rule.step(values, moment, gradient);
            }
            _ => unreachable!("an entry has as many moments as its method"),
        }
    }
}

const UNFIT: &str = "use gradients and state of a network of the same sizes";

fn unfit(name: &str, wanted: String, found: usize) -> Error {
    Error::shape(name, wanted, format!("{found} numbers"), UNFIT)
}

/// The gradient of every parameter, in the order of the network.
///
/// # Errors
/// [`Error::Device`].
pub fn gradients_of<N: Network<f32, D>, D: Runtime<f32>>(
    network: &N,
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
struct Take<D: Runtime<f32>> {
    from: Gradients<f32, D>,
    to: Vec<Vec<f32>>,
}

impl<D: Runtime<f32>> Visitor<f32, D> for Take<D> {
    fn visit<S: Shape>(&mut self, _: &Parameter, tensor: &mut Tensor<S, f32, D>) -> Result<()> {
        let gradient = D::take_gradient(&mut self.from, tensor);
        self.to.push(gradient.map_err(Error::device)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parameters::Init;

    /// Two numbers under every name, of which files have these shapes.
    const PARAMETERS: [(&str, &[usize]); 5] = [
        ("head.weight", &[2, 1]),
        ("head.bias", &[2]),
        ("cls_token", &[1, 1, 2]),
        ("norm.weight", &[2]),
        ("table.bias", &[2, 1]),
    ];

    #[derive(Debug, Clone)]
    struct Pairs(Cpu, [Tensor<Rank1<2>, f32, Cpu>; 5]);

    impl Pairs {
        /// All ones.
        fn new() -> Self {
            let device = Cpu::default();
            Self(device.clone(), PARAMETERS.map(|_| device.ones()))
        }

        /// The first of every two.
        fn firsts(&self) -> [f32; 5] {
            self.1.clone().map(|tensor| tensor.array()[0])
        }
    }

    impl Network<f32, Cpu> for Pairs {
        fn device(&self) -> &Cpu {
            &self.0
        }

        fn visit_parameters(&mut self, visitor: &mut impl Visitor<f32, Cpu>) -> Result<()> {
            let mut pairs = PARAMETERS.iter().zip(&mut self.1);
            pairs.try_for_each(|((name, shape), tensor)| {
                let parameter = Parameter {
                    name: (*name).to_owned(),
                    shape: shape.to_vec(),
                    init: Init::One,
                    trained: true,
                };
                visitor.visit(&parameter, tensor)
            })
        }
    }

    #[test]
    fn weight_decay_shrinks_what_its_rule_names() {
        let shrunk = |decay, spared: &[&str]| {
            let mut network = Pairs::new();
            let spared: Vec<String> = spared.iter().map(|&name| name.to_owned()).collect();
            let optimiser = Optimiser::new(Method::AdamW, 0.5, decay);
            let mut optimiser = optimiser.sparing(&network, &spared).unwrap();
            optimiser
                .step(&mut network, &vec![vec![0.0; 2]; 5], 0.5)
                .unwrap();
            // 1 - 0.5 * 0.5, or untouched.
            network.firsts().map(|value| match value {
                0.75 => true,
                1.0 => false,
                other => panic!("{other}"),
            })
        };
        assert_eq!(shrunk(Decay::All, &[]), [true; 5]);
        let matrices = [true, false, false, false, true];
        assert_eq!(shrunk(Decay::Matrices, &[]), matrices);
        let two_axes = [true, false, true, false, false];
        assert_eq!(shrunk(Decay::TwoAxes, &[]), two_axes);
        let spared = [false, false, false, true, true];
        assert_eq!(shrunk(Decay::All, &["head", "cls_token"]), spared);
        let unknown = Optimiser::new(Method::Lion, 0.5, Decay::All);
        let error = unknown
            .sparing(&Pairs::new(), &["tail".into()])
            .unwrap_err();
        assert!(error.to_string().starts_with("no_decay"), "{error}");
    }

    #[test]
    fn other_betas_make_the_steps_of_their_formula() {
        let mut network = Pairs::new();
        let optimiser = Optimiser::new(Method::AdamW, 0.0, Decay::All);
        let mut optimiser = optimiser.with_betas([0.5, 0.75]);
        for gradient in [1.0, -2.0] {
            optimiser
                .step(&mut network, &vec![vec![gradient; 2]; 5], 0.1)
                .unwrap();
        }
        // m = 0.5, then -0.75; v = 0.25, then 1.1875: steps of 1 and of -1 / sqrt(1.1875 / 0.4375).
        let expected = 1.0 - 0.1 + 0.1 / (1.1875_f64 / 0.4375).sqrt();
        let found = f64::from(network.firsts()[0]);
        assert!(
            (found - expected).abs() < 4.0 * f64::from(f32::EPSILON),
            "{found}"
        );

        let mut network = Pairs::new();
        let lion = Optimiser::new(Method::Lion, 0.0, Decay::All);
        let mut lion = lion.with_betas([0.75, 0.5]);
        for gradient in [1.0, -1.0] {
            lion.step(&mut network, &vec![vec![gradient; 2]; 5], 0.125)
                .unwrap();
        }
        // m = 0.5 after the first; 0.75 * 0.5 - 0.25 > 0, where betas of 0.5 and 0.5 would turn round.
        assert_eq!(network.firsts(), [0.75; 5]);
    }

    #[test]
    fn a_parameter_without_gradient_is_left_alone() {
        let mut network = Pairs::new();
        let mut optimiser = Optimiser::new(Method::AdamW, 0.5, Decay::All);
        let mut gradients = vec![vec![1.0; 2]; 5];
        gradients[2] = Vec::new();
        for _ in 0..3 {
            optimiser.step(&mut network, &gradients, 0.1).unwrap();
        }
        let values = network.firsts();
        assert_eq!(values[2], 1.0);
        assert!(values[1] < 0.8, "{values:?}");
        let untouched = optimiser.state().nth(2).unwrap();
        assert_eq!(
            untouched,
            ("cls_token", 0, &[vec![0.0; 2], vec![0.0; 2]][..])
        );
        // Its first step is a first step: the rate, whatever the gradient.
        optimiser.set_weight_decay(0.0);
        gradients[2] = vec![-7.0; 2];
        optimiser.step(&mut network, &gradients, 0.1).unwrap();
        assert!((network.firsts()[2] - 1.1).abs() < 1e-6);
    }

    #[test]
    fn gradients_and_networks_that_do_not_fit_are_refused() {
        let mut network = Pairs::new();
        let mut optimiser = Optimiser::new(Method::AdamW, 0.5, Decay::All);
        let few = optimiser.step(&mut network, &vec![vec![1.0; 2]; 4], 0.1);
        assert!(few.unwrap_err().to_string().starts_with("gradients"));
        let short = optimiser.step(&mut network, &vec![vec![1.0; 1]; 5], 0.1);
        assert!(short.unwrap_err().to_string().starts_with("head.weight"));
        assert_eq!(network.firsts(), [1.0; 5]);
    }
}
