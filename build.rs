//! Writes the state of the source into the programs, so that a record says what it was made by wherever the
//! program is run.

use std::path::Path;
use std::process::Command;

/// What the programs are made of.
const SOURCES: [&str; 5] = ["src", "experiments", "Cargo.toml", "Cargo.lock", "build.rs"];

fn main() {
    for source in SOURCES.into_iter().filter(|s| Path::new(s).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    let of_sources = |arguments: &[&str]| git(&[arguments, &["--"], &SOURCES].concat());
    // The last commit that changed them: others leave the programs as they are.
    let commit = of_sources(&["log", "-1", "--format=%H"]).filter(|commit| !commit.is_empty());
    let changes = of_sources(&["status", "--porcelain"]);
    let (Some(commit), Some(changes)) = (commit, changes) else {
        return;
    };
    if changes.is_empty() {
        println!("cargo::rustc-env=WHITEBOX_COMMIT={commit}");
        return;
    }
    println!("cargo::rustc-env=WHITEBOX_COMMIT={commit}+changes");
    // Committing the changes is seen only here.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        if Path::new(&log).exists() {
            println!("cargo::rerun-if-changed={log}");
        }
    }
}

/// What git says, without the blanks at its ends; none without git or a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
