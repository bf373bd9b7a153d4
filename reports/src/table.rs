//! Tables of results as polars frames, and the numbers that a page asks of them.
//!
//! ```text
//! classify/means.csv value accuracy where network=crate 64 as percent 1
//! transfer/fine-tuning.csv mean accuracy where origin=scratch, images=250 as percent 1
//! subspaces/layers.csv max overlap where network=trained minus where network=untrained as fixed 3
//! ```

use std::path::Path;

use polars::prelude::*;
use whitebox::measure::statistics::Summary;
use whitebox::{Error, Result};

/// Reads a CSV file with a line of names. A column of numbers throughout is one of numbers; an empty field
/// is missing.
///
/// # Errors
/// [`Error::Io`], [`Error::File`] naming the file.
pub fn read(path: &Path) -> Result<DataFrame> {
    let damaged = |e: String| Error::file(path, "a table", e, "run its experiment again");
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io("read", path, e, "name a table below reports"))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader
        .headers()
        .map_err(|e| damaged(e.to_string()))?
        .clone();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for row in reader.records() {
        let row = row.map_err(|e| damaged(e.to_string()))?;
        for (column, field) in columns.iter_mut().zip(&row) {
            column.push(field.to_owned());
        }
    }
    let columns = names.iter().zip(columns).map(|(name, fields)| {
        let numbers: Option<Vec<Option<f64>>> = fields
            .iter()
            .map(|field| match field.as_str() {
                "" => Some(None),
                field => field.parse().ok().map(Some),
            })
            .collect();
        match numbers {
            Some(numbers) => Column::new(name.into(), numbers),
            None => Column::new(name.into(), fields),
        }
    });
    DataFrame::new_infer_height(columns.collect()).map_err(|e| damaged(e.to_string()))
}

/// The number that `query` asks for, as text; tables lie below `folder`.
///
/// # Errors
/// [`Error::Argument`] quoting the query; those of [`read`].
pub fn answer(folder: &Path, query: &str) -> Result<String> {
    let refused = |got: String| {
        Error::argument(
            query,
            "TABLE value|mean|min|max|error|interval COLUMN [where NAME=VALUE, ...] [minus where ...] as \
             fixed|signed|percent|points DIGITS",
            got,
            "correct the page",
        )
    };
    let (what, format) = query
        .rsplit_once(" as ")
        .ok_or_else(|| refused("no format".into()))?;
    let (what, minus) = match what.split_once(" minus ") {
        Some((what, minus)) => (what, Some(minus)),
        None => (what, None),
    };
    let (head, filter) = match what.split_once(" where ") {
        Some((head, filter)) => (head, filter),
        None => (what, ""),
    };
    let words: Vec<&str> = head.split_whitespace().collect();
    let [table, aggregate, column] = words[..] else {
        return Err(refused(head.into()));
    };
    let frame = read(&folder.join(table))?;
    let number = |filter: &str| -> Result<f64> {
        let values = select(&frame, column, filter).map_err(|e| refused(e.to_string()))?;
        reduce(&values, aggregate).ok_or_else(|| {
            refused(format!(
                "{} numbers where {filter:?}, of which {aggregate} cannot be taken",
                values.len()
            ))
        })
    };
    let mut value = number(filter)?;
    if let Some(minus) = minus {
        let filter = minus.trim().strip_prefix("where ");
        value -= number(filter.ok_or_else(|| refused(minus.into()))?)?;
    }
    self::format(value, format).ok_or_else(|| refused(format.into()))
}

/// `value` as `fixed`, `signed`, `percent`, `points` (a signed percentage) or `thousands`, with so many
/// digits after the point.
pub fn format(value: f64, format: &str) -> Option<String> {
    let (style, digits) = format.split_once(' ')?;
    let digits: usize = digits.parse().ok()?;
    Some(match style {
        "fixed" => format!("{value:.digits$}"),
        "signed" => format!("{value:+.digits$}"),
        "percent" => format!("{:.digits$}", 100.0 * value),
        "points" => format!("{:+.digits$}", 100.0 * value),
        "thousands" => thousands(value),
        _ => return None,
    })
}

/// "20,000".
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The numbers of `column` in the rows that `filter` keeps.
fn select(frame: &DataFrame, column: &str, filter: &str) -> PolarsResult<Vec<f64>> {
    let mut kept = frame.clone();
    for condition in filter.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let (name, wanted) = condition.split_once('=').ok_or_else(|| {
            PolarsError::ComputeError(format!("{condition} is not NAME=VALUE").into())
        })?;
        let found = kept.column(name)?.as_materialized_series();
        let mask: BooleanChunked = match found.dtype() {
            DataType::Float64 => {
                let wanted: Option<f64> = wanted.parse().ok();
                let same = |v: Option<f64>| v.is_some() && v == wanted;
                found.f64()?.iter().map(same).collect()
            }
            _ => {
                let same = |v: Option<&str>| v == Some(wanted);
                found.str()?.iter().map(same).collect()
            }
        };
        kept = kept.filter(&mask)?;
    }
    let values = kept.column(column)?.as_materialized_series().f64()?;
    Ok(values.iter().flatten().collect())
}

fn reduce(values: &[f64], aggregate: &str) -> Option<f64> {
    let series = Series::new("".into(), values);
    match (aggregate, values) {
        ("value", [value]) => Some(*value),
        ("mean", [_, ..]) => series.mean(),
        ("min", _) => series.min::<f64>().ok().flatten(),
        ("max", _) => series.max::<f64>().ok().flatten(),
        // Of the mean.
        ("error", [_, _, ..]) => Some(Summary::of(values).standard_error()),
        // Half of a 95 % interval by Student's distribution.
        ("interval", [_, _, ..]) => Some(Summary::of(values).interval()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_query_picks_reduces_and_formats() {
        let folder = std::env::temp_dir().join(format!("whitebox-table-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = "net,seed,accuracy\na b,0,0.8\na b,1,0.9\nc,0,0.5\nc,1,\n";
        std::fs::write(folder.join("t.csv"), text).unwrap();
        let ask = |query: &str| answer(&folder, query);
        let found = |query: &str| ask(query).unwrap();
        assert_eq!(
            found("t.csv mean accuracy where net=a b as percent 1"),
            "85.0"
        );
        assert_eq!(
            found("t.csv value accuracy where net=a b, seed=1 as fixed 2"),
            "0.90"
        );
        assert_eq!(found("t.csv max accuracy as fixed 1"), "0.9");
        assert_eq!(
            found("t.csv mean accuracy where net=c minus where net=a b as points 0"),
            "-35"
        );
        assert_eq!(
            found("t.csv error accuracy where net=a b as fixed 2"),
            "0.05"
        );
        // Two values 0.1 apart: 12.706 * 0.05.
        assert_eq!(
            found("t.csv interval accuracy where net=a b as fixed 4"),
            "0.6353"
        );
        // 0 to 13: 2.1604 times a standard error of 1.1180.
        let many: String = (0..14).map(|i| format!("{i}\n")).collect();
        std::fs::write(folder.join("many.csv"), format!("x\n{many}")).unwrap();
        assert_eq!(found("many.csv interval x as fixed 3"), "2.415");
        for wrong in [
            "t.csv value accuracy as fixed 1",
            "t.csv mean accuracy where net=d as fixed 1",
            "t.csv mean speed as fixed 1",
            "t.csv mean accuracy as colour 1",
            "t.csv mean accuracy",
        ] {
            let message = ask(wrong).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            format(1234567.0, "thousands 0").as_deref(),
            Some("1,234,567")
        );
        assert_eq!(thousands(999.0), "999");
    }
}
