//! A network's parameters in the order in which the kernels read them: copied out of dfdx's tensors once for
//! all passes between two changes, one copy for passes forward and one for the adjoint.

use std::sync::{Arc, OnceLock};

use dfdx::prelude::*;
use rayon::prelude::*;

use super::embedding::Embedding;
use super::layers::{Attention, FeedForward, Layer, LayerNorm, Linear, Output};
use crate::fused::attention::{self, Roles};
use crate::fused::buffer::Buffer;
use crate::fused::layers::{self, Adjoint};
use crate::fused::product::{Matrix, Panels};
use crate::fused::{embedding, ista, layer_norm, mlp};

/// What was made so far. Whoever changes a parameter has to start from [`KernelWeights::default`] again.
#[derive(Debug, Clone, Default)]
pub struct KernelWeights(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    /// Forward, then for the adjoint.
    embedding: [Cell<EmbeddingWeights>; 2],
    /// Forward and for the adjoint, with the residual's form of ISTA; then folded.
    layers: [[Cell<Vec<LayerWeights>>; 2]; 2],
}

type Cell<T> = OnceLock<Arc<T>>;

/// Which of the two products with a matrix is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// `X A^T`.
    Forward,
    /// `G A`.
    Adjoint,
}

impl Direction {
    /// A matrix `A` of weights, (m, n), in the order of its product.
    fn panels(self, weights: &[f32], m: usize) -> Panels<'static> {
        self.in_order(Matrix::new(weights, m, weights.len() / m))
    }

    fn in_order(self, matrix: Matrix<'_>) -> Panels<'static> {
        Panels::of(match self {
            Self::Forward => matrix.t(),
            Self::Adjoint => matrix,
        })
    }
}

/// What the cell holds, or what `make` makes. That may share itself out, and a thread that waits for a cell while it
/// could take up work that wants the same cell would wait for itself: hence outside, where there are other threads.
fn get<T>(cell: &Cell<T>, make: impl FnOnce() -> T) -> Arc<T> {
    if let Some(made) = cell.get() {
        return made.clone();
    }
    if rayon::current_num_threads() == 1 {
        return cell.get_or_init(|| Arc::new(make())).clone();
    }
    let made = Arc::new(make());
    cell.get_or_init(|| made).clone()
}

impl KernelWeights {
    pub(super) fn embedding(
        &self,
        embedding: &Embedding<f32, Cpu>,
        direction: Direction,
    ) -> Arc<EmbeddingWeights> {
        let cell = &self.0.embedding[direction as usize];
        get(cell, || EmbeddingWeights::copy(embedding, direction))
    }

    /// Those of `layers`, the whole network's; `fold`: with the folded form of ISTA.
    pub(super) fn layers(
        &self,
        layers: &[Layer<f32, Cpu>],
        direction: Direction,
        fold: bool,
    ) -> Arc<Vec<LayerWeights>> {
        let cells = &self.0.layers[usize::from(fold)];
        get(&cells[direction as usize], || {
            let forward = cells[Direction::Forward as usize].get();
            let one = |(index, layer)| {
                let forward: Option<&LayerWeights> = forward.map(|layers| &layers[index]);
                LayerWeights::copy(layer, direction, fold, forward)
            };
            layers
                .par_iter()
                .enumerate()
                .with_max_len(1)
                .map(one)
                .collect()
        })
    }
}

/// The numbers of a contiguous tensor.
pub(super) fn values<S: Shape>(tensor: &Tensor<S, f32, Cpu>) -> Buffer {
    let mut values = Buffer::unfilled(tensor.shape().num_elements());
    tensor.copy_into(&mut values);
    values
}

/// A LayerNorm's parameters.
#[derive(Debug)]
struct Norm {
    gain: Buffer,
    bias: Buffer,
    epsilon: f64,
}

impl Norm {
    fn copy(norm: &LayerNorm<f32, Cpu>) -> Self {
        Self {
            gain: values(&norm.gain),
            bias: values(&norm.bias),
            epsilon: norm.epsilon,
        }
    }

    fn weights(&self) -> layer_norm::Weights<'_> {
        layer_norm::Weights {
            gain: &self.gain,
            bias: &self.bias,
            epsilon: self.epsilon as f32,
        }
    }
}

/// Matrix and bias of a linear map.
#[derive(Debug)]
struct Affine {
    matrix: Panels<'static>,
    bias: Buffer,
}

impl Affine {
    fn copy(linear: &Linear<f32, Cpu>, direction: Direction) -> Self {
        let bias = values(&linear.bias);
        Self {
            matrix: direction.panels(&values(&linear.weight), bias.len()),
            bias,
        }
    }

    /// `s U` without bias, where `bases` are `U^T`, (n, d).
    fn tied(bases: &[f32], scale: f32, d: usize, direction: Direction) -> Self {
        let scaled: Vec<f32> = bases.iter().map(|u| scale * u).collect();
        let transposed = Matrix::new(&scaled, scaled.len() / d, d);
        Self {
            matrix: direction.in_order(transposed.t()),
            bias: Buffer::zeroed(d),
        }
    }
}

/// A layer's parameters.
#[derive(Debug)]
pub(super) struct LayerWeights {
    norms: [Norm; 2],
    projection: Panels<'static>,
    projection_bias: Option<Buffer>,
    output: Option<Affine>,
    heads: usize,
    head_width: usize,
    roles: Roles,
    feed_forward: layers::FeedForward<Ista, [Affine; 2]>,
}

/// An ISTA block's parameters.
#[derive(Debug)]
struct Ista {
    form: Form,
    /// `D`, where the adjoint of the folded form reads it; else empty.
    dictionary: Buffer,
    step_size: f64,
    lambda: f64,
}

#[derive(Debug)]
enum Form {
    /// In order, and as it is, for the adjoint.
    Folded(Panels<'static>, Buffer),
    Residual([Panels<'static>; 2]),
}

impl LayerWeights {
    fn copy(
        layer: &Layer<f32, Cpu>,
        direction: Direction,
        fold: bool,
        forward: Option<&Self>,
    ) -> Self {
        let (projection, bias, roles) = match &layer.attention {
            Attention::Mssa(mssa) => (&mssa.subspace_bases, None, Roles::One),
            Attention::Mhsa(mhsa) => {
                let bias = mhsa.projection_bias.as_ref();
                (&mhsa.projection, bias, Roles::Three)
            }
        };
        let (columns, d) = *projection.shape();
        let projection = values(projection);
        let free = |linear: &Linear<f32, Cpu>| Affine::copy(linear, direction);
        let output = match &layer.attention {
            Attention::Mssa(mssa) => match &mssa.output {
                Output::Identity => None,
                Output::Free(linear) => Some(free(linear)),
                Output::Tied(scale) => Some(Affine::tied(&projection, scale.array(), d, direction)),
            },
            Attention::Mhsa(mhsa) => mhsa.output.as_ref().map(free),
        };
        let heads = layer.attention.heads();
        Self {
            norms: [Norm::copy(&layer.norm1), Norm::copy(&layer.norm2)],
            projection: direction.panels(&projection, columns),
            projection_bias: bias.map(values),
            output,
            heads,
            head_width: columns / roles.count() / heads,
            roles,
            feed_forward: match &layer.feed_forward {
                FeedForward::Ista(block) => {
                    let dictionary = values(&block.dictionary);
                    let folded = forward.and_then(|forward| match &forward.feed_forward {
                        layers::FeedForward::Ista(Ista {
                            form: Form::Folded(_, folded),
                            ..
                        }) => Some(folded.clone()),
                        _ => None,
                    });
                    let form = if fold {
                        let step_size = block.step_size as f32;
                        let folded =
                            folded.unwrap_or_else(|| ista::fold(&dictionary, d, step_size));
                        let matrix = Matrix::new(&folded, d, d);
                        let panels = Panels::of(match direction {
                            Direction::Forward => matrix,
                            Direction::Adjoint => matrix.t(),
                        });
                        Form::Folded(panels, folded)
                    } else {
                        let matrix = Matrix::new(&dictionary, d, d);
                        Form::Residual([Panels::of(matrix.t()), Panels::of(matrix)])
                    };
                    let read = fold && direction == Direction::Adjoint;
                    layers::FeedForward::Ista(Ista {
                        form,
                        dictionary: if read { dictionary } else { Buffer::default() },
                        step_size: block.step_size,
                        lambda: block.lambda,
                    })
                }
                FeedForward::Mlp(block) => layers::FeedForward::Mlp([
                    Affine::copy(&block.rise, direction),
                    Affine::copy(&block.fall, direction),
                ]),
            },
        }
    }

    pub(super) fn weights(&self) -> layers::Weights<'_> {
        let norm = self.norms[1].weights();
        layers::Weights {
            attention: attention::Weights {
                norm: self.norms[0].weights(),
                projection: &self.projection,
                projection_bias: self.projection_bias.as_deref(),
                output: self.output.as_ref().map(|o| (&o.matrix, &*o.bias)),
                heads: self.heads,
                head_width: self.head_width,
                roles: self.roles,
            },
            feed_forward: match &self.feed_forward {
                layers::FeedForward::Ista(ista) => layers::FeedForward::Ista(ista::Weights {
                    norm,
                    form: match &ista.form {
                        Form::Folded(folded, _) => ista::Form::Folded(folded),
                        Form::Residual([transposed, dictionary]) => {
                            ista::Form::Residual([transposed, dictionary])
                        }
                    },
                    step_size: ista.step_size as f32,
                    threshold: (ista.step_size * ista.lambda) as f32,
                }),
                layers::FeedForward::Mlp([rise, fall]) => layers::FeedForward::Mlp(mlp::Weights {
                    norm,
                    rise: &rise.matrix,
                    rise_bias: &rise.bias,
                    fall: &fall.matrix,
                    fall_bias: &fall.bias,
                }),
            },
        }
    }

    pub(super) fn adjoint(&self) -> Adjoint<'_> {
        Adjoint {
            weights: self.weights(),
            dictionary: match &self.feed_forward {
                layers::FeedForward::Ista(ista) => &ista.dictionary,
                layers::FeedForward::Mlp(_) => &[],
            },
        }
    }
}

/// The embedding's parameters.
#[derive(Debug)]
pub(super) struct EmbeddingWeights {
    norms: [Option<Norm>; 2],
    linear: Affine,
    class_token: Buffer,
    position: Buffer,
}

impl EmbeddingWeights {
    fn copy(embedding: &Embedding<f32, Cpu>, direction: Direction) -> Self {
        let norm = |n: &Option<LayerNorm<f32, Cpu>>| n.as_ref().map(Norm::copy);
        Self {
            norms: [norm(&embedding.patch_norm), norm(&embedding.norm)],
            linear: Affine::copy(&embedding.linear, direction),
            class_token: values(&embedding.class_token),
            position: values(&embedding.position),
        }
    }

    pub(super) fn weights(&self) -> embedding::Weights<'_> {
        let norm = |index: usize| self.norms[index].as_ref().map(Norm::weights);
        embedding::Weights {
            patch_norm: norm(0),
            weight: &self.linear.matrix,
            bias: &self.linear.bias,
            norm: norm(1),
            class_token: &self.class_token,
            position: &self.position,
        }
    }
}
