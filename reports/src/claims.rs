//! Every claim with what became of it, from the records, the theorems and the list of those without a
//! verdict; the board on the front page and the pages of the families.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use whitebox::claim::family::{self, catalogued, is_catalogued, letters, FAMILIES};
use whitebox::claim::theorem::{Theorem, THEOREMS};
use whitebox::claim::untested::{Untested, UNTESTED};
use whitebox::claim::verdict::{Beside, Condition};
use whitebox::claim::{Held, Measured, Outcome, Role, Unit, Verdict, Whose};

use crate::store::{Record, Store};

/// How a claim stands, over all that was measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Tests and records say this, or those of them that could decide.
    Came(Outcome),
    /// Under other numbers of the catalogue.
    Elsewhere,
    /// No verdict.
    Open,
}

impl Standing {
    /// All, best first.
    pub const ALL: [Self; 7] = [
        Self::Came(Outcome::Supported),
        Self::Came(Outcome::NotSpecific),
        Self::Came(Outcome::Mixed),
        Self::Came(Outcome::Contradicted),
        Self::Came(Outcome::Inconclusive),
        Self::Elsewhere,
        Self::Open,
    ];

    /// Of several outcomes: what those say that decide, mixed where they differ.
    fn of(outcomes: impl Iterator<Item = Outcome>) -> Self {
        let all: BTreeSet<Outcome> = outcomes.collect();
        let decided: Vec<Outcome> = all
            .iter()
            .copied()
            .filter(|o| *o != Outcome::Inconclusive)
            .collect();
        match decided.as_slice() {
            [] if all.is_empty() => Self::Open,
            [] => Self::Came(Outcome::Inconclusive),
            [one] => Self::Came(*one),
            _ => Self::Came(Outcome::Mixed),
        }
    }

    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Came(Outcome::Supported) => "supported",
            Self::Came(Outcome::NotSpecific) => "not specific",
            Self::Came(Outcome::Mixed) => "mixed",
            Self::Came(Outcome::Contradicted) => "contradicted",
            Self::Came(Outcome::Inconclusive) => "inconclusive",
            Self::Elsewhere => "elsewhere",
            Self::Open => "open",
        }
    }

    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Came(Outcome::NotSpecific) => "unspecific",
            other => other.word(),
        }
    }

    /// The sign shown beside it: colour alone would leave some readers out.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Came(outcome) => sign(outcome),
            Self::Elsewhere => "→",
            Self::Open => "○",
        }
    }
}

/// The sign of an outcome.
fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Supported => "✓",
        Outcome::NotSpecific => "≈",
        Outcome::Mixed => "◐",
        Outcome::Contradicted => "✗",
        Outcome::Inconclusive => "?",
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

    /// Whose claim it is; of one without a verdict, nobody has looked.
    pub fn whose(&self) -> Option<Whose> {
        match self {
            Self::Measured(verdicts) => Some(verdicts[0].1.claim.whose),
            Self::Settled(theorem) => Some(theorem.whose),
            Self::Untested(_) => None,
        }
    }

    /// How it stands, on all data sets together.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Measured(verdicts) => Standing::of(verdicts.iter().map(|(_, v)| v.outcome)),
            Self::Settled(theorem) => Standing::Came(theorem.finding.outcome()),
            Self::Untested(untested) if untested.elsewhere => Standing::Elsewhere,
            Self::Untested(_) => Standing::Open,
        }
    }

    /// The outcome in words, on every data set where they differ.
    fn verdict(&self) -> String {
        match self {
            Self::Measured(verdicts) => {
                let words: BTreeSet<&str> = verdicts.iter().map(|(_, v)| v.words()).collect();
                if words.len() == 1 {
                    return verdicts[0].1.words().into();
                }
                let each = verdicts.iter().map(|(record, verdict)| {
                    format!("{} on {}", verdict.words(), data_set(record))
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Self::Settled(theorem) => theorem.finding.to_string(),
            Self::Untested(untested) if untested.elsewhere => untested.reason.into(),
            Self::Untested(_) => "no verdict".into(),
        }
    }

    /// The signs of its outcomes, one for every data set where they differ.
    fn signs(&self) -> String {
        match self {
            Self::Measured(verdicts) => {
                let all: Vec<&str> = verdicts.iter().map(|(_, v)| sign(v.outcome)).collect();
                match all.windows(2).all(|pair| pair[0] == pair[1]) {
                    true => all[0].into(),
                    false => all.concat(),
                }
            }
            _ => self.standing().sign().into(),
        }
    }

    /// Whose, and by what.
    fn how(&self) -> (&'static str, String) {
        let whose = self.whose().map_or("-", Whose::word);
        let how = match self {
            Self::Measured(verdicts) => format!("exp_{}", verdicts[0].0.experiment),
            Self::Settled(theorem) => format!("tests: {}", theorem.ground),
            Self::Untested(_) => "-".into(),
        };
        (whose, how)
    }
}

/// The data set of a record, for people.
fn data_set(record: &Record) -> &str {
    let names = record.provenance.data.first().map(|d| d.name.as_str());
    names.map_or("drawn data", |name| name.split(' ').next().unwrap_or(name))
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
        let own = letters(entry.id());
        let family = FAMILIES.iter().position(|f| f.letters == own);
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

/// Where a claim is: the page of its family, or the list of all for one of no family.
fn place(entry: &Entry<'_>, ending: &str) -> String {
    match family::family(entry.id()) {
        Some(family) => {
            let letters = family.letters.to_lowercase();
            format!("claims/{letters}.{ending}#{}", anchor(entry))
        }
        None => format!("register.{ending}"),
    }
}

/// Where a claim is on its family's page.
fn anchor(entry: &Entry<'_>) -> String {
    let kind = match entry {
        Entry::Settled(_) => "-tests",
        _ => "",
    };
    format!("{}{kind}", entry.id().to_lowercase())
}

/// A chip with a number.
fn counted(standing: Standing, number: usize) -> String {
    let (class, word, sign) = (standing.class(), standing.word(), standing.sign());
    format!("<span class=\"chip {class}\">{sign} {number} {word}</span>")
}

/// How much of the catalogue has a verdict, in a sentence.
pub fn catalogue(store: &Store) -> String {
    let entries = all(store);
    let count = |wanted: &dyn Fn(&Entry<'_>) -> bool| {
        let ids = entries
            .iter()
            .filter(|e| is_catalogued(e.id()) && wanted(e));
        ids.map(Entry::id).collect::<BTreeSet<_>>().len()
    };
    let own = count(&|e| !matches!(e, Entry::Untested(_)));
    let elsewhere = count(&|e| e.standing() == Standing::Elsewhere);
    let further: BTreeSet<&str> = entries
        .iter()
        .filter(|e| !is_catalogued(e.id()) && !matches!(e, Entry::Untested(_)))
        .map(Entry::id)
        .collect();
    format!(
        "Of the {} claims of the catalogue {own} have a verdict of their own, {elsewhere} are settled by others \
         of them, {} are open; {} further questions came up on the way.",
        catalogued(),
        catalogued() - own - elsewhere,
        further.len(),
    )
}

/// Above the board: how much of the catalogue has a verdict, whose claims came out how, and which records were
/// left out.
pub fn tally(store: &Store) -> String {
    let entries = all(store);
    let mut text = format!(
        "<p class=\"tally\">{} What tests and experiments ask differently under one number is shown twice: \
         {} entries.</p>\n",
        catalogue(store),
        entries.len(),
    );
    for whose in Whose::ALL {
        let own = entries.iter().filter(|e| e.whose() == Some(whose));
        let standings: Vec<Standing> = own.map(Entry::standing).collect();
        let chips = Standing::ALL.into_iter().filter_map(|standing| {
            let number = standings.iter().filter(|s| **s == standing).count();
            (number > 0).then(|| counted(standing, number))
        });
        let who = match whose {
            Whose::Authors => "What the authors claim",
            Whose::Critics => "What critics claim",
            Whose::Project => "What this project claims or asks",
        };
        let chips = chips.collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "<p class=\"tally\">{who}: {chips}</p>");
    }
    for refused in &store.refused {
        let (name, why) = (html(&refused.name), html(&refused.why));
        let _ = writeln!(text, "<p>The record of {name} is left out: {why}.</p>");
    }
    text
}

/// A claim as a link of such `class` that leads to it, without the `prefix` of its id.
fn chip(entry: &Entry<'_>, class: &str, prefix: &str, to_root: &str) -> String {
    let mark = match (entry, entry.whose()) {
        (Entry::Settled(_), _) => "<sup>t</sup>",
        (_, Some(Whose::Project)) => "<sup>p</sup>",
        (_, Some(Whose::Critics)) => "<sup>c</sup>",
        _ => "",
    };
    format!(
        "<a class=\"{class} {}\" href=\"{to_root}{}\" title=\"{}: {} ({})\">{} {}{mark}</a> ",
        entry.standing().class(),
        place(entry, "html"),
        entry.id(),
        html(entry.statement()),
        entry.verdict(),
        entry.signs(),
        entry.id().trim_start_matches(prefix),
    )
}

/// The claims behind a sentence, as chips: `ids`, with blanks between them. One whose record the store refused is left
/// out.
pub fn chips(store: &Store, ids: &str, to_root: &str) -> String {
    let entries = all(store);
    let own = |id: &'_ str| {
        let own = entries.iter().filter(|entry| entry.id() == id);
        let chips = own.map(|entry| chip(entry, "cited chip", "C-", to_root));
        chips.collect::<String>()
    };
    let text: String = ids.split(' ').map(own).collect();
    text.trim_end().to_owned()
}

/// The board: a row of chips for every family.
pub fn board(store: &Store) -> String {
    let entries = all(store);
    let mut text = String::from("<table class=\"board\"><tbody>\n");
    let rows = FAMILIES.into_iter().map(|f| (Some(f), f.title));
    for (family, title) in rows.chain([(None, "Of no family")]) {
        let own = |entry: &&Entry<'_>| family::family(entry.id()) == family;
        let prefix = family.map_or("C-".into(), |f| format!("C-{}-", f.letters));
        let chips: String = entries
            .iter()
            .filter(own)
            .map(|e| chip(e, "chip", &prefix, ""))
            .collect();
        let heading = match family {
            Some(f) => format!(
                "<a href=\"claims/{}.html\">{title}</a>",
                f.letters.to_lowercase()
            ),
            None if chips.is_empty() => continue,
            None => title.to_owned(),
        };
        let _ = writeln!(text, "<tr><th>{heading}</th><td>{chips}</td></tr>");
    }
    text.push_str("</tbody></table>\n");
    text
}

/// All claims in one table: statement, whose, by what, verdict.
pub fn register(store: &Store) -> String {
    let mut text =
        String::from("| claim | statement | whose | by | verdict |\n|---|---|---|---|---|\n");
    for entry in all(store) {
        let (whose, how) = entry.how();
        let _ = writeln!(
            text,
            "| [{}]({}) | {} | {whose} | {how} | {} {} |",
            entry.id(),
            place(&entry, "md"),
            markdown(entry.statement()),
            entry.signs(),
            entry.verdict(),
        );
    }
    text
}

/// The page of a family, below its title; `to_root` leads from the page to the front page.
pub fn family_page(store: &Store, own: &str, to_root: &str) -> String {
    let mut text = String::new();
    for entry in all(store) {
        if letters(entry.id()) != own {
            continue;
        }
        let _ = writeln!(
            text,
            "## {} {} {{#{}}}\n\n{}\n",
            entry.id(),
            entry.signs(),
            anchor(&entry),
            markdown(entry.statement()),
        );
        match &entry {
            Entry::Measured(verdicts) => measured(&mut text, verdicts, to_root),
            Entry::Settled(theorem) => {
                let _ = writeln!(
                    text,
                    "**{}** ({}){}{}. Source: {}. Tests: `cargo test {}`; in the whole: \
                     [the theory as properties]({to_root}theory.md).\n",
                    theorem.finding,
                    theorem.ground,
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

/// "Source: ..., claimed by the authors."
fn source(verdict: &Verdict) -> String {
    let claim = &verdict.claim;
    let pilot = if claim.pilot_informed {
        " Its bounds were set knowing the numbers of a pilot: before the run, but not blind."
    } else {
        ""
    };
    let whose = match claim.whose {
        Whose::Authors => "the authors",
        Whose::Critics => "critics",
        Whose::Project => "this project",
    };
    format!(
        "Source: {}, {}; a claim of {whose}.{pilot}",
        claim.paper, claim.place
    )
}

fn measured(text: &mut String, verdicts: &[(&Record, &Verdict)], to_root: &str) {
    let experiment = &verdicts[0].0.experiment;
    let _ = writeln!(
        text,
        "{} Experiment: [exp_{experiment}]({to_root}{experiment}.md).\n",
        source(verdicts[0].1)
    );
    for (record, verdict) in verdicts {
        let _ = writeln!(
            text,
            "**{} {}** in [{}]({to_root}data/{}/result.json){}\n",
            sign(verdict.outcome),
            verdict.words(),
            record.name,
            record.name,
            data(record)
        );
        conditions(text, verdict);
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

/// "at most" as a sign.
fn relation(condition: &Condition) -> String {
    let sign = match condition.relation.sign() {
        "<=" => "≤",
        _ => "≥",
    };
    format!(
        "{} {sign} {}",
        markdown(&condition.quantity),
        short(condition.bound)
    )
}

/// A number with its limits, and what they rest on.
fn number(measured: Option<&Measured>) -> (String, String) {
    let Some(found) = measured else {
        return ("-".into(), String::new());
    };
    let limits = found
        .interval
        .map(|[low, high]| format!(" [{}, {}]", short(low), short(high)));
    let rests = match (found.unit, found.count) {
        (Unit::Exact, _) => String::new(),
        (unit, 1) => format!("1 of the {}", unit.plural()),
        (unit, count) => format!("{count} {}", unit.plural()),
    };
    (
        format!("{}{}", short(found.value), limits.unwrap_or_default()),
        rests,
    )
}

fn conditions(text: &mut String, verdict: &Verdict) {
    text.push_str("| | asked | measured | of | |\n|---|---|---|---|---|\n");
    for condition in &verdict.conditions {
        let (value, mut rests) = number(condition.measured.as_ref());
        if let Some((met, of)) = condition.one_by_one().filter(|(_, of)| *of > 1) {
            let _ = write!(rests, "; {met} of {of} alone");
        }
        let _ = writeln!(
            text,
            "| {} | {} | {value} | {rests} | {} |",
            condition.role,
            relation(condition),
            condition.held,
        );
    }
    for Beside { quantity, measured } in &verdict.beside {
        let (value, rests) = number(measured.as_ref());
        let _ = writeln!(
            text,
            "| beside | {} | {value} | {rests} | |",
            markdown(quantity)
        );
    }
    text.push('\n');
}

/// The claims of a record with what has to hold, before the reader sees how they came out.
pub fn claims(record: &Record) -> String {
    let mut text = String::from("| claim | what has to hold |\n|---|---|\n");
    for verdict in &record.verdicts {
        let of = |role: Role| {
            let own = verdict.conditions.iter().filter(move |c| c.role == role);
            let words: Vec<String> = own.map(relation).collect();
            let name = match role {
                Role::Primary => String::new(),
                role => format!("*{role}:* "),
            };
            (!words.is_empty()).then(|| format!("{name}{}", words.join("; ")))
        };
        let roles = [Role::Primary, Role::Secondary, Role::Control, Role::Check];
        let asked: Vec<String> = roles.into_iter().filter_map(of).collect();
        let _ = writeln!(
            text,
            "| **{}** {}.<br>{} | {} |",
            verdict.claim.id,
            markdown(&verdict.claim.statement),
            markdown(&source(verdict)),
            asked.join("<br>")
        );
    }
    text.push('\n');
    text
}

/// The claims of a record with their outcomes.
pub fn outcomes(record: &Record) -> String {
    let mut text = String::from("| claim | statement | verdict |\n|---|---|---|\n");
    for verdict in &record.verdicts {
        let (id, words) = (&verdict.claim.id, verdict.words());
        let statement = verdict.claim.statement.replace('|', "\\|");
        let _ = writeln!(text, "| {id} | {statement} | {words} |");
    }
    text
}

/// The verdicts of one record as a table.
pub fn verdicts(record: &Record) -> String {
    let mut text = String::from("| claim | statement | verdict |\n|---|---|---|\n");
    for verdict in &record.verdicts {
        let id = &verdict.claim.id;
        let entry = Entry::Measured(vec![(record, verdict)]);
        let _ = writeln!(
            text,
            "| [{id}]({}) | {} | {} {} |",
            place(&entry, "md"),
            markdown(&verdict.claim.statement),
            sign(verdict.outcome),
            verdict.words(),
        );
    }
    text.push('\n');
    for verdict in &record.verdicts {
        let failing = verdict.conditions.iter().any(|c| c.held != Held::Yes);
        let why = if failing {
            format!("<p>{}</p>\n\n", html(&verdict.reason()))
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "<details><summary>{}: what was asked and measured</summary>\n\n{why}",
            verdict.claim.id
        );
        conditions(&mut text, verdict);
        text.push_str("</details>\n\n");
    }
    let provenance = &record.provenance;
    let judged = record.judged.as_deref().map(commit);
    let judged = judged
        .map(|c| format!(", judged by the criteria of {c}"))
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "<p class=\"provenance\">Recorded by <code>{}</code>{} at {}{judged}, in {}, on {}. \
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
        "| claim | says | tests show | and rest on | limits, correction or counter-example |\n|---|---|---|---|---|\n",
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
    fn data_sets_that_disagree_make_a_claim_mixed_and_what_cannot_decide_does_not_count() {
        use Outcome::*;
        let of = |outcomes: &[Outcome]| Standing::of(outcomes.iter().copied());
        assert_eq!(of(&[Supported, Supported]), Standing::Came(Supported));
        assert_eq!(of(&[Supported, Contradicted]), Standing::Came(Mixed));
        assert_eq!(
            of(&[Inconclusive, Contradicted]),
            Standing::Came(Contradicted)
        );
        assert_eq!(of(&[Inconclusive]), Standing::Came(Inconclusive));
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
            assert!(family::family(entry.id()).is_some(), "{}", entry.id());
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
