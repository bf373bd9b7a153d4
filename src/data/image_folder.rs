//! Pictures in one folder per class, as ImageNet is usually kept: `split/CLASS/FILE.jpg`.
//!
//! Preparation is that of the official evaluation: shorter side to 256 (bilinear with
//! antialiasing), centre crop 224, ImageNet channel statistics.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::picture::Picture;
use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

/// Shorter side after resizing, in pixels.
pub const RESIZE: usize = 256;
/// Side of the centre crop, in pixels.
pub const CROP: usize = 224;

/// Reads one split: its sub-folder (`train`, or `val` or `test`) if there is one, else `folder`.
///
/// Classes are the sub-folders in alphabetical order. Without a `limit` the pictures stay in their
/// files and are decoded when they are asked for; else so many, spread evenly over the alphabetical
/// list of all, are decoded now.
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
            "name the folder above the classes with `data_dir`",
        ));
    }
    if let Some(limit) = limit.filter(|&limit| limit < files.len()) {
        files = (0..limit)
            .map(|i| files[i * files.len() / limit].clone())
            .collect();
    }
    let name = format!("{} {word}", folder.display());
    let classes = class_folders.len();
    let (paths, labels): (Vec<PathBuf>, Vec<usize>) = files.into_iter().unzip();
    let normalisation = Normalisation {
        mean: vec![0.485, 0.456, 0.406],
        deviation: vec![0.229, 0.224, 0.225],
    };
    if limit.is_none() {
        return Images::of_files(name, [3, CROP, CROP], classes, paths, labels, normalisation);
    }
    let decoded = paths
        .par_iter()
        .map(|path| Ok(prepare(&Picture::decode(path)?, CROP).planes.into_owned()))
        .collect::<Result<Vec<_>>>()?;
    Images::new(
        name,
        [3, CROP, CROP],
        classes,
        decoded.concat(),
        labels,
        normalisation,
    )
}

/// A picture as the official evaluation cuts it for a network that reads squares of `side` pixels.
pub fn prepare<'a>(picture: &Picture<'a>, side: usize) -> Picture<'a> {
    picture.resize_and_centre(side * RESIZE / CROP, side)
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
            "name a folder that exists with `data_dir`",
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
