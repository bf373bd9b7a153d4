//! `tests/fixtures/rates.json` comes from `make_rates.py` beside it.

use ndarray::{Array2, Array3};
use serde::Deserialize;
use whitebox::exact::{
    coding_rate, coding_rate_gradient, official_rate, rate_reduction, subspace_rate,
    subspace_rate_gradient, subspace_rates,
};

#[derive(Deserialize)]
struct Fixtures {
    rates: Vec<Case>,
    official: Official,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    epsilon: f64,
    tokens: Vec<Vec<f64>>,
    rate: f64,
    gradient: Option<Vec<Vec<f64>>>,
    bases: Option<Vec<Vec<Vec<f64>>>>,
    subspace_rate: Option<f64>,
    per_head: Option<Vec<f64>>,
    subspace_gradient: Option<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Official {
    projection: Vec<Vec<f64>>,
    heads: usize,
    rate: f64,
}

fn fixtures() -> Fixtures {
    serde_json::from_str(include_str!("../fixtures/rates.json")).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn bases(stacked: &[Vec<Vec<f64>>]) -> Array3<f64> {
    let (d, p) = (stacked[0].len(), stacked[0][0].len());
    Array3::from_shape_fn((stacked.len(), d, p), |(k, i, j)| stacked[k][i][j])
}

/// The promise of the rates, plus one unit of the smallest subnormal number.
fn promised(found: f64, exact: f64) -> bool {
    (found - exact).abs() <= 1e-12 * exact + 5e-324
}

#[test]
fn rates_are_within_1e12_of_1200_digit_arithmetic() {
    for case in fixtures().rates {
        let found = coding_rate(matrix(&case.tokens).view(), case.epsilon).unwrap();
        let error = (found.value - case.rate).abs() / case.rate.max(f64::MIN_POSITIVE);
        println!(
            "{:32} {:.3e} error {error:.1e} bound {:.1e} {:?}",
            case.name, case.rate, found.relative_error_bound, found.method
        );
        assert!(promised(found.value, case.rate), "{}", case.name);
        assert!(
            error <= found.relative_error_bound.max(f64::EPSILON) || case.rate < 1e-300,
            "{}: {error} above its bound {}",
            case.name,
            found.relative_error_bound
        );
    }
}

#[test]
fn subspace_rates_are_within_1e12_of_1200_digit_arithmetic() {
    let mut checked = 0;
    for case in fixtures().rates {
        let Some(stacked) = &case.bases else { continue };
        let tokens = matrix(&case.tokens);
        let bases = bases(stacked);
        let found = subspace_rate(tokens.view(), bases.view(), case.epsilon).unwrap();
        assert!(promised(found.total, case.subspace_rate.unwrap()));
        for (found, exact) in found.per_head.iter().zip(case.per_head.unwrap()) {
            assert!(promised(found.value, exact), "{}", case.name);
        }
        let both = rate_reduction(tokens.view(), bases.view(), case.epsilon).unwrap();
        assert_eq!(both.delta, both.rate.value - both.subspace.total);
        checked += 1;
    }
    assert!(checked >= 2);
}

/// The gradient's entries are compared with its largest one: single entries can cancel to nothing.
/// The second term is what rounding to 32 digits leaves: with `B` of size 1e12 and rank one, the
/// gradient is only 1e-12 of its possible size, and noise in the empty directions counts.
fn assert_gradient(case: &Case, found: &Array2<f64>, exact: &Array2<f64>) {
    let largest = |m: &Array2<f64>| m.iter().fold(0.0f64, |a, x| a.max(x.abs()));
    let tokens = matrix(&case.tokens);
    let (features, count) = tokens.dim();
    let multiplier = (features as f64 / count as f64).sqrt() / case.epsilon;
    let bound = 1e-12 * largest(exact) + 1e-29 * multiplier * multiplier * largest(&tokens);
    for (position, value) in exact.indexed_iter() {
        let error = (found[position] - value).abs();
        assert!(
            error <= bound,
            "{} at {position:?}: {} instead of {value}",
            case.name,
            found[position]
        );
    }
}

#[test]
fn gradients_are_within_1e12_of_1200_digit_arithmetic() {
    let mut checked = 0;
    for case in fixtures().rates {
        let Some(exact) = &case.gradient else {
            continue;
        };
        let tokens = matrix(&case.tokens);
        let found = coding_rate_gradient(tokens.view(), case.epsilon).unwrap();
        assert_gradient(&case, &found, &matrix(exact));
        if let (Some(stacked), Some(exact)) = (&case.bases, &case.subspace_gradient) {
            let bases = bases(stacked);
            let found = subspace_rate_gradient(tokens.view(), bases.view(), case.epsilon).unwrap();
            assert_gradient(&case, &found, &matrix(exact));
        }
        checked += 1;
    }
    assert!(checked >= 10);
}

#[test]
fn the_official_rate_is_within_1e12_of_1200_digit_arithmetic() {
    let official = fixtures().official;
    let found = official_rate(matrix(&official.projection).view(), official.heads).unwrap();
    assert!(promised(found.total, official.rate));
}

#[test]
fn a_batch_has_the_rates_of_its_samples_to_the_last_bit() {
    let batch = Array3::from_shape_fn((7, 12, 20), |(b, i, j)| {
        ((b * 240 + i * 20 + j) as f64 * 0.37).sin() * 10f64.powi(b as i32 - 3)
    });
    let bases = Array3::from_shape_fn((3, 12, 4), |(k, i, j)| {
        ((k * 48 + i * 4 + j) as f64 * 1.3).cos()
    });
    let together = subspace_rates(batch.view(), bases.view(), 0.2).unwrap();
    for (found, sample) in together.iter().zip(batch.outer_iter()) {
        assert_eq!(*found, subspace_rate(sample, bases.view(), 0.2).unwrap());
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let alone = pool.install(|| subspace_rates(batch.view(), bases.view(), 0.2).unwrap());
    assert_eq!(together, alone);
}
