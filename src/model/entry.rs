//! A tensor as a file has it, and what to say of a file that cannot be read.

use safetensors::tensor::Dtype;

/// A tensor of a file. Its numbers are there if they are of a floating-point type that networks are kept
/// in; otherwise the name of what they are instead.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    /// Row-major.
    pub(super) values: Vec<f32>,
    /// The first number that f32 does not hold, with its place in `values`: NaN, infinite, or too large.
    pub(super) unfit: Option<(usize, f64)>,
    /// What the tensor is, if its numbers were not read.
    pub(super) other: Option<String>,
}

impl Entry {
    /// A tensor of numbers that are not read.
    pub(super) fn other(kind: String, shape: Vec<usize>) -> Self {
        Self {
            shape,
            values: Vec::new(),
            unfit: None,
            other: Some(kind),
        }
    }

    /// Whether numbers of a type are read.
    pub(super) fn is_read(dtype: Dtype) -> bool {
        matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)
    }

    /// A tensor of the little-endian numbers `raw`, all of them in order.
    pub(super) fn of(dtype: Dtype, raw: &[u8], shape: Vec<usize>) -> Self {
        let width = (dtype.bitsize() / 8).max(1);
        Self::gather(dtype, raw, shape, 0..raw.len() / width)
    }

    /// A tensor of those of the little-endian numbers `raw` that stand at `places`, all of which have to
    /// lie inside.
    pub(super) fn gather(
        dtype: Dtype,
        raw: &[u8],
        shape: Vec<usize>,
        places: impl Iterator<Item = usize>,
    ) -> Self {
        let mut entry = Self {
            shape,
            values: Vec::with_capacity(places.size_hint().0),
            unfit: None,
            other: None,
        };
        let (two, four, eight) = (
            raw.as_chunks::<2>().0,
            raw.as_chunks::<4>().0,
            raw.as_chunks::<8>().0,
        );
        match dtype {
            Dtype::F32 => entry.fill(places.map(|at| f32::from_le_bytes(four[at]).into())),
            Dtype::F64 => entry.fill(places.map(|at| f64::from_le_bytes(eight[at]))),
            Dtype::F16 => entry.fill(places.map(|at| half::f16::from_le_bytes(two[at]).into())),
            Dtype::BF16 => entry.fill(places.map(|at| half::bf16::from_le_bytes(two[at]).into())),
            other => entry.other = Some(format!("{other:?}")),
        }
        entry
    }

    fn fill(&mut self, values: impl Iterator<Item = f64>) {
        for value in values {
            let single = value as f32;
            if !single.is_finite() && self.unfit.is_none() {
                self.unfit = Some((self.values.len(), value));
            }
            self.values.push(single);
        }
    }

    /// Whether the tensor counts or masks something: such a buffer is no parameter.
    pub(super) fn is_integer(&self) -> bool {
        let kind = self.other.as_deref().unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        kind.starts_with('i') || kind.starts_with("u") || kind == "bool"
    }

    /// The first number that f32 does not hold, and its index: "NaN at [2, 0]".
    pub(super) fn unfit(&self) -> Option<String> {
        let (mut rest, value) = self.unfit?;
        let mut index = vec![0; self.shape.len()];
        for (axis, size) in self.shape.iter().enumerate().rev() {
            index[axis] = rest % size;
            rest /= size;
        }
        Some(match value.is_finite() {
            true => format!("{value:e} at {index:?}, which f32 does not hold"),
            false => format!("{value} at {index:?}"),
        })
    }
}

/// Why a file is no checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unreadable {
    /// What it is instead.
    pub(super) got: String,
    /// What to do.
    pub(super) remedy: String,
}

impl From<String> for Unreadable {
    fn from(got: String) -> Self {
        Self {
            got,
            remedy: "copy it again, or save the state dict alone".into(),
        }
    }
}

/// What a file says, in one line that is not too long.
pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 400;
    let plain = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    let mut line: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_f32_does_not_hold_is_named_with_its_index() {
        let bytes = |values: &[f64]| Vec::from_iter(values.iter().flat_map(|v| v.to_le_bytes()));
        let of = |values: &[f64]| Entry::of(Dtype::F64, &bytes(values), vec![2, 3]);
        assert_eq!(of(&[0.0, 1.0, -2.0, 3.0, 1e38, 1e-300]).unfit(), None);
        let found = of(&[0.0, 1.0, 2.0, 3.0, 1e300, f64::NAN]).unfit().unwrap();
        assert!(found.starts_with("1e300 at [1, 1]"), "{found}");
        let found = of(&[0.0, 1.0, f64::NAN, 3.0, 4.0, 5.0]).unfit().unwrap();
        assert_eq!(found, "NaN at [0, 2]");
    }

    #[test]
    fn every_type_is_read_as_the_number_it_holds() {
        let half = half::f16::from_f32(1.5).to_le_bytes();
        assert_eq!(Entry::of(Dtype::F16, &half, vec![1]).values, [1.5]);
        let brain = half::bf16::from_f32(-3.0).to_le_bytes();
        assert_eq!(Entry::of(Dtype::BF16, &brain, vec![]).values, [-3.0]);
        let single = 0.1f32.to_le_bytes();
        assert_eq!(Entry::of(Dtype::F32, &single, vec![1]).values, [0.1]);
        let counts = Entry::of(Dtype::I64, &[1; 8], vec![]);
        assert!(counts.is_integer() && counts.values.is_empty());
        assert!(!Entry::other("float8_e4m3fn".into(), vec![]).is_integer());
    }

    #[test]
    fn whatever_a_file_says_takes_one_line() {
        let line = one_line(&format!("a\nb\u{7}{}", "c".repeat(1000)));
        assert!(
            line.starts_with("a\\nb\\u{7}cc") && line.len() < 500,
            "{line}"
        );
    }
}
