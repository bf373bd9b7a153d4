//! The adjoint of a stack.

use rayon::prelude::*;

use super::{Block, Gradients, Inner, Saved};
use crate::fused::attention;
use crate::fused::buffer::Buffer;
use crate::fused::product::gradient::{add_products, Sum};
use crate::fused::product::{Matrix, Panels};
use crate::fused::rows::{self, blocks_mut, Sums};
use crate::fused::rowwise::{self, Rows, Rowwise};

/// What the adjoint of an attention makes of all tokens, for the gradients of its weights.
struct AttentionDerivatives {
    /// `dH`, (rows, k p).
    read: Buffer,
    /// `do`, of every group.
    output_bias: Sums,
    /// Of the LayerNorm.
    norm: Sums,
    /// `dw`.
    projection_bias: Sums,
}

impl AttentionDerivatives {
    fn unfilled(rows: usize, weights: &attention::Weights<'_>) -> Self {
        let d = weights.norm.gain.len();
        let width = |there: bool, width: usize| if there { width } else { 0 };
        let columns = width(weights.projection_bias.is_some(), weights.columns());
        Self {
            read: Buffer::unfilled(rows * weights.inner()),
            output_bias: Sums::of(rows, width(weights.output.is_some(), d)),
            norm: Sums::of(rows, 2 * d),
            projection_bias: Sums::of(rows, columns),
        }
    }
}

/// An attention whose heads are done with: what is made of it, and `dW`.
struct Entered<'a> {
    weights: &'a attention::Weights<'a>,
    derivatives: AttentionDerivatives,
    projection: Buffer,
}

/// Turns the derivative by the stack's output into that by its input, and adds those by the weights to `gradients`.
///
/// # Shapes
/// z (the input) and derivative (b n, d), `n = tokens`.
///
/// # Panics
/// If blocks, gradients and what was saved are not all of the same kinds.
pub fn backward(
    z: &[f32],
    tokens: usize,
    blocks: &[Block<'_>],
    saved: &[Saved],
    mut derivative: Buffer,
    gradients: &mut [Gradients],
) -> Buffer {
    let Some(d) = blocks.first().map(Block::width) else {
        return derivative;
    };
    let rows = z.len() / d;
    let input = |index: usize| match index.checked_sub(1) {
        Some(below) => &saved[below].output[..],
        None => z,
    };
    let mut folded: Vec<Buffer> = blocks.iter().map(|_| Buffer::default()).collect();
    let mut entered: Option<Entered<'_>> = None;
    let mut end = blocks.len();
    loop {
        // Down to the attention below, or to the start.
        let attention = (0..end).rev().find(|&index| blocks[index].is_attention());
        let first = attention.map_or(0, |index| index + 1);
        let mut own: Vec<Passed<'_>> = Vec::new();
        let mut made: Vec<rowwise::Derivatives> = Vec::new();
        // By the output of each of those blocks, the last first, and by the input of the first.
        let mut chain = vec![derivative];
        for index in (first..end).rev() {
            let (Block::Rowwise(block), Inner::Rowwise(inner)) =
                (&blocks[index], &saved[index].inner)
            else {
                unreachable!("what was saved is of the block's kind");
            };
            own.push(Passed {
                block: &**block,
                input: input(index),
                saved: inner,
                output: &saved[index].output,
            });
            made.push(rowwise::Derivatives::unfilled(rows, &**block));
            chain.push(Buffer::unfilled(rows * d));
        }
        let leave = attention.and_then(|index| match (&blocks[index], &saved[index].inner) {
            (Block::Attention(weights), Inner::Attention(saved)) => Some((index, weights, saved)),
            _ => None,
        });
        let mut left = leave.map(|(_, weights, _)| AttentionDerivatives::unfilled(rows, weights));
        between(
            d,
            &mut chain,
            entered.as_mut().map(|entered| {
                let Entered {
                    weights,
                    derivatives,
                    projection,
                } = entered;
                (*weights, input(end), &projection[..], derivatives)
            }),
            &own,
            &mut made,
            leave
                .zip(left.as_mut())
                .map(|((_, weights, _), made)| (weights, made)),
        );
        let mut outputs = chain.into_iter();
        for (made, output) in made.iter_mut().zip(outputs.by_ref()) {
            made.output = output;
        }
        derivative = outputs.next().unwrap_or_default();

        let mut products = Vec::new();
        let (below, above) = gradients.split_at_mut(end);
        if let (Some(entered), Some(Gradients::Attention(gradients)), Some(saved)) = (
            &entered,
            above.first_mut(),
            saved.get(end).and_then(Saved::attention),
        ) {
            enter_sums(entered, saved, gradients, &mut products);
        }
        let (lowest, rowwise) =
            below[attention.unwrap_or(0)..].split_at_mut(usize::from(attention.is_some()));
        let folds = folded[first..end].iter_mut().rev();
        let slots = rowwise.iter_mut().rev().zip(folds);
        for ((passed, made), (gradients, folded)) in own.iter().zip(&made).zip(slots) {
            let Gradients::Rowwise(gradients) = gradients else {
                unreachable!("gradients are of the block's kind");
            };
            let Passed { block, saved, .. } = passed;
            let norm = &mut gradients.norm;
            made.norm.add_to(&mut [&mut norm.gain, &mut norm.bias]);
            *folded = Buffer::zeroed(block.folded_size());
            block.sums(saved, made, &mut gradients.weights, folded, &mut products);
        }
        let (Some((index, weights, saved)), Some(made)) = (leave, left) else {
            add_products(&mut products);
            break;
        };
        if let Some(Gradients::Attention(attention::Gradients {
            output: Some((weight, bias)),
            ..
        })) = lowest.first_mut()
        {
            made.output_bias.add_to(&mut [bias]);
            let dy = Matrix::new(&derivative, rows, d);
            let h = Matrix::new(&saved.read, rows, weights.inner());
            products.push(Sum {
                gradient: weight,
                terms: vec![(dy, Panels::in_place(h), 1.0)],
            });
        }
        let mut projection = Buffer::unfilled(saved.projection.len());
        let attend = || {
            attention::heads::backward_all(saved, &made.read, tokens, weights, &mut projection);
        };
        rayon::join(attend, || add_products(&mut products));
        drop(products);
        entered = Some(Entered {
            weights,
            derivatives: made,
            projection,
        });
        end = index;
    }
    let all = blocks.par_iter().zip(gradients).zip(folded);
    all.with_max_len(1)
        .for_each(|((block, gradients), folded)| {
            if let (Block::Rowwise(block), Gradients::Rowwise(gradients)) = (block, gradients) {
                if !folded.is_empty() {
                    block.unfold(folded, &mut gradients.weights);
                }
            }
        });
    derivative
}

/// Adds what was found where rows entered an attention to its gradients, and its product to `products`.
fn enter_sums<'a>(
    entered: &'a Entered<'_>,
    saved: &'a attention::Saved,
    gradients: &'a mut attention::Gradients,
    products: &mut Vec<Sum<'a>>,
) {
    let norm = &mut gradients.norm;
    let made = &entered.derivatives;
    made.norm.add_to(&mut [&mut norm.gain, &mut norm.bias]);
    if let Some(bias) = &mut gradients.projection_bias {
        made.projection_bias.add_to(&mut [bias]);
    }
    let (d, columns) = (norm.gain.len(), entered.weights.columns());
    let rows = entered.projection.len() / columns;
    let x = Matrix::new(&saved.normalised, rows, d);
    let dw = Matrix::new(&entered.projection, rows, columns);
    products.push(Sum {
        gradient: &mut gradients.projection,
        terms: vec![(dw, Panels::in_place(x), 1.0)],
    });
}

/// A block, its input, and what it made.
#[derive(Debug, Clone, Copy)]
struct Passed<'a> {
    block: &'a dyn Rowwise,
    input: &'a [f32],
    saved: &'a rowwise::Saved,
    output: &'a [f32],
}

impl<'a> Passed<'a> {
    /// The rows of block `index` of `block` rows each.
    fn rows(&self, block: usize, index: usize) -> Rows<'a> {
        let part = |values: &'a [f32], width: usize| {
            let at = |index: usize| (index * block * width).min(values.len());
            &values[at(index)..at(index + 1)]
        };
        let d = self.block.width();
        let [first, second] = self.block.kept_widths();
        let [a, b] = &self.saved.kept;
        Rows {
            input: part(self.input, d),
            kept: [part(a, first), part(b, second)],
            output: part(self.output, d),
        }
    }
}

/// Some rows on their way down.
struct Task<'a> {
    /// See [`between`].
    chain: Vec<&'a mut [f32]>,
    entry: Option<Entry<'a>>,
    work: Vec<Work<'a>>,
    leave: Option<(&'a attention::Weights<'a>, [&'a mut [f32]; 2])>,
}

/// Of an attention that the rows entered: input, `dW`, and its sums.
struct Entry<'a> {
    weights: &'a attention::Weights<'a>,
    z: &'a [f32],
    projection: &'a [f32],
    sums: [&'a mut [f32]; 2],
}

struct Work<'a> {
    block: &'a dyn Rowwise,
    rows: Rows<'a>,
    derived: &'a mut [f32],
    sums: [&'a mut [f32]; 3],
}

impl Task<'_> {
    fn run(self) {
        let mut chain = self.chain.into_iter();
        let Some(mut dz) = chain.next() else { return };
        if let Some(entry) = self.entry {
            attention::enter_backward(entry.z, entry.projection, entry.weights, dz, entry.sums);
        }
        for (work, dy) in self.work.into_iter().zip(chain) {
            work.block
                .backward(work.rows, dz, dy, work.derived, work.sums);
            dz = dy;
        }
        if let Some((weights, [read, sums])) = self.leave {
            attention::leave_backward(dz, weights, read, sums);
        }
    }
}

/// From `dY` and `dW` of the attention above, over the blocks before it, to `dH` of the attention below, in blocks of
/// rows. `chain` is first `dY` of the attention above, or the derivative by the stack's output, and becomes the
/// derivative by the output of the last of those blocks; then that by each one's input.
fn between<'a>(
    d: usize,
    chain: &'a mut [Buffer],
    entered: Option<(
        &'a attention::Weights<'a>,
        &'a [f32],
        &'a [f32],
        &'a mut AttentionDerivatives,
    )>,
    own: &[Passed<'a>],
    made: &'a mut [rowwise::Derivatives],
    leave: Option<(&'a attention::Weights<'a>, &'a mut AttentionDerivatives)>,
) {
    let rows = chain[0].len() / d;
    let block = rows::block(rows);
    let task = |_| Task {
        chain: Vec::with_capacity(own.len() + 1),
        entry: None,
        work: Vec::with_capacity(own.len()),
        leave: None,
    };
    let mut tasks: Vec<Task<'_>> = (0..rows.div_ceil(block)).map(task).collect();
    for derivative in chain {
        for (task, rows) in tasks.iter_mut().zip(blocks_mut(derivative, d, block)) {
            task.chain.push(rows);
        }
    }
    if let Some((weights, z, projection, made)) = entered {
        let z = z.chunks(block * d);
        let projections = projection.chunks(block * weights.columns());
        let norms = made.norm.blocks_mut(block);
        let biases = made.projection_bias.blocks_mut(block);
        let entries = z.zip(projections).zip(norms.zip(biases));
        for (task, ((z, projection), (norm, bias))) in tasks.iter_mut().zip(entries) {
            task.entry = Some(Entry {
                weights,
                z,
                projection,
                sums: [norm, bias],
            });
        }
    }
    for (passed, made) in own.iter().zip(made) {
        let width = passed.block.derived_width();
        let derived = blocks_mut(&mut made.derived, width, block);
        let [first, second] = &mut made.biases;
        let biases = first.blocks_mut(block).zip(second.blocks_mut(block));
        let sums = made.norm.blocks_mut(block).zip(biases);
        let slots = tasks.iter_mut().zip(derived).zip(sums).enumerate();
        for (index, ((task, derived), (norm, (first, second)))) in slots {
            task.work.push(Work {
                block: passed.block,
                rows: passed.rows(block, index),
                derived,
                sums: [norm, first, second],
            });
        }
    }
    if let Some((weights, made)) = leave {
        let reads = blocks_mut(&mut made.read, weights.inner(), block);
        let sums = made.output_bias.blocks_mut(block);
        for (task, (read, sums)) in tasks.iter_mut().zip(reads.zip(sums)) {
            task.leave = Some((weights, [read, sums]));
        }
    }
    tasks.into_par_iter().with_max_len(1).for_each(Task::run);
}
