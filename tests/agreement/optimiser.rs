//! The kernel of AdamW against dfdx's.

use dfdx::prelude::*;
use dfdx::tensor_ops::AdamConfig;
use whitebox::fused::optimiser::AdamW;

fn numbers(count: usize, f: f64) -> Vec<f32> {
    (0..count).map(|i| (i as f64 * f).sin() as f32).collect()
}

#[test]
fn adamw_is_the_rule_of_dfdx() {
    // A dozen operations per step, all of one sign pattern: 16 roundings a step bound the drift.
    const STEPS: i32 = 10;
    let tolerance = 16.0 * f64::from(STEPS) * f64::from(f32::EPSILON / 2.0);
    let n = 30_001;
    let device = Cpu::default();
    let mut values = numbers(n, 0.37);
    let mut theirs: Tensor<(usize,), f32, _> = device.tensor_from_vec(values.clone(), (n,));
    let [mut first, mut second] = [vec![0.0; n], vec![0.0; n]];
    let (mut m, mut v, mut g) = (Gradients::leaky(), Gradients::leaky(), Gradients::leaky());
    for t in 1..=STEPS {
        let gradient = numbers(n, 0.11 * f64::from(t));
        AdamW::at(t, 1e-2, 0.1, [0.9, 0.999], 1e-8).step(
            &mut values,
            &mut first,
            &mut second,
            &gradient,
        );
        **g.get_or_alloc_mut(&theirs).unwrap() = gradient;
        let config = AdamConfig {
            lr: 1e-2,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: Some(WeightDecay::Decoupled(0.1)),
        };
        let (m, v) = (m.get_or_alloc_mut(&theirs), v.get_or_alloc_mut(&theirs));
        let (m, v) = (m.unwrap(), v.unwrap());
        let g = g.get_or_alloc_mut(&theirs).unwrap();
        config.try_update(t, &mut theirs, m, v, g).unwrap();
    }
    for (ours, theirs) in values.iter().zip(theirs.as_vec()) {
        let difference = f64::from((ours - theirs).abs());
        // Every step moves a value by at most about the learning rate.
        assert!(
            difference <= tolerance * (f64::from(ours.abs()) + 0.1),
            "{ours} {theirs}"
        );
    }
}
