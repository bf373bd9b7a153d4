//! CIFAR-10 in its binary layout: records of one label byte and 3 x 32 x 32 pixel bytes, in
//! `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.

use std::path::Path;

use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

const SHAPE: [usize; 3] = [3, 32, 32];
const RECORD: usize = 1 + 3 * 32 * 32;

/// Reads one split.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] if a file is empty, truncated or has a label over 9.
pub fn read(folder: &Path, split: Split) -> Result<Images> {
    let (names, word): (Vec<String>, _) = match split {
        Split::Train => (
            (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
            "train",
        ),
        Split::Test => (vec!["test_batch.bin".into()], "test"),
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|e| {
            Error::io(
                "read",
                &path,
                e,
                "name the folder cifar-10-batches-bin with `data_dir`",
            )
        })?;
        if bytes.is_empty() || bytes.len() % RECORD != 0 {
            return Err(Error::file(
                path,
                format!("whole records of {RECORD} bytes"),
                format!("{} bytes", bytes.len()),
                "copy the file again",
            ));
        }
        for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
            if record[0] > 9 {
                return Err(Error::file(
                    path,
                    "labels 0 to 9",
                    format!("{} in record {index}", record[0]),
                    "give the CIFAR-10 binary files (CIFAR-100 has another layout)",
                ));
            }
            labels.push(usize::from(record[0]));
            pixels.extend_from_slice(&record[1..]);
        }
    }
    let normalisation = Normalisation {
        mean: vec![0.4914, 0.4822, 0.4465],
        deviation: vec![0.2470, 0.2435, 0.2616],
    };
    Images::new(
        format!("cifar10 {word}"),
        SHAPE,
        10,
        pixels,
        labels,
        normalisation,
    )
}
