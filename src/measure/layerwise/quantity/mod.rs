//! The table of what can be measured at a layer: a quantity is a name, a unit, the sites it reads, and a
//! function of a [`View`]. To add one, write one entry in one of the files below.
//!
//! | file | what |
//! |---|---|
//! | [`rates`] | `R` and `R^c` of what enters and leaves the blocks |
//! | [`official`] | the official measurement, its precision and scaling, and other subspaces in it |
//! | [`sparsity`] | fractions of nonzeros |
//! | [`spread`] | rank, and nearness to the learned subspaces |
//! | [`steps`] | rates after MSSA's step and after steps of its length |
//! | [`descent`] | steps against the gradient of `R^c` of the tokens as they are |
//! | [`sign`] | steps against the gradients of rates that growth does not change |
//! | [`codes`] | the LASSO around ISTA |

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::view::View;
use crate::error::{Error, Result};
use crate::model::probe::Site;

/// Entries of the table: name, unit, sites and function, `Plain` or at a precision (`At`). Makes a constant of
/// [`Quantity`] of each, and the list of all.
macro_rules! quantities {
    ($($(#[$documentation:meta])* $constant:ident = $name:literal, $unit:literal, [$($site:ident),*], $of:expr;)*) => {
        impl $crate::measure::layerwise::quantity::Quantity {
            $(
                $(#[$documentation])*
                pub const $constant: Self = Self::new(&Entry {
                    name: $name,
                    unit: $unit,
                    sites: &[$(Site::$site),*],
                    of: $of,
                });
            )*
        }

        pub(super) const ALL: &[Quantity] = &[$(Quantity::$constant),*];
    };
}

pub mod codes;
pub mod descent;
pub mod official;
pub mod rates;
pub mod sign;
pub mod sparsity;
pub mod spread;
pub mod steps;

const ALL: [&[Quantity]; 8] = [
    rates::ALL,
    official::ALL,
    sparsity::ALL,
    spread::ALL,
    steps::ALL,
    descent::ALL,
    sign::ALL,
    codes::ALL,
];

/// The precision of rates where none is chosen: the official measurement's.
pub const PRECISION: f64 = 0.1;

/// A line of the table.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    unit: &'static str,
    sites: &'static [Site],
    of: Of,
}

/// How a number is made of a layer on an image.
#[derive(Debug)]
enum Of {
    Plain(fn(&View<'_>) -> Result<f64>),
    /// At a precision.
    At(fn(&View<'_>, f64) -> Result<f64>),
}

/// A number per layer and image. In records and tables it is its name, with `@` and the precision behind it
/// where that is not [`PRECISION`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Quantity {
    entry: &'static Entry,
    epsilon: f64,
}

impl Quantity {
    const fn new(entry: &'static Entry) -> Self {
        Self {
            entry,
            epsilon: PRECISION,
        }
    }

    /// This quantity at another precision, if it has one; the precision is in the units of the tokens it looks at.
    pub fn at(self, epsilon: f64) -> Self {
        match self.entry.of {
            Of::Plain(_) => self,
            Of::At(_) => Self { epsilon, ..self },
        }
    }

    /// Name in records and tables, without precision.
    pub fn name(self) -> &'static str {
        self.entry.name
    }

    /// "nats"; "1" for what has none.
    pub fn unit(self) -> &'static str {
        self.entry.unit
    }

    /// Where in the layer its tokens are taken.
    pub fn sites(self) -> &'static [Site] {
        self.entry.sites
    }

    /// All, at their own precision.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().flatten().copied()
    }

    pub(super) fn of(self, view: &View<'_>) -> Result<f64> {
        match self.entry.of {
            Of::Plain(of) => of(view),
            Of::At(of) => of(view, self.epsilon),
        }
    }

    fn key(&self) -> (&'static str, u64) {
        (self.entry.name, self.epsilon.to_bits())
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        match self.epsilon == PRECISION {
            true => Ok(()),
            false => write!(f, "@{}", self.epsilon),
        }
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.to_string()
    }
}

impl TryFrom<String> for Quantity {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let unknown = || {
            let wanted =
                "a name of the table of quantities, with @ and a precision where it has one";
            Error::argument("a quantity", wanted, text.clone(), "correct the name")
        };
        let (name, epsilon) = match text.split_once('@') {
            Some((name, epsilon)) => (name, epsilon.parse().map_err(|_| unknown())?),
            None => (text.as_str(), PRECISION),
        };
        let found = Self::all().find(|quantity| quantity.entry.name == name);
        let found = found.map(|quantity| quantity.at(epsilon));
        // What has no precision is not written with one.
        let found = found.filter(|quantity| quantity.epsilon.to_bits() == epsilon.to_bits());
        found.ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dfdx::prelude::Cpu;

    use super::*;
    use crate::measure::layerwise::measure_input;
    use crate::model::{Classifier, Config};

    #[test]
    fn names_are_distinct_and_lead_back_to_their_quantities() {
        let names: BTreeSet<&str> = Quantity::all().map(Quantity::name).collect();
        assert_eq!(names.len(), Quantity::all().count());
        for quantity in Quantity::all().flat_map(|q| [q, q.at(0.003), q.at(1e-300)]) {
            let text = serde_json::to_string(&quantity).unwrap();
            let back: Quantity = serde_json::from_str(&text).unwrap();
            assert_eq!(back, quantity, "{text}");
            let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(quantity.name().chars().all(snake), "{text}");
        }
        assert_eq!(Quantity::RATE.to_string(), "rate");
        assert_eq!(Quantity::RATE.at(0.5).to_string(), "rate@0.5");
        // The count of zeros does not depend on a precision.
        assert_eq!(
            Quantity::NONZERO_AFTER_ISTA.at(0.5),
            Quantity::NONZERO_AFTER_ISTA
        );
        for text in ["", "rates", "rate@", "rate@x", "nonzero_after_ista@0.5"] {
            assert!(Quantity::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    fn network() -> (Classifier<f32, Cpu>, Vec<f32>) {
        let config = Config {
            depth: 2,
            ..Config::preset("demo").unwrap()
        };
        let config = config.with_width(16, 4).unwrap();
        let network = Classifier::new(config, 1, &Cpu::default()).unwrap();
        let pixels = (0..2 * 28 * 28).map(|i| (i as f32 * 0.37).sin());
        (network, pixels.collect())
    }

    #[test]
    fn every_quantity_is_a_number_in_every_layer_and_depends_on_its_own_sites_alone() {
        let (network, input) = network();
        let all: Vec<Quantity> = Quantity::all().collect();
        let together = measure_input(&network, &input, &all, 3, 1).unwrap();
        for curve in &together.curves {
            let values: Vec<f64> = curve.values.concat();
            assert_eq!(values.len(), 4, "{}", curve.quantity);
            assert!(values.iter().all(|v| v.is_finite()), "{}", curve.quantity);
            let alone = measure_input(&network, &input, &[curve.quantity], 3, 1).unwrap();
            assert_eq!(alone.curves[0], *curve);
        }
    }

    #[test]
    fn a_quantity_that_reads_a_site_it_does_not_name_is_refused_in_any_company() {
        const READS: Of = Of::Plain(|view| Ok(view.tokens(Site::LayerInput)?[[0, 0]]));
        const WITHOUT: Quantity = Quantity::new(&Entry {
            name: "forgetful",
            unit: "1",
            sites: &[Site::AFTER_ISTA],
            of: READS,
        });
        let (network, input) = network();
        for company in [Quantity::NONZERO_AFTER_ISTA, Quantity::RATE] {
            let asked = [company, WITHOUT];
            let error = measure_input(&network, &input, &asked, 0, 1).unwrap_err();
            let line = error.line();
            assert!(
                line.contains("LayerInput for a quantity of [After(1)]"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_curve_that_was_not_asked_for_is_an_error() {
        let (network, input) = network();
        let found = measure_input(&network, &input, &[Quantity::RATE], 0, 1).unwrap();
        assert_eq!(found.means(Quantity::RATE).unwrap().len(), 2);
        for other in [Quantity::RATE.at(0.2), Quantity::NONZERO_AFTER_ISTA] {
            let error = found.means(other).unwrap_err();
            assert!(error.to_string().contains(&other.to_string()), "{error}");
        }
    }

    #[test]
    fn the_precision_belongs_to_the_quantity() {
        let (network, input) = network();
        let asked = [0.1, 0.4].map(|epsilon| Quantity::RATE.at(epsilon));
        let found = measure_input(&network, &input, &asked, 0, 1).unwrap();
        let [fine, coarse] = asked.map(|quantity| found.means(quantity).unwrap());
        assert!(fine.iter().zip(&coarse).all(|(fine, coarse)| fine > coarse));
    }
}
