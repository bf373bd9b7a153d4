//! The `whitebox` command line.
use clap::Parser;
use whitebox::data::*;
use whitebox::model::*;
use whitebox::train::*;
#[derive(clap::Parser)]
struct A { #[command(flatten)] data: DataArguments, #[arg(long, default_value_t=1)] epochs: usize, #[arg(long)] depth: Option<usize>, #[arg(long)] patch: Option<usize>, #[arg(long)] limit: Option<usize>, #[arg(long,default_value_t=2)] threads: usize }
struct O(std::time::Instant);
impl Observer for O { fn step(&mut self, s: usize, n: usize, l: f64) { if s % 50 == 0 { eprintln!("{s}/{n} {l:.4} {:?}", self.0.elapsed()); } } fn epoch(&mut self, e: &Epoch) { eprintln!("{e:?} {:?}", self.0.elapsed()); } }
fn main() -> whitebox::Result<()> {
    let a = A::parse();
    let mut tr = a.data.read(Split::Train, None, 0)?; let te = a.data.read(Split::Test, None, 0)?;
    if let Some(l) = a.limit { tr = Images::new("x", tr.shape, 10, tr.pixels[..l*784].to_vec(), tr.labels[..l].to_vec(), tr.normalisation.clone())?; }
    let mut c = CrateConfig::preset("demo")?; if let Some(d)=a.depth { c.depth=d; } if let Some(p)=a.patch { c.patch_size=[p,p]; }
    println!("{} params", c.parameters());
    let mut net = CrateClassifier::new(c, 0, &Default::default())?;
    let r = Recipe { epochs: a.epochs, batch: 128, learning_rate: 1e-3, weight_decay: 0.05, warmup_epochs: 0.5, label_smoothing: 0.1, augmentation: augment::Augmentation { shift: 2, flip: true } };
    let f = std::path::PathBuf::from("/tmp/runs/fashion.state");
    train(&mut net, &tr, &te, &r, &Run { seed: 0, threads: a.threads, state_file: &f }, &mut O(std::time::Instant::now()))?; Ok(())
}
