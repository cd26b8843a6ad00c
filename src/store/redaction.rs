//! A contact goes for good, and what the audit log said of the person with it.
//!
//! Owns:       which lines of the audit log name a person, and what is left of them.
//! Promises:   the contact and its name in the lines go in one transaction; who did what and when
//!             stays. The lines are looked for beforehand, so that the writer does not walk them.
//! Knows not:  mails (`erasure`), sessions; how a line came to say what it says.

use serde_json::{Value as Json, json};

use crate::model::*;

use super::changes::Change;
use super::contact_definitions::{self, ContactChange};
use super::database::{Connection, Row, Value};
use super::dialect::{Column, Rows, Statement, int, json_ids, text};
use super::error::{Result, StoreError};
use super::narrow::escaped;
use super::{Store, collect};

/// Lines that are looked at, or changed, at a time.
const LINES_PART: usize = 500;

/// Who is erased.
#[derive(Clone, Debug)]
pub struct Person {
    pub organization: OrganizationId,
    pub contact: ContactId,
    pub email: String,
    /// Lines that name the person, as far as they were found beforehand.
    lines: Vec<i64>,
    /// Behind this one the writer looks itself: ids of lines follow their commits.
    looked_to: i64,
}

/// What the operator changed is of no organization.
pub static LINES_NAMING: Statement = Statement::new(
    "SELECT id, target, was, becomes FROM audit \
     WHERE id > $2 AND (organization = $1 OR organization IS NULL) \
     AND (target = $4 OR target LIKE $5 OR LOWER(target || ' ' || COALESCE(was, '') || ' ' || \
     COALESCE(becomes, '')) LIKE $3 ESCAPE '!') ORDER BY id LIMIT $6",
);
pub static LINES_OF: Statement = Statement::new(
    "SELECT a.id, a.target, a.was, a.becomes FROM {ids:1} AS w CROSS JOIN audit AS a \
     WHERE a.id = w.id",
);
pub static NEWEST_LINE: Statement = Statement::new("SELECT COALESCE(MAX(id), 0) FROM audit");
const LINE_COLUMNS: &[Column] = &[int("id"), text("target"), text("was"), text("becomes")];
pub static REDACT_LINES: Statement = Statement::with_rows(
    LINE_COLUMNS,
    "UPDATE audit SET target = r.target, was = r.was, becomes = r.becomes FROM {rows} AS r \
     WHERE audit.id = r.id",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[&LINES_NAMING, &LINES_OF, &NEWEST_LINE, &REDACT_LINES];

impl Store {
    /// Finds what names the person, and changes nothing.
    pub async fn person(
        &self,
        organization: OrganizationId,
        contact: ContactId,
        email: &str,
    ) -> Result<Person> {
        let looked_to = self.database().fetch_one(&NEWEST_LINE, vec![]).await?.int(0)?;
        let mut person =
            Person { organization, contact, email: email.to_owned(), lines: vec![], looked_to };
        let mut after = 0;
        while after < looked_to {
            let found = self.read(&LINES_NAMING, person.naming(after)).await?;
            let found = collect(found, |row| row.int(0))?;
            let Some(last) = found.last() else { break };
            after = *last;
            person.lines.extend(found.iter().filter(|id| **id <= looked_to));
        }
        Ok(person)
    }

    /// Returns how many contacts went.
    pub async fn erase_person(&self, person: Person) -> Result<i64> {
        self.change(Change::ErasePerson(Box::new(person))).await
    }
}

impl Person {
    fn path(&self) -> String {
        format!("contacts/{}", self.contact)
    }

    fn naming(&self, after: i64) -> Vec<Value> {
        // As it stands in JSON: a quote in an address has a backslash there.
        let quoted = json!(self.email).to_string();
        let address = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        vec![
            self.organization.0.into(),
            after.into(),
            format!("%{}%", escaped(address)).into(),
            self.path().into(),
            format!("{}/%", self.path()).into(),
            i64::try_from(LINES_PART).unwrap_or(i64::MAX).into(),
        ]
    }
}

pub async fn write(connection: &mut Connection, person: &Person) -> Result<i64> {
    for part in person.lines.chunks(LINES_PART) {
        let ids = json_ids(part.iter().copied());
        let found = connection.fetch(&LINES_OF, vec![ids.into()]).await?;
        redact(connection, person, found).await?;
    }
    let mut after = person.looked_to;
    loop {
        let found = connection.fetch(&LINES_NAMING, person.naming(after)).await?;
        match redact(connection, person, found).await? {
            Some(last) => after = last,
            None => break,
        }
    }
    let (organization, ids) = (person.organization, vec![person.contact]);
    contact_definitions::write(connection, &ContactChange::RemoveContacts { organization, ids })
        .await
}

/// Returns the last line that there was.
async fn redact(
    connection: &mut Connection,
    person: &Person,
    found: Vec<Row>,
) -> Result<Option<i64>> {
    let mut last = None;
    let mut lines = Rows::new(connection.dialect(), LINE_COLUMNS);
    for row in found {
        let (id, target) = (row.int(0)?, row.text(1)?);
        last = last.max(Some(id));
        let is_own = target == person.path() || target.starts_with(&format!("{}/", person.path()));
        let left = |text: Option<String>| -> Result<Option<String>> {
            let Some(text) = text else { return Ok(None) };
            let mut value: Json = serde_json::from_str(&text).map_err(StoreError::broken_row)?;
            match is_own {
                true => value = json!({ "erased": true }),
                false => erase(&mut value, &person.email),
            }
            Ok(Some(value.to_string()))
        };
        let (was, becomes) = (left(row.maybe_text(2)?)?, left(row.maybe_text(3)?)?);
        let target = if names(&target, &person.email) { "erased".to_owned() } else { target };
        lines.int(id).text(&target);
        lines.maybe_text(was.as_deref()).maybe_text(becomes.as_deref());
    }
    if last.is_some() {
        connection.execute(&REDACT_LINES, vec![lines.finish().into()]).await?;
    }
    Ok(last)
}

/// An object that has the address for a value is about the person, and nothing of it stays; of
/// anything else the texts that name the address go.
fn erase(value: &mut Json, email: &str) {
    let is = |value: &Json| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(email));
    match value {
        Json::Object(fields)
            if fields.values().any(is) || fields.keys().any(|key| names(key, email)) =>
        {
            *value = json!({ "erased": true });
        }
        Json::Object(fields) => fields.values_mut().for_each(|value| erase(value, email)),
        Json::Array(items) => items.iter_mut().for_each(|value| erase(value, email)),
        Json::String(text) if names(text, email) => *text = "erased".to_owned(),
        _ => {}
    }
}

/// The address stands in the text, and not as a part of another.
fn names(text: &str, email: &str) -> bool {
    let (text, email) = (text.to_lowercase(), email.to_lowercase());
    let is_local =
        |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '-' | '+');
    !email.is_empty()
        && text.match_indices(&email).any(|(at, found)| {
            let (before, behind) = (&text[..at], &text[at + found.len()..]);
            let mut behind = behind.chars();
            let goes_on = match behind.next() {
                Some('.') => behind.next().is_some_and(char::is_alphanumeric),
                Some(letter) => letter.is_alphanumeric() || letter == '-',
                None => false,
            };
            !before.ends_with(is_local) && !goes_on
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "ann@a.test";

    #[test]
    fn an_address_is_found_whole_and_in_any_case() {
        for text in ["ann@a.test", "Ann <ANN@a.test>", "to ann@a.test.", "x/ann@a.test/y"] {
            assert!(names(text, ANN), "{text}");
        }
        for text in ["joann@a.test", "ann@a.test.example", "j.ann@a.test", "ann@a.testing", ""] {
            assert!(!names(text, ANN), "{text}");
        }
    }

    #[test]
    fn of_what_is_about_the_person_nothing_stays_and_of_others_all() {
        let mut line = json!({"entries": [{"address": ANN, "note": "Ann Smith"},
            {"address": "bob@a.test"}], "reason": "asked by Ann@A.test", "count": 2});
        erase(&mut line, ANN);
        assert_eq!(
            line,
            json!({"entries": [{"erased": true}, {"address": "bob@a.test"}],
                "reason": "erased", "count": 2})
        );
    }
}
