//! C-MAE-08 and the papers' form of attention, term by term.

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::layer::{crate_layer, decoder_layer, layer_norm, LayerParameters};
use whitebox::exact::mssa::mssa_paper;

use crate::strategies::*;

fn parameters(seed: u64, heads: usize, p: usize, d: usize) -> LayerParameters {
    let vector = |name: &str| gaussian(seed, name, d, 1).remove_axis(Axis(1));
    let bases = coherent_bases(seed, heads, d, p);
    LayerParameters {
        norm1: (vector("gain 1") + 1.0, vector("bias 1")),
        bases: bases.outer_iter().map(|b| b.to_owned()).collect(),
        output: Some((
            gaussian(seed, "output", d, heads * p),
            vector("output bias"),
        )),
        norm2: (vector("gain 2") + 1.0, vector("bias 2")),
        dictionary: gaussian(seed, "dictionary", d, d) / (d as f64).sqrt(),
        step_size: 0.1,
        lambda: 0.1,
    }
}

proptest! {
    /// Turning the sign of the decoder's attention is turning the sign of its output projection: the
    /// two families of functions are one.
    #[test]
    fn c_mae_08_the_sign_of_the_decoder_is_a_reparameterisation(seed in any::<u64>(), heads in HEADS, p in WIDTHS, d in 2usize..12, n in 1usize..10) {
        let z = gaussian(seed, "z", d, n);
        let layer = parameters(seed, heads, p, d);
        let mut negated = layer.clone();
        if let Some((weight, bias)) = &mut negated.output {
            weight.mapv_inplace(|w| -w);
            bias.mapv_inplace(|b| -b);
        }
        let (read, minus) = decoder_layer(z.view(), &layer);
        let (same, plus) = decoder_layer(z.view(), &negated);
        prop_assert_eq!(&read, &same);
        // Y - A and Y + A, to the rounding of one sum each.
        let middle = (&minus + &plus) * 0.5;
        prop_assert!(norm((middle - &read).view()) <= 4.0 * f64::EPSILON * (norm(minus.view()) + norm(plus.view())));
        prop_assert!(norm((&minus - &plus).view()) > 0.0);
    }

    /// A single token attends to itself alone, whatever the scores: the decoder then *takes away*
    /// `O U^T LN2(D LN1(z)) + o`, written out here without the attention operator.
    #[test]
    fn c_mae_08_the_decoder_takes_away_what_attention_reads(seed in any::<u64>(), heads in HEADS, p in WIDTHS, d in 2usize..12) {
        let z = gaussian(seed, "z", d, 1);
        let layer = parameters(seed, heads, p, d);
        let (read, next) = decoder_layer(z.view(), &layer);
        let standardised = |v: &Array2<f64>, (gain, bias): &(Array1<f64>, Array1<f64>)| {
            let mean = v.sum() / d as f64;
            let variance = v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
            Array1::from_iter(v.iter().zip(gain).zip(bias).map(|((v, g), b)| g * (v - mean) / (variance + 1e-5).sqrt() + b))
        };
        let token = standardised(&read, &layer.norm2);
        prop_assert!(layer.output.is_some(), "several heads project their output");
        if let Some((weight, bias)) = &layer.output {
            let mut taken = bias.clone();
            for (k, basis) in layer.bases.iter().enumerate() {
                for a in 0..p {
                    taken.scaled_add(basis.column(a).dot(&token), &weight.column(k * p + a));
                }
            }
            let expected = &read.column(0) - &taken;
            let size = norm(read.view()) + norm(weight.view()) * heads as f64 * norm(token.view().insert_axis(Axis(1))) * d as f64;
            prop_assert!(norm((&next.column(0) - &expected).insert_axis(Axis(1)).view()) <= 1e-14 * (d + heads * p) as f64 * size);
            prop_assert!(norm(taken.view().insert_axis(Axis(1))) > 1e-9 * size, "there is something to take away");
        }
    }

    /// The decoder's first half is linear in the normalised tokens; with a rotation for `D` it keeps
    /// their length, and its transpose brings them back.
    #[test]
    fn c_thy_21_a_rotation_is_undone_by_the_decoder(seed in any::<u64>(), d in 2usize..12, n in 1usize..10) {
        let z = gaussian(seed, "z", d, n);
        let mut layer = parameters(seed, 1, d, d);
        layer.dictionary = orthonormal(seed, "rotation", d, d);
        let (read, _) = decoder_layer(z.view(), &layer);
        let (gain, bias) = &layer.norm1;
        let normalised = layer_norm(z.view(), gain.view(), bias.view());
        let back = layer.dictionary.t().dot(&read);
        prop_assert!(norm((back - &normalised).view()) <= 1e-13 * d as f64 * norm(normalised.view()));
        // The encoder's block with step 1 and no threshold reads the same codes, clamped.
        layer.step_size = 1.0;
        layer.lambda = 0.0;
        let (middle, code) = crate_layer(z.view(), &layer);
        let (gain, bias) = &layer.norm2;
        let target = layer_norm(middle.view(), gain.view(), bias.view());
        let exact = layer.dictionary.t().dot(&target).mapv(|v| v.max(0.0));
        prop_assert!(norm((code - &exact).view()) <= 1e-12 * d as f64 * (1.0 + norm(target.view())));
    }

    /// `MSSA(Z)_j = c sum_k U_k sum_i A_ij W_i`, `A_ij = exp(W_i . W_j) / sum_l exp(W_l . W_j)`, written
    /// out token by token.
    #[test]
    fn attention_in_the_papers_form_term_by_term(setting in ordinary_settings(), scale in 0.1f64..1.0) {
        let Setting { z, bases, epsilon, .. } = &setting;
        let (d, n) = z.dim();
        let found = mssa_paper(z.view(), bases.view(), *epsilon, scale);
        let c = setting.c();
        for j in 0..n {
            let mut expected = Array1::<f64>::zeros(d);
            let mut size = 0.0;
            for k in 0..setting.heads() {
                let w = project(bases, k, z);
                let score = |i: usize| scale * w.column(i).dot(&w.column(j));
                let largest = (0..n).map(score).fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = (0..n).map(|l| (score(l) - largest).exp()).sum();
                let mut read = Array1::<f64>::zeros(setting.p());
                for i in 0..n {
                    read.scaled_add((score(i) - largest).exp() / total, &w.column(i));
                }
                size += norm(w.view()) * (1.0 + largest.abs());
                expected += &(bases.index_axis(Axis(0), k).dot(&read) * c);
            }
            let difference: Array2<f64> = (&found.column(j) - &expected).insert_axis(Axis(1));
            prop_assert!(norm(difference.view()) <= 1e-14 * c * size * (n + d) as f64);
        }
    }
}
