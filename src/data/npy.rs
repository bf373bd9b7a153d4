//! `.npy` files of numpy: f16, f32 or f64, of either byte order, in C or Fortran order.

use std::io::Cursor;
use std::path::Path;

use half::f16;
use ndarray::{ArrayD, Dimension, IxDyn, ShapeBuilder};
use ndarray_npy::npy::header::{Header, ParseHeaderError, ReadHeaderError};
use ndarray_npy::WriteNpyExt;

use crate::artefact;
use crate::error::{Error, Result};

/// Bytes of a header up to which numpy reads it.
const LONGEST_HEADER: usize = 10_000;

/// Brackets within brackets of a header; those of numbers have two.
const DEEPEST_HEADER: usize = 8;

/// Reads an array with the axes of `D`, called `axes` in messages, as f64.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if the file is damaged, of another type, or has other axes.
pub fn read<D: Dimension>(path: &Path, axes: &str) -> Result<ndarray::Array<f64, D>> {
    let array = read_any(path)?;
    let shape = array.shape().to_vec();
    array.into_dimensionality::<D>().map_err(|_| {
        Error::file(
            path,
            format!("axes {axes}"),
            format!("shape {shape:?}"),
            "reshape the array before saving it",
        )
    })
}

/// Reads an array with any axes, as f64.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if the file is damaged or of another type.
pub fn read_any(path: &Path) -> Result<ArrayD<f64>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e, "name an .npy file"))?;
    parse(&bytes).map_err(|Refused { got, remedy }| {
        Error::file(
            path,
            "one complete .npy array of f16, f32 or f64",
            got,
            remedy,
        )
    })
}

/// What was found instead of an array, and what to do.
struct Refused {
    got: String,
    remedy: &'static str,
}

fn refused(got: impl Into<String>, remedy: &'static str) -> Refused {
    let got = got.into();
    Refused { got, remedy }
}

const AGAIN: &str = "save it again with numpy.save";

fn parse(bytes: &[u8]) -> std::result::Result<ArrayD<f64>, Refused> {
    if bytes.starts_with(b"PK\x03\x04") {
        let got = "a zip archive, as numpy.savez and torch.save write it";
        return Err(refused(got, "save the one array with numpy.save"));
    }
    check_header(bytes)?;
    let mut rest = Cursor::new(bytes);
    let header = Header::from_reader(&mut rest).map_err(|e| refused(in_short(&e), AGAIN))?;
    let body = &bytes[rest.position() as usize..];
    let kind = header.type_descriptor.to_string();
    let kind = kind.trim_matches('\'');
    let decode: fn(&[u8]) -> f64 = match kind {
        "<f8" => |b| f64::from_le_bytes(number(b)),
        ">f8" => |b| f64::from_be_bytes(number(b)),
        "<f4" => |b| f32::from_le_bytes(number(b)).into(),
        ">f4" => |b| f32::from_be_bytes(number(b)).into(),
        "<f2" => |b| f16::from_le_bytes(number(b)).into(),
        ">f2" => |b| f16::from_be_bytes(number(b)).into(),
        _ => {
            let got = format!("elements of type {kind}");
            return Err(refused(got, "save it as numpy.save(FILE, x.astype('f4'))"));
        }
    };
    let width = usize::from(kind.as_bytes()[2] - b'0');
    let shape = &header.shape;
    let length = shape.iter().try_fold(width, |n, &axis| n.checked_mul(axis));
    if length != Some(body.len()) {
        let wanted = length.map_or("more than any memory".into(), |n| n.to_string());
        let got = format!(
            "{} bytes for shape {shape:?} of {kind}, which has {wanted}",
            body.len()
        );
        return Err(refused(got, AGAIN));
    }
    let numbers = body.chunks_exact(width).map(decode).collect();
    let shape = IxDyn(shape).set_f(header.layout.is_fortran());
    ArrayD::from_shape_vec(shape, numbers).map_err(|e| refused(e.to_string(), AGAIN))
}

/// The first `N` bytes, of which there are as many.
fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

/// Refuses a header that would take memory or stack out of proportion.
fn check_header(bytes: &[u8]) -> std::result::Result<(), Refused> {
    let length = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => u32::from_le_bytes([*a, *b, 0, 0]),
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d, ..] => {
            u32::from_le_bytes([*a, *b, *c, *d])
        }
        _ => return Err(refused(format!("{} other bytes", bytes.len()), AGAIN)),
    };
    let (length, header) = (length as usize, &bytes[10..]);
    let header = &header[..header.len().min(length)];
    let mut depth = 0usize;
    let deepest = header.iter().map(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth
    });
    if length > LONGEST_HEADER || deepest.max() > Some(DEEPEST_HEADER) {
        let got = format!("a header of {length} bytes that describes no array of numbers");
        return Err(refused(got, AGAIN));
    }
    Ok(())
}

/// One line: the parser of the header draws its place over several.
fn in_short(error: &ReadHeaderError) -> String {
    match error {
        ReadHeaderError::Io(_) => "a file that ends within its header".into(),
        ReadHeaderError::Parse(ParseHeaderError::DictParse(_)) => {
            "a header that is no Python dictionary".into()
        }
        ReadHeaderError::Parse(other) => {
            let text = other.to_string();
            format!(
                "a header with {}",
                text.lines().next().unwrap_or("an error")
            )
        }
    }
}

/// Writes an array of f32, atomically.
///
/// # Errors
/// [`Error::Io`].
pub fn write<D: Dimension>(path: &Path, array: &ndarray::Array<f32, D>) -> Result<()> {
    let mut bytes = Vec::new();
    array
        .write_npy(&mut bytes)
        .map_err(|e| Error::file(path, "an array .npy can hold", e.to_string(), "report this"))?;
    artefact::write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 1 with this header and these bytes behind it.
    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        let header = format!("{header:<117}\n");
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(body);
        bytes
    }

    fn of(kind: &str, shape: &str) -> String {
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")
    }

    fn message(bytes: &[u8]) -> String {
        let Refused { got, remedy } = parse(bytes).unwrap_err();
        format!("{got}; {remedy}")
    }

    #[test]
    fn every_width_and_byte_order_is_read() {
        for (kind, body) in [
            ("<f2", vec![0x00, 0xc1, 0x00, 0x3c]),
            (">f2", vec![0xc1, 0x00, 0x3c, 0x00]),
            (
                "<f4",
                [(-2.5f32).to_le_bytes(), 1f32.to_le_bytes()].concat(),
            ),
            (
                ">f4",
                [(-2.5f32).to_be_bytes(), 1f32.to_be_bytes()].concat(),
            ),
            (
                "<f8",
                [(-2.5f64).to_le_bytes(), 1f64.to_le_bytes()].concat(),
            ),
            (
                ">f8",
                [(-2.5f64).to_be_bytes(), 1f64.to_be_bytes()].concat(),
            ),
        ] {
            let array = parse(&file(&of(kind, "(1, 2)"), &body)).ok().unwrap();
            assert_eq!(array.shape(), [1, 2]);
            assert_eq!(array.as_slice().unwrap(), [-2.5, 1.0], "{kind}");
        }
    }

    #[test]
    fn everything_else_is_named_on_one_line() {
        let good = file(&of("<f4", "(2,)"), &[0; 8]);
        let table: [(Vec<u8>, &str); 12] = [
            (
                file(&of("|u1", "(2,)"), &[0; 2]),
                "type |u1; save it as numpy.save(FILE, x.astype('f4'))",
            ),
            (file(&of("<i8", "(2,)"), &[0; 16]), "type <i8"),
            (file(&of("|V2", "(2,)"), &[0; 4]), "type |V2"),
            (file(&of("|b1", "(2,)"), &[0; 2]), "type |b1"),
            (file(&of("<f16", "(2,)"), &[0; 32]), "type <f16"),
            (
                good[..good.len() - 3].to_vec(),
                "5 bytes for shape [2] of <f4, which has 8",
            ),
            ([&good[..], &good[..]].concat(), "144 bytes for shape [2]"),
            (
                file(&of("<f8", "(4611686018427387904, 8)"), &[]),
                "more than any memory",
            ),
            (
                file("{'descr': '<f4', 'shape': (2,", &[]),
                "no Python dictionary",
            ),
            (file(&"(".repeat(100), &[]), "describes no array"),
            (b"PK\x03\x04....".to_vec(), "zip archive"),
            (b"1,2,3\n".to_vec(), "6 other bytes"),
        ];
        for (bytes, words) in table {
            let message = message(&bytes);
            assert!(message.contains(words), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        // A header that says it is longer than the file.
        let mut long = good;
        long[6] = 2;
        assert!(message(&long).contains("describes no array"));
    }
}
