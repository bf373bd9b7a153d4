//! Claims: what is said, by whom, what has to hold, and how it came out. Criteria are data, fixed in the source
//! before a run, and each carries how its number is read off the results. Knows no experiment and measures nothing: it
//! imports [`crate::measure::statistics`] alone. Begin with [`Claim`], then [`verdict`].
//!
//! | file | what |
//! |---|---|
//! | [`measured`] | a number with its uncertainty |
//! | [`verdict`] | from criteria and results to an outcome |
//! | [`theorem`] | claims that tests settle |
//! | [`untested`] | claims without a verdict, and why |
//! | [`family`] | the catalogue's families |

pub mod family;
pub mod measured;
pub mod theorem;
pub mod untested;
pub mod verdict;

use serde::{Deserialize, Serialize};

pub use measured::{Measured, Unit};
pub use verdict::{Condition, Held, Outcome, Verdict};

/// Whose claim it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Of the papers on CRATE and its kin, or of their code.
    Authors,
    /// Of papers and people that dispute it.
    Critics,
    /// Of this project: derived or found here, published nowhere else.
    Project,
}

impl Whose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Authors, Self::Critics, Self::Project];

    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Authors => "authors",
            Self::Critics => "critics",
            Self::Project => "project",
        }
    }
}

/// Where a claim is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// Paper, book or code.
    pub paper: &'static str,
    /// Figure, table, equation or file in it.
    pub place: &'static str,
}

impl Source {
    /// `place` in `paper`.
    pub const fn of(paper: &'static str, place: &'static str) -> Self {
        Self { paper, place }
    }
}

/// How a measured number has to stand to the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
}

impl Relation {
    /// Whether `value` stands so to `bound`.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => value <= bound,
            Self::AtLeast => value >= bound,
        }
    }

    /// `<=` or `>=`.
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }
}

/// What a criterion is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The claim itself: one a claim.
    Primary,
    /// What else the claim says or implies.
    Secondary,
    /// That the number would not come out so without what the claim credits: untrained, shuffled, random.
    Control,
    /// That the measurement could have told: a known answer, a network that has learned.
    Check,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Control => "control",
            Self::Check => "check",
        })
    }
}

/// How a number is read off the results; none if it could not be measured.
pub type Reading<R> = fn(&R) -> Option<Measured>;

/// One condition on one number.
#[derive(Debug)]
pub struct Criterion<R: 'static> {
    role: Role,
    quantity: &'static str,
    relation: Relation,
    bound: f64,
    of: Reading<R>,
}

impl<R> Criterion<R> {
    /// `quantity <= bound`, the primary criterion.
    pub const fn at_most(quantity: &'static str, bound: f64, of: Reading<R>) -> Self {
        Self::new(quantity, Relation::AtMost, bound, of)
    }

    /// `quantity >= bound`, the primary criterion.
    pub const fn at_least(quantity: &'static str, bound: f64, of: Reading<R>) -> Self {
        Self::new(quantity, Relation::AtLeast, bound, of)
    }

    const fn new(quantity: &'static str, relation: Relation, bound: f64, of: Reading<R>) -> Self {
        Self {
            role: Role::Primary,
            quantity,
            relation,
            bound,
            of,
        }
    }

    /// This criterion, in the role [`Role::Secondary`].
    pub const fn secondary(mut self) -> Self {
        self.role = Role::Secondary;
        self
    }

    /// This criterion, in the role [`Role::Control`].
    pub const fn control(mut self) -> Self {
        self.role = Role::Control;
        self
    }

    /// This criterion, in the role [`Role::Check`].
    pub const fn check(mut self) -> Self {
        self.role = Role::Check;
        self
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }
}

/// A number that is shown beside the criteria and decides nothing.
#[derive(Debug)]
pub struct Number<R: 'static> {
    quantity: &'static str,
    of: Reading<R>,
}

impl<R> Number<R> {
    /// The number called `quantity`.
    pub const fn of(quantity: &'static str, of: Reading<R>) -> Self {
        Self { quantity, of }
    }
}

/// A statement and what has to hold of the results `R`.
#[derive(Debug)]
pub struct Claim<R: 'static> {
    /// Catalogue number, "C-LAY-01".
    pub id: &'static str,
    /// Where it is made.
    pub source: Source,
    /// By whom.
    pub whose: Whose,
    /// What it says.
    pub statement: &'static str,
    /// What has to hold: one primary criterion, others beside it.
    pub criteria: &'static [Criterion<R>],
    /// Numbers that are shown and decide nothing.
    pub beside: &'static [Number<R>],
    /// Whether the bounds were set knowing the numbers of a pilot: fixed before the run, but not blind.
    pub pilot_informed: bool,
}

impl<R> Claim<R> {
    /// A claim with its criteria.
    pub const fn new(
        id: &'static str,
        source: Source,
        whose: Whose,
        statement: &'static str,
        criteria: &'static [Criterion<R>],
    ) -> Self {
        Self {
            id,
            source,
            whose,
            statement,
            criteria,
            beside: &[],
            pilot_informed: false,
        }
    }

    /// With numbers that are shown and decide nothing.
    pub const fn beside(mut self, numbers: &'static [Number<R>]) -> Self {
        self.beside = numbers;
        self
    }

    /// With bounds that were set knowing the numbers of a pilot.
    pub const fn pilot_informed(mut self) -> Self {
        self.pilot_informed = true;
        self
    }
}
