//! The tables and numbers of README.md, which stand between `<!-- {{what}} -->` and `<!-- -->`, in the words of
//! [`crate::directives`]: what a record says, where no program fills pages in.

use std::path::Path;

use whitebox::{artefact, Error, Result};

use crate::directives;
use crate::store::Store;

const OPEN: &str = "<!-- {{";
const THEN: &str = "}} -->";
const CLOSE: &str = "<!-- -->";

/// `text` with everything between its marks as the records have it.
///
/// # Errors
/// [`Error::Argument`] naming a mark that is not closed, or what cannot be filled in.
pub fn filled(text: &str, store: &Store, reports: &Path) -> Result<String> {
    let mut parts = text.split(OPEN);
    let mut filled = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let found = part
            .split_once(THEN)
            .and_then(|(words, rest)| Some((words, rest.split_once(CLOSE)?)));
        let Some((words, (old, after))) = found else {
            let start: String = part.chars().take(40).collect();
            return Err(Error::argument(
                start,
                CLOSE,
                "the end of the page",
                "close the mark",
            ));
        };
        let answer = directives::answer(words.trim(), store, reports, "")?;
        // A table stands on lines of its own.
        let answer = match old.contains('\n') {
            true => format!("\n{}\n", answer.trim_end()),
            false => answer.trim().to_owned(),
        };
        filled += &format!("{OPEN}{words}{THEN}{answer}{CLOSE}{after}");
    }
    Ok(filled)
}

/// Fills in `path`; whether that changed anything.
///
/// # Errors
/// As [`filled`]; [`Error::Io`].
pub fn fill(path: &Path, store: &Store, reports: &Path) -> Result<bool> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io("read", path, e, "name the source tree with `root`"))?;
    let new = filled(&text, store, reports)?;
    if new != text {
        artefact::write(path, new.as_bytes())?;
    }
    Ok(new != text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let reports = crate::root().join("reports");
        let store = Store::read(&reports).unwrap();
        let fill = |text: &str| filled(text, &store, &reports);
        assert_eq!(fill("a <!-- b --> c").unwrap(), "a <!-- b --> c");
        let page = "x <!-- {{number speed/rates.csv count ratio as fixed 0}} -->99<!-- --> y";
        let table = "<!-- {{catalogue}} -->old<!-- -->";
        let found = fill(table).unwrap();
        assert!(!found.contains("old") && found.ends_with(CLOSE));
        assert_eq!(fill(&found).unwrap(), found);
        assert!(fill(&page.replace(CLOSE, "")).is_err());
        assert!(fill("<!-- {{surprise}} --><!-- -->").is_err());
    }
}
