//! # Is this faster than PyTorch on the same processor?
//!
//! Times this program and the same network in PyTorch (`tests/bench/crate_torch.py`, float32, the same number of
//! threads) in turn, again and again, so that a slow spell of the machine hits all; a turn is a quarter of a second of
//! runs, at least one, and counts with their median. Each is a process of its own, so that the peak memory is its own
//! too. PyTorch runs eagerly, once with a product for every
//! formula and once with its `scaled_dot_product_attention`; the faster of the two counts.
//!
//! **Run**: `cargo run --release --bin bench_vs_pytorch -- --python PYTHON`, with a Python that has
//! torch; without one only this program is timed. A quarter of an hour on two cores. The table goes to a folder named
//! after the processor's instructions, so that one machine's does not replace another's. With `--device cuda`, and
//! a program built with `--features cuda`, both run on the first GPU, and every row is also held against the
//! speed of one large matrix product there.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use dfdx::prelude::{MeanTo, Tensor, TryMatMul};
use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use whitebox::exact::official_rate;
use whitebox::fused::buffer::Buffer;
use whitebox::fused::product::{product, Matrix, MatrixMut, Panels};
use whitebox::harness::console::{self, ExperimentArguments};
use whitebox::harness::device::{DeviceArguments, DeviceName, OnDevice};
use whitebox::harness::experiment;
use whitebox::harness::record;
use whitebox::harness::run::Run;
use whitebox::harness::table;
use whitebox::measure::trend::fit_line;
use whitebox::model::{Architecture, Classifier, Config, Runtime};
use whitebox::train::optimiser::{Decay, Method, Optimiser};
use whitebox::vectorised::Instructions;
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
    /// Turns of each side per row; the median counts.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Also time torch.compile, and a training step in bfloat16, of the first two networks.
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
    /// A token costs 2 n d in the attention of a layer, and 3 d^2 (U^T Z, the way back, and the folded step; on a GPU 4,
    /// with D twice) in its other products; in a ViT's 12 d^2.
    fn flops(self, device: &str) -> f64 {
        let side = self.image / self.patch;
        let patches = side * side;
        let (n, d) = (patches + 1, self.d);
        let dense = match self.architecture {
            Architecture::Vit => 12,
            _ if device == "cpu" => 3,
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

/// How PyTorch runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// A product for every formula.
    #[default]
    Eager,
    /// Attention in one operation.
    Fused,
    /// `torch.compile`.
    Compiled,
    /// Products in bfloat16, by autocast.
    Bf16,
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
    /// How PyTorch runs.
    #[serde(default)]
    mode: Mode,
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
            mode: Mode::default(),
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
            "train" => 3.0 * self.batch as f64 * self.network.flops(&self.device),
            "forward" => self.batch as f64 * self.network.flops(&self.device),
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
    tokens: usize,
    /// Medians, seconds; those of PyTorch missing without it, and where it was not asked.
    seconds: f64,
    eager_seconds: Option<f64>,
    fused_seconds: Option<f64>,
    compiled_seconds: Option<f64>,
    bf16_seconds: Option<f64>,
    /// Median of the ratios of neighbouring runs to the faster of eager and fused: above 1 this program is faster.
    ratio: Option<f64>,
    ratio_compiled: Option<f64>,
    peak_mib: f64,
    /// Of the faster of eager and fused.
    torch_peak_mib: Option<f64>,
    /// Products and sums of the matrix products in a second over those of one large product.
    of_product: Option<f64>,
}

/// Cross-entropy with the official label smoothing.
const OBJECTIVE: train::Objective = train::Objective {
    smoothing: 0.1,
    penalty: None,
};
/// Rows of the square matrices whose product is the ceiling: on a GPU, and here.
const PRODUCT: usize = 8192;
const PRODUCT_HERE: usize = 2048;
/// Most tokens for which maps are made whole: beyond, only PyTorch's fused attention is timed.
const MOST_WHOLE: usize = 1100;
/// Before every run: threads of the other side that still wait for work take no time from this one.
const PAUSE: Duration = Duration::from_millis(50);
/// Time after which an answer is no longer waited for.
const LONGEST: Duration = Duration::from_secs(300);
/// Seconds for which a turn goes on, once it has begun: what is short is timed as in a loop, not just after waking.
const TURN: f64 = 0.25;
/// Rows of a product that one task makes.
const PRODUCT_ROWS: usize = 96;
/// The end of the names of the cases that differ in tokens, and the fewest whose growth is fitted.
const TOKENS: &str = " tokens";
const FIRST_LONG: usize = 700;
/// The end of the names of the cases that use a single thread.
const ONE_THREAD: &str = ", one thread";

#[derive(Debug, Serialize)]
struct Settings {
    repeats: u32,
    torch: Option<String>,
    instructions: String,
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
    for (threads, suffix) in [(threads, ""), (1, ONE_THREAD)] {
        let mut product = Request::of("product", small28, 1, threads);
        product.tokens = PRODUCT_HERE;
        cases.push((format!("matrices of {PRODUCT_HERE} rows{suffix}"), product));
    }
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
    for side in [8, 16, 22, 28, 32, 45, 64] {
        let network = Network {
            image: 16 * side,
            ..tiny
        };
        let name = format!("CRATE-Tiny, {}{TOKENS}", side * side + 1);
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
    for (threads, suffix) in [(threads, ""), (1, ONE_THREAD)] {
        rates.threads = threads;
        let name = format!("rates of 12 layers, 12 heads, 8 images{suffix}");
        cases.push((name, rates.clone()));
    }
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

/// PyTorch's way of doing a request, its process, and what it took.
struct Other {
    mode: Mode,
    worker: Worker,
    seconds: Vec<f64>,
    peak_kib: u64,
}

impl Other {
    fn median(&self) -> f64 {
        median(self.seconds.iter().copied())
    }
}

/// The ways in which PyTorch is asked to do `request`.
fn modes(name: &str, request: &Request, compile: bool) -> Vec<Mode> {
    if ["rates", "product"].contains(&&*request.work) {
        return vec![Mode::Eager];
    }
    let side = request.network.image / request.network.patch;
    let mut modes = vec![Mode::Fused];
    // A ViT always has the fused attention.
    if request.network.architecture != Architecture::Vit && side * side < MOST_WHOLE {
        modes.insert(0, Mode::Eager);
    }
    let first = ["CRATE-Tiny 224 px", "small net 28 px"].contains(&name);
    if compile && first && request.batch >= 8 {
        modes.push(Mode::Compiled);
        if request.work == "train" {
            modes.push(Mode::Bf16);
        }
    }
    modes
}

fn compare(arguments: &Arguments) -> Result<()> {
    arguments.device.device.run(IsThere)?;
    let cuda = arguments.device.device == DeviceName::Cuda;
    let name = if cuda { "speed_cuda" } else { "speed" };
    let mut experiment = arguments.experiment.clone();
    if !cuda && experiment.out.is_none() {
        let instructions = Instructions::most().to_string();
        let own = instructions.to_lowercase().replace('-', "");
        experiment.out = Some(experiment.folder(name).join(own));
    }
    let run = Run::begin(name, &experiment, None)?;
    let repeats = experiment.count(1, arguments.repeats) as u32;
    let mut rows = Vec::new();
    let mut version = None;
    let mut apology = None;
    let mut ceilings = HashMap::new();
    println!("{}", Row::heading());
    let cases = if cuda {
        cases_for_a_gpu(run.threads)?
    } else {
        cases(run.threads)?
    };
    let script = experiment.root().join("tests/bench/crate_torch.py");
    for (name, request) in cases {
        if !name.contains(&arguments.only) && request.work != "product" {
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
        if let Some(message) = own.ask(&request)?.error {
            return Err(worker_failed(message));
        }
        let mut others = Vec::new();
        for mode in modes(&name, &request, arguments.compile) {
            let mut request = request.clone();
            request.mode = mode;
            let loaded = Worker::start(Command::new(&arguments.python).arg(&script))
                .and_then(|mut worker| Ok((worker.ask(&request)?, worker)));
            match loaded {
                Ok((
                    Answer {
                        error: None,
                        version: found,
                        ..
                    },
                    worker,
                )) => {
                    version = found.or(version);
                    others.push(Other {
                        mode,
                        worker,
                        seconds: Vec::new(),
                        peak_kib: 0,
                    });
                }
                Ok((answer, _)) => apology = answer.error,
                Err(error) => apology = Some(error.to_string()),
            }
        }
        let again = Request {
            r#do: "run".into(),
            ..request.clone()
        };
        let (mut seconds, mut peak_kib) = (Vec::new(), 0);
        for _ in 0..repeats {
            sleep(PAUSE);
            let answer = own.ask(&again)?;
            seconds.push(answer.seconds.unwrap_or(f64::NAN));
            peak_kib = answer.peak_kib.unwrap_or(0);
            for other in &mut others {
                sleep(PAUSE);
                let answer = other.worker.ask(&again)?;
                other.seconds.push(answer.seconds.unwrap_or(f64::NAN));
                other.peak_kib = answer.peak_kib.unwrap_or(0);
            }
        }
        let of = |mode: Mode| others.iter().find(|other| other.mode == mode);
        let faster = [of(Mode::Eager), of(Mode::Fused)].into_iter().flatten();
        let faster = faster.min_by(|a, b| a.median().total_cmp(&b.median()));
        let ratio = |other: &Other| {
            let pairs = other.seconds.iter().zip(&seconds);
            median(pairs.map(|(torch, own)| torch / own))
        };
        let side = request.network.image / request.network.patch;
        let mut row = Row {
            name,
            work: request.work.clone(),
            batch: request.batch,
            threads: request.threads,
            tokens: match request.tokens {
                0 => side * side + 1,
                tokens => tokens,
            },
            seconds: median(seconds.iter().copied()),
            eager_seconds: of(Mode::Eager).map(Other::median),
            fused_seconds: of(Mode::Fused).map(Other::median),
            compiled_seconds: of(Mode::Compiled).map(Other::median),
            bf16_seconds: of(Mode::Bf16).map(Other::median),
            ratio: faster.map(ratio),
            ratio_compiled: of(Mode::Compiled).map(ratio),
            peak_mib: peak_kib as f64 / 1024.0,
            torch_peak_mib: faster.map(|other| other.peak_kib as f64 / 1024.0),
            of_product: None,
        };
        let flops = request.flops() / row.seconds;
        if request.work == "product" {
            // The ceiling is the faster side's.
            let torch = row
                .eager_seconds
                .map_or(0.0, |torch| request.flops() / torch);
            ceilings.insert(request.threads, flops.max(torch));
        }
        let ceiling = ceilings.get(&request.threads);
        row.of_product = ceiling
            .map(|ceiling| flops / ceiling)
            .filter(|f| f.is_finite());
        println!("{}", row.line());
        rows.push(row);
    }
    if let Some(message) = apology {
        println!("\nPyTorch was not timed everywhere ({message}): name a Python that has it with --python.");
    }
    table::write(&run.path("speed.csv"), &rows)?;
    let path = run.path("table.md");
    artefact::write(
        &path,
        markdown(&rows, version.as_deref(), repeats, run.threads).as_bytes(),
    )?;
    let settings = Settings {
        repeats,
        torch: version,
        instructions: Instructions::chosen().to_string(),
    };
    experiment::leave(&run, &settings, &rows, Vec::new(), true)?;
    println!("\nWrote {}.", run.folder().join("result.json").display());
    Ok(())
}

/// Columns of the table: the heading, and what stands below it.
type Column = (&'static str, fn(&Row) -> String);

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".into(), |v| format!("{v:.decimals$}"))
}

impl Row {
    const COLUMNS: [Column; 15] = [
        ("", |row| row.name.clone()),
        ("work", |row| row.work.clone()),
        ("batch", |row| row.batch.to_string()),
        ("threads", |row| row.threads.to_string()),
        ("tokens", |row| row.tokens.to_string()),
        ("seconds", |row| format!("{:.4}", row.seconds)),
        ("eager, s", |row| number(row.eager_seconds, 4)),
        ("fused, s", |row| number(row.fused_seconds, 4)),
        ("ratio", |row| number(row.ratio, 2)),
        ("compiled, s", |row| number(row.compiled_seconds, 4)),
        ("ratio", |row| number(row.ratio_compiled, 2)),
        ("bf16, s", |row| number(row.bf16_seconds, 4)),
        ("MiB", |row| format!("{:.0}", row.peak_mib)),
        ("PyTorch, MiB", |row| number(row.torch_peak_mib, 0)),
        ("of a product", |row| number(row.of_product, 2)),
    ];

    fn padded(cells: impl Iterator<Item = String>) -> String {
        let cells = cells.enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:<52}"),
            _ => format!("{cell:>13}"),
        });
        cells.collect()
    }

    fn heading() -> String {
        Self::padded(
            Self::COLUMNS
                .iter()
                .map(|(heading, _)| (*heading).to_owned()),
        )
    }

    fn line(&self) -> String {
        Self::padded(Self::COLUMNS.iter().map(|(_, cell)| cell(self)))
    }
}

/// The table as the book shows it.
fn markdown(rows: &[Row], version: Option<&str>, repeats: u32, threads: usize) -> String {
    let headings: Vec<&str> = Row::COLUMNS.iter().map(|(heading, _)| *heading).collect();
    let mut text = format!(
        "{}, {}; PyTorch {}; medians of {repeats} turns.\n\n| {} |\n|---|---|{}\n",
        record::machine(),
        Instructions::chosen(),
        version.unwrap_or("not found"),
        headings.join(" | "),
        "--:|".repeat(headings.len() - 2),
    );
    for row in rows {
        let cells: Vec<String> = Row::COLUMNS.iter().map(|(_, cell)| cell(row)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    for one in rows.iter().filter(|row| row.threads == 1 && threads > 1) {
        let name = one.name.trim_end_matches(ONE_THREAD);
        let same = |row: &&Row| (&*row.name, &row.work, row.batch) == (name, &one.work, one.batch);
        if let Some(all) = rows.iter().find(same) {
            let gain = |seconds: fn(&Row) -> Option<f64>| {
                number(
                    seconds(one).zip(seconds(all)).map(|(one, all)| one / all),
                    2,
                )
            };
            text.push_str(&format!(
                "\nFrom one thread to {}, {name}, {}: {:.2} times as fast; PyTorch eager {}, fused {}.\n",
                all.threads,
                one.work,
                one.seconds / all.seconds,
                gain(|row| row.eager_seconds),
                gain(|row| row.fused_seconds),
            ));
        }
    }
    let mut long: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name.ends_with(TOKENS) && row.tokens >= FIRST_LONG)
        .collect();
    long.sort_by_key(|row| row.tokens);
    if long.len() > 2 {
        // Slopes of logarithms against that of the tokens.
        let exponent = |number: fn(&Row) -> Option<f64>| {
            let pairs = long
                .iter()
                .filter_map(|row| Some((row.tokens as f64, number(row)?)));
            let points: Vec<(f64, f64)> = pairs.map(|(x, y)| (x.ln(), y.ln())).collect();
            format!("{:.2}", fit_line(&points).growth)
        };
        text.push_str(&format!(
            "\nFrom {FIRST_LONG} tokens on, time grows with their power {} (PyTorch fused {}), peak memory with {} ({}).\n",
            exponent(|row| Some(row.seconds)),
            exponent(|row| row.fused_seconds),
            exponent(|row| Some(row.peak_mib)),
            exponent(|row| row.torch_peak_mib),
        ));
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
    answers: Receiver<String>,
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
            (Some(input), Some(output)) => {
                let (send, answers) = channel();
                // Ends when the process does.
                std::thread::spawn(move || {
                    let lines = BufReader::new(output)
                        .lines()
                        .map_while(std::io::Result::ok);
                    lines
                        .take_while(|line| send.send(line.clone()).is_ok())
                        .count()
                });
                Ok(Self {
                    child,
                    input,
                    answers,
                })
            }
            _ => Err(worker_failed("it has no input and output")),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let line = serde_json::to_string(request).map_err(worker_failed)?;
        writeln!(self.input, "{line}").map_err(worker_failed)?;
        let answer = self.answers.recv_timeout(LONGEST).map_err(|e| match e {
            RecvTimeoutError::Timeout => worker_failed(format!("no answer in {LONGEST:?}")),
            RecvTimeoutError::Disconnected => worker_failed("it ended without an answer"),
        })?;
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
enum Subject<D: Runtime<f32>> {
    Network {
        network: Box<Classifier<f32, D>>,
        optimiser: Optimiser,
        input: Vec<f32>,
        labels: Vec<usize>,
        train: bool,
        threads: usize,
    },
    Product(Tensor<(usize, usize), f32, D>),
    /// By this program's kernels.
    ProductHere {
        matrix: Buffer,
        threads: usize,
    },
    Rates {
        /// (tokens, heads p) of every layer and image.
        projections: Vec<Array2<f32>>,
        heads: usize,
        threads: usize,
    },
}

impl<D: Runtime<f32>> Subject<D> {
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
        if request.work == "product" && D::is_shared() {
            let mut matrix = Buffer::zeroed(request.tokens * request.tokens);
            matrix.fill_with(|| rng.sample(StandardNormal));
            return Ok(Self::ProductHere {
                matrix,
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
                D::within(*threads, &mut **network, |network| {
                    optimiser.step(network, &gradients, 1e-4)
                })?
            }
            Self::Product(matrix) => {
                let product = matrix.clone().matmul(matrix.clone());
                // One number of it: reading waits for the device.
                std::hint::black_box(product.mean::<(), _>().as_vec());
                Ok(())
            }
            Self::ProductHere { matrix, threads } => parallel::within(*threads, || {
                let n = matrix.len().isqrt();
                let mut result = Buffer::unfilled(n * n);
                let all = Matrix::new(matrix, n, n);
                let panels = Panels::of(all);
                let blocks = result.par_chunks_mut(PRODUCT_ROWS * n).enumerate();
                blocks.for_each(|(index, block)| {
                    let rows = block.len() / n;
                    let left = all.row_block(index * PRODUCT_ROWS, rows);
                    product(MatrixMut::new(block, rows, n), left, &panels, 1.0, false);
                });
                std::hint::black_box(&result);
            }),
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

    fn run<D: Runtime<f32>>(self, _: &D) -> Result<()> {
        Ok(())
    }
}

/// Answers requests on the standard input.
struct Serve;

impl OnDevice for Serve {
    type Output = ();

    fn run<D: Runtime<f32>>(self, device: &D) -> Result<()> {
        serve(device)
    }
}

fn serve<D: Runtime<f32>>(device: &D) -> Result<()> {
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
            let (begin, mut seconds) = (Instant::now(), Vec::new());
            while seconds.is_empty() || begin.elapsed().as_secs_f64() < TURN {
                let start = Instant::now();
                subject.once()?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            answer.seconds = Some(median(seconds.into_iter()));
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
