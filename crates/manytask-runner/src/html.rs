//! Pages of HTML that need nothing but themselves: no network, no script, no font of their own.
//!
//! They are well-formed XML too, are light or dark as the reader's system is, and print.

mod chart;
mod matrix;
mod parallel;
mod picture;
mod scale;

use std::fmt::Write as _;

/// What every page begins with.
pub(crate) const BEGINNING: &str = "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n\
    <meta charset=\"utf-8\"/>\n<meta name=\"generator\" content=\"manytask\"/>\n";

pub(crate) use self::chart::{Chart, Mark, Series};
pub(crate) use self::matrix::{Bar, Shades, bars, matrix};
pub(crate) use self::parallel::{Axis, parallel};
pub(crate) use self::picture::Picture;

/// A page that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    body: String,
}

/// How a column of a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Head,
    Data,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(title: &str) -> Self {
        Self { title: escape(title), body: format!("<h1>{}</h1>\n", escape(title)) }
    }

    /// A heading below the title.
    pub(crate) fn heading(&mut self, text: &str) {
        self.add(format_args!("<h2>{}</h2>\n", escape(text)));
    }

    /// A heading below that.
    pub(crate) fn subheading(&mut self, text: &str) {
        self.add(format_args!("<h3>{}</h3>\n", escape(text)));
    }

    /// A paragraph of plain text.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.add(format_args!("<p>{}</p>\n", escape(text)));
    }

    /// A paragraph that says less than the others.
    pub(crate) fn remark(&mut self, text: &str) {
        self.add(format_args!("<p class=\"remark\">{}</p>\n", escape(text)));
    }

    /// Text as it is, such as a command.
    pub(crate) fn verbatim(&mut self, text: &str) {
        self.add(format_args!("<pre>{}</pre>\n", escape(text)));
    }

    /// Text as it is that is shown when it is asked for.
    pub(crate) fn folded(&mut self, summary: &str, text: &str) {
        let (summary, text) = (escape(summary), escape(text));
        self.add(format_args!("<details><summary>{summary}</summary><pre>{text}</pre></details>\n"));
    }

    /// A table whose first row is its head; it scrolls where the page is too narrow for it.
    pub(crate) fn table(&mut self, rows: &[Vec<String>]) {
        self.body.push_str("<div class=\"wide\"><table>\n");
        for (number, row) in rows.iter().enumerate() {
            let cell = if number == 0 { Cell::Head } else { Cell::Data };
            let cells: String = row.iter().map(|text| of_cell(cell, text)).collect();
            self.add(format_args!("<tr>{cells}</tr>\n"));
        }
        self.body.push_str("</table></div>\n");
    }

    /// Figures beside each other, as many as there is room for.
    pub(crate) fn figures(&mut self, figures: &[String]) {
        if figures.is_empty() {
            return;
        }
        let each =
            figures.iter().map(|figure| format!("<figure>{figure}</figure>")).collect::<Vec<_>>().join("\n");
        self.add(format_args!("<div class=\"figures\">\n{each}\n</div>\n"));
    }

    /// Small pictures beside each other, with their captions.
    pub(crate) fn pictures(&mut self, pictures: &[Picture]) {
        let figure = |picture: &Picture| {
            let caption = escape(&picture.caption);
            let address = picture.address()?;
            Some(format!(
                "<figure><img src=\"{address}\" alt=\"{caption}\"/><figcaption>{caption}</figcaption></figure>\n"
            ))
        };
        let each: String = pictures.iter().filter_map(figure).collect();
        if !each.is_empty() {
            self.add(format_args!("<div class=\"pictures\">\n{each}</div>\n"));
        }
    }

    fn add(&mut self, html: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(html);
    }

    /// The whole page.
    pub(crate) fn finish(&self) -> String {
        format!(
            "{BEGINNING}\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
            self.title, self.body
        )
    }
}

fn of_cell(cell: Cell, text: &str) -> String {
    match cell {
        Cell::Head => format!("<th>{}</th>", escape(text)),
        Cell::Data => format!("<td>{}</td>", escape(text)),
    }
}

/// Text in HTML and in attributes; what XML has no place for is left out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            other if other.is_control() && !matches!(other, '\n' | '\t') => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text of no more characters than there is room for.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

const STYLE: &str = "
:root { color-scheme: light dark; --back: #ffffff; --text: #1d2430; --soft: #5b6675; --line: #d5dbe3; --box: #f4f6f9;
  --c0: #0b65a8; --c1: #c8500a; --c2: #05805c; --c3: #a83f7d; --c4: #9a6a00; --c5: #5a52c4; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181f; --text: #e4e8ee; --soft: #9aa5b4; --line: #363f4c; --box: #1d232d;
    --c0: #63b3ed; --c1: #ff9a5a; --c2: #4fd1a5; --c3: #f08cc6; --c4: #e6b84d; --c5: #a9a2ff; }
}
@media print {
  :root { --back: #ffffff; --text: #000000; --soft: #444444; --line: #bbbbbb; --box: #ffffff;
    --c0: #0b65a8; --c1: #c8500a; --c2: #05805c; --c3: #a83f7d; --c4: #9a6a00; --c5: #5a52c4; }
  figure, table, pre { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 0.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.5rem; padding-top: 0.6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 0.3rem; overflow-wrap: anywhere; }
p { margin: 0.5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.remark { color: var(--soft); font-size: 0.9rem; }
.wide { overflow-x: auto; margin: 0.6rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
pre { background: var(--box); padding: 0.7rem 0.9rem; border-radius: 6px; overflow-x: auto; font-size: 0.85rem; }
details summary { cursor: pointer; color: var(--soft); margin: 0.5rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; margin: 0.8rem 0; }
figure { margin: 0; min-width: 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 0.8rem; margin: 0.6rem 0; }
.pictures figure { width: 6.5rem; }
.pictures img { width: 100%; height: auto; display: block; image-rendering: pixelated; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 0.75rem; line-height: 1.3; overflow-wrap: anywhere; margin-top: 0.2rem; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .title { fill: var(--text); font-size: 13px; font-weight: 600; }
svg .strong { fill: var(--text); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .guide { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; fill: none; }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .s0 { stroke: var(--c0); } svg .s1 { stroke: var(--c1); } svg .s2 { stroke: var(--c2); }
svg .s3 { stroke: var(--c3); } svg .s4 { stroke: var(--c4); } svg .s5 { stroke: var(--c5); }
svg .f0 { fill: var(--c0); } svg .f1 { fill: var(--c1); } svg .f2 { fill: var(--c2); }
svg .f3 { fill: var(--c3); } svg .f4 { fill: var(--c4); } svg .f5 { fill: var(--c5); }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_well_formed_whatever_stands_in_it() {
        let odd = "a<b> & \"c\" \u{1} ]]> \u{ffff} é";
        let mut page = Page::new(odd);
        page.heading(odd);
        page.paragraph(odd);
        page.verbatim(odd);
        page.folded(odd, odd);
        page.table(&[vec![odd.into(), "x".into()], vec![odd.into(), "1".into()]]);
        let chart =
            Chart::new(odd, odd, odd).with(Series::line(odd, vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)]));
        let picture = Picture { caption: odd.into(), width: 1, height: 1, bytes: vec![7] };
        page.pictures(&[picture]);
        page.figures(&[chart.svg(), matrix(odd, &[odd.into()], &[odd.into()], &[1.0], Shades::Counts)]);
        let text = page.finish();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let parsed = roxmltree::Document::parse_with_options(&text, options).unwrap();
        let heading =
            parsed.descendants().find(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", "h1")));
        assert_eq!(heading.unwrap().text(), Some("a<b> & \"c\"  ]]>  é"));
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!((shortened("abcdef", 6).as_str(), shortened("abcdefg", 6).as_str()), ("abcdef", "abcde…"));
    }
}
