//! The generators themselves: what they promise of a value, and that a wrong formula is shown to be wrong by a case
//! that can be checked by hand.

use ndarray::{Array2, ArrayView2, Axis};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use whitebox::exact::subspace_rate_gradient;

use crate::linear::*;
use crate::strategies::*;
use crate::tolerance::{self, near};

proptest! {
    #[test]
    fn rotations_are_orthogonal_at_every_size(turned in rotations(), d in 1usize..25) {
        let q = turned.of(d);
        near("Q^T Q", &q.t().dot(&q), &Array2::eye(d), tolerance::sum(d, 1.0))?;
    }

    #[test]
    fn bases_are_complete_and_orthogonal(setting in settings()) {
        let d = setting.z.nrows();
        let mut whole = Array2::zeros((d, d));
        for basis in setting.bases.outer_iter() {
            whole += &basis.dot(&basis.t());
        }
        near("sum U U^T", &whole, &Array2::eye(d), tolerance::sum(d, 1.0))?;
    }

    #[test]
    fn without_noise_every_token_of_a_union_lies_in_its_subspace(union in unions(HEADS, WIDTHS, 1..5)) {
        let (z, bases) = (union.tokens(0.0), union.bases());
        for (k, basis) in bases.outer_iter().enumerate() {
            let own = z.slice(ndarray::s![.., union.members(k)]).to_owned();
            let inside = basis.dot(&basis.t().dot(&own));
            near("tokens", &inside, &own, tolerance::sum(z.nrows(), norm(own.view())))?;
        }
    }
}

/// What is left of the first failing case after it was made as simple as it can be.
fn simplest<S: Strategy>(cases: S, holds: impl Fn(&S::Value) -> bool) -> S::Value {
    // Two shrinkings a second would do; none takes more than a few thousand.
    let mut runner = TestRunner::new_with_rng(
        Config {
            failure_persistence: None,
            max_shrink_iters: 100_000,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let found = runner.run(&cases, |case| {
        prop_assert!(holds(&case));
        Ok(())
    });
    match found {
        Err(TestError::Fail(_, case)) => case,
        other => panic!("no case fails: {other:?}"),
    }
}

/// `c sum_k U_k W_k (I + c W_k^T W_k)^{-1}` with a sign, or part of one, planted wrong.
fn planted(setting: &Setting, outer: impl Fn(usize) -> f64, sign: f64) -> Array2<f64> {
    let (z, c, n) = (&setting.z, setting.c(), setting.z.ncols());
    let mut gradient = Array2::zeros(z.dim());
    for (k, basis) in setting.bases.outer_iter().enumerate() {
        let w = project(&setting.bases, k, z);
        // Not positive definite with the wrong sign, but its eigenvalues are as good.
        let resolvent = inverse(&(Array2::eye(n) + w.t().dot(&w) * (sign * c)));
        gradient.scaled_add(outer(k) * c, &basis.dot(&w.dot(&resolvent)));
    }
    gradient
}

fn is_small_and_whole(z: ArrayView2<'_, f64>) -> bool {
    z.nrows() <= 2 && z.ncols() <= 2 && z.iter().all(|&v| v == 0.0 || v == 1.0)
}

#[test]
fn a_planted_sign_error_in_the_gradient_shrinks_to_zeros_and_ones() {
    type Plant = fn(&Setting) -> Array2<f64>;
    let right: Plant = |setting| planted(setting, |_| 1.0, 1.0);
    let wrong: [(&str, Plant); 4] = [
        ("of the whole", |s| planted(s, |_| -1.0, 1.0)),
        ("inside the inverse", |s| planted(s, |_| 1.0, -1.0)),
        ("of the second head", |s| {
            planted(s, |k| if k == 1 { -1.0 } else { 1.0 }, 1.0)
        }),
        ("between tokens", |s| {
            let flipped = planted(s, |_| 1.0, 1.0);
            let n = flipped.ncols();
            match n {
                1 => flipped,
                _ => Array2::from_shape_fn(flipped.dim(), |(i, j)| flipped[(i, n - 1 - j)]),
            }
        }),
    ];
    let agrees = |setting: &Setting, formula: Plant| {
        let Setting { z, bases, epsilon } = setting;
        let exact = subspace_rate_gradient(z.view(), bases.view(), *epsilon).unwrap();
        norm((formula(setting) - &exact).view()) <= 1e-6 * norm(exact.view())
    };
    for (place, formula) in wrong {
        let case = simplest(ordinary_settings(), |setting| agrees(setting, formula));
        assert!(is_small_and_whole(case.z.view()), "{place}: {case:?}");
        for (k, basis) in case.bases.outer_iter().enumerate() {
            let identity = Array2::from_shape_fn(basis.dim(), |(i, j)| {
                f64::from(u8::from(i == k * basis.ncols() + j))
            });
            assert_eq!(basis, identity, "{place}: {case:?}");
        }
        assert_eq!(case.epsilon, 1.0, "{place}: {case:?}");
    }
    // The formula without a plant is right.
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let found = runner.run(&ordinary_settings(), |setting| {
        prop_assert!(agrees(&setting, right));
        Ok(())
    });
    assert!(found.is_ok(), "{found:?}");
}

#[test]
fn matrices_and_what_goes_with_them_shrink_to_the_least_that_fails() {
    let case = simplest(matrices(1..9, 3..12), |z| z.ncols() < 4);
    assert_eq!(case, Array2::<f64>::zeros((1, 4)));
    let case = simplest(matrices(1..9, 1..12), |z| z.iter().all(|&v| v < 0.5));
    assert_eq!(case, Array2::<f64>::ones((1, 1)));
    // Both parts of a case: an entry of the one and a plane of the other.
    let (turned, other) = simplest((rotations(), companions()), |(turned, other)| {
        turned.of(2)[(0, 1)] == 0.0 || other.of(1, 1)[(0, 0)] <= 0.0
    });
    assert_eq!(
        other.of(3, 3),
        Array2::from_shape_fn((3, 3), |p| f64::from(u8::from(p == (0, 0))))
    );
    let q = turned.of(24);
    let rest = q.slice(ndarray::s![2.., 2..]).to_owned();
    assert_eq!(rest, Array2::<f64>::eye(22));
    let bases = simplest(any_bases(), |bases| bases.heads() < 2);
    assert_eq!(bases.of(3), {
        let mut least = ndarray::Array3::zeros((2, 3, 1));
        least.index_axis_mut(Axis(1), 0).fill(1.0);
        least
    });
    let union = simplest(unions(2..5, 1..4, 1..6), |union| {
        union.tokens(1.0)[(0, 0)] == 0.0
    });
    assert_eq!((union.heads, union.p, union.each), (2, 1, 1));
}
