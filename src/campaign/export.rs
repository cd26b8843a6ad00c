//! Contacts as CSV that a spreadsheet may open and an import may read back.

use crate::contacts::{Contact, open_value, value};
use crate::model::*;
use crate::store::ContactRow;
use crate::token::Sealer;

/// What every export begins with; the fields of the organization follow.
const HEADS: [&str; 8] =
    ["email", "name", "status", "language", "time_zone", "created_at", "lists", "tags"];

pub fn heads(fields: &[Field]) -> Vec<u8> {
    let names = fields.iter().map(|field| field.name.as_str());
    line(HEADS.into_iter().chain(names))
}

/// `contact` is of the same row. Lists are named as the organization names them. Without a sealer
/// cells of encrypted fields are empty, so that an import of them changes nothing.
pub fn row(
    row: &ContactRow,
    contact: &Contact,
    fields: &[Field],
    list_name: impl Fn(ListId) -> String,
    sealer: Option<&Sealer>,
) -> Vec<u8> {
    let subscribed = contact
        .lists
        .iter()
        .filter(|membership| membership.status == MembershipStatus::Subscribed)
        .map(|membership| list_name(membership.list));
    let mut cells = vec![
        row.email.clone(),
        row.name.clone(),
        row.status.to_string(),
        row.language.clone().unwrap_or_default(),
        row.time_zone.clone().unwrap_or_default(),
        row.created_at.to_string(),
        subscribed.collect::<Vec<_>>().join(";"),
        contact.tags.join(";"),
    ];
    let read = |field: &Field| match sealer {
        Some(sealer) => open_value(row, field, sealer),
        None => value(row, field),
    };
    cells.extend(fields.iter().map(|field| match read(field) {
        Some(value) => value.to_text(field),
        None => String::new(),
    }));
    line(cells.iter().map(String::as_str))
}

/// RFC 4180: quoted where it has to be, ended by CR LF.
pub fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut line = String::new();
    for (place, cell) in cells.into_iter().enumerate() {
        line.push_str(if place == 0 { "" } else { "," });
        let guard = if is_formula(cell) { "'" } else { "" };
        if cell.contains([',', '"', '\r', '\n', ';', '\t']) || cell.trim() != cell {
            line.push('"');
            line.push_str(guard);
            line.push_str(&cell.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(guard);
            line.push_str(cell);
        }
    }
    line.push_str("\r\n");
    line.into_bytes()
}

/// What a spreadsheet would run. A negative number is none.
pub fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r'])
        && crate::model::contact::number(cell).is_err()
}

/// The cell without the mark that `line` puts before what a spreadsheet would run.
pub fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if is_formula(rest) => rest,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_each_is_read_back_as_it_was() {
        let cells =
            ["=cmd|' /C calc'!A0", "@x", "-12.5", "-1+1", "a,b", "say \"hi\"", "", "x\r\ny"];
        let line = line(cells);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_slice());
        let record = reader.records().next().expect("a record").expect("lawful");
        for (cell, written) in cells.into_iter().zip(&record) {
            assert!(!is_formula(written), "{written}");
            assert_eq!(unguarded(written), cell);
        }
    }
}
