//! Clusters that shorten a lossy code (Ma, Derksen, Hong and Wright 2007; book, section 3.3): the pair whose
//! union saves the most is merged, until no union saves anything. How many clusters remain is not given.

use ndarray::{Array2, Axis};
use ndarray_linalg::DeterminantH;

use crate::error::{Error, Result};

/// Coding length in nats of a cluster of `count` of `total` points with the sum `moment = sum x x^T`: the points
/// to within eps, their frame, and whose they are,
///
/// `(n + d) / 2 logdet(I + d / (n eps^2) moment) + n ln(total / n)`.
///
/// # Shapes
/// moment (d, d), for a small d: its own accuracy, not that of [`crate::exact::log_determinant`].
///
/// # Errors
/// [`Error::Lapack`] if the numbers are not finite or the moment is not square.
pub fn coding_length(
    moment: &Array2<f64>,
    count: usize,
    total: usize,
    epsilon: f64,
) -> Result<f64> {
    let (d, n) = (moment.nrows() as f64, count as f64);
    let matrix = Array2::<f64>::eye(moment.nrows()) + moment * (d / (n * epsilon * epsilon));
    let (_, log_determinant) = matrix.sln_deth().map_err(|e| Error::Lapack {
        operation: "determinant",
        shape: format!("{0} x {0}", moment.nrows()),
        message: e.to_string(),
    })?;
    Ok((n + d) * 0.5 * log_determinant + n * (total as f64 / n).ln())
}

/// A cluster: the sum of its points' second moments, who they are, and its length.
#[derive(Debug, Clone)]
struct Cluster {
    moment: Array2<f64>,
    members: Vec<usize>,
    length: f64,
}

/// Clusters by the number of their first point. Each knows the partner with a larger number that saves the
/// most; the other pairs are not kept.
struct Merging {
    total: usize,
    epsilon: f64,
    clusters: Vec<Option<Cluster>>,
    /// What a union saves, and with whom.
    best: Vec<Option<(f64, usize)>>,
}

impl Merging {
    fn new(points: &Array2<f64>, epsilon: f64) -> Result<Self> {
        let total = points.ncols();
        let clusters = points.axis_iter(Axis(1)).enumerate().map(|(j, point)| {
            let column = point.to_owned().insert_axis(Axis(1));
            let moment = column.dot(&column.t());
            Ok(Some(Cluster {
                length: coding_length(&moment, 1, total, epsilon)?,
                members: vec![j],
                moment,
            }))
        });
        let mut merging = Self {
            total,
            epsilon,
            clusters: clusters.collect::<Result<_>>()?,
            best: Vec::new(),
        };
        merging.best = (0..total)
            .map(|i| merging.search(i))
            .collect::<Result<_>>()?;
        Ok(merging)
    }

    fn saving(&self, a: &Cluster, b: &Cluster) -> Result<f64> {
        let (moment, count) = (&a.moment + &b.moment, a.members.len() + b.members.len());
        Ok(a.length + b.length - coding_length(&moment, count, self.total, self.epsilon)?)
    }

    /// The best partner of cluster `i` among those with larger numbers; the first of equals.
    fn search(&self, i: usize) -> Result<Option<(f64, usize)>> {
        let Some(own) = &self.clusters[i] else {
            return Ok(None);
        };
        let mut found: Option<(f64, usize)> = None;
        for (j, other) in self.clusters.iter().enumerate().skip(i + 1) {
            let Some(other) = other else { continue };
            let saving = self.saving(own, other)?;
            if found.is_none_or(|(best, _)| saving > best) {
                found = Some((saving, j));
            }
        }
        Ok(found)
    }

    /// The pair that saves the most, if any saves something.
    fn pair(&self) -> Option<(usize, usize)> {
        let pairs = self.best.iter().enumerate();
        let pairs = pairs.filter_map(|(i, best)| best.map(|(saving, j)| (saving, i, j)));
        let top = pairs.max_by(|a, b| a.0.total_cmp(&b.0));
        top.filter(|t| t.0 > 0.0).map(|(_, i, j)| (i, j))
    }

    /// Puts `j` into `i < j`, and finds the partners anew of those that had one of the two.
    fn join(&mut self, i: usize, j: usize) -> Result<()> {
        let (Some(mut first), Some(second)) = (self.clusters[i].take(), self.clusters[j].take())
        else {
            return Ok(());
        };
        first.moment += &second.moment;
        first.members.extend(second.members);
        first.length = coding_length(&first.moment, first.members.len(), self.total, self.epsilon)?;
        self.clusters[i] = Some(first);
        self.best[j] = None;
        for a in 0..self.total {
            let Some(own) = &self.clusters[a] else {
                continue;
            };
            let partner = self.best[a].map(|(_, partner)| partner);
            if a == i || partner == Some(i) || partner == Some(j) {
                self.best[a] = self.search(a)?;
            } else if a < i {
                // The others are as they were: only the new one may be better than the best of them.
                if let Some(new) = &self.clusters[i] {
                    let saving = self.saving(own, new)?;
                    if self.best[a].is_none_or(|(best, _)| saving > best) {
                        self.best[a] = Some((saving, i));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The clusters at which no union shortens the code, as numbers of points; by their first. `epsilon` is the precision
/// of the code, in the units of the points.
///
/// # Shapes
/// points (d, N).
///
/// # Errors
/// [`Error::Lapack`] if the numbers are not finite.
pub fn merge(points: &Array2<f64>, epsilon: f64) -> Result<Vec<Vec<usize>>> {
    let mut merging = Merging::new(points, epsilon)?;
    while let Some((i, j)) = merging.pair() {
        merging.join(i, j)?;
    }
    let left = merging.clusters.into_iter().flatten();
    Ok(left.map(|cluster| cluster.members).collect())
}

/// The share of points whose cluster has most of its points from their own class: 1 for pure clusters. `classes` has
/// the class of every point.
///
/// # Panics
/// If a cluster has a point without a class.
pub fn purity(clusters: &[Vec<usize>], classes: &[usize]) -> f64 {
    let most = |members: &Vec<usize>| {
        let mut counts = std::collections::BTreeMap::new();
        for &member in members {
            *counts.entry(classes[member]).or_insert(0) += 1;
        }
        counts.into_values().max().unwrap_or(0)
    };
    clusters.iter().map(most).sum::<usize>() as f64 / classes.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::subspaces::gaussian;
    use ndarray::{array, concatenate};

    #[test]
    fn a_length_is_what_the_formula_gives_by_hand() {
        // Two of four points in the plane, along the axes: moment diag(3, 8), d / (n eps^2) = 1.
        let moment = array![[3.0, 0.0], [0.0, 8.0]];
        let found = coding_length(&moment, 2, 4, 1.0).unwrap();
        let exact = 2.0 * (4.0f64 * 9.0).ln() + 2.0 * 2f64.ln();
        assert!((found - exact).abs() < 1e-13, "{found} {exact}");
        // One number, twice: 3 / 2 ln(1 + x^2 / eps^2).
        let found = coding_length(&array![[2.0 * 9.0]], 2, 2, 0.5).unwrap();
        assert!((found - 1.5 * 37f64.ln()).abs() < 1e-13);
    }

    /// Every pair of the clusters there are, every time; the first of equals, as a pair (i, j) by i, then j.
    fn brute_force(points: &Array2<f64>, epsilon: f64) -> Vec<Vec<usize>> {
        let total = points.ncols();
        let length = |members: &[usize]| {
            let own = points.select(Axis(1), members);
            coding_length(&own.dot(&own.t()), members.len(), total, epsilon).unwrap()
        };
        let mut clusters: Vec<Vec<usize>> = (0..total).map(|j| vec![j]).collect();
        loop {
            let mut best = (0.0, 0, 0);
            for i in 0..clusters.len() {
                for j in i + 1..clusters.len() {
                    let union = [&clusters[i][..], &clusters[j][..]].concat();
                    let saving = length(&clusters[i]) + length(&clusters[j]) - length(&union);
                    if saving > best.0 {
                        best = (saving, i, j);
                    }
                }
            }
            let (saving, i, j) = best;
            if saving <= 0.0 {
                return clusters;
            }
            let second = clusters.remove(j);
            clusters[i].extend(second);
        }
    }

    #[test]
    fn remembered_partners_merge_what_a_search_of_all_pairs_merges() {
        let mut sizes = Vec::new();
        for draw in 0..12 {
            // Three bundles and some points that belong to none.
            let bundle = |k: usize| {
                let axis = gaussian(draw, &format!("axis {k}"), 3, 1);
                let noise = gaussian(draw, &format!("noise {k}"), 3, 6) * 0.05;
                axis.dot(&gaussian(draw, &format!("along {k}"), 1, 6)) + noise
            };
            let bundles = [
                bundle(0),
                bundle(1),
                bundle(2),
                gaussian(draw, "stray", 3, 5),
            ];
            let points = concatenate(Axis(1), &bundles.each_ref().map(|b| b.view())).unwrap();
            for epsilon in [0.02, 0.1, 0.5, 3.0] {
                let found = merge(&points, epsilon).unwrap();
                assert_eq!(
                    found,
                    brute_force(&points, epsilon),
                    "draw {draw}, eps {epsilon}"
                );
                sizes.push(found.len());
            }
        }
        // The draws are no formality: from one cluster to many.
        assert!(
            sizes.contains(&1) && sizes.iter().any(|&n| n > 4),
            "{sizes:?}"
        );
    }

    #[test]
    fn two_lines_far_from_each_other_are_two_clusters() {
        let points = array![
            [1.0, -1.2, 0.9, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.1, -0.8, 1.0]
        ];
        let mut found = merge(&points, 1e-3).unwrap();
        found.iter_mut().for_each(|members| members.sort_unstable());
        assert_eq!(found, [vec![0, 1, 2], vec![3, 4, 5]]);
        assert_eq!(merge(&points, 1e3).unwrap().len(), 1);
    }

    #[test]
    fn purity_counts_the_majority_of_every_cluster() {
        let classes = [0, 0, 1, 1, 2];
        assert_eq!(purity(&[vec![0, 1], vec![2, 3], vec![4]], &classes), 1.0);
        assert_eq!(purity(&[vec![0, 1, 2, 3, 4]], &classes), 0.4);
        assert_eq!(purity(&[vec![0, 2], vec![1, 3, 4]], &classes), 0.4);
    }
}
