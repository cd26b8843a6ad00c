//! What a person sees: tables, lines, questions; without a character that could do harm.

use std::io::{BufRead, IsTerminal, Write};

use serde::Serialize;

use super::CliError;
use crate::telemetry::harmless;

/// A column is cut here; `--json` has the whole.
const CELL_CHARS_MAX: usize = 60;
const ANSWER_BYTES_MAX: u64 = 100;

/// Each line made harmless by itself, since the line feeds between them are ours.
pub fn lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// Prints text that was made harmless.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// One JSON document. JSON escapes control characters below 0x20 itself; a terminal obeys more.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|why| CliError::Answer(why.to_string()))?;
    print(&format!("{}\n", escape_json(&text)))
}

/// JSON's own escapes, so that a script reads back exactly what was there.
fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let mut units = [0; 2];
        match c {
            '\n' => escaped.push(c),
            c if harmless(c.encode_utf8(&mut [0; 4])).starts_with('\\') && c != '\\' => {
                for unit in c.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// Columns as wide as their widest cell, two spaces between them.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| cut(&harmless(cell))).collect()).collect();
    let width = |column: usize| {
        let widths = cells.iter().map(|row| row[column].chars().count());
        widths.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let heads: Vec<String> = heads.iter().map(|head| head.to_uppercase()).collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(&cells) {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= CELL_CHARS_MAX {
        return cell.to_owned();
    }
    let kept: String = cell.chars().take(CELL_CHARS_MAX - 1).collect();
    format!("{kept}…")
}

/// Asks on the terminal; without one nobody can say yes.
pub fn confirm(question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        let text = "nothing was changed: there is no terminal to ask on; say --yes";
        return Err(CliError::Refused(text.to_owned()));
    }
    print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    std::io::Read::take(std::io::stdin().lock(), ANSWER_BYTES_MAX).read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_and_shows_hostile_text_by_numbers() {
        let rows = [
            vec!["1".to_owned(), "a\x1b[2Jb".to_owned()],
            vec!["12345".to_owned(), "x".repeat(100)],
        ];
        let text = table(&["id", "text"], &rows);
        let cut = "x".repeat(59);
        assert_eq!(text, format!("ID     TEXT\n1      a\\x1b[2Jb\n12345  {cut}…\n"));
    }

    #[test]
    fn json_stays_json_and_carries_no_live_control_character() {
        let value = serde_json::json!({"text": "a\u{9b}b\u{202e}\n\\x"});
        let text = escape_json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert!(!text.contains(['\u{9b}', '\u{202e}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}
