//! All generators of `theory` and `properties`. A case is drawn as numbers, not as a seed, so that a failing one
//! shrinks: sizes to 1, entries to 0 and 1, rotations to the identity.
//!
//! What has to fit a size that is drawn too, a [`Companion`] or a [`Rotation`], is drawn as large as any case and
//! cut where it is used.
#![allow(dead_code)]

use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;

use ndarray::{s, Array1, Array2, Array3, Axis};
use proptest::prelude::any;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use whitebox::exact::neumann::radius;

/// Width of a subspace.
pub(crate) const WIDTHS: Range<usize> = 1..7;
/// Number of subspaces.
pub(crate) const HEADS: Range<usize> = 1..5;
/// Number of tokens: fewer and more than the width.
pub(crate) const TOKENS: Range<usize> = 1..25;
/// No case is wider or longer.
const LARGEST: usize = 24;

/// A value with those that are a step simpler, the simplest first; none if it is the simplest.
pub(crate) trait Simpler: Clone + Debug + 'static {
    fn simpler(&self) -> Candidates<Self>;
}

pub(crate) type Candidates<T> = Box<dyn Iterator<Item = T>>;

/// Draws a value, and shrinks it to what is simpler as long as `keep` allows.
pub(crate) struct Drawn<T> {
    draw: Rc<dyn Fn(&mut ChaCha8Rng) -> T>,
    keep: Rc<dyn Fn(&T) -> bool>,
}

pub(crate) fn drawn<T>(draw: impl Fn(&mut ChaCha8Rng) -> T + 'static) -> Drawn<T> {
    Drawn {
        draw: Rc::new(draw),
        keep: Rc::new(|_| true),
    }
}

impl<T> Drawn<T> {
    /// With a condition that every simpler value has to meet, as all that are drawn do.
    pub(crate) fn keeping(mut self, keep: impl Fn(&T) -> bool + 'static) -> Self {
        self.keep = Rc::new(keep);
        self
    }
}

impl<T> Debug for Drawn<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drawn")
    }
}

impl<T: Simpler> Strategy for Drawn<T> {
    type Tree = Shrinking<T>;
    type Value = T;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = any::<u64>().new_tree(runner)?.current();
        let best = (self.draw)(&mut whitebox::seed::stream(seed, "case"));
        Ok(Shrinking::new(best, self.keep.clone()))
    }
}

/// The simplest value that is known to fail, and the candidate that is tried.
pub(crate) struct Shrinking<T> {
    best: T,
    trial: Option<T>,
    rest: Candidates<T>,
    keep: Rc<dyn Fn(&T) -> bool>,
}

impl<T: Simpler> Shrinking<T> {
    fn new(best: T, keep: Rc<dyn Fn(&T) -> bool>) -> Self {
        let kept = keep.clone();
        let rest = Box::new(best.simpler().filter(move |candidate| kept(candidate)));
        Self {
            best,
            trial: None,
            rest,
            keep,
        }
    }
}

impl<T: Simpler> ValueTree for Shrinking<T> {
    type Value = T;

    fn current(&self) -> T {
        self.trial.as_ref().unwrap_or(&self.best).clone()
    }

    /// The current value fails: it is the best so far.
    fn simplify(&mut self) -> bool {
        if let Some(trial) = self.trial.take() {
            *self = Self::new(trial, self.keep.clone());
        }
        self.trial = self.rest.next();
        self.trial.is_some()
    }

    /// The current value passes: another candidate is tried, after the last one the best again.
    fn complicate(&mut self) -> bool {
        let differs = self.trial.is_some();
        if differs {
            self.trial = self.rest.next();
        }
        differs
    }
}

/// Sizes to try in place of `size`: 1, half, one less.
fn smaller(size: usize) -> impl Iterator<Item = usize> {
    let mut sizes = vec![1, size / 2, size.saturating_sub(1)];
    sizes.dedup();
    sizes.into_iter().filter(move |&s| 0 < s && s < size)
}

/// To try in place of a number: 0, 1, the number without its sign, without its fraction.
fn simpler_numbers(v: f64) -> impl Iterator<Item = f64> {
    let others = [1.0, v.abs(), v.trunc()].into_iter();
    let others = others.filter(move |&w| v != 0.0 && v != 1.0 && w != 0.0 && w != v);
    (v != 0.0).then_some(0.0).into_iter().chain(others)
}

/// Simpler entries: of all at once, of rows and columns, one by one.
fn simpler_entries(z: &Array2<f64>) -> Candidates<Array2<f64>> {
    let (rows, columns) = z.dim();
    let z = Rc::new(z.clone());
    let maps: [fn(f64) -> f64; 4] = [|_| 0.0, |v| f64::from(v != 0.0), f64::abs, f64::trunc];
    let own = z.clone();
    let together = maps.into_iter().map(move |map| own.mapv(map));
    let own = z.clone();
    let lines = (0..rows + columns).map(move |line| {
        let mut z = (*own).clone();
        match line < rows {
            true => z.row_mut(line).fill(0.0),
            false => z.column_mut(line - rows).fill(0.0),
        }
        z
    });
    let own = z.clone();
    let entries = (0..rows * columns).flat_map(move |at| {
        let (place, own) = ((at / columns, at % columns), own.clone());
        simpler_numbers(own[place]).map(move |v| {
            let mut z = (*own).clone();
            z[place] = v;
            z
        })
    });
    let all = together.chain(lines).chain(entries);
    Box::new(all.filter(move |candidate| *candidate != *z))
}

/// Fewer rows, fewer columns, simpler entries.
impl Simpler for Array2<f64> {
    fn simpler(&self) -> Candidates<Self> {
        let (rows, columns) = self.dim();
        let z = self.clone();
        let cut = smaller(rows).map(move |r| z.slice(s![..r, ..]).to_owned());
        let z = self.clone();
        let cut = cut.chain(smaller(columns).map(move |c| z.slice(s![.., ..c]).to_owned()));
        Box::new(cut.chain(simpler_entries(self)))
    }
}

/// `rows x columns` numbers from N(0, 1).
fn normal(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || rng.sample(StandardNormal))
}

/// Matrices of any of these sizes.
pub(crate) fn matrices(rows: Range<usize>, columns: Range<usize>) -> Drawn<Array2<f64>> {
    let least = [rows.start, columns.start];
    drawn(move |rng| {
        let (rows, columns) = (rng.gen_range(rows.clone()), rng.gen_range(columns.clone()));
        normal(rng, rows, columns)
    })
    .keeping(move |z| z.nrows() >= least[0] && z.ncols() >= least[1])
}

/// A matrix for any size.
#[derive(Debug, Clone)]
pub(crate) struct Companion(Array2<f64>);

impl Companion {
    /// Its first rows and columns, with zeros beyond them.
    pub(crate) fn of(&self, rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |place| {
            self.0.get(place).copied().unwrap_or(0.0)
        })
    }

    /// Its first column.
    pub(crate) fn vector(&self, length: usize) -> Array1<f64> {
        self.of(length, 1).remove_axis(Axis(1))
    }

    /// Columns of length 1; a zero column becomes the first axis.
    pub(crate) fn unit_tokens(&self, rows: usize, columns: usize) -> Array2<f64> {
        let mut z = self.of(rows, columns);
        for mut token in z.columns_mut() {
            let length = token.dot(&token).sqrt();
            if length > 0.0 {
                token /= length;
            } else {
                token[0] = 1.0;
            }
        }
        z
    }

    /// Positive weights whose columns sum to 1; none is below `floor` over the sum of its column.
    pub(crate) fn weights(&self, rows: usize, columns: usize, floor: f64) -> Array2<f64> {
        let mut weights = self.of(rows, columns).mapv(|v| v.abs() + floor);
        for mut token in weights.axis_iter_mut(Axis(1)) {
            let sum = token.sum();
            token /= sum;
        }
        weights
    }
}

impl Simpler for Companion {
    fn simpler(&self) -> Candidates<Self> {
        Box::new(self.0.simpler().map(Self))
    }
}

pub(crate) fn companions() -> Drawn<Companion> {
    drawn(|rng| Companion(normal(rng, LARGEST, LARGEST)))
}

/// A rotation of any size: one of Givens' after the other, the i-th and j-th axis turned by an angle.
#[derive(Debug, Clone)]
pub(crate) struct Rotation(Vec<(usize, usize, f64)>);

impl Rotation {
    fn draw(rng: &mut ChaCha8Rng, d: usize, planes: impl Iterator<Item = (usize, usize)>) -> Self {
        let turned = planes.filter(|&(i, j)| i < j && j < d).map(|(i, j)| {
            let angle = rng.gen_range(-std::f64::consts::PI..std::f64::consts::PI);
            (i, j, angle)
        });
        Self(turned.collect())
    }

    /// The d x d matrix.
    pub(crate) fn of(&self, d: usize) -> Array2<f64> {
        let mut q = Array2::<f64>::eye(d);
        for &(i, j, angle) in self.0.iter().filter(|&&(_, j, _)| j < d) {
            let (sine, cosine) = angle.sin_cos();
            for column in 0..d {
                let (a, b) = (q[(i, column)], q[(j, column)]);
                q[(i, column)] = cosine * a - sine * b;
                q[(j, column)] = sine * a + cosine * b;
            }
        }
        q
    }

    /// Its first columns, which are orthonormal.
    pub(crate) fn frame(&self, rows: usize, columns: usize) -> Array2<f64> {
        self.of(rows).slice(s![.., ..columns]).to_owned()
    }

    /// K blocks of p columns, (K, K p, p): complete, mutually orthogonal bases.
    pub(crate) fn bases(&self, heads: usize, p: usize) -> Array3<f64> {
        let q = self.of(heads * p);
        Array3::from_shape_fn((heads, heads * p, p), |(k, i, j)| q[(i, k * p + j)])
    }
}

/// Fewer planes are turned.
impl Simpler for Rotation {
    fn simpler(&self) -> Candidates<Self> {
        let count = self.0.len();
        let planes = self.0.clone();
        let fewer = [0, count / 2].into_iter().filter(move |&keep| keep < count);
        let cut = fewer.map(move |keep| Self(planes[..keep].to_vec()));
        let planes = self.0.clone();
        let without = (0..count).map(move |at| {
            let mut planes = planes.clone();
            planes.remove(at);
            Self(planes)
        });
        Box::new(cut.chain(without))
    }
}

/// All planes of an orthogonal matrix.
fn planes(d: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..d).flat_map(move |i| (i + 1..d).map(move |j| (i, j)))
}

pub(crate) fn rotations() -> Drawn<Rotation> {
    drawn(|rng| Rotation::draw(rng, LARGEST, planes(LARGEST)))
}

/// Bases of any width with no structure at all, neither orthonormal nor mutually orthogonal.
#[derive(Debug, Clone)]
pub(crate) struct AnyBases(Vec<Array2<f64>>);

impl AnyBases {
    pub(crate) fn heads(&self) -> usize {
        self.0.len()
    }
    pub(crate) fn p(&self) -> usize {
        self.0[0].ncols()
    }
    /// (K, d, p).
    pub(crate) fn of(&self, d: usize) -> Array3<f64> {
        Array3::from_shape_fn((self.heads(), d, self.p()), |(k, i, j)| {
            self.0[k].get((i, j)).copied().unwrap_or(0.0)
        })
    }
}

impl Simpler for AnyBases {
    fn simpler(&self) -> Candidates<Self> {
        let bases = self.0.clone();
        let heads = smaller(self.heads()).map(move |heads| bases[..heads].to_vec());
        let bases = self.0.clone();
        let narrower = smaller(self.p()).map(move |p| {
            let cut = bases
                .iter()
                .map(|basis| basis.slice(s![.., ..p]).to_owned());
            cut.collect()
        });
        let bases = self.0.clone();
        let entries = (0..self.heads()).flat_map(move |head| {
            let bases = bases.clone();
            simpler_entries(&bases[head].clone()).map(move |basis| {
                let mut bases = bases.clone();
                bases[head] = basis;
                bases
            })
        });
        Box::new(heads.chain(narrower).chain(entries).map(Self))
    }
}

/// A common part and three tenths of one of each head's own. No basis becomes zero.
pub(crate) fn any_bases() -> Drawn<AnyBases> {
    drawn(|rng| {
        let (heads, p) = (rng.gen_range(HEADS), rng.gen_range(WIDTHS));
        let shared = normal(rng, LARGEST, p);
        let bases = (0..heads).map(|_| &shared + &(normal(rng, LARGEST, p) * 0.3));
        AnyBases(bases.collect())
    })
    .keeping(|bases| bases.0.iter().all(|basis| basis[(0, 0)] != 0.0))
}

/// A union-of-subspaces setting: complete, mutually orthogonal bases and tokens of some form.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// (d, N), d = K p.
    pub(crate) z: Array2<f64>,
    /// (K, d, p).
    pub(crate) bases: Array3<f64>,
    pub(crate) epsilon: f64,
}

impl Setting {
    pub(crate) fn heads(&self) -> usize {
        self.bases.dim().0
    }
    pub(crate) fn p(&self) -> usize {
        self.bases.dim().2
    }
    pub(crate) fn c(&self) -> f64 {
        self.p() as f64 / (self.z.ncols() as f64 * self.epsilon * self.epsilon)
    }
    /// Tokens scaled so that the largest `c sigma^2` over heads is `rho`.
    pub(crate) fn with_radius(mut self, rho: f64) -> Self {
        let found = radius(self.z.view(), self.bases.view(), self.epsilon).unwrap();
        if found > 0.0 {
            self.z *= (rho / found).sqrt();
        }
        self
    }
}

/// What a setting is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    heads: usize,
    p: usize,
    rotation: Rotation,
    z: Array2<f64>,
    epsilon: f64,
}

impl Parts {
    /// With other bases, and of the tokens what fits them.
    fn cut(&self, heads: usize, p: usize) -> Self {
        Self {
            heads,
            p,
            z: self.z.slice(s![..heads * p, ..]).to_owned(),
            ..self.clone()
        }
    }

    fn setting(self) -> Setting {
        Setting {
            bases: self.rotation.bases(self.heads, self.p),
            z: self.z,
            epsilon: self.epsilon,
        }
    }
}

impl Simpler for Parts {
    fn simpler(&self) -> Candidates<Self> {
        let own = self.clone();
        let heads = smaller(self.heads).map(move |heads| own.cut(heads, own.p));
        let own = self.clone();
        let widths = smaller(self.p).map(move |p| own.cut(own.heads, p));
        let own = self.clone();
        let tokens = smaller(self.z.ncols()).map(move |count| Self {
            z: own.z.slice(s![.., ..count]).to_owned(),
            ..own.clone()
        });
        let own = self.clone();
        let turned = self.rotation.simpler().map(move |rotation| Self {
            rotation,
            ..own.clone()
        });
        let own = self.clone();
        let entries = simpler_entries(&self.z).map(move |z| Self { z, ..own.clone() });
        let own = self.clone();
        let precision = (self.epsilon != 1.0).then_some(1.0).into_iter();
        let precision = precision.map(move |epsilon| Self {
            epsilon,
            ..own.clone()
        });
        let sizes = heads.chain(widths).chain(tokens);
        Box::new(sizes.chain(turned).chain(precision).chain(entries))
    }
}

/// Forms of tokens: normal, of low rank, repeated, small whole numbers, graded over eight decades, zero.
fn tokens(rng: &mut ChaCha8Rng, d: usize, count: usize, form: usize) -> Array2<f64> {
    let mut z = normal(rng, d, count);
    match form {
        1 => {
            let rank = 1.max(d.min(count) / 2);
            z = normal(rng, d, rank).dot(&normal(rng, rank, count));
        }
        2 => {
            let first = z.column(0).to_owned();
            for mut token in z.columns_mut().into_iter().step_by(2) {
                token.assign(&first);
            }
        }
        3 => {
            z.mapv_inplace(f64::round);
            z[(0, 0)] = 1.0;
        }
        4 => {
            for (index, mut row) in z.outer_iter_mut().enumerate() {
                row *= 10f64.powf(4.0 - 8.0 * index as f64 / d as f64);
            }
        }
        5 => z.fill(0.0),
        _ => {}
    }
    z
}

/// Tokens of any form and size.
pub(crate) fn any_tokens() -> Drawn<Array2<f64>> {
    drawn(|rng| {
        let (d, count) = (rng.gen_range(1..12), rng.gen_range(TOKENS));
        let form = rng.gen_range(0..6);
        tokens(rng, d, count, form)
    })
}

fn parts(rng: &mut ChaCha8Rng, forms: usize, epsilon: f64) -> Parts {
    let (heads, p) = (rng.gen_range(HEADS), rng.gen_range(WIDTHS));
    let (count, form) = (rng.gen_range(TOKENS), rng.gen_range(0..forms));
    Parts {
        heads,
        p,
        rotation: Rotation::draw(rng, heads * p, planes(heads * p)),
        z: tokens(rng, heads * p, count, form),
        epsilon,
    }
}

/// Any tokens, at precisions over five decades.
pub(crate) fn settings() -> impl Strategy<Value = Setting> {
    let draw = |rng: &mut ChaCha8Rng| {
        let epsilon = 10f64.powf(rng.gen_range(-3.0..2.0));
        parts(rng, 6, epsilon)
    };
    drawn(draw).prop_map(Parts::setting)
}

/// Settings whose tokens are not zero and not extreme: for statements about directions.
pub(crate) fn ordinary_settings() -> impl Strategy<Value = Setting> {
    let draw = |rng: &mut ChaCha8Rng| {
        let epsilon = rng.gen_range(0.3..3.0);
        parts(rng, 4, epsilon)
    };
    let nonzero = |parts: &Parts| parts.z.iter().any(|&v| v != 0.0);
    drawn(draw).keeping(nonzero).prop_map(Parts::setting)
}

/// Ordinary settings in which every token is at least 0.1 long.
pub(crate) fn directed_settings() -> impl Strategy<Value = Setting> {
    let draw = |rng: &mut ChaCha8Rng| {
        let epsilon = rng.gen_range(0.3..3.0);
        let mut parts = parts(rng, 4, epsilon);
        for mut token in parts.z.columns_mut() {
            if token.dot(&token) < 0.01 {
                token[0] = 1.0;
            }
        }
        parts
    };
    let directed = |parts: &Parts| parts.z.columns().into_iter().all(|t| t.dot(&t) >= 0.01);
    drawn(draw).keeping(directed).prop_map(Parts::setting)
}

/// Several subspaces and normal tokens at precision 1, fewer than dimensions or at least as many.
pub(crate) fn general_position(few: bool) -> impl Strategy<Value = Setting> {
    let draw = move |rng: &mut ChaCha8Rng| {
        let (heads, p) = (rng.gen_range(2..HEADS.end), rng.gen_range(WIDTHS));
        let d = heads * p;
        let count = match few {
            true => rng.gen_range(1..d),
            false => rng.gen_range(d..d + 20),
        };
        Parts {
            heads,
            p,
            rotation: Rotation::draw(rng, d, planes(d)),
            z: normal(rng, d, count),
            epsilon: 1.0,
        }
    };
    let fits = move |parts: &Parts| {
        let (d, count) = parts.z.dim();
        parts.heads > 1 && (count < d) == few
    };
    drawn(draw).keeping(fits).prop_map(Parts::setting)
}

/// Tokens of a union of subspaces, `each` of every subspace in turn, by their coefficients.
#[derive(Debug, Clone)]
pub(crate) struct Union {
    pub(crate) heads: usize,
    pub(crate) p: usize,
    pub(crate) each: usize,
    rotation: Rotation,
    /// (d, N) before the noise has its size.
    coefficients: Array2<f64>,
}

impl Union {
    pub(crate) fn bases(&self) -> Array3<f64> {
        self.rotation.bases(self.heads, self.p)
    }

    /// The token numbers of subspace `k`.
    pub(crate) fn members(&self, k: usize) -> Range<usize> {
        k * self.each..(k + 1) * self.each
    }

    /// (d, N): coefficients in foreign subspaces are `noise` times as large.
    pub(crate) fn tokens(&self, noise: f64) -> Array2<f64> {
        let mut sized = self.coefficients.clone();
        for ((i, j), v) in sized.indexed_iter_mut() {
            if i / self.p != j / self.each {
                *v *= noise;
            }
        }
        self.rotation.of(self.heads * self.p).dot(&sized)
    }

    fn cut(&self, heads: usize, p: usize, each: usize) -> Self {
        let place = |(i, j): (usize, usize)| {
            let row = i / p * self.p + i % p;
            let column = j / each * self.each + j % each;
            self.coefficients[(row, column)]
        };
        Self {
            heads,
            p,
            each,
            coefficients: Array2::from_shape_fn((heads * p, heads * each), place),
            rotation: self.rotation.clone(),
        }
    }
}

impl Simpler for Union {
    fn simpler(&self) -> Candidates<Self> {
        let own = self.clone();
        let heads = smaller(self.heads).map(move |heads| own.cut(heads, own.p, own.each));
        let own = self.clone();
        let widths = smaller(self.p).map(move |p| own.cut(own.heads, p, own.each));
        let own = self.clone();
        let tokens = smaller(self.each).map(move |each| own.cut(own.heads, own.p, each));
        let own = self.clone();
        let turned = self.rotation.simpler().map(move |rotation| Self {
            rotation,
            ..own.clone()
        });
        let own = self.clone();
        let entries = simpler_entries(&self.coefficients).map(move |coefficients| Self {
            coefficients,
            ..own.clone()
        });
        let sizes = heads.chain(widths).chain(tokens);
        Box::new(sizes.chain(turned).chain(entries))
    }
}

/// Unions of these sizes; wide ones are turned in twice as many planes as they have axes. Every subspace has a token.
pub(crate) fn unions(
    heads: Range<usize>,
    widths: Range<usize>,
    each: Range<usize>,
) -> Drawn<Union> {
    let least = [heads.start, widths.start, each.start];
    let draw = move |rng: &mut ChaCha8Rng| {
        let (heads, p) = (rng.gen_range(heads.clone()), rng.gen_range(widths.clone()));
        let (each, d) = (rng.gen_range(each.clone()), heads * p);
        let rotation = if d <= LARGEST {
            Rotation::draw(rng, d, planes(d))
        } else {
            let planes: Vec<(usize, usize)> = (0..4 * d)
                .map(|_| (rng.gen_range(0..d), rng.gen_range(0..d)))
                .collect();
            Rotation::draw(rng, d, planes.into_iter())
        };
        Union {
            heads,
            p,
            each,
            rotation,
            coefficients: normal(rng, d, heads * each),
        }
    };
    drawn(draw).keeping(move |union| {
        let sizes = [union.heads, union.p, union.each];
        let large = sizes.iter().zip(least).all(|(&size, least)| size >= least);
        large && union.coefficients.iter().any(|&v| v != 0.0)
    })
}
