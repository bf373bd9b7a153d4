//! The next batch is decoded while a device works on this one.

use std::sync::mpsc::sync_channel;

use crate::error::{Error, Result};

/// Calls `work` with every batch and what `make` gives for it, in order. `make` runs on a thread of its own,
/// one batch ahead, and stops with `work`.
///
/// # Errors
/// The first of either, in the order of the batches; [`Error::Thread`] if the thread dies.
pub(super) fn ahead<'b, T: Send>(
    batches: impl Iterator<Item = &'b [usize]> + Clone + Send,
    make: impl Fn(&[usize]) -> Result<T> + Sync,
    mut work: impl FnMut(&[usize], T) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        // One waits in the channel, one is being made.
        let (sender, receiver) = sync_channel(1);
        let (make, own) = (&make, batches.clone());
        scope.spawn(move || {
            // Nobody listens any more once `work` has failed.
            own.map(make).all(|made| sender.send(made).is_ok())
        });
        for batch in batches {
            let made = receiver.recv().map_err(Error::thread)?;
            work(batch, made?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: [usize; 7] = [3, 1, 4, 1, 5, 9, 2];

    fn sum(batch: &[usize]) -> Result<usize> {
        Ok(batch.iter().sum())
    }

    #[test]
    fn batches_come_in_order_with_what_was_made_of_them() {
        let mut seen = Vec::new();
        let work = |batch: &[usize], made| {
            seen.push((batch.len(), made));
            Ok(())
        };
        ahead(IMAGES.chunks(3), sum, work).unwrap();
        assert_eq!(seen, [(3, 8), (3, 15), (1, 2)]);
    }

    #[test]
    fn an_error_on_either_side_ends_both() {
        let fails = |batch: &[usize]| match batch {
            [1, 5, 9] => Err(Error::thread("made")),
            batch => sum(batch),
        };
        let mut done = 0;
        let count = |_: &[usize], _| {
            done += 1;
            Ok(())
        };
        let error = ahead(IMAGES.chunks(3), fails, count).unwrap_err();
        assert!(error.to_string().contains("made"));
        assert_eq!(done, 1);
        let stop = |_: &[usize], _| Err(Error::Interrupted { step: 1 });
        let error = ahead(IMAGES.chunks(1), sum, stop).unwrap_err();
        assert!(matches!(error, Error::Interrupted { step: 1 }));
    }
}
