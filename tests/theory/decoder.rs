//! C-MAE-08 and the papers' form of attention, term by term.

use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use whitebox::exact::layer::{crate_layer, decoder_layer, layer_norm, LayerParameters};
use whitebox::exact::mssa::mssa_paper;

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, near};

/// Parameters of a layer of any width.
#[derive(Debug, Clone)]
struct AnyLayer {
    bases: AnyBases,
    output: Companion,
    dictionary: Companion,
    /// Gains and biases, one a column.
    vectors: Companion,
}

impl AnyLayer {
    fn of(&self, d: usize) -> LayerParameters {
        let vectors = self.vectors.of(d, 5);
        let vector = |at: usize| vectors.column(at).to_owned();
        let bases = self.bases.of(d);
        LayerParameters {
            norm1: (vector(0) + 1.0, vector(1)),
            bases: bases.outer_iter().map(|b| b.to_owned()).collect(),
            output: Some((
                self.output.of(d, self.bases.heads() * self.bases.p()),
                vector(2),
            )),
            norm2: (vector(3) + 1.0, vector(4)),
            dictionary: self.dictionary.of(d, d) / (d as f64).sqrt(),
            step_size: 0.1,
            lambda: 0.1,
        }
    }
}

fn any_layers() -> impl Strategy<Value = AnyLayer> {
    (any_bases(), companions(), companions(), companions()).prop_map(
        |(bases, output, dictionary, vectors)| AnyLayer {
            bases,
            output,
            dictionary,
            vectors,
        },
    )
}

fn column(vector: &Array1<f64>) -> Array2<f64> {
    vector.clone().insert_axis(Axis(1))
}

proptest! {
    /// Turning the sign of the decoder's attention is turning the sign of its output projection: the
    /// two families of functions are one.
    #[test]
    fn c_mae_08_the_sign_of_the_decoder_is_a_reparameterisation(z in matrices(2..12, 1..10), layer in any_layers()) {
        let layer = layer.of(z.nrows());
        let mut negated = layer.clone();
        if let Some((weight, bias)) = &mut negated.output {
            weight.mapv_inplace(|w| -w);
            bias.mapv_inplace(|b| -b);
        }
        let (read, minus) = decoder_layer(z.view(), &layer);
        let (same, plus) = decoder_layer(z.view(), &negated);
        prop_assert_eq!(&read, &same);
        // Y - A and Y + A, to the rounding of one sum each.
        let bound = tolerance::sum(1, norm(minus.view()) + norm(plus.view()));
        near("middle", &((&minus + &plus) * 0.5), &read, bound)?;
        prop_assert!(norm((&minus - &plus).view()) > 0.0, "attention adds nothing");
    }

    /// A single token attends to itself alone, whatever the scores: the decoder then *takes away*
    /// `O U^T LN2(D LN1(z)) + o`, written out here without the attention operator.
    #[test]
    fn c_mae_08_the_decoder_takes_away_what_attention_reads(z in matrices(2..12, 1..2), layer in any_layers()) {
        let d = z.nrows();
        let layer = layer.of(d);
        let (read, next) = decoder_layer(z.view(), &layer);
        let standardised = |v: &Array2<f64>, (gain, bias): &(Array1<f64>, Array1<f64>)| {
            let mean = v.sum() / d as f64;
            let variance = v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
            Array1::from_iter(v.iter().zip(gain).zip(bias).map(|((v, g), b)| g * (v - mean) / (variance + 1e-5).sqrt() + b))
        };
        let token = standardised(&read, &layer.norm2);
        let (weight, bias) = layer.output.as_ref().unwrap();
        let mut taken = bias.clone();
        for (basis, weights) in layer.bases.iter().zip(weight.axis_chunks_iter(Axis(1), layer.bases[0].ncols())) {
            taken += &weights.dot(&basis.t().dot(&token));
        }
        let inner = weight.ncols();
        let size = norm(read.view()) + norm(weight.view()) * norm(column(&token).view()) * (layer.bases.len() * d) as f64;
        let expected = &read - &column(&taken);
        near("next", &next, &expected, tolerance::sum(d + inner, size))?;
        prop_assert!(norm(column(&taken).view()) > tolerance::sum(d + inner, size), "there is nothing to take away");
    }

    /// The decoder's first half is linear in the normalised tokens; with a rotation for `D` it keeps
    /// their length, and its transpose brings them back.
    #[test]
    fn c_thy_21_a_rotation_is_undone_by_the_decoder(z in matrices(2..12, 1..10), layer in any_layers(), turned in rotations()) {
        let d = z.nrows();
        let mut layer = layer.of(d);
        layer.dictionary = turned.of(d);
        let (read, _) = decoder_layer(z.view(), &layer);
        let (gain, bias) = &layer.norm1;
        let normalised = layer_norm(z.view(), gain.view(), bias.view());
        let bound = tolerance::sum(10 * d, norm(normalised.view()));
        near("back", &layer.dictionary.t().dot(&read), &normalised, bound)?;
        // The encoder's block with step 1 and no threshold reads the same codes, clamped.
        layer.step_size = 1.0;
        layer.lambda = 0.0;
        let (middle, code) = crate_layer(z.view(), &layer);
        let (gain, bias) = &layer.norm2;
        let target = layer_norm(middle.view(), gain.view(), bias.view());
        let exact = layer.dictionary.t().dot(&target).mapv(|v| v.max(0.0));
        near("code", &code, &exact, tolerance::sum(10 * d, 1.0 + norm(target.view())))?;
    }

    /// `MSSA(Z)_j = c sum_k U_k sum_i A_ij W_i`, `A_ij = exp(W_i . W_j) / sum_l exp(W_l . W_j)`, written
    /// out token by token.
    #[test]
    fn attention_in_the_papers_form_term_by_term(setting in ordinary_settings(), scale in 0.1f64..1.0) {
        let Setting { z, bases, epsilon } = &setting;
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
            let own = column(&found.column(j).to_owned());
            near(&format!("token {j}"), &own, &column(&expected), tolerance::sum(n + d, c * size))?;
        }
    }
}
