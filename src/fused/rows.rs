//! Work on tokens in blocks of rows: a block goes through all operations that know one row at a time while it is in
//! the cache, and different blocks go to different threads.

use super::buffer::Buffer;
use super::lanes::{add_rows_to, add_to};

/// Tokens whose contributions to a sum over all tokens are added up first. Part of a result; a block of rows holds
/// whole groups, so that its size is not.
pub const GROUP: usize = 12;

/// Most rows of a block: as many as leave room for the weights in the second cache.
const MOST: usize = 8 * GROUP;

/// Rows of a block when there are `rows` in all: a multiple of [`GROUP`], smaller where some threads of the pool would
/// have nothing to do.
pub fn block(rows: usize) -> usize {
    let share = rows.div_ceil(rayon::current_num_threads());
    share.clamp(1, MOST).next_multiple_of(GROUP)
}

/// The rows of a matrix `width` numbers wide, `block` at a time; without columns as many empty blocks.
pub fn blocks_mut(values: &mut [f32], width: usize, block: usize) -> Blocks<'_> {
    Blocks {
        values,
        size: width * block,
    }
}

/// See [`blocks_mut`].
#[derive(Debug)]
pub struct Blocks<'a> {
    values: &'a mut [f32],
    size: usize,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a mut [f32];

    fn next(&mut self) -> Option<&'a mut [f32]> {
        let values = std::mem::take(&mut self.values);
        let (block, rest) = values.split_at_mut(self.size.min(values.len()));
        self.values = rest;
        Some(block)
    }
}

/// Sums over the tokens of every group, to be added up in order.
#[derive(Debug)]
pub struct Sums {
    width: usize,
    numbers: Buffer,
}

impl Sums {
    /// Of `rows` tokens, `width` numbers each.
    pub fn of(rows: usize, width: usize) -> Self {
        Self {
            width,
            numbers: Buffer::unfilled(rows.div_ceil(GROUP) * width),
        }
    }

    /// The groups of each block of rows.
    pub fn blocks_mut(&mut self, block: usize) -> Blocks<'_> {
        blocks_mut(&mut self.numbers, self.width, block / GROUP)
    }

    /// Adds the sums of all groups to `totals`, which lie one after the other in a group: their lengths add up to its
    /// width.
    pub fn add_to(&self, totals: &mut [&mut [f32]]) {
        for group in self.numbers.chunks_exact(self.width.max(1)) {
            let mut rest = group;
            for total in totals.iter_mut() {
                let (part, next) = rest.split_at(total.len());
                add_to(total, part);
                rest = next;
            }
        }
    }
}

/// The sum over the tokens of every group.
///
/// # Shapes
/// g (rows, width), sums (groups, width): [`GROUP`] rows make a group, the last may have fewer.
///
/// # Panics
/// If `width` is 0.
pub fn sum_groups(g: &[f32], width: usize, sums: &mut [f32]) {
    for (sum, group) in sums.chunks_exact_mut(width).zip(g.chunks(GROUP * width)) {
        sum.fill(0.0);
        add_rows_to(sum, group);
    }
}
