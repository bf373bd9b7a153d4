//! The output of MSSA tied to the bases, `O = s U`, `U = [U_1, ..., U_K]`: what the derivation has in place of the official
//! code's free projection. The kernels read `O` as they read any projection, and what they find for it is handed on to
//! `s` and `U`.

/// The scale that a tied output starts with, `s = d / sqrt(n (n + d))` for `n = K p`: there the block adds tokens of about
/// the length that the official initialisation gives them. It is `1 / sqrt(2)` for the usual `n = d`.
///
/// All entries start with the variance of `nn.Linear`: `1 / (3 d)` in `U`, and `1 / (3 n)` in a free `O`, which is independent
/// of what it maps: `E|O h|^2 = d / (3 n) |h|^2`. The heads read with `U`, `h = U^T x`, and for a Wishart matrix `U U^T`
/// `E|U U^T x|^2 = n (n + d + 1) / (3 d)^2 |x|^2`, `E|h|^2 = n / (3 d) |x|^2`: `E|U h|^2` is about `(n + d) / (3 d) |h|^2`.
pub(super) fn initial_scale(inner: usize, d: usize) -> f64 {
    let (n, d) = (inner as f64, d as f64);
    d / (n * (n + d)).sqrt()
}

/// What the derivative by `O = s U` comes to by `U^T` and by `s`: `s dO^T` and `<dO, U>`, summed in f64.
///
/// # Shapes
/// derivative (d, n), bases `U^T` (n, d) as is the first result.
pub(super) fn adjoint(derivative: &[f32], bases: &[f32], scale: f32, d: usize) -> (Vec<f32>, f32) {
    let inner = bases.len() / d;
    let mut by_bases = vec![0.0; bases.len()];
    let mut by_scale = 0.0;
    for (row, derivative) in derivative.chunks_exact(inner).enumerate() {
        for (column, &value) in derivative.iter().enumerate() {
            let at = column * d + row;
            by_bases[at] = scale * value;
            by_scale += f64::from(value) * f64::from(bases[at]);
        }
    }
    (by_bases, by_scale as f32)
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::Cpu;

    use super::*;
    use crate::model::probe::{Recorder, Site};
    use crate::model::{Architecture, Classifier, Config};

    #[test]
    fn the_derivative_by_a_tied_output_is_shared_out_to_bases_and_scale() {
        // d = 2, n = 3: every number is exact in f32.
        let derivative = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let bases = [0.5, 1.0, -1.0, 2.0, 0.25, -0.5];
        let (by_bases, by_scale) = adjoint(&derivative, &bases, -2.0, 2);
        assert_eq!(by_bases, [-2.0, -8.0, -4.0, -10.0, -6.0, -12.0]);
        assert_eq!(by_scale, 0.5 - 2.0 + 0.75 + 4.0 + 10.0 - 3.0);
    }

    /// The scale is that of an expectation over the draw of the bases; a layer of 64 features is within a fifth of it.
    #[test]
    fn a_tied_block_starts_by_adding_what_the_official_one_adds() {
        let config = Config::preset("demo").unwrap();
        let input: Vec<f32> = (0..28 * 28 * 2).map(|i| (0.37 * i as f32).sin()).collect();
        for heads in [4, 2] {
            let added = |architecture: Architecture| {
                let config = Config {
                    depth: 4,
                    heads,
                    head_width: 16,
                    d: 64,
                    architecture,
                    ..config
                };
                let network = Classifier::<f32, Cpu>::new(config, 1, &Cpu::default()).unwrap();
                let mut recorder = Recorder::new([Site::LayerInput, Site::AFTER_MSSA]);
                network.forward_probed(&input, &mut recorder).unwrap();
                let at = |site, layer| recorder.get(site, layer).unwrap().1.to_vec();
                let square = |layer| -> f64 {
                    let (before, after) =
                        (at(Site::LayerInput, layer), at(Site::AFTER_MSSA, layer));
                    let added = before.iter().zip(&after).map(|(b, a)| f64::from(a - b));
                    added.map(|a| a * a).sum()
                };
                (0..4).map(square).sum::<f64>().sqrt()
            };
            let ratio = added(Architecture::CrateTied) / added(Architecture::Crate);
            assert!((0.8..1.25).contains(&ratio), "{heads} heads: {ratio}");
        }
    }
}
