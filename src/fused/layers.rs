//! A stack of layers, each the compression block, or attention, then the sparsification block, or an MLP.
//!
//! Between two attentions every operation knows one token at a time. A block of rows goes through all of them at once:
//! forward `H -> Y -> Z' -> X, W` of the next layer, backward `dW -> dZ -> dY, dH` of the layer below. The gradients of
//! the weights, sums over all tokens, are products of their own beside the attention's adjoint. A layer is two regions
//! of parallel work in each direction, and not one for every operation.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::product::gradient::{add_products, Sum};
use super::product::{Matrix, Panels};
use super::rows::{self, blocks_mut, Sums};
use super::{attention, ista, mlp};

/// Parameters of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// MSSA or MHSA.
    pub attention: attention::Weights<'a>,
    /// ISTA or MLP.
    pub feed_forward: FeedForward<ista::Weights<'a>, mlp::Weights<'a>>,
}

/// One of two: what belongs to an ISTA block, or to an MLP.
#[derive(Debug, Clone, Copy)]
pub enum FeedForward<I, M> {
    /// Sparsification.
    Ista(I),
    /// The block of a transformer.
    Mlp(M),
}

impl Weights<'_> {
    fn width(&self) -> usize {
        self.attention.norm.gain.len()
    }

    /// Whether the second block is an ISTA step in the folded form.
    fn is_folded(&self) -> bool {
        match &self.feed_forward {
            FeedForward::Ista(ista) => matches!(ista.form, ista::Form::Folded(_)),
            FeedForward::Mlp(_) => false,
        }
    }

    /// Numbers that the second block keeps beside its input and output, a token: two kinds.
    fn inner_widths(&self) -> [usize; 2] {
        match &self.feed_forward {
            FeedForward::Ista(ista) => match ista.form {
                ista::Form::Folded(_) => [0, 0],
                ista::Form::Residual(_) => [self.width(), 0],
            },
            FeedForward::Mlp(mlp) => [mlp.rise_bias.len(); 2],
        }
    }
}

/// Derivatives of [`Weights`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// MSSA or MHSA.
    pub attention: attention::Gradients,
    /// ISTA or MLP.
    pub feed_forward: FeedForward<ista::Gradients, mlp::Gradients>,
}

/// Everything a layer makes on the way.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Of the first block.
    pub attention: attention::Saved,
    /// `Z^{l+1/2}`, (b n, d).
    pub after_attention: Buffer,
    /// Of the second block.
    pub feed_forward: FeedForward<ista::Saved, mlp::Saved>,
    /// `Z^{l+1}`, (b n, d).
    pub output: Buffer,
}

impl Saved {
    fn unfilled(rows: usize, weights: &Weights<'_>, maps: Option<usize>) -> Self {
        let size = rows * weights.width();
        Self {
            attention: attention::Saved::unfilled(rows, &weights.attention, maps),
            after_attention: Buffer::unfilled(size),
            feed_forward: match &weights.feed_forward {
                FeedForward::Ista(ista) => FeedForward::Ista(ista::Saved::unfilled(rows, ista)),
                FeedForward::Mlp(mlp) => FeedForward::Mlp(mlp::Saved::unfilled(rows, mlp)),
            },
            output: Buffer::unfilled(size),
        }
    }

    /// What the second block works on, (b n, d).
    pub fn normalised_after_attention(&self) -> &[f32] {
        match &self.feed_forward {
            FeedForward::Ista(saved) => &saved.normalised,
            FeedForward::Mlp(saved) => &saved.normalised,
        }
    }
}

/// `Z^L` and what led to it, layer by layer: of all layers if `keep`, else of the last. `maps` says of which layers
/// attention maps are made; `made` sees each layer's input and what it made.
///
/// # Shapes
/// z (b n, d).
pub fn forward(
    z: &[f32],
    tokens: usize,
    layers: &[Weights<'_>],
    keep: bool,
    maps: impl Fn(usize) -> bool,
    mut made: impl FnMut(usize, &[f32], &Saved),
) -> Vec<Saved> {
    let mut saved: Vec<Saved> = Vec::new();
    // The input of the layer that is being made, where the layer before is not kept.
    let mut before: Option<Buffer> = None;
    for index in 0..=layers.len() {
        let mut open = saved.pop();
        let mut next = layers.get(index).map(|weights| {
            let rows = z.len() / weights.width();
            Saved::unfilled(rows, weights, maps(index).then_some(tokens))
        });
        {
            let input = match (saved.last(), &before) {
                (Some(below), _) => &below.output,
                (None, Some(before)) => before,
                (None, None) => z,
            };
            let own = open.as_mut().map(|open| (&layers[index - 1], open));
            between(input, own, next.as_mut().map(|next| (&layers[index], next)));
            if let Some(open) = &open {
                made(index - 1, input, open);
            }
        }
        if let Some(mut open) = open {
            if !keep && next.is_some() {
                before = Some(std::mem::take(&mut open.output));
            } else {
                saved.push(open);
            }
        }
        if let (Some(mut next), Some(weights)) = (next, layers.get(index)) {
            next.attention.attend(tokens, &weights.attention);
            saved.push(next);
        }
    }
    saved
}

/// From `H` of one layer, whose input is `input`, to its output, and on to `X` and `W` of the next, in blocks of rows.
/// Without a layer before, `input` is that of the next.
fn between(
    input: &[f32],
    own: Option<(&Weights<'_>, &mut Saved)>,
    next: Option<(&Weights<'_>, &mut Saved)>,
) {
    let Some(weights) = own
        .as_ref()
        .map(|(w, _)| *w)
        .or(next.as_ref().map(|(w, _)| *w))
    else {
        return;
    };
    let d = weights.width();
    let block = rows::block(input.len() / d);
    let inputs = input.chunks(block * d);
    let entries: Vec<Option<Entry<'_>>> = match next {
        None => inputs.clone().map(|_| None).collect(),
        Some((weights, next)) => {
            let x = blocks_mut(&mut next.attention.normalised, d, block);
            let columns = weights.attention.columns();
            let w = blocks_mut(&mut next.attention.projection, columns, block);
            let both = x.zip(w).take(inputs.len());
            both.map(|(x, w)| Some((weights, [x, w]))).collect()
        }
    };
    let Some((weights, own)) = own else {
        let tasks: Vec<_> = inputs.zip(entries).collect();
        let tasks = tasks.into_par_iter().with_max_len(1);
        tasks.for_each(|(z, entry)| enter(z, entry));
        return;
    };
    let inner = weights.attention.inner();
    let mut none = Buffer::default();
    let (x, [a, b]) = match &mut own.feed_forward {
        FeedForward::Ista(saved) => (&mut saved.normalised, [&mut saved.residual, &mut none]),
        FeedForward::Mlp(saved) => (
            &mut saved.normalised,
            [&mut saved.hidden, &mut saved.active],
        ),
    };
    let widths = weights.inner_widths();
    let reads = own.attention.read.chunks(block * inner);
    let outputs = blocks_mut(&mut own.after_attention, d, block)
        .zip(blocks_mut(x, d, block))
        .zip(blocks_mut(a, widths[0], block).zip(blocks_mut(b, widths[1], block)))
        .zip(blocks_mut(&mut own.output, d, block));
    let tasks: Vec<_> = inputs.zip(reads).zip(outputs).zip(entries).collect();
    let tasks = tasks.into_par_iter().with_max_len(1);
    tasks.for_each(|(((z, read), (((y, x), (a, b)), output)), entry)| {
        attention::leave(z, read, &weights.attention, y);
        match &weights.feed_forward {
            FeedForward::Ista(weights) => ista::forward(y, weights, x, a, output),
            FeedForward::Mlp(weights) => mlp::forward(y, weights, x, a, b, output),
        }
        enter(output, entry);
    });
}

/// A layer whose `X` and `W` some rows enter.
type Entry<'a> = (&'a Weights<'a>, [&'a mut [f32]; 2]);

fn enter(z: &[f32], entry: Option<Entry<'_>>) {
    if let Some((weights, [x, w])) = entry {
        attention::enter(z, &weights.attention, x, w);
    }
}

/// What the adjoint of a layer makes of all tokens, for the gradients of its weights.
struct Derivatives {
    /// `G`, or `dZ'` of an MLP: (rows, d); empty until it is made.
    output: Buffer,
    /// `dR` of an ISTA block in the residual's form, `dV` of an MLP.
    inner: Buffer,
    /// `dY`, (rows, d).
    after_attention: Buffer,
    /// `dH`, (rows, k p).
    read: Buffer,
    /// Sums of the LayerNorms, second block first.
    norms: [Sums; 2],
    /// `do`; of an MLP `db` and `da`; `dw`.
    biases: [Sums; 4],
}

impl Derivatives {
    fn unfilled(rows: usize, adjoint: &Weights<'_>) -> Self {
        let d = adjoint.width();
        let width = |there: bool, width: usize| if there { width } else { 0 };
        let mlp = matches!(adjoint.feed_forward, FeedForward::Mlp(_));
        let attention = &adjoint.attention;
        let [inner, _] = adjoint.inner_widths();
        Self {
            output: Buffer::default(),
            inner: Buffer::unfilled(rows * inner),
            after_attention: Buffer::unfilled(rows * d),
            read: Buffer::unfilled(rows * attention.inner()),
            norms: [Sums::of(rows, 2 * d), Sums::of(rows, 2 * d)],
            biases: [
                Sums::of(rows, width(attention.output.is_some(), d)),
                Sums::of(rows, width(mlp, d)),
                Sums::of(rows, width(mlp, inner)),
                Sums::of(
                    rows,
                    width(attention.projection_bias.is_some(), attention.columns()),
                ),
            ],
        }
    }
}

/// Turns the derivative by the stack's output into that by its input, and adds those by the weights to `gradients`.
///
/// # Shapes
/// z (the input) and derivative (b n, d).
///
/// # Panics
/// If adjoint weights, gradients and what was saved are not all of the same kinds of blocks.
pub fn backward(
    z: &[f32],
    tokens: usize,
    adjoint: &[Adjoint<'_>],
    saved: &[Saved],
    derivative: Buffer,
    gradients: &mut [Gradients],
) -> Buffer {
    let mut derivative = Some(derivative);
    // The layer above: what has been made of it, and `dW`.
    let mut above: Option<(usize, Derivatives, Buffer)> = None;
    let mut folded: Vec<Option<Buffer>> = adjoint.iter().map(|_| None).collect();
    for index in (0..=adjoint.len()).rev() {
        let own = index.checked_sub(1);
        let input = |layer: usize| match layer.checked_sub(1) {
            Some(below) => &saved[below].output[..],
            None => z,
        };
        // `dZ` of the layer above is made where its `dY` was.
        let output = match (&mut above, derivative.take()) {
            (Some((_, above, _)), _) => std::mem::take(&mut above.after_attention),
            (None, Some(derivative)) => derivative,
            (None, None) => Buffer::default(),
        };
        let mut made = own.map(|own| {
            let weights = &adjoint[own].weights;
            Derivatives::unfilled(output.len() / weights.width(), weights)
        });
        let output = between_backward(
            output,
            above.as_mut().map(|(layer, above, dw)| {
                (&adjoint[*layer].weights, input(*layer), above, &dw[..])
            }),
            own.zip(made.as_mut())
                .map(|(own, made)| (&adjoint[own].weights, &saved[own], made)),
        );
        let mut sums = Vec::new();
        let (below, from) = gradients.split_at_mut(index);
        if let Some((layer, above, dw)) = &above {
            let attention = &mut from[0].attention;
            let weights = &adjoint[*layer].weights.attention;
            above.norms[1].add_to(&mut [&mut attention.norm.gain, &mut attention.norm.bias]);
            if let Some(bias) = &mut attention.projection_bias {
                above.biases[3].add_to(&mut [bias]);
            }
            let (d, columns) = (weights.norm.gain.len(), weights.columns());
            let rows = dw.len() / columns;
            let x = Matrix::new(&saved[*layer].attention.normalised, rows, d);
            sums.push(Sum {
                gradient: &mut attention.projection,
                terms: vec![(Matrix::new(dw, rows, columns), Panels::in_place(x), 1.0)],
            });
        }
        let Some((own, mut made)) = own.zip(made) else {
            add_products(&mut sums);
            derivative = Some(output);
            break;
        };
        made.output = output;
        let mut dprojection = Buffer::unfilled(saved[own].attention.projection.len());
        let mut dfolded = adjoint[own].weights.is_folded().then(|| {
            let d = adjoint[own].weights.width();
            Buffer::zeroed(d * d)
        });
        let gradients = &mut below[own];
        own_sums(
            &adjoint[own],
            &saved[own],
            &made,
            gradients,
            dfolded.as_deref_mut(),
            &mut sums,
        );
        let attention = &adjoint[own].weights.attention;
        let attend = || {
            let saved = &saved[own].attention;
            attention::heads::backward_all(saved, &made.read, tokens, attention, &mut dprojection);
        };
        rayon::join(attend, || add_products(&mut sums));
        drop(sums);
        folded[own] = dfolded;
        above = Some((own, made, dprojection));
    }
    let unfold =
        |((adjoint, gradients), folded): ((&Adjoint<'_>, &mut Gradients), Option<Buffer>)| {
            if let (FeedForward::Ista(weights), FeedForward::Ista(gradients), Some(dfolded)) = (
                &adjoint.weights.feed_forward,
                &mut gradients.feed_forward,
                folded,
            ) {
                ista::unfold(
                    adjoint.dictionary,
                    weights.step_size,
                    dfolded,
                    &mut gradients.dictionary,
                );
            }
        };
    let layers = adjoint.par_iter().zip(gradients).zip(folded);
    layers.with_max_len(1).for_each(unfold);
    derivative.unwrap_or_default()
}

/// What the backward pass reads of a layer's parameters.
#[derive(Debug, Clone, Copy)]
pub struct Adjoint<'a> {
    /// The matrices as their documentation says for the adjoint.
    pub weights: Weights<'a>,
    /// `D` of a folded ISTA block, else empty.
    pub dictionary: &'a [f32],
}

/// Adds the sums of all groups of tokens to the gradients of a layer, and the products that make those of its matrices
/// to `sums`.
fn own_sums<'a>(
    adjoint: &Adjoint<'_>,
    saved: &'a Saved,
    made: &'a Derivatives,
    gradients: &'a mut Gradients,
    dfolded: Option<&'a mut [f32]>,
    sums: &mut Vec<Sum<'a>>,
) {
    let d = adjoint.weights.width();
    let rows = made.output.len() / d;
    let g = Matrix::new(&made.output, rows, d);
    if let Some((weight, bias)) = &mut gradients.attention.output {
        made.biases[0].add_to(&mut [bias]);
        let dy = Matrix::new(&made.after_attention, rows, d);
        let inner = adjoint.weights.attention.inner();
        let h = Matrix::new(&saved.attention.read, rows, inner);
        sums.push(Sum {
            gradient: weight,
            terms: vec![(dy, Panels::in_place(h), 1.0)],
        });
    }
    match (
        &adjoint.weights.feed_forward,
        &saved.feed_forward,
        &mut gradients.feed_forward,
    ) {
        (FeedForward::Ista(weights), FeedForward::Ista(saved), FeedForward::Ista(gradients)) => {
            made.norms[0].add_to(&mut [&mut gradients.norm.gain, &mut gradients.norm.bias]);
            let x = Matrix::new(&saved.normalised, rows, d);
            let sum = match (weights.form, dfolded) {
                (ista::Form::Folded(_), Some(dfolded)) => Sum {
                    gradient: dfolded,
                    terms: vec![(x, Panels::in_place(g), 1.0)],
                },
                _ => {
                    let r = Matrix::new(&saved.residual, rows, d);
                    let dr = Matrix::new(&made.inner, rows, d);
                    Sum {
                        gradient: &mut gradients.dictionary,
                        terms: vec![
                            (r, Panels::in_place(g), weights.step_size),
                            (dr, Panels::in_place(x), -1.0),
                        ],
                    }
                }
            };
            sums.push(sum);
        }
        (FeedForward::Mlp(weights), FeedForward::Mlp(saved), FeedForward::Mlp(gradients)) => {
            made.norms[0].add_to(&mut [&mut gradients.norm.gain, &mut gradients.norm.bias]);
            made.biases[1].add_to(&mut [&mut gradients.fall_bias]);
            made.biases[2].add_to(&mut [&mut gradients.rise_bias]);
            let width = weights.rise_bias.len();
            let active = Matrix::new(&saved.active, rows, width);
            sums.push(Sum {
                gradient: &mut gradients.fall,
                terms: vec![(g, Panels::in_place(active), 1.0)],
            });
            let x = Matrix::new(&saved.normalised, rows, d);
            sums.push(Sum {
                gradient: &mut gradients.rise,
                terms: vec![(
                    Matrix::new(&made.inner, rows, width),
                    Panels::in_place(x),
                    1.0,
                )],
            });
        }
        _ => unreachable!("a layer keeps its kind of block"),
    }
}

/// From `dY` and `dW` of the layer above to `dZ`, which is the derivative by the output of the layer below, and on to
/// `dH` there, in blocks of rows. `output` is `dY` of the layer above, and becomes `dZ`; the layer below turns it into
/// `G`.
fn between_backward(
    mut output: Buffer,
    above: Option<(&Weights<'_>, &[f32], &mut Derivatives, &[f32])>,
    own: Option<(&Weights<'_>, &Saved, &mut Derivatives)>,
) -> Buffer {
    let Some(d) = above
        .as_ref()
        .map(|a| a.0.width())
        .or(own.as_ref().map(|o| o.0.width()))
    else {
        return output;
    };
    let block = rows::block(output.len() / d);
    let count = output.len().div_ceil(block * d);
    let entries: Vec<_> = match above {
        None => (0..count).map(|_| None).collect(),
        Some((weights, z, above, dw)) => {
            let columns = weights.attention.columns();
            let z = z.chunks(block * d);
            let dw = dw.chunks(block * columns);
            let [_, norm] = &mut above.norms;
            let [.., bias] = &mut above.biases;
            let sums = norm.blocks_mut(block).zip(bias.blocks_mut(block));
            let all = z.zip(dw).zip(sums);
            all.map(|((z, dw), (norm, bias))| Some((weights, z, dw, [norm, bias])))
                .collect()
        }
    };
    let enter = |entry, dz: &mut [f32]| {
        if let Some((weights, z, dw, sums)) = entry {
            let weights: &Weights<'_> = weights;
            attention::enter_backward(z, dw, &weights.attention, dz, sums);
        }
    };
    let Some((weights, saved, made)) = own else {
        let tasks: Vec<_> = blocks_mut(&mut output, d, block).zip(entries).collect();
        let tasks = tasks.into_par_iter().with_max_len(1);
        tasks.for_each(|(dz, entry)| enter(entry, dz));
        return output;
    };
    let inner = weights.attention.inner();
    let [width, _] = weights.inner_widths();
    let hidden: &[f32] = match &saved.feed_forward {
        FeedForward::Ista(_) => &[],
        FeedForward::Mlp(saved) => &saved.hidden,
    };
    let mut hidden = (0..count).map(|index| {
        let start = (index * block * width).min(hidden.len());
        &hidden[start..(start + block * width).min(hidden.len())]
    });
    let inputs = saved
        .after_attention
        .chunks(block * d)
        .zip(saved.output.chunks(block * d));
    let outputs = blocks_mut(&mut output, d, block)
        .zip(blocks_mut(&mut made.after_attention, d, block))
        .zip(blocks_mut(&mut made.inner, width, block))
        .zip(blocks_mut(&mut made.read, inner, block));
    let [norm, _] = &mut made.norms;
    let [output_bias, fall_bias, rise_bias, _] = &mut made.biases;
    let sums = norm
        .blocks_mut(block)
        .zip(output_bias.blocks_mut(block))
        .zip(fall_bias.blocks_mut(block).zip(rise_bias.blocks_mut(block)));
    let hidden: Vec<_> = hidden.by_ref().collect();
    let tasks: Vec<_> = inputs
        .zip(hidden)
        .zip(outputs)
        .zip(sums)
        .zip(entries)
        .collect();
    let tasks = tasks.into_par_iter().with_max_len(1);
    tasks.for_each(|task| {
        let (((((y, z), hidden), (((dz, dy), inner), dread)), sums), entry) = task;
        let ((norm, output_bias), (fall_bias, rise_bias)) = sums;
        enter(entry, dz);
        match &weights.feed_forward {
            FeedForward::Ista(weights) => ista::backward([y, z], weights, dz, dy, inner, norm),
            FeedForward::Mlp(weights) => {
                let sums = [norm, fall_bias, rise_bias];
                mlp::backward([y, hidden], weights, dz, [dy, inner], sums);
            }
        }
        attention::leave_backward(dy, &weights.attention, dread, output_bias);
    });
    output
}
