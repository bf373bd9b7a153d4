//! Two halves of the images: what is chosen on one is measured on the other, so that no image has a say in what it is
//! measured with.

use rand::seq::SliceRandom;

use crate::error::{Error, Result};
use crate::seed;

/// Which half each of `count` images is in, drawn by the seed: the halves differ by one image at most. Labels that go
/// round in order say nothing about it.
pub fn halves(count: usize, seed: u64) -> Vec<bool> {
    let mut second: Vec<bool> = (0..count).map(|image| image % 2 == 1).collect();
    second.shuffle(&mut seed::stream(seed, "halves of images"));
    second
}

/// For either half, by `usize::from(half)`, the numbers of the images that are **not** in it: those it is judged by.
///
/// # Errors
/// [`Error::Shape`] if there is not one half per image, [`Error::Domain`] if a half is empty.
pub(super) fn others(second: &[bool], images: usize) -> Result<[Vec<usize>; 2]> {
    if second.len() != images {
        return Err(Error::shape(
            "halves",
            format!("({images},)"),
            format!("({},)", second.len()),
            "give every image a half",
        ));
    }
    let outside =
        |half: bool| -> Vec<usize> { (0..images).filter(|&i| second[i] != half).collect() };
    let others = [outside(false), outside(true)];
    if others.iter().any(Vec::is_empty) {
        return Err(Error::domain(
            "halves",
            "images in both",
            format!("{} and {}", others[1].len(), others[0].len()),
            "measure two images at least",
        ));
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_equal_repeatable_and_no_pattern() {
        let drawn = halves(101, 1);
        assert_eq!(drawn.iter().filter(|&&second| second).count(), 50);
        assert_eq!(drawn, halves(101, 1));
        assert_ne!(drawn, halves(101, 2));
        let alternate = drawn.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((30..70).contains(&alternate), "{alternate}");
    }

    #[test]
    fn a_half_is_judged_by_the_other_one() {
        let others = others(&[false, true, true], 3).unwrap();
        assert_eq!(others, [vec![1, 2], vec![0]]);
        for wrong in [&[true, true][..], &[false]] {
            let error = super::others(wrong, 2).unwrap_err().to_string();
            assert!(error.contains("halves"), "{error}");
        }
    }
}
