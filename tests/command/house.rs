//! The rules of the house, checked on the source itself.

use std::path::{Path, PathBuf};

use whitebox::claim::theorem::{Finding, Ground, THEOREMS};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// Floors from the ground up; a module may name those of its own floor and below.
const FLOORS: [&[&str]; 5] = [
    &[
        "artefact",
        "error",
        "mask",
        "memory",
        "parallel",
        "seed",
        "vectorised",
    ],
    &["data", "exact", "fused"],
    &["model"],
    &["claim", "measure", "train"],
    &["harness"],
];

/// The paths that a tree of imports names: `crate::{a, b::{c, d}}` is `crate::a`, `crate::b::c`, `crate::b::d`.
fn branches(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((stem, inner)) = tree.split_once('{') else {
        // A leaf: what it is called here does not matter.
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inner = inner.strip_suffix('}').expect(tree);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    let parts = parts.flat_map(|part| branches(part));
    parts.map(|part| format!("{stem}{part}")).collect()
}

/// Modules of this crate that a file names, as paths from its root, in imports and elsewhere; not in its tests
/// nor in its comments. `module` is the file's own path.
fn named_modules(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    let code = lines.collect::<Vec<_>>().join("\n");
    let imports = code.split(';').filter_map(|part| {
        let (before, tree) = part.rsplit_once("use ")?;
        let starts = before.is_empty() || before.ends_with(['\n', ' ', '(', ')']);
        starts.then(|| tree.replace('\n', " "))
    });
    let mut paths: Vec<String> = imports.flat_map(|tree| branches(&tree)).collect();
    let inline = code.split("crate::").skip(1).map(|rest| {
        let path = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        format!("crate::{}", path.into_iter().next().unwrap())
    });
    paths.extend(inline);
    let absolute = paths.iter().filter_map(|path| {
        let words = path.split("::").map(|word| word.trim().to_owned());
        let mut words = words.filter(|word| !word.is_empty()).peekable();
        let mut base = match words.peek()?.as_str() {
            "crate" => {
                words.next();
                Vec::new()
            }
            "self" => {
                words.next();
                module.to_vec()
            }
            "super" => module.to_vec(),
            _ => return None,
        };
        while words.next_if(|word| word == "super").is_some() {
            base.pop();
        }
        base.extend(words);
        Some(base)
    });
    absolute.collect()
}

/// Every file of the library with its path as a module, and the modules it names.
fn modules() -> Vec<(Vec<String>, Vec<Vec<String>>)> {
    let source = root().join("src");
    let paths = files(&source, "rs").into_iter();
    let paths = paths.filter(|path| !path.ends_with("lib.rs") && !path.ends_with("main.rs"));
    let modules = paths.map(|path| {
        let relative = path.strip_prefix(&source).unwrap().with_extension("");
        let words = relative
            .iter()
            .map(|word| word.to_str().unwrap().to_owned());
        let mut module: Vec<String> = words.collect();
        if module.last().is_some_and(|word| word == "mod") {
            module.pop();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let named = named_modules(&text, &module);
        (module, named)
    });
    modules.collect()
}

#[test]
fn imports_are_read_through_braces_and_upwards() {
    let text = "use std::{fmt, io};\nuse crate::{memory, exact::{ista as i, mssa}};\nuse super::claim::Claim;\n\
                // crate::comment\nfn f() { crate::seed::stream(0) }\n\
                #[cfg(test)]\nmod tests { use crate::model; }";
    let module = ["harness", "run"].map(str::to_owned);
    let found: Vec<String> = named_modules(text, &module)
        .iter()
        .map(|p| p.join("::"))
        .collect();
    let wanted = [
        "memory",
        "exact::ista",
        "exact::mssa",
        "harness::claim::Claim",
    ];
    for name in wanted.iter().chain(&["seed::stream"]) {
        assert!(found.contains(&(*name).to_owned()), "{name}: {found:?}");
    }
    assert!(!found
        .iter()
        .any(|name| name.contains("comment") || name.contains("model")));
}

#[test]
fn imports_point_down() {
    let floor = |module: &str| FLOORS.iter().position(|f| f.contains(&module));
    for (module, named) in modules() {
        let Some(own) = floor(&module[0]) else {
            continue;
        };
        for name in named {
            let used = name.first().and_then(|name| floor(name));
            let (here, there) = (module.join("::"), name.join("::"));
            assert!(
                used.is_none_or(|used| used <= own),
                "{here} looks up to {there}"
            );
        }
    }
    for path in files(&root().join("src"), "rs") {
        let relative = path.strip_prefix(root().join("src")).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for (room, stranger) in [("exact", "dfdx"), ("fused", "dfdx"), ("fused", "ndarray")] {
            let uses = text.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with(&format!("use {stranger}"))
            });
            assert!(
                !(first == room && uses),
                "{} uses {stranger}",
                relative.display()
            );
        }
    }
}

#[test]
fn imports_go_round_in_no_circle() {
    let modules = modules();
    let uses: Vec<Vec<usize>> = modules
        .iter()
        .map(|(module, named)| {
            // The file that a name is in, if it is not the own one.
            let file = |name: &Vec<String>| {
                let stems = (1..=name.len()).rev().map(|length| &name[..length]);
                let mut found =
                    stems.filter_map(|stem| modules.iter().position(|(m, _)| m == stem));
                found.next().filter(|&at| modules[at].0 != *module)
            };
            named.iter().filter_map(file).collect()
        })
        .collect();
    // A file is open while what it uses is looked through: one that is met open is in a circle.
    fn visit(
        at: usize,
        uses: &[Vec<usize>],
        open: &mut Vec<usize>,
        done: &mut [bool],
    ) -> Option<Vec<usize>> {
        if let Some(start) = open.iter().position(|&other| other == at) {
            return Some(open[start..].to_vec());
        }
        if done[at] {
            return None;
        }
        open.push(at);
        let found = uses[at]
            .iter()
            .find_map(|&next| visit(next, uses, open, done));
        open.pop();
        done[at] = true;
        found
    }
    let mut done = vec![false; modules.len()];
    for at in 0..modules.len() {
        let circle = visit(at, &uses, &mut Vec::new(), &mut done);
        let names = circle.map(|c| {
            c.iter()
                .map(|&at| modules[at].0.join("::"))
                .collect::<Vec<_>>()
        });
        assert_eq!(names, None, "these files use each other");
    }
    assert!(uses.iter().map(Vec::len).sum::<usize>() > 200);
}

#[test]
fn every_piece_of_code_that_the_book_shows_exists() {
    let source = root().join("book/src");
    let mut shown = 0;
    for page in files(&source, "md") {
        let text = std::fs::read_to_string(&page).unwrap();
        for include in text.split("{{#include ").skip(1) {
            let target = include.split("}}").next().unwrap();
            let (path, anchor) = target.split_once(':').unwrap_or((target, ""));
            let file = page.parent().unwrap().join(path);
            let code = std::fs::read_to_string(&file).expect(target);
            if anchor.is_empty() {
                // A table that a program wrote, shown whole.
                assert!(path.ends_with(".md"), "{target} in {}", page.display());
                continue;
            }
            for mark in ["ANCHOR", "ANCHOR_END"] {
                let line = format!("{mark}: {anchor}");
                let count = code
                    .lines()
                    .filter(|l| l.trim_end_matches("-->").trim_end().ends_with(&line))
                    .count();
                assert_eq!(count, 1, "{target} in {}", page.display());
            }
            shown += 1;
        }
        let summary = std::fs::read_to_string(source.join("SUMMARY.md")).unwrap();
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.contains(name), "{name}");
    }
    assert!(shown >= 4);
}

/// The file that `path`, as `exact::mssa::ssa`, is in below one of `folders`, and the names of it that are no files.
fn place<'a>(path: &'a str, folders: &[&str]) -> (PathBuf, Vec<&'a str>) {
    let words: Vec<&str> = path.split("::").collect();
    for folder in folders {
        for length in (1..=words.len()).rev() {
            let stem = root().join(folder).join(words[..length].join("/"));
            for file in [stem.with_extension("rs"), stem.join("mod.rs")] {
                if file.is_file() {
                    return (file, words[length..].to_vec());
                }
            }
        }
    }
    panic!("{path} is nowhere below {folders:?}");
}

/// Whether `text` defines `name`.
fn defines(text: &str, name: &str) -> bool {
    let keywords = ["fn", "struct", "enum", "trait", "const", "type"];
    keywords.iter().any(|keyword| {
        let start = format!("{keyword} {name}");
        text.match_indices(&start).any(|(at, _)| {
            let next = text[at + start.len()..].chars().next();
            !next.is_some_and(|c| c.is_alphanumeric() || c == '_')
        })
    })
}

/// What stands between backquotes in `cell`.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Numbers as `(4.2.13)` in `text`.
fn numbered(text: &str) -> Vec<String> {
    let inner = text
        .split('(')
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    let is_number = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        let digits = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        parts.len() == 3 && parts.iter().all(digits)
    };
    let numbers = inner.map(|(word, _)| word).filter(|word| is_number(word));
    numbers.map(|word| format!("({word})")).collect()
}

#[test]
fn every_equation_leads_to_its_function_kernel_and_test() {
    let page = std::fs::read_to_string(root().join("book/src/equations.md")).unwrap();
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    // Comments go on in the next line.
    let flat = |text: &str| {
        let lines = text.lines().map(|line| {
            let line = line.trim();
            line.trim_start_matches(['/', '!']).trim()
        });
        lines.collect::<Vec<_>>().join(" ")
    };
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells[1] == "equation" {
            continue;
        }
        assert_eq!(cells.len(), 8, "{line}");
        let (equation, exact, tests) = (cells[1], quoted(cells[3]), cells[6]);
        let named: Vec<&str> = cells[3..6].iter().flat_map(|cell| quoted(cell)).collect();
        assert!(!named.is_empty() && !tests.is_empty(), "{line}");
        let mut sources = String::new();
        for path in &named {
            let (file, items) = place(path, &["src"]);
            let text = read(&file);
            for item in items {
                assert!(defines(&text, item), "{}: no {item}", file.display());
            }
            sources.push_str(&flat(&text));
        }
        for tag in equation.split(", ") {
            let number = numbered(tag).pop();
            let paper = ["NeurIPS", "arXiv"]
                .iter()
                .any(|word| tag.starts_with(word));
            let claim = tag.strip_prefix("claim ");
            let wanted = number.or_else(|| paper.then(|| tag.to_owned()));
            let wanted = wanted.as_deref().or(claim);
            assert!(
                wanted.is_none_or(|wanted| sources.contains(wanted)),
                "{tag}: {named:?}"
            );
        }
        if tests == "its example" {
            assert!(sources.contains("# Example"), "{line}");
        }
        let mut checked = String::new();
        for path in quoted(tests) {
            let (file, items) = place(path, &["tests", "src"]);
            let text = read(&file);
            assert_eq!(items.len(), 1, "{path}");
            assert!(defines(&text, items[0]), "{}: no {path}", file.display());
            checked.push_str(&text);
        }
        let called = exact.iter().any(|path| {
            let name = path.rsplit("::").next().unwrap();
            checked.contains(name)
        });
        assert!(
            called || exact.is_empty() || tests == "its example",
            "{line}"
        );
        rows += 1;
    }
    assert!(rows >= 40, "{rows}");
    for path in files(&root().join("src"), "rs") {
        for number in numbered(&read(&path)) {
            assert!(
                page.contains(&number),
                "{}: {number} is not in equations.md",
                path.display()
            );
        }
    }
}

/// Public functions of a file, not of its tests: documentation and signature.
fn public_functions(text: &str) -> Vec<(String, String)> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let (mut found, mut documentation) = (Vec::new(), String::new());
    let mut lines = code.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("///") {
            documentation.push_str(line);
            documentation.push('\n');
        } else if line.starts_with("pub fn ") || line.starts_with("pub const fn ") {
            let mut signature = line.to_owned();
            while !signature.contains('{') {
                signature.push_str(lines.next().expect(line));
            }
            found.push((std::mem::take(&mut documentation), signature));
        } else if !line.starts_with(['#', '/']) {
            documentation.clear();
        }
    }
    found
}

#[test]
fn numeric_functions_say_their_shapes_and_errors_themselves() {
    let mut functions = 0;
    let rooms = ["exact", "fused", "measure"];
    let mut paths: Vec<PathBuf> = rooms
        .iter()
        .flat_map(|room| files(&root().join("src").join(room), "rs"))
        .collect();
    paths.extend(["src/parallel.rs", "src/vectorised.rs"].map(|file| root().join(file)));
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for (documentation, signature) in public_functions(&text) {
            let place = format!("{}: {signature}", path.display());
            let (arguments, result) = signature.rsplit_once("->").unwrap_or((&signature, ""));
            if result.trim().starts_with("Result") {
                assert!(documentation.contains("# Errors"), "{place}");
            }
            let exact = path.starts_with(root().join("src/exact"));
            if exact && arguments.contains("Array") {
                let said = ["# Shapes", "any shape"];
                assert!(
                    said.iter().any(|word| documentation.contains(word)),
                    "{place}"
                );
            }
            // rustdoc shows each function alone.
            for elsewhere in ["As there", "/// As [`"] {
                assert!(!documentation.contains(elsewhere), "{place}");
            }
            functions += 1;
        }
    }
    assert!(functions > 250, "{functions}");
}

/// The program that a `cargo run` starts, as cargo built it for these tests: all of them lie in one folder.
fn program(options: &[&str]) -> PathBuf {
    let named = options.iter().position(|&word| word == "--bin");
    let name = named.map_or("whitebox", |at| options[at + 1]);
    let program = Path::new(env!("CARGO_BIN_EXE_whitebox")).with_file_name(name);
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.is_file(), "no program {name}");
    program
}

/// The programs read their flags in order and stop at `--help`: what they do not know before it is an error.
#[test]
fn every_command_that_readme_book_and_experiments_show_is_understood() {
    let mut pages = files(&root().join("book/src"), "md");
    pages.push(root().join("README.md"));
    pages.extend(files(&root().join("experiments"), "rs"));
    let mut understood = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in text.split("cargo run ").skip(1) {
            let command = command.split(['\n', '`']).next().unwrap();
            let words: Vec<&str> = command.split_whitespace().collect();
            let (options, arguments) = match words.iter().position(|&word| word == "--") {
                Some(at) => (&words[..at], &words[at + 1..]),
                None => (&words[..], &[][..]),
            };
            // The book's own program is checked with it; the example of its walk-through is the reader's.
            if options.contains(&"-p") || page.ends_with("adding.md") {
                continue;
            }
            let mut run = std::process::Command::new(program(options));
            let output = run.args(arguments).arg("--help").output().unwrap();
            assert!(output.status.success(), "{}: {command}", page.display());
            understood += 1;
        }
    }
    assert!(understood > 20, "{understood}");
}

/// The number at the end of a catalogue id, "C-THY-05": 5.
fn theory_number(id: &str) -> Option<usize> {
    let digits = id.strip_prefix("C-THY-")?.get(..2)?;
    digits.parse().ok()
}

/// A test that is named after a claim.
struct Test {
    name: String,
    /// In cases that proptest draws.
    drawn: bool,
    /// In draws of fixed seeds.
    sampled: bool,
}

fn theory_tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for folder in ["tests/theory", "tests/properties"] {
        for path in files(&root().join(folder), "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut drawn = false;
            for line in text.lines() {
                match line {
                    "proptest! {" => drawn = true,
                    "}" => drawn = false,
                    _ => {}
                }
                let name = line.trim().strip_prefix("fn c_");
                tests.extend(name.map(|name| Test {
                    name: format!("c_{name}"),
                    drawn,
                    sampled: path.iter().any(|part| part == "draws"),
                }));
            }
        }
    }
    tests
}

#[test]
fn every_claim_of_the_theory_has_a_verdict_and_every_verdict_its_tests() {
    let tests = theory_tests();
    let page = std::fs::read_to_string(root().join("book/src/theory.md")).unwrap();
    assert!(page.contains("{{theorems}}"));
    let mut measured = Vec::new();
    for path in files(&root().join("experiments"), "rs") {
        let text = std::fs::read_to_string(path).unwrap();
        let ids = text.split('"').filter(|word| word.starts_with("C-"));
        measured.extend(ids.map(str::to_owned));
    }
    for theorem in THEOREMS {
        let prefix = format!("{}_", theorem.tests);
        let own: Vec<&Test> = tests
            .iter()
            .filter(|t| t.name.starts_with(&prefix))
            .collect();
        assert!(!own.is_empty(), "{prefix}");
        let (sampled, drawn) = (own.iter().any(|t| t.sampled), own.iter().any(|t| t.drawn));
        match theorem.ground {
            Ground::Draws(_) => assert!(
                sampled,
                "{} has no sample in tests/theory/draws",
                theorem.id
            ),
            Ground::Identity | Ground::Property => assert!(drawn, "{} has no proptest", theorem.id),
        }
        let says_all = theorem.finding == Finding::Holds;
        assert!(
            !says_all || drawn,
            "{} holds, but no proptest says so",
            theorem.id
        );
    }
    for Test { name, .. } in &tests {
        let ids = measured
            .iter()
            .map(|id| id.to_lowercase().replace('-', "_"));
        let mut prefixes = THEOREMS.iter().map(|t| t.tests.to_owned()).chain(ids);
        let known = prefixes.any(|prefix| name.starts_with(&format!("{prefix}_")));
        assert!(
            known,
            "{name} settles no claim in src/claim/theorem.rs, and no experiment measures it"
        );
    }
    let ids = THEOREMS
        .iter()
        .map(|t| t.id)
        .chain(measured.iter().map(String::as_str));
    let settled: Vec<usize> = ids.filter_map(theory_number).collect();
    for number in 1..=39 {
        assert!(
            settled.contains(&number),
            "C-THY-{number:02} has no verdict"
        );
    }
}

/// A case that is a seed cannot shrink, and a bound that is a bare number does not say where it comes from.
#[test]
fn property_tests_draw_numbers_and_name_their_tolerances() {
    let mut checks = 0;
    for folder in ["tests/theory", "tests/properties"] {
        for path in files(&root().join(folder), "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let sampled = path.iter().any(|part| part == "draws");
            for (number, line) in text.lines().enumerate() {
                let place = format!("{}:{}", path.display(), number + 1);
                let seeds = ["any::<u64>", "gaussian(", ".draw("];
                let seeded = seeds.iter().find(|word| line.contains(**word));
                assert!(sampled || seeded.is_none(), "{place} draws a seed: {line}");
                let check = ["assert", "near", "at_most("];
                if check.iter().any(|word| line.contains(word)) {
                    checks += 1;
                    let bare = line
                        .split("e-")
                        .skip(1)
                        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
                    assert!(!bare, "{place} has a bound without a name: {line}");
                }
            }
        }
    }
    assert!(checks > 100, "{checks}");
}

#[test]
fn an_experiment_is_thin_and_nothing_but_its_question() {
    let mut lengths = Vec::new();
    for path in files(&root().join("experiments"), "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        let length = text.lines().count();
        assert!(length <= 200, "{}: {length} lines", path.display());
        lengths.push(length);
        for plumbing in ["fn judge", "Provenance", "serde_json", "std::fs"] {
            let found = text.contains(plumbing);
            assert!(!found, "{}: {plumbing}", path.display());
        }
    }
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= 150, "{lengths:?}");
}

/// What README.md and the pages say of a record is held against it by the tests of the book's own package.
#[test]
fn every_record_is_no_trial_and_has_its_page() {
    let mut records = 0;
    for folder in std::fs::read_dir(root().join("reports")).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(record) = std::fs::read_to_string(folder.join("result.json")) else {
            continue;
        };
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["quick"], false);
        let name = record["experiment"].as_str().unwrap();
        let page = std::fs::read_to_string(root().join(format!("book/src/{name}.md"))).unwrap();
        let verdicts = record["verdicts"].as_array().unwrap();
        let asked = format!("{{{{verdicts {name}}}}}");
        assert!(verdicts.is_empty() || page.contains(&asked), "{name}.md");
        records += 1;
    }
    assert!(records >= 15, "{records}");
}

/// What trains labelled pictures trains any task: the loop names none.
#[test]
fn the_training_loop_knows_neither_pictures_nor_labels() {
    for file in [
        "mod",
        "state",
        "average",
        "ahead",
        "shards",
        "optimiser",
        "task",
    ] {
        let text = std::fs::read_to_string(root().join(format!("src/train/{file}.rs"))).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code.lines().map(|line| line.split("//").next().unwrap());
        for line in lines {
            for word in ["Images", "label", "Classifier"] {
                assert!(!line.contains(word), "src/train/{file}.rs: {line}");
            }
        }
    }
}
