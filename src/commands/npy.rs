//! `.npy` files of f32 or f64.

use std::io::Cursor;
use std::path::Path;

use ndarray::{ArrayD, Dimension};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use whitebox::{artefact, Error, Result};

/// Reads an array of f32 or f64, in C or Fortran order, with `N` axes, as f64.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if the file is damaged, of another type, or has other axes.
pub(crate) fn read<D: Dimension>(path: &Path, axes: &str) -> Result<ndarray::Array<f64, D>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e, "name an .npy file"))?;
    let array = match ArrayD::<f64>::read_npy(Cursor::new(&bytes)) {
        Ok(array) => array,
        Err(first) => match ArrayD::<f32>::read_npy(Cursor::new(&bytes)) {
            Ok(array) => array.mapv(f64::from),
            Err(second) => {
                // Whichever type the header does not name only says so: report the other failure.
                let wrong_type = matches!(second, ndarray_npy::ReadNpyError::WrongDescriptor(_));
                let got = if wrong_type { first } else { second };
                return Err(Error::file(
                    path,
                    "a complete .npy file of f32 or f64",
                    got.to_string(),
                    "save it again with numpy.save",
                ));
            }
        },
    };
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

/// Writes an array of f32, atomically.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write<D: Dimension>(path: &Path, array: &ndarray::Array<f32, D>) -> Result<()> {
    let mut bytes = Vec::new();
    array
        .write_npy(&mut bytes)
        .map_err(|e| Error::file(path, "an array .npy can hold", e.to_string(), "report this"))?;
    artefact::write(path, &bytes)
}
