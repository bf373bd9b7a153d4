//! What a step or an attention map is held against: the same without what a claim credits it with.

use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;
use rand::Rng;
use rand_distr::StandardNormal;

use crate::exact::mssa::doubly_stochastic;

/// A step in which every token goes as far as in `step`, in a random direction.
///
/// # Shapes
/// step (d, N), tokens as columns; gives (d, N).
pub fn random_step(step: ArrayView2<'_, f64>, rng: &mut impl Rng) -> Array2<f64> {
    let mut random = Array2::zeros(step.dim());
    for (mut own, like) in random.axis_iter_mut(Axis(1)).zip(step.axis_iter(Axis(1))) {
        own.mapv_inplace(|_: f64| rng.sample(StandardNormal));
        let length = own.dot(&own).sqrt();
        if length > 0.0 {
            own *= like.dot(&like).sqrt() / length;
        }
    }
    random
}

/// The steps of `step`, each taken by another token than the one it was made for.
///
/// # Shapes
/// step (d, N), tokens as columns; gives (d, N). A single token keeps its own.
pub fn exchanged(step: ArrayView2<'_, f64>, rng: &mut impl Rng) -> Array2<f64> {
    step.select(Axis(1), &cycle(step.ncols(), rng))
}

/// A random permutation of `0, .., count - 1`.
pub fn permutation(count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(rng);
    order
}

/// A random permutation that is one cycle, so that none stays in its place (Sattolo 1986).
fn cycle(count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.gen_range(0..last));
    }
    order
}

/// An attention map in which every token keeps what it pays to itself, and what it pays to the others is
/// dealt to them anew: to the `i`-th of them goes what went to number `order[i]`.
///
/// # Shapes
/// map (N, N), column `j` what token `j` reads; `order` a permutation of `0, .., N - 2`; gives (N, N).
///
/// # Panics
/// If `order` names others.
pub fn partners_shuffled(map: ArrayView2<'_, f64>, order: &[usize]) -> Array2<f64> {
    let other = |token: usize, index: usize| index + usize::from(index >= token);
    let mut shuffled = map.to_owned();
    for token in 0..map.ncols() {
        for (to, &from) in order.iter().enumerate() {
            shuffled[(other(token, to), token)] = map[(other(token, from), token)];
        }
    }
    shuffled
}

/// A doubly stochastic map that knows nothing of any token: entries uniform on 0.01 to 1, balanced.
///
/// # Shapes
/// Gives (count, count).
pub fn random_map(count: usize, rng: &mut impl Rng) -> Array2<f64> {
    let scores = Array2::from_shape_simple_fn((count, count), || rng.gen_range(0.01..1.0f64));
    doubly_stochastic(scores, 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use crate::seed;

    #[test]
    fn random_steps_are_as_long_and_as_many_and_go_elsewhere() {
        let step = gaussian(1, "step", 40, 6);
        let random = random_step(step.view(), &mut seed::stream(1, "random"));
        for (own, like) in random.axis_iter(Axis(1)).zip(step.axis_iter(Axis(1))) {
            assert!((own.dot(&own) / like.dot(&like) - 1.0).abs() < 1e-14);
            assert!(own.dot(&like).abs() < 0.6 * like.dot(&like));
        }
    }

    #[test]
    fn exchanged_steps_are_the_same_ones_and_none_is_in_its_place() {
        let step = gaussian(1, "step", 3, 7);
        for name in ["a", "b", "c"] {
            let found = exchanged(step.view(), &mut seed::stream(1, name));
            let pairs = found.axis_iter(Axis(1)).zip(step.axis_iter(Axis(1)));
            assert!(pairs.into_iter().all(|(found, own)| found != own));
            assert!((found.sum() - step.sum()).abs() < 1e-13);
        }
        let one = exchanged(step.slice(ndarray::s![.., ..1]), &mut seed::stream(1, "a"));
        assert_eq!(one, step.slice(ndarray::s![.., ..1]));
    }

    #[test]
    fn shuffled_partners_leave_every_token_its_own_share_and_the_same_shares_for_others() {
        let map = gaussian(2, "map", 5, 5);
        let order = permutation(4, &mut seed::stream(2, "order"));
        let found = partners_shuffled(map.view(), &order);
        assert_eq!(found.diag(), map.diag());
        assert_ne!(found, map);
        let sorted = |column: ndarray::ArrayView1<'_, f64>| {
            let mut column = column.to_vec();
            column.sort_by(f64::total_cmp);
            column
        };
        for (found, own) in found.axis_iter(Axis(1)).zip(map.axis_iter(Axis(1))) {
            assert_eq!(sorted(found), sorted(own));
        }
        let kept = partners_shuffled(map.view(), &[0, 1, 2, 3]);
        assert_eq!(kept, map);
    }
    #[test]
    fn a_random_map_is_doubly_stochastic() {
        let map = random_map(12, &mut seed::stream(3, "map"));
        for axis in [Axis(0), Axis(1)] {
            assert!(map.sum_axis(axis).iter().all(|s| (s - 1.0).abs() < 1e-12));
        }
        assert!(map.iter().all(|&v| v > 0.0));
    }
}
