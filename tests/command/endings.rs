//! How a training ends, and what it leaves of what was there before: signals, a second run, numbers that
//! grow without bound, a file that is taken.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dfdx::prelude::Cpu;
use whitebox::model::{checkpoint, Classifier, Config};

use crate::{fail, first_training_of, succeed, text, tiny_network, training_of, whitebox};

/// Starts a training and waits until its first epoch is over, as the table beside `out` tells.
fn on_its_way(command: &mut Command, out: &Path) -> Child {
    let course = out.with_extension("safetensors.csv");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    while !course.exists() {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "over too soon");
    }
    child
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    succeed(Command::new("kill").args([name, &pid]));
}

#[cfg(unix)]
#[test]
fn a_signal_to_end_stops_in_good_order_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let long = || training_of(60, &out);
    succeed(&mut long());
    let whole = std::fs::read(&out).unwrap();
    let course = folder.path().join("net.safetensors.csv");
    for name in ["-INT", "-TERM", "-HUP"] {
        for file in [&out, &course] {
            std::fs::remove_file(file).unwrap();
        }
        let child = on_its_way(&mut long(), &out);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{name}: {message}");
        assert!(message.contains("stopped after step"), "{message}");
        succeed(long().arg("--resume"));
        assert!(std::fs::read(&out).unwrap() == whole, "other bytes");
    }
    // Now that it is done, there is nothing to go on with.
    let words = ["--resume", "net.safetensors.state"];
    fail(long().arg("--resume"), 2, &words);
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_the_caller_ignores_is_left_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let training = training_of(40, &out);
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]);
    nohup.arg(training.get_program()).args(training.get_args());
    let child = on_its_way(&mut nohup, &out);
    signal(&child, "-HUP");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(out.exists());
}

#[test]
fn the_second_of_two_trainings_into_one_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let mut first = on_its_way(&mut first_training_of(200, &out), &out);
    let words = ["net.safetensors", "wait for the other run", "--out"];
    fail(&mut first_training_of(200, &out), 1, &words);
    assert!(first.try_wait().unwrap().is_none(), "the first one ended");
    assert!(first.wait().unwrap().success());
    // Its lock is gone with it.
    let left = std::fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["net.safetensors", "net.safetensors.csv"]);
}

#[test]
fn a_finished_training_is_neither_repeated_nor_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let printed = succeed(&mut first_training_of(3, &out));
    let whole = std::fs::read(&out).unwrap();
    let written = std::fs::metadata(&out).unwrap().modified().unwrap();
    // The same again: nothing to do, and the same numbers.
    assert_eq!(succeed(&mut first_training_of(3, &out)), printed);
    // More epochs, another seed, another recipe: each named, with the ways out.
    let more = [
        "net.safetensors",
        "recipe.epochs 3 (here 5)",
        "finetune",
        "--replace",
    ];
    fail(&mut first_training_of(5, &out), 2, &more);
    let mut other = first_training_of(3, &out);
    fail(other.args(["--seed", "4"]), 2, &["seed 0 (here 4)"]);
    let mut wider = first_training_of(3, &out);
    fail(
        wider.args(["--architecture", "vit"]),
        2,
        &["(here \"vit\")"],
    );
    assert!(std::fs::read(&out).unwrap() == whole, "changed");
    assert_eq!(
        std::fs::metadata(&out).unwrap().modified().unwrap(),
        written
    );
    succeed(&mut training_of(5, &out));
    assert!(std::fs::read(&out).unwrap() != whole);
    // What is no training at all is not lost either.
    std::fs::write(&out, b"a thesis").unwrap();
    fail(
        &mut first_training_of(3, &out),
        2,
        &["net.safetensors", "another file", "--replace"],
    );
    assert_eq!(std::fs::read(&out).unwrap(), b"a thesis");
}

#[test]
fn a_training_that_diverges_names_the_epoch_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    std::fs::write(&out, b"before").unwrap();
    // The only step: the loss before it is a number, the network after it is none. And several, with a state
    // asked for after each.
    for (batch, save_every) in [("1000", "300"), ("20", "0")] {
        let mut command = tiny_network(batch);
        command
            .args(["--set", "learning_rate=1e38", "--set", "warmup_epochs=0"])
            .args(["--save-every", save_every, "--replace", "--out"])
            .arg(&out);
        fail(&mut command, 1, &["in epoch 1", "learning_rate", "--set"]);
        assert_eq!(std::fs::read(&out).unwrap(), b"before");
        let left = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(left.count(), 1, "something else was written");
    }
}

/// A network for the procedural pictures with a head that gives every class `weight * z + bias`.
fn write_network(path: &Path, weight: f32, bias: f32) {
    let config = Config {
        depth: 1,
        ..Config::preset("demo").unwrap().with_width(8, 2).unwrap()
    };
    let config = config.for_images(1, [28, 28], 10);
    let mut network: Classifier<f32, Cpu> = Classifier::new(config, 0, &Cpu::default()).unwrap();
    let mut parameters = network.parameters();
    for found in &mut parameters {
        match found.parameter.name.as_str() {
            "mlp_head.1.weight" => found.values.fill(weight),
            "mlp_head.1.bias" => found.values.fill(bias),
            _ => {}
        }
    }
    network.set_parameters(&parameters).unwrap();
    checkpoint::write(path, &network, &serde_json::json!({})).unwrap();
}

#[test]
fn equal_logits_find_one_class_and_logits_that_are_no_numbers_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let evaluate = || {
        let mut command = whitebox();
        command
            .args(["evaluate", "--data", "procedural", "--limit", "40"])
            .arg("--checkpoint")
            .arg(&path);
        command
    };
    write_network(&path, 0.0, 0.0);
    let printed = succeed(&mut evaluate());
    let top1 = printed.split("top-1 ").nth(1).unwrap();
    let top1: f64 = top1.split(' ').next().unwrap().parse().unwrap();
    assert!((1.0..30.0).contains(&top1), "{printed}");
    assert!(printed.contains("loss 2.3026"), "{printed}");
    // Every number of the file is one; the sums are not.
    write_network(&path, 3e38, 3e38);
    let words = ["logits of picture 0 of 40", "finite", "for class 0"];
    fail(&mut evaluate(), 1, &words);
    let images = ndarray::Array4::from_elem((2, 1, 28, 28), 0.5f64);
    crate::write_npy(&folder.path().join("x.npy"), &images);
    let mut forward = whitebox();
    forward.arg("forward").arg("--checkpoint").arg(&path);
    forward.arg("--input").arg(folder.path().join("x.npy"));
    forward.arg("--output").arg(folder.path().join("y.npy"));
    fail(&mut forward, 1, &["logits of picture 0 of", "x.npy"]);
    assert!(!folder.path().join("y.npy").exists());
}

#[cfg(unix)]
#[test]
fn files_of_a_training_have_the_permissions_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (mask, mode) in [("077", 0o600), ("002", 0o664), ("022", 0o644)] {
        let out = folder.path().join(format!("{mask}.safetensors"));
        let training = first_training_of(1, &out);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"]);
        succeed(shell.arg(training.get_program()).args(training.get_args()));
        for file in [out.clone(), out.with_extension("safetensors.csv")] {
            let found = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{}", file.display());
        }
    }
}

#[test]
fn a_program_that_was_moved_writes_below_the_working_directory_and_knows_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("exp_layerwise");
    std::fs::copy(env!("CARGO_BIN_EXE_exp_layerwise"), &program).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    let trial = |root: Option<&Path>| {
        let mut command = Command::new(&program);
        command
            .current_dir(folder.path())
            // Nothing is to be learned from the machine that built it.
            .env("PATH", "")
            .args(["--quick", "--preset", "demo", "--data", "procedural"]);
        if let Some(root) = root {
            command.arg("--root").arg(root);
        }
        succeed(&mut command);
        let root = root.unwrap_or(folder.path());
        let record = root.join("reports/layerwise/procedural/quick/result.json");
        let record = std::fs::read_to_string(record).unwrap();
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        record["provenance"]["commit"].as_str().unwrap().to_owned()
    };
    let commit = trial(None);
    assert_eq!(trial(Some(&elsewhere)), commit);
    let git = Command::new("git")
        .args(["log", "-1", "--format=%H"])
        .output();
    if git.is_ok_and(|output| output.status.success()) {
        let hash = commit.split('+').next().unwrap();
        assert_eq!(hash.len(), 40, "{commit}");
    }
    // Without a network that ships, the remedy is a flag.
    let mut command = Command::new(&program);
    command.current_dir(folder.path());
    command.args(["--quick", "--data", "procedural"]);
    fail(
        &mut command,
        1,
        &["crate-demo-procedural", "--train", "--checkpoint"],
    );
}
