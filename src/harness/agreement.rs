//! How near the results of two runs are, number by number.

use std::collections::BTreeMap;

use serde_json::Value;

/// Numbers whose relative difference is below this agree: another processor's last digits train a slightly
/// other network, and move what is measured on it by less.
pub const AGREE: f64 = 1e-3;

/// How two results differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agreement {
    /// Numbers that both have.
    pub numbers: usize,
    /// The largest difference, relative to the largest number of its kind, and where.
    pub largest: f64,
    /// Where that is.
    pub place: String,
    /// Places where one has what the other has not.
    pub structure: Vec<String>,
}

impl Agreement {
    /// Holds `fresh` against `recorded`. Numbers under one name are of a kind: their largest magnitude is the
    /// scale that differences are measured by.
    pub fn of(recorded: &Value, fresh: &Value) -> Self {
        let mut scales = BTreeMap::new();
        scale(recorded, "", &mut scales);
        let mut agreement = Self::default();
        agreement.compare(recorded, fresh, "", "", &scales);
        agreement
    }

    /// Whether both have the same numbers, to [`AGREE`].
    pub fn is_close(&self) -> bool {
        self.structure.is_empty() && self.largest < AGREE
    }

    /// Decimal digits to which all numbers agree; 17 stands for equal.
    pub fn digits(&self) -> usize {
        if self.largest == 0.0 {
            17
        } else {
            (-self.largest.log10()).floor().clamp(0.0, 16.0) as usize
        }
    }

    fn compare(
        &mut self,
        recorded: &Value,
        fresh: &Value,
        place: &str,
        kind: &str,
        scales: &BTreeMap<String, f64>,
    ) {
        match (recorded, fresh) {
            (Value::Number(a), Value::Number(b)) => {
                self.numbers += 1;
                let (a, b) = (a.as_f64(), b.as_f64());
                let difference = a.zip(b).map_or(0.0, |(a, b)| (a - b).abs());
                let scale = scales.get(kind).copied().unwrap_or(0.0);
                let relative = if difference == 0.0 {
                    0.0
                } else {
                    difference / scale
                };
                if relative > self.largest {
                    self.largest = relative;
                    self.place = place.to_owned();
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.compare(a, b, &format!("{place}[{index}]"), kind, scales);
                }
            }
            (Value::Object(a), Value::Object(b)) => {
                for (key, a) in a {
                    let place = format!("{place}.{key}");
                    match b.get(key) {
                        Some(b) => self.compare(a, b, &place, key, scales),
                        None => self.structure.push(place),
                    }
                }
                let added = b.keys().filter(|key| !a.contains_key(*key));
                self.structure
                    .extend(added.map(|key| format!("{place}.{key}")));
            }
            (a, b) if a == b => {}
            _ => self.structure.push(place.to_owned()),
        }
    }
}

/// Collects the largest magnitude of every kind of number.
fn scale(value: &Value, kind: &str, scales: &mut BTreeMap<String, f64>) {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_f64().unwrap_or(0.0).abs();
            let largest = scales.entry(kind.to_owned()).or_insert(0.0);
            *largest = largest.max(magnitude);
        }
        Value::Array(values) => values.iter().for_each(|value| scale(value, kind, scales)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| scale(value, key, scales)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_compared_by_the_scale_of_their_kind() {
        let recorded = json!([{"rate": 100.0, "cosine": 1e-9}, {"rate": 1e-7, "cosine": 0.5}]);
        let fresh = json!([{"rate": 100.0, "cosine": 2e-9}, {"rate": 4e-7, "cosine": 0.5}]);
        let found = Agreement::of(&recorded, &fresh);
        assert_eq!((found.numbers, found.place.as_str()), (4, "[1].rate"));
        assert!(found.is_close() && (found.largest - 3e-9).abs() < 1e-20);
        assert_eq!(found.digits(), 8);
        assert_eq!(Agreement::of(&recorded, &recorded).digits(), 17);
    }

    #[test]
    fn what_only_one_has_is_no_agreement() {
        let recorded = json!({"a": [1, 2], "b": "x"});
        for (fresh, place) in [
            (json!({"a": [1, 2]}), ".b"),
            (json!({"a": [1], "b": "x"}), ".a"),
            (json!({"a": [1, 2], "b": "y"}), ".b"),
            (json!({"a": [1, 2], "b": "x", "c": 0}), ".c"),
        ] {
            let found = Agreement::of(&recorded, &fresh);
            assert_eq!(found.structure, [place]);
            assert!(!found.is_close());
        }
        // A number where there was none before.
        assert!(!Agreement::of(&json!({"a": 0.0}), &json!({"a": 1.0})).is_close());
    }
}
