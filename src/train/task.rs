//! What is trained for: a number of examples, what a batch of them puts on the tape, what the network is worth
//! afterwards. The loop ([`super::train`]) does the rest for every task: order, shards and threads, optimiser,
//! average, state and resumption.
//!
//! A task is the definition and does not change. What changes in a training beside the parameters, such as a
//! teacher, lives in the network ([`Network::buffers`]): it is moved by [`Task::after_step`].

use dfdx::prelude::{Cpu, OwnedTape, Rank0, Tensor};
use serde::de::DeserializeOwned;
use serde::Serialize;

use super::recipe::Recipe;
use super::{Circumstances, Epoch, Observer};
use crate::error::{Error, Result};
use crate::model::{Network, Runtime};

/// Something to train a network for.
pub trait Task<D: Runtime<f32>>: Sync {
    /// What is trained.
    type Network: Network<f32, D>;
    /// Examples as they enter the network, with all that was drawn for them at random.
    type Batch: Send + Sync;
    /// What the network is worth.
    type Score: Scored;

    /// How many examples an epoch has.
    fn examples(&self) -> usize;

    /// Examples per shard on a device that takes several at once: part of the definition of a result, since sums
    /// are made shard by shard. `usize::MAX`, if a loss is no mean over examples and needs its batch whole.
    fn shard(&self) -> usize {
        16
    }

    /// Numbers in the tokens of an example. Small shards run side by side, large ones one after the other, each
    /// shared out by its kernels, so that no more than one is in memory.
    fn numbers(&self, _network: &Self::Network) -> usize {
        0
    }

    /// Refuses a network that this is no task for.
    ///
    /// # Errors
    /// The task's own, naming what does not fit.
    fn check(&self, _network: &Self::Network) -> Result<()> {
        Ok(())
    }

    /// The examples `indices`, each below [`Task::examples`]. What is random in one of them depends on its index
    /// and on `draw` alone: neither on its place in the batch nor on the thread.
    ///
    /// # Errors
    /// The task's own.
    fn batch(&self, indices: &[usize], draw: Draw) -> Result<Self::Batch>;

    /// `weight` times the mean loss of the examples, on the tape; the weights of the shards of a batch sum to 1.
    ///
    /// # Errors
    /// [`crate::Error::Device`] and the task's own.
    fn loss(&self, network: &Self::Network, batch: &Self::Batch, weight: f64) -> Result<Loss<D>>;

    /// Whether the parameter takes part in the steps of `epoch`, from 0. If not, it is left alone altogether, weight
    /// decay and moments included, as PyTorch leaves a parameter without gradient: one that the loss does not depend
    /// on, or that has to wait.
    fn moves(&self, _parameter: &str, _epoch: usize) -> bool {
        true
    }

    /// After every step of the optimiser.
    ///
    /// # Errors
    /// [`crate::Error::Device`] and the task's own.
    fn after_step(&self, _network: &mut Self::Network, _step: &Step<'_>) -> Result<()> {
        Ok(())
    }

    /// What the network is worth, after every epoch.
    ///
    /// # Errors
    /// [`crate::Error::Domain`] if what the network gives is not finite: the training has diverged then.
    fn score(&self, network: &Self::Network, threads: usize) -> Result<Self::Score>;

    /// A value that is equal for equal tasks: kinds and sizes, hashes of the data. An interrupted training goes on
    /// with an equal task only; where two objects differ, the refusal names the keys.
    fn identity(&self, network: &Self::Network) -> serde_json::Value;
}

/// A task that is the same on every device.
pub trait Portable: Task<Cpu> {
    /// [`super::train`] on `device`; the observer sees networks on the CPU.
    ///
    /// # Errors
    /// As there.
    fn train_on<D: Runtime<f32>>(
        &self,
        device: &D,
        network: &mut <Self as Task<Cpu>>::Network,
        recipe: &Recipe,
        run: &Circumstances<'_>,
        observer: &mut impl Observer<<Self as Task<Cpu>>::Network, <Self as Task<Cpu>>::Score>,
    ) -> Result<Vec<Epoch<<Self as Task<Cpu>>::Score>>>;
}

/// Trains `moved`, the network on another device, by `train`, which shows the observer the networks that `back` brings to
/// the CPU; at the end `network` is the last of them.
///
/// # Errors
/// Those of `train` and `back`.
pub(super) fn elsewhere<N, M, S, O: Observer<N, S>>(
    network: &mut N,
    mut moved: M,
    back: fn(&M) -> Result<N>,
    observer: &mut O,
    train: impl FnOnce(&mut M, &mut Brought<'_, O, fn(&M) -> Result<N>>) -> Result<Vec<Epoch<S>>>,
) -> Result<Vec<Epoch<S>>> {
    let mut brought = Brought {
        observer,
        back,
        failure: None,
    };
    let epochs = train(&mut moved, &mut brought);
    if let Some(failure) = brought.failure {
        return Err(failure);
    }
    let epochs = epochs?;
    *network = back(&moved)?;
    Ok(epochs)
}

/// Shows an observer on the CPU the networks of another device.
pub(super) struct Brought<'a, O, B> {
    observer: &'a mut O,
    back: B,
    failure: Option<Error>,
}

impl<N, M, S, O: Observer<M, S>, B: Fn(&N) -> Result<M>> Observer<N, S> for Brought<'_, O, B> {
    fn step(&mut self, step: usize, steps: usize, loss: f64) {
        self.observer.step(step, steps, loss);
    }

    fn epoch(&mut self, epochs: &[Epoch<S>], network: &N) {
        match (self.back)(network) {
            Ok(network) => self.observer.epoch(epochs, &network),
            Err(failure) => self.failure = Some(failure),
        }
    }

    fn wants_to_stop(&self) -> bool {
        self.failure.is_some() || self.observer.wants_to_stop()
    }
}

/// What fixes all that is drawn at random for an example, beside its index.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// From 0.
    pub epoch: usize,
    /// Of the run.
    pub seed: u64,
}

/// The loss of some examples.
#[derive(Debug)]
pub struct Loss<D: Runtime<f32>> {
    /// On the tape.
    pub value: Tensor<Rank0, f32, D, OwnedTape<f32, D>>,
    /// Numbers for [`Task::after_step`]: the sum of a teacher's outputs, for their centre.
    pub notes: Vec<f32>,
}

impl<D: Runtime<f32>> From<Tensor<Rank0, f32, D, OwnedTape<f32, D>>> for Loss<D> {
    fn from(value: Tensor<Rank0, f32, D, OwnedTape<f32, D>>) -> Self {
        let notes = Vec::new();
        Self { value, notes }
    }
}

/// A step that has just been made.
#[derive(Debug)]
pub struct Step<'a> {
    /// From 0.
    pub epoch: usize,
    /// In all epochs, from 0.
    pub step: usize,
    /// Of the whole run.
    pub steps: usize,
    /// [`Loss::notes`] of every shard of its batch, in order.
    pub notes: &'a [Vec<f32>],
}

/// What a network is worth on examples it was not trained on.
pub trait Scored: Clone + Serialize + DeserializeOwned {
    /// Its numbers, for tables and event files.
    fn figures(&self) -> Vec<Figure>;

    /// What is shown of it, a few words: "held-out loss 0.1234".
    fn line(&self) -> String;
}

/// A number of a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Its column in the course of a training.
    pub column: &'static str,
    /// Its series in event files.
    pub series: &'static str,
    /// The number.
    pub value: f64,
}

/// A held-out loss and nothing else.
impl Scored for f64 {
    fn figures(&self) -> Vec<Figure> {
        vec![Figure {
            column: "held_out_loss",
            series: "loss/held_out",
            value: *self,
        }]
    }

    fn line(&self) -> String {
        format!("held-out loss {self:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::model::parameters::{Init, Parameter, Visitor};
    use crate::seed;
    use crate::train::{train, Circumstances, Epoch, Observer, Recipe};
    use dfdx::prelude::*;
    use rand::Rng;
    use std::time::Duration;

    /// `x W + b`, a parameter that nothing depends on, and a teacher: the average of `W`.
    #[derive(Debug, Clone)]
    struct Map {
        device: Cpu,
        weight: Tensor<Rank2<3, 2>, f32, Cpu>,
        bias: Tensor<Rank1<2>, f32, Cpu>,
        spare: Tensor<Rank1<2>, f32, Cpu>,
        teacher: Vec<f32>,
    }

    impl Map {
        fn new() -> Self {
            let device = Cpu::default();
            Self {
                weight: device.zeros(),
                bias: device.zeros(),
                spare: device.ones(),
                teacher: vec![0.0; 6],
                device,
            }
        }

        fn numbers(&self) -> Vec<Vec<f32>> {
            let parameters = self.parameters().into_iter().map(|found| found.values);
            parameters.chain([self.teacher.clone()]).collect()
        }
    }

    impl Network<f32, Cpu> for Map {
        fn device(&self) -> &Cpu {
            &self.device
        }

        fn visit_parameters(&mut self, visitor: &mut impl Visitor<f32, Cpu>) -> Result<()> {
            let named = |name: &str, shape: &[usize]| Parameter {
                name: name.into(),
                shape: shape.into(),
                init: Init::Zero,
                trained: true,
            };
            visitor.visit(&named("weight", &[3, 2]), &mut self.weight)?;
            visitor.visit(&named("bias", &[2]), &mut self.bias)?;
            visitor.visit(&named("spare", &[2]), &mut self.spare)
        }

        fn buffers(&self) -> Vec<(String, Vec<f32>)> {
            vec![("teacher".into(), self.teacher.clone())]
        }

        fn set_buffers(&mut self, buffers: Vec<Vec<f32>>) -> Result<()> {
            self.teacher = buffers.concat();
            Ok(())
        }
    }

    /// The map to be found, by rows; the bias is `(1, 2)`.
    const WEIGHT: [[f32; 2]; 3] = [[0.5, -1.0], [0.25, 0.0], [-0.75, 1.0]];

    /// To find a fixed map from points that are drawn anew in every epoch.
    struct Fit;

    impl Task<Cpu> for Fit {
        type Network = Map;
        type Batch = Vec<[f32; 3]>;
        type Score = f64;

        fn examples(&self) -> usize {
            37
        }

        fn shard(&self) -> usize {
            4
        }

        fn batch(&self, indices: &[usize], draw: Draw) -> Result<Vec<[f32; 3]>> {
            let stream = |i| seed::stream(draw.seed, &format!("point/{}/{i}", draw.epoch));
            Ok(indices.iter().map(|i| stream(i).gen()).collect())
        }

        fn loss(&self, network: &Map, points: &Vec<[f32; 3]>, weight: f64) -> Result<Loss<Cpu>> {
            let value = |x: &[f32; 3], j| (0..3).map(|i| x[i] * WEIGHT[i][j]).sum::<f32>();
            let targets = points
                .iter()
                .flat_map(|x| [1.0 + value(x, 0), 2.0 + value(x, 1)]);
            let shape = (points.len(), Const::<2>);
            let targets = network.device.tensor_from_vec(targets.collect(), shape);
            let shape = (points.len(), Const::<3>);
            let points = network.device.tensor_from_vec(points.concat(), shape);
            let found = points.leaky_traced().matmul(network.weight.clone());
            let bias = network.bias.leaky_trace().broadcast_like(&targets);
            Ok(Loss {
                value: mse_loss(found + bias, targets) * weight as f32,
                notes: vec![shape.0 as f32],
            })
        }

        fn moves(&self, parameter: &str, epoch: usize) -> bool {
            match parameter {
                "bias" => epoch >= 1,
                "spare" => false,
                _ => true,
            }
        }

        fn after_step(&self, network: &mut Map, step: &Step<'_>) -> Result<()> {
            // All shards but the last are whole.
            let mut whole = step.notes.iter().rev().skip(1);
            assert!(whole.all(|notes| notes == &[4.0]));
            let momentum = step.step as f32 / step.steps as f32;
            let weight = network.weight.as_vec();
            for (teacher, weight) in network.teacher.iter_mut().zip(weight) {
                *teacher = momentum * *teacher + (1.0 - momentum) * weight;
            }
            Ok(())
        }

        fn score(&self, network: &Map, _: usize) -> Result<f64> {
            let pairs = network.weight.as_vec().into_iter().zip(WEIGHT.concat());
            Ok(pairs.map(|(a, b)| f64::from((a - b).powi(2))).sum())
        }

        fn identity(&self, _: &Map) -> serde_json::Value {
            "a map".into()
        }
    }

    /// Stops after a step, if one is named.
    struct Stop(Option<usize>, usize);

    impl Observer<Map, f64> for Stop {
        fn step(&mut self, step: usize, _: usize, _: f64) {
            self.1 = step;
        }

        fn epoch(&mut self, _: &[Epoch<f64>], _: &Map) {}

        fn wants_to_stop(&self) -> bool {
            self.0 == Some(self.1)
        }
    }

    fn recipe() -> Recipe {
        Recipe {
            epochs: 3,
            batch: 16,
            learning_rate: 0.05,
            weight_decay: 0.1,
            ema: Some(0.5),
            ..Recipe::demo()
        }
    }

    type Outcome = Result<(Vec<Vec<f32>>, Vec<Epoch<f64>>)>;

    fn trained(file: Option<&std::path::Path>, threads: usize, stop: Option<usize>) -> Outcome {
        let run = Circumstances {
            seed: 3,
            threads,
            state_file: file,
            save_every: Duration::from_secs(300),
        };
        let mut network = Map::new();
        let mut stop = Stop(stop, 0);
        let epochs = train(&mut network, &Fit, &recipe(), &run, &mut stop)?;
        Ok((network.numbers(), epochs))
    }

    #[test]
    fn a_task_of_a_few_lines_trains_and_goes_on_after_any_step_to_the_same_bytes() {
        let (whole, epochs) = trained(None, 1, None).unwrap();
        assert!(
            epochs[2].training_loss < 0.7 * epochs[0].training_loss,
            "{epochs:?}"
        );
        assert_ne!(whole[3], whole[0], "the teacher lags behind");
        let folder = tempfile::tempdir().unwrap();
        for threads in [1, 2] {
            assert_eq!(
                trained(None, threads, None).unwrap(),
                (whole.clone(), epochs.clone())
            );
            for step in 1..9 {
                let file = folder.path().join(format!("{threads}-{step}.state"));
                let end = trained(Some(&file), threads, Some(step)).unwrap_err();
                assert!(
                    matches!(end, Error::Interrupted { step: at } if at == step),
                    "{end}"
                );
                let resumed = trained(Some(&file), 3 - threads, None).unwrap();
                assert_eq!(
                    resumed,
                    (whole.clone(), epochs.clone()),
                    "after step {step}"
                );
            }
        }
    }

    #[test]
    fn what_does_not_move_is_left_alone_and_what_waits_begins_with_a_first_step() {
        let recipe = Recipe {
            epochs: 2,
            batch: 37,
            learning_rate: 0.5,
            weight_decay: 0.5,
            warmup_epochs: 0.0,
            ..Recipe::demo()
        };
        let run = Circumstances {
            seed: 3,
            threads: 1,
            state_file: None,
            save_every: Duration::from_secs(300),
        };
        let mut network = Map::new();
        train(&mut network, &Fit, &recipe, &run, &mut Stop(None, 0)).unwrap();
        assert_eq!(network.spare.array(), [1.0; 2]);
        // The second step of the cosine, at half the rate, is the first of the bias: AdamW's is the rate itself.
        let rate = recipe.learning_rate_at(1, 0, 1);
        for (found, sign) in network.bias.array().into_iter().zip([1.0, 1.0]) {
            assert!(
                (f64::from(found) - sign * rate).abs() < 1e-6,
                "{found} {rate}"
            );
        }
    }

    #[test]
    fn a_state_of_another_task_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("map.state");
        trained(Some(&file), 1, Some(2)).unwrap_err();
        let text = std::fs::read(&file).unwrap();
        // A name of the same length, so that the file stays one.
        let at = text.windows(5).position(|word| word == b"a map").unwrap();
        let mut other = text;
        other[at..at + 5].copy_from_slice(b"a mop");
        std::fs::write(&file, other).unwrap();
        let error = trained(Some(&file), 1, None).unwrap_err().to_string();
        assert!(error.contains(r#"task "a mop" (here "a map")"#), "{error}");
    }
}
