//! One text of SQL for two databases, and the few places where they differ.
//!
//! Owns:       statements, their rendering for a database, rows as one JSON parameter.
//! Promises:   a text is rendered once; all values are bound, none is pasted into SQL.
//! Knows not:  connections.
//!
//! Many rows go into a statement as ONE parameter, a JSON array. On SQLite a text with hundreds of
//! `$N` costs 190 µs a row, an array 8. On PostgreSQL `json_to_recordset` costs 4 µs a row of
//! twenty columns where `UNNEST` of twenty arrays costs 2: the price of one code for both.

use std::fmt::Write as _;
use std::sync::OnceLock;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// What run-time filters need, and the databases write differently.
impl Dialect {
    /// Lower case of A to Z alone, on both.
    pub fn lower(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => format!("LOWER({column})"),
            Dialect::Postgres => format!("LOWER({column} COLLATE \"C\")"),
        }
    }

    /// What stands behind the last `@`.
    pub fn domain_of(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => {
                format!("REPLACE({column}, RTRIM({column}, REPLACE({column}, '@', '')), '')")
            }
            Dialect::Postgres => format!("SUBSTRING({column} FROM '[^@]*$')"),
        }
    }

    /// A member of a JSON object as text. `key` is a word of ours: nothing in it needs quoting.
    pub fn json_text(self, column: &str, key: &str) -> String {
        match self {
            Dialect::Sqlite => format!("({column} ->> '{key}')"),
            Dialect::Postgres => format!("({column}::json ->> '{key}')"),
        }
    }

    /// Of a day since 1970: its month times a hundred, and its day.
    pub fn month_and_day(self, column: &str) -> String {
        match self {
            Dialect::Sqlite => {
                format!("CAST(STRFTIME('%m%d', {column} * 86400, 'unixepoch') AS INTEGER)")
            }
            Dialect::Postgres => format!(
                "CAST(TO_CHAR(DATE '1970-01-01' + CAST({column} AS INTEGER), 'MMDD') AS BIGINT)"
            ),
        }
    }
}

/// The type of a column in a row parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Text,
    /// Put into the array as it is, read back as its text.
    Json,
}

#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

pub const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

pub const fn json(name: &'static str) -> Column {
    Column { name, kind: Kind::Json }
}

/// A statement with its marks:
/// `{rows}`  the table of the rows in the first parameter, with the statement's columns;
/// `{ids:N}` the table `(id)` of the numbers in parameter N;
/// Either is text that SQLite reads anew each time it is looked into, and it guesses that it is
/// short: it has to stand first, before a `CROSS JOIN`, in whose order SQLite walks; and in an
/// UPDATE a `+` keeps an index from being walked instead.
/// `{lock:…}` `FOR UPDATE …` where several nodes write. SQLite has one writer.
#[derive(Debug)]
pub struct Statement {
    sqlite: &'static str,
    postgres: &'static str,
    pub rows: &'static [Column],
    rendered: [OnceLock<SqlStr>; 2],
}

impl Statement {
    pub const fn new(text: &'static str) -> Statement {
        Statement::pair(text, text)
    }

    /// For what has no common text.
    pub const fn pair(sqlite: &'static str, postgres: &'static str) -> Statement {
        let rendered = [OnceLock::new(), OnceLock::new()];
        Statement { sqlite, postgres, rows: &[], rendered }
    }

    pub const fn with_rows(rows: &'static [Column], text: &'static str) -> Statement {
        let rendered = [OnceLock::new(), OnceLock::new()];
        Statement { sqlite: text, postgres: text, rows, rendered }
    }

    pub fn sql(&self, dialect: Dialect) -> SqlStr {
        let slot = &self.rendered[dialect as usize];
        slot.get_or_init(|| fixed(self.render(dialect, 1))).clone()
    }

    /// The text, with `{rows}` bound to parameter `first`.
    pub fn render(&self, dialect: Dialect, first: usize) -> String {
        let template = match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        };
        let mut sql = String::with_capacity(template.len() + 256);
        let mut rest = template;
        while let Some((head, tail)) = rest.split_once('{') {
            let (mark, tail) = tail.split_once('}').unwrap_or((tail, ""));
            sql.push_str(head);
            match mark.split_once(':') {
                Some(("ids", parameter)) => sql.push_str(&ids_table(dialect, parameter)),
                Some(("lock", of)) if dialect == Dialect::Postgres => {
                    sql.push_str("FOR UPDATE OF ");
                    sql.push_str(of);
                }
                None if mark == "rows" => sql.push_str(&rows_table(dialect, self.rows, first)),
                _ => {}
            }
            rest = tail;
        }
        sql.push_str(rest);
        sql
    }
}

/// A rendered text that is only counted, not copied, when it is cloned.
pub fn fixed(sql: String) -> SqlStr {
    AssertSqlSafe(std::sync::Arc::<str>::from(sql)).into_sql_str()
}

fn ids_table(dialect: Dialect, parameter: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("(SELECT value AS id FROM jsonb_each(${parameter}))"),
        Dialect::Postgres => format!(
            "(SELECT CAST(value AS BIGINT) AS id FROM json_array_elements_text(${parameter}::json))"
        ),
    }
}

fn rows_table(dialect: Dialect, columns: &[Column], parameter: usize) -> String {
    let mut sql = String::new();
    for (position, column) in columns.iter().enumerate() {
        sql.push_str(if position == 0 { "" } else { ", " });
        let name = column.name;
        let written = match (dialect, column.kind) {
            (Dialect::Sqlite, _) => write!(sql, "value ->> {position} AS {name}"),
            (Dialect::Postgres, Kind::Int) => write!(sql, "{name} bigint"),
            (Dialect::Postgres, Kind::Text) => write!(sql, "{name} text"),
            (Dialect::Postgres, Kind::Json) => write!(sql, "{name} json"),
        };
        debug_assert!(written.is_ok(), "a String takes all that is written");
    }
    match dialect {
        Dialect::Sqlite => format!("(SELECT {sql} FROM jsonb_each(${parameter}))"),
        Dialect::Postgres => {
            format!("(SELECT * FROM json_to_recordset(${parameter}::json) AS given({sql}))")
        }
    }
}

/// Rows on their way into one JSON parameter. Values are put in the order of the columns; a row
/// ends by itself. SQLite takes arrays (shorter), PostgreSQL objects.
#[derive(Debug)]
pub struct Rows {
    dialect: Dialect,
    columns: &'static [Column],
    json: String,
    column: usize,
    count: usize,
}

impl Rows {
    pub fn new(dialect: Dialect, columns: &'static [Column]) -> Rows {
        Rows { dialect, columns, json: String::from("["), column: 0, count: 0 }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn finish(mut self) -> String {
        debug_assert_eq!(self.column, 0, "the last row is whole");
        self.json.push(']');
        self.json
    }

    pub fn int(&mut self, value: i64) -> &mut Self {
        self.begin(Kind::Int);
        let written = write!(self.json, "{value}");
        debug_assert!(written.is_ok(), "a String takes all that is written");
        self.end()
    }

    pub fn maybe_int(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.int(value),
            None => self.none(Kind::Int),
        }
    }

    pub fn flag(&mut self, value: bool) -> &mut Self {
        self.int(i64::from(value))
    }

    /// A time or length that SQL keeps signed; none of ours comes near the limit.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.begin(Kind::Text);
        push_json_text(&mut self.json, value);
        self.end()
    }

    pub fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.none(Kind::Text),
        }
    }

    pub fn json(&mut self, value: &serde_json::Value) -> &mut Self {
        self.begin(Kind::Json);
        let written = write!(self.json, "{value}");
        debug_assert!(written.is_ok(), "a String takes all that is written");
        self.end()
    }

    fn none(&mut self, kind: Kind) -> &mut Self {
        self.begin(kind);
        self.json.push_str("null");
        self.end()
    }

    fn begin(&mut self, kind: Kind) {
        let column = &self.columns[self.column];
        debug_assert_eq!(column.kind, kind, "column {}", column.name);
        if self.column > 0 {
            self.json.push(',');
        } else {
            self.json.push_str(if self.count == 0 { "" } else { "," });
            self.json.push(if self.dialect == Dialect::Sqlite { '[' } else { '{' });
        }
        if self.dialect == Dialect::Postgres {
            self.json.push('"');
            self.json.push_str(column.name);
            self.json.push_str("\":");
        }
    }

    fn end(&mut self) -> &mut Self {
        self.column += 1;
        if self.column == self.columns.len() {
            self.json.push(if self.dialect == Dialect::Sqlite { ']' } else { '}' });
            self.column = 0;
            self.count += 1;
        }
        self
    }
}

/// RFC 8259 §7: quotes, backslashes and control characters are escaped.
fn push_json_text(json: &mut String, value: &str) {
    json.push('"');
    let mut plain_from = 0;
    for (at, octet) in value.bytes().enumerate() {
        if octet >= 0x20 && octet != b'"' && octet != b'\\' {
            continue;
        }
        json.push_str(&value[plain_from..at]);
        let written = match octet {
            b'"' | b'\\' => write!(json, "\\{}", char::from(octet)),
            _ => write!(json, "\\u{octet:04x}"),
        };
        debug_assert!(written.is_ok(), "a String takes all that is written");
        plain_from = at + 1;
    }
    json.push_str(&value[plain_from..]);
    json.push('"');
}

/// Numbers for an `{ids:N}` parameter.
pub fn json_ids(ids: impl IntoIterator<Item = i64>) -> String {
    let mut json = String::from("[");
    for id in ids {
        let comma = if json.len() > 1 { "," } else { "" };
        let written = write!(json, "{comma}{id}");
        debug_assert!(written.is_ok(), "a String takes all that is written");
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_statement_differs_only_where_its_marks_stand() {
        const COLUMNS: &[Column] = &[int("id"), text("name")];
        let statement = Statement::with_rows(COLUMNS, "SELECT id FROM {rows} AS r {lock:r}");
        assert_eq!(
            statement.render(Dialect::Sqlite, 2),
            "SELECT id FROM (SELECT value ->> 0 AS id, value ->> 1 AS name FROM jsonb_each($2)) \
             AS r "
        );
        assert_eq!(
            statement.render(Dialect::Postgres, 1),
            "SELECT id FROM (SELECT * FROM json_to_recordset($1::json) \
             AS given(id bigint, name text)) AS r FOR UPDATE OF r"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_from_a_row_as_it_was(value in "\\PC*|[\\x00-\\x7f]{0,40}") {
            const COLUMNS: &[Column] = &[text("a"), int("b")];
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let mut rows = Rows::new(dialect, COLUMNS);
                rows.text(&value).int(7).maybe_text(None).int(-1);
                let json: serde_json::Value =
                    serde_json::from_str(&rows.finish()).expect("lawful JSON");
                let first = match dialect {
                    Dialect::Sqlite => &json[0][0],
                    Dialect::Postgres => &json[0]["a"],
                };
                prop_assert_eq!(first.as_str(), Some(value.as_str()));
            }
        }
    }
}
