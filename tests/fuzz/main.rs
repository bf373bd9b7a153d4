//! Valid files of every format that the program reads, changed at random. Whatever comes: an answer, or one
//! line that says what is wrong; in bounded time and memory, and never a panic.
//!
//! | variable | what |
//! |---|---|
//! | `WHITEBOX_FUZZ_CASES` | changed files of each format; default 1,500 |
//! | `WHITEBOX_FUZZ_SEED` | of the changes; default 0 |
//! | `WHITEBOX_FUZZ_FORMAT` | the formats whose name contains it; default all |
#![allow(missing_docs, clippy::unwrap_used)]

mod checkpoints;
mod formats;
mod mutate;
mod state;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use whitebox::{artefact, Result};

use formats::formats;
use mutate::mutate;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Reads what lies in a folder.
pub(crate) type Reader = Box<dyn Fn(&Path) -> Result<()>>;

/// A format: where its file lies, what is in it, what reads it.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    /// The file, below a folder of its own.
    pub(crate) file: &'static str,
    /// Valid files, each of which is read without an error.
    pub(crate) valid: Vec<Vec<u8>>,
    /// Reads the file, and checks what comes of it where that is known. It gets the folder.
    pub(crate) read: Reader,
    /// Bytes of memory that a file of [`mutate`]'s largest size may take.
    pub(crate) memory: usize,
}

fn variable(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("WHITEBOX_FUZZ_{name}"));
    text.map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_changed_file_gives_an_answer_or_one_line_that_says_what_is_wrong() {
    let (cases, seed) = (variable("CASES", 1500), variable("SEED", 0));
    let only = std::env::var("WHITEBOX_FUZZ_FORMAT").unwrap_or_default();
    let all = formats().into_iter().chain(checkpoints::formats());
    for format in all.filter(|f| f.name.contains(&only)) {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        for valid in &format.valid {
            write(folder.path(), format.file, valid);
            let read = (format.read)(folder.path());
            read.unwrap_or_else(|e| panic!("{}: a valid file is refused: {e}", format.name));
        }
        let mut refused = 0;
        for case in 0..cases {
            let label = format!("{seed}/{}/{case}", format.name);
            let key = artefact::sha256(label.as_bytes());
            let key: [u8; 32] = std::array::from_fn(|i| key.as_bytes()[i]);
            let mut rng = ChaCha8Rng::from_seed(key);
            let mut pick = || &format.valid[rng.gen_range(0..format.valid.len())];
            let (file, other) = (pick(), pick());
            let bytes = mutate(file, other, &mut rng);
            refused += u64::from(holds(&format, folder.path(), &bytes, &label));
        }
        println!(
            "{}: {refused} of {cases} refused, {:.1} s",
            format.name,
            start.elapsed().as_secs_f64()
        );
        // Changes that nothing notices would be no test of the reader.
        assert!(cases < 100 || refused > cases / 10, "{}", format.name);
    }
}

fn write(folder: &Path, file: &str, bytes: &[u8]) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Whether the file was refused, after every promise about that was checked.
fn holds(format: &Format, folder: &Path, bytes: &[u8], label: &str) -> bool {
    write(folder, format.file, bytes);
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (format.read)(folder)));
    let (time, memory) = (
        start.elapsed(),
        ALLOCATED.peak_usage().saturating_sub(before),
    );
    let mut broken = Vec::new();
    match &result {
        Err(_) => broken.push("it panics".to_owned()),
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let message = error.line();
            if message.contains(char::is_control) {
                broken.push(format!("several lines: {message:?}"));
            }
            let name = Path::new(format.file).file_name().unwrap();
            if error.exit_code() == 1 && !message.contains(name.to_str().unwrap()) {
                broken.push(format!("the file is not named: {message}"));
            }
            if message.len() > 2000 {
                broken.push(format!("{} bytes of message", message.len()));
            }
        }
    }
    if time > Duration::from_secs(5) {
        broken.push(format!("it takes {time:?}"));
    }
    if memory > format.memory {
        broken.push(format!("it takes {memory} bytes of memory"));
    }
    if !broken.is_empty() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(label.replace('/', "-"));
        std::fs::write(&kept, bytes).unwrap();
        panic!("{label}, kept in {}: {}", kept.display(), broken.join("; "));
    }
    !matches!(result, Ok(Ok(())))
}
