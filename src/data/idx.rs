//! IDX files (MNIST, Fashion-MNIST), plain or gzip.
//!
//! Layout: two zero bytes, the type (8: unsigned byte), the number of axes, the length of each axis
//! as a big-endian u32, then the bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

/// Reads `NAME` or `NAME.gz` in `folder` and returns the lengths of its `AXES` axes and its bytes.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] on a wrong magic number, truncation or trailing bytes.
pub fn read<const AXES: usize>(folder: &Path, name: &str) -> Result<([usize; AXES], Vec<u8>)> {
    let path = locate(folder, name);
    let remedy = "copy the file again";
    let raw = std::fs::read(&path).map_err(|e| {
        Error::io(
            "read",
            &path,
            e,
            "name the folder that holds the IDX files with `data_dir`",
        )
    })?;
    let bytes = if path.extension().is_some_and(|e| e == "gz") {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(raw.as_slice())
            .read_to_end(&mut bytes)
            .map_err(|e| Error::file(&path, "a complete gzip file", e.to_string(), remedy))?;
        bytes
    } else {
        raw
    };
    let magic = [0, 0, 8, AXES as u8];
    if bytes.len() < 4 || bytes[..4] != magic {
        return Err(Error::file(
            &path,
            format!("the IDX magic number {magic:?} ({AXES} axes of bytes)"),
            format!("{:?}", &bytes[..bytes.len().min(4)]),
            "give an IDX file of images or labels",
        ));
    }
    let header = 4 + 4 * AXES;
    let truncated = |wanted: String| {
        let got = format!("{} bytes", bytes.len());
        Error::file(&path, wanted, got, remedy)
    };
    if bytes.len() < header {
        return Err(truncated(format!("a header of {header} bytes")));
    }
    let mut axes = [0; AXES];
    for (axis, length) in axes.iter_mut().zip(bytes[4..header].chunks_exact(4)) {
        *axis = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    }
    let wanted = axes
        .iter()
        .try_fold(1usize, |product, &axis| product.checked_mul(axis))
        .and_then(|body| body.checked_add(header));
    if wanted != Some(bytes.len()) {
        return Err(truncated(format!("{wanted:?} bytes for axes {axes:?}")));
    }
    Ok((axes, bytes[header..].to_vec()))
}

/// The plain file if it is there, else the gzip one if that is, else the plain name.
fn locate(folder: &Path, name: &str) -> PathBuf {
    let plain = folder.join(name);
    let packed = folder.join(format!("{name}.gz"));
    if !plain.exists() && packed.exists() {
        packed
    } else {
        plain
    }
}

/// Reads one split of an MNIST-like folder.
///
/// # Errors
/// As [`read`], and [`Error::File`] if images and labels disagree or a label is over 9.
pub fn mnist_like(
    folder: &Path,
    data_set: &str,
    split: Split,
    normalisation: Normalisation,
) -> Result<Images> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let labels_name = format!("{prefix}-labels-idx1-ubyte");
    let ([count, height, width], pixels) =
        read::<3>(folder, &format!("{prefix}-images-idx3-ubyte"))?;
    let ([label_count], labels) = read::<1>(folder, &labels_name)?;
    let path = locate(folder, &labels_name);
    if label_count != count {
        return Err(Error::file(
            path,
            format!("{count} labels, one per image"),
            label_count.to_string(),
            "take both files from the same data set",
        ));
    }
    if count == 0 || height * width == 0 {
        return Err(Error::file(
            path,
            "at least one image",
            "none",
            "copy the files again",
        ));
    }
    if let Some(index) = labels.iter().position(|&label| label > 9) {
        return Err(Error::file(
            path,
            "labels 0 to 9",
            format!("{} at position {index}", labels[index]),
            "copy the file again",
        ));
    }
    let word = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    Images::new(
        format!("{data_set} {word}"),
        [1, height, width],
        10,
        pixels,
        labels.into_iter().map(usize::from).collect(),
        normalisation,
    )
}
