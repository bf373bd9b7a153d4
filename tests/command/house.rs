//! The rules of the house, checked on the source itself.

use std::path::{Path, PathBuf};

use whitebox::claim::theorem::THEOREMS;

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

#[test]
fn imports_point_down() {
    let floor = |module: &str| FLOORS.iter().position(|f| f.contains(&module));
    for path in files(&root().join("src"), "rs") {
        let relative = path.strip_prefix(root().join("src")).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let Some(own) = floor(first.trim_end_matches(".rs")) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for part in line.split("crate::").skip(1) {
                let name: String = part.chars().take_while(|c| c.is_alphanumeric()).collect();
                if let Some(used) = floor(&name) {
                    assert!(
                        used <= own,
                        "{}:{} looks up to {name}",
                        relative.display(),
                        number + 1
                    );
                }
            }
        }
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

/// The program that a `cargo run` starts, as cargo built it for these tests.
fn program(options: &[&str]) -> &'static str {
    let named = options.iter().position(|&word| word == "--bin");
    match named.map(|at| options[at + 1]) {
        None => env!("CARGO_BIN_EXE_whitebox"),
        Some("bench_vs_pytorch") => env!("CARGO_BIN_EXE_bench_vs_pytorch"),
        Some("exp_blocks") => env!("CARGO_BIN_EXE_exp_blocks"),
        Some("exp_classify") => env!("CARGO_BIN_EXE_exp_classify"),
        Some("exp_codebook") => env!("CARGO_BIN_EXE_exp_codebook"),
        Some("exp_denoise") => env!("CARGO_BIN_EXE_exp_denoise"),
        Some("exp_derivation") => env!("CARGO_BIN_EXE_exp_derivation"),
        Some("exp_gradient") => env!("CARGO_BIN_EXE_exp_gradient"),
        Some("exp_ista") => env!("CARGO_BIN_EXE_exp_ista"),
        Some("exp_layerwise") => env!("CARGO_BIN_EXE_exp_layerwise"),
        Some("exp_objective") => env!("CARGO_BIN_EXE_exp_objective"),
        Some("exp_optima") => env!("CARGO_BIN_EXE_exp_optima"),
        Some("exp_optimiser") => env!("CARGO_BIN_EXE_exp_optimiser"),
        Some("exp_srr_generalization") => env!("CARGO_BIN_EXE_exp_srr_generalization"),
        Some("exp_subspaces") => env!("CARGO_BIN_EXE_exp_subspaces"),
        Some("exp_training_dynamics") => env!("CARGO_BIN_EXE_exp_training_dynamics"),
        Some("exp_transfer") => env!("CARGO_BIN_EXE_exp_transfer"),
        Some("exp_tssa") => env!("CARGO_BIN_EXE_exp_tssa"),
        Some(other) => panic!("no program {other}"),
    }
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

#[test]
fn every_claim_of_the_theory_has_a_verdict_and_every_verdict_its_tests() {
    let mut names = Vec::new();
    for folder in ["tests/theory", "tests/properties"] {
        for path in files(&root().join(folder), "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let found = text.lines().filter_map(|l| l.trim().strip_prefix("fn c_"));
            names.extend(found.map(|l| format!("c_{l}")));
        }
    }
    let page = std::fs::read_to_string(root().join("book/src/theory.md")).unwrap();
    assert!(page.contains("{{theorems}}"));
    for theorem in THEOREMS {
        let prefix = format!("{}_", theorem.tests);
        assert!(names.iter().any(|n| n.starts_with(&prefix)), "{prefix}");
    }
    for name in &names {
        let known = THEOREMS
            .iter()
            .any(|t| name.starts_with(&format!("{}_", t.tests)));
        assert!(known, "{name} settles no claim in src/claim/theorem.rs");
    }
    let mut settled: Vec<usize> = THEOREMS
        .iter()
        .filter_map(|t| theory_number(t.id))
        .collect();
    for path in files(&root().join("experiments"), "rs") {
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines().filter_map(|l| l.trim().strip_prefix("id: \"")) {
            settled.extend(theory_number(line));
        }
    }
    for number in 1..=39 {
        assert!(
            settled.contains(&number),
            "C-THY-{number:02} has no verdict"
        );
    }
}

#[test]
fn every_experiment_has_a_page_and_the_readme_states_its_verdicts_as_recorded() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut stated = 0;
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
        for verdict in verdicts {
            let claim = |key: &str| verdict["claim"][key].as_str().unwrap();
            if !readme.contains(&format!("| {} |", claim("id"))) {
                continue;
            }
            let outcome = match verdict["outcome"].as_str().unwrap() {
                "reproduced" => "reproduced",
                "partly" => "partly reproduced",
                "not_reproduced" => "not reproduced",
                _ => "not testable here",
            };
            // A bar inside a cell has to be escaped.
            let statement = claim("statement").replace('|', "\\|");
            let line = format!("| {} | {statement} | {outcome} |", claim("id"));
            assert!(readme.contains(&line), "README.md lacks: {line}");
            stated += 1;
        }
    }
    assert!(stated >= 13, "{stated}");
}
