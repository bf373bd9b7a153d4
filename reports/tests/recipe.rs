//! The recipe of `book/src/adding.md`, followed in a copy of book and reports.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::process::Command;

use whitebox_reports::store::Store;
use whitebox_reports::{root, site};

use support::copy;

#[test]
fn a_claim_that_is_added_as_the_book_says_runs_and_stands_on_the_board() {
    let folder = tempfile::tempdir().unwrap();
    let copied = |name: &str| {
        let to = folder.path().join(name);
        copy(&root().join(name), &to);
        to
    };
    let (book, reports) = (copied("book"), copied("reports"));
    // What pages show of the source.
    for name in ["src", "experiments", "tests", "README.md", "Cargo.toml"] {
        std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
    }

    // Its experiment, which is an example until it is moved, and built by `cargo test`: the first run is the record.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let run = Command::new(cargo)
        .args(["run", "--example", "exp_mixing", "--", "--root"])
        .arg(folder.path())
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(said.contains("C-SUP-99"), "{said}");
    assert!(reports.join("mixing/result.json").is_file());

    // Its page.
    let page = std::fs::read_to_string(book.join("template/mixing.md")).unwrap();
    std::fs::write(book.join("src/mixing.md"), page).unwrap();
    let summary = book.join("src/SUMMARY.md");
    let text = std::fs::read_to_string(&summary).unwrap();
    std::fs::write(&summary, text + "\n- [Mixing tokens](mixing.md)\n").unwrap();

    let out = folder.path().join("html");
    let store = Store::read(&reports).unwrap();
    assert!(store.refused.is_empty(), "{:?}", store.refused);
    site::build(&book, &reports, store, &out).unwrap();
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let chip = read("index.html");
    assert!(
        chip.contains("title=\"C-SUP-99: Averaging tokens"),
        "not on the board"
    );
    for page in ["mixing.html", "claims/sup.html"] {
        assert!(read(page).contains("C-SUP-99"), "{page}");
    }
    assert!(!read("mixing.html").contains("{{"));
}
