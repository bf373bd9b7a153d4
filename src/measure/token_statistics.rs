//! Token statistics attention against its derivation: the gap of its bound, and its step, as the paper has it
//! and as the code does.

use ndarray::{Array1, Array2, ArrayView3, Axis};

use crate::data::subspaces::Groups;
use crate::error::Result;
use crate::exact::linear::frobenius;
use crate::exact::mcr2::label_rate;
use crate::exact::tssa::{code_memberships, memberships, tssa, tssa_code, variational_rate};

/// `s = d / eps^2`, the factor on second moments in `f(x) = ln(1 + s x)` (book, after (4.3.9)).
pub fn moment_scale(d: usize, epsilon: f64) -> f64 {
    d as f64 / (epsilon * epsilon)
}

/// `(R^var - R) / R`: how far the variational rate with `bases` lies above the label rate of the groups; below
/// 0 where the bound is violated.
///
/// # Shapes
/// bases (K, d, p), one for each group.
///
/// # Errors
/// [`crate::Error::Shape`] for operands that are empty or do not fit; [`crate::Error::Domain`] for NaN, infinities or
/// `epsilon <= 0`; [`crate::Error::Lapack`] if a factorisation fails.
///
/// # Panics
/// If the bases do not fit the tokens.
pub fn relative_gap(groups: &Groups, bases: ArrayView3<'_, f64>, epsilon: f64) -> Result<f64> {
    let (z, labels) = (groups.z.view(), groups.labels.view());
    let exact = label_rate(z, labels, epsilon)?;
    let bound = variational_rate(z, bases, labels, moment_scale(z.nrows(), epsilon));
    Ok((bound - exact) / exact)
}

/// What one step does to the variational rate, and how the released code's heads stand to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The rate falls, memberships held fixed.
    pub falls: bool,
    /// It falls with memberships computed again after the step.
    pub falls_again: bool,
    /// It falls after the step of the opposite sign, memberships held fixed.
    pub opposite_falls: bool,
    /// Relative change, memberships computed again.
    pub change: f64,
    /// Cosine with the step: the code's heads as released.
    pub code_cosine: f64,
    /// Cosine with the step: the code's heads with the paper's memberships.
    pub code_cosine_memberships: f64,
    /// Cosine with the step: the code's heads with the paper's precision.
    pub code_cosine_precision: f64,
    /// Length of the difference from the step over its length, both put back.
    pub code_difference: f64,
}

impl Step {
    /// The step with `tau / N = 1 / max f'`, which is `1 / s`, as `f'` is largest at moment 0; `width` is the
    /// `eta` of the memberships.
    ///
    /// # Shapes
    /// z (d, N), bases (K, d, p).
    ///
    /// # Panics
    /// If `bases` has not as many rows as `z`.
    pub fn at(z: &Array2<f64>, bases: ArrayView3<'_, f64>, epsilon: f64, width: f64) -> Self {
        let (d, n) = z.dim();
        let s = moment_scale(d, epsilon);
        let pi = memberships(z.view(), bases, width);
        let step = tssa(z.view(), bases, pi.view(), s, n as f64 / s);
        let rate =
            |z: &Array2<f64>, pi: &Array2<f64>| variational_rate(z.view(), bases, pi.view(), s);
        let before = rate(z, &pi);
        let after = z + &step;
        let again = rate(&after, &memberships(after.view(), bases, width));
        // The code: eps absorbed in the scale of the tokens, its own memberships.
        let ones = Array1::ones(bases.len_of(Axis(0)));
        let own = code_memberships(z.view(), bases, ones.view());
        let scaled = z * s.sqrt();
        // 1 / (1 + s m) = f'(m) / s, so both put back give the paper's operator over s.
        let both = tssa_code(scaled.view(), bases, pi.view()) / s.sqrt();
        let cosine = |heads: Array2<f64>| {
            (&heads * &step).sum() / (frobenius(heads.view()) * frobenius(step.view()))
        };
        Self {
            falls: rate(&after, &pi) < before,
            falls_again: again < before,
            opposite_falls: rate(&(z - &step), &pi) < before,
            change: again / before - 1.0,
            code_cosine: cosine(tssa_code(z.view(), bases, own.view())),
            code_cosine_memberships: cosine(tssa_code(z.view(), bases, pi.view())),
            code_cosine_precision: cosine(tssa_code(scaled.view(), bases, own.view())),
            code_difference: frobenius((&both - &step).view()) / frobenius(step.view()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::{Bases, SpectralGroups, UnionOfSubspaces};

    #[test]
    fn the_gap_is_none_for_aligned_bases_and_grows_with_the_square_of_a_small_angle() {
        let model = SpectralGroups {
            heads: 2,
            p: 4,
            tokens: 40,
            noise: 0.0,
        };
        let groups = model.draw(1, 0).unwrap();
        let gap = |bases: Bases| {
            let bases = bases.of(groups.aligned.clone(), 1, 0).unwrap();
            relative_gap(&groups, bases.view(), 0.5).unwrap()
        };
        assert!(gap(Bases::Orthogonal).abs() < 1e-13);
        let ratio = gap(Bases::Turned(0.02)) / gap(Bases::Turned(0.01));
        assert!((ratio - 4.0).abs() < 0.02, "{ratio}");
        assert!(gap(Bases::TurnedAtRandom) > gap(Bases::Turned(0.02)));
    }

    #[test]
    fn a_step_descends_its_opposite_ascends_and_the_code_is_the_step_once_put_right() {
        let drawn = UnionOfSubspaces::new(2, 3, 30, 0.3).draw(2, 0).unwrap();
        let step = Step::at(&drawn.noisy, drawn.bases.view(), 0.5, 1.0);
        assert!(step.falls && !step.opposite_falls);
        assert!(step.code_difference < 1e-8);
        assert!(step.code_cosine < step.code_cosine_memberships);
        assert!(step.code_cosine_memberships < 1.0);
    }
}
