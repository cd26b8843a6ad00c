//! The text part, made from the HTML.

use super::html::Made;
use super::{Part, TemplateError, place};

const WIDTH: usize = 78;

/// A template again: the marks of the language go through as words. Statements between the rows
/// of a table would be moved out of it, so they get a row of their own.
pub fn made(made: &Made) -> Result<String, TemplateError> {
    let html = statements_as_words(&made.html);
    let text = html2text::config::plain()
        .no_link_wrapping()
        .no_table_borders()
        .allow_width_overflow()
        .string_from_read(html.as_bytes(), WIDTH);
    let text = text.map_err(|why| place(Part::Body, "", 0, format!("as text: {why}")))?;
    let mut lines = String::new();
    let mut was_empty = true;
    for line in made.restored(&text).lines().map(str::trim_end) {
        // Layout by tables leaves many empty lines.
        if !(line.is_empty() && was_empty) {
            lines.push_str(line);
            lines.push('\n');
        }
        was_empty = line.is_empty();
    }
    Ok(lines)
}

fn statements_as_words(html: &str) -> String {
    const OPEN: &str = "<!--zq7mark";
    let mut words = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find(OPEN) {
        let (before, comment) = rest.split_at(start);
        words.push_str(before);
        let Some(end) = comment.find("-->") else { break };
        let word = &comment["<!--".len()..end];
        let tail = before.trim_end().to_ascii_lowercase();
        let is_between_rows = ["</tr>", "<tbody>", "</tbody>", "<thead>", "</thead>"]
            .iter()
            .any(|tag| tail.ends_with(tag))
            || tail.rfind("<table").is_some_and(|at| !tail[at..tail.len() - 1].contains('>'));
        let is_between_rows =
            is_between_rows || (tail.is_empty() && words.trim_end().ends_with("</td></tr>"));
        if is_between_rows {
            words.push_str("<tr><td>");
            words.push_str(word);
            words.push_str("</td></tr>");
        } else {
            words.push_str(word);
        }
        rest = &comment[end + "-->".len()..];
    }
    words.push_str(rest);
    words
}
