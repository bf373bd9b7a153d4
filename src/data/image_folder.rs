//! Pictures in one folder per class, as ImageNet is usually kept: `split/CLASS/FILE.jpg`.
//!
//! Preparation is that of the official evaluation: shorter side to 256 (bilinear with
//! antialiasing), centre crop 224, ImageNet channel statistics.

use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use rayon::prelude::*;

use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

/// Shorter side after resizing, in pixels.
pub const RESIZE: u32 = 256;
/// Side of the centre crop, in pixels.
pub const CROP: u32 = 224;

/// Reads one split: its sub-folder (`train`, or `val` or `test`) if there is one, else `folder`.
///
/// Classes are the sub-folders in alphabetical order; `limit` keeps the first so many files, spread
/// evenly over the alphabetical list of all.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if there is no class folder or no picture, or one picture does
/// not decode.
pub fn read(folder: &Path, split: Split, limit: Option<usize>) -> Result<Images> {
    let root = sub_folder(folder, split).unwrap_or_else(|| folder.to_owned());
    let word = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    let class_folders = entries(&root)?
        .into_iter()
        .filter(|path| path.is_dir())
        .collect::<Vec<_>>();
    let mut files = Vec::new();
    for (class, path) in class_folders.iter().enumerate() {
        let pictures = entries(path)?.into_iter().filter(|p| is_picture(p));
        files.extend(pictures.map(|picture| (picture, class)));
    }
    if files.is_empty() {
        return Err(Error::file(
            &root,
            "a sub-folder per class with .jpg or .png files",
            format!("{} sub-folders, no picture", class_folders.len()),
            "name the folder above the classes with --data-dir",
        ));
    }
    if let Some(limit) = limit.filter(|&limit| limit < files.len()) {
        files = (0..limit)
            .map(|i| files[i * files.len() / limit].clone())
            .collect();
    }
    let decoded = files
        .par_iter()
        .map(|(path, _)| decode(path))
        .collect::<Result<Vec<_>>>()?;
    Images::new(
        format!("{} {word}", folder.display()),
        [3, CROP as usize, CROP as usize],
        class_folders.len(),
        decoded.concat(),
        files.into_iter().map(|(_, class)| class).collect(),
        Normalisation {
            mean: vec![0.485, 0.456, 0.406],
            deviation: vec![0.229, 0.224, 0.225],
        },
    )
}

/// The sub-folder of `folder` that holds a split, if there is one.
pub fn sub_folder(folder: &Path, split: Split) -> Option<PathBuf> {
    let names = match split {
        Split::Train => ["train", "training"],
        Split::Test => ["val", "test"],
    };
    let paths = names.into_iter().map(|name| folder.join(name));
    paths.into_iter().find(|path| path.is_dir())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| {
        Error::io(
            "list",
            folder,
            e,
            "name a folder that exists with --data-dir",
        )
    };
    let mut paths = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|e| e.path()).map_err(failed))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| ["jpg", "jpeg", "png"].contains(&e.to_lowercase().as_str()))
}

/// Decodes, resizes and crops one picture to (3, 224, 224) bytes.
fn decode(path: &Path) -> Result<Vec<u8>> {
    let undecodable = |e: String| {
        Error::file(
            path,
            "a JPEG or PNG picture",
            e,
            "replace or remove the file",
        )
    };
    let reader = image::ImageReader::open(path)
        .and_then(|reader| reader.with_guessed_format())
        .map_err(|e| Error::io("read", path, e, "check the file's permissions"))?;
    let picture = reader.decode().map_err(|e| undecodable(e.to_string()))?;
    let (width, height) = (picture.width(), picture.height());
    if width == 0 || height == 0 {
        return Err(undecodable("an empty picture".into()));
    }
    // torchvision's Resize truncates the longer side, and rounds the crop's corner.
    let longer =
        |long: u32, short: u32| (u64::from(RESIZE) * u64::from(long) / u64::from(short)) as u32;
    let (width, height) = if width <= height {
        (RESIZE, longer(height, width))
    } else {
        (longer(width, height), RESIZE)
    };
    let resized = image::imageops::resize(&picture.to_rgb8(), width, height, FilterType::Triangle);
    let corner = |side: u32| ((f64::from(side - CROP) / 2.0).round_ties_even()) as u32;
    let (left, top) = (corner(width), corner(height));
    let plane = (CROP * CROP) as usize;
    let mut planes = vec![0; 3 * plane];
    for y in 0..CROP {
        for x in 0..CROP {
            let pixel = resized.get_pixel(left + x, top + y);
            for (channel, value) in pixel.0.into_iter().enumerate() {
                planes[channel * plane + (y * CROP + x) as usize] = value;
            }
        }
    }
    Ok(planes)
}
