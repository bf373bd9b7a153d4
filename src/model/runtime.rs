//! Devices that run every network of this crate.

use super::kernels::Kernels;
use super::runs::Runs;
use super::{Autoencoder, Classifier, Real};

/// A device with what the networks ask of one: how their parts are computed ([`Kernels`]) and how work on whole
/// networks is shared out ([`Runs`]). The CPU in f32 and f64, and CUDA in f32.
pub trait Runtime<E: Real>:
    Kernels<E> + Runs<Classifier<E, Self>> + Runs<Autoencoder<E, Self>>
{
}

impl<E, D> Runtime<E> for D
where
    E: Real,
    D: Kernels<E> + Runs<Classifier<E, D>> + Runs<Autoencoder<E, D>>,
{
}
