//! The limits that ship with this version, and those that the settings stand for.
//!
//! Owns:       the data file of large operators, and how it meets the rows of the ledger.
//! Promises:   a row that a person removed, changed or pinned stays as he left it; an operator that
//!             nobody knows is an error and not a row that never acts.
//! Knows not:  who runs which host; operators come by name.

use std::collections::HashMap;

use serde::Deserialize;

use crate::model::scope::span_of;
use crate::model::*;
use crate::store::LimitRow;

const PACK: &str = include_str!("pack.toml");

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PackError {
    #[error("the shipped limits cannot be read: {0}")]
    Unreadable(String),
    #[error("the shipped limit '{0}' has an operator that is not known: '{1}'")]
    UnknownOperator(String, String),
    #[error("the shipped limit '{0}': {1}")]
    Unlawful(String, String),
}

#[derive(Deserialize)]
struct Pack {
    limit: Vec<Shipped>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipped {
    name: String,
    operator: String,
    metric: String,
    value: u64,
    window: Option<String>,
    source: String,
    date: String,
}

/// What the settings say of every site alike.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    pub connections_per_site_max: u64,
    pub messages_per_connection_max: u64,
    pub recipients_per_transaction_max: u64,
}

/// The operators that shipped limits name.
pub fn operators() -> Result<Vec<String>, PackError> {
    let mut names: Vec<String> = read(PACK)?.into_iter().map(|row| row.operator).collect();
    names.dedup();
    Ok(names)
}

/// The shipped rows, with the ids of their operators; not yet with their own.
pub fn shipped(operators: &HashMap<String, OperatorId>) -> Result<Vec<LimitRow>, PackError> {
    read(PACK)?.into_iter().map(|row| row_of(row, operators)).collect()
}

fn read(text: &str) -> Result<Vec<Shipped>, PackError> {
    let pack: Pack =
        toml::from_str(text).map_err(|error| PackError::Unreadable(error.to_string()))?;
    Ok(pack.limit)
}

fn row_of(row: Shipped, operators: &HashMap<String, OperatorId>) -> Result<LimitRow, PackError> {
    let unlawful = |why: String| PackError::Unlawful(row.name.clone(), why);
    let operator = operators
        .get(&row.operator)
        .ok_or_else(|| PackError::UnknownOperator(row.name.clone(), row.operator.clone()))?;
    let metric = row.metric.parse().map_err(unlawful)?;
    let window = match &row.window {
        None => None,
        Some(text) => Some(span_of(text).ok_or_else(|| unlawful(format!("window '{text}'")))?),
    };
    let scope = LimitScope {
        from: FromScope::EachSource,
        to: ToScope::Operator(*operator),
        who: WhoScope::Everybody,
        class: None,
    };
    let limit = Limit {
        id: LimitId(0),
        scope,
        metric,
        value: row.value,
        window,
        pace: Pace::Fixed,
        origin: Origin::Pack,
        reason: format!("{} ({})", row.source, row.date),
        expires_at: None,
        pinned: false,
    };
    check(&limit).map_err(|why| PackError::Unlawful(row.name.clone(), why))?;
    Ok(LimitRow { limit, name: Some(row.name), created_at: Timestamp(0) })
}

/// The rows that the settings stand for.
pub fn of_settings(defaults: &Defaults) -> Vec<LimitRow> {
    let row = |setting: &str, to: ToScope, metric: Metric, value: u64| {
        let (from, who) = (FromScope::Installation, WhoScope::Everybody);
        let limit = Limit {
            id: LimitId(0),
            scope: LimitScope { from, to, who, class: None },
            metric,
            value,
            window: None,
            pace: Pace::Fixed,
            origin: Origin::Admin,
            reason: format!("delivery.{setting} in the settings"),
            expires_at: None,
            pinned: false,
        };
        let name = Some(format!("settings/{setting}"));
        LimitRow { limit, name, created_at: Timestamp(0) }
    };
    vec![
        row(
            "connections_per_site_max",
            ToScope::EachSite,
            Metric::Connections,
            defaults.connections_per_site_max,
        ),
        row(
            "messages_per_connection_max",
            ToScope::Anywhere,
            Metric::MessagesPerConnection,
            defaults.messages_per_connection_max,
        ),
        row(
            "recipients_per_transaction_max",
            ToScope::Anywhere,
            Metric::RecipientsPerMessage,
            defaults.recipients_per_transaction_max,
        ),
    ]
}

/// True for a row that stands for a setting: it is changed there.
pub fn is_setting(row: &LimitRow) -> bool {
    row.name.as_ref().is_some_and(|name| name.starts_with("settings/"))
}

/// What is to be written so that the ledger has the `wanted` rows: rows to put, and rows that no
/// version ships any more.
pub fn changes(
    known: &[LimitRow],
    wanted: Vec<LimitRow>,
    now: Timestamp,
) -> (Vec<LimitRow>, Vec<LimitId>) {
    let named = known.iter().filter_map(|row| Some((row.name.as_deref()?, row)));
    let by_name: HashMap<&str, &LimitRow> = named.collect();
    let is_wanted = |row: &&LimitRow| wanted.iter().any(|one| one.name == row.name);
    let gone = by_name.values().filter(|row| !is_wanted(row) && !row.limit.pinned);
    let gone = gone.map(|row| row.limit.id).collect();
    let mut put = Vec::new();
    for mut row in wanted.iter().cloned() {
        row.created_at = now;
        let Some(old) = row.name.as_deref().and_then(|name| by_name.get(name)) else {
            put.push(row);
            continue;
        };
        // An end that a person set stays: that is how a shipped row is removed.
        let is_kept = old.limit.pinned || (old.limit.expires_at.is_some() && !is_setting(&row));
        row.limit.id = old.limit.id;
        if !is_kept && row.limit != old.limit {
            put.push(row);
        }
    }
    (put, gone)
}

/// Why a limit can be no row; the texts are for people.
pub fn check(limit: &Limit) -> Result<(), String> {
    const VALUE_MAX: u64 = 1 << 40;
    let metric = limit.metric;
    let windowed = matches!(metric, Metric::Messages | Metric::NewConnections);
    if limit.value > VALUE_MAX {
        return Err(format!("a value of {} is no limit: leave it out", limit.value));
    }
    match limit.window {
        None if windowed => return Err(format!("{metric} need a window, such as 1s, 1h or 1d")),
        Some(_) if !windowed => return Err(format!("{metric} have no window")),
        Some(window) if window.is_zero() || window.as_secs() > 366 * 86_400 => {
            return Err("a window lasts from one second to a year".to_owned());
        }
        _ => {}
    }
    if limit.value == 0 && !windowed && metric != Metric::Connections {
        return Err(format!("{metric} must be one at least; stop connections instead"));
    }
    if let Pace::Spread { begins, ends } = limit.pace {
        let length = limit.window.unwrap_or_default();
        if length.as_secs() < 3600 || ends > length || begins >= ends {
            return Err("a spread lies inside a window of an hour or more".to_owned());
        }
    }
    if limit.reason.len() > 500 {
        return Err("a reason has at most 500 octets".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operators_of_pack() -> HashMap<String, OperatorId> {
        let names = operators().expect("the pack reads");
        names.into_iter().zip(1..).map(|(name, id)| (name, OperatorId(id))).collect()
    }

    #[test]
    fn every_shipped_limit_has_its_source_and_the_day_it_was_looked_up() {
        let rows = shipped(&operators_of_pack()).expect("the pack is lawful");
        let mut names: Vec<&str> = rows.iter().filter_map(|row| row.name.as_deref()).collect();
        for row in &rows {
            assert!(row.limit.reason.contains('.'), "{row:?}");
            assert!(row.limit.reason.ends_with(')') && row.limit.reason.contains("(20"), "{row:?}");
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "each has a name of its own");
    }

    #[test]
    fn an_operator_that_nobody_knows_is_an_error() {
        let error = shipped(&HashMap::new()).expect_err("it must not load");
        assert!(matches!(error, PackError::UnknownOperator(..)), "{error}");
    }

    #[test]
    fn the_operators_of_the_pack_are_those_that_hosts_are_known_by() {
        for name in operators().expect("the pack reads") {
            let known = crate::dns::listed_operators().iter().any(|one| one.name.as_str() == name);
            assert!(known, "{name}");
        }
    }

    #[test]
    fn what_a_person_removed_changed_or_pinned_stays() {
        let wanted = shipped(&operators_of_pack()).expect("the pack is lawful");
        let now = Timestamp::from_seconds(9);
        let (mut known, gone) = changes(&[], wanted.clone(), now);
        assert!(gone.is_empty() && known.len() == wanted.len());
        for (row, id) in known.iter_mut().zip(1..) {
            row.limit.id = LimitId(id);
        }
        assert_eq!(changes(&known, wanted.clone(), now), (Vec::new(), Vec::new()));
        known[0].limit.expires_at = Some(now);
        known[1].limit.pinned = true;
        known[1].limit.value += 1;
        known[2].limit.value += 1;
        let (put, gone) = changes(&known, wanted.clone(), now);
        assert_eq!(put.iter().map(|row| row.limit.id.0).collect::<Vec<_>>(), [3]);
        assert!(gone.is_empty());
        let (put, gone) = changes(&known, wanted[3..].to_vec(), now);
        assert!(put.is_empty());
        assert_eq!(gone.len(), 2, "no longer shipped; the pinned one stays");
    }
}
