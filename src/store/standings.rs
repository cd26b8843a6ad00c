//! How the deliveries of a batch stand before it, and within it.
//!
//! Owns:       what is read for a batch before it is decided.
//! Promises:   a line that cannot be read is told as it is.
//! Knows not:  what follows; `plan` decides.

use std::collections::BTreeMap;

use crate::model::*;

use super::error::{Result, StoreError};

/// How a delivery stands before and within the batch.
#[derive(Debug)]
pub struct Standing {
    pub state: State,
    pub tries: u32,
    pub state_before: State,
    pub tries_before: u32,
    pub lease: Option<(i64, i64)>,
    pub organization: OrganizationId,
    pub message: MessageId,
    pub change: Option<Change>,
}

#[derive(Debug, Default)]
pub struct Change {
    pub site: Option<SiteId>,
    pub due: Option<Timestamp>,
    /// None leaves text and blame as they are.
    pub text: Option<String>,
    pub blame: Option<Blame>,
    pub answer_not_seen: bool,
    pub delay_reported: bool,
    pub pin: Option<String>,
    pub delivered_at: Option<Timestamp>,
}

#[derive(Debug)]
pub struct Owing {
    /// There are other deliveries of the same message.
    pub is_shared: bool,
    pub owed: i64,
    pub is_changed: bool,
    pub segment: (i64, i64),
    pub length: i64,
}

/// The deliveries that a batch's settlements speak of, as the ledger holds them.
#[derive(Debug, Default)]
pub struct Standings {
    pub deliveries: BTreeMap<DeliveryId, Standing>,
    pub messages: BTreeMap<MessageId, Owing>,
}

impl Standings {
    /// From the lines of `ledger::STANDINGS`.
    pub fn read(text: &str) -> Result<Standings> {
        let mut standings = Standings::default();
        for line in text.split(',').filter(|line| !line.is_empty()) {
            standings.read_line(line).ok_or_else(|| StoreError::broken_row(line))?;
        }
        Ok(standings)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split(' ');
        let id = DeliveryId(fields.next()?.parse().ok()?);
        let state: State = fields.next()?.parse().ok()?;
        let mut number = || fields.next()?.parse::<i64>().ok();
        let tries = u32::try_from(number()?).ok()?;
        let (lease_node, lease_epoch) = (number()?, number()?);
        let organization = OrganizationId(number()?);
        let message = MessageId(number()?);
        let owing = Owing {
            is_shared: number()? > 0,
            owed: number()?,
            is_changed: false,
            segment: (number()?, number()?),
            length: number()?,
        };
        let standing = Standing {
            state,
            tries,
            state_before: state,
            tries_before: tries,
            lease: (lease_node >= 0).then_some((lease_node, lease_epoch)),
            organization,
            message,
            change: None,
        };
        self.deliveries.insert(id, standing);
        self.messages.entry(message).or_insert(owing);
        Some(())
    }
}
