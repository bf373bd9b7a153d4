//! The pass forward.

use rayon::prelude::*;

use super::{Block, Inner, Saved};
use crate::fused::attention;
use crate::fused::buffer::Buffer;
use crate::fused::rows::{self, blocks_mut};
use crate::fused::rowwise::Rowwise;

/// What each block made, in order: of all blocks if `keep`, else of the last ones. `maps` says of which blocks attention
/// maps are made; `made` sees each block's input and what it made.
///
/// # Shapes
/// z (b n, d), `n = tokens`.
pub fn forward(
    z: &[f32],
    tokens: usize,
    blocks: &[Block<'_>],
    keep: bool,
    maps: impl Fn(usize) -> bool,
    mut made: impl FnMut(usize, &[f32], &Saved),
) -> Vec<Saved> {
    let Some(d) = blocks.first().map(Block::width) else {
        return Vec::new();
    };
    let unfilled = |index: usize| {
        let maps = maps(index).then_some(tokens);
        Saved::unfilled(z.len() / d, &blocks[index], maps)
    };
    let mut kept: Vec<Saved> = Vec::new();
    // What enters the blocks that are being made, where those before are not kept.
    let mut before: Option<Buffer> = None;
    // An attention whose heads have read, and whose output is still to be made.
    let mut open: Option<Saved> = None;
    let mut start = 0;
    loop {
        // Those whose outputs are made now: the open one and what follows up to the next attention.
        let after = start + usize::from(open.is_some());
        let end = (after..blocks.len())
            .find(|&index| blocks[index].is_attention())
            .unwrap_or(blocks.len());
        let mut own: Vec<Saved> = open.into_iter().chain((after..end).map(unfilled)).collect();
        let mut next = (end < blocks.len()).then(|| unfilled(end));
        {
            let mut input: &[f32] = match (kept.last(), &before) {
                (Some(below), _) => &below.output,
                (None, Some(before)) => before,
                (None, None) => z,
            };
            let entry = match (blocks.get(end), next.as_mut().map(|next| &mut next.inner)) {
                (Some(Block::Attention(weights)), Some(Inner::Attention(saved))) => {
                    Some((weights, saved))
                }
                _ => None,
            };
            between(input, d, &blocks[start..end], &mut own, entry);
            for (index, saved) in own.iter().enumerate() {
                made(start + index, input, saved);
                input = &saved.output;
            }
        }
        if keep || next.is_none() {
            kept.append(&mut own);
        } else if let Some(last) = own.pop() {
            before = Some(last.output);
        }
        let Some(mut following) = next else {
            return kept;
        };
        if let (Block::Attention(weights), Inner::Attention(saved)) =
            (&blocks[end], &mut following.inner)
        {
            saved.attend(tokens, weights);
        }
        open = Some(following);
        start = end;
    }
}

/// Some rows on their way from one attention to the next.
struct Task<'a> {
    input: &'a [f32],
    work: Vec<Work<'a>>,
    /// An attention that the rows enter at the end: its `X` and `W`.
    entry: Option<(&'a attention::Weights<'a>, [&'a mut [f32]; 2])>,
}

/// What a block does to them.
enum Work<'a> {
    Leave {
        weights: &'a attention::Weights<'a>,
        read: &'a [f32],
        output: &'a mut [f32],
    },
    Rowwise {
        block: &'a dyn Rowwise,
        x: &'a mut [f32],
        kept: [&'a mut [f32]; 2],
        output: &'a mut [f32],
    },
}

impl Task<'_> {
    fn run(self) {
        let mut z = self.input;
        for work in self.work {
            z = match work {
                Work::Leave {
                    weights,
                    read,
                    output,
                } => {
                    attention::leave(z, read, weights, output);
                    output
                }
                Work::Rowwise {
                    block,
                    x,
                    kept,
                    output,
                } => {
                    block.forward(z, x, kept, output);
                    output
                }
            };
        }
        if let Some((weights, [x, w])) = self.entry {
            attention::enter(z, weights, x, w);
        }
    }
}

/// From `H` of an attention, whose input is `input`, over the blocks behind it to `X` and `W` of the next, in blocks of
/// rows. Without an attention before, `input` is that of the first block, or of the next attention.
fn between(
    input: &[f32],
    d: usize,
    blocks: &[Block<'_>],
    own: &mut [Saved],
    next: Option<(&attention::Weights<'_>, &mut attention::Saved)>,
) {
    let block = rows::block(input.len() / d);
    let task = |input| Task {
        input,
        work: Vec::with_capacity(blocks.len()),
        entry: None,
    };
    let mut tasks: Vec<Task<'_>> = input.chunks(block * d).map(task).collect();
    for (weights, saved) in blocks.iter().zip(own) {
        let outputs = tasks
            .iter_mut()
            .zip(blocks_mut(&mut saved.output, d, block));
        match (weights, &mut saved.inner) {
            (Block::Attention(weights), Inner::Attention(saved)) => {
                let reads = saved.read.chunks(block * weights.inner());
                for ((task, output), read) in outputs.zip(reads) {
                    task.work.push(Work::Leave {
                        weights,
                        read,
                        output,
                    });
                }
            }
            (Block::Rowwise(weights), Inner::Rowwise(saved)) => {
                let [first, second] = weights.kept_widths();
                let [a, b] = &mut saved.kept;
                let kept = blocks_mut(a, first, block).zip(blocks_mut(b, second, block));
                let x = blocks_mut(&mut saved.normalised, d, block);
                for (((task, output), x), (a, b)) in outputs.zip(x).zip(kept) {
                    task.work.push(Work::Rowwise {
                        block: &**weights,
                        x,
                        kept: [a, b],
                        output,
                    });
                }
            }
            _ => unreachable!("`Saved::unfilled` makes what fits the block"),
        }
    }
    if let Some((weights, saved)) = next {
        let x = blocks_mut(&mut saved.normalised, d, block);
        let w = blocks_mut(&mut saved.projection, weights.columns(), block);
        for (task, (x, w)) in tasks.iter_mut().zip(x.zip(w)) {
            task.entry = Some((weights, [x, w]));
        }
    }
    tasks.into_par_iter().with_max_len(1).for_each(Task::run);
}
