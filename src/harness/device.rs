//! The device that networks run on, chosen at run time. Rates are always computed on the CPU, in doubles.

use clap::ValueEnum;
use dfdx::prelude::Cpu;

use crate::error::{Error, Result};
use crate::model::Runtime;

/// The flag that names it.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct DeviceArguments {
    /// What networks run on. cuda needs a program built with --features cuda.
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceName,
}

/// A device by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DeviceName {
    /// The processor, with kernels of this project.
    #[default]
    Cpu,
    /// The first GPU, with dfdx's.
    Cuda,
}

/// Work that any device can do.
pub trait OnDevice {
    /// What comes of it.
    type Output;

    /// Does it.
    ///
    /// # Errors
    /// Its own.
    fn run<D: Runtime<f32>>(self, device: &D) -> Result<Self::Output>;
}

impl DeviceName {
    /// Does `work` on the device.
    ///
    /// # Errors
    /// [`Error::Argument`] if this program or machine has no such device; those of the work.
    pub fn run<W: OnDevice>(self, work: W) -> Result<W::Output> {
        match self {
            Self::Cpu => work.run(&Cpu::default()),
            Self::Cuda => on_cuda(work),
        }
    }
}

fn no_cuda(got: impl Into<String>, remedy: &str) -> Error {
    Error::argument("--device", "a device that is here", got, remedy)
}

#[cfg(not(feature = "cuda"))]
fn on_cuda<W: OnDevice>(_: W) -> Result<W::Output> {
    Err(no_cuda(
        "cuda, and a program built without it",
        "build with --features cuda, or leave --device out",
    ))
}

#[cfg(feature = "cuda")]
fn on_cuda<W: OnDevice>(work: W) -> Result<W::Output> {
    // Where there is no driver or GPU this panics instead of returning its error.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let device = std::panic::catch_unwind(|| dfdx::prelude::Cuda::try_build(0, 0));
    std::panic::set_hook(hook);
    match device {
        Ok(Ok(device)) => work.run(&device),
        Ok(Err(e)) => Err(no_cuda(
            format!("cuda, which says {e:?}"),
            "check the driver with nvidia-smi, or leave --device out",
        )),
        Err(_) => Err(no_cuda(
            "cuda, and no GPU that its driver can open",
            "check the driver with nvidia-smi, or leave --device out",
        )),
    }
}
