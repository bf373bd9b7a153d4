//! What takes noise off drawn tokens, and what a step does to the ratio of signal to noise beside the rate.

use ndarray::{s, Array1, Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::data::subspaces::SubspaceTokens;
use crate::error::Result;
use crate::exact::attention_only::signal_to_noise;
use crate::exact::linear::inner;
use crate::exact::mixture::{nearest_projection, posterior_mean, wiener_filters};
use crate::exact::mssa::attention_update;
use crate::exact::subspace_rate;

/// What takes noise off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The step on `R^c` with `kappa = 1 / c`: Wiener's filter for every head.
    ExactStep,
    /// `M`, scores as the papers write them: the book's convex step at `kappa c = 1`.
    AttentionUnscaled,
    /// `M`, scores times `p^{-1/2}`.
    AttentionScaled,
    /// Projection on the subspace with the largest energy, token by token.
    NearestSubspace,
    /// Bayes' denoiser of the mixture, token by token.
    PosteriorMean,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ExactStep,
        Self::AttentionUnscaled,
        Self::AttentionScaled,
        Self::NearestSubspace,
        Self::PosteriorMean,
    ];

    /// The name in tables and charts.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactStep => "exact step on R^c",
            Self::AttentionUnscaled => "attention, scale 1",
            Self::AttentionScaled => "attention, scale p^{-1/2}",
            Self::NearestSubspace => "nearest subspace",
            Self::PosteriorMean => "posterior mean",
        }
    }

    /// The tokens without their noise, as far as it goes: of deviation `noise`, by a filter of precision
    /// `epsilon`, both in the units of the tokens.
    ///
    /// # Shapes
    /// Gives (d, N), as the drawn tokens.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if the tokens are not finite.
    pub fn apply(self, drawn: &SubspaceTokens, noise: f64, epsilon: f64) -> Result<Array2<f64>> {
        let (z, bases) = (drawn.noisy.view(), drawn.bases.view());
        Ok(match self {
            Self::ExactStep => filtered(drawn, epsilon, z)?,
            Self::AttentionUnscaled => attention_update(z, bases, 1.0),
            Self::AttentionScaled => {
                let scale = (bases.dim().2 as f64).powf(-0.5);
                attention_update(z, bases, scale)
            }
            Self::NearestSubspace => by_token(z, |x| nearest_projection(x, bases)),
            Self::PosteriorMean => by_token(z, |x| posterior_mean(x, bases, noise)),
        })
    }
}

/// `denoise` of every column.
///
/// # Shapes
/// z (d, N); `denoise` keeps (d,); gives (d, N).
///
/// # Panics
/// If `denoise` gives another length.
pub fn by_token(
    z: ArrayView2<'_, f64>,
    denoise: impl Fn(ArrayView1<'_, f64>) -> Array1<f64>,
) -> Array2<f64> {
    let mut out = Array2::zeros(z.dim());
    for (token, mut place) in z.columns().into_iter().zip(out.columns_mut()) {
        place.assign(&denoise(token));
    }
    out
}

/// `sum_k U_k F_k U_k^T X`, `F_k` of [`wiener_filters`]: the filter that the exact step applies to the tokens of a
/// draw, applied to anything.
///
/// # Shapes
/// x (d, n); gives (d, n).
///
/// # Errors
/// [`crate::Error::Lapack`] if the tokens of the draw are not finite.
///
/// # Panics
/// If `x` has another width than the draw.
pub fn filtered(
    drawn: &SubspaceTokens,
    epsilon: f64,
    x: ArrayView2<'_, f64>,
) -> Result<Array2<f64>> {
    let filters = wiener_filters(drawn.noisy.view(), drawn.bases.view(), epsilon)?;
    let mut sum = Array2::zeros(x.dim());
    for (basis, filter) in drawn.bases.outer_iter().zip(filters.outer_iter()) {
        sum += &basis.dot(&filter.dot(&basis.t().dot(&x)));
    }
    Ok(sum)
}

/// How near one step comes to the clean tokens, and what its filter keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Mean square error after over before, by method.
    pub errors: [f64; Method::ALL.len()],
    /// Energy of the noise that the exact step's filter keeps.
    pub noise: f64,
    /// Energy of the signal that it keeps.
    pub signal: f64,
}

impl Kept {
    /// Of a draw with noise of deviation `noise`, by a filter of precision `epsilon`, both in the units of the tokens.
    ///
    /// # Errors
    /// [`crate::Error::Lapack`] if the tokens are not finite.
    pub fn of(drawn: &SubspaceTokens, noise: f64, epsilon: f64) -> Result<Self> {
        let noise_part = &drawn.noisy - &drawn.clean;
        let before = energy(&noise_part);
        let mut errors = [0.0; Method::ALL.len()];
        for (error, method) in errors.iter_mut().zip(Method::ALL) {
            let after = method.apply(drawn, noise, epsilon)?;
            *error = energy(&(after - &drawn.clean)) / before;
        }
        let kept = |part: &Array2<f64>| -> Result<f64> {
            Ok(energy(&filtered(drawn, epsilon, part.view())?) / energy(part))
        };
        Ok(Self {
            errors,
            noise: kept(&noise_part)?,
            signal: kept(&drawn.clean)?,
        })
    }
}

fn energy(z: &Array2<f64>) -> f64 {
    inner(z.view(), z.view())
}

/// Ratio of signal to noise and `R^c` after each sign of the step, scores as the papers write them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BothSigns {
    /// Ratio of `Z`, `Z + M`, `Z - M`, and of the exact step with `kappa = 1 / c`.
    pub ratios: [f64; 4],
    /// `R^c` of `Z`, `Z + M`, `Z - M`.
    pub rates: [f64; 3],
}

impl BothSigns {
    /// Of a draw, `R^c` in nats at precision `epsilon`.
    ///
    /// # Errors
    /// [`crate::Error::Domain`] for tokens that are not finite or `epsilon <= 0`; [`crate::Error::Lapack`] if a
    /// factorisation fails.
    pub fn of(drawn: &SubspaceTokens, epsilon: f64) -> Result<Self> {
        let z = &drawn.noisy;
        let m = attention_update(z.view(), drawn.bases.view(), 1.0);
        let ratio = |z: &Array2<f64>| mean_ratio(drawn, z);
        let rate = |z: &Array2<f64>| -> Result<f64> {
            Ok(subspace_rate(z.view(), drawn.bases.view(), epsilon)?.total)
        };
        let (added, subtracted) = (z + &m, z - &m);
        let exact = filtered(drawn, epsilon, z.view())?;
        Ok(Self {
            ratios: [ratio(z), ratio(&added), ratio(&subtracted), ratio(&exact)],
            rates: [rate(z)?, rate(&added)?, rate(&subtracted)?],
        })
    }

    /// Whether adding raises the ratio.
    pub fn raises_ratio(&self) -> bool {
        self.ratios[1] > self.ratios[0]
    }

    /// Whether adding raises the rate.
    pub fn raises_rate(&self) -> bool {
        self.rates[1] > self.rates[0]
    }

    /// Whether subtracting lowers the ratio.
    pub fn lowers_ratio(&self) -> bool {
        self.ratios[2] < self.ratios[0]
    }

    /// Whether subtracting lowers the rate.
    pub fn lowers_rate(&self) -> bool {
        self.rates[2] < self.rates[0]
    }

    /// All four.
    pub fn opposite(&self) -> bool {
        let added = self.raises_ratio() && self.raises_rate();
        added && self.lowers_ratio() && self.lowers_rate()
    }
}

/// Mean over subspaces of the ratio of signal to noise of their tokens, see [`signal_to_noise`].
///
/// # Shapes
/// z (d, N), in the order of the draw.
pub fn mean_ratio(drawn: &SubspaceTokens, z: &Array2<f64>) -> f64 {
    let ratios = block_ratios(drawn, z);
    ratios.iter().sum::<f64>() / ratios.len() as f64
}

/// The ratio of signal to noise of the tokens of every subspace, see [`signal_to_noise`].
///
/// # Shapes
/// z (d, N), in the order of the draw; gives K ratios.
///
/// # Panics
/// If `z` has fewer tokens than the draw, or another width.
pub fn block_ratios(drawn: &SubspaceTokens, z: &Array2<f64>) -> Vec<f64> {
    let blocks = drawn.bases.outer_iter().enumerate();
    blocks
        .map(|(k, basis)| signal_to_noise(z.slice(s![.., drawn.members(k)]), basis))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::UnionOfSubspaces;

    fn drawn(populated: usize, noise: f64) -> SubspaceTokens {
        let model = UnionOfSubspaces {
            populated,
            ..UnionOfSubspaces::new(3, 4, 60, noise)
        };
        model.draw(1, 0).unwrap()
    }

    #[test]
    fn the_nearest_subspace_takes_little_noise_off_wholly_and_the_filter_what_leaks_from_one() {
        let error = |found: &Kept, method: Method| found.errors[method as usize];
        let all = Kept::of(&drawn(3, 0.01), 0.01, 0.1).unwrap();
        assert!(error(&all, Method::NearestSubspace) < 1e-25);
        let one = Kept::of(&drawn(1, 0.05), 0.05, 0.3).unwrap();
        assert!(one.noise < 0.1 && one.signal > 0.8, "{one:?}");
        assert!(error(&one, Method::ExactStep) < 1.0);
    }

    #[test]
    fn ratios_are_those_of_the_parts() {
        let drawn = drawn(3, 0.2);
        let block = s![.., drawn.members(1)];
        let noise = &drawn.noisy - &drawn.clean;
        let signal = energy(&drawn.clean.slice(block).to_owned());
        let expected = (signal / energy(&noise.slice(block).to_owned())).sqrt();
        let found = block_ratios(&drawn, &drawn.noisy);
        assert!((found[1] - expected).abs() < 1e-12 * expected);
        let mean = (found[0] + found[1] + found[2]) / 3.0;
        assert!((mean_ratio(&drawn, &drawn.noisy) - mean).abs() < 1e-14);
    }

    #[test]
    fn signs_are_read_off_the_numbers() {
        let mut signs = BothSigns {
            ratios: [1.0, 2.0, 0.5, 1.0],
            rates: [5.0, 6.0, 4.0],
        };
        assert!(signs.opposite());
        signs.rates[1] = 4.5;
        assert!(!signs.raises_rate() && !signs.opposite());
        let found = BothSigns::of(&drawn(3, 0.3), 0.5).unwrap();
        assert!(found.raises_rate() && found.ratios[0] > 0.0);
    }
}
