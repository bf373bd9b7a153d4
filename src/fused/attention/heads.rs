//! One head on one sample: `S = c Q K^T`, `A = softmax(S)` by rows, `H = A V`, and the adjoint. Neither `S` nor `A` is
//! ever whole in memory, which grows with the tokens `n` and not with `n^2`:
//!
//! * Forward, a strip of `S` at a time, some rows, becomes rows of `H`. Of each row its largest score `m_i` and
//!   `1 / sum_j exp(c (s_ij - m_i))` stay, two numbers that make its part of `A` again.
//! * Backward, `S` is made again in tiles of 64 tokens. `r_i = sum_j A_ij dA_ij` needs no map: since
//!   `dA = dH V^T`, it is the product of the rows `i` of `dH` and `H`.
//!
//! In MSSA `S` is symmetric, so that the tile `S_ij` is also that of tokens `j` with tokens `i`. With
//! `E = c (dS_ij + dS_ji^T)`, both tiles enter `dW_i` and `dW_j` through one product each:
//!
//! `dW_i += [A_ji^T | E] [dH_j; W_j]`, `dW_j += [A_ij; E]^T [dH_i; W_i]`,
//!
//! seven products for two tiles, where five for each are taken without symmetry.

use rayon::prelude::*;

use super::{Saved, Weights};
use crate::fused::buffer::Buffer;
use crate::fused::lanes::{self, exponential, LANES};
use crate::fused::product::{add_transpose, product, Matrix, MatrixMut, Panels};
use crate::mask::Mask;
use crate::vectorised::vectorised;

/// Rows of scores at a time, forward.
const STRIP: usize = 24;

/// Tokens of a tile, backward. Part of a result.
const TILE: usize = 64;

/// `Q`, `K` and `V` of a head, (n, p), `c`, and the mask.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `[Q, K, V]`.
    pub roles: [Matrix<'a>; 3],
    /// `c`.
    pub scale: f32,
    /// Which tokens a token reads.
    pub mask: Mask,
}

/// The rows of the sample, and the columns of the head, that task `sample * heads + head` has in a matrix whose rows
/// have `roles` numbers of `k p` columns, of which those of `role` are meant.
fn part<'a>(
    stacked: &'a [f32],
    weights: &Weights<'_>,
    tokens: usize,
    task: usize,
    [role, roles]: [usize; 2],
) -> Matrix<'a> {
    let (sample, head) = (task / weights.heads, task % weights.heads);
    let (p, columns) = (weights.head_width, roles * weights.inner());
    let rows = Matrix::new(&stacked[sample * tokens * columns..], tokens, columns);
    rows.column_block(role * weights.inner() + head * p, p)
}

/// `[Q, K, V]` of a task in `W`.
fn head<'a>(stacked: &'a [f32], weights: &Weights<'_>, tokens: usize, task: usize) -> Head<'a> {
    let roles = weights.roles.count();
    let of = |role: usize| part(stacked, weights, tokens, task, [role % roles, roles]);
    Head {
        roles: [of(0), of(1), of(2)],
        scale: weights.scale(),
        mask: weights.mask,
    }
}

/// Where the adjoint of one head goes: `dW` of MSSA, or `dQ`, `dK` and `dV`.
enum Place<'a> {
    One(MatrixMut<'a>),
    Three([MatrixMut<'a>; 3]),
}

/// `H` of every head and sample, in parallel, and the maps if there is room for them.
pub(super) fn forward_all(saved: &mut Saved, tokens: usize, weights: &Weights<'_>) {
    let projection = &saved.projection;
    let samples = saved.read.chunks_exact_mut(tokens * weights.inner());
    let reads: Vec<_> = samples
        .flat_map(|rows| {
            MatrixMut::new(rows, tokens, weights.inner()).column_blocks(weights.head_width)
        })
        .collect();
    let statistics = saved.statistics.par_chunks_exact_mut(2 * tokens);
    let tasks = reads.into_par_iter().zip(statistics).enumerate();
    tasks
        .with_max_len(1)
        .for_each(|(task, (read, statistics))| {
            forward(head(projection, weights, tokens, task), read, statistics);
        });
    if let Some(maps) = &mut saved.maps {
        let statistics = saved.statistics.par_chunks_exact(2 * tokens);
        let maps = maps.par_chunks_exact_mut(tokens * tokens);
        maps.zip(statistics)
            .enumerate()
            .for_each(|(task, (map, statistics))| {
                attention_map(head(projection, weights, tokens, task), statistics, map);
            });
    }
}

/// `H = softmax(c Q K^T) V` of one head. `statistics` receives the largest score of every row, then the inverse of
/// every sum of exponentials.
///
/// # Shapes
/// read (n, p), statistics (2, n).
///
/// # Panics
/// If `statistics` is shorter or the matrices do not fit each other.
pub fn forward(head: Head<'_>, mut read: MatrixMut<'_>, statistics: &mut [f32]) {
    let [q, k, v] = head.roles;
    let n = q.rows();
    let (keys, values) = (Panels::of(k.t()), Panels::of(v));
    let stride = n.next_multiple_of(LANES);
    let mut scores = Buffer::unfilled(STRIP.min(n) * stride);
    let (largest, inverse) = statistics.split_at_mut(n);
    for top in (0..n).step_by(STRIP) {
        let rows = STRIP.min(n - top);
        // What the last of these rows reads; the others no more.
        let read_by_all = head.mask.count(top + rows - 1, n);
        let made = read_by_all.next_multiple_of(16).min(keys.padded_columns());
        let strip = MatrixMut::strided(&mut scores, rows, made, stride);
        product(strip, q.row_block(top, rows), &keys, 1.0, false);
        let scores = &mut scores[..rows * stride];
        let (largest, inverse) = (&mut largest[top..top + rows], &mut inverse[top..top + rows]);
        exponentials_of_rows(scores, top, n, head.mask, head.scale, largest, inverse);
        let strip = Matrix::strided(scores, rows, n, stride);
        product(read.row_block(top, rows), strip, &values, 1.0, false);
        scale_rows(read.row_block(top, rows), inverse);
    }
}

vectorised! {
    /// Turns rows of scores, those of the tokens from `first` on, into `exp(c (s - max s))`, and what they do not read, and
    /// their padding, from column `n`, into zeros; `largest` and `inverse` receive `max s` and the inverse of the sum of
    /// every row, and say how many there are.
    pub fn exponentials_of_rows(
        scores: &mut [f32],
        first: usize,
        n: usize,
        mask: Mask,
        scale: f32,
        largest: &mut [f32],
        inverse: &mut [f32]
    ) {
        let rows = scores.chunks_exact_mut(n.next_multiple_of(LANES));
        for (index, (row, (largest, inverse))) in rows.zip(largest.iter_mut().zip(inverse)).enumerate() {
            let (top, sum) = lanes::exponentials(row, mask.count(first + index, n), scale);
            (*largest, *inverse) = (top, 1.0 / sum);
        }
    }
}

vectorised! {
    /// Every row times its factor: as many factors as rows.
    pub fn scale_rows(rows: MatrixMut<'_>, factors: &[f32]) {
        let mut rows = rows;
        for (row, factor) in factors.iter().enumerate() {
            for value in rows.row_mut(row) {
                *value *= factor;
            }
        }
    }
}

/// `A`, for somebody who wants to see it.
fn attention_map(head: Head<'_>, statistics: &[f32], map: &mut [f32]) {
    let [q, k, _] = head.roles;
    let n = q.rows();
    make(map, q, &Panels::of(k.t()), n);
    let (largest, inverse) = statistics.split_at(n);
    let rows = map.chunks_exact_mut(n).zip(largest.iter().zip(inverse));
    for (reader, (row, (largest, inverse))) in rows.enumerate() {
        let (read, rest) = row.split_at_mut(head.mask.count(reader, n));
        for score in read {
            *score = exponential((*score - largest) * head.scale) * inverse;
        }
        rest.fill(0.0);
    }
}

/// `dW` of every head and sample from `dH`, in parallel.
///
/// # Shapes
/// dread (rows, k p), dprojection (rows, columns of `W`); `tokens` is `n`.
///
/// # Panics
/// If they do not hold whole samples, or do not fit what was saved.
pub fn backward_all(
    saved: &Saved,
    dread: &[f32],
    tokens: usize,
    adjoint: &Weights<'_>,
    dprojection: &mut [f32],
) {
    let inner = adjoint.inner();
    let samples = dprojection.chunks_exact_mut(tokens * adjoint.columns());
    let places: Vec<Place<'_>> = samples
        .flat_map(|rows| {
            let roles = MatrixMut::new(rows, tokens, adjoint.columns()).column_blocks(inner);
            let mut heads = roles
                .into_iter()
                .map(|role| role.column_blocks(adjoint.head_width).into_iter());
            match (heads.next(), heads.next(), heads.next()) {
                (Some(q), Some(k), Some(v)) => {
                    let three = q.zip(k.zip(v)).map(|(q, (k, v))| Place::Three([q, k, v]));
                    three.collect()
                }
                (one, ..) => one
                    .into_iter()
                    .flatten()
                    .map(Place::One)
                    .collect::<Vec<_>>(),
            }
        })
        .collect();
    let tasks = places.into_par_iter().enumerate();
    tasks.with_max_len(1).for_each(|(task, place)| {
        let head = head(&saved.projection, adjoint, tokens, task);
        let statistics = &saved.statistics[2 * tokens * task..][..2 * tokens];
        let [read, dread] = [&*saved.read, dread].map(|h| part(h, adjoint, tokens, task, [0, 1]));
        let back = Back::of(head, statistics, read, dread);
        match place {
            Place::One(dw) => back.symmetric(dw),
            Place::Three(places) => back.separate(places),
        }
    });
}

/// What the adjoint of one head reads.
struct Back<'a> {
    head: Head<'a>,
    dread: Matrix<'a>,
    largest: &'a [f32],
    inverse: &'a [f32],
    /// `r`.
    r: Buffer,
}

impl<'a> Back<'a> {
    fn of(head: Head<'a>, statistics: &'a [f32], read: Matrix<'a>, dread: Matrix<'a>) -> Self {
        let n = read.rows();
        let (largest, inverse) = statistics.split_at(n);
        let mut r = Buffer::unfilled(n);
        dot_rows(read, dread, &mut r);
        Self {
            head,
            dread,
            largest,
            inverse,
            r,
        }
    }

    fn rows(&self, tile: &Tile) -> TileTokens<'_> {
        TileTokens {
            largest: &self.largest[tile.range()],
            inverse: &self.inverse[tile.range()],
            r: &self.r[tile.range()],
        }
    }

    /// `dW` of MSSA.
    fn symmetric(&self, mut dw: MatrixMut<'_>) {
        let [w, ..] = self.head.roles;
        let tiles = Tile::all(w.rows());
        let of = |m: Matrix<'a>, tile: &Tile| m.row_block(tile.start, tile.len);
        let panels: Vec<[Panels<'_>; 2]> = tiles
            .iter()
            .map(|tile| {
                let (w, dh) = (of(w, tile), of(self.dread, tile));
                [Panels::beside(w.t(), dh.t()), Panels::stacked(dh, w)]
            })
            .collect();
        let mut scores = Buffer::unfilled(TILE * 2 * TILE);
        let mut da = Buffer::unfilled(TILE * TILE);
        let mut across = Buffer::unfilled(TILE * 2 * TILE);
        let mut along = Buffer::unfilled(2 * TILE * TILE);
        dw.fill(0.0);
        for (i, tall) in tiles.iter().enumerate() {
            for (wide, [beside, stacked]) in tiles[..=i].iter().zip(&panels) {
                let (rows, columns) = (tall.len, wide.len);
                let (wi, dhi) = (of(w, tall), of(self.dread, tall));
                let along = &mut along[..2 * rows * columns];
                let da = &mut da[..rows * columns];
                make(da, dhi, beside, columns);
                if tall.start == wide.start {
                    let scores = &mut scores[..rows * columns];
                    make(scores, wi, beside, columns);
                    let (a, e) = along.split_at_mut(rows * columns);
                    one_way(scores, da, self.rows(tall), self.head.scale, a, e);
                    self.hide(a, e, columns);
                    add_transpose(e, rows);
                } else if self.head.mask == Mask::Causal {
                    // The tokens of the wide tile come before, and do not read: `A_ji` and `dS_ji` are zero.
                    let scores = &mut scores[..rows * columns];
                    make(scores, wi, beside, columns);
                    let (a, e) = along.split_at_mut(rows * columns);
                    one_way(scores, da, self.rows(tall), self.head.scale, a, e);
                    let panels = Panels::of(of(w, wide));
                    let e = Matrix::new(e, rows, columns);
                    product(dw.row_block(tall.start, rows), e, &panels, 1.0, true);
                } else {
                    let scores = &mut scores[..rows * 2 * columns];
                    make(scores, wi, beside, 2 * columns);
                    let across = &mut across[..rows * 2 * columns];
                    let [tall_rows, wide_rows] = [tall, wide].map(|tile| self.rows(tile));
                    let scale = self.head.scale;
                    two_ways(scores, da, tall_rows, wide_rows, scale, across, along);
                    let beside = Matrix::new(across, rows, 2 * columns);
                    product(dw.row_block(tall.start, rows), beside, stacked, 1.0, true);
                }
                let below = Matrix::new(along, 2 * rows, columns).t();
                let place = dw.row_block(wide.start, columns);
                product(place, below, &panels[i][1], 1.0, true);
            }
        }
    }

    /// Zeros, in a tile of tokens with themselves, where a token does not read another.
    fn hide(&self, a: &mut [f32], ds: &mut [f32], columns: usize) {
        for values in [a, ds] {
            for (reader, row) in values.chunks_exact_mut(columns).enumerate() {
                row[self.head.mask.count(reader, columns)..].fill(0.0);
            }
        }
    }

    /// `dQ`, `dK` and `dV` of MHSA.
    fn separate(&self, [mut dq, mut dk, mut dv]: [MatrixMut<'_>; 3]) {
        let [q, k, v] = self.head.roles;
        let tiles = Tile::all(q.rows());
        let of = |m: Matrix<'a>, tile: &Tile| m.row_block(tile.start, tile.len);
        let panels = |m: Matrix<'a>| -> Vec<Panels<'_>> {
            tiles.iter().map(|tile| Panels::of(of(m, tile))).collect()
        };
        let transposed = |m: Matrix<'a>| -> Vec<Panels<'_>> {
            tiles
                .iter()
                .map(|tile| Panels::of(of(m, tile).t()))
                .collect()
        };
        let (queries, keys, dreads) = (panels(q), panels(k), panels(self.dread));
        let (across_keys, across_values) = (transposed(k), transposed(v));
        let mut scores = Buffer::unfilled(TILE * TILE);
        let mut da = Buffer::unfilled(TILE * TILE);
        let mut a = Buffer::unfilled(TILE * TILE);
        let mut ds = Buffer::unfilled(TILE * TILE);
        for d in [&mut dq, &mut dk, &mut dv] {
            d.fill(0.0);
        }
        for (i, tall) in tiles.iter().enumerate() {
            for (j, wide) in tiles.iter().enumerate() {
                let (rows, columns) = (tall.len, wide.len);
                if !self.head.mask.allows(tall.start + rows - 1, wide.start) {
                    continue;
                }
                let [scores, da, a, ds] =
                    [&mut scores, &mut da, &mut a, &mut ds].map(|b| &mut b[..rows * columns]);
                make(scores, of(q, tall), &across_keys[j], columns);
                make(da, of(self.dread, tall), &across_values[j], columns);
                one_way(scores, da, self.rows(tall), self.head.scale, a, ds);
                if i == j {
                    self.hide(a, ds, columns);
                }
                let a = Matrix::new(a, rows, columns);
                let ds = Matrix::new(ds, rows, columns);
                let (tall, wide) = (tall.start, wide.start);
                product(dq.row_block(tall, rows), ds, &keys[j], 1.0, true);
                product(dk.row_block(wide, columns), ds.t(), &queries[i], 1.0, true);
                product(dv.row_block(wide, columns), a.t(), &dreads[i], 1.0, true);
            }
        }
    }
}

/// `to <- a b`, the first `columns` columns of it.
fn make(to: &mut [f32], a: Matrix<'_>, b: &Panels<'_>, columns: usize) {
    product(MatrixMut::new(to, a.rows(), columns), a, b, 1.0, false);
}

/// Tokens of a tile.
struct Tile {
    start: usize,
    len: usize,
}

impl Tile {
    fn all(n: usize) -> Vec<Self> {
        let starts = (0..n).step_by(TILE);
        starts
            .map(|start| Self {
                start,
                len: TILE.min(n - start),
            })
            .collect()
    }

    fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

/// Of each token of a tile its largest score, the inverse of its sum of exponentials, and `r`.
#[derive(Debug, Clone, Copy)]
pub struct TileTokens<'a> {
    largest: &'a [f32],
    inverse: &'a [f32],
    r: &'a [f32],
}

vectorised! {
    /// Of each row of two matrices the product `sum_i x_i y_i`: as many products as rows are asked for.
    ///
    /// # Panics
    /// If there are fewer rows, or their numbers do not lie side by side.
    pub fn dot_rows(x: Matrix<'_>, y: Matrix<'_>, products: &mut [f32]) {
        for (row, product) in products.iter_mut().enumerate() {
            *product = lanes::dot(x.row(row), y.row(row));
        }
    }
}

vectorised! {
    /// A tile of `A` from its scores, and of `c dS = c A ∘ (dA - r 1^T)` from `dA`: all (rows of `tokens`, columns).
    ///
    /// # Panics
    /// If there are no scores.
    pub fn one_way(
        scores: &[f32],
        da: &[f32],
        tokens: TileTokens<'_>,
        scale: f32,
        a: &mut [f32],
        ds: &mut [f32]
    ) {
        let columns = scores.len() / tokens.r.len();
        let inputs = scores.chunks_exact(columns).zip(da.chunks_exact(columns));
        let outputs = a.chunks_exact_mut(columns).zip(ds.chunks_exact_mut(columns));
        for (row, ((scores, da), (a, ds))) in inputs.zip(outputs).enumerate() {
            let (largest, inverse, r) = (tokens.largest[row], tokens.inverse[row], tokens.r[row]);
            for ((score, da), (a, ds)) in scores.iter().zip(da).zip(a.iter_mut().zip(ds)) {
                *a = exponential((score - largest) * scale) * inverse;
                *ds = *a * (da - r) * scale;
            }
        }
    }
}

vectorised! {
    /// `[A_ji^T | E]` and `[A_ij; E]` of two tiles of tokens, rows `i` and columns `j`: from `scores`, which is
    /// `[S_ij | dA_ji^T]`, and `da`, which is `dA_ij`.
    ///
    /// # Shapes
    /// For tiles of `i` and `j` tokens: scores and across (i, 2 j), da (i, j), along (2 i, j).
    ///
    /// # Panics
    /// If a tile is empty or `along` is shorter.
    pub fn two_ways(
        scores: &[f32],
        da: &[f32],
        tall: TileTokens<'_>,
        wide: TileTokens<'_>,
        scale: f32,
        across: &mut [f32],
        along: &mut [f32]
    ) {
        let columns = wide.r.len();
        let (a, below) = along.split_at_mut(tall.r.len() * columns);
        let inputs = scores.chunks_exact(2 * columns).zip(da.chunks_exact(columns));
        let outputs = a.chunks_exact_mut(columns).zip(below.chunks_exact_mut(columns));
        let outputs = outputs.zip(across.chunks_exact_mut(2 * columns));
        for (row, ((scores, da), ((a, below), across))) in inputs.zip(outputs).enumerate() {
            let (largest, inverse, r) = (tall.largest[row], tall.inverse[row], tall.r[row]);
            let (scores, da_back) = scores.split_at(columns);
            let (a_back, beside) = across.split_at_mut(columns);
            let inputs = scores.iter().zip(da.iter().zip(da_back));
            let tokens = wide.largest.iter().zip(wide.inverse.iter().zip(wide.r));
            let outputs = a.iter_mut().zip(a_back).zip(below.iter_mut().zip(beside));
            for (((score, (da, da_back)), (top, (inverse_back, r_back))), ((a, a_back), (below, beside))) in
                inputs.zip(tokens).zip(outputs)
            {
                *a = exponential((score - largest) * scale) * inverse;
                *a_back = exponential((score - top) * scale) * inverse_back;
                let e = (*a * (da - r) + *a_back * (da_back - r_back)) * scale;
                *below = e;
                *beside = e;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::attention::Roles;
    use crate::fused::layer_norm;
    use crate::vectorised::tests::with;
    use crate::vectorised::Instructions;

    fn numbers(count: usize, frequency: f64) -> Vec<f32> {
        (0..count)
            .map(|i| (i as f64 * frequency).sin() as f32)
            .collect()
    }

    /// `W` and `dH` to `H` and `dW`, two samples of two heads of `p` dimensions.
    fn kernel(roles: Roles, mask: Mask, tokens: usize, p: usize) -> [Vec<f32>; 2] {
        let none = Panels::of(Matrix::new(&[], 0, 0));
        let gain = vec![1.0; 2 * p];
        let weights = Weights {
            norm: layer_norm::Weights {
                gain: &gain,
                bias: &gain,
                epsilon: 0.0,
            },
            projection: &none,
            projection_bias: None,
            output: None,
            heads: 2,
            head_width: p,
            roles,
            mask,
        };
        let mut saved = Saved::unfilled(2 * tokens, &weights, None);
        let w = numbers(saved.projection.len(), 0.317);
        saved.projection.copy_from_slice(&w);
        saved.attend(tokens, &weights);
        let dread = numbers(saved.read.len(), 0.513);
        let mut dw = Buffer::unfilled(w.len());
        backward_all(&saved, &dread, tokens, &weights, &mut dw);
        [saved.read.to_vec(), dw.to_vec()]
    }

    /// The same by the formulas of the module above, in f64, every map whole.
    fn formulas(roles: Roles, mask: Mask, tokens: usize, p: usize) -> [Vec<f64>; 2] {
        let (n, inner) = (tokens, 2 * p);
        let columns = inner * roles.count();
        let w = numbers(2 * n * columns, 0.317);
        let dread = numbers(2 * n * inner, 0.513);
        let mut read = vec![0.0; 2 * n * inner];
        let mut dw = vec![0.0; w.len()];
        let scale = (p as f64).powf(-0.5);
        for (sample, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let place = |role: usize, token: usize, i: usize| {
                let role = if roles == Roles::One { 0 } else { role };
                (sample * n + token) * columns + role * inner + head * p + i
            };
            let value = |role, token, i| f64::from(w[place(role, token, i)]);
            let of_read = |token: usize, i: usize| (sample * n + token) * inner + head * p + i;
            let dh = |token, i| f64::from(dread[of_read(token, i)]);
            for i in 0..n {
                let scores = (0..n)
                    .map(|j| scale * (0..p).map(|c| value(0, i, c) * value(1, j, c)).sum::<f64>());
                let read_by_i = |(j, score): (usize, f64)| match mask.allows(i, j) {
                    true => score.exp(),
                    false => 0.0,
                };
                let weights: Vec<f64> = scores.enumerate().map(read_by_i).collect();
                let sum: f64 = weights.iter().sum();
                let a: Vec<f64> = weights.iter().map(|w| w / sum).collect();
                let da: Vec<f64> = (0..n)
                    .map(|j| (0..p).map(|c| dh(i, c) * value(2, j, c)).sum())
                    .collect();
                let r: f64 = a.iter().zip(&da).map(|(a, da)| a * da).sum();
                for j in 0..n {
                    let ds = scale * a[j] * (da[j] - r);
                    for c in 0..p {
                        read[of_read(i, c)] += a[j] * value(2, j, c);
                        dw[place(0, i, c)] += ds * value(1, j, c);
                        dw[place(1, j, c)] += ds * value(0, i, c);
                        dw[place(2, j, c)] += a[j] * dh(i, c);
                    }
                }
            }
        }
        [read, dw]
    }

    #[test]
    fn tiles_and_strips_make_what_whole_maps_do() {
        let masks = [Mask::None, Mask::Causal];
        for (roles, mask) in masks.map(|m| [(Roles::One, m), (Roles::Three, m)]).concat() {
            for (tokens, p) in [(1, 3), (5, 8), (64, 16), (65, 4), (130, 32)] {
                let [read, dw] = kernel(roles, mask, tokens, p);
                let exact = formulas(roles, mask, tokens, p);
                for (found, exact) in [(read, &exact[0]), (dw, &exact[1])] {
                    // Sums of at most 2 n terms of sizes up to p: n p units of rounding are far above what they
                    // come to, and far below any wrong term.
                    let bound = (tokens * p + 16) as f64 * f64::from(f32::EPSILON);
                    for (found, exact) in found.iter().zip(exact) {
                        let error = (f64::from(*found) - exact).abs();
                        assert!(
                            error <= bound,
                            "{roles:?} {mask:?} {tokens} {p}: {found} {exact}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn avx2_and_avx512_make_the_same_bits() {
        for roles in [Roles::One, Roles::Three] {
            let both = || [Mask::None, Mask::Causal].map(|mask| kernel(roles, mask, 197, 64));
            let on = |limit| with(limit, both);
            assert!(
                on(Instructions::Avx2) == on(Instructions::Avx512),
                "{roles:?}"
            );
        }
    }

    #[test]
    fn a_nan_in_one_token_reaches_its_own_sample_alone() {
        let mut scores = vec![0.0; LANES];
        scores[1] = f32::NAN;
        let (mut largest, mut inverse) = ([0.0], [0.0]);
        let (largest, inverse_of) = (&mut largest, &mut inverse);
        exponentials_of_rows(&mut scores, 0, 3, Mask::None, 1.0, largest, inverse_of);
        assert!(inverse[0].is_nan());
    }
}
