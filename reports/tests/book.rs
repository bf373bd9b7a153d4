//! The book as a whole: it builds, its links lead somewhere, its numbers come from records.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use whitebox::claim::family::{letters, FAMILIES};
use whitebox_reports::claims::{self, Entry};
use whitebox_reports::store::Store;
use whitebox_reports::{formulas, root, site};

use support::copy;

fn reports() -> PathBuf {
    root().join("reports")
}

fn store() -> Store {
    let store = Store::read(&reports()).unwrap();
    assert!(store.refused.is_empty(), "{:?}", store.refused);
    store
}

fn built() -> &'static Path {
    static SITE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    SITE.get_or_init(|| {
        // Below target, which is rebuilt at will.
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("html");
        // Broken links and images, and pages that would load something from elsewhere, are errors.
        site::build(&root().join("book"), &reports(), store(), &out).unwrap();
        out
    })
}

fn page(name: &str) -> String {
    std::fs::read_to_string(built().join(name)).unwrap()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_front_page_shows_every_claim_once() {
    let front = page("index.html");
    let chips = front.matches("<a class=\"chip ").count();
    let store = store();
    let all = claims::all(&store);
    assert_eq!(chips, all.len());
    assert!(front.contains("data/layerwise/rate.svg"));
}

#[test]
fn every_sentence_of_the_summary_rests_on_claims_with_outcomes() {
    let text = std::fs::read_to_string(root().join("book/src/index.md")).unwrap();
    let (_, summary) = text.split_once("## In two minutes").unwrap();
    let store = store();
    let all = claims::all(&store);
    let points: Vec<&str> = summary.split("\n- ").skip(1).collect();
    assert!(points.len() >= 8);
    for point in points {
        let asked = point.split("{{chips ").nth(1);
        let asked = asked.unwrap_or_else(|| panic!("no claims behind: {point}"));
        let (ids, _) = asked.split_once("}}").unwrap();
        for id in ids.split_whitespace() {
            let mut own = all.iter().filter(|entry| entry.id() == id);
            let came = own.any(|entry| !matches!(entry, Entry::Untested(_)));
            assert!(came, "{id} has no outcome");
        }
    }
}

#[test]
fn a_table_of_another_run_is_named_and_none_of_its_record_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (damaged, out) = (folder.path().join("reports"), folder.path().join("html"));
    copy(&reports(), &damaged);
    let table = damaged.join("classify/means.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, text.replacen('8', "9", 1)).unwrap();
    let store = Store::read(&damaged).unwrap();
    assert_eq!(store.refused.len(), 1);
    site::build(&root().join("book"), &damaged, store, &out).unwrap();
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert!(read("index.html").contains("means.csv"));
    let page = read("classify.html");
    assert!(page.contains("the record of classify is left out"));
    assert!(!page.contains("data/classify/accuracy.svg"));
    assert!(read("layerwise.html").contains("data/layerwise/rate.svg"));
}

#[test]
fn every_claim_has_a_page_and_a_verdict_or_a_reason() {
    let store = store();
    for family in FAMILIES {
        let page = page(&format!("claims/{}.html", family.letters.to_lowercase()));
        for entry in claims::all(&store) {
            if letters(entry.id()) != family.letters {
                continue;
            }
            assert!(page.contains(entry.id()), "{}", entry.id());
            if let Entry::Untested(untested) = entry {
                assert!(page.contains("no verdict"), "{}", untested.id);
            }
        }
    }
}

#[test]
fn every_claim_that_a_page_names_exists() {
    let store = store();
    let all = claims::all(&store);
    for path in sources(&root().join("book/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("C-") {
            let id: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            let mut parts = id.split('-').skip(1);
            let letters = parts.next().unwrap_or("");
            let numbered = parts.next().is_some_and(|n| n.parse::<u8>().is_ok());
            if !FAMILIES.iter().any(|f| f.letters == letters) || !numbered {
                continue;
            }
            let known = all.iter().any(|entry| {
                let full = entry.id();
                full == id
                    || full
                        .strip_prefix(&id)
                        .is_some_and(|rest| rest.starts_with('-'))
            });
            assert!(known, "{} names {id}", path.display());
        }
    }
}

#[test]
fn no_number_of_a_result_is_typed_by_hand() {
    for path in sources(&root().join("book/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        // A page that states verdicts; what others say in numbers is published or a setting.
        if !text.contains("{{verdicts ") {
            continue;
        }
        let code = formulas::code(&text);
        let plain: String = text
            .char_indices()
            .filter(|(at, _)| !code.iter().any(|range| range.contains(at)))
            .map(|(_, letter)| letter)
            .collect();
        let mut prose = String::new();
        let mut rest = plain.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            prose.push_str(before);
            rest = after.split_once("}}").unwrap().1;
        }
        prose.push_str(rest);
        // Formulas, targets of links, numbers of papers.
        let prose: String = prose.split('$').step_by(2).collect();
        let prose: String = prose
            .split("](")
            .enumerate()
            .map(|(i, part)| {
                let end = part.find(')').filter(|_| i > 0).unwrap_or(0);
                &part[end..]
            })
            .collect();
        let words = prose.split(|c: char| c.is_whitespace() || "(),;:".contains(c));
        for (before, word) in words.clone().zip(words.skip(1)) {
            let mut parts = word.trim_end_matches('.').split('.');
            let number =
                |part: Option<&str>| part.is_some_and(|p| p.chars().any(|c| c.is_ascii_digit()));
            let fraction = number(parts.next()) && number(parts.next());
            assert!(!fraction || before == "arXiv", "{}: {word}", path.display());
        }
    }
}

#[test]
fn formulas_are_rendered_and_searchable_text_is_there() {
    let step = page("compression.html");
    assert!(step.contains("<math") && !step.contains("$$"));
    let index = std::fs::read_dir(built())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("searchindex"))
        .unwrap();
    assert!(std::fs::read_to_string(index).unwrap().contains("Neumann"));
}

#[test]
fn every_figure_has_words_for_those_who_cannot_see_it() {
    for path in sources(&root().join("book/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for image in text.split("![").skip(1) {
            let words = image.split(']').next().unwrap();
            assert!(words.len() > 15, "{}: {words:?}", path.display());
        }
    }
}

#[test]
fn every_experiment_on_record_has_its_page() {
    for record in store().records {
        let page = root().join(format!("book/src/{}.md", record.experiment));
        let text = std::fs::read_to_string(&page).expect(&record.experiment);
        if !record.verdicts.is_empty() && record.name == record.experiment {
            let asked = format!("{{{{verdicts {}}}}}", record.name);
            assert!(text.contains(&asked), "{} lacks {asked}", page.display());
        }
    }
}

#[test]
fn the_readme_says_what_the_records_say() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let filled = whitebox_reports::readme::filled(&text, &store(), &reports()).unwrap();
    assert!(
        text == filled,
        "run: cargo run --release -p whitebox-reports -- readme"
    );
}
