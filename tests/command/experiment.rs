use std::path::Path;

use crate::{
    exp_blocks, exp_denoise, exp_gradient, exp_ista, exp_layerwise, exp_objective, exp_optima,
    exp_subspaces, exp_tssa, succeed, tiny_training, whitebox,
};

fn record(folder: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("result.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The documented exception, and nothing else, is taken out.
fn without_time(mut record: serde_json::Value) -> serde_json::Value {
    record["provenance"]["time"].take();
    record
}

#[test]
fn the_first_command_measures_the_network_that_ships() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let printed = succeed(exp_layerwise().args(["--quick", "--out"]).arg(out));
    for claim in ["C-LAY-01", "C-LAY-02", "C-LAY-03", "C-LAY-04", "C-LAY-05"] {
        assert!(printed.contains(claim), "{printed}");
    }
    assert!(!printed.contains("not measured"), "{printed}");
    let record = record(out);
    assert_eq!(record["schema"], 3);
    assert_eq!(record["quick"], true);
    let networks = record["provenance"]["checkpoints"].as_array().unwrap();
    assert!(!networks.is_empty());
    // Each with its control, on both splits.
    let curves = record["results"].as_array().unwrap();
    assert_eq!(curves.len(), 4 * networks.len());
    for file in ["layers.csv", "rate.svg", "caption.svg", "sparsity.svg"] {
        assert!(std::fs::metadata(out.join(file)).unwrap().len() > 1000);
    }
}

#[test]
fn a_record_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let run = |threads: &str| {
        let mut command = exp_layerwise();
        command.args([
            "--quick",
            "--data",
            "procedural",
            "--preset",
            "demo",
            "--out",
        ]);
        command.arg(folder.path()).env("RAYON_NUM_THREADS", threads);
        succeed(&mut command);
        let figures = ["layers.csv", "rate.svg", "sparsity.svg"]
            .map(|file| std::fs::read(folder.path().join(file)).unwrap());
        (without_time(record(folder.path())), figures)
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one, two);
    let verdicts = one.0["verdicts"].as_array().unwrap();
    let outcome = |id: &str| {
        let found = verdicts.iter().find(|v| v["claim"]["id"] == id).unwrap();
        found["outcome"].as_str().unwrap().to_owned()
    };
    // Without a trained network nothing can be said of one.
    assert_eq!(outcome("C-LAY-01"), "inconclusive");
    let found = verdicts.iter().find(|v| v["claim"]["id"] == "C-LAY-03");
    let measured = &found.unwrap()["conditions"][0]["measured"];
    assert!(measured["value"].as_f64().is_some());
}

#[test]
fn a_record_vouches_for_its_files_and_every_run_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let lines = || {
        let text = std::fs::read_to_string(folder.path().join("runs.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    let run = || succeed(exp_subspaces().arg("--out").arg(folder.path()));
    run();
    let first = lines();
    run();
    let both = lines();
    assert_eq!((first.len(), both.len()), (1, 2));
    assert_eq!(first[0], both[0]);
    assert_eq!(both[0]["outcomes"], both[1]["outcomes"]);

    let record = record(folder.path());
    let files = record["files"].as_object().unwrap();
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["cosines.svg", "layers.csv", "overlap.svg"]);
    for (name, hash) in files {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(*hash, whitebox::artefact::sha256(&bytes));
    }
}

#[test]
fn experiments_that_train_run_through_on_made_up_pictures() {
    for (program, verdicts) in [
        (env!("CARGO_BIN_EXE_exp_classify"), 5),
        (env!("CARGO_BIN_EXE_exp_codebook"), 2),
        (env!("CARGO_BIN_EXE_exp_optimiser"), 1),
        (env!("CARGO_BIN_EXE_exp_srr_generalization"), 2),
        (env!("CARGO_BIN_EXE_exp_training_dynamics"), 4),
        (env!("CARGO_BIN_EXE_exp_transfer"), 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new(program);
        command.args(["--quick", "--data", "procedural", "--out"]);
        succeed(command.arg(folder.path()));
        let record = record(folder.path());
        assert_eq!(record["verdicts"].as_array().unwrap().len(), verdicts);
        // The networks are gone once the record stands; trials are not remembered.
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                !name.starts_with("networks-") && name != "runs.jsonl",
                "{name}"
            );
        }
    }
}

#[test]
fn objects_are_looked_for_in_every_network_before_and_after_its_training() {
    let out = tempfile::tempdir().unwrap();
    let mut experiment = std::process::Command::new(env!("CARGO_BIN_EXE_exp_segmentation"));
    let printed = succeed(experiment.args(["--quick", "--out"]).arg(out.path()));
    assert!(!printed.contains("not measured"), "{printed}");
    let record = record(out.path());
    for file in [
        "heads.svg",
        "layers.svg",
        "course.svg",
        "networks.csv",
        "layers.csv",
    ] {
        assert!(record["files"][file].is_string(), "{file}");
    }
    let settings = &record["settings"];
    let stages = settings["stages"].as_array().unwrap().len();
    let arms = settings["arms"].as_array().unwrap().len();
    let seeds = settings["seeds"].as_u64().unwrap() as usize;
    let rows = record["results"]["networks"].as_array().unwrap();
    // All before and after, CRATE on the way too.
    assert_eq!(rows.len(), seeds * (2 * arms + stages - 1));
    for row in rows {
        for layer in row["layers"].as_array().unwrap() {
            let number = |name: &str| layer[name].as_f64().unwrap();
            // An oracle is at least as good as any choice, and that as a fixed head.
            assert!(number("best") >= number("chosen"), "{layer}");
            assert!(number("best") >= number("mean"), "{layer}");
            for name in ["best", "cut", "keys_component", "ranking"] {
                assert!((0.0..=1.0).contains(&number(name)), "{layer}");
            }
        }
        let p = row["parts"]["p_value"].as_f64().unwrap();
        assert!(p > 0.0 && p <= 1.0);
    }
}

#[test]
fn networks_that_follow_the_derivation_are_held_against_the_plain_ones_of_their_seeds() {
    let out = tempfile::tempdir().unwrap();
    let mut experiment = std::process::Command::new(env!("CARGO_BIN_EXE_exp_derivation"));
    experiment.args(["--quick", "--data", "procedural", "--out"]);
    experiment.arg(out.path());
    let printed = succeed(&mut experiment);
    for claim in (9..=14).map(|number| format!("C-SUP-{number:02}")) {
        assert!(printed.contains(&claim), "{printed}");
    }
    let record = record(out.path());
    let rows = record["results"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    for row in rows {
        let tied = row["arm"] == "tied";
        for layer in row["layers"].as_array().unwrap() {
            assert_eq!(layer["scale"].is_number(), tied);
            // A tied output adds what the derivation adds, up to a positive scale and rounding.
            let cosine = |name: &str| layer[name].as_f64().unwrap();
            let same = (cosine("cosine_added") - cosine("cosine_tied")).abs() < 1e-4;
            assert_eq!(same, tied, "{layer}");
        }
    }
}

#[test]
fn the_objective_is_followed_through_the_network_that_ships() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let printed = succeed(exp_objective().args(["--quick", "--out"]).arg(out));
    assert!(!printed.contains("not measured"), "{printed}");
    let record = record(out);
    let [rows, settings] = [0, 1].map(|part| record["results"][part].as_array().unwrap().clone());
    let networks = record["provenance"]["checkpoints"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(rows.len(), 2 * 12 * networks);
    assert_eq!(settings.len(), 2 * 12 * networks);
    for (row, next) in rows.iter().zip(&rows[1..]) {
        // The parts make the whole, and what leaves a layer enters the next.
        let number = |name: &str| row[name].as_f64().unwrap();
        let parts = number("nonzeros") + number("subspace_rate") - number("rate");
        assert!((parts - number("srr")).abs() < 1e-9);
        if let Some(before) = next["srr_before"].as_f64() {
            let entered = before + next["reduction_before"].as_f64().unwrap();
            assert!((entered - number("nonzeros")).abs() < 1e-9);
        }
    }
}

#[test]
fn the_blocks_of_the_network_that_ships_are_held_against_their_derivation() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let printed = succeed(exp_blocks().args(["--quick", "--out"]).arg(out));
    assert!(!printed.contains("not measured"), "{printed}");
    let record = record(out);
    let weights = record["results"]["trained"].as_array().unwrap();
    let networks = record["provenance"]["checkpoints"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(weights.len(), 12 * networks);
    for file in ["layers.csv", "radius.svg", "descent.svg", "lasso.svg"] {
        assert!(std::fs::metadata(out.join(file)).unwrap().len() > 1000);
    }
}

#[test]
fn forward_writes_logits_and_the_official_measurement_of_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    succeed(&mut tiny_training(&path("net.safetensors")));
    let images = ndarray::Array4::from_shape_fn((3, 1, 28, 28), |(b, _, y, x)| {
        ((b * 784 + y * 28 + x) as f32 * 0.01).sin()
    });
    ndarray_npy::write_npy(path("x.npy"), &images).unwrap();
    let mut command = whitebox();
    command.args([
        "forward",
        "--heads",
        "2",
        "--channels",
        "1",
        "--pool",
        "cls",
    ]);
    command.arg("--checkpoint").arg(path("net.safetensors"));
    command.arg("--input").arg(path("x.npy"));
    command.arg("--output").arg(path("y.npy"));
    command.arg("--measure").arg(path("m.json"));
    succeed(&mut command);
    let logits: ndarray::Array2<f32> = ndarray_npy::read_npy(path("y.npy")).unwrap();
    assert_eq!(logits.dim(), (3, 10));
    let network = whitebox::model::checkpoint::Checkpoint::read(&path("net.safetensors")).unwrap();
    let network = network
        .network(
            network.own_config().unwrap(),
            &dfdx::prelude::Cpu::default(),
        )
        .unwrap();
    let images: Vec<f32> = images.into_iter().collect();
    assert_eq!(
        network.forward(&images).unwrap(),
        logits.into_iter().collect::<Vec<_>>()
    );
    let measured = std::fs::read_to_string(path("m.json")).unwrap();
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    let layers = measured["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        for key in [
            "official_rate_mean",
            "official_rate_std",
            "nonzero_fraction_mean",
            "nonzero_fraction_std",
        ] {
            assert!(layer[key].as_f64().unwrap() > 0.0, "{key}");
        }
        assert!(layer["nonzero_fraction_mean"].as_f64().unwrap() < 1.0);
    }
}

/// Experiments on drawn tokens, at the size of a trial: all claims judged, every file written, the
/// record the same on one thread and on two.
fn drawn(name: &str, program: fn() -> std::process::Command, claims: usize, files: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let run = |threads: &str| {
        let mut command = program();
        command
            .args(["--quick", "--threads", threads, "--out"])
            .arg(out);
        let printed = succeed(&mut command);
        for lacking in ["not testable", "not measured"] {
            assert!(!printed.contains(lacking), "{printed}");
        }
        let mut found = without_time(record(out));
        found["provenance"]["command"].take();
        found
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one, two, "{name}");
    assert_eq!(one["verdicts"].as_array().unwrap().len(), claims);
    for file in files {
        assert!(
            std::fs::metadata(out.join(file)).unwrap().len() > 100,
            "{file}"
        );
    }
}

#[test]
fn steps_are_held_against_the_exact_gradient() {
    let files = [
        "sweeps.csv",
        "signs.csv",
        "convex.csv",
        "radius.svg",
        "epsilon.svg",
        "noise.svg",
        "scale.svg",
        "heads.svg",
        "step.svg",
    ];
    drawn("gradient", exp_gradient, 6, &files);
}

#[test]
fn compression_is_held_against_denoising() {
    let files = [
        "second-moments.csv",
        "signs.csv",
        "masses.csv",
        "posterior.csv",
        "snr.csv",
        "first-layer-off.csv",
        "curves.csv",
        "noise.svg",
        "posterior.svg",
        "first-layer-off.svg",
        "snr-0.2.svg",
        "snr-0.5.svg",
    ];
    drawn("denoise", exp_denoise, 10, &files);
}

#[test]
fn unrolled_steps_are_held_against_the_lasso() {
    let files = ["layers.csv", "objective.csv", "objective.svg", "gap.svg"];
    drawn("ista", exp_ista, 6, &files);
}

#[test]
fn maxima_are_searched_for() {
    drawn(
        "optima",
        exp_optima,
        4,
        &["clusters.csv", "entropy.csv", "groups.svg"],
    );
}

/// Its timings differ from run to run, so it runs once.
#[test]
fn token_statistics_attention_is_held_against_its_bound_and_its_cost() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let printed = succeed(exp_tssa().args(["--quick", "--out"]).arg(out));
    assert!(!printed.contains("not measured"), "{printed}");
    assert_eq!(record(out)["verdicts"].as_array().unwrap().len(), 5);
    for file in [
        "gaps.csv",
        "steps.csv",
        "cost.csv",
        "angle.svg",
        "noise.svg",
        "time.svg",
        "memory.svg",
    ] {
        assert!(
            std::fs::metadata(out.join(file)).unwrap().len() > 100,
            "{file}"
        );
    }
}
