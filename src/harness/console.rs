//! Flags every experiment takes, progress on standard error, exit codes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use indicatif::{ProgressBar, ProgressStyle};
#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::record::root;
use crate::data::DataName;
use crate::error::{Error, Result};
use crate::train::Recipe;
use crate::{memory, parallel};

/// Flags every experiment takes.
#[derive(Debug, Clone, clap::Args)]
pub struct ExperimentArguments {
    /// The whole path in seconds, on little data; marked as a trial in its record.
    #[arg(long)]
    pub quick: bool,
    /// Replace the record under reports by this run. Without it, a run is held against the record that is
    /// there, and what it wrote lies in a folder latest beside it, which git ignores.
    #[arg(long, conflicts_with_all = ["quick", "out"])]
    pub record: bool,
    /// Judge the record that is there by the criteria of today, without a run.
    #[arg(long, conflicts_with_all = ["quick", "record"])]
    pub judge: bool,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder with reports, for records and the networks that ship; default: the source tree around
    /// the working directory, else the working directory.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Folder for result.json, tables and figures.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Threads; the results do not depend on it. Default: RAYON_NUM_THREADS, else all cores.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

impl ExperimentArguments {
    /// See [`root`].
    pub fn root(&self) -> PathBuf {
        root(self.root.as_deref())
    }

    /// `--out`, or `reports/NAME`, with `quick` below it for a trial.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let folder = self.root().join("reports").join(name);
            if self.quick {
                folder.join("quick")
            } else {
                folder
            }
        })
    }

    /// [`ExperimentArguments::folder`] for a data set: Fashion-MNIST, the default, has the
    /// experiment's own folder, others one below it.
    pub fn folder_for(&self, name: &str, data: DataName) -> PathBuf {
        match data {
            DataName::FashionMnist => self.folder(name),
            other => self.folder(&format!("{name}/{}", other.word())),
        }
    }

    /// `quick` images or draws for a trial, else `full`.
    pub fn count(&self, quick: usize, full: u32) -> usize {
        if self.quick {
            quick
        } else {
            full as usize
        }
    }

    /// Number of threads to use.
    pub fn threads(&self) -> usize {
        threads(self.threads)
    }
}

/// The flag if given, else the default.
pub fn threads(flag: Option<u16>) -> usize {
    flag.map_or_else(parallel::default_threads, usize::from)
}

/// Reads a flag that has to be a finite number above 0.
///
/// # Errors
/// What was wanted, for the command line's own message.
pub fn positive(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("wanted a finite number > 0".into()),
    }
}

/// A progress bar with the time left, on standard error; silent where that is no terminal.
pub fn progress(length: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    // The template is a constant that indicatif accepts; a plain bar would do as well.
    if let Ok(style) =
        ProgressStyle::with_template("{msg:32} {bar:32} {pos}/{len}  {elapsed} (left: {eta})")
    {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// Says on standard error what the user should know, and the program cannot.
pub fn warn(message: Option<String>) {
    if let Some(message) = message {
        eprintln!("warning: {message}");
    }
}

/// Set by the first signal that asks the program to end, for work that can stop in good order: Ctrl-C, the
/// SIGTERM of schedulers and service managers, the end of the terminal. The second ends the program at once.
pub fn asked_to_stop() -> &'static AtomicBool {
    static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    ASKED.get_or_init(|| {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in ending_signals() {
            // In this order: the first signal must not find the flag that it sets.
            // Where a handler cannot be set the signal ends the program as it always did; the state on disk
            // stays good.
            let end = flag::register_conditional_shutdown(signal, 128 + signal, asked.clone());
            let _ = end.and_then(|_| flag::register(signal, asked.clone()));
        }
        asked
    })
}

/// Signals that ask for an end and that the caller did not have ignored, as `nohup` does.
fn ending_signals() -> Vec<i32> {
    #[cfg(not(unix))]
    let hang_up = None;
    #[cfg(unix)]
    let hang_up = (!ignored(SIGHUP)).then_some(SIGHUP);
    [SIGINT, SIGTERM].into_iter().chain(hang_up).collect()
}

/// Whether this process was started with `signal` ignored, where Linux tells.
#[cfg(unix)]
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Lets a closed pipe, as of `| head`, end the program as it ends others: Rust ignores the signal and
/// then panics on the failed write.
fn end_with_a_closed_pipe() {
    #[cfg(unix)]
    {
        use std::ffi::c_int;
        extern "C" {
            fn signal(signal: c_int, handler: usize) -> usize;
        }
        const SIGPIPE: c_int = 13;
        const DEFAULT: usize = 0;
        // SAFETY: the C library exports this function; both values are those of every Unix, and no
        // handler of ours is installed that could run.
        unsafe {
            signal(SIGPIPE, DEFAULT);
        }
    }
}

/// An error on one line, with every setting that it names as the flag of this program, if it has one; those
/// of a recipe are flags of programs that can `set` them.
fn one_line(error: &Error, command: &clap::Command) -> String {
    let chosen = std::env::args().find_map(|word| command.find_subcommand(word));
    let own = command.get_arguments();
    let flags = own.chain(chosen.into_iter().flat_map(clap::Command::get_arguments));
    let flags: Vec<&str> = flags.filter_map(clap::Arg::get_long).collect();
    let recipe = serde_json::to_value(Recipe::demo()).unwrap_or_default();
    let line = error.line();
    let mut shown = String::new();
    let mut parts = line.split('`');
    shown.extend(parts.next());
    while let Some(quoted) = parts.next() {
        let flag = quoted.replace('_', "-");
        let rest = parts.next();
        if rest.is_some() && flags.contains(&flag.as_str()) {
            shown += &format!("--{flag}");
        } else if rest.is_some() && flags.contains(&"set") && recipe.get(quoted).is_some() {
            shown += &format!("--set {quoted}=VALUE");
        } else {
            shown += &format!("`{quoted}{}", if rest.is_some() { "`" } else { "" });
        }
        shown.extend(rest);
    }
    shown
}

/// Runs the program with the flags `A`, with memory kept for reuse: prints an error on one line and turns it
/// into the exit code.
pub fn run<A: clap::CommandFactory>(program: impl FnOnce() -> Result<()>) -> ExitCode {
    memory::keep_freed();
    end_with_a_closed_pipe();
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error, &A::command()));
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of error is one line, says what to do, and names flags that the program has.
    #[test]
    fn every_kind_of_error_is_one_line_and_advises_flags_that_the_program_has() {
        let command = clap::Command::new("program").args(
            ["threads", "batch", "out", "data-dir"].map(|name| clap::Arg::new(name).long(name)),
        );
        let misfit = ndarray::Array2::<f64>::from_shape_vec((2, 2), vec![0.0]).unwrap_err();
        let device = || Error::device("out of memory").with_device_remedy("lower `batch`");
        let system = || std::io::Error::other("in two\nlines");
        let table = [
            (
                device(),
                1,
                "the compute device failed: out of memory; lower --batch",
            ),
            (Error::device("out of memory"), 1, "choose another `device`"),
            (Error::thread("EAGAIN"), 1, "ask for fewer with --threads"),
            (
                Error::misfit("logits", [2, 2], &misfit),
                1,
                "logits: wanted shape [2, 2]",
            ),
            (
                Error::size("rows", 7, 8, "pass fewer"),
                1,
                "rows: wanted at most 7, got 8; pass",
            ),
            (
                Error::unsupported("a penalty", "on this device", "train on the CPU"),
                1,
                "a penalty is not supported on this device; train",
            ),
            (
                Error::Unmeasured {
                    what: "rate".into(),
                    remedy: "name it".into(),
                },
                1,
                "rate was not measured; name it",
            ),
            (Error::program("worker", "silent"), 1, "worker: silent; run"),
            (
                Error::file("a.npy", "f32", "|u1", "save it"),
                1,
                "a.npy: wanted f32, got |u1; save it",
            ),
            (
                Error::argument("`out`", "a", "b", "c"),
                2,
                "--out: wanted a",
            ),
            (
                Error::io("read", "x", system(), "use `data_dir`"),
                1,
                "in two lines; use --data-dir",
            ),
            (Error::Interrupted { step: 3 }, 130, "stopped after step 3"),
            (
                Error::Diverged {
                    epoch: 1,
                    step: 3,
                    what: "the loss is NaN".into(),
                },
                1,
                "lower `learning_rate` or raise",
            ),
        ];
        for (error, code, words) in table {
            let line = one_line(&error, &command);
            assert!(line.contains(words), "{line:?} lacks {words:?}");
            assert!(!line.contains('\n') && !line.contains('"'), "{line:?}");
            assert_eq!(error.exit_code(), code, "{line}");
        }
        let of_recipes = command.arg(clap::Arg::new("set").long("set"));
        let line = one_line(
            &Error::thread("`odd` `threads` \u{1b}[31m`batch"),
            &of_recipes,
        );
        let words = "`odd` --threads \\u{1b}[31m`batch";
        assert!(line.contains(words), "{line:?} lacks {words:?}");
        let diverged = Error::Diverged {
            epoch: 1,
            step: 3,
            what: "the loss is NaN".into(),
        };
        let line = one_line(&diverged, &of_recipes);
        assert!(line.contains("lower --set learning_rate=VALUE or raise --set warmup"));
    }
}
