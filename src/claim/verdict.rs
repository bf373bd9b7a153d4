//! How a claim came out: the one place where criteria become an outcome, for experiments, book and tests.

use serde::{Deserialize, Serialize};

use super::measured::Measured;
use super::{Claim, Criterion, Relation, Role, Whose};

/// How a condition came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The number meets the bound, with its whole interval if it has one.
    Yes,
    /// It does not, with its whole interval if it has one.
    No,
    /// The bound lies within the interval, or a number that varies was measured once.
    Undecided,
    /// There is no number.
    NotMeasured,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Undecided => "undecided",
            Self::NotMeasured => "not measured",
        })
    }
}

/// One condition with the number it was held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// What it is for.
    pub role: Role,
    /// Name of the number.
    pub quantity: String,
    /// How it has to stand to the bound.
    pub relation: Relation,
    /// The bound.
    pub bound: f64,
    /// The number, if it could be had.
    pub measured: Option<Measured>,
    /// How that came out.
    pub held: Held,
}

impl Condition {
    /// How many of the values that were kept one by one meet the bound, and of how many.
    pub fn one_by_one(&self) -> Option<(usize, usize)> {
        let values = &self.measured.as_ref()?.values;
        let met = values
            .iter()
            .filter(|v| self.relation.holds(**v, self.bound));
        (!values.is_empty()).then(|| (met.count(), values.len()))
    }
}

/// `quantity <= bound`, without the number.
impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, bound) = (self.relation.sign(), short(self.bound));
        write!(f, "{} {sign} {bound}", self.quantity)
    }
}

/// A number in the digits that people read: four decimals at most, two digits where those would be zero.
pub fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// A measured number for people: value, limits, what they rest on.
impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&short(self.value))?;
        if let Some([low, high]) = self.interval {
            write!(f, " [{}, {}]", short(low), short(high))?;
        }
        match (self.unit, self.count) {
            (super::Unit::Exact, _) => Ok(()),
            (unit, 1) => write!(f, ", 1 of {}", unit.plural()),
            (unit, count) => write!(f, ", {count} {}", unit.plural()),
        }
    }
}

/// How a claim came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The primary criterion, every secondary one and every control hold.
    Supported,
    /// The primary criterion holds, and so it does where what the claim credits is absent.
    NotSpecific,
    /// The primary criterion holds and a secondary one does not.
    Mixed,
    /// The primary criterion is excluded.
    Contradicted,
    /// The number is too uncertain, missing, or its check failed.
    Inconclusive,
}

impl Outcome {
    /// All, best first.
    pub const ALL: [Self; 5] = [
        Self::Supported,
        Self::NotSpecific,
        Self::Mixed,
        Self::Contradicted,
        Self::Inconclusive,
    ];

    /// In words. Only what somebody published can be reproduced.
    pub fn words(self, whose: Whose) -> &'static str {
        let published = whose != Whose::Project;
        match self {
            Self::Supported if published => "reproduced",
            Self::Supported => "confirmed",
            Self::NotSpecific if published => "reproduced, not specific",
            Self::NotSpecific => "confirmed, not specific",
            Self::Mixed => "mixed",
            Self::Contradicted => "contradicted",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What a record keeps of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stated {
    /// Catalogue number.
    pub id: String,
    /// Whose claim it is.
    pub whose: Whose,
    /// Paper or other source.
    pub paper: String,
    /// Figure, table, equation or file in it.
    pub place: String,
    /// What it says.
    pub statement: String,
    /// Whether the bounds were set knowing the numbers of a pilot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pilot_informed: bool,
}

/// A claim with what was measured and how it came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The claim.
    pub claim: Stated,
    /// Its conditions with their numbers.
    pub conditions: Vec<Condition>,
    /// Numbers shown beside, that decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Beside>,
    /// The outcome.
    pub outcome: Outcome,
}

/// A number that is shown and decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Its name.
    pub quantity: String,
    /// The number, if it could be had.
    pub measured: Option<Measured>,
}

impl Verdict {
    /// The outcome in words.
    pub fn words(&self) -> &'static str {
        self.outcome.words(self.claim.whose)
    }

    /// What decided, in one line.
    pub fn reason(&self) -> String {
        let of = |role, wanted: &[Held]| {
            let conditions = self.conditions.iter().filter(move |c| c.role == role);
            let found = conditions.filter(|c| wanted.contains(&c.held));
            found
                .map(|c| format!("{c}: {}", c.held))
                .collect::<Vec<_>>()
        };
        let not = [Held::No, Held::Undecided, Held::NotMeasured];
        let why = [
            ("check", of(Role::Check, &not)),
            ("", of(Role::Primary, &not)),
            ("control", of(Role::Control, &not)),
            ("secondary", of(Role::Secondary, &not)),
        ];
        let lines = why.into_iter().flat_map(|(role, found)| {
            let space = if role.is_empty() { "" } else { " " };
            found
                .into_iter()
                .map(move |line| format!("{role}{space}{line}"))
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stated { id, statement, .. } = &self.claim;
        write!(f, "{id} {statement}: {}", self.words())?;
        for condition in &self.conditions {
            let role = match condition.role {
                Role::Primary => String::new(),
                role => format!("{role} "),
            };
            write!(f, "\n    {role}{condition}: {}", condition.held)?;
            if let Some(measured) = &condition.measured {
                write!(f, " ({measured}")?;
                if let Some((met, of)) = condition.one_by_one() {
                    write!(f, ", {met} of {of} alone")?;
                }
                write!(f, ")")?;
            }
        }
        for Beside { quantity, measured } in &self.beside {
            match measured {
                Some(measured) => write!(f, "\n    beside: {quantity}: {measured}")?,
                None => write!(f, "\n    beside: {quantity}: not measured")?,
            }
        }
        Ok(())
    }
}

impl<R> Criterion<R> {
    /// Holds the number against the bound.
    fn decide(&self, results: &R) -> Condition {
        let measured = (self.of)(results).filter(Measured::is_number);
        let held = match &measured {
            None => Held::NotMeasured,
            Some(found) => match (found.interval, found.unit) {
                (Some(ends), _) => {
                    let met = ends.map(|end| self.relation.holds(end, self.bound));
                    match met {
                        [true, true] => Held::Yes,
                        [false, false] => Held::No,
                        _ => Held::Undecided,
                    }
                }
                (None, super::Unit::Exact) if self.relation.holds(found.value, self.bound) => {
                    Held::Yes
                }
                (None, super::Unit::Exact) => Held::No,
                (None, _) => Held::Undecided,
            },
        };
        Condition {
            role: self.role,
            quantity: self.quantity.to_owned(),
            relation: self.relation,
            bound: self.bound,
            measured,
            held,
        }
    }
}

/// From the conditions to the outcome.
fn outcome(conditions: &[Condition]) -> Outcome {
    let all = |role: Role, wanted: &[Held]| {
        let mut conditions = conditions.iter().filter(|c| c.role == role);
        conditions.all(|c| wanted.contains(&c.held))
    };
    let primary = conditions.iter().find(|c| c.role == Role::Primary);
    match primary.map(|c| c.held) {
        _ if !all(Role::Check, &[Held::Yes]) => Outcome::Inconclusive,
        Some(Held::No) => Outcome::Contradicted,
        None | Some(Held::Undecided | Held::NotMeasured) => Outcome::Inconclusive,
        Some(Held::Yes) => {
            if !all(Role::Control, &[Held::Yes, Held::No]) {
                Outcome::Inconclusive
            } else if !all(Role::Control, &[Held::Yes]) {
                Outcome::NotSpecific
            } else if !all(Role::Secondary, &[Held::Yes]) {
                Outcome::Mixed
            } else {
                Outcome::Supported
            }
        }
    }
}

impl<R> Claim<R> {
    /// Holds the claim against what was measured.
    pub fn judge(&self, results: &R) -> Verdict {
        let conditions: Vec<Condition> = self.criteria.iter().map(|c| c.decide(results)).collect();
        let beside = self.beside.iter().map(|number| Beside {
            quantity: number.quantity.to_owned(),
            measured: (number.of)(results).filter(Measured::is_number),
        });
        Verdict {
            claim: Stated {
                id: self.id.to_owned(),
                whose: self.whose,
                paper: self.source.paper.to_owned(),
                place: self.source.place.to_owned(),
                statement: self.statement.to_owned(),
                pilot_informed: self.pilot_informed,
            },
            beside: beside.collect(),
            outcome: outcome(&conditions),
            conditions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, Unit};
    use super::*;

    /// Numbers for primary, secondary, control and check; each is met above 0.
    struct Numbers([Option<Measured>; 4]);

    const CLAIM: Claim<Numbers> = Claim::new(
        "C-TEST-01",
        Source::of("none", "nowhere"),
        Whose::Project,
        "a number is large",
        &[
            Criterion::at_least("primary", 0.0, |n: &Numbers| n.0[0].clone()),
            Criterion::at_least("secondary", 0.0, |n: &Numbers| n.0[1].clone()).secondary(),
            Criterion::at_least("control", 0.0, |n: &Numbers| n.0[2].clone()).control(),
            Criterion::at_least("check", 0.0, |n: &Numbers| n.0[3].clone()).check(),
        ],
    );

    fn yes() -> Option<Measured> {
        Some(Measured::exact(1.0))
    }

    fn no() -> Option<Measured> {
        Some(Measured::exact(-1.0))
    }

    fn wide() -> Option<Measured> {
        Some(Measured::within(1.0, [-1.0, 3.0], Unit::Network, 3))
    }

    #[test]
    fn the_outcome_follows_from_the_conditions() {
        use Outcome::*;
        for (numbers, wanted) in [
            ([yes(), yes(), yes(), yes()], Supported),
            ([yes(), yes(), no(), yes()], NotSpecific),
            ([yes(), no(), no(), yes()], NotSpecific),
            ([yes(), no(), yes(), yes()], Mixed),
            ([yes(), wide(), yes(), yes()], Mixed),
            ([no(), yes(), yes(), yes()], Contradicted),
            ([no(), yes(), no(), yes()], Contradicted),
            ([no(), yes(), yes(), no()], Inconclusive),
            ([yes(), yes(), yes(), no()], Inconclusive),
            ([yes(), yes(), yes(), wide()], Inconclusive),
            ([yes(), yes(), None, yes()], Inconclusive),
            ([yes(), yes(), wide(), yes()], Inconclusive),
            ([wide(), yes(), yes(), yes()], Inconclusive),
            ([None, yes(), yes(), yes()], Inconclusive),
        ] {
            let verdict = CLAIM.judge(&Numbers(numbers.clone()));
            assert_eq!(verdict.outcome, wanted, "{numbers:?}");
        }
        let nan = Some(Measured::exact(f64::NAN));
        let verdict = CLAIM.judge(&Numbers([nan, yes(), yes(), yes()]));
        assert_eq!(verdict.outcome, Inconclusive);
        assert_eq!(verdict.conditions[0].held, Held::NotMeasured);
    }

    #[test]
    fn one_network_decides_nothing_about_networks() {
        let one = Some(Measured::mean(Unit::Network, &[5.0]));
        let verdict = CLAIM.judge(&Numbers([one, yes(), yes(), yes()]));
        assert_eq!(verdict.outcome, Outcome::Inconclusive);
        let three = Some(Measured::mean(Unit::Network, &[5.0, 5.5, -0.1]));
        let verdict = CLAIM.judge(&Numbers([three, yes(), yes(), yes()]));
        assert_eq!(verdict.conditions[0].one_by_one(), Some((2, 3)));
        assert!(verdict.to_string().contains("2 of 3 alone"), "{verdict}");
    }

    #[test]
    fn a_verdict_is_read_back_as_it_was_written_and_only_the_published_is_reproduced() {
        let verdict = CLAIM.judge(&Numbers([yes(), wide(), no(), None]));
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
        assert!(verdict
            .reason()
            .starts_with("check check >= 0: not measured"));
        for outcome in Outcome::ALL {
            assert!(!outcome.words(Whose::Project).contains("reproduced"));
            assert!(!outcome.words(Whose::Authors).contains("confirmed"));
        }
    }
}
