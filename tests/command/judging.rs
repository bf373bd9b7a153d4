//! The records that ship, against the criteria in the source.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::succeed;

/// The folders below `folder` with the record of an experiment.
fn records(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let own = ["quick", "latest", "speed"];
        if path.is_dir() && !own.iter().any(|name| path.ends_with(name)) {
            records(&path, found);
        } else if path.ends_with("result.json") {
            found.push(folder.to_owned());
        }
    }
}

fn read(folder: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("result.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What came out of every claim, and of every condition.
fn outcomes(record: &serde_json::Value) -> Vec<String> {
    let verdicts = record["verdicts"].as_array().unwrap();
    let words = verdicts.iter().map(|verdict| {
        let conditions = verdict["conditions"].as_array().unwrap();
        let held = conditions
            .iter()
            .map(|c| format!("{}: {}", c["quantity"], c["held"]));
        let held = held.collect::<Vec<_>>().join(", ");
        format!("{} {} {held}", verdict["claim"]["id"], verdict["outcome"])
    });
    words.collect()
}

/// The same but for what another processor may round otherwise.
fn assert_same_table(recorded: &Path, fresh: &Path) {
    let fields = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.split([',', '\n']).map(str::to_owned).collect()
    };
    let (recorded_fields, fresh_fields) = (fields(recorded), fields(fresh));
    assert_eq!(
        recorded_fields.len(),
        fresh_fields.len(),
        "{}",
        recorded.display()
    );
    for (a, b) in recorded_fields.iter().zip(&fresh_fields) {
        let close = match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs(),
            _ => false,
        };
        assert!(a == b || close, "{}: {a}, {b}", recorded.display());
    }
}

#[test]
fn every_record_is_judged_as_it_says_and_its_tables_follow_from_its_results() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let mut folders = Vec::new();
    records(&reports, &mut folders);
    let mut judged = 0;
    for folder in folders {
        let before = read(&folder);
        if before["schema"] != 3 {
            continue;
        }
        let name = folder.strip_prefix(&reports).unwrap();
        let root = tempfile::tempdir().unwrap();
        let copy = root.path().join("reports").join(name);
        std::fs::create_dir_all(&copy).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
        }
        let program = format!("exp_{}", before["experiment"].as_str().unwrap());
        let program = Path::new(env!("CARGO_BIN_EXE_whitebox")).with_file_name(program);
        let mut command = Command::new(program);
        command.args(["--judge", "--root"]).arg(root.path());
        // The record of another data set lies below the experiment's.
        if let Some(data) = name.iter().nth(1) {
            command.arg("--data").arg(data);
        }
        succeed(&mut command);
        let after = read(&copy);
        let name = name.display();
        assert_eq!(outcomes(&before), outcomes(&after), "{name}");
        assert_eq!(before["results"], after["results"], "{name}");
        let tables = before["files"].as_object().unwrap().keys();
        for table in tables.filter(|file| file.ends_with(".csv")) {
            assert_same_table(&folder.join(table), &copy.join(table));
        }
        judged += 1;
    }
    assert!(judged >= 7, "{judged}");
}
