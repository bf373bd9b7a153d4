//! A claim of a paper, the criterion it is held to, and the verdict. Criteria are data, fixed in the
//! source before a run; nothing here looks at a result and decides what to ask.

use serde::Serialize;

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
    /// The bound.
    pub bound: f64,
}

impl Criterion {
    /// `quantity <= bound`, for the claim.
    pub const fn at_most(quantity: &'static str, bound: f64) -> Self {
        Self {
            role: Role::Claim,
            quantity,
            relation: Relation::AtMost,
            bound,
        }
    }

    /// `quantity >= bound`, for the claim.
    pub const fn at_least(quantity: &'static str, bound: f64) -> Self {
        Self {
            role: Role::Claim,
            quantity,
            relation: Relation::AtLeast,
            bound,
        }
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
}

impl Measurement {
    /// The number called `quantity`.
    pub fn of(quantity: &'static str, value: f64) -> Self {
        Self { quantity, value }
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
    pub claim: Claim,
    /// All numbers the criteria name, and any others worth keeping.
    pub measurements: Vec<Measurement>,
    /// The outcome.
    pub outcome: Outcome,
    /// Which conditions held and which did not, with the numbers.
    pub reason: String,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Claim { id, statement, .. } = self.claim;
        write!(f, "{id} {statement}: {}", self.outcome)?;
        for part in self.reason.split("; ") {
            write!(f, "\n    {part}")?;
        }
        Ok(())
    }
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
        for criterion in self.criteria {
            let found = measurements
                .iter()
                .find(|m| m.quantity == criterion.quantity);
            let Some(found) = found else {
                missing.push(criterion.quantity);
                continue;
            };
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
            claim: self,
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
