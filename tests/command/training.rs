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
fn a_training_that_is_killed_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net.safetensors");
    let longer = || training_of(12, &out);
    succeed(&mut longer());
    let whole = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let state = folder.path().join("net.safetensors.state");
    let mut kills = 0;
    for round in 0..200 {
        let mut child = longer().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 7 * (round % 12)));
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
    assert!(kills >= 3, "only {kills} kills hit a running training");
    assert_eq!(std::fs::read(&out).unwrap(), whole, "after {kills} kills");
    assert!(!state.exists());
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
