//! The blocks that layers are made of. A layer is data: a list of steps, each with its LayerNorm, its block and its skip.
//!
//! | network | steps |
//! |---|---|
//! | CRATE (NeurIPS 2023) | [`mssa`] with skip, [`ista`] without |
//! | a transformer | [`mhsa`] with skip, [`mlp`] with skip |
//! | CRATE-alpha (arXiv 2405.20299) | [`mssa`] with skip, [`overcomplete`] with skip |
//! | CRATE-MAE's decoder (ICLR 2024) | [`dictionary`] without skip, [`mssa`] taken away |
//!
//! A kind of block is a file: what fixes it (`Plan`), its parameters with names, first values and count, its form composed
//! of dfdx operations, its kernel. The list of kinds is here, and nowhere else is there a `match` over them. A step that has no
//! kernel makes its stack run composed.

pub mod attention;
pub mod dictionary;
pub mod ista;
pub(super) mod kernel;
pub mod mhsa;
pub mod mlp;
pub mod mssa;
pub mod overcomplete;
pub mod tssa;

pub use attention::Place;
use kernel::{Around, Kernel};

use dfdx::prelude::*;
use ndarray::Array3;

use super::names::StepNames;
use super::norm::LayerNorm;
use super::parameters::{visit_norm, Visitor};
use super::probe::{Probe, Site};
use super::sparsifier::Sparsifier;
use super::tensor::{constant, observe, Tokens};
use super::Real;
use crate::error::{Error, Result};

/// What every block is to the network around it.
pub trait Form<E: Real, D: Device<E>> {
    /// What the block makes of tokens, without skip, composed of dfdx operations.
    ///
    /// # Shapes
    /// x (b, n, d), already normalised, to (b, n, d).
    ///
    /// # Errors
    /// The device's own.
    fn try_forward<T: Tape<E, D>>(
        &self,
        x: Tokens<E, D, T>,
        place: Place,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err>;

    /// Takes every parameter in turn.
    ///
    /// # Errors
    /// The visitor's own.
    fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()>;

    /// `K`, of a block with heads.
    fn heads(&self) -> Option<usize> {
        None
    }

    /// `U_1, ..., U_K`, (K, d, p), of a block that projects: what its heads read as values.
    ///
    /// # Errors
    /// [`Error::Shape`] if the memory of a weight cannot be read as one matrix.
    fn bases(&self) -> Result<Option<Array3<f64>>> {
        Ok(None)
    }

    /// `W_1, ..., W_K`, (K, d, p): the output projection adds `sum_k W_k` times what head `k` made. The papers write `U_k`
    /// in its place. None for a block without one.
    ///
    /// # Errors
    /// [`Error::Shape`] if the memory of a weight cannot be read as one matrix.
    fn output_blocks(&self) -> Result<Option<Array3<f64>>> {
        Ok(None)
    }

    /// The learned scale `s` of an output that is tied to the bases.
    fn tied_scale(&self) -> Option<f64> {
        None
    }

    /// Of a block that sparsifies: what it works with.
    ///
    /// # Errors
    /// [`Error::Domain`] if a weight is not finite.
    fn sparsifier(&self) -> Result<Option<Sparsifier>> {
        Ok(None)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident in $file:ident,)*) => {
        /// A block with its parameters.
        #[derive(Debug, Clone)]
        pub enum Block<E: Dtype, D: Device<E>> {
            $($(#[$doc])* $kind($file::$kind<E, D>),)*
        }

        /// A block without its parameters.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Plan {
            $($(#[$doc])* $kind($file::Plan),)*
        }

        impl Plan {
            /// Number of parameters in a network of width `d`.
            fn parameters(&self, d: u128) -> u128 {
                match self {
                    $(Self::$kind(plan) => plan.parameters(d),)*
                }
            }

            /// Multiplications, each with an addition, of the matrix products on `n` tokens of width `d`.
            fn multiply_adds(&self, d: u128, n: u128) -> u128 {
                match self {
                    $(Self::$kind(plan) => plan.multiply_adds(d, n),)*
                }
            }

            fn blank<E: Real, D: Device<E>>(
                &self,
                device: &D,
                d: usize,
            ) -> std::result::Result<Block<E, D>, D::Err> {
                match self {
                    $(Self::$kind(plan) => plan.blank(device, d).map(Block::$kind),)*
                }
            }
        }

        impl<E: Real, D: Device<E>> Form<E, D> for Block<E, D> {
            fn try_forward<T: Tape<E, D>>(
                &self,
                x: Tokens<E, D, T>,
                place: Place,
                probe: &mut impl Probe<E>,
            ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
                match self {
                    $(Self::$kind(block) => block.try_forward(x, place, probe),)*
                }
            }

            fn visit(&mut self, names: &StepNames, visitor: &mut impl Visitor<E, D>) -> Result<()> {
                match self {
                    $(Self::$kind(block) => block.visit(names, visitor),)*
                }
            }

            fn heads(&self) -> Option<usize> {
                match self {
                    $(Self::$kind(block) => block.heads(),)*
                }
            }

            fn bases(&self) -> Result<Option<Array3<f64>>> {
                match self {
                    $(Self::$kind(block) => block.bases(),)*
                }
            }

            fn output_blocks(&self) -> Result<Option<Array3<f64>>> {
                match self {
                    $(Self::$kind(block) => block.output_blocks(),)*
                }
            }

            fn tied_scale(&self) -> Option<f64> {
                match self {
                    $(Self::$kind(block) => block.tied_scale(),)*
                }
            }

            fn sparsifier(&self) -> Result<Option<Sparsifier>> {
                match self {
                    $(Self::$kind(block) => block.sparsifier(),)*
                }
            }
        }

        impl Block<f32, Cpu> {
            /// The kernel for this block beside such a skip, if there is one.
            fn kernel(&self, skip: Option<f64>) -> Option<&dyn Kernel> {
                match self {
                    $(Self::$kind(block) => block.kernel(skip),)*
                }
            }
        }
    };
}

kinds! {
    /// Compression.
    Mssa in mssa,
    /// A transformer's attention.
    Mhsa in mhsa,
    /// Sparsification.
    Ista in ista,
    /// A transformer's perceptron.
    Mlp in mlp,
    /// Compression by second moments.
    Tssa in tssa,
    /// A decoder's synthesis.
    Dictionary in dictionary,
    /// Sparsification with more atoms than features.
    Overcomplete in overcomplete,
}

/// A step without its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPlan {
    /// The additive constant of the LayerNorm before the block.
    pub epsilon: f64,
    /// The block.
    pub block: Plan,
    /// `w` in `Z + w f(LN(Z))`; without skip the step is `f(LN(Z))`.
    pub skip: Option<f64>,
}

impl StepPlan {
    /// Number of parameters in a network of width `d`, those of the LayerNorm included.
    pub(super) fn parameters(&self, d: u128) -> u128 {
        2 * d + self.block.parameters(d)
    }

    /// Multiplications, each with an addition, of the matrix products of the block on `n` tokens, as the official code
    /// forms them. What is done number by number is not counted.
    pub(super) fn multiply_adds(&self, d: u128, n: u128) -> u128 {
        self.block.multiply_adds(d, n)
    }

    fn blank<E: Real, D: Device<E>>(
        &self,
        device: &D,
        d: usize,
    ) -> std::result::Result<Step<E, D>, D::Err> {
        Ok(Step {
            norm: LayerNorm::identity(device, d, self.epsilon)?,
            block: self.block.blank(device, d)?,
            skip: self.skip,
        })
    }
}

/// `Z + w f(LN(Z))`, or `f(LN(Z))`.
#[derive(Debug, Clone)]
pub struct Step<E: Dtype, D: Device<E>> {
    /// LayerNorm before the block.
    pub norm: LayerNorm<E, D>,
    /// `f`.
    pub block: Block<E, D>,
    /// `w`; none without skip.
    pub skip: Option<f64>,
}

impl<E: Real, D: Device<E>> Step<E, D> {
    fn try_forward<T: Tape<E, D>>(
        &self,
        z: Tokens<E, D, T>,
        place: Place,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        let (input, skip) = match self.skip {
            Some(weight) => (z.retaped::<T>(), Some((weight, z))),
            None => (z, None),
        };
        let x = self.norm.try_forward(input)?;
        observe(probe, Site::Normalised(place.step), place.layer, &x);
        let made = self.block.try_forward(x, place, probe)?;
        let output = match skip {
            None => made,
            Some((1.0, z)) => made.try_add(z)?,
            Some((weight, z)) => made.try_mul(constant::<E>(weight))?.try_add(z)?,
        };
        observe(probe, Site::After(place.step), place.layer, &output);
        Ok(output)
    }
}

impl Step<f32, Cpu> {
    /// Its kernel, if there is one, and what it has to know of the step around the block.
    pub(super) fn kernel(&self) -> Option<(&dyn Kernel, Around<'_>)> {
        let around = Around {
            norm: &self.norm,
            skip: self.skip,
        };
        Some((self.block.kernel(self.skip)?, around))
    }
}

/// One layer: its steps, in order.
#[derive(Debug, Clone)]
pub struct Layer<E: Dtype, D: Device<E>> {
    /// One or more.
    pub steps: Vec<Step<E, D>>,
}

impl<E: Real, D: Device<E>> Layer<E, D> {
    /// Identity LayerNorms and zeros, to be filled.
    pub(super) fn blank(
        device: &D,
        d: usize,
        plan: &[StepPlan],
    ) -> std::result::Result<Self, D::Err> {
        let steps = plan.iter().map(|step| step.blank(device, d));
        Ok(Self {
            steps: steps.collect::<std::result::Result<_, _>>()?,
        })
    }

    /// # Shapes
    /// (b, n, d) to the same.
    ///
    /// # Errors
    /// The device's own.
    pub fn try_forward<T: Tape<E, D>>(
        &self,
        z: Tokens<E, D, T>,
        layer: usize,
        probe: &mut impl Probe<E>,
    ) -> std::result::Result<Tokens<E, D, T>, D::Err> {
        observe(probe, Site::LayerInput, layer, &z);
        let steps = self.steps.iter().enumerate();
        steps.into_iter().try_fold(z, |z, (step, own)| {
            own.try_forward(z, Place { layer, step }, probe)
        })
    }

    /// Takes every parameter in turn; `names` are those of a step.
    ///
    /// # Errors
    /// The visitor's own.
    pub(super) fn visit(
        &mut self,
        names: impl Fn(usize) -> StepNames,
        visitor: &mut impl Visitor<E, D>,
    ) -> Result<()> {
        for (index, step) in self.steps.iter_mut().enumerate() {
            let names = names(index);
            visit_norm(visitor, &names.norm(), &mut step.norm)?;
            step.block.visit(&names, visitor)?;
        }
        Ok(())
    }

    /// The first block with heads.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is none.
    pub fn attention(&self) -> Result<&Block<E, D>> {
        let mut blocks = self.steps.iter().map(|step| &step.block);
        blocks
            .find(|block| block.heads().is_some())
            .ok_or_else(|| missing("no attention"))
    }

    /// `U_1, ..., U_K`, (K, d, p), of the first block that projects: what its heads read as values.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is none, [`Error::Shape`] if the memory of a weight cannot be read as one matrix.
    pub fn bases(&self) -> Result<Array3<f64>> {
        let bases = self.attention()?.bases()?;
        bases.ok_or_else(|| missing("no subspaces"))
    }

    /// The learned scale `s` of an output that is tied to the bases.
    pub fn tied_scale(&self) -> Option<f64> {
        let mut blocks = self.steps.iter().map(|step| &step.block);
        blocks.find_map(Form::tied_scale)
    }

    /// Of the first block that sparsifies: what it works with.
    ///
    /// # Errors
    /// [`Error::Domain`] if a weight is not finite.
    pub fn sparsifier(&self) -> Result<Option<Sparsifier>> {
        let found = self.steps.iter().map(|step| step.block.sparsifier());
        let found: Vec<_> = found.collect::<Result<_>>()?;
        Ok(found.into_iter().flatten().next())
    }
}

fn missing(what: &str) -> Error {
    Error::unsupported(
        "a measurement against the subspaces of a layer",
        format!("on a layer with {what}"),
        "measure a network whose layers have attention",
    )
}
