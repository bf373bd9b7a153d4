//! Who does the work on networks: the CPU on as many threads as there are, another device on the thread that it
//! was opened on.

use dfdx::prelude::Cpu;
#[cfg(feature = "cuda")]
use dfdx::prelude::Cuda;

use crate::error::Result;
use crate::parallel;

/// A device that works on networks `N` in pieces. What a network shares between threads depends on the device, so
/// each device says for itself which networks it runs.
pub trait Runs<N>: Sized {
    /// Computes `then(first(network, piece))` for every piece: what the network gives, and what the CPU makes
    /// of it. Other devices belong to the thread they were opened on, so there `first` runs on it, one piece
    /// after the other, and `then` on `threads` threads beside it.
    ///
    /// # Errors
    /// That of the first piece, in order, that failed.
    fn run_pieces<A: Send, T: Send>(
        network: &N,
        pieces: usize,
        threads: usize,
        first: impl Fn(&N, usize) -> Result<A> + Sync,
        then: impl Fn(A) -> Result<T> + Sync,
    ) -> Result<Vec<T>>;

    /// Runs `work`, whose kernels share themselves out over `threads` threads where they are the CPU's.
    ///
    /// # Errors
    /// [`crate::Error::Thread`] if no thread can start.
    fn within<T: Send>(
        threads: usize,
        network: &mut N,
        work: impl FnOnce(&mut N) -> T + Send,
    ) -> Result<T>;
}

impl<N: Send + Sync> Runs<N> for Cpu {
    fn run_pieces<A: Send, T: Send>(
        network: &N,
        pieces: usize,
        threads: usize,
        first: impl Fn(&N, usize) -> Result<A> + Sync,
        then: impl Fn(A) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        parallel::map(pieces, threads, |piece| then(first(network, piece)?))
    }

    fn within<T: Send>(
        threads: usize,
        network: &mut N,
        work: impl FnOnce(&mut N) -> T + Send,
    ) -> Result<T> {
        parallel::within(threads, || work(network))
    }
}

#[cfg(feature = "cuda")]
impl<N> Runs<N> for Cuda {
    fn run_pieces<A: Send, T: Send>(
        network: &N,
        pieces: usize,
        threads: usize,
        first: impl Fn(&N, usize) -> Result<A> + Sync,
        then: impl Fn(A) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        parallel::pipeline(pieces, threads, |piece| first(network, piece), then)
    }

    fn within<T: Send>(
        _threads: usize,
        network: &mut N,
        work: impl FnOnce(&mut N) -> T + Send,
    ) -> Result<T> {
        Ok(work(network))
    }
}
