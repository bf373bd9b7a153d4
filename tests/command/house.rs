//! The rules of the house, checked on the source itself.

use std::path::{Path, PathBuf};

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
    &["artefact", "error", "parallel", "seed"],
    &["data", "exact", "fused"],
    &["model"],
    &["measure", "train"],
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
            let (path, anchor) = target.split_once(':').unwrap();
            let code = std::fs::read_to_string(page.parent().unwrap().join(path)).unwrap();
            for mark in ["ANCHOR", "ANCHOR_END"] {
                let line = format!("{mark}: {anchor}");
                let count = code
                    .lines()
                    .filter(|l| l.trim_end().ends_with(&line))
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
