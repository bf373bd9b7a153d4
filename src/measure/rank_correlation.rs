//! Kendall's rank correlation, over all pairs, with a third order taken out, and among networks that differ in one
//! setting alone.

use std::collections::BTreeMap;

use rand::Rng;

use super::statistics::{bootstrap, Summary};

/// Kendall's tau-b of pairs: how much more often than not the two of a pair order alike. Ties count for
/// neither; NaN if all values of one kind are equal.
pub fn kendall(pairs: &[(f64, f64)]) -> f64 {
    let (mut agree, mut first, mut second) = (0.0, 0.0, 0.0);
    let sign = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
    for (index, p) in pairs.iter().enumerate() {
        for q in &pairs[..index] {
            let (x, y) = (sign(p.0, q.0), sign(p.1, q.1));
            agree += x * y;
            first += x * x;
            second += y * y;
        }
    }
    agree / f64::sqrt(first * second)
}

/// Kendall's partial tau of two orders, given a third, from their three taus (Kendall 1942).
pub fn partial_kendall(both: f64, first_third: f64, second_third: f64) -> f64 {
    let rest = |tau: f64| 1.0 - tau * tau;
    (both - first_third * second_third) / (rest(first_third) * rest(second_third)).sqrt()
}

/// One network among many: two numbers whose orders are compared, and what it was made by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case<const S: usize> {
    /// The settings, each by the number of its value: what distinguishes a variant from the others.
    pub settings: [usize; S],
    /// The seed, which several variants share.
    pub seed: u64,
    /// The numbers.
    pub pair: (f64, f64),
}

/// [`kendall`] of all cases.
pub fn tau<const S: usize>(cases: &[Case<S>]) -> f64 {
    kendall(&cases.iter().map(|case| case.pair).collect::<Vec<_>>())
}

/// Granulated tau (Jiang et al. 2020): among cases of one seed that differ in one setting alone, averaged over the
/// others and then over the settings. A setting that moves both numbers, as the kind of network may, makes up the
/// plain one by itself, and here no more than its share. Groups in which a number does not vary say nothing.
pub fn granulated_tau<const S: usize>(cases: &[Case<S>]) -> f64 {
    let means: Vec<f64> = (0..S)
        .map(|setting| taus_along(setting, cases))
        .filter(|taus| !taus.is_empty())
        .map(|taus| Summary::of(&taus).mean)
        .collect();
    Summary::of(&means).mean
}

/// The taus among cases of one seed that differ in `setting` alone.
fn taus_along<const S: usize>(setting: usize, cases: &[Case<S>]) -> Vec<f64> {
    let rest = |case: &Case<S>| {
        let mut settings = case.settings;
        settings[setting] = 0;
        (case.seed, settings)
    };
    let mut keys: Vec<_> = cases.iter().map(rest).collect();
    keys.sort_unstable();
    keys.dedup();
    let group = |key| {
        let own = cases.iter().copied().filter(|case| rest(case) == key);
        tau(&own.collect::<Vec<_>>())
    };
    keys.into_iter()
        .map(group)
        .filter(|t| t.is_finite())
        .collect()
}

/// The limits of `statistic` by resampling whole variants, all cases of one together: those that differ in the seed
/// alone are no independent evidence. `tail` and `resamplings` as in [`bootstrap`].
pub fn bootstrap_over_variants<C: Copy, V: Ord>(
    cases: &[C],
    variant: impl Fn(&C) -> V,
    tail: f64,
    resamplings: usize,
    rng: &mut impl Rng,
    statistic: impl Fn(&[C]) -> f64,
) -> [f64; 2] {
    let mut variants = BTreeMap::<V, Vec<C>>::new();
    for case in cases {
        variants.entry(variant(case)).or_default().push(*case);
    }
    let variants: Vec<Vec<C>> = variants.into_values().collect();
    bootstrap(&variants, tail, resamplings, rng, |sample| {
        let sample: Vec<C> = sample.iter().flat_map(|v| v.iter().copied()).collect();
        statistic(&sample)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn kendall_counts_pairs_and_leaves_out_ties() {
        let line = [(1.0, 2.0), (2.0, 5.0), (3.0, 9.0)];
        assert_eq!(kendall(&line), 1.0);
        assert_eq!(kendall(&line.map(|(x, y)| (-x, y))), -1.0);
        // Five pairs agree and one does not.
        let four = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (4.0, 4.0)];
        assert!((kendall(&four) - 4.0 / 6.0).abs() < 1e-15);
        // Two of three pairs say something: tau-b = 2 / sqrt(2 * 3).
        let tied = [(1.0, 1.0), (1.0, 2.0), (2.0, 3.0)];
        assert!((kendall(&tied) - 2.0 / 6.0_f64.sqrt()).abs() < 1e-15);
        assert!(kendall(&[(1.0, 1.0), (1.0, 2.0)]).is_nan());
        // What the third order explains wholly is taken out wholly.
        assert!(partial_kendall(0.25, 0.5, 0.5).abs() < 1e-15);
        assert_eq!(partial_kendall(0.3, 0.0, 0.0), 0.3);
    }

    /// Two settings of two values. The first moves both numbers by 10 in the same direction, the second by 1 in
    /// opposite ones.
    fn simpson() -> Vec<Case<2>> {
        let case = |seed: u64, a: usize, b: usize| Case {
            settings: [a, b],
            seed,
            pair: (10.0 * a as f64 + b as f64, 10.0 * a as f64 - b as f64),
        };
        let seeds = 0..2;
        seeds
            .flat_map(|s| [case(s, 0, 0), case(s, 0, 1), case(s, 1, 0), case(s, 1, 1)])
            .collect()
    }

    #[test]
    fn a_setting_that_moves_both_numbers_does_not_make_up_the_granulated_tau() {
        let cases = simpson();
        // One seed: four pairs across the first setting agree, two within do not: 2 / 6; granulated (1 - 1) / 2.
        assert!((tau(&cases[..4]) - 2.0 / 6.0).abs() < 1e-15);
        assert_eq!(granulated_tau(&cases), 0.0);
        assert_eq!(taus_along(0, &cases), [1.0; 4]);
        assert_eq!(taus_along(1, &cases), [-1.0; 4]);
        // A setting with a single value says nothing, rather than 0.
        let half: Vec<_> = cases
            .iter()
            .filter(|c| c.settings[1] == 0)
            .copied()
            .collect();
        assert_eq!(granulated_tau(&half), 1.0);
        assert!(granulated_tau::<2>(&[]).is_nan());
    }

    #[test]
    fn variants_are_resampled_with_all_their_seeds() {
        let cases = simpson();
        let whole = |sample: &[Case<2>]| {
            let of = |seed| {
                sample
                    .iter()
                    .filter(move |c| c.seed == seed)
                    .map(|c| c.settings)
            };
            f64::from(u8::from(of(0).eq(of(1)) && sample.len() == cases.len()))
        };
        let mut rng = seed::stream(0, "test");
        let split = |sample: &[Case<2>]| {
            // Seeds follow each other within a variant.
            let by_seed = |seed| {
                let own = sample.iter().filter(|c| c.seed == seed);
                own.copied().collect::<Vec<_>>()
            };
            whole(&[by_seed(0), by_seed(1)].concat())
        };
        assert_eq!(
            bootstrap_over_variants(&cases, |c| c.settings, 0.0, 50, &mut rng, split),
            [1.0; 2]
        );
        let mut rng = seed::stream(0, "test");
        let [low, high] = bootstrap_over_variants(&cases, |c| c.settings, 0.05, 500, &mut rng, tau);
        let all = tau(&cases);
        assert!(low < all && all < high, "{low} {all} {high}");
    }
}
