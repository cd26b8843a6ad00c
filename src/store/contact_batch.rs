//! Contacts written, many at once: found by address, merged, and put back.
//!
//! Owns:       the writes to contacts, facts, memberships, tags of contacts and consents.
//! Promises:   a batch is whole or not at all; a contact is one row of its organization whatever
//!             case its address comes in; who unsubscribed stays so unless the caller says that
//!             the person asked anew.
//! Knows not:  where the rows come from.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::model::*;

use super::audit::{AuditLine, Lines};
use super::contact_facts::{FACTS_COLUMNS, INSERT_FACTS, Slots, UPDATE_FACTS, contact_columns};
use super::contacts::{ContactRow, contact};
use super::database::Connection;
use super::dialect::{Column, Rows, Statement, int, text};
use super::error::Result;
use super::ids;
use super::imports::{self, ImportProgress};
use super::ledger::{BEGIN, COMMIT};
use super::membership_days;

/// What becomes of addresses that are there already, or are not.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum UpsertMode {
    /// Those that are there stay as they are.
    Add,
    /// Those that are not there are passed over.
    Update,
    AddOrUpdate,
}

/// How the statuses of a batch came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// This row tells it for all of them.
    Shared(ConsentId),
    /// Each contact gets a row of its own for each list.
    Each { action: ConsentAction, source: String, address: Option<String>, wording: String },
}

#[derive(Clone, Debug)]
pub struct ContactBatch {
    pub organization: OrganizationId,
    pub at: Timestamp,
    pub mode: UpsertMode,
    pub consent: Consent,
    /// The persons asked anew: those who had unsubscribed are subscribed again.
    pub resubscribe: bool,
    pub rows: Vec<ContactWrite>,
    /// Of the import that the rows are from.
    pub progress: Option<ImportProgress>,
}

/// What is said about one contact. What is `None` or not named stays as it was.
#[derive(Clone, Debug)]
pub struct ContactWrite {
    /// The id it gets if it is new.
    pub id: ContactId,
    /// In lower case.
    pub email: String,
    pub name: Option<String>,
    pub language: Option<Option<String>>,
    pub time_zone: Option<Option<String>>,
    pub status: Option<ContactStatus>,
    pub values: Vec<(FieldId, Option<Slot>, Option<Stored>)>,
    pub memberships: Vec<(ListId, MembershipStatus)>,
    /// To be put on (true) or taken off.
    pub tags: Vec<(TagId, bool)>,
}

impl ContactWrite {
    /// Says nothing yet but who it is.
    pub fn of(id: ContactId, email: String) -> ContactWrite {
        ContactWrite {
            id,
            email,
            name: None,
            language: None,
            time_zone: None,
            status: None,
            values: Vec::new(),
            memberships: Vec::new(),
            tags: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Added(ContactId),
    Updated(ContactId),
    /// Left as it is, or not made, as the mode has it.
    Skipped,
}

pub static EXISTING: Statement = Statement::with_rows(
    &[text("email")],
    concat!(
        "SELECT ",
        contact_columns!(),
        " FROM contacts AS c JOIN contact_facts AS f \
         ON f.organization = c.organization AND f.contact = c.id \
         WHERE c.organization = $2 AND c.email IN (SELECT email FROM {rows} AS r) {lock:c}"
    ),
);

const CONTACT_COLUMNS: &[Column] =
    &[int("id"), text("email"), text("name"), text("more"), int("updated_at")];

pub static INSERT_CONTACTS: Statement = Statement::with_rows(
    CONTACT_COLUMNS,
    "INSERT INTO contacts (id, organization, email, name, more, updated_at) \
     SELECT id, $2, email, name, more, updated_at FROM {rows} AS r",
);

pub static UPDATE_CONTACTS: Statement = Statement::with_rows(
    CONTACT_COLUMNS,
    "UPDATE contacts SET name = r.name, more = r.more, updated_at = r.updated_at \
     FROM {rows} AS r WHERE contacts.id = r.id AND +contacts.organization = $2",
);

pub const PUT_MEMBERSHIPS_COLUMNS: &[Column] =
    &[int("list"), int("contact"), text("status"), int("consent")];
const PUT_TAGS_COLUMNS: &[Column] = &[int("tag"), int("contact")];

/// $2 now, $3 whether who unsubscribed may be subscribed again. A list of another organization
/// takes nobody in ($4). A confirmation that is asked for takes nothing from who is subscribed.
pub static PUT_MEMBERSHIPS: Statement = Statement::with_rows(
    PUT_MEMBERSHIPS_COLUMNS,
    "INSERT INTO memberships (list, contact, status, since, consent) \
     SELECT r.list, r.contact, r.status, $2, r.consent FROM {rows} AS r \
     WHERE r.list IN (SELECT id FROM lists WHERE organization = $4) \
     ON CONFLICT (list, contact) DO UPDATE SET status = excluded.status, \
     since = excluded.since, consent = excluded.consent \
     WHERE memberships.status <> excluded.status \
     AND NOT (memberships.status = 'subscribed' AND excluded.status = 'unconfirmed') \
     AND (memberships.status <> 'unsubscribed' OR $3 = 1)",
);

/// As `PUT_MEMBERSHIPS`, and before it: whoever is subscribed by it and was not comes to the
/// automations of the list. In this order of tables it costs nothing where there are none.
pub static ARRIVE_BY_LIST: Statement = Statement::with_rows(
    PUT_MEMBERSHIPS_COLUMNS,
    "INSERT INTO automation_arrivals (automation, contact, key, at) \
     SELECT e.automation, r.contact, CAST(CAST($2 AS BIGINT) AS TEXT), CAST($2 AS BIGINT) \
     FROM automation_entries AS e CROSS JOIN {rows} AS r \
     WHERE e.organization = $4 AND e.kind = 'subscription' \
     AND e.target = CAST(r.list AS TEXT) AND r.status = 'subscribed' \
     AND NOT EXISTS (SELECT 1 FROM memberships AS m WHERE m.list = r.list \
       AND m.contact = r.contact \
       AND (m.status = 'subscribed' OR (m.status = 'unsubscribed' AND $3 = 0))) \
     ON CONFLICT (automation, contact, key) DO NOTHING",
);

/// As `PUT_TAGS`, and before it.
pub static ARRIVE_BY_TAG: Statement = Statement::with_rows(
    PUT_TAGS_COLUMNS,
    "INSERT INTO automation_arrivals (automation, contact, key, at) \
     SELECT e.automation, r.contact, CAST(CAST($3 AS BIGINT) AS TEXT), CAST($3 AS BIGINT) \
     FROM automation_entries AS e CROSS JOIN {rows} AS r \
     WHERE e.organization = $2 AND e.kind = 'tag' AND e.target = CAST(r.tag AS TEXT) \
     AND NOT EXISTS (SELECT 1 FROM contact_tags AS t \
       WHERE t.tag = r.tag AND t.contact = r.contact) \
     ON CONFLICT (automation, contact, key) DO NOTHING",
);

pub static INSERT_CONSENTS: Statement = Statement::with_rows(
    &[int("id"), int("contact"), int("list"), text("action")],
    "INSERT INTO consents (id, organization, contact, list, action, at, source, address, wording) \
     SELECT id, $2, contact, list, action, $3, $4, $5, $6 FROM {rows} AS r",
);

pub static PUT_TAGS: Statement = Statement::with_rows(
    PUT_TAGS_COLUMNS,
    "INSERT INTO contact_tags (tag, contact) SELECT r.tag, r.contact FROM {rows} AS r \
     WHERE r.tag IN (SELECT id FROM tags WHERE organization = $2) \
     ON CONFLICT (tag, contact) DO NOTHING",
);

pub static TAKE_TAGS: Statement = Statement::with_rows(
    PUT_TAGS_COLUMNS,
    "DELETE FROM contact_tags WHERE (tag, contact) IN (SELECT r.tag, r.contact FROM {rows} AS r) \
     AND contact_tags.tag IN (SELECT id FROM tags WHERE organization = $2)",
);

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &EXISTING,
    &INSERT_CONTACTS,
    &UPDATE_CONTACTS,
    &INSERT_FACTS,
    &UPDATE_FACTS,
    &PUT_MEMBERSHIPS,
    &ARRIVE_BY_LIST,
    &ARRIVE_BY_TAG,
    &INSERT_CONSENTS,
    &PUT_TAGS,
    &TAKE_TAGS,
];

/// The octets it wrote, and the answers.
pub async fn write(
    connection: &mut Connection,
    batch: &ContactBatch,
    line: Option<&AuditLine>,
) -> Result<(usize, Vec<Written>)> {
    connection.execute(&BEGIN, Vec::new()).await?;
    let mut plan = Plan::default();
    plan.read(connection, batch).await?;
    let written: Vec<Written> = batch.rows.iter().map(|row| plan.take(batch, row)).collect();
    let octets = plan.put(connection, batch).await?;
    if let Some(progress) = &batch.progress {
        imports::advance(connection, progress, &written).await?;
    }
    let mut lines = Lines::default();
    let is_changed = written.iter().any(|written| *written != Written::Skipped);
    if let Some(line) = line.filter(|_| is_changed) {
        lines.write(connection, line, (batch.at, 0)).await?;
    }
    connection.execute(&COMMIT, Vec::new()).await?;
    lines.stand();
    Ok((octets, written))
}

/// What a batch changes, by address.
#[derive(Default)]
struct Plan {
    contacts: Vec<Planned>,
    by_email: HashMap<String, usize>,
    memberships: Vec<(ListId, ContactId, MembershipStatus)>,
    tags: Vec<(TagId, ContactId, bool)>,
}

struct Planned {
    row: ContactRow,
    is_new: bool,
    is_changed: bool,
}

impl Plan {
    async fn read(&mut self, connection: &mut Connection, batch: &ContactBatch) -> Result<()> {
        let mut rows = Rows::new(connection.dialect(), EXISTING.rows);
        for row in &batch.rows {
            rows.text(&row.email);
        }
        let values = vec![rows.finish().into(), batch.organization.0.into()];
        for row in connection.fetch(&EXISTING, values).await? {
            self.add(Planned { row: contact(&row)?, is_new: false, is_changed: false });
        }
        Ok(())
    }

    fn add(&mut self, planned: Planned) {
        self.by_email.insert(planned.row.email.clone(), self.contacts.len());
        self.contacts.push(planned);
    }

    fn take(&mut self, batch: &ContactBatch, write: &ContactWrite) -> Written {
        let written = match (self.by_email.get(&write.email).copied(), batch.mode) {
            (None, UpsertMode::Update) | (Some(_), UpsertMode::Add) => return Written::Skipped,
            (Some(place), _) => {
                let planned = &mut self.contacts[place];
                planned.is_changed |= merge(&mut planned.row, write, batch.at);
                Written::Updated(planned.row.id)
            }
            (None, _) => {
                let mut row = blank(write, batch.at);
                merge(&mut row, write, batch.at);
                self.add(Planned { row, is_new: true, is_changed: false });
                Written::Added(write.id)
            }
        };
        if let Written::Added(id) | Written::Updated(id) = written {
            let of = write.memberships.iter().map(|(list, status)| (*list, id, *status));
            self.memberships.extend(of);
            self.tags.extend(write.tags.iter().map(|(tag, on)| (*tag, id, *on)));
        }
        written
    }

    async fn put(&self, connection: &mut Connection, batch: &ContactBatch) -> Result<usize> {
        let mut octets = 0;
        for (is_new, contacts, facts) in
            [(true, &INSERT_CONTACTS, &INSERT_FACTS), (false, &UPDATE_CONTACTS, &UPDATE_FACTS)]
        {
            let wanted: Vec<&ContactRow> = self
                .contacts
                .iter()
                .filter(|planned| planned.is_new == is_new && (is_new || planned.is_changed))
                .map(|planned| &planned.row)
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let organization = batch.organization.0;
            let rows = contact_rows(connection, &wanted);
            octets += rows.len();
            connection.execute(contacts, vec![rows.into(), organization.into()]).await?;
            let rows = facts_rows(connection, organization, &wanted);
            octets += rows.len();
            connection.execute(facts, vec![rows.into()]).await?;
        }
        octets += self.put_memberships(connection, batch).await?;
        octets += self.put_tags(connection, batch).await?;
        Ok(octets)
    }

    async fn put_memberships(
        &self,
        connection: &mut Connection,
        batch: &ContactBatch,
    ) -> Result<usize> {
        // The last word of a batch about a membership counts: one statement cannot write it twice.
        let mut last = HashMap::new();
        for (list, contact, status) in &self.memberships {
            last.insert((*list, *contact), *status);
        }
        if last.is_empty() {
            return Ok(0);
        }
        let mut memberships: Vec<_> = last.into_iter().collect();
        memberships.sort_by_key(|(key, _)| *key);
        let consents = put_consents(connection, batch, &memberships).await?;
        let mut rows = Rows::new(connection.dialect(), PUT_MEMBERSHIPS.rows);
        for (((list, contact), status), consent) in memberships.iter().zip(consents) {
            rows.int(list.0).int(contact.0).text(status.word()).int(consent);
        }
        let rows = rows.finish();
        let octets = rows.len();
        let values = vec![
            rows.into(),
            batch.at.0.into(),
            i64::from(batch.resubscribe).into(),
            batch.organization.0.into(),
        ];
        membership_days::count_put(connection, values.clone()).await?;
        for statement in [&ARRIVE_BY_LIST, &PUT_MEMBERSHIPS] {
            connection.execute(statement, values.clone()).await?;
        }
        Ok(octets)
    }

    async fn put_tags(&self, connection: &mut Connection, batch: &ContactBatch) -> Result<usize> {
        let mut octets = 0;
        for (on, statement) in [(true, &PUT_TAGS), (false, &TAKE_TAGS)] {
            let mut rows = Rows::new(connection.dialect(), statement.rows);
            for (tag, contact, _) in self.tags.iter().filter(|(.., put)| *put == on) {
                rows.int(tag.0).int(contact.0);
            }
            if rows.count() == 0 {
                continue;
            }
            let rows = rows.finish();
            octets += rows.len();
            let values = vec![rows.into(), batch.organization.0.into()];
            if on {
                let mut values = values.clone();
                values.push(batch.at.0.into());
                connection.execute(&ARRIVE_BY_TAG, values).await?;
            }
            connection.execute(statement, values).await?;
        }
        Ok(octets)
    }
}

/// The id of the consent for each membership.
async fn put_consents(
    connection: &mut Connection,
    batch: &ContactBatch,
    memberships: &[((ListId, ContactId), MembershipStatus)],
) -> Result<Vec<i64>> {
    let (action, source, address, wording) = match &batch.consent {
        Consent::Shared(id) => return Ok(vec![id.0; memberships.len()]),
        Consent::Each { action, source, address, wording } => (action, source, address, wording),
    };
    let count = i64::try_from(memberships.len()).unwrap_or(i64::MAX);
    let first = ids::reserve(connection, "consent", count).await?;
    let mut rows = Rows::new(connection.dialect(), INSERT_CONSENTS.rows);
    for (((list, contact), status), id) in memberships.iter().zip(first..) {
        let action = match status {
            MembershipStatus::Unsubscribed => ConsentAction::Unsubscribed,
            MembershipStatus::Unconfirmed => ConsentAction::Requested,
            MembershipStatus::Subscribed => *action,
        };
        rows.int(id).int(contact.0).int(list.0).text(action.word());
    }
    let values = vec![
        rows.finish().into(),
        batch.organization.0.into(),
        batch.at.0.into(),
        source.as_str().into(),
        address.clone().into(),
        wording.as_str().into(),
    ];
    connection.execute(&INSERT_CONSENTS, values).await?;
    Ok((first..first + count).collect())
}

fn contact_rows(connection: &Connection, contacts: &[&ContactRow]) -> String {
    let mut rows = Rows::new(connection.dialect(), CONTACT_COLUMNS);
    for row in contacts {
        let more = Json::Object(row.more.clone()).to_string();
        rows.int(row.id.0).text(&row.email).text(&row.name).text(&more).int(row.updated_at.0);
    }
    rows.finish()
}

fn facts_rows(connection: &Connection, organization: i64, contacts: &[&ContactRow]) -> String {
    let mut rows = Rows::new(connection.dialect(), FACTS_COLUMNS);
    for row in contacts {
        rows.int(organization).int(row.id.0).text(row.status.word()).int(row.created_at.0);
        rows.maybe_text(row.language.as_deref()).maybe_text(row.time_zone.as_deref());
        row.slots.put(&mut rows);
    }
    rows.finish()
}

fn blank(write: &ContactWrite, at: Timestamp) -> ContactRow {
    ContactRow {
        id: write.id,
        email: write.email.clone(),
        name: String::new(),
        more: Map::new(),
        updated_at: at,
        status: ContactStatus::Active,
        created_at: at,
        last_open_at: None,
        last_click_at: None,
        language: None,
        time_zone: None,
        slots: Slots::default(),
        heat: None,
        fared: super::contacts::Fared::default(),
    }
}

/// True when something of the contact itself is another than it was.
fn merge(row: &mut ContactRow, write: &ContactWrite, at: Timestamp) -> bool {
    let before = row.clone();
    if let Some(name) = &write.name {
        row.name.clone_from(name);
    }
    if let Some(language) = &write.language {
        row.language.clone_from(language);
    }
    if let Some(time_zone) = &write.time_zone {
        row.time_zone.clone_from(time_zone);
    }
    row.status = write.status.unwrap_or(row.status);
    for (field, slot, value) in &write.values {
        match (slot, value) {
            (Some(slot), value) => row.slots.set(*slot, value.clone()),
            (None, None) => drop(row.more.remove(&format!("f{}", field.0))),
            (None, Some(value)) => {
                let value = match value {
                    Stored::Number(number) => Json::from(*number),
                    Stored::Text(text) => Json::from(text.as_str()),
                    Stored::Json(json) => json.clone(),
                };
                row.more.insert(format!("f{}", field.0), value);
            }
        }
    }
    let is_changed = *row != before;
    if is_changed {
        row.updated_at = at;
    }
    is_changed
}
