//! A claim of a paper, the criterion it is held to, and the verdict. Criteria are data, fixed in the
//! source before a run; nothing here looks at a result and decides what to ask.

use serde::Serialize;

use crate::measure::statistics::{student_quantile, Summary};

/// What sort of statement a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Exact identity.
    Identity,
    /// Exact inequality.
    Inequality,
    /// Approximation or limit.
    Asymptotic,
    /// Statement about networks or data.
    Empirical,
}

/// At what size a claim is tested here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The paper's networks and data.
    Full,
    /// A small network or data set: the verdict is about the statement at this size.
    Small,
}

/// How a measured number has to stand to the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
}

/// What a criterion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The claim itself.
    Claim,
    /// The control that shows the claim's number means what it should.
    Control,
}

/// One condition on one measured number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Criterion {
    /// Claim or control.
    pub role: Role,
    /// Name of the measured number.
    pub quantity: &'static str,
    /// Relation to the bound.
    pub relation: Relation,
    /// The bound; NaN where it depends on the number of values, until the claim is judged.
    pub bound: f64,
    /// Probability whose quantile of Student's distribution is the bound, if it is one.
    #[serde(skip)]
    student: Option<f64>,
}

impl Criterion {
    /// `quantity <= bound`, for the claim.
    pub const fn at_most(quantity: &'static str, bound: f64) -> Self {
        Self {
            role: Role::Claim,
            quantity,
            relation: Relation::AtMost,
            bound,
            student: None,
        }
    }

    /// `quantity >= bound`, for the claim.
    pub const fn at_least(quantity: &'static str, bound: f64) -> Self {
        Self {
            role: Role::Claim,
            quantity,
            relation: Relation::AtLeast,
            bound,
            student: None,
        }
    }

    /// `quantity`, a mean over its standard error, is above 0 at the one-sided level of 5 %: at least
    /// Student's quantile for the degrees of freedom of the measurement.
    pub const fn above_zero(quantity: &'static str) -> Self {
        Self {
            student: Some(0.95),
            ..Self::at_least(quantity, f64::NAN)
        }
    }

    /// With the bound that goes with the degrees of freedom of a measurement, to three decimals as tables
    /// print it; none if it needs them and has none.
    fn resolved(mut self, found: &Measurement) -> Option<Self> {
        if let Some(probability) = self.student {
            let quantile = student_quantile(probability, found.freedom?);
            self.bound = (1e3 * quantile).round() / 1e3;
        }
        Some(self)
    }

    /// The same condition as a control.
    pub const fn control(mut self) -> Self {
        self.role = Role::Control;
        self
    }

    /// Whether `value` meets the condition; NaN never does.
    pub fn holds(&self, value: f64) -> bool {
        match self.relation {
            Relation::AtMost => value <= self.bound,
            Relation::AtLeast => value >= self.bound,
        }
    }
}

impl std::fmt::Display for Criterion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.relation {
            Relation::AtMost => "<=",
            Relation::AtLeast => ">=",
        };
        let Self {
            quantity, bound, ..
        } = self;
        if *bound != 0.0 && bound.abs() < 1e-3 {
            write!(f, "{quantity} {sign} {bound:e}")
        } else {
            write!(f, "{quantity} {sign} {bound}")
        }
    }
}

/// A statement of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Claim {
    /// Catalogue number, "C-LAY-01".
    pub id: &'static str,
    /// Where it is made.
    pub paper: &'static str,
    /// Figure, table, equation or file.
    pub location: &'static str,
    /// What it says.
    pub statement: &'static str,
    /// What has to hold.
    pub criteria: &'static [Criterion],
    /// Sort of statement.
    pub kind: Kind,
    /// Size it is tested at.
    pub scale: Scale,
}

/// A number that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// Name that criteria refer to.
    pub quantity: &'static str,
    /// Its value.
    pub value: f64,
    /// Degrees of freedom of its standard error, of a number counted in standard errors.
    #[serde(skip)]
    freedom: Option<usize>,
}

impl Measurement {
    /// The number called `quantity`.
    pub fn of(quantity: &'static str, value: f64) -> Self {
        Self {
            quantity,
            value,
            freedom: None,
        }
    }

    /// The mean of `values` in standard errors of it.
    pub fn in_standard_errors(quantity: &'static str, values: &Summary) -> Self {
        Self {
            freedom: values.count.checked_sub(1),
            ..Self::of(quantity, values.mean / values.standard_error())
        }
    }
}

/// How a claim came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every criterion and every control holds.
    Reproduced,
    /// Some criteria hold, or all of them but a control does not.
    Partly,
    /// No criterion of the claim holds.
    NotReproduced,
    /// A number the criteria need could not be measured here.
    NotTestable,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reproduced => "reproduced",
            Self::Partly => "partly reproduced",
            Self::NotReproduced => "not reproduced",
            Self::NotTestable => "not testable here",
        })
    }
}

/// A claim with what was measured and how it came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The claim.
    #[serde(serialize_with = "with_bounds")]
    pub claim: Judged,
    /// All numbers the criteria name, and any others worth keeping.
    pub measurements: Vec<Measurement>,
    /// The outcome.
    pub outcome: Outcome,
    /// Which conditions held and which did not, with the numbers.
    pub reason: String,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Claim { id, statement, .. } = self.claim.claim;
        write!(f, "{id} {statement}: {}", self.outcome)?;
        for part in self.reason.split("; ") {
            write!(f, "\n    {part}")?;
        }
        Ok(())
    }
}

/// A claim with the bounds that its criteria had in this run.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The claim.
    pub claim: Claim,
    /// Its criteria, with the bounds that they were held to.
    pub criteria: Vec<Criterion>,
}

impl std::ops::Deref for Judged {
    type Target = Claim;

    fn deref(&self) -> &Claim {
        &self.claim
    }
}

/// As the claim itself, with those criteria.
fn with_bounds<S: serde::Serializer>(
    judged: &Judged,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let Claim {
        id,
        paper,
        location,
        statement,
        kind,
        scale,
        ..
    } = judged.claim;
    #[derive(Serialize)]
    struct Written<'a> {
        id: &'a str,
        paper: &'a str,
        location: &'a str,
        statement: &'a str,
        criteria: &'a [Criterion],
        kind: Kind,
        scale: Scale,
    }
    let criteria = &judged.criteria;
    let written = Written {
        id,
        paper,
        location,
        statement,
        criteria,
        kind,
        scale,
    };
    written.serialize(serializer)
}

/// Four decimals, or two digits where those would all be zero.
fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        format!("{value:.1e}")
    } else {
        format!("{value:.4}")
    }
}

impl Claim {
    /// Holds the claim against what was measured.
    pub fn judge(self, measurements: Vec<Measurement>) -> Verdict {
        let mut held = [0usize; 2];
        let mut total = [0usize; 2];
        let mut missing = Vec::new();
        let mut parts = Vec::new();
        let mut criteria = Vec::new();
        for criterion in self.criteria {
            let found = measurements
                .iter()
                .find(|m| m.quantity == criterion.quantity)
                .and_then(|found| Some((found, criterion.resolved(found)?)));
            let Some((found, criterion)) = found else {
                missing.push(criterion.quantity);
                criteria.push(*criterion);
                continue;
            };
            criteria.push(criterion);
            let index = usize::from(criterion.role == Role::Control);
            let holds = criterion.holds(found.value);
            total[index] += 1;
            held[index] += usize::from(holds);
            parts.push(format!(
                "{}{criterion}: {} ({})",
                if index == 1 { "control " } else { "" },
                if holds { "yes" } else { "no" },
                short(found.value)
            ));
        }
        let outcome = if !missing.is_empty() {
            parts = vec![format!("not measured: {}", missing.join(", "))];
            Outcome::NotTestable
        } else if held[0] == 0 {
            Outcome::NotReproduced
        } else if held == total {
            Outcome::Reproduced
        } else {
            Outcome::Partly
        };
        Verdict {
            claim: Judged {
                claim: self,
                criteria,
            },
            measurements,
            outcome,
            reason: parts.join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim {
        id: "C-TEST-01",
        paper: "none",
        location: "nowhere",
        statement: "a is small and b is large",
        criteria: &[
            Criterion::at_most("a", 1.0),
            Criterion::at_least("b", 2.0),
            Criterion::at_least("control", 0.0).control(),
        ],
        kind: Kind::Empirical,
        scale: Scale::Small,
    };

    #[test]
    fn a_bound_in_standard_errors_follows_the_number_of_values() {
        const ABOVE: Claim = Claim {
            criteria: &[Criterion::above_zero("gain")],
            ..CLAIM
        };
        // Means of 2.5 standard errors: enough of ten values, too little of three.
        let of = |count: usize| Summary {
            mean: 2.5,
            deviation: (count as f64).sqrt(),
            count,
        };
        for (count, bound, outcome) in [
            (3, 2.92, Outcome::NotReproduced),
            (5, 2.132, Outcome::Reproduced),
            (10, 1.833, Outcome::Reproduced),
        ] {
            let verdict = ABOVE.judge(vec![Measurement::in_standard_errors("gain", &of(count))]);
            assert_eq!(verdict.outcome, outcome, "{count}");
            let written = serde_json::to_value(&verdict).unwrap();
            assert_eq!(written["claim"]["criteria"][0]["bound"], bound);
            assert!(verdict.reason.contains(&format!("gain >= {bound}: ")));
        }
        let without = ABOVE.judge(vec![Measurement::of("gain", 9.0)]);
        assert_eq!(without.outcome, Outcome::NotTestable);
    }

    fn judge(a: f64, b: f64, control: f64) -> Outcome {
        let measured = [("a", a), ("b", b), ("control", control)];
        CLAIM
            .judge(
                measured
                    .map(|(quantity, value)| Measurement::of(quantity, value))
                    .to_vec(),
            )
            .outcome
    }

    #[test]
    fn every_outcome_follows_from_the_criteria() {
        assert_eq!(judge(0.0, 3.0, 0.0), Outcome::Reproduced);
        assert_eq!(judge(0.0, 3.0, -1.0), Outcome::Partly);
        assert_eq!(judge(0.0, 1.0, 0.0), Outcome::Partly);
        assert_eq!(judge(2.0, 1.0, 0.0), Outcome::NotReproduced);
        assert_eq!(judge(f64::NAN, 1.0, 0.0), Outcome::NotReproduced);
        let nothing = CLAIM.judge(Vec::new());
        assert_eq!(nothing.outcome, Outcome::NotTestable);
        assert!(nothing.reason.contains("a, b, control"));
    }
}
