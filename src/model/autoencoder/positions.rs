//! Positions that are not learned: sines and cosines of row and column (official `model/crate_ae/pos_embed.py`).

/// The table for a square grid of `side` patches a side, class token first, whose row is zero. Of a patch in row `r` and
/// column `c`, the first half of the numbers encodes `c`, the second `r`; of each half, the first half is
/// `sin(x w_i)`, the second `cos(x w_i)`, `w_i = 10000^(-i / (d/4))`.
///
/// # Shapes
/// Gives (1 + side^2, d), row-major.
///
/// # Panics
/// If `d` is no multiple of 4.
pub fn sine_positions(d: usize, side: usize) -> Vec<f64> {
    assert!(d.is_multiple_of(4), "a width of {d} has no quarters");
    let quarter = d / 4;
    let frequency = |i: usize| 10_000f64.powf(-(i as f64) / quarter as f64);
    let mut table = vec![0.0; d];
    for (row, column) in (0..side * side).map(|patch| (patch / side, patch % side)) {
        for place in [column, row] {
            let angles = (0..quarter).map(|i| place as f64 * frequency(i));
            table.extend(angles.clone().map(f64::sin));
            table.extend(angles.map(f64::cos));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_half_is_the_column_and_the_second_the_row() {
        let table = sine_positions(8, 3);
        assert_eq!(table.len(), 10 * 8);
        assert_eq!(table[..8], [0.0; 8]);
        // Row 1, column 2: frequencies 1 and 1/100.
        let row = &table[6 * 8..7 * 8];
        let half = |x: f64| [x.sin(), (x / 100.0).sin(), x.cos(), (x / 100.0).cos()];
        for (found, wanted) in row.iter().zip([half(2.0), half(1.0)].concat()) {
            assert!((found - wanted).abs() < 1e-15, "{found} {wanted}");
        }
    }
}
