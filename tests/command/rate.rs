use ndarray::{array, Array2, Array3};
use whitebox::exact::rate_reduction;

use crate::{fail, succeed, whitebox, write_npy};

fn tokens() -> Array2<f64> {
    Array2::from_shape_fn((6, 9), |(i, j)| ((i * 9 + j) as f64 * 0.7).sin())
}

fn bases() -> Array3<f64> {
    Array3::from_shape_fn((2, 6, 3), |(k, i, j)| {
        ((k * 18 + i * 3 + j) as f64 * 1.1).cos()
    })
}

#[test]
fn printed_rates_are_those_of_the_library_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let (z, u) = (folder.path().join("z.npy"), folder.path().join("u.npy"));
    write_npy(&z, &tokens());
    write_npy(&u, &bases());
    let mut command = whitebox();
    command
        .arg("rate")
        .arg("--tokens")
        .arg(&z)
        .arg("--bases")
        .arg(&u);
    let printed = succeed(command.args(["--epsilon", "0.5"]));
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let exact = rate_reduction(tokens().view(), bases().view(), 0.5).unwrap();
    assert_eq!(printed["R"].as_f64(), Some(exact.rate.value));
    assert_eq!(printed["Rc"].as_f64(), Some(exact.subspace.total));
    assert_eq!(printed["delta_R"].as_f64(), Some(exact.delta));
    for (k, head) in exact.subspace.per_head.iter().enumerate() {
        assert_eq!(printed["per_head"][k].as_f64(), Some(head.value));
    }
}

#[test]
fn arrays_of_f32_and_in_fortran_order_are_read_as_they_are_meant() {
    let folder = tempfile::tempdir().unwrap();
    let rate = |name: &str, write: &dyn Fn(&std::path::Path)| {
        let path = folder.path().join(name);
        write(&path);
        let mut command = whitebox();
        command.arg("rate").arg("--tokens").arg(&path);
        let printed = succeed(command.args(["--epsilon", "1"]));
        serde_json::from_str::<serde_json::Value>(&printed).unwrap()["R"].clone()
    };
    let half = tokens().mapv(|v| (v * 256.0).round() / 256.0);
    let c = rate("c.npy", &|path| write_npy(path, &half));
    let fortran = rate("f.npy", &|path| {
        let mut transposed = Array2::zeros(ndarray::ShapeBuilder::f(half.dim()));
        transposed.assign(&half);
        write_npy(path, &transposed);
    });
    let single = rate("s.npy", &|path| {
        ndarray_npy::write_npy(path, &half.mapv(|v| v as f32)).unwrap();
    });
    assert_eq!((&c, &c), (&fortran, &single));
}

#[test]
fn bad_input_to_rate_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_npy(&path("z.npy"), &tokens());
    write_npy(&path("nan.npy"), &array![[1.0, f64::NAN]]);
    write_npy(&path("u.npy"), &Array3::<f64>::zeros((2, 5, 3)));
    write_npy(&path("vector.npy"), &array![1.0, 2.0]);
    ndarray_npy::write_npy(path("integers.npy"), &array![[1i32, 2]]).unwrap();
    let bytes = std::fs::read(path("z.npy")).unwrap();
    std::fs::write(path("short.npy"), &bytes[..bytes.len() - 5]).unwrap();
    std::fs::write(path("text.npy"), "tokens").unwrap();
    let rate = |tokens: &str, epsilon: &str| {
        let mut command = whitebox();
        command.arg("rate").arg("--tokens").arg(path(tokens));
        command.args(["--epsilon", epsilon]);
        command
    };
    fail(&mut rate("z.npy", "0"), 2, &["--epsilon"]);
    fail(&mut rate("z.npy", "-1"), 2, &["epsilon"]);
    fail(&mut rate("z.npy", "nan"), 2, &["--epsilon"]);
    fail(&mut rate("absent.npy", "1"), 1, &["absent.npy"]);
    fail(&mut rate("nan.npy", "1"), 1, &["NaN", "(0, 1)"]);
    fail(&mut rate("short.npy", "1"), 1, &["short.npy"]);
    fail(&mut rate("text.npy", "1"), 1, &["text.npy", "f32 or f64"]);
    fail(&mut rate("vector.npy", "1"), 1, &["(d, N)", "[2]"]);
    fail(
        &mut rate("integers.npy", "1"),
        1,
        &["integers.npy", "f32 or f64"],
    );
    let mut command = rate("z.npy", "1");
    command.arg("--bases").arg(path("u.npy"));
    fail(&mut command, 1, &["basis", "(6, p)", "(5, 3)"]);
}

#[test]
fn shape_bounds_and_the_official_number_are_printed_for_every_array_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let rate = |tokens: &str, flags: &[&str]| -> Vec<serde_json::Value> {
        let mut command = whitebox();
        command.arg("rate").arg("--tokens").arg(path(tokens));
        command.args(["--epsilon", "0.5"]).args(flags);
        let printed = succeed(&mut command);
        let lines = printed.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    write_npy(&path("z.npy"), &tokens());
    write_npy(&path("t.npy"), &tokens().reversed_axes());
    let batch = ndarray::stack![ndarray::Axis(0), tokens(), 2.0 * tokens()];
    write_npy(&path("b.npy"), &batch);
    write_npy(&path("u.npy"), &bases());
    let [z] = &rate("z.npy", &[])[..] else {
        panic!("not one line")
    };
    assert_eq!((&z["d"], &z["N"]), (&6.into(), &9.into()));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let (low, high) = (number(&z["R_bounds"][0]), number(&z["R_bounds"][1]));
    assert!(0.0 < low && low < number(&z["R"]) && number(&z["R"]) < high);
    // Rows are said to be tokens, or are taken for coordinates: the shape shows which.
    assert_eq!(rate("t.npy", &["--rows"])[0], *z);
    let turned = &rate("t.npy", &[])[0];
    assert_eq!((&turned["d"], &turned["N"]), (&9.into(), &6.into()));
    let lines = rate("b.npy", &[]);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], *z);
    assert!(number(&lines[1]["R"]) > number(&z["R"]));
    let bases_file = path("u.npy");
    let flags = ["--official", "--bases", bases_file.to_str().unwrap()];
    let official = &rate("z.npy", &flags)[0];
    let mut projection = Array2::<f64>::zeros((9, 6));
    for (k, u) in bases().outer_iter().enumerate() {
        let block = projection.slice_mut(ndarray::s![.., 3 * k..3 * k + 3]);
        tokens().t().dot(&u).assign_to(block);
    }
    let expected = whitebox::exact::official_rate::official_rate(projection.view(), 2).unwrap();
    assert_eq!(number(&official["Rc_official"]), expected.total);
    // Parallel tokens have the least rate for their size, orthogonal ones of one length the most.
    write_npy(&path("p.npy"), &Array2::from_elem((3, 3), 0.5));
    write_npy(&path("o.npy"), &(0.7 * Array2::<f64>::eye(3)));
    for (name, index) in [("p.npy", 0), ("o.npy", 1)] {
        let found = &rate(name, &[])[0];
        let bound = number(&found["R_bounds"][index]);
        assert!(
            (number(&found["R"]) - bound).abs() < 1e-12 * bound,
            "{found}"
        );
    }
}
