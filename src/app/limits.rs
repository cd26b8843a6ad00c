//! What limits start with: rows of the ledger, those that ship, those of the settings.
//!
//! Owns:       the order of it: the daemon's own stream, operators, rows, counts.
//! Promises:   a limit whose operator nobody knows, or a zone that does not exist, is an error at
//!             start and not a limit that never acts.
//! Knows not:  what a limit does.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::{AppError, own_mail};
use crate::clock::Clock;
use crate::compose::Composer;
use crate::config::Settings;
use crate::model::*;
use crate::schedule::limits::Limits;
use crate::schedule::limits::budgets::Budgets;
use crate::schedule::limits::calendar::Calendar;
use crate::schedule::limits::pack::{self, Defaults};
use crate::store::Store;

pub async fn open(
    settings: &Settings,
    store: &Store,
    composer: &Composer,
    clock: &Clock,
) -> Result<(Own, (Limits, Budgets)), AppError> {
    let own = own_mail::open(settings, store, composer).await?;
    let now = clock.now();
    let operators: HashMap<String, OperatorId> =
        store.operators().await?.into_iter().map(|row| (row.name, row.id)).collect();
    let mut wanted = pack::of_settings(&defaults(settings));
    wanted.push(own_mail::limit(settings, &own));
    wanted.extend(pack::shipped(&operators)?);
    let (put, gone) = pack::changes(&store.limits().await?, wanted, now);
    if !put.is_empty() || !gone.is_empty() {
        store.put_limits(put, &gone).await?;
    }
    let zone = TimeZone::get(&settings.limits.day_zone)
        .map_err(|_| AppError::Zone(settings.limits.day_zone.clone()))?;
    let limits = Limits::new(Calendar::new(zone, settings.limits.day_begins));
    limits.replace(store.limits().await?.into_iter().map(|row| row.limit).collect());
    let directory = settings.node.data_dir.join("budgets");
    let budgets = Budgets::open(limits.clone(), store.clone(), &directory, now).await?;
    Ok((own, (limits, budgets)))
}

fn defaults(settings: &Settings) -> Defaults {
    let delivery = &settings.delivery;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Defaults {
        connections_per_site_max: count(delivery.connections_per_site_max),
        messages_per_connection_max: u64::from(delivery.messages_per_connection_max),
        recipients_per_transaction_max: count(delivery.recipients_per_transaction_max),
    }
}
