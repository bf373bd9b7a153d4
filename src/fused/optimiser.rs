//! One step of an optimiser over the numbers of a parameter, element by element, with decoupled
//! weight decay: `θ <- (1 - α w) θ - α u`.
//!
//! | | update `u` | state |
//! |---|---|---|
//! | AdamW | `(m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)` | `m <- β1 m + (1 - β1) g`, `v <- β2 v + (1 - β2) g^2`, first |
//! | Lion | `sign(β1 m + (1 - β1) g)`, `sign(0) = 0` | `m <- β2 m + (1 - β2) g`, after |
//!
//! AdamW as PyTorch orders its operations (Loshchilov and Hutter 2019, algorithm 2); Lion after Chen
//! et al. 2023, algorithm 2.

use rayon::prelude::*;

use crate::vectorised::vectorised;

/// Numbers per task.
const TASK: usize = 1 << 13;

/// The constants of one step of AdamW.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// `1 - α w`.
    decay: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `sqrt(1 - β2^t)`.
    root: f32,
    /// `α / (1 - β1^t)`.
    rate: f32,
    epsilon: f32,
}

impl AdamW {
    /// The constants of step number `t`, from 1: learning rate `α`, weight decay `w`, `[β1, β2]` and `ε`.
    pub fn at(
        t: i32,
        learning_rate: f64,
        weight_decay: f64,
        [beta1, beta2]: [f64; 2],
        epsilon: f64,
    ) -> Self {
        Self {
            decay: (1.0 - learning_rate * weight_decay) as f32,
            beta1: beta1 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            root: (1.0 - beta2.powi(t)).sqrt() as f32,
            rate: (learning_rate / (1.0 - beta1.powi(t))) as f32,
            epsilon: epsilon as f32,
        }
    }

    /// Steps `values` along `gradient` and updates the moments, shared out over the rayon pool.
    ///
    /// # Shapes
    /// All of one length; of longer ones the rest is left as it is.
    pub fn step(
        &self,
        values: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradient: &[f32],
    ) {
        let moments = first.par_chunks_mut(TASK).zip(second.par_chunks_mut(TASK));
        values
            .par_chunks_mut(TASK)
            .zip(moments.zip(gradient.par_chunks(TASK)))
            .for_each(|(values, ((first, second), gradient))| {
                adamw(values, first, second, gradient, *self);
            });
    }
}

/// The constants of one step of Lion.
#[derive(Debug, Clone, Copy)]
pub struct Lion {
    decay: f32,
    rate: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
}

impl Lion {
    /// The constants of any step: learning rate `α`, weight decay `w` and `[β1, β2]`.
    pub fn at(learning_rate: f64, weight_decay: f64, [beta1, beta2]: [f64; 2]) -> Self {
        Self {
            decay: (1.0 - learning_rate * weight_decay) as f32,
            rate: learning_rate as f32,
            beta1: beta1 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
        }
    }

    /// Steps `values` along `gradient` and updates the moments, shared out over the rayon pool.
    ///
    /// # Shapes
    /// All of one length; of longer ones the rest is left as it is.
    pub fn step(&self, values: &mut [f32], moment: &mut [f32], gradient: &[f32]) {
        values
            .par_chunks_mut(TASK)
            .zip(moment.par_chunks_mut(TASK).zip(gradient.par_chunks(TASK)))
            .for_each(|(values, (moment, gradient))| lion(values, moment, gradient, *self));
    }
}

vectorised! {
    /// [`AdamW::step`] on one thread: `first` is `m`, `second` is `v`, all of one length.
    pub fn adamw(
        values: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradient: &[f32],
        c: AdamW
    ) {
        let moments = first.iter_mut().zip(second.iter_mut());
        for ((value, (m, v)), g) in values.iter_mut().zip(moments).zip(gradient) {
            *m = c.beta1 * *m + c.one_minus_beta1 * g;
            *v = c.beta2 * *v + c.one_minus_beta2 * g * g;
            *value = *value * c.decay - c.rate * *m / (v.sqrt() / c.root + c.epsilon);
        }
    }
}

vectorised! {
    /// [`Lion::step`] on one thread: `moment` is `m`, all of one length.
    pub fn lion(values: &mut [f32], moment: &mut [f32], gradient: &[f32], c: Lion) {
        for ((value, m), g) in values.iter_mut().zip(moment.iter_mut()).zip(gradient) {
            let update = c.beta1 * *m + c.one_minus_beta1 * g;
            let sign = if update > 0.0 {
                1.0
            } else if update < 0.0 {
                -1.0
            } else {
                // Zero stays zero, and what is not a number stays none.
                update
            };
            *value = *value * c.decay - c.rate * sign;
            *m = c.beta2 * *m + c.one_minus_beta2 * g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, f: f64) -> Vec<f32> {
        (0..count).map(|i| (i as f64 * f).sin() as f32).collect()
    }

    /// A dozen operations per step, all of one sign pattern: 16 roundings a step bound the drift.
    const STEPS: i32 = 10;
    const TOLERANCE: f64 = 16.0 * STEPS as f64 * (f32::EPSILON / 2.0) as f64;

    #[test]
    fn adamw_follows_its_formula_in_f64() {
        let n = 3 * TASK + 5;
        let mut values = numbers(n, 0.37);
        let [mut first, mut second] = [vec![0.0; n], vec![0.0; n]];
        let mut exact: Vec<[f64; 3]> = values.iter().map(|&v| [f64::from(v), 0.0, 0.0]).collect();
        for t in 1..=STEPS {
            let gradient = numbers(n, 0.11 * f64::from(t));
            AdamW::at(t, 1e-2, 0.1, [0.9, 0.999], 1e-8).step(
                &mut values,
                &mut first,
                &mut second,
                &gradient,
            );
            for ([value, m, v], g) in exact.iter_mut().zip(&gradient) {
                let g = f64::from(*g);
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let m = *m / (1.0 - 0.9_f64.powi(t));
                let v = *v / (1.0 - 0.999_f64.powi(t));
                *value = *value * (1.0 - 1e-2 * 0.1) - 1e-2 * m / (v.sqrt() + 1e-8);
            }
        }
        let far = values.iter().zip(&exact).filter(|(ours, [exact, ..])| {
            // Every step moves a value by at most about the learning rate.
            (f64::from(**ours) - exact).abs() > TOLERANCE * (exact.abs() + 0.1)
        });
        assert_eq!(far.count(), 0);
    }

    #[test]
    fn lion_follows_its_formula_in_f64() {
        let n = 1000;
        let mut values = numbers(n, 0.37);
        let mut moment = vec![0.0; n];
        let mut exact: Vec<[f64; 2]> = values.iter().map(|&v| [f64::from(v), 0.0]).collect();
        for t in 1..=STEPS {
            let gradient = numbers(n, 0.11 * f64::from(t));
            Lion::at(1e-2, 0.1, [0.9, 0.99]).step(&mut values, &mut moment, &gradient);
            for ([value, m], g) in exact.iter_mut().zip(&gradient) {
                let g = f64::from(*g);
                let update: f64 = 0.9 * *m + 0.1 * g;
                let sign = if update == 0.0 { 0.0 } else { update.signum() };
                *value = *value * (1.0 - 1e-2 * 0.1) - 1e-2 * sign;
                *m = 0.99 * *m + 0.01 * g;
            }
        }
        let far = values.iter().zip(&exact).filter(|(ours, [exact, _])| {
            (f64::from(**ours) - exact).abs() > TOLERANCE * (exact.abs() + 0.1)
        });
        assert_eq!(far.count(), 0);
    }

    #[test]
    fn a_step_along_nan_gives_nan() {
        let (mut values, mut moment) = (vec![1.0], vec![0.0]);
        Lion::at(0.1, 0.0, [0.9, 0.99]).step(&mut values, &mut moment, &[f32::NAN]);
        assert!(values[0].is_nan());
    }
}
