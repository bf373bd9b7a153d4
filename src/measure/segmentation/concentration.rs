//! Where a map of the class token has its mass: in few patches or in all, in a mask or out of it.

use ndarray::ArrayView2;

use crate::error::{Error, Result};

/// What is said of one map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Concentration {
    /// The sum of the map: what the class token reads of the patches. The rest of 1 it reads of itself.
    pub mass: f64,
    /// `-sum_i q_i ln q_i / ln n`, `q` the map divided by its sum: 1 for a flat map, 0 where all is in one patch.
    pub entropy: f64,
    /// The smallest entry.
    pub smallest: f64,
    /// The largest.
    pub largest: f64,
}

/// Of a map.
///
/// # Shapes
/// map (rows, columns), of `n` patches, two at least.
///
/// # Errors
/// [`Error::Shape`] for fewer; [`Error::Domain`] if a number is negative or not finite, or all are 0.
pub fn concentration(map: ArrayView2<'_, f64>) -> Result<Concentration> {
    let n = map.len();
    if n < 2 {
        return Err(Error::shape(
            "map",
            "two patches at least",
            format!("{:?}", map.dim()),
            "look at pictures of more patches",
        ));
    }
    let mass = map.sum();
    let wrong = map.iter().find(|v| !(v.is_finite() && **v >= 0.0));
    if let Some(value) = wrong.or((mass <= 0.0).then_some(&0.0)) {
        return Err(Error::domain(
            "map",
            "finite numbers >= 0, one of them above",
            value.to_string(),
            "check the network that it comes from",
        ));
    }
    let terms = map.iter().map(|v| v / mass).filter(|&share| share > 0.0);
    let entropy = -terms.map(|share| share * share.ln()).sum::<f64>();
    Ok(Concentration {
        mass,
        // Rounding alone leaves the bounds.
        entropy: (entropy / (n as f64).ln()).clamp(0.0, 1.0),
        smallest: map.iter().copied().fold(f64::INFINITY, f64::min),
        largest: map.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

/// What a mask holds of the patches, and of the sum of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// Share of the patches.
    pub area: f64,
    /// Share of the sum.
    pub mass: f64,
}

/// Of a mask and a map.
///
/// # Shapes
/// Both (rows, columns).
///
/// # Errors
/// [`Error::Shape`] if they differ.
pub fn held(map: ArrayView2<'_, f64>, mask: ArrayView2<'_, bool>) -> Result<Held> {
    if map.dim() != mask.dim() {
        return Err(Error::shape(
            "mask",
            format!("{:?}", map.dim()),
            format!("{:?}", mask.dim()),
            "pass the mask of the map",
        ));
    }
    let inside = mask.iter().filter(|&&inside| inside).count();
    let pairs = map.iter().zip(mask).filter(|(_, &inside)| inside);
    Ok(Held {
        area: inside as f64 / mask.len() as f64,
        mass: pairs.map(|(v, _)| v).sum::<f64>() / map.sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, Array2};

    #[test]
    fn entropy_is_one_for_a_flat_map_and_zero_for_one_patch() {
        let flat = concentration(Array2::from_elem((2, 3), 0.1).view()).unwrap();
        assert!((flat.entropy - 1.0).abs() < 1e-15 && (flat.mass - 0.6).abs() < 1e-15);
        assert_eq!((flat.smallest, flat.largest), (0.1, 0.1));
        let one = concentration(arr2(&[[0.0, 0.5], [0.0, 0.0]]).view()).unwrap();
        assert_eq!((one.entropy, one.mass, one.largest), (0.0, 0.5, 0.5));
        // Two equal patches of four: ln 2 / ln 4.
        let two = concentration(arr2(&[[0.2, 0.0], [0.0, 0.2]]).view()).unwrap();
        assert!((two.entropy - 0.5).abs() < 1e-15);
    }

    #[test]
    fn a_mask_holds_shares_of_patches_and_of_mass() {
        let map = arr2(&[[0.1, 0.2], [0.3, 0.2]]);
        let mask = arr2(&[[false, false], [true, false]]);
        let found = held(map.view(), mask.view()).unwrap();
        assert_eq!(found.area, 0.25);
        assert!((found.mass - 0.375).abs() < 1e-15);
        assert!(held(map.view(), mask.slice(ndarray::s![..1, ..])).is_err());
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for map in [
            arr2(&[[0.5]]),
            arr2(&[[0.0, 0.0]]),
            arr2(&[[-0.1, 0.2]]),
            arr2(&[[f64::NAN, 0.2]]),
        ] {
            assert!(concentration(map.view()).is_err(), "{map}");
        }
    }
}
