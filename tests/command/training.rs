use std::time::Duration;

use crate::{succeed, tiny_training, training_of, whitebox};

#[test]
fn the_same_seed_gives_the_same_checkpoint_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let train = |threads: &str| {
        succeed(tiny_training(&out).args(["--threads", threads]));
        let bytes = std::fs::read(&out).unwrap();
        // The recorded command differs by the flag, so the tensors are compared.
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    assert_eq!(train("1"), train("2"));
    let state = folder.path().join("net.safetensors.state");
    assert!(!state.exists());
}

#[test]
fn a_training_that_is_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    // The state is written after every step, so that most kills fall into a writing or near one.
    let longer = || {
        let mut command = training_of(40, &out);
        command.args(["--save-every", "0"]);
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
    assert_eq!(std::fs::read(&out).unwrap(), whole, "after {kills} kills");
    assert!(!state.exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_in_good_order_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let long = || training_of(60, &out);
    succeed(&mut long());
    let whole = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let mut command = long();
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(150));
    let pid = child.id().to_string();
    succeed(std::process::Command::new("kill").args(["-INT", &pid]));
    let output = child.wait_with_output().unwrap();
    let message = crate::text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("stopped after step"), "{message}");
    succeed(&mut long());
    assert_eq!(std::fs::read(&out).unwrap(), whole);
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
    let checkpoint = whitebox::model::checkpoint::Checkpoint::read(&out).unwrap();
    assert_eq!(checkpoint.config.unwrap().image_size, [42, 42]);
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
    let checkpoint = whitebox::model::checkpoint::Checkpoint::read(&out).unwrap();
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
