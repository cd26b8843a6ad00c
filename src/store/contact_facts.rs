//! The columns of fields: how sixteen numbers and twelve texts travel between rows and SQL.
//!
//! Owns:       the statements over `contact_facts`' whole width.
//! Promises:   a value goes into the column of its slot and comes back out of it.
//! Knows not:  which field has which column.

use crate::model::contact::{NUMBER_SLOTS, TEXT_SLOTS};
use crate::model::*;

use super::database::Row;
use super::dialect::{Column, Rows, Statement, int, text};
use super::error::Result;

/// A contact's values by their columns: numbers first, texts behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    numbers: [Option<i64>; NUMBER_SLOTS as usize],
    texts: [Option<String>; TEXT_SLOTS as usize],
}

impl Slots {
    pub fn get(&self, slot: Slot) -> Option<Stored> {
        match slot {
            Slot::Number(place) => self.numbers[usize::from(place) - 1].map(Stored::Number),
            Slot::Text(place) => self.texts[usize::from(place) - 1].clone().map(Stored::Text),
        }
    }

    /// A value that is no number does not go into a column of numbers: the column stays empty.
    pub fn set(&mut self, slot: Slot, value: Option<Stored>) {
        match (slot, value) {
            (Slot::Number(place), Some(Stored::Number(number))) => {
                self.numbers[usize::from(place) - 1] = Some(number);
            }
            (Slot::Number(place), _) => self.numbers[usize::from(place) - 1] = None,
            (Slot::Text(place), Some(Stored::Text(text))) => {
                self.texts[usize::from(place) - 1] = Some(text);
            }
            (Slot::Text(place), _) => self.texts[usize::from(place) - 1] = None,
        }
    }

    /// From the columns at `first` and behind it.
    pub fn from_row(row: &Row, first: usize) -> Result<Slots> {
        let mut slots = Slots::default();
        for (place, number) in slots.numbers.iter_mut().enumerate() {
            *number = row.maybe_int(first + place)?;
        }
        let first = first + slots.numbers.len();
        for (place, text) in slots.texts.iter_mut().enumerate() {
            *text = row.maybe_text(first + place)?;
        }
        Ok(slots)
    }

    pub fn put(&self, rows: &mut Rows) {
        for number in &self.numbers {
            rows.maybe_int(*number);
        }
        for text in &self.texts {
            rows.maybe_text(text.as_deref());
        }
    }
}

/// How a contact is read everywhere.
macro_rules! contact_columns {
    () => {
        "c.id, c.email, c.name, c.more, c.updated_at, f.status, f.created_at, f.last_open_at, \
         f.last_click_at, f.language, f.time_zone, \
         f.n1, f.n2, f.n3, f.n4, f.n5, f.n6, f.n7, f.n8, f.n9, f.n10, f.n11, f.n12, f.n13, \
         f.n14, f.n15, f.n16, f.t1, f.t2, f.t3, f.t4, f.t5, f.t6, f.t7, f.t8, f.t9, f.t10, \
         f.t11, f.t12, f.heat, f.delivered_at, f.deferred_at, f.bounced_at, f.bounce_class, \
         f.operator"
    };
}
pub(super) use contact_columns;

pub const FACTS_COLUMNS: &[Column] = &[
    int("organization"),
    int("contact"),
    text("status"),
    int("created_at"),
    text("language"),
    text("time_zone"),
    int("n1"),
    int("n2"),
    int("n3"),
    int("n4"),
    int("n5"),
    int("n6"),
    int("n7"),
    int("n8"),
    int("n9"),
    int("n10"),
    int("n11"),
    int("n12"),
    int("n13"),
    int("n14"),
    int("n15"),
    int("n16"),
    text("t1"),
    text("t2"),
    text("t3"),
    text("t4"),
    text("t5"),
    text("t6"),
    text("t7"),
    text("t8"),
    text("t9"),
    text("t10"),
    text("t11"),
    text("t12"),
];

pub static INSERT_FACTS: Statement = Statement::with_rows(
    FACTS_COLUMNS,
    "INSERT INTO contact_facts (organization, contact, status, created_at, language, time_zone, \
     n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, n13, n14, n15, n16, t1, t2, t3, t4, \
     t5, t6, t7, t8, t9, t10, t11, t12) \
     SELECT organization, contact, status, created_at, language, time_zone, \
     n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, n13, n14, n15, n16, t1, t2, t3, t4, \
     t5, t6, t7, t8, t9, t10, t11, t12 \
     FROM {rows} AS r",
);

pub static UPDATE_FACTS: Statement = Statement::with_rows(
    FACTS_COLUMNS,
    "UPDATE contact_facts SET status = r.status, language = r.language, \
     time_zone = r.time_zone, \
     n1 = r.n1, n2 = r.n2, n3 = r.n3, n4 = r.n4, n5 = r.n5, n6 = r.n6, n7 = r.n7, n8 = r.n8, \
     n9 = r.n9, n10 = r.n10, n11 = r.n11, n12 = r.n12, n13 = r.n13, n14 = r.n14, \
     n15 = r.n15, n16 = r.n16, t1 = r.t1, t2 = r.t2, t3 = r.t3, t4 = r.t4, t5 = r.t5, \
     t6 = r.t6, t7 = r.t7, t8 = r.t8, t9 = r.t9, t10 = r.t10, t11 = r.t11, t12 = r.t12 \
     FROM {rows} AS r \
     WHERE contact_facts.organization = r.organization AND contact_facts.contact = r.contact",
);
