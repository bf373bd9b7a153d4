//! The book: every claim, its equation, its code and its verdict, with every number taken from a
//! recorded result.
//!
//! | file | what |
//! |---|---|
//! | [`store`] | the records under `reports/`, read and checked |
//! | [`table`] | their tables, and the numbers that a page asks of them |
//! | [`claims`] | every claim with what became of it; the board and the pages of the families |
//! | [`formulas`] | LaTeX to MathML |
//! | [`directives`] | what a page may ask for between double braces |
//! | [`readme`] | the same in README.md |
//! | [`site`] | the book as HTML |
//! | [`links`] | whether every link of the site leads somewhere on it |
//! | [`reproduce`] | runs the experiments again and compares |

pub mod claims;
pub mod directives;
pub mod formulas;
pub mod links;
pub mod readme;
pub mod reproduce;
pub mod site;
pub mod store;
pub mod table;

use std::path::PathBuf;

/// Folder of the source tree around the working directory.
pub fn root() -> PathBuf {
    whitebox::harness::record::root(None)
}
