//! # Is this faster than PyTorch on the same processor?
//!
//! Times this program and the same network in PyTorch (`tests/bench/crate_torch.py`, eager, float32,
//! the same number of threads) in turn: one run of each, again and again, so that a slow spell of the
//! machine hits both. Each is a process of its own, so that the peak memory is its own too.
//!
//! **Run**: `cargo run --release --bin bench_vs_pytorch -- --python PYTHON`, with a Python that has
//! torch; without one only this program is timed. Half an hour on two cores. With `--device cuda`, and
//! a program built with `--features cuda`, both run on the first GPU, and every row is also held against the
//! speed of one large matrix product there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;
use dfdx::prelude::{MeanTo, Tensor, TryMatMul};
use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use whitebox::exact::official_rate;
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::device::{DeviceArguments, DeviceName, OnDevice};
use whitebox::harness::run::{Run, Sources};
use whitebox::harness::table;
use whitebox::model::{Architecture, Backbone, Classifier, Config};
use whitebox::train::optimiser::{Method, Optimiser};
use whitebox::train::recipe::Decay;
use whitebox::{artefact, parallel, seed, train, Error, Result};

/// Time this program and PyTorch in turn.
#[derive(Debug, Parser)]
#[command(name = "bench_vs_pytorch", version)]
struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// A Python that can import torch.
    #[arg(long, default_value = "python3")]
    python: String,
    /// Runs of each side per row; the median counts.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Also time torch.compile.
    #[arg(long)]
    compile: bool,
    #[command(flatten)]
    device: DeviceArguments,
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Answer requests on standard input; what the program starts itself as.
    #[arg(long, hide = true)]
    worker: bool,
}

/// Sizes of a network as both sides read them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Network {
    architecture: Architecture,
    d: usize,
    depth: usize,
    heads: usize,
    image: usize,
    patch: usize,
    channels: usize,
    classes: usize,
}

impl Network {
    /// The small network of the experiments.
    const SMALL: Self = Self {
        architecture: Architecture::Crate,
        d: 128,
        depth: 6,
        heads: 4,
        image: 28,
        patch: 4,
        channels: 1,
        classes: 10,
    };

    fn preset(name: &str) -> Result<Self> {
        let c = Config::preset(name)?;
        Ok(Self {
            architecture: c.architecture,
            d: c.d,
            depth: c.depth,
            heads: c.heads,
            image: c.image_size[0],
            patch: c.patch_size[0],
            channels: c.channels,
            classes: c.classes,
        })
    }

    /// Products and sums of the matrix products that one picture needs in a forward pass.
    ///
    /// A token costs 2 n d in the attention of a layer, and 4 d^2 (U^T Z, the way back, and D twice) in its other
    /// products; in a ViT's 12 d^2.
    fn flops(self) -> f64 {
        let side = self.image / self.patch;
        let patches = side * side;
        let (n, d) = (patches + 1, self.d);
        let dense = match self.architecture {
            Architecture::Vit => 12,
            _ => 4,
        };
        let layers = self.depth * n * (dense * d * d + 2 * n * d);
        let embedding = patches * self.channels * self.patch * self.patch * d;
        2.0 * (layers + embedding + d * self.classes) as f64
    }

    fn config(self) -> Result<Config> {
        let config = Config::preset("crate-tiny")?.of(self.architecture);
        let mut config = config
            .for_images(self.channels, [self.image; 2], self.classes)
            .with_width(self.d, self.heads)?;
        config.depth = self.depth;
        config.patch_size = [self.patch; 2];
        Ok(config)
    }
}

/// A request to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    r#do: String,
    work: String,
    network: Network,
    batch: usize,
    threads: usize,
    /// As PyTorch calls it.
    device: String,
    #[serde(default)]
    compile: bool,
    /// For the rates; rows of the matrices of a product.
    #[serde(default)]
    tokens: usize,
    #[serde(default)]
    heads: usize,
    #[serde(default)]
    p: usize,
    #[serde(default)]
    layers: usize,
}

impl Request {
    /// To load a network.
    fn of(work: &str, network: Network, batch: usize, threads: usize) -> Self {
        Self {
            r#do: "load".into(),
            work: work.into(),
            network,
            batch,
            threads,
            device: "cpu".into(),
            compile: false,
            tokens: 0,
            heads: 0,
            p: 0,
            layers: 0,
        }
    }

    /// Products and sums of the matrix products of one run; a training step takes three times a forward pass.
    fn flops(&self) -> f64 {
        match self.work.as_str() {
            "product" => 2.0 * (self.tokens as f64).powi(3),
            "train" => 3.0 * self.batch as f64 * self.network.flops(),
            "forward" => self.batch as f64 * self.network.flops(),
            _ => f64::NAN,
        }
    }
}

/// A worker's answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Answer {
    seconds: Option<f64>,
    peak_kib: Option<u64>,
    version: Option<String>,
    error: Option<String>,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
struct Row {
    name: String,
    work: String,
    batch: usize,
    threads: usize,
    /// Medians, seconds; the other side's missing without PyTorch.
    seconds: f64,
    torch_seconds: Option<f64>,
    torch_compiled_seconds: Option<f64>,
    /// Median of the ratios of neighbouring runs: above 1 this program is faster.
    ratio: Option<f64>,
    ratio_compiled: Option<f64>,
    peak_mib: f64,
    torch_peak_mib: Option<f64>,
    /// Products and sums of the matrix products in a second over those of one large product, where that was timed.
    of_product: Option<f64>,
}

/// Cross-entropy with the official label smoothing.
const OBJECTIVE: train::Objective = train::Objective {
    smoothing: 0.1,
    penalty: None,
};
/// Rows of the square matrices whose product is the ceiling.
const PRODUCT: usize = 8192;
/// The end of the names of the cases that use a single thread.
const ONE_THREAD: &str = ", one thread";

#[derive(Debug, Serialize)]
struct Settings {
    repeats: u32,
    torch: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    console::run::<Arguments>(|| {
        if arguments.worker {
            arguments.device.device.run(Serve)
        } else {
            compare(&arguments)
        }
    })
}

/// What is timed: name, work, request.
fn cases(threads: usize) -> Result<Vec<(String, Request)>> {
    let tiny = Network::preset("crate-tiny")?;
    let small28 = Network::SMALL;
    let request = |work: &str, network, batch| Request::of(work, network, batch, threads);
    let mut cases = Vec::new();
    let sizes = [
        ("CRATE-Tiny 224 px", tiny, vec![8, 1]),
        ("small net 28 px", small28, vec![128]),
        (
            "CRATE-Small 224 px",
            Network::preset("crate-small")?,
            vec![8, 1],
        ),
        (
            "CRATE-Base 224 px",
            Network::preset("crate-base")?,
            vec![8, 1],
        ),
        ("ViT-Tiny 224 px", Network::preset("vit-tiny")?, vec![8, 1]),
        (
            "ViT-Small 224 px",
            Network::preset("vit-small")?,
            vec![8, 1],
        ),
    ];
    for (name, network, batches) in sizes {
        for batch in batches {
            for work in ["forward", "train"] {
                cases.push((name.to_owned(), request(work, network, batch)));
            }
        }
    }
    // Cost growth: tokens at a fixed batch, batch at a fixed number of tokens, threads.
    for side in [8, 16, 22, 32] {
        let network = Network {
            image: 16 * side,
            ..tiny
        };
        let name = format!("CRATE-Tiny, {} tokens", side * side + 1);
        cases.push((name, request("train", network, 1)));
    }
    for batch in [2, 4, 16] {
        cases.push(("CRATE-Tiny 224 px".into(), request("train", tiny, batch)));
    }
    for (name, network, batch) in [
        ("CRATE-Tiny 224 px", tiny, 8),
        ("small net 28 px", small28, 128),
    ] {
        for work in ["forward", "train"] {
            let mut request = request(work, network, batch);
            request.threads = 1;
            cases.push((format!("{name}{ONE_THREAD}"), request));
        }
    }
    let mut rates = request("rates", tiny, 8);
    (rates.tokens, rates.heads, rates.p, rates.layers) = (197, 12, 48, 12);
    cases.push((
        "rates of 12 layers, 12 heads, 8 images, CRATE-Small".into(),
        rates,
    ));
    Ok(cases)
}

/// Batches as people train them on a GPU.
fn cases_for_a_gpu(threads: usize) -> Result<Vec<(String, Request)>> {
    let device = |mut request: Request| {
        request.device = "cuda".into();
        request
    };
    let mut product = Request::of("product", Network::SMALL, 1, threads);
    product.tokens = PRODUCT;
    let mut cases = vec![(format!("matrices of {PRODUCT} rows"), device(product))];
    for (name, network, batches) in [
        (
            "CRATE-Tiny 224 px",
            Network::preset("crate-tiny")?,
            vec![32, 256],
        ),
        ("small net 28 px", Network::SMALL, vec![128, 1024]),
    ] {
        for batch in batches {
            for work in ["forward", "train"] {
                let request = Request::of(work, network, batch, threads);
                cases.push((name.to_owned(), device(request)));
            }
        }
    }
    Ok(cases)
}

fn compare(arguments: &Arguments) -> Result<()> {
    arguments.device.device.run(IsThere)?;
    let cuda = arguments.device.device == DeviceName::Cuda;
    let name = if cuda { "speed_cuda" } else { "speed" };
    let run = Run::begin(name, &arguments.experiment, None)?;
    let repeats = arguments.experiment.count(1, arguments.repeats) as u32;
    let mut rows = Vec::new();
    let mut version = None;
    let mut apology = None;
    let mut ceiling = None;
    println!(
        "{:<52} {:>7} {:>5} {:>7} | {:>9} {:>9} {:>6} | {:>9} {:>6} | {:>8} {:>8} | {:>7}",
        "",
        "work",
        "batch",
        "threads",
        "seconds",
        "PyTorch",
        "ratio",
        "compiled",
        "ratio",
        "MiB",
        "PyTorch",
        "product"
    );
    let cases = if cuda {
        cases_for_a_gpu(run.threads)?
    } else {
        cases(run.threads)?
    };
    for (name, request) in cases {
        if !name.contains(&arguments.only) {
            continue;
        }
        let own = std::env::current_exe().map_err(|e| {
            Error::io(
                "find",
                std::path::Path::new("this program"),
                e,
                "run it from a file",
            )
        })?;
        let mut command = Command::new(own);
        command.arg("--worker");
        if cuda {
            command.args(["--device", "cuda"]);
        }
        let mut own = Worker::start(&mut command)?;
        let fail = |answer: &Answer| answer.error.clone();
        let loaded = own.ask(&request)?;
        if let Some(message) = fail(&loaded) {
            return Err(worker_failed(message));
        }
        let script = whitebox::harness::record::root(None).join("tests/bench/crate_torch.py");
        let mut others = Vec::new();
        for compile in [false, true] {
            if compile && (!arguments.compile || request.work == "rates") {
                continue;
            }
            let mut request = request.clone();
            request.compile = compile;
            let started = Worker::start(Command::new(&arguments.python).arg(&script));
            let (other, loaded) = match started {
                Ok(mut other) => {
                    let loaded = other.ask(&request).unwrap_or_else(|e| Answer {
                        error: Some(e.to_string()),
                        ..Answer::default()
                    });
                    (Some(other), loaded)
                }
                Err(e) => (
                    None,
                    Answer {
                        error: Some(e.to_string()),
                        ..Answer::default()
                    },
                ),
            };
            if let Some(message) = loaded.error {
                apology = Some(message);
                continue;
            }
            version = loaded.version.or(version);
            others.extend(other.map(|other| (compile, other, Vec::new(), 0)));
        }
        let again = Request {
            r#do: "run".into(),
            ..request.clone()
        };
        let (mut seconds, mut peak) = (Vec::new(), 0);
        for _ in 0..repeats {
            let answer = own.ask(&again)?;
            seconds.push(answer.seconds.unwrap_or(f64::NAN));
            peak = answer.peak_kib.unwrap_or(0);
            for (_, other, times, peak) in &mut others {
                let answer = other.ask(&again)?;
                times.push(answer.seconds.unwrap_or(f64::NAN));
                *peak = answer.peak_kib.unwrap_or(0);
            }
        }
        let side = |compile: bool| others.iter().find(|o| o.0 == compile);
        let ratio = |compile: bool| {
            let (_, _, times, _) = side(compile)?;
            Some(median(
                times.iter().zip(&seconds).map(|(torch, own)| torch / own),
            ))
        };
        let mut row = Row {
            name,
            work: request.work.clone(),
            batch: request.batch,
            threads: request.threads,
            seconds: median(seconds.iter().copied()),
            torch_seconds: side(false).map(|s| median(s.2.iter().copied())),
            torch_compiled_seconds: side(true).map(|s| median(s.2.iter().copied())),
            ratio: ratio(false),
            ratio_compiled: ratio(true),
            peak_mib: peak as f64 / 1024.0,
            torch_peak_mib: side(false).map(|s| s.3 as f64 / 1024.0),
            of_product: None,
        };
        let flops = request.flops() / row.seconds;
        if request.work == "product" {
            ceiling = Some(flops);
        }
        row.of_product = ceiling.map(|ceiling| flops / ceiling);
        let shown = |value: Option<f64>, decimals: usize| {
            value.map_or("-".into(), |v| format!("{v:.decimals$}"))
        };
        println!(
            "{:<52} {:>7} {:>5} {:>7} | {:>9.4} {:>9} {:>6} | {:>9} {:>6} | {:>8.0} {:>8} | {:>7}",
            row.name,
            row.work,
            row.batch,
            row.threads,
            row.seconds,
            shown(row.torch_seconds, 4),
            shown(row.ratio, 2),
            shown(row.torch_compiled_seconds, 4),
            shown(row.ratio_compiled, 2),
            row.peak_mib,
            shown(row.torch_peak_mib, 0),
            shown(row.of_product, 2),
        );
        rows.push(row);
    }
    if let Some(message) = apology {
        println!("\nPyTorch was not timed everywhere ({message}): name a Python that has it with --python.");
    }
    table::write(&run.path("speed.csv"), &rows)?;
    let path = run.path("table.md");
    artefact::write(
        &path,
        markdown(&rows, version.as_deref(), repeats).as_bytes(),
    )?;
    let settings = Settings {
        repeats,
        torch: version,
    };
    run.finish(settings, Vec::new(), rows, &Sources::default(), "speed.csv")
}

/// The table as the book shows it.
fn markdown(rows: &[Row], version: Option<&str>, repeats: u32) -> String {
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or("-".into(), |v| format!("{v:.decimals$}"))
    };
    let mut text = format!(
        "PyTorch {}, medians of {repeats} runs in turn.\n\n\
         | | work | batch | threads | seconds | PyTorch, s | ratio | compiled, s | ratio | MiB | PyTorch, MiB | of a product |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        version.unwrap_or("not found"),
    );
    for row in rows {
        let cells = [
            row.name.clone(),
            row.work.clone(),
            row.batch.to_string(),
            row.threads.to_string(),
            format!("{:.4}", row.seconds),
            number(row.torch_seconds, 4),
            number(row.ratio, 2),
            number(row.torch_compiled_seconds, 4),
            number(row.ratio_compiled, 2),
            format!("{:.0}", row.peak_mib),
            number(row.torch_peak_mib, 0),
            number(row.of_product, 2),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    for one in rows.iter().filter(|row| row.threads == 1) {
        let name = one.name.trim_end_matches(ONE_THREAD);
        let same = |row: &&Row| (&*row.name, &row.work, row.batch) == (name, &one.work, one.batch);
        if let Some(all) = rows.iter().find(same) {
            let other = one.torch_seconds.zip(all.torch_seconds);
            text.push_str(&format!(
                "\nFrom one thread to {}, {name}, {}: {:.2} times as fast, PyTorch {}.\n",
                all.threads,
                one.work,
                one.seconds / all.seconds,
                number(other.map(|(one, all)| one / all), 2),
            ));
        }
    }
    text
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A process that answers requests.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |e| {
            Error::io(
                "start",
                std::path::Path::new(&name),
                e,
                "name a Python with --python",
            )
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self {
                child,
                input,
                output: BufReader::new(output),
            }),
            _ => Err(worker_failed("it has no input and output")),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let line = serde_json::to_string(request).map_err(worker_failed)?;
        writeln!(self.input, "{line}").map_err(worker_failed)?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).map_err(worker_failed)?;
        serde_json::from_str(&answer)
            .map_err(|e| worker_failed(format!("{e} in its answer {answer:?}")))
    }
}

/// The error of a conversation with a worker.
fn worker_failed(message: impl std::fmt::Display) -> Error {
    Error::program("worker", message)
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Closing its input would end it as well; it has nothing left to say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a worker of this side has loaded.
enum Subject<D: Backbone<f32>> {
    Network {
        network: Box<Classifier<f32, D>>,
        optimiser: Optimiser,
        input: Vec<f32>,
        labels: Vec<usize>,
        train: bool,
        threads: usize,
    },
    Product(Tensor<(usize, usize), f32, D>),
    Rates {
        /// (tokens, heads p) of every layer and image.
        projections: Vec<Array2<f32>>,
        heads: usize,
        threads: usize,
    },
}

impl<D: Backbone<f32>> Subject<D> {
    fn load(request: &Request, device: &D) -> Result<Self> {
        let mut rng = seed::stream(0, "bench");
        if request.work == "rates" {
            let count = request.layers * request.batch;
            let shape = (request.tokens, request.heads * request.p);
            return Ok(Self::Rates {
                projections: (0..count)
                    .map(|_| Array2::from_shape_simple_fn(shape, || rng.sample(StandardNormal)))
                    .collect(),
                heads: request.heads,
                threads: request.threads,
            });
        }
        if request.work == "product" {
            let shape = (request.tokens, request.tokens);
            let matrix = device.try_sample_like(&shape, StandardNormal);
            return Ok(Self::Product(matrix.map_err(Error::device)?));
        }
        let n = request.network;
        let image = n.channels * n.image * n.image;
        Ok(Self::Network {
            network: Box::new(Classifier::new(n.config()?, 0, device)?),
            optimiser: Optimiser::new(Method::AdamW, 0.01, Decay::All),
            input: (0..request.batch * image)
                .map(|_| rng.sample(StandardNormal))
                .collect(),
            labels: (0..request.batch)
                .map(|_| rng.gen_range(0..n.classes))
                .collect(),
            train: request.work == "train",
            threads: request.threads,
        })
    }

    fn once(&mut self) -> Result<()> {
        match self {
            Self::Network {
                network,
                optimiser,
                input,
                labels,
                train,
                threads,
            } => {
                if !*train {
                    let logits = network.forward_on(input, *threads)?;
                    std::hint::black_box(logits);
                    return Ok(());
                }
                let image = input.len() / labels.len();
                let (_, gradients) =
                    train::gradients(network, labels, OBJECTIVE, *threads, |range| {
                        Ok(input[range.start * image..range.end * image].to_vec())
                    })?;
                D::within(*threads, network, |network| {
                    optimiser.step(network, &gradients, 1e-4)
                })?
            }
            Self::Product(matrix) => {
                let product = matrix.clone().matmul(matrix.clone());
                // One number of it: reading waits for the device.
                std::hint::black_box(product.mean::<(), _>().as_vec());
                Ok(())
            }
            Self::Rates {
                projections,
                heads,
                threads,
            } => {
                let rates = parallel::map(projections.len(), *threads, |index| {
                    Ok(official_rate(projections[index].view(), *heads)?.total)
                })?;
                std::hint::black_box(rates);
                Ok(())
            }
        }
    }
}

/// Nothing but the device: its absence shall be said before anything is timed.
struct IsThere;

impl OnDevice for IsThere {
    type Output = ();

    fn run<D: Backbone<f32>>(self, _: &D) -> Result<()> {
        Ok(())
    }
}

/// Answers requests on the standard input.
struct Serve;

impl OnDevice for Serve {
    type Output = ();

    fn run<D: Backbone<f32>>(self, device: &D) -> Result<()> {
        serve(device)
    }
}

fn serve<D: Backbone<f32>>(device: &D) -> Result<()> {
    let mut subject = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(worker_failed)?;
        let request: Request = serde_json::from_str(&line).map_err(worker_failed)?;
        let mut answer = Answer::default();
        if request.r#do == "load" {
            let mut loaded = Subject::load(&request, device)?;
            loaded.once()?;
            loaded.once()?;
            subject = Some(loaded);
        } else if let Some(subject) = &mut subject {
            let start = Instant::now();
            subject.once()?;
            answer.seconds = Some(start.elapsed().as_secs_f64());
        }
        answer.peak_kib = peak_kib();
        println!("{}", serde_json::to_string(&answer).map_err(worker_failed)?);
    }
    Ok(())
}

/// Largest resident set of this process, where Linux tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
