//! The CPU kernels against composed dfdx operations, over random sizes.

use proptest::prelude::*;
use whitebox::model::{Config, Execution, Pool};

use crate::support::{loss_and_gradients, network, wave, ARCHITECTURES};

fn configurations() -> impl Strategy<Value = Config> {
    (
        1usize..4,
        1usize..5,
        1usize..9,
        3usize..24,
        1usize..5,
        1usize..5,
        0.0f64..1.0,
        any::<bool>(),
        prop::sample::select(&ARCHITECTURES),
    )
        .prop_map(
            |(depth, heads, head_width, d, rows, columns, lambda, mean, architecture)| Config {
                architecture,
                image_size: [2 * rows, 3 * columns],
                patch_size: [2, 3],
                channels: 2,
                classes: 3,
                d,
                depth,
                heads,
                head_width,
                pool: if mean { Pool::Mean } else { Pool::Cls },
                step_size: 0.1,
                lambda,
            },
        )
}

/// Each is an f32 computation of `depth` layers whose sums have at most a few hundred terms and whose
/// LayerNorms can amplify by the inverse of a small deviation: 1e-3 of the tensor's largest entry is
/// far above their rounding and far below any wrong term. A LayerNorm passes hardly any derivative on
/// where few features are nearly equal (with two, none but for the epsilon under the root), and what
/// is left is rounding of the other tensors: hence at least three features, and a floor of a tenth of
/// the largest entry of all tensors. Every tensor on its own is held against f64 in
/// `tests/agreement/network.rs`. ReLU kinks are the one place where both may differ by a
/// whole entry, so a difference in under 1 % of the entries is let pass.
fn agree(found: &[f32], exact: &[f32], overall: f32) -> bool {
    let size = largest(exact).max(0.1 * overall);
    let pairs = found.iter().zip(exact);
    let wrong = pairs.filter(|(a, b)| (*a - *b).abs() > 1e-3 * size).count();
    wrong * 100 <= exact.len()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(1e-6, |a, x| a.max(x.abs()))
}

proptest! {
    // Each case runs two networks forward and backward: a quarter of the usual number.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn kernels_and_operations_agree_at_every_size(
        config in configurations(),
        seed in 0u64..1000,
        batch in 1usize..4,
    ) {
        let size = config.channels * config.image_size[0] * config.image_size[1];
        let images: Vec<f32> = wave(batch * size, 0.3 + seed as f64 * 1e-3)
            .into_iter()
            .map(|v| v as f32)
            .collect();
        let fused = network::<f32>(config, seed);
        let composed = network::<f32>(config, seed).with_execution(Execution::Composed);
        let (a, b) = (fused.forward(&images).unwrap(), composed.forward(&images).unwrap());
        prop_assert!(agree(&a, &b, 0.0), "{a:?} {b:?}");
        let (_, a) = loss_and_gradients(&fused, &images);
        let (_, b) = loss_and_gradients(&composed, &images);
        let overall = b.iter().map(|g| largest(g)).fold(0.0, f32::max);
        for ((a, b), found) in a.iter().zip(&b).zip(fused.parameters()) {
            prop_assert!(agree(a, b, overall), "{}: {a:?} {b:?}", found.parameter.name);
        }
    }
}
