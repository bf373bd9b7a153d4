//! Pictures in one folder per class, as ImageNet is usually kept: `split/CLASS/FILE.jpg`, with the order of
//! classes and pictures that torchvision's `ImageFolder` gives them.
//!
//! Preparation is that of the official evaluation: shorter side to 256 (bilinear with
//! antialiasing), centre crop 224, ImageNet channel statistics. A camera's note on how to turn a picture
//! (EXIF) is ignored, as there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::picture::Picture;
use super::{Images, Normalisation, Split};
use crate::error::{Error, Result};

/// Shorter side after resizing, in pixels.
pub const RESIZE: usize = 256;
/// Side of the centre crop, in pixels.
pub const CROP: usize = 224;

/// What is to be done about a folder that is not there.
const NO_FOLDER: &str = "name a folder that exists with `data_dir`";

/// Reads one split: its sub-folder (`train`, or `val` or `test`) if there is one, else `folder`, if that is
/// not the folder of the other split.
///
/// Classes are the sub-folders in alphabetical order, each with all pictures below it; hidden ones are none.
/// Without a `limit` the pictures stay in their files and are decoded when they are asked for; else so many,
/// spread evenly over the list of all, are decoded now. What was passed over is in [`Images::notes`].
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] if there is no class folder, a class without a picture, or a picture that
/// does not decode.
pub fn read(folder: &Path, split: Split, limit: Option<usize>) -> Result<Images> {
    let word = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    let root = split_folder(folder, split)?;
    let top = entries(&root, NO_FOLDER)?;
    let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) = top.iter().partition(|p| p.is_dir());
    let (hidden, classes): (Vec<&PathBuf>, Vec<&PathBuf>) =
        folders.into_iter().partition(|path| is_hidden(path));
    let stray: Vec<&PathBuf> = files.into_iter().filter(|p| is_picture(p)).collect();
    let mut found = Found::default();
    let mut pictures = Vec::new();
    for (class, path) in classes.iter().enumerate() {
        let own = found.below(path)?;
        pictures.extend(own.into_iter().map(|picture| (picture, class)));
    }
    if pictures.is_empty() {
        let (got, remedy) = if stray.is_empty() {
            (
                format!("{} sub-folders, no picture", classes.len()),
                "name the folder above the classes with `data_dir`",
            )
        } else {
            (
                format!("{} pictures in no sub-folder", stray.len()),
                "move each into a folder named after its class; for the validation set of ImageNet the script \
                 valprep.sh does it",
            )
        };
        let wanted = "a sub-folder per class with .jpg or .png files";
        return Err(Error::file(&root, wanted, got, remedy));
    }
    if let Some((class, others)) = &found.empty {
        return Err(Error::file(
            class,
            "a .jpg or .png picture of this class",
            format!("no picture{}", described(others)),
            "convert what is there, or remove the folder: it counts as a class",
        ));
    }
    let class_names: Vec<String> = classes.iter().map(|path| name_of(path)).collect();
    let notes = [
        skipped("hidden folders, which are no classes", &hidden),
        skipped("pictures beside the class folders", &stray),
        skipped("files that are no .jpg or .png", &found.others),
        numbers_as_text(&class_names),
        (root == folder)
            .then(|| "no sub-folders train and val: these pictures are taken for both".into()),
    ];
    let notes = notes.into_iter().flatten();
    let notes = notes.map(|note| format!("{}: {note}", root.display()));
    if let Some(limit) = limit.filter(|&limit| limit < pictures.len()) {
        pictures = (0..limit)
            .map(|i| pictures[i * pictures.len() / limit].clone())
            .collect();
    }
    let name = format!("{} {word}", folder.display());
    let classes = class_names.len();
    let (paths, labels): (Vec<PathBuf>, Vec<usize>) = pictures.into_iter().unzip();
    let normalisation = normalisation();
    let shape = [3, CROP, CROP];
    let mut images = if limit.is_none() {
        Images::of_files(name, shape, classes, paths, labels, normalisation)?
    } else {
        let decoded = paths
            .par_iter()
            .map(|path| Ok(prepare(&Picture::decode(path)?, CROP).planes.into_owned()))
            .collect::<Result<Vec<_>>>()?;
        Images::new(
            name,
            shape,
            classes,
            decoded.concat(),
            labels,
            normalisation,
        )?
    };
    images.class_names = class_names;
    images.notes = notes.collect();
    Ok(images)
}

/// What lies in the class folders besides pictures.
#[derive(Default)]
struct Found {
    others: Vec<PathBuf>,
    /// The first class without a picture, and what it has instead.
    empty: Option<(PathBuf, Vec<PathBuf>)>,
}

impl Found {
    /// The pictures below the folder of a class, folder by folder in the order of their paths as text.
    fn below(&mut self, class: &Path) -> Result<Vec<PathBuf>> {
        let mut open = vec![class.to_owned()];
        let mut folders = Vec::new();
        // A link may lead back to where it lies.
        let mut seen = BTreeSet::new();
        while let Some(folder) = open.pop() {
            let real = folder.canonicalize();
            let real = real.map_err(|e| Error::io("list", &folder, e, "check its permissions"))?;
            if !seen.insert(real) {
                continue;
            }
            let visible = entries(&folder, NO_FOLDER)?
                .into_iter()
                .filter(|p| !is_hidden(p));
            let (below, files): (Vec<PathBuf>, Vec<PathBuf>) = visible.partition(|p| p.is_dir());
            open.extend(below);
            folders.push((folder, files));
        }
        folders.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
        let files = folders.into_iter().flat_map(|(_, files)| files);
        let (pictures, others): (Vec<_>, Vec<_>) = files.partition(|path| is_picture(path));
        if pictures.is_empty() && self.empty.is_none() {
            self.empty = Some((class.to_owned(), others.clone()));
        }
        self.others.extend(others);
        Ok(pictures)
    }
}

/// "passed over 3 files that are no .jpg or .png, the first a/q.webp".
fn skipped(what: &str, paths: &[impl AsRef<Path>]) -> Option<String> {
    let first = paths.first()?.as_ref();
    let parts: Vec<_> = first.iter().rev().take(2).collect();
    let short: PathBuf = parts.into_iter().rev().collect();
    let count = paths.len();
    Some(format!(
        "passed over {count} {what}, the first {}",
        short.display()
    ))
}

/// ", but 3 other files, the first q.webp".
fn described(others: &[PathBuf]) -> String {
    others.first().map_or_else(String::new, |first| {
        let (count, first) = (others.len(), name_of(first));
        format!(", but {count} files that are no .jpg or .png, the first {first}")
    })
}

/// Said where classes are called by numbers of different lengths: their order is that of text.
fn numbers_as_text(names: &[String]) -> Option<String> {
    let numbers: Vec<u64> = names
        .iter()
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    let class = numbers.windows(2).position(|pair| pair[0] > pair[1])? + 1;
    Some(format!(
        "the folders are numbers in the order of text, as torchvision has them: class {class} is folder {}; \
         write them with leading zeros for the order of numbers",
        names[class]
    ))
}

/// Pictures of no class, prepared as ImageNet is for a network that reads `size`.
///
/// # Errors
/// [`Error::Io`] if a file is not there.
pub fn pictures(files: Vec<PathBuf>, [height, width]: [usize; 2]) -> Result<Images> {
    let labels = vec![0; files.len()];
    let shape = [3, height, width];
    Images::of_files("pictures", shape, 1, files, labels, normalisation())
}

/// ImageNet's.
pub(super) fn normalisation() -> Normalisation {
    Normalisation {
        mean: vec![0.485, 0.456, 0.406],
        deviation: vec![0.229, 0.224, 0.225],
    }
}

/// A picture as the official evaluation cuts it for a network that reads squares of `side` pixels.
pub fn prepare<'a>(picture: &Picture<'a>, side: usize) -> Picture<'a> {
    picture.resize_and_centre(side * RESIZE / CROP, side)
}

/// The folder of a split; `folder` itself where it has no sub-folder for either.
fn split_folder(folder: &Path, split: Split) -> Result<PathBuf> {
    if let Some(own) = sub_folder(folder, split) {
        return Ok(own);
    }
    let other = match split {
        Split::Train => Split::Test,
        Split::Test => Split::Train,
    };
    match sub_folder(folder, other) {
        None => Ok(folder.to_owned()),
        Some(other) => Err(Error::file(
            folder,
            format!("a sub-folder {}", names_of(split).join(" or ")),
            format!("{} alone", name_of(&other)),
            "make one with a folder per class, or name the folder above the classes with `data_dir`",
        )),
    }
}

fn names_of(split: Split) -> [&'static str; 2] {
    match split {
        Split::Train => ["train", "training"],
        Split::Test => ["val", "test"],
    }
}

/// The sub-folder of `folder` that holds a split, if there is one.
pub fn sub_folder(folder: &Path, split: Split) -> Option<PathBuf> {
    let paths = names_of(split).into_iter().map(|name| folder.join(name));
    paths.into_iter().find(|path| path.is_dir())
}

/// What is in a folder, in the order of text.
///
/// # Errors
/// [`Error::Io`] with this remedy.
pub(super) fn entries(folder: &Path, remedy: &str) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("list", folder, e, remedy);
    let mut paths = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|e| e.path()).map_err(failed))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Whether programs and systems keep something of their own there: `.git`, `.ipynb_checkpoints`, `._p.jpg`
/// of macOS, `@eaDir` of Synology, `__MACOSX` of its archives.
fn is_hidden(path: &Path) -> bool {
    let name = name_of(path);
    name.starts_with(['.', '@']) || name == "__MACOSX" || name == "lost+found"
}

/// Whether a file's name is that of a picture.
pub(super) fn is_picture(path: &Path) -> bool {
    !is_hidden(path)
        && path
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| ["jpg", "jpeg", "png"].contains(&e.to_lowercase().as_str()))
}
