//! LaTeX to MathML while the book is built: the page needs neither a script nor a font from elsewhere.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{push_mathml, RenderConfig, Storage};
use whitebox::{Error, Result};

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_MATH
}

/// Where `markdown` holds code, which nothing may be replaced in.
pub fn code(markdown: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begun = None;
    for (event, range) in Parser::new_ext(markdown, options()).into_offset_iter() {
        match event {
            Event::Code(_) => found.push(range),
            Event::Start(Tag::CodeBlock(_)) => begun = Some(range.start),
            Event::End(TagEnd::CodeBlock) => {
                found.push(begun.take().unwrap_or(range.start)..range.end);
            }
            _ => {}
        }
    }
    found
}

/// `markdown` with every `$...$` and `$$...$$` outside of code as MathML.
///
/// # Errors
/// [`Error::Argument`] quoting a formula that is no LaTeX.
pub fn render(markdown: &str) -> Result<String> {
    let mut text = String::with_capacity(markdown.len());
    let mut done = 0;
    for (event, range) in Parser::new_ext(markdown, options()).into_offset_iter() {
        let (formula, display_mode) = match &event {
            Event::InlineMath(formula) => (formula, DisplayMode::Inline),
            Event::DisplayMath(formula) => (formula, DisplayMode::Block),
            _ => continue,
        };
        text.push_str(&markdown[done..range.start]);
        text.push_str(&mathml(formula, display_mode)?);
        done = range.end;
    }
    text.push_str(&markdown[done..]);
    Ok(text)
}

fn mathml(formula: &str, display_mode: DisplayMode) -> Result<String> {
    let refused = |e: String| {
        let why = e.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::argument(formula, "a formula in LaTeX", why, "correct the page")
    };
    let storage = Storage::new();
    let events: std::result::Result<Vec<_>, _> =
        pulldown_latex::Parser::new(formula, &storage).collect();
    let events = events.map_err(|e| refused(e.to_string()))?;
    let mut markup = String::new();
    let config = RenderConfig {
        display_mode,
        ..RenderConfig::default()
    };
    let events = events.into_iter().map(Ok::<_, pulldown_latex::ParserError>);
    push_mathml(&mut markup, events, config).map_err(|e| refused(e.to_string()))?;
    // For readers that have no MathML, and for those that copy the formula.
    let markup = markup.replacen(
        "<math",
        &format!("<math alttext=\"{}\"", attribute(formula)),
        1,
    );
    // A line break would end an HTML block; Markdown would read a bar as the next cell of a table.
    Ok(markup
        .replace('\n', " ")
        .replace('|', "&#124;")
        .replace('*', "&#42;")
        .replace('_', "&#95;"))
}

/// A formula as the value of an attribute.
fn attribute(formula: &str) -> String {
    let words = formula.split_whitespace().collect::<Vec<_>>().join(" ");
    words
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        // Markdown would take it for the start of an escape.
        .replace('\\', "&#92;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_mathml_and_code_stays() {
        let page = "A rate $R(Z)$, and `$x$`:\n\n$$\\tfrac12 \\log\\det(I)$$\n\n```\n$y$\n```\n";
        let found = render(page).unwrap();
        assert_eq!(found.matches("<math").count(), 2, "{found}");
        assert!(found.contains("`$x$`") && found.contains("\n$y$\n"));
        assert!(found.contains("<mfrac") && !found.contains("$$"));
        assert!(found.contains("<math alttext=\"R(Z)\""), "{found}");
        let latex = "alttext=\"&#92;tfrac12 &#92;log&#92;det(I)\"";
        assert!(found.contains(latex), "{found}");
        let error = render("$\\nosuchthing$").unwrap_err().to_string();
        assert!(error.contains("nosuchthing"), "{error}");
    }

    #[test]
    fn code_is_found_in_spans_and_blocks() {
        let page = "a `b` c\n\n```text\nd\n```\n";
        let found: Vec<&str> = code(page).into_iter().map(|r| page[r].trim()).collect();
        assert_eq!(found, ["`b`", "```text\nd\n```"]);
    }
}
