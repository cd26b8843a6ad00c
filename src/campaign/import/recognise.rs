//! What the columns of a file are likely to be: by their heads, by who wrote the file, by samples.

use serde::{Deserialize, Serialize};

use super::super::{Schema, fields};
use crate::model::contact::{boolean, date, number};
use crate::model::{Address, DateOrder, FieldKind};

/// Who wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FileOrigin)]
pub enum Origin {
    Mailchimp,
    Listmonk,
    Postroad,
    Unknown,
}

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    Ignore {},
    Email {},
    Name {},
    Language {},
    TimeZone {},
    /// `active` or `blocked`; listmonk's words are understood.
    Status {},
    /// Between commas or semicolons; new ones are made.
    Tags {},
    Field {
        name: String,
    },
    /// A field that is made when the import starts.
    NewField {
        name: String,
        kind: FieldKind,
        #[serde(default)]
        choices: Vec<String>,
    },
}

/// What only its own system has a use for.
const OF_MAILCHIMP: [&str; 18] = [
    "member_rating",
    "optin_time",
    "optin_ip",
    "confirm_time",
    "confirm_ip",
    "latitude",
    "longitude",
    "gmtoff",
    "dstoff",
    "cc",
    "region",
    "last_changed",
    "leid",
    "euid",
    "notes",
    "unsub_time",
    "unsub_campaign_title",
    "unsub_reason",
];
const OF_LISTMONK: [&str; 4] = ["id", "uuid", "created_at", "updated_at"];
const OF_POSTROAD: [&str; 2] = ["created_at", "lists"];

pub fn origin(heads: &[String]) -> Origin {
    let has = |wanted: &[&str]| {
        wanted.iter().all(|word| heads.iter().any(|head| head.eq_ignore_ascii_case(word)))
    };
    if has(&["email address", "leid", "euid"]) {
        Origin::Mailchimp
    } else if has(&["uuid", "email", "attributes", "status"]) {
        Origin::Listmonk
    } else if has(&["email", "status", "time_zone", "created_at", "lists", "tags"]) {
        Origin::Postroad
    } else {
        Origin::Unknown
    }
}

/// The first row heads the columns unless one of its cells is an address.
pub fn has_heads(first: &[String]) -> bool {
    !first.iter().any(|cell| Address::parse(cell.trim()).is_ok())
}

/// A target for each column; `samples` are rows.
pub fn targets(schema: &Schema, heads: &[String], samples: &[Vec<String>]) -> Vec<Target> {
    let origin = origin(heads);
    let mut targets: Vec<Target> = Vec::with_capacity(heads.len());
    for (column, head) in heads.iter().enumerate() {
        let cells = samples.iter().filter_map(|row| row.get(column).map(String::as_str));
        let target = target(schema, origin, head, cells.clone());
        // One column is one thing: the second of a kind is left alone.
        let target = if targets.contains(&target) { Target::Ignore {} } else { target };
        targets.push(target);
    }
    if !targets.contains(&Target::Email {}) {
        let is_address = |cell: &str| Address::parse(cell.trim()).is_ok();
        let column = (0..heads.len()).find(|column| {
            let mut cells = samples.iter().filter_map(|row| row.get(*column)).peekable();
            cells.peek().is_some() && cells.all(|cell| is_address(cell))
        });
        if let Some(column) = column {
            targets[column] = Target::Email {};
        }
    }
    targets
}

fn target<'a>(
    schema: &Schema,
    origin: Origin,
    head: &str,
    cells: impl Iterator<Item = &'a str> + Clone,
) -> Target {
    let word = head.trim().to_lowercase().replace([' ', '-'], "_");
    let own: &[&str] = match origin {
        Origin::Mailchimp => &OF_MAILCHIMP,
        Origin::Listmonk => &OF_LISTMONK,
        Origin::Postroad => &OF_POSTROAD,
        Origin::Unknown => &[],
    };
    if own.contains(&word.as_str()) || word.is_empty() {
        return Target::Ignore {};
    }
    match word.as_str() {
        "email" | "e_mail" | "email_address" | "e_mail_address" | "mail" | "address_email" => {
            return Target::Email {};
        }
        "name" | "full_name" | "fullname" => return Target::Name {},
        "language" | "lang" | "locale" => return Target::Language {},
        "time_zone" | "timezone" => return Target::TimeZone {},
        "tags" => return Target::Tags {},
        "status" if origin != Origin::Unknown => return Target::Status {},
        "attributes" if origin == Origin::Listmonk && schema.field("attributes").is_none() => {
            let (name, kind) = ("attributes".to_owned(), FieldKind::Json);
            return Target::NewField { name, kind, choices: Vec::new() };
        }
        _ => {}
    }
    let name = fields::name_from(head);
    let known = schema.fields.iter().find(|field| {
        field.name == word || field.name == name || field.label.eq_ignore_ascii_case(head.trim())
    });
    match known {
        Some(field) => Target::Field { name: field.name.clone() },
        None => Target::NewField { name, kind: kind_of(cells), choices: Vec::new() },
    }
}

/// What all samples that say something could be. A number that begins with 0 or + is a code.
fn kind_of<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> FieldKind {
    let cells = || cells.clone().map(str::trim).filter(|cell| !cell.is_empty());
    let is_number = |cell: &str| {
        let is_code = cell.starts_with('+') || (cell.starts_with('0') && !cell.starts_with("0."));
        number(cell).is_ok() && cell.len() <= 9 && (!is_code || cell == "0")
    };
    if cells().next().is_none() {
        FieldKind::Text
    } else if cells().all(|cell| boolean(cell).is_ok() && cell.len() > 1) {
        FieldKind::Boolean
    } else if cells().all(is_number) {
        FieldKind::Number
    } else if cells().all(|cell| date(cell, DateOrder::default()).is_ok()) {
        FieldKind::Date
    } else if cells().all(|cell| cell.starts_with("https://") || cell.starts_with("http://")) {
        FieldKind::Url
    } else {
        FieldKind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|&cell| cell.to_owned()).collect()
    }

    fn new(name: &str, kind: FieldKind) -> Target {
        Target::NewField { name: name.to_owned(), kind, choices: Vec::new() }
    }

    #[test]
    fn an_export_of_mailchimp_is_known_and_its_own_columns_are_left_out() {
        let heads = texts(&[
            "Email Address",
            "First Name",
            "MEMBER_RATING",
            "OPTIN_TIME",
            "TIMEZONE",
            "LEID",
            "EUID",
            "TAGS",
        ]);
        assert_eq!(origin(&heads), Origin::Mailchimp);
        let ignore = || Target::Ignore {};
        let expected = [
            Target::Email {},
            new("first_name", FieldKind::Text),
            ignore(),
            ignore(),
            Target::TimeZone {},
            ignore(),
            ignore(),
            Target::Tags {},
        ];
        assert_eq!(targets(&Schema::default(), &heads, &[]), expected);
    }

    #[test]
    fn an_export_of_listmonk_is_known() {
        let heads = texts(&["uuid", "email", "name", "attributes", "status", "created_at"]);
        assert_eq!(origin(&heads), Origin::Listmonk);
        let expected = [
            Target::Ignore {},
            Target::Email {},
            Target::Name {},
            new("attributes", FieldKind::Json),
            Target::Status {},
            Target::Ignore {},
        ];
        assert_eq!(targets(&Schema::default(), &heads, &[]), expected);
    }

    #[test]
    fn samples_tell_what_a_column_is() {
        let heads = texts(&["who", "Age", "ZIP", "Joined", "Active", "City"]);
        let rows = [
            texts(&["a@example.com", "31", "01234", "2024-01-31", "yes", "Köln"]),
            texts(&["b@example.com", "", "99999", "2023-12-01", "no", "7"]),
        ];
        let expected = [
            Target::Email {},
            new("age", FieldKind::Number),
            new("zip", FieldKind::Text),
            new("joined", FieldKind::Date),
            new("active", FieldKind::Boolean),
            new("city", FieldKind::Text),
        ];
        assert_eq!(targets(&Schema::default(), &heads, &rows), expected);
        assert!(has_heads(&heads) && !has_heads(&rows[0]));
    }
}
