//! What a page may ask for between double braces, and where its figures lie on the site.
//!
//! | written | becomes |
//! |---|---|
//! | `{{number TABLE AGGREGATE COLUMN ... as FORMAT}}` | a number, see [`crate::table`] |
//! | `{{measured RECORD CLAIM: QUANTITY as FORMAT}}` | a number that a criterion is about |
//! | `{{verdicts RECORD}}` | its claims with criteria, numbers, outcomes and provenance |
//! | `{{claims RECORD}}` | the same without the numbers: what has to hold |
//! | `{{outcomes RECORD}}` | its claims with their outcomes, and nothing else |
//! | `{{catalogue}}`, `{{settled}}` | how many claims have a verdict, and how many of them by tests |
//! | `{{board}}`, `{{tally}}`, `{{register}}` | all claims: as chips, counted, as a table |
//! | `{{chips ID ..}}` | the claims behind a sentence, as on the board |
//! | `{{family LETTERS}}` | the page of a family |
//! | `{{theorems}}` | what tests settle |
//! | `![text](../../reports/NAME.svg)` | a figure with its text and a link to its data |
//! | `](../../reports/FILE)` | a link to the file's copy on the site |
//!
//! Of a record that the store refused only its absence is shown.

use std::path::Path;

use whitebox::claim::theorem::THEOREMS;
use whitebox::{Error, Result};

use crate::store::Store;
use crate::{claims, formulas, table};

/// Where pages find the reports, seen from the source of a page.
const REPORTS: &str = "../../reports/";

/// `page` of the chapter at `path` (relative to the book's source), with everything asked for filled in.
///
/// # Errors
/// [`Error::Argument`] naming what cannot be filled in; those of [`table::answer`] and
/// [`formulas::render`].
pub fn expand(page: &str, path: &Path, store: &Store, reports: &Path) -> Result<String> {
    let depth = path.components().count().saturating_sub(1);
    let to_root = "../".repeat(depth);
    let mut text = String::with_capacity(page.len());
    let code = formulas::code(page);
    let mut done = 0;
    while let Some(start) = page[done..].find("{{").map(|i| done + i) {
        let Some(end) = page[start..].find("}}").map(|i| start + i) else {
            break;
        };
        text.push_str(&page[done..start]);
        let words = &page[start + 2..end];
        done = end + 2;
        // mdBook's own, and what a page shows as code.
        if words.starts_with('#') || code.iter().any(|range| range.contains(&start)) {
            text.push_str(&page[start..done]);
        } else {
            text.push_str(&answer(words.trim(), store, reports, &to_root)?);
        }
    }
    text.push_str(&page[done..]);
    let text = figures(&text, &to_root, store, reports)?;
    formulas::render(&text)
}

/// What stands for `words`; `to_root` leads from the page to the front page.
///
/// # Errors
/// As [`expand`].
pub fn answer(words: &str, store: &Store, reports: &Path, to_root: &str) -> Result<String> {
    let refused = |wanted: String| Error::argument(words, wanted, "none", "correct the page");
    let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    let record = match name {
        "number" => rest.split(' ').next().map_or("", folder),
        "measured" => rest.split(' ').next().unwrap_or(""),
        _ => rest.as_str(),
    };
    if store.refused(record).is_some() {
        return Ok(left_out(record));
    }
    Ok(match name {
        "number" => table::answer(reports, &rest)?,
        "measured" => measured(&rest, store)?,
        "verdicts" => {
            let record = store.get(&rest);
            claims::verdicts(record.ok_or_else(|| refused("a record below reports".into()))?)
        }
        "board" => claims::board(store),
        "chips" => claims::chips(store, &rest, to_root),
        "claims" => {
            let record = store.get(&rest);
            claims::claims(record.ok_or_else(|| refused("a record below reports".into()))?)
        }
        "outcomes" => {
            let record = store.get(&rest);
            claims::outcomes(record.ok_or_else(|| refused("a record below reports".into()))?)
        }
        "catalogue" => claims::catalogue(store),
        "settled" => THEOREMS.len().to_string(),
        "tally" => claims::tally(store),
        "register" => claims::register(store),
        "family" => claims::family_page(store, &rest, to_root),
        "theorems" => claims::theorems(),
        _ => return Err(refused("one of the directives".into())),
    })
}

/// What stands in the place of everything from a record that cannot be used.
fn left_out(record: &str) -> String {
    format!("(the record of {record} is left out: see the front page)")
}

/// The folder of a file below the reports, which is the name of its record.
fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The number that a verdict of a record rests on.
fn measured(rest: &str, store: &Store) -> Result<String> {
    let refused = |wanted: &str| Error::argument(rest, wanted, "none", "correct the page");
    let (what, format) = rest
        .rsplit_once(" as ")
        .ok_or_else(|| refused("a format"))?;
    let (place, quantity) = what.split_once(": ").ok_or_else(|| refused("a quantity"))?;
    let (record, id) = place.split_once(' ').ok_or_else(|| refused("a claim"))?;
    let record = store.get(record).ok_or_else(|| refused("a record"))?;
    let mut verdicts = record.verdicts.iter().filter(|v| v.claim.id == id);
    let verdict = verdicts
        .next()
        .ok_or_else(|| refused("a claim of the record"))?;
    let asked = verdict
        .conditions
        .iter()
        .map(|c| (&c.quantity, &c.measured));
    let beside = verdict.beside.iter().map(|b| (&b.quantity, &b.measured));
    let mut found = asked.chain(beside).filter(|(name, _)| *name == quantity);
    let value = found.next().and_then(|(_, m)| m.as_ref()).map(|m| m.value);
    table::format(
        value.ok_or_else(|| refused("a number of the verdict"))?,
        format,
    )
    .ok_or_else(|| refused("fixed, signed, percent, points or thousands, and digits"))
}

/// Figures and links to files of the reports, as they stand on the site.
fn figures(page: &str, to_root: &str, store: &Store, reports: &Path) -> Result<String> {
    let mut text = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(start) = rest.find("![") {
        text.push_str(&rest[..start]);
        let image = &rest[start..];
        let parts = image[2..].split_once("](").and_then(|(words, after)| {
            let (target, after) = after.split_once(')')?;
            Some((words, target.strip_prefix(REPORTS)?, after))
        });
        let Some((words, target, after)) = parts else {
            text.push_str("![");
            rest = &image[2..];
            continue;
        };
        let (file, folder) = (reports.join(target), folder(target));
        if store.refused(folder).is_some() {
            text.push_str(&left_out(folder));
            rest = after;
            continue;
        }
        if !file.is_file() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::io("read", file, missing, "run the experiment"));
        }
        text.push_str(&format!(
            "<figure><img src=\"{to_root}data/{target}\" alt=\"{words}\" loading=\"lazy\">\
             <figcaption>{words}. <a href=\"{to_root}data/{folder}/result.json\">Data</a>\
             </figcaption></figure>"
        ));
        rest = after;
    }
    text.push_str(rest);
    Ok(text.replace(&format!("]({REPORTS}"), &format!("]({to_root}data/")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_asks_for_is_filled_in_but_not_in_code() {
        let reports = crate::root().join("reports");
        let store = Store::read(&reports).unwrap();
        let fill = |page: &str| expand(page, Path::new("claims/lay.md"), &store, &reports);
        let page = "`{{board}}` {{#include x.md}} {{verdicts layerwise}}";
        let found = fill(page).unwrap();
        assert!(found.starts_with("`{{board}}` {{#include x.md}} | claim"));
        assert!(found.contains("C-LAY-01") && !found.contains("{{verdicts"));
        let figure = fill("![a b](../../reports/layerwise/rate.svg)").unwrap();
        assert!(figure.contains("src=\"../data/layerwise/rate.svg\" alt=\"a b\""));
        for wrong in [
            "{{verdicts nothing}}",
            "{{surprise}}",
            "![a](../../reports/no.svg)",
        ] {
            assert!(fill(wrong).is_err(), "{wrong}");
        }
    }
}
