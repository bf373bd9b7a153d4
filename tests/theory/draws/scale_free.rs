//! C-THY-43: adding attention descends on the rate of tokens of one length, subtracting it ascends; on tokens as
//! they are it is the other way round, because the step makes every token grow.
//!
//! The criteria, and the 36 cells they are asked in, were fixed before the first run. They are met in all
//! cells on tokens as they are, and on one length in all with orthogonal subspaces and scores of scale 1
//! or more. Scores scaled by 1/4 are nearly all alike for tokens of length 1: there the sign is short of
//! the criterion. Where subspaces overlap the dropped first-order term is not radial: on tokens of one
//! length the signs are turned, on projections of one length they are as claimed from scale 10.

use std::sync::OnceLock;

use ndarray::{Array2, Array3, Axis};
use rand::seq::SliceRandom;
use whitebox::data::subspaces::{gaussian, orthonormal, UnionOfSubspaces};
use whitebox::exact::mssa::{attention_map, attention_update, update_through};
use whitebox::exact::scale_free::{
    scale_free_gradient, scale_free_rate, tangential, unit_projection_gradient,
    unit_projection_rate, unit_tokens,
};
use whitebox::exact::subspace_rate;
use whitebox::{parallel, seed};

use crate::linear::{inner, norm};

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
                basis.assign(&orthonormal(SEED, &format!("basis {draw} {k}"), d, P).unwrap());
            }
        }
        (unit_tokens(z.view()), bases)
    }
}

/// What is brought to length 1 before the rate is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    UnitTokens,
    /// As the official code has it.
    UnitProjections,
    RawTokens,
}

impl Measure {
    const ALL: [Self; 3] = [Self::UnitTokens, Self::UnitProjections, Self::RawTokens];

    fn rate(self, z: &Array2<f64>, bases: &Array3<f64>, epsilon: f64) -> f64 {
        let rate = match self {
            Self::UnitTokens => scale_free_rate(z.view(), bases.view(), epsilon),
            Self::UnitProjections => unit_projection_rate(z.view(), bases.view(), epsilon),
            Self::RawTokens => subspace_rate(z.view(), bases.view(), epsilon),
        };
        rate.unwrap().total
    }

    /// Whether a step along each direction lowers the rate.
    fn falls<const N: usize>(
        self,
        z: &Array2<f64>,
        bases: &Array3<f64>,
        epsilon: f64,
        directions: &[Array2<f64>; N],
    ) -> [bool; N] {
        let before = self.rate(z, bases, epsilon);
        directions.each_ref().map(|direction| {
            let after = self.rate(&(z + &(direction * STEP)), bases, epsilon);
            after < before * (1.0 - ROUNDING)
        })
    }
}

/// What one draw gave.
struct Draw {
    /// By measure, for `+M`, `-M`, and `-Z` and a random direction as long as M.
    falls: [[bool; 4]; 3],
    /// By unit measure, for attention, shuffled partners and uniform averaging: cosine with steepest
    /// descent, growth along each token taken out.
    cosine: [[f64; 3]; 2],
}

/// One combination of tokens, precision and softmax scale.
struct Cell {
    drawn: Drawn,
    epsilon_squared: f64,
    softmax_scale: f64,
    /// Shares of draws, means: as in [`Draw`].
    falls: [[f64; 4]; 3],
    cosine: [[f64; 3]; 2],
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (drawn, epsilon_squared, scale) =
            (self.drawn, self.epsilon_squared, self.softmax_scale);
        let (falls, cosine) = (self.falls, self.cosine);
        write!(
            f,
            "{drawn:?}, eps^2 {epsilon_squared}, scale {scale}: {falls:?}, {cosine:?}"
        )
    }
}

impl Cell {
    fn of(drawn: Drawn, epsilon_squared: f64, softmax_scale: f64, draws: &[&Draw]) -> Self {
        let mean = |of: &dyn Fn(&Draw) -> f64| {
            draws.iter().map(|draw| of(draw)).sum::<f64>() / draws.len() as f64
        };
        let share = |measure: usize, way: usize| {
            mean(&|draw: &Draw| f64::from(u8::from(draw.falls[measure][way])))
        };
        let cosine = |measure: usize, way: usize| mean(&|draw: &Draw| draw.cosine[measure][way]);
        Self {
            drawn,
            epsilon_squared,
            softmax_scale,
            falls: [0, 1, 2].map(|m| [0, 1, 2, 3].map(|way| share(m, way))),
            cosine: [0, 1].map(|m| [0, 1, 2].map(|way| cosine(m, way))),
        }
    }

    /// Whether `+M` and `-M` do what the claim says of tokens of one length.
    fn descends(&self, measure: Measure) -> bool {
        let [added, subtracted, ..] = self.falls[measure as usize];
        added >= DESCENDS && subtracted <= ASCENDS
    }

    /// Whether they do the opposite.
    fn ascends(&self, measure: Measure) -> bool {
        let [added, subtracted, ..] = self.falls[measure as usize];
        added <= ASCENDS && subtracted >= DESCENDS
    }

    /// Whether attention's direction is nearer to steepest descent than what its controls read.
    fn beats_controls(&self, measure: Measure) -> bool {
        let [attention, shuffled, uniform] = self.cosine[measure as usize];
        attention > shuffled && attention > uniform
    }

    fn overlaps(&self) -> bool {
        self.drawn == Drawn::Overlapping
    }
}

fn cosine(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    inner(a, b) / (norm(a.view()) * norm(b.view()))
}

fn measure(z: &Array2<f64>, bases: &Array3<f64>, draw: usize, scale: f64) -> Vec<Draw> {
    let m = attention_update(z.view(), bases.view(), scale);
    let as_long = |v: Array2<f64>| &v * (norm(m.view()) / norm(v.view()));
    let random = gaussian(SEED, &format!("random {draw}"), HEADS * P, N);
    let directions = [m.clone(), -&m, as_long(-z), as_long(random)];
    let mut order: Vec<usize> = (0..N).collect();
    order.shuffle(&mut seed::stream(SEED, &format!("partners {draw}")));
    let shuffled = update_through(z.view(), bases.view(), |basis| {
        attention_map(z.view(), basis, scale).select(Axis(0), &order)
    });
    let uniform = Array2::from_elem((N, N), 1.0 / N as f64);
    let uniform = update_through(z.view(), bases.view(), |_| uniform.clone());
    let reads = [&m, &shuffled, &uniform].map(|v| tangential(z.view(), v.view()));
    let at = |epsilon: f64| {
        // Neither gradient has a part along the tokens.
        let gradients = [
            scale_free_gradient(z.view(), bases.view(), epsilon).unwrap(),
            unit_projection_gradient(z.view(), bases.view(), epsilon).unwrap(),
        ];
        Draw {
            falls: Measure::ALL.map(|measure| measure.falls(z, bases, epsilon, &directions)),
            cosine: gradients.map(|gradient| reads.each_ref().map(|v| -cosine(v, &gradient))),
        }
    };
    EPSILON_SQUARED.map(f64::sqrt).map(at).into()
}

/// All 36, measured once for all tests.
fn cells() -> &'static [Cell] {
    static CELLS: OnceLock<Vec<Cell>> = OnceLock::new();
    CELLS.get_or_init(|| {
        let mut cells = Vec::new();
        for drawn in Drawn::ALL {
            for scale in SOFTMAX_SCALES {
                let draws = parallel::map(DRAWS, parallel::default_threads(), |draw| {
                    let (z, bases) = drawn.draw(draw);
                    Ok(measure(&z, &bases, draw, scale))
                });
                let draws = draws.unwrap();
                for (index, epsilon_squared) in EPSILON_SQUARED.into_iter().enumerate() {
                    let here: Vec<&Draw> = draws.iter().map(|draw| &draw[index]).collect();
                    cells.push(Cell::of(drawn, epsilon_squared, scale, &here));
                }
            }
        }
        cells
    })
}

#[test]
fn c_thy_43_on_tokens_as_they_are_adding_attention_ascends_and_subtracting_descends() {
    for cell in cells() {
        assert!(cell.ascends(Measure::RawTokens), "{cell}");
    }
}

// ANCHOR: signs
/// Orthogonal subspaces, scores of scale 1 and 10: 16 cells, both unit measures.
#[test]
fn c_thy_43_on_one_length_adding_attention_descends_and_subtracting_ascends() {
    for cell in cells() {
        if !cell.overlaps() && cell.softmax_scale >= 1.0 {
            for measure in [Measure::UnitTokens, Measure::UnitProjections] {
                assert!(cell.descends(measure), "{measure:?}: {cell}");
            }
        }
    }
}
// ANCHOR_END: signs

/// Scores of scale 1/4 and tokens of length 1: every weight is near 1 / N, and the sign is a matter of
/// more draws than not, but not of 98 in 100.
#[test]
fn c_thy_43_with_nearly_equal_weights_the_sign_is_short_of_the_criterion() {
    for cell in cells() {
        if !cell.overlaps() && cell.softmax_scale < 1.0 {
            for measure in [Measure::UnitTokens, Measure::UnitProjections] {
                let [added, subtracted, ..] = cell.falls[measure as usize];
                assert!(!cell.descends(measure), "{measure:?}: {cell}");
                assert!(added > 0.7 && subtracted < 0.3, "{measure:?}: {cell}");
            }
        }
    }
}

/// Overlapping subspaces turn the sign on tokens of one length, in all 12 cells; on projections of one
/// length it is as claimed at scale 10, one to two draws in 100 short of that at scale 1.
#[test]
fn c_thy_43_overlapping_subspaces_turn_the_sign_on_tokens_of_one_length() {
    for cell in cells().iter().filter(|cell| cell.overlaps()) {
        assert!(cell.ascends(Measure::UnitTokens), "{cell}");
        let official = cell.descends(Measure::UnitProjections);
        assert_eq!(official, cell.softmax_scale > 1.0, "{cell}");
        let [added, subtracted, ..] = cell.falls[Measure::UnitProjections as usize];
        assert!(added > 0.65 && subtracted < 0.35, "{cell}");
    }
}

#[test]
fn c_thy_43_shrinking_never_descends_on_one_length_and_a_random_step_hardly() {
    for cell in cells() {
        for measure in [Measure::UnitTokens, Measure::UnitProjections] {
            let [_, _, shrinking, random] = cell.falls[measure as usize];
            assert_eq!(shrinking, 0.0, "{measure:?}: {cell}");
            assert!(random <= CHANCE, "{measure:?}: {cell}");
        }
    }
}

/// Growth taken out, attention beats other partners and plain averaging wherever the claim has a chance:
/// everywhere but on tokens of one length with overlapping subspaces, where it is farther off.
#[test]
fn c_thy_43_attention_beats_shuffled_partners_and_uniform_averaging_beyond_growth() {
    for cell in cells() {
        let here = cell.beats_controls(Measure::UnitTokens);
        assert_eq!(here, !cell.overlaps(), "{cell}");
        assert!(cell.beats_controls(Measure::UnitProjections), "{cell}");
    }
}

/// Asked after the first run: attention that reads tokens of length `sqrt(d)`, as LayerNorm leaves them,
/// tells them apart at the network's scale `p^{-1/2} = 1/4` too, and has the sign in all cells with
/// orthogonal subspaces.
#[test]
fn c_thy_43_at_the_length_that_layer_norm_gives_the_networks_scale_suffices() {
    for drawn in [Drawn::Union, Drawn::Isotropic] {
        let draws = parallel::map(DRAWS, parallel::default_threads(), |draw| {
            let (mut z, bases) = drawn.draw(draw);
            z *= (z.nrows() as f64).sqrt();
            let m = attention_update(z.view(), bases.view(), SOFTMAX_SCALES[0]);
            let directions = [m.clone(), -m];
            let falls = EPSILON_SQUARED.map(|epsilon_squared| {
                [Measure::UnitTokens, Measure::UnitProjections]
                    .map(|measure| measure.falls(&z, &bases, epsilon_squared.sqrt(), &directions))
            });
            Ok(falls)
        });
        let draws = draws.unwrap();
        for (index, epsilon_squared) in EPSILON_SQUARED.into_iter().enumerate() {
            for measure in [Measure::UnitTokens, Measure::UnitProjections] {
                let share = |way: usize| {
                    let falls = draws.iter().filter(|d| d[index][measure as usize][way]);
                    falls.count() as f64 / DRAWS as f64
                };
                let holds = share(0) >= DESCENDS && share(1) <= ASCENDS;
                let found = [share(0), share(1)];
                assert!(
                    holds,
                    "{drawn:?}, {epsilon_squared}, {measure:?}: {found:?}"
                );
            }
        }
    }
}
