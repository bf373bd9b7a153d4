//! The book as HTML, complete and offline.

use std::path::{Path, PathBuf};

use mdbook_driver::errors::Error as BookError;
use mdbook_driver::MDBook;
use mdbook_preprocessor::book::Book;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};
use whitebox::{artefact, Error, Result};

use crate::store::Store;
use crate::{directives, links};

/// Fills in what the pages ask for.
struct Fill {
    store: Store,
    reports: PathBuf,
}

impl Preprocessor for Fill {
    fn name(&self) -> &str {
        "whitebox"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> mdbook_driver::errors::Result<Book> {
        let mut failure = None;
        book.for_each_chapter_mut(|chapter| {
            let path = chapter.path.clone().unwrap_or_default();
            match directives::expand(&chapter.content, &path, &self.store, &self.reports) {
                Ok(content) => chapter.content = content,
                Err(e) => {
                    failure.get_or_insert_with(|| format!("{}: {e}", path.display()));
                }
            }
        });
        match failure {
            Some(failure) => Err(BookError::msg(failure)),
            None => Ok(book),
        }
    }
}

/// Builds the book in `book` from the records of `store`, which lie below `reports`, into `out`, and returns
/// the number of its files.
///
/// # Errors
/// [`Error::File`] naming the page and what is wrong with it, or listing links that lead nowhere;
/// [`Error::Io`].
pub fn build(book: &Path, reports: &Path, store: Store, out: &Path) -> Result<usize> {
    let unbuildable = |e: BookError| {
        let words: Vec<String> = e.chain().map(ToString::to_string).collect();
        Error::file(
            book,
            "a book that can be built",
            words.join(": "),
            "correct the page",
        )
    };
    artefact::check_writable(out)?;
    let mut mdbook = MDBook::load(book).map_err(unbuildable)?;
    mdbook.config.build.build_dir =
        std::path::absolute(out).map_err(|e| Error::io("find", out, e, "name another folder"))?;
    mdbook.with_preprocessor(Fill {
        store,
        reports: reports.to_owned(),
    });
    mdbook.build().map_err(unbuildable)?;
    copy(reports, &out.join("data"))?;
    let broken = links::broken(out)?;
    if !broken.is_empty() {
        return Err(Error::file(
            out,
            "a site without broken links",
            broken.join("; "),
            "correct the pages",
        ));
    }
    count(out)
}

/// Copies records, tables and figures, but no trials, networks or sources.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |e| Error::io("copy", from, e, "check its permissions and the space left");
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let kept = path
            .extension()
            .is_some_and(|e| ["json", "jsonl", "csv", "svg"].iter().any(|k| e == *k));
        if path.is_dir()
            && !["quick", "latest"].iter().any(|n| name == *n)
            && name != "src"
            && name != "tests"
        {
            copy(&path, &to.join(name))?;
        } else if kept {
            std::fs::create_dir_all(to).map_err(failed)?;
            std::fs::copy(&path, to.join(name)).map_err(failed)?;
        }
    }
    Ok(())
}

fn count(folder: &Path) -> Result<usize> {
    let failed = |e| Error::io("list", folder, e, "check its permissions");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        files += if path.is_dir() { count(&path)? } else { 1 };
    }
    Ok(files)
}
