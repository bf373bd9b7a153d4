//! IDX files (MNIST, Fashion-MNIST, EMNIST), plain or gzip, which their first bytes tell.
//!
//! Layout: two zero bytes, the type (8: unsigned byte), the number of axes, the length of each axis
//! as a big-endian u32, then the bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

/// Bytes of an array that are read at most: five times those of the largest set of this layout.
const LARGEST: usize = 4 << 30;

/// Reads the file called `NAME` in `folder`, under any of the names that such files go by, and returns the
/// lengths of its `AXES` axes and its bytes.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] on a wrong magic number, truncation or trailing bytes.
pub fn read<const AXES: usize>(folder: &Path, name: &str) -> Result<([usize; AXES], Vec<u8>)> {
    let path = locate(folder, name);
    let remedy = "copy the file again";
    let mut raw = std::fs::File::open(&path)
        .and_then(|file| {
            // A folder opens as a file does.
            file.metadata()?
                .is_file()
                .then_some(file)
                .ok_or_else(|| std::io::ErrorKind::IsADirectory.into())
        })
        .map_err(|e| {
            let remedy = "name the folder that holds the IDX files with `data_dir`";
            Error::io("read", &path, e, remedy)
        })?;
    let mut start = Vec::new();
    let failed = |e| Error::io("read", &path, e, remedy);
    raw.by_ref()
        .take(2)
        .read_to_end(&mut start)
        .map_err(failed)?;
    let packed = start == [0x1f, 0x8b];
    let whole = std::io::Cursor::new(start).chain(raw);
    let mut source: Box<dyn Read> = if packed {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    };
    let mut fill = |most: usize| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = source.by_ref().take(most as u64).read_to_end(&mut bytes);
        read.map_err(|e| match packed {
            true => Error::file(&path, "a complete gzip file", e.to_string(), remedy),
            false => failed(e),
        })?;
        Ok(bytes)
    };
    let magic = [0, 0, 8, AXES as u8];
    let found = fill(4)?;
    if found != magic {
        return Err(Error::file(
            &path,
            format!("the IDX magic number {magic:?} ({AXES} axes of bytes)"),
            match found[..] {
                [0, 0, 12, axes] => {
                    format!("{found:?} ({axes} axes of 32-bit numbers, as QMNIST's labels)")
                }
                _ => format!("{found:?}"),
            },
            "give an IDX file of images or labels",
        ));
    }
    let lengths = fill(4 * AXES)?;
    if lengths.len() < 4 * AXES {
        let got = format!("{} bytes", 4 + lengths.len());
        let wanted = format!("a header of {} bytes", 4 + 4 * AXES);
        return Err(Error::file(&path, wanted, got, remedy));
    }
    let mut axes = [0; AXES];
    for (axis, length) in axes.iter_mut().zip(lengths.chunks_exact(4)) {
        *axis = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    }
    let size = axes
        .iter()
        .try_fold(1usize, |product, &axis| product.checked_mul(axis))
        .filter(|&size| size <= LARGEST);
    let Some(size) = size else {
        let wanted = format!("at most {LARGEST} bytes");
        return Err(Error::file(&path, wanted, format!("axes {axes:?}"), remedy));
    };
    let body = fill(size.saturating_add(1))?;
    if body.len() != size {
        let header = 4 + 4 * AXES;
        let got = match body.len() > size {
            true => "more".to_owned(),
            false => format!("{} bytes", header + body.len()),
        };
        let wanted = format!("{} bytes for axes {axes:?}", header + size);
        return Err(Error::file(&path, wanted, got, remedy));
    }
    Ok((axes, body))
}

/// The first of the names that is a file: as it was published; with a dot, as archives of it are unpacked;
/// gzip; in a folder of that name. Else the published name.
fn locate(folder: &Path, name: &str) -> PathBuf {
    let dotted = name.replace("-idx", ".idx");
    let names = [name, &dotted]
        .map(|n| [n.to_owned(), format!("{n}.gz")])
        .concat();
    let inside = names
        .iter()
        .flat_map(|outer| names.iter().map(move |n| format!("{outer}/{n}")));
    let mut paths = names.iter().cloned().chain(inside).map(|n| folder.join(n));
    paths
        .find(|path| path.is_file())
        .unwrap_or_else(|| folder.join(name))
}

/// Reads one split of an MNIST-like folder.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] on a wrong magic number, truncation or trailing bytes, if images and labels
/// disagree, or if a label is not below `classes`.
pub fn mnist_like(
    folder: &Path,
    data_set: &str,
    split: Split,
    classes: usize,
    normalisation: Normalisation,
) -> Result<Images> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let labels_name = format!("{prefix}-labels-idx1-ubyte");
    let images_name = format!("{prefix}-images-idx3-ubyte");
    let ([count, height, width], pixels) = read::<3>(folder, &images_name)?;
    let ([label_count], labels) = read::<1>(folder, &labels_name)?;
    let images = locate(folder, &images_name);
    if count == 0 || height * width == 0 {
        return Err(Error::file(
            images,
            "at least one picture of at least one pixel",
            format!("{count} of {height} x {width}"),
            "copy the files again",
        ));
    }
    let path = locate(folder, &labels_name);
    if label_count != count {
        return Err(Error::file(
            path,
            format!(
                "{count} labels, one for each picture of {}",
                images.display()
            ),
            label_count.to_string(),
            "take both files from the same data set",
        ));
    }
    if let Some(index) = labels
        .iter()
        .position(|&label| usize::from(label) >= classes)
    {
        return Err(Error::file(
            path,
            format!("labels 0 to {}", classes - 1),
            format!("{} at position {index}", labels[index]),
            "say how many classes there are with `classes` (EMNIST has up to 62, and its pictures lie \
             transposed), or copy the file again",
        ));
    }
    let word = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    Images::new(
        format!("{data_set} {word}"),
        [1, height, width],
        classes,
        pixels,
        labels.into_iter().map(usize::from).collect(),
        normalisation,
    )
}
