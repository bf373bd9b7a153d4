use std::time::Duration;

use dfdx::prelude::Cpu;
use whitebox::model::checkpoint::Checkpoint;
use whitebox::model::parameters::Values;
use whitebox::model::Classifier;

use crate::{succeed, tiny_training, training_of, whitebox};

#[test]
fn the_same_seed_gives_the_same_checkpoint_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        succeed(tiny_training(&out).args(["--threads", threads]));
        assert!(!folder.path().join(format!("{name}.state")).exists());
        std::fs::read(&out).unwrap()
    };
    let same = train("one.safetensors", "1") == train("two.safetensors", "2");
    assert!(same, "other bytes");
}

#[test]
fn networks_that_are_kept_on_the_way_do_not_change_where_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, kept] =
        ["plain", "kept"].map(|name| folder.path().join(format!("{name}.safetensors")));
    succeed(&mut tiny_training(&plain));
    succeed(tiny_training(&kept).args(["--keep", "1"]));
    assert!(std::fs::read(&plain).unwrap() == std::fs::read(&kept).unwrap());
    let after = Checkpoint::read(&folder.path().join("kept-epoch1.safetensors")).unwrap();
    let epochs = after.training.unwrap()["epochs"].as_array().unwrap().len();
    assert_eq!(epochs, 1);
}

#[test]
fn a_training_that_is_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    // The state is written after every step, so that most kills fall into a writing or near one.
    let longer = || {
        let mut command = training_of(250, &out);
        command.args(["--save-every", "0", "--set", "ema=0.9"]);
        command
    };
    succeed(&mut longer());
    let whole = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let state = folder.path().join("net.safetensors.state");
    let mut kills = 0;
    for round in 0..400 {
        let mut child = longer().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(15 + 7 * (round % 9)));
        match child.try_wait().unwrap() {
            None => {
                // SIGKILL: no handler runs.
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
            Some(status) => {
                assert!(status.success());
                break;
            }
        }
        assert!(!out.exists() || std::fs::read(&out).unwrap() == whole);
    }
    succeed(&mut longer());
    assert!(kills >= 20, "only {kills} kills hit a running training");
    let same = std::fs::read(&out).unwrap() == whole;
    assert!(same, "other bytes after {kills} kills");
    assert!(!state.exists());
}

#[test]
fn every_architecture_trains_and_is_read_back_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    for word in [
        "crate",
        "crate-mhsa",
        "crate-mlp",
        "crate-tied",
        "crate-orthogonal",
        "crate-tied-orthogonal",
        "vit",
        "crate-encoder",
        "vit-encoder",
    ] {
        succeed(tiny_training(&out).args(["--architecture", word]));
        let config = Checkpoint::read(&out).unwrap().config().unwrap();
        assert_eq!(serde_json::json!(config.architecture), word);
        let mut evaluate = whitebox();
        evaluate
            .args(["evaluate", "--data", "procedural", "--limit", "40"])
            .arg("--checkpoint")
            .arg(&out);
        assert!(succeed(&mut evaluate).contains("top-1"));
    }
}

#[test]
fn networks_that_follow_the_derivation_stay_on_it_and_go_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] =
        ["whole", "killed"].map(|name| folder.path().join(format!("{name}.safetensors")));
    let train = |out, threads: &str| {
        let mut command = training_of(40, out);
        command.args([
            "--architecture",
            "crate-tied-orthogonal",
            "--threads",
            threads,
        ]);
        command.args(["--save-every", "0", "--set", "ema=0.5"]);
        command
    };
    succeed(&mut train(&whole, "1"));
    let mut child = train(&killed, "2").spawn().unwrap();
    let state = folder.path().join("killed.safetensors.state");
    while !state.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    succeed(&mut train(&killed, "2"));
    let [whole, killed] = [whole, killed].map(|path| Checkpoint::read(&path).unwrap());
    let config = whole.config().unwrap();
    let [whole, killed] = [whole, killed].map(|checkpoint| {
        let network: Classifier<f32, Cpu> = checkpoint.network(config, &Cpu::default()).unwrap();
        network.parameters()
    });
    assert!(whole == killed, "other numbers");
    let count: usize = whole.iter().map(|found| found.values.len()).sum();
    assert_eq!(count, config.parameters());
    let start: Classifier<f32, Cpu> = Classifier::new(config, 0, &Cpu::default()).unwrap();
    for (found, start) in whole.iter().zip(start.parameters()) {
        let name = &found.parameter.name;
        if name.ends_with(".1.fn.weight") {
            assert_ne!(found.values, start.values);
            let rows: Vec<&[f32]> = found.values.chunks_exact(config.d).collect();
            for (i, row) in rows.iter().enumerate() {
                for (j, other) in rows.iter().enumerate() {
                    let pairs = row.iter().zip(*other);
                    let product: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let wanted = f64::from(u8::from(i == j));
                    assert!((product - wanted).abs() < 1e-6, "{name}: {product}");
                }
            }
        }
    }
}

#[test]
fn an_official_checkpoint_is_evaluated_on_images_of_its_classes() {
    let official = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/official/grey-mean.pth"
    );
    let evaluate = |heads: &str| {
        let mut command = whitebox();
        command
            .args(["evaluate", "--data", "procedural", "--limit", "60"])
            .args(["--checkpoint", official, "--heads", heads])
            .args(["--pool", "mean", "--channels", "1"]);
        command
    };
    let printed = succeed(&mut evaluate("2"));
    assert!(printed.starts_with("60 images of procedural"), "{printed}");
    crate::fail(&mut evaluate("3"), 1, &["qkv.weight", "--heads 3"]);
}

#[test]
fn what_a_recipe_freezes_stays_as_it_was_and_the_rest_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let freeze = r#"freeze=["qkv.weight", "norm.bias"]"#;
    succeed(tiny_training(&out).args(["--set", freeze]));
    let checkpoint = Checkpoint::read(&out).unwrap();
    let config = checkpoint.config().unwrap();
    let trained: Classifier<f32, Cpu> = checkpoint.network(config, &Cpu::default()).unwrap();
    let start: Classifier<f32, Cpu> = Classifier::new(config, 0, &Cpu::default()).unwrap();
    for (trained, start) in trained.parameters().iter().zip(start.parameters()) {
        let name = &start.parameter.name;
        let frozen = name.contains("qkv.weight") || name.contains("norm.bias");
        assert_eq!(trained.values == start.values, frozen, "{name}");
    }
    let unknown = [r#"freeze=["nothing.weight"]"#];
    crate::fail(
        tiny_training(&out).arg("--set").args(unknown),
        2,
        &["freeze", "nothing.weight"],
    );
}

#[test]
fn an_average_of_the_weights_is_what_is_evaluated_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let weights = |ema: &str| {
        succeed(tiny_training(&out).args(["--set", ema]));
        let network = Checkpoint::read(&out).unwrap();
        let network = network.network(network.config().unwrap(), &Cpu::default());
        network.unwrap().parameters()
    };
    let distance = |a: &[Values<f32>], b: &[Values<f32>]| -> f64 {
        let pairs = a.iter().zip(b);
        let pairs = pairs.flat_map(|(a, b)| a.values.iter().zip(&b.values));
        pairs.map(|(&a, &b)| f64::from(a - b).powi(2)).sum()
    };
    let plain = weights("ema=none");
    // A decay of nothing follows every step, up to the rounding of w + (v - w).
    assert!(distance(&weights("ema=0.0"), &plain) < 1e-9);
    let (near, far) = (weights("ema=0.5"), weights("ema=0.9"));
    let [near, far] = [near, far].map(|found| distance(&found, &plain));
    assert!(1e-9 < near && near < far, "{near} {far}");
}

#[cfg(not(feature = "tensorboard"))]
#[test]
fn event_files_need_a_program_that_was_built_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let words = ["--tensorboard", "--features tensorboard"];
    crate::fail(
        tiny_training(&out).args(["--tensorboard", "logs"]),
        2,
        &words,
    );
    assert!(!out.exists());
}

#[cfg(feature = "tensorboard")]
#[test]
fn event_files_hold_every_step_and_epoch() {
    use tfrecord::EventIter;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let logs = folder.path().join("logs");
    succeed(tiny_training(&out).arg("--tensorboard").arg(&logs));
    let file = std::fs::read_dir(&logs).unwrap().next().unwrap().unwrap();
    let name = file.file_name().into_string().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let events = EventIter::open(file.path(), Default::default()).unwrap();
    // Two numbers for each of 6 steps, three for each of 3 epochs.
    assert_eq!(events.map(Result::unwrap).count(), 2 * 6 + 3 * 3);
}

#[test]
fn a_fine_tuned_network_is_what_evaluate_says_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [start, out] = ["start.safetensors", "tuned.safetensors"].map(|n| folder.path().join(n));
    succeed(&mut tiny_training(&start));
    let mut tune = whitebox();
    tune.args(["finetune", "--data", "procedural", "--limit", "40"])
        .args(["--size", "42", "--epochs", "2", "--batch", "20"])
        .arg("--checkpoint")
        .arg(&start)
        .arg("--out")
        .arg(&out);
    let printed = succeed(&mut tune);
    let accuracy = printed
        .split_once('%')
        .unwrap()
        .0
        .rsplit(' ')
        .nth(1)
        .unwrap();
    let mut evaluate = whitebox();
    evaluate
        .args(["evaluate", "--data", "procedural", "--limit", "40"])
        .arg("--checkpoint")
        .arg(&out);
    let found = succeed(&mut evaluate);
    assert!(
        found.contains(&format!("top-1 {accuracy} %")),
        "{printed}{found}"
    );
    let course = std::fs::read_to_string(folder.path().join("tuned.safetensors.csv")).unwrap();
    assert_eq!(course.lines().count(), 3, "{course}");
    let checkpoint = Checkpoint::read(&out).unwrap();
    assert_eq!(checkpoint.config().unwrap().image_size, [42, 42]);
    let training = checkpoint.training.unwrap();
    assert_eq!(training["start"]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_state_of_another_recipe_is_refused_by_the_setting_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let mut first = training_of(60, &out);
    first.args(["--save-every", "0"]);
    let mut child = first.spawn().unwrap();
    let state = folder.path().join("net.safetensors.state");
    while !state.exists() {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    crate::fail(
        training_of(60, &out).args(["--set", "weight_decay=0.2"]),
        1,
        &[
            "net.safetensors.state",
            "recipe.weight_decay 0.05 (here 0.2)",
            "delete",
        ],
    );
    // A flipped bit is found before it is trained on.
    let mut bytes = std::fs::read(&state).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    crate::fail(
        &mut training_of(60, &out),
        1,
        &["net.safetensors.state", "SHA-256"],
    );
}

#[test]
fn a_state_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    std::fs::write(folder.path().join("net.safetensors.state"), b"junk").unwrap();
    crate::fail(
        &mut tiny_training(&out),
        1,
        &["net.safetensors.state", "delete"],
    );
}

#[test]
fn a_written_checkpoint_gives_the_accuracy_that_training_printed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let printed = succeed(&mut tiny_training(&out));
    assert!(printed.starts_with("held-out accuracy"), "{printed}");
    let checkpoint = Checkpoint::read(&out).unwrap();
    let training = checkpoint.training.clone().unwrap();
    let accuracy = training["epochs"][2]["held_out"]["accuracy"]
        .as_f64()
        .unwrap();
    assert!(
        printed.contains(&format!("{:.2} %", 100.0 * accuracy)),
        "{printed}"
    );
    assert_eq!(training["command"][0], "whitebox");
    let images = training["images"]["sha256"].as_str().unwrap();
    assert_eq!(images.len(), 64);
    let help = succeed(whitebox().arg("--help"));
    assert!(help.contains("rate") && help.contains("forward"));
}
