//! C-THY-43: up to LayerNorm, `Z + M` is the convex step at `kappa c = 1/2`; adding attention descends on
//! the rate of tokens of one length, subtracting it ascends; on tokens as they are it is the other way
//! round, because the step makes every token grow.
//!
//! The criteria below were fixed before the first run, with the 36 cells they are asked in.

use std::sync::OnceLock;

use ndarray::{Array2, Array3, Axis};
use proptest::collection::vec;
use proptest::prelude::*;
use rand::seq::SliceRandom;
use whitebox::data::subspaces::UnionOfSubspaces;
use whitebox::exact::mssa::{
    attention_map, attention_update, compression_coefficient, update_through,
};
use whitebox::exact::neumann::truncated_gradient;
use whitebox::exact::scale_free::{
    scale_free_gradient, scale_free_rate, tangential, unit_projection_gradient,
    unit_projection_rate, unit_tokens,
};
use whitebox::exact::{subspace_rate, subspace_rate_gradient};
use whitebox::{parallel, seed};

use crate::strategies::*;

/// Share of draws in which the step that is to descend has to, in every cell.
const DESCENDS: f64 = 0.98;
/// Share of draws in which the opposite step may.
const ASCENDS: f64 = 0.02;
/// Share of draws in which a random direction may.
const CHANCE: f64 = 0.8;
/// Steps are this times a direction as long as M.
const STEP: f64 = 0.01;
/// Rates are known to 1e-12 each: a change has to be larger than twice the sum to count.
const ROUNDING: f64 = 4e-12;

const SEED: u64 = 43;
const DRAWS: usize = 100;
const HEADS: usize = 4;
const P: usize = 16;
const N: usize = 128;
const EPSILON_SQUARED: [f64; 4] = [0.01, 0.25, 1.0, 4.0];
const SOFTMAX_SCALES: [f64; 3] = [0.25, 1.0, 10.0];

/// Tokens of length 1 and the bases they are measured by.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Drawn {
    /// A union of orthogonal subspaces, noise 0.3 in the others.
    Union,
    /// Gaussian tokens, orthogonal subspaces.
    Isotropic,
    /// Gaussian tokens, subspaces that were drawn one by one and overlap.
    Overlapping,
}

impl Drawn {
    const ALL: [Self; 3] = [Self::Union, Self::Isotropic, Self::Overlapping];

    fn draw(self, draw: usize) -> (Array2<f64>, Array3<f64>) {
        let model = UnionOfSubspaces::new(HEADS, P, N, 0.3);
        let drawn = model.draw(SEED, draw).unwrap();
        let d = HEADS * P;
        let z = match self {
            Self::Union => drawn.noisy,
            Self::Isotropic | Self::Overlapping => {
                gaussian(SEED, &format!("isotropic {draw}"), d, N)
            }
        };
        let mut bases = drawn.bases;
        if self == Self::Overlapping {
            for (k, mut basis) in bases.outer_iter_mut().enumerate() {
                basis.assign(&orthonormal(SEED, &format!("basis {draw} {k}"), d, P));
            }
        }
        (unit_tokens(z.view()), bases)
    }
}

/// What is measured: tokens brought to length 1, their projections brought to length 1, tokens as they are.
const MEASURES: [&str; 3] = ["unit tokens", "unit projections", "raw tokens"];
/// Which way is gone, each direction as long as M.
const DIRECTIONS: [&str; 4] = ["+M", "-M", "-Z", "random"];
/// What a token reads, for the cosines.
const READS: [&str; 3] = ["attention", "shuffled partners", "uniform"];

/// One combination of tokens, precision and softmax scale.
#[derive(Debug, Clone)]
struct Cell {
    drawn: Drawn,
    epsilon_squared: f64,
    softmax_scale: f64,
    /// Share of draws in which the rate falls, by measure and direction.
    falls: [[f64; 4]; 3],
    /// Mean cosine with steepest descent, growth along each token taken out, by unit measure and read.
    cosine: [[f64; 3]; 2],
}

fn cosine(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    inner(a, b) / (norm(a.view()) * norm(b.view()))
}

fn measure(drawn: Drawn, epsilon_squared: f64, softmax_scale: f64) -> Cell {
    let epsilon = epsilon_squared.sqrt();
    let found = parallel::map(DRAWS, parallel::default_threads(), |draw| {
        let (z, bases) = drawn.draw(draw);
        let b = bases.view();
        let m = attention_update(z.view(), b, softmax_scale);
        let as_long = |v: Array2<f64>| &v * (norm(m.view()) / norm(v.view()));
        let random = gaussian(SEED, &format!("random {draw}"), HEADS * P, N);
        let directions = [m.clone(), -&m, as_long(-&z), as_long(random)];
        let rate = |measure: usize, z: &Array2<f64>| -> f64 {
            match measure {
                0 => scale_free_rate(z.view(), b, epsilon),
                1 => unit_projection_rate(z.view(), b, epsilon),
                _ => subspace_rate(z.view(), b, epsilon),
            }
            .unwrap()
            .total
        };
        let falls = [0, 1, 2].map(|measure| {
            let before = rate(measure, &z);
            directions
                .each_ref()
                .map(|v| rate(measure, &(&z + &(v * STEP))) < before * (1.0 - ROUNDING))
        });

        let mut order: Vec<usize> = (0..N).collect();
        order.shuffle(&mut seed::stream(SEED, &format!("partners {draw}")));
        let shuffled = update_through(z.view(), b, |basis| {
            attention_map(z.view(), basis, softmax_scale).select(Axis(0), &order)
        });
        let uniform = update_through(z.view(), b, |_| Array2::from_elem((N, N), 1.0 / N as f64));
        let reads = [&m, &shuffled, &uniform].map(|v| tangential(z.view(), v.view()));
        // Neither has a part along the tokens.
        let gradients = [
            scale_free_gradient(z.view(), b, epsilon).unwrap(),
            unit_projection_gradient(z.view(), b, epsilon).unwrap(),
        ];
        let cosines = gradients.map(|gradient| reads.each_ref().map(|v| -cosine(v, &gradient)));
        Ok((falls, cosines))
    })
    .unwrap();
    let mut cell = Cell {
        drawn,
        epsilon_squared,
        softmax_scale,
        falls: [[0.0; 4]; 3],
        cosine: [[0.0; 3]; 2],
    };
    for (falls, cosines) in found {
        for (sums, falls) in cell.falls.iter_mut().zip(falls) {
            for (sum, falls) in sums.iter_mut().zip(falls) {
                *sum += f64::from(u8::from(falls)) / DRAWS as f64;
            }
        }
        for (sums, cosines) in cell.cosine.iter_mut().zip(cosines) {
            for (sum, cosine) in sums.iter_mut().zip(cosines) {
                *sum += cosine / DRAWS as f64;
            }
        }
    }
    cell
}

/// All 36, measured once for all tests.
fn cells() -> &'static [Cell] {
    static CELLS: OnceLock<Vec<Cell>> = OnceLock::new();
    CELLS.get_or_init(|| {
        let mut cells = Vec::new();
        for drawn in Drawn::ALL {
            for epsilon_squared in EPSILON_SQUARED {
                for softmax_scale in SOFTMAX_SCALES {
                    let cell = measure(drawn, epsilon_squared, softmax_scale);
                    println!("{cell:?}");
                    cells.push(cell);
                }
            }
        }
        cells
    })
}

/// Shares are multiples of 1 / [`DRAWS`] up to rounding of their sum.
const HALF_A_DRAW: f64 = 0.5 / DRAWS as f64;

// ANCHOR: signs
#[test]
fn c_thy_43_on_tokens_of_one_length_adding_attention_descends_and_subtracting_ascends() {
    for cell in cells() {
        for measure in [0, 1] {
            let [added, subtracted, ..] = cell.falls[measure];
            let holds = added > DESCENDS - HALF_A_DRAW && subtracted < ASCENDS + HALF_A_DRAW;
            assert!(holds, "{}: {cell:?}", MEASURES[measure]);
        }
    }
}

#[test]
fn c_thy_43_on_tokens_as_they_are_it_is_the_other_way_round() {
    for cell in cells() {
        let [added, subtracted, ..] = cell.falls[2];
        let holds = added < ASCENDS + HALF_A_DRAW && subtracted > DESCENDS - HALF_A_DRAW;
        assert!(holds, "{}: {cell:?}", MEASURES[2]);
    }
}
// ANCHOR_END: signs

#[test]
fn c_thy_43_shrinking_and_random_steps_as_long_do_not_descend_as_attention_does() {
    for cell in cells() {
        for measure in [0, 1] {
            let [_, _, shrinking, random] = cell.falls[measure];
            let what = (MEASURES[measure], DIRECTIONS);
            assert_eq!(shrinking, 0.0, "{what:?}: {cell:?}");
            assert!(random < CHANCE + HALF_A_DRAW, "{what:?}: {cell:?}");
        }
    }
}

#[test]
fn c_thy_43_attention_beats_shuffled_partners_and_uniform_averaging_beyond_growth() {
    for cell in cells() {
        for [attention, shuffled, uniform] in cell.cosine {
            let holds = attention > shuffled && attention > uniform;
            assert!(holds, "{READS:?}: {cell:?}");
        }
    }
}

/// Complete orthogonal bases, tokens without a zero column, and a direction, all by value.
fn turned_setting() -> impl Strategy<Value = (Array3<f64>, Array2<f64>, Array2<f64>, f64)> {
    (2usize..4, 1usize..4, 1usize..9).prop_flat_map(|(heads, p, n)| {
        let d = heads * p;
        let matrix = move || {
            vec(-1.0f64..1.0, d * n).prop_map(move |v| Array2::from_shape_vec((d, n), v).unwrap())
        };
        let angles = vec(-3.2f64..3.2, d * (d - 1) / 2);
        (angles, matrix(), matrix(), 0.3f64..3.0)
            .prop_map(move |(angles, z, direction, epsilon)| {
                (turned_bases(heads, p, &angles), z, direction, epsilon)
            })
            .prop_filter("tokens with a direction", |(_, z, ..)| {
                z.axis_iter(Axis(1)).all(|token| token.dot(&token) > 0.01)
            })
    })
}

proptest! {
    /// `Z + M` and the book's `(1 - kappa c) Z + kappa c M` at `kappa c = 1/2` are the same tokens once both
    /// are brought to one length, and have the same rate.
    #[test]
    fn c_thy_43_up_to_length_the_official_step_is_the_convex_step_at_one_half(
        (bases, z, _, epsilon) in turned_setting(),
        scale in 0.1f64..10.0,
    ) {
        let m = attention_update(z.view(), bases.view(), scale);
        let kappa_c = 0.5;
        let convex = &z * (1.0 - kappa_c) + &(&m * kappa_c);
        let official = &z + &m;
        let shortest = official.axis_iter(Axis(1)).map(|t| t.dot(&t).sqrt()).fold(f64::INFINITY, f64::min);
        // Halving is exact; the sums round by u of their operands, which the division by a length magnifies.
        let rounding = 4.0 * f64::EPSILON * (norm(z.view()) + norm(m.view())) / shortest;
        let difference = unit_tokens(official.view()) - unit_tokens(convex.view());
        prop_assert!(norm(difference.view()) <= rounding);
        let rate = |z: &Array2<f64>| scale_free_rate(z.view(), bases.view(), epsilon).unwrap().total;
        let c = compression_coefficient(bases.dim().2, z.ncols(), epsilon);
        // ||grad R^c||_F <= sqrt(c K p) / 2, d = K p.
        let slope = (c * z.nrows() as f64).sqrt();
        prop_assert!((rate(&official) - rate(&convex)).abs() <= 2e-12 * rate(&official) + slope * rounding);
    }

    // ANCHOR: growth
    /// What rescaling takes from the slope along `V` is exactly the growth: at tokens of length 1,
    /// `d/dt R^c(unit(X + t V)) = <G, V> - sum_j <g_j, x_j> <x_j, v_j>`, `G = grad R^c(X)`.
    #[test]
    fn c_thy_43_rescaling_removes_exactly_the_growth_from_the_slope(
        (bases, z, direction, epsilon) in turned_setting(),
    ) {
        let x = unit_tokens(z.view());
        let gradient = subspace_rate_gradient(x.view(), bases.view(), epsilon).unwrap();
        let growth: f64 = (0..x.ncols())
            .map(|j| {
                let token = x.column(j);
                gradient.column(j).dot(&token) * token.dot(&direction.column(j))
            })
            .sum();
        let expected = inner(&gradient, &direction) - growth;
        let rate = |t: f64| {
            let moved = &x + &(&direction * t);
            scale_free_rate(moved.view(), bases.view(), epsilon).unwrap().total
        };
        let h = 1e-5;
        let found = (rate(h) - rate(-h)) / (2.0 * h);
        // The third derivative along V is below 100 c |V|^3; rates are known to 1e-12.
        let c = compression_coefficient(bases.dim().2, z.ncols(), epsilon);
        let reach = norm(direction.view()).max(1.0);
        let tolerance = 100.0 * (1.0 + c).powi(2) * reach.powi(3) * h * h + 1e-12 * rate(0.0) / h;
        prop_assert!((found - expected).abs() <= tolerance, "{found} {expected}");
    }

    /// The first-order term of the series, which the official step drops, is `c Z` for complete orthogonal
    /// bases: radial, so that it changes nothing once tokens are brought to one length.
    #[test]
    fn c_thy_43_the_dropped_first_order_term_is_radial(
        (bases, z, _, epsilon) in turned_setting(),
        step in -0.5f64..0.5,
    ) {
        let c = compression_coefficient(bases.dim().2, z.ncols(), epsilon);
        let dropped = truncated_gradient(z.view(), bases.view(), epsilon, 0);
        let rounding = 8.0 * z.nrows() as f64 * f64::EPSILON * norm(z.view());
        prop_assert!(norm((&dropped - &(&z * c)).view()) <= c * rounding);
        prop_assert!(norm(tangential(z.view(), dropped.view()).view()) <= c * rounding);
        let moved = &z + &(&dropped * (step / c));
        let difference = unit_tokens(moved.view()) - unit_tokens(z.view());
        // Tokens are at least 0.1 long, and keep at least half of that.
        prop_assert!(norm(difference.view()) <= 20.0 * rounding);
    }
    // ANCHOR_END: growth
}

/// Where the bases leave directions out, the dropped term is `c` times the projection and turns tokens.
#[test]
fn c_thy_43_for_incomplete_bases_the_dropped_term_is_not_radial() {
    let bases = Array2::eye(2).slice(ndarray::s![.., ..1]).to_owned();
    let z = Array2::from_elem((2, 1), 1.0);
    let dropped = truncated_gradient(z.view(), bases.view().insert_axis(Axis(0)), 1.0, 0);
    let turning = tangential(z.view(), dropped.view());
    assert!(norm(turning.view()) > 0.5 * norm(dropped.view()));
}
