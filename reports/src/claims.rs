//! Every claim with what became of it, from the records, the theorems and the list of those without a
//! verdict; the board on the front page and the pages of the families.

use std::collections::BTreeMap;
use std::fmt::Write;

use polars::prelude::*;
use whitebox::harness::theorem::{Finding, Theorem, THEOREMS};

use crate::store::{Criterion, Record, Store, Verdict};
use crate::untested::{Untested, UNTESTED};

/// The families, in the order of the catalogue: letters of the id, title, page below `claims/`.
pub const FAMILIES: [(&str, &str); 10] = [
    ("THY", "Theory"),
    ("LAY", "Layer by layer"),
    ("CLS", "Classification"),
    ("SEG", "Segmentation"),
    ("MAE", "Masked autoencoding"),
    ("NLP", "Language"),
    ("SSL", "Self-supervision"),
    ("VAR", "Variants"),
    ("CRIT", "Critique"),
    ("SUP", "Supplement"),
];

/// How a claim stands, in one word for both sorts of verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Reproduced, or a theorem that holds.
    Holds,
    /// Reproduced in part, a theorem that holds within limits, or one that had to be corrected.
    Partly,
    /// Not reproduced, or wrong.
    Fails,
    /// Under other numbers of the catalogue.
    Elsewhere,
    /// No verdict.
    Open,
}

impl Standing {
    /// All, best first.
    pub const ALL: [Self; 5] = [
        Self::Holds,
        Self::Partly,
        Self::Fails,
        Self::Elsewhere,
        Self::Open,
    ];

    /// The word shown, which is also its class in the style sheet.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Partly => "partly",
            Self::Fails => "fails",
            Self::Elsewhere => "elsewhere",
            Self::Open => "open",
        }
    }

    /// The sign shown beside it: colour alone would leave some readers out.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Holds => "✓",
            Self::Partly => "◐",
            Self::Fails => "✗",
            Self::Elsewhere => "→",
            Self::Open => "○",
        }
    }
}

/// A claim's outcome in words.
pub fn outcome(word: &str) -> (&'static str, Standing) {
    match word {
        "reproduced" => ("reproduced", Standing::Holds),
        "partly" => ("partly reproduced", Standing::Partly),
        "not_reproduced" => ("not reproduced", Standing::Fails),
        _ => ("not testable here", Standing::Open),
    }
}

/// One claim of the book.
#[derive(Debug)]
pub enum Entry<'a> {
    /// By experiments: at least one record with its verdict, the experiment's own data set first.
    Measured(Vec<(&'a Record, &'a Verdict)>),
    /// By tests.
    Settled(&'static Theorem),
    /// Not.
    Untested(&'static Untested),
}

impl Entry<'_> {
    /// Catalogue number.
    pub fn id(&self) -> &str {
        match self {
            Self::Measured(verdicts) => &verdicts[0].1.claim.id,
            Self::Settled(theorem) => theorem.id,
            Self::Untested(untested) => untested.id,
        }
    }

    /// What it says.
    pub fn statement(&self) -> &str {
        match self {
            Self::Measured(verdicts) => &verdicts[0].1.claim.statement,
            Self::Settled(theorem) => theorem.statement,
            Self::Untested(untested) => untested.statement,
        }
    }

    /// How it stands: by the experiment's own data set.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Measured(verdicts) => outcome(&verdicts[0].1.outcome).1,
            Self::Settled(theorem) => match theorem.finding {
                Finding::Holds => Standing::Holds,
                Finding::HoldsWithin | Finding::Corrected => Standing::Partly,
                Finding::Fails => Standing::Fails,
            },
            Self::Untested(untested) if untested.elsewhere => Standing::Elsewhere,
            Self::Untested(_) => Standing::Open,
        }
    }

    fn verdict(&self) -> String {
        match self {
            Self::Measured(verdicts) => outcome(&verdicts[0].1.outcome).0.into(),
            Self::Settled(theorem) => theorem.finding.to_string(),
            Self::Untested(untested) if untested.elsewhere => untested.reason.into(),
            Self::Untested(_) => "no verdict".into(),
        }
    }

    fn how(&self) -> (String, String) {
        match self {
            Self::Measured(verdicts) => {
                let claim = &verdicts[0].1.claim;
                (claim.kind.clone(), format!("{} scale", claim.scale))
            }
            Self::Settled(_) => ("theorem".into(), "every case drawn".into()),
            Self::Untested(_) => ("-".into(), "-".into()),
        }
    }
}

/// The letters of a catalogue number: "LAY" of "C-LAY-01-caption".
pub fn family(id: &str) -> &str {
    id.split('-').nth(1).unwrap_or("")
}

/// All claims, in the order of family and number. A claim that tests and experiments both speak to appears
/// once for each: they are different questions under one number.
pub fn all(store: &Store) -> Vec<Entry<'_>> {
    let mut measured: BTreeMap<&str, Vec<(&Record, &Verdict)>> = BTreeMap::new();
    for record in &store.records {
        for verdict in &record.verdicts {
            let found = measured.entry(&verdict.claim.id).or_default();
            if record.name == record.experiment {
                found.insert(0, (record, verdict));
            } else {
                found.push((record, verdict));
            }
        }
    }
    let mut entries: Vec<Entry<'_>> = measured.into_values().map(Entry::Measured).collect();
    entries.extend(THEOREMS.iter().map(Entry::Settled));
    entries.extend(UNTESTED.iter().map(Entry::Untested));
    let place = |entry: &Entry<'_>| {
        let letters = family(entry.id());
        let family = FAMILIES.iter().position(|(known, _)| *known == letters);
        let settled = matches!(entry, Entry::Settled(_));
        (
            family.unwrap_or(FAMILIES.len()),
            entry.id().to_owned(),
            !settled,
        )
    };
    entries.sort_by_key(place);
    entries
}

/// Where a claim is on its family's page.
fn anchor(entry: &Entry<'_>) -> String {
    let kind = match entry {
        Entry::Settled(_) => "-tests",
        _ => "",
    };
    format!("{}{kind}", entry.id().to_lowercase())
}

/// The number of claims by family and standing, counted by polars.
fn counts(entries: &[Entry<'_>]) -> PolarsResult<DataFrame> {
    let families: Vec<&str> = entries.iter().map(|e| family(e.id())).collect();
    let standings = entries.iter().map(|e| e.standing().word());
    DataFrame::new_infer_height(vec![
        Column::new("family".into(), families),
        Column::new("standing".into(), standings.collect::<Vec<_>>()),
    ])
}

fn count(frame: &DataFrame, standing: Standing) -> PolarsResult<usize> {
    let column = frame.column("standing")?.as_materialized_series().str()?;
    let same = |word: Option<&str>| word == Some(standing.word());
    let mask: BooleanChunked = column.iter().map(same).collect();
    Ok(frame.filter(&mask)?.height())
}

/// The line above the board: how many claims stand how, and which records were left out.
///
/// # Errors
/// Those of polars.
pub fn tally(store: &Store) -> PolarsResult<String> {
    let entries = all(store);
    let frame = counts(&entries)?;
    let mut text = format!(
        "<p class=\"tally\"><strong>{}</strong> claims: ",
        entries.len()
    );
    for (index, standing) in Standing::ALL.into_iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let number = count(&frame, standing)?;
        let (word, sign) = (standing.word(), standing.sign());
        let _ = write!(
            text,
            "{comma}<span class=\"chip {word}\">{sign} {number} {word}</span>"
        );
    }
    text.push_str("</p>\n");
    for refused in &store.refused {
        let (name, why) = (html(&refused.name), html(&refused.why));
        let _ = writeln!(text, "<p>The record of {name} is left out: {why}.</p>");
    }
    Ok(text)
}

/// The board: a row of chips for every family.
pub fn board(store: &Store) -> String {
    let entries = all(store);
    let mut text = String::from("<table class=\"board\"><tbody>\n");
    for (letters, title) in FAMILIES {
        let page = format!("claims/{}.html", letters.to_lowercase());
        let _ = write!(text, "<tr><th><a href=\"{page}\">{title}</a></th><td>");
        for entry in entries.iter().filter(|e| family(e.id()) == letters) {
            let standing = entry.standing();
            let _ = write!(
                text,
                "<a class=\"chip {}\" href=\"{page}#{}\" title=\"{}: {} ({})\">{} {}{}</a> ",
                standing.word(),
                anchor(entry),
                entry.id(),
                html(entry.statement()),
                entry.verdict(),
                standing.sign(),
                entry.id().trim_start_matches(&format!("C-{letters}-")),
                match entry {
                    Entry::Settled(_) => "<sup>t</sup>",
                    _ => "",
                },
            );
        }
        text.push_str("</td></tr>\n");
    }
    text.push_str("</tbody></table>\n");
    text
}

/// All claims in one table: statement, kind, scale, verdict.
pub fn register(store: &Store) -> String {
    let mut text =
        String::from("| claim | statement | kind | scale | verdict |\n|---|---|---|---|---|\n");
    for entry in all(store) {
        let (kind, scale) = entry.how();
        let standing = entry.standing();
        let _ = writeln!(
            text,
            "| [{}](claims/{}.md#{}) | {} | {kind} | {scale} | {} {} |",
            entry.id(),
            family(entry.id()).to_lowercase(),
            anchor(&entry),
            cell(entry.statement()),
            standing.sign(),
            entry.verdict(),
        );
    }
    text
}

/// The page of a family, below its title; `to_root` leads from the page to the front page.
pub fn family_page(store: &Store, letters: &str, to_root: &str) -> String {
    let mut text = String::new();
    for entry in all(store) {
        if family(entry.id()) != letters {
            continue;
        }
        let standing = entry.standing();
        let _ = writeln!(
            text,
            "## {} {} {{#{}}}\n\n{}\n",
            entry.id(),
            standing.sign(),
            anchor(&entry),
            markdown(entry.statement()),
        );
        match &entry {
            Entry::Measured(verdicts) => measured(&mut text, verdicts, to_root),
            Entry::Settled(theorem) => {
                let _ = writeln!(
                    text,
                    "**{}**{}{}. Source: {}. Tests: `cargo test {}`; in the whole: \
                     [the theory as properties]({to_root}theory.md).\n",
                    theorem.finding,
                    if theorem.detail.is_empty() { "" } else { ": " },
                    markdown(theorem.detail),
                    theorem.source,
                    theorem.tests
                );
            }
            Entry::Untested(untested) => {
                let (reason, source) = (untested.reason, untested.source);
                let _ = match untested.elsewhere {
                    true => write!(
                        text,
                        "**no verdict of its own**, {reason}. Source: {source}."
                    ),
                    false => write!(text, "**no verdict**: {reason}. Source: {source}."),
                };
                if !untested.page.is_empty() {
                    let page = untested.page.replace(".html", ".md");
                    let _ = write!(text, " [More]({to_root}{page}).");
                }
                text.push_str("\n\n");
            }
        }
    }
    text
}

fn measured(text: &mut String, verdicts: &[(&Record, &Verdict)], to_root: &str) {
    let claim = &verdicts[0].1.claim;
    let experiment = &verdicts[0].0.experiment;
    let _ = writeln!(
        text,
        "Source: {}, {}. Kind: {}. Scale: {}. Experiment: [exp_{experiment}]({to_root}{experiment}.md).\n",
        claim.paper, claim.location, claim.kind, claim.scale
    );
    for (record, verdict) in verdicts {
        let (word, standing) = outcome(&verdict.outcome);
        let _ = writeln!(
            text,
            "**{} {word}** in [{}]({to_root}data/{}/result.json){}\n",
            standing.sign(),
            record.name,
            record.name,
            data(record)
        );
        criteria(text, verdict);
    }
}

/// " on fashion-mnist train, fashion-mnist test".
fn data(record: &Record) -> String {
    let names: Vec<&str> = record
        .provenance
        .data
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!(" on {}", names.join(", ")),
    }
}

fn criteria(text: &mut String, verdict: &Verdict) {
    text.push_str("| | asked | measured | |\n|---|---|---|---|\n");
    for criterion in &verdict.claim.criteria {
        let Criterion {
            role,
            quantity,
            relation,
            bound,
        } = criterion;
        let found = verdict
            .measurements
            .iter()
            .find(|m| m.quantity == *quantity);
        let value = found.and_then(|m| m.value);
        let (sign, holds) = match relation.as_str() {
            "at_most" => ("≤", value.zip(*bound).is_some_and(|(v, bound)| v <= bound)),
            _ => ("≥", value.zip(*bound).is_some_and(|(v, bound)| v >= bound)),
        };
        let _ = writeln!(
            text,
            "| {role} | {} {sign} {} | {} | {} |",
            cell(quantity),
            bound.map_or("-".into(), short),
            value.map_or("-".into(), short),
            if value.is_none() {
                "not measured"
            } else if holds {
                "yes"
            } else {
                "no"
            }
        );
    }
    text.push('\n');
}

/// The verdicts of one record as a table.
pub fn verdicts(record: &Record) -> String {
    let mut text = String::from("| claim | statement | verdict |\n|---|---|---|\n");
    for verdict in &record.verdicts {
        let id = &verdict.claim.id;
        let (word, standing) = outcome(&verdict.outcome);
        let _ = writeln!(
            text,
            "| [{id}](claims/{}.md#{}) | {} | {} {word} |",
            family(id).to_lowercase(),
            id.to_lowercase(),
            cell(&verdict.claim.statement),
            standing.sign(),
        );
    }
    text.push('\n');
    for verdict in &record.verdicts {
        let _ = writeln!(
            text,
            "<details><summary>{}: what was asked and measured</summary>\n",
            verdict.claim.id
        );
        criteria(&mut text, verdict);
        text.push_str("</details>\n\n");
    }
    let provenance = &record.provenance;
    let _ = writeln!(
        text,
        "<p class=\"provenance\">Recorded by <code>{}</code>{} at {}, in {}, on {}. \
         <a href=\"data/{}/result.json\">Every number</a>; \
         <a href=\"data/{}/runs.jsonl\">every run</a>.</p>\n",
        html(&provenance.command.join(" ")),
        html(&data(record)),
        commit(&provenance.commit),
        duration(provenance.time.wall_seconds),
        html(&provenance.machine),
        record.name,
        record.name
    );
    text
}

/// The first letters of a commit, with the mark of an altered tree.
fn commit(full: &str) -> String {
    match full.split_once('+') {
        Some((commit, changes)) => format!("{}+{changes}", &commit[..commit.len().min(9)]),
        None => full[..full.len().min(9)].to_owned(),
    }
}

/// "50 min", "12 s".
fn duration(seconds: f64) -> String {
    if seconds >= 120.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{seconds:.0} s")
    }
}

/// The theorems as a table.
pub fn theorems() -> String {
    let mut text = String::from(
        "| claim | says | tests show | limits, correction or counter-example |\n|---|---|---|---|\n",
    );
    for theorem in THEOREMS {
        let _ = writeln!(text, "{}", theorem.row());
    }
    text
}

/// Four digits, or as an exponent where those would say nothing.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e5).contains(&size) {
        let digits = if size >= 100.0 { 1 } else { 4 };
        let text = format!("{value:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    } else {
        format!("{value:.1e}")
    }
}

/// Text that Markdown leaves as it is.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(
            letter,
            '*' | '_' | '^' | '[' | ']' | '<' | '>' | '$' | '|' | '~'
        ) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// The same inside a table.
fn cell(text: &str) -> String {
    markdown(text)
}

/// Text inside an HTML attribute or element.
fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_what_they_say() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(-0.73426), "-0.7343");
        assert_eq!(short(295.3677), "295.4");
        assert_eq!(short(2.5e-7), "2.5e-7");
        assert_eq!(short(12.0), "12");
    }

    #[test]
    fn every_claim_belongs_to_a_family_and_no_untested_one_is_tested() {
        let store = Store::read(&crate::root().join("reports")).unwrap_or_default();
        let entries = all(&store);
        assert!(entries.len() > 100, "{}", entries.len());
        let tested: Vec<&str> = entries
            .iter()
            .filter(|e| !matches!(e, Entry::Untested(_)))
            .map(Entry::id)
            .collect();
        for entry in &entries {
            let letters = family(entry.id());
            assert!(
                FAMILIES.iter().any(|(known, _)| *known == letters),
                "{letters}"
            );
            if let Entry::Untested(untested) = entry {
                assert!(
                    !tested.contains(&untested.id),
                    "{} has a verdict",
                    untested.id
                );
                assert!(!untested.reason.is_empty());
            }
        }
    }
}
