//! Memory for activations. A network's passes ask for the same sizes again and again, and clearing what is
//! overwritten anyway takes a twentieth of a training step: hence buffers that begin with whatever the last
//! owner left, aligned to a cache line.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{LazyLock, Mutex, PoisonError};

/// A cache line, or one 512-bit vector.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// A slice of numbers that owns its memory, and gives it back for the next of its size when dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// `len` numbers, of any value: for those who write every one before they read it. In a debug build they
    /// are NaN, so that a test finds whoever does not.
    pub fn unfilled(len: usize) -> Self {
        let lines = POOL
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(len.div_ceil(LINE));
        let mut buffer = Self { lines, len };
        if cfg!(debug_assertions) {
            buffer.fill(f32::NAN);
        }
        buffer
    }

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::unfilled(len);
        buffer.fill(0.0);
        buffer
    }

    /// The numbers of `values`, in memory of its own.
    pub fn copy_of(values: &[f32]) -> Self {
        let mut buffer = Self::unfilled(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` numbers, one after the other and initialised: a `Line` is 16 of
        // them without padding (repr C, 64 bytes).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        POOL.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .give_back(lines);
    }
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

/// What was given back, by size. With what is in use it takes at most a quarter more than was ever in use.
#[derive(Debug, Default)]
struct Pool {
    /// Each with the time of its return.
    free: BTreeMap<usize, Vec<(u64, Vec<Line>)>>,
    free_lines: usize,
    used_lines: usize,
    most_used_lines: usize,
    returns: u64,
}

impl Pool {
    fn take(&mut self, count: usize) -> Vec<Line> {
        let fitting = self.free.range_mut(count..=count + count / 8);
        let found = fitting.filter_map(|(_, all)| all.pop()).next();
        let lines = match found {
            Some((_, lines)) => {
                self.free_lines -= lines.len();
                lines
            }
            None => vec![Line([0.0; LINE]); count],
        };
        self.used_lines += lines.len();
        self.most_used_lines = self.most_used_lines.max(self.used_lines);
        lines
    }

    fn give_back(&mut self, lines: Vec<Line>) {
        let count = lines.len();
        self.used_lines -= count;
        self.free_lines += count;
        self.returns += 1;
        let returned = (self.returns, lines);
        self.free.entry(count).or_default().push(returned);
        while self.free_lines + self.used_lines > self.most_used_lines + self.most_used_lines / 4 {
            self.drop_oldest();
        }
    }

    /// Gives up what nobody has asked for longest.
    fn drop_oldest(&mut self) {
        let first = |(size, all): (&usize, &Vec<(u64, Vec<Line>)>)| {
            all.first().map(|(time, _)| (*time, *size))
        };
        let Some((_, size)) = self.free.iter().filter_map(first).min() else {
            return;
        };
        if let Some(all) = self.free.get_mut(&size) {
            all.remove(0);
            self.free_lines -= size;
            if all.is_empty() {
                self.free.remove(&size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked_for() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let buffer = Buffer::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|&v| v == 0.0));
        }
        let copy = Buffer::copy_of(&[1.0, 2.0, 3.0]).clone();
        assert_eq!(&*copy, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_pool_takes_little_more_than_was_in_use_at_once() {
        let mut pool = Pool::default();
        let held = [pool.take(10), pool.take(20)];
        held.into_iter().for_each(|lines| pool.give_back(lines));
        assert_eq!((pool.free_lines, pool.used_lines), (30, 0));
        for count in 1..1000 {
            let held = [pool.take(count % 25), pool.take(count % 7)];
            held.into_iter().for_each(|lines| pool.give_back(lines));
            assert!(4 * pool.free_lines <= 5 * pool.most_used_lines);
            let all = pool
                .free
                .iter()
                .flat_map(|(size, all)| all.iter().map(move |_| size));
            assert_eq!(all.sum::<usize>(), pool.free_lines);
        }
    }
}
