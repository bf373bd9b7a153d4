//! The course of a training, whatever it trains: progress on standard error, a table, event files, a wish to stop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;

use super::tensorboard::EventFile;
use super::{console, table};
use crate::error::{Error, Result};
use crate::train::task::Scored;
use crate::train::{Epoch, Observer, Recipe};

/// Shows how a run goes, writes it down, heeds a wish to stop.
#[derive(Debug)]
pub struct Course<'a> {
    recipe: &'a Recipe,
    per_epoch: usize,
    table: PathBuf,
    events: Option<EventFile>,
    bar: ProgressBar,
    stop: &'a AtomicBool,
    failure: Option<Error>,
}

impl<'a> Course<'a> {
    /// Of a training by `recipe` with `examples` in an epoch, whose table is to lie at `table`.
    pub fn new(
        recipe: &'a Recipe,
        examples: usize,
        table: PathBuf,
        events: Option<EventFile>,
    ) -> Self {
        Self {
            recipe,
            per_epoch: examples.div_ceil(recipe.batch),
            table,
            events,
            bar: console::progress(1, "training"),
            stop: console::asked_to_stop(),
            failure: None,
        }
    }

    /// Watches a run, and hands `keep` the record so far and the network after every epoch.
    pub fn watch<K>(&mut self, keep: K) -> Watch<'_, 'a, K> {
        Watch { course: self, keep }
    }

    /// What came of the run, if nothing failed on the way that it did not know of. Writes the table once more, for
    /// a run that was interrupted between its last epoch and its end.
    ///
    /// # Errors
    /// What failed on the way, else those of the run; [`Error::Io`] naming the table.
    pub fn end<S: Scored>(mut self, run: Result<Vec<Epoch<S>>>) -> Result<Vec<Epoch<S>>> {
        self.bar.finish_and_clear();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let epochs = run?;
        self.write(&epochs)?;
        Ok(epochs)
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(failure) = result {
            self.failure.get_or_insert(failure);
        }
    }

    /// A line per epoch.
    fn write<S: Scored>(&self, epochs: &[Epoch<S>]) -> Result<()> {
        let mut header = vec!["epoch", "learning_rate", "training_loss"];
        let scores: Vec<_> = epochs.iter().map(|e| e.held_out.figures()).collect();
        header.extend(scores.iter().take(1).flatten().map(|figure| figure.column));
        let rows = epochs.iter().zip(&scores).map(|(epoch, figures)| {
            let rate = self
                .recipe
                .learning_rate_at(epoch.epoch - 1, 0, self.per_epoch);
            let figures: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
            (epoch.epoch, rate, epoch.training_loss, figures)
        });
        table::write_under(&self.table, &header, &rows.collect::<Vec<_>>())
    }
}

/// A [`Course`] while it is run.
#[derive(Debug)]
pub struct Watch<'c, 'a, K> {
    course: &'c mut Course<'a>,
    keep: K,
}

impl<N, S: Scored, K: FnMut(&[Epoch<S>], &N) -> Result<()>> Observer<N, S> for Watch<'_, '_, K> {
    fn step(&mut self, step: usize, steps: usize, loss: f64) {
        let course = &mut *self.course;
        course.bar.set_length(steps as u64);
        course.bar.set_position(step as u64);
        course.bar.set_message(format!("training, loss {loss:.3}"));
        if let Some(events) = &mut course.events {
            let (epoch, index) = ((step - 1) / course.per_epoch, (step - 1) % course.per_epoch);
            let rate = course
                .recipe
                .learning_rate_at(epoch, index, course.per_epoch);
            let written = events.step(step, loss, rate);
            course.note(written);
        }
    }

    fn epoch(&mut self, epochs: &[Epoch<S>], network: &N) {
        let course = &mut *self.course;
        let written = course.write(epochs);
        course.note(written);
        let kept = (self.keep)(epochs, network);
        course.note(kept);
        let Some(epoch) = epochs.last() else { return };
        if let Some(events) = &mut course.events {
            let step = epoch.epoch * course.per_epoch;
            let written = events.epoch(step, &epoch.held_out.figures());
            course.note(written);
        }
        let line = format!(
            "epoch {:3}: training loss {:.4}, {}",
            epoch.epoch,
            epoch.training_loss,
            epoch.held_out.line()
        );
        // Without a terminal the bar is silent, and so would be a line printed through it.
        if course.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            course.bar.println(line);
        }
    }

    fn wants_to_stop(&self) -> bool {
        self.course.failure.is_some() || self.course.stop.load(Ordering::Relaxed)
    }
}
