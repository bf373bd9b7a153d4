//! Work in fixed pieces on a chosen number of threads, with results in the order of the pieces:
//! the thread count cannot change a result.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// Threads to use where nobody says otherwise: `RAYON_NUM_THREADS` if set, else all cores.
pub fn default_threads() -> usize {
    rayon::current_num_threads()
}

/// Computes `work(0), ..., work(pieces - 1)` on `threads` threads.
///
/// Each thread runs in a rayon pool of one, so that matrix products inside a piece do not start
/// threads of their own.
///
/// # Errors
/// The error of the first piece, in order, that failed; [`Error::Thread`] if no thread can start.
///
/// # Panics
/// If `work` does.
pub fn map<T: Send>(
    pieces: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Vec<Mutex<Option<Result<T>>>> = (0..pieces).map(|_| Mutex::new(None)).collect();
    let worker = || -> Result<()> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(Error::thread)?;
        pool.install(|| loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces || failed.load(Ordering::Relaxed) {
                return;
            }
            let result = work(piece);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            if let Ok(mut slot) = results[piece].lock() {
                *slot = Some(result);
            }
        });
        Ok(())
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.clamp(1, pieces.max(1)))
            .map(|_| scope.spawn(worker))
            .collect();
        handles.into_iter().try_for_each(|handle| {
            handle
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let finished = results
        .into_iter()
        .filter_map(|slot| slot.into_inner().ok().flatten());
    finished.collect()
}

/// Computes `then(first(0)), ..., then(first(pieces - 1))`, `first` on the calling thread, one after the
/// other, and `then` on `threads` threads beside it: for a device that belongs to one thread.
///
/// # Errors
/// The first error of `first`, at which no more is begun; else the error of the first piece, in order, whose `then`
/// failed; [`Error::Thread`] if no thread can start.
///
/// # Panics
/// If `first` does. `then` must not: what it has not finished is waited for.
pub fn pipeline<A: Send, T: Send>(
    pieces: usize,
    threads: usize,
    mut first: impl FnMut(usize) -> Result<A>,
    then: impl Fn(A) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(Error::thread)?;
    let results: Vec<Mutex<Option<Result<T>>>> = (0..pieces).map(|_| Mutex::new(None)).collect();
    let done = AtomicUsize::new(0);
    let (finished, then) = (&done, &then);
    let outcome = pool.in_place_scope(|scope| {
        for (piece, slot) in results.iter().enumerate() {
            let made = first(piece)?;
            scope.spawn(move |_| {
                let result = then(made);
                if let Ok(mut slot) = slot.lock() {
                    *slot = Some(result);
                }
                finished.fetch_add(1, Ordering::Relaxed);
            });
            // What has been made and not been used yet takes memory.
            while piece + 1 - finished.load(Ordering::Relaxed) > 2 * threads {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok(())
    });
    outcome?;
    let finished = results
        .into_iter()
        .filter_map(|slot| slot.into_inner().ok().flatten());
    finished.collect()
}

/// Runs `work` on a thread of a rayon pool of `threads` threads, for work that shares itself out:
/// on a thread from outside, every piece that is shared would have to wake the pool and be waited for.
///
/// # Errors
/// [`Error::Thread`] if no thread can start.
///
/// # Panics
/// If `work` does.
pub fn within<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    if threads == rayon::current_num_threads() {
        return Ok(rayon::scope(|_| work()));
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(Error::thread)?;
    Ok(pool.install(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_gives_the_results_in_order_or_the_first_error() {
        let first = |piece: usize| Ok(piece);
        let square = |piece: usize| Ok(piece * piece);
        for threads in [1, 2, 5] {
            let found = pipeline(20, threads, first, square).unwrap();
            assert_eq!(found, (0..20).map(|i| i * i).collect::<Vec<_>>());
        }
        let refuse = |piece: usize| match piece {
            7 => Err(Error::thread("seven")),
            piece => Ok(piece),
        };
        for error in [
            pipeline(20, 2, first, refuse).unwrap_err(),
            pipeline(20, 2, refuse, square).unwrap_err(),
        ] {
            assert!(error.to_string().contains("seven"), "{error}");
        }
    }

    #[test]
    fn results_come_in_order_whatever_the_thread_count() {
        for threads in [1, 2, 5] {
            let squares = map(20, threads, |i| Ok(i * i)).unwrap();
            assert_eq!(squares, (0..20).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_in_one_piece_is_returned() {
        let result = map(20, 2, |i| {
            if i == 7 {
                Err(Error::thread("seven"))
            } else {
                Ok(i)
            }
        });
        assert!(result.unwrap_err().to_string().contains("seven"));
    }
}
