//! Operators, and which site is whose.
//!
//! Owns:       the table `operators`, the making of sites.
//! Promises:   a name keeps its id for ever; a site has an operator from its first moment on, and
//!             one with a name does not fall back into the tail.
//! Knows not:  how an operator is recognized.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::*;

use super::changes::Change;
use super::database::Connection;
use super::dialect::{Column, Rows, Statement, int, text};
use super::error::{Result, StoreError};
use super::{Store, collect, ids};

/// How the operator of all the small ones is called.
const TAIL: &str = "tail";
const TAIL_ID: i64 = OperatorId::TAIL.0;

/// Whose a site is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorWish {
    pub name: String,
    /// False: the name counts when there is an operator of it; else the site is the tail's.
    pub make: bool,
}

/// A site and who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteAt {
    pub site: SiteId,
    pub operator: OperatorId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRow {
    pub id: OperatorId,
    pub name: String,
}

pub static OPERATORS: Statement = Statement::new("SELECT id, name FROM operators ORDER BY id");

pub static OPERATOR_BY_NAME: Statement = Statement::new("SELECT id FROM operators WHERE name = $1");

pub static INSERT_OPERATOR: Statement = Statement::new(
    "INSERT INTO operators (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
);

pub static SITE_BY_KEY: Statement = Statement::new(
    "SELECT s.id, COALESCE(s.operator, 1), o.name FROM sites s \
     LEFT JOIN operators o ON o.id = s.operator WHERE s.key = $1",
);

const SITE_COLUMNS: &[Column] = &[int("id"), text("key"), int("operator")];

/// `WHERE true` tells SQLite's parser that ON CONFLICT is no join.
pub static INSERT_SITES: Statement = Statement::with_rows(
    SITE_COLUMNS,
    "INSERT INTO sites (id, key, operator) SELECT id, key, operator FROM {rows} AS r WHERE true \
     ON CONFLICT (key) DO NOTHING",
);

pub static SITES_BY_KEY: Statement = Statement::with_rows(
    &[text("key")],
    "SELECT s.key, s.id, COALESCE(s.operator, 1) FROM {rows} AS r JOIN sites s ON s.key = r.key",
);

pub static OPERATORS_BY_NAME: Statement = Statement::with_rows(
    &[text("name")],
    "SELECT o.name, o.id FROM {rows} AS r JOIN operators o ON o.name = r.name",
);

pub static SET_OPERATOR: Statement = Statement::new("UPDATE sites SET operator = $2 WHERE id = $1");

pub static OPERATOR_OF_SITE: Statement =
    Statement::new("SELECT COALESCE(operator, 1) FROM sites WHERE id = $1");

#[cfg(test)]
pub static ALL: &[&Statement] = &[
    &OPERATORS,
    &OPERATOR_BY_NAME,
    &INSERT_OPERATOR,
    &SITE_BY_KEY,
    &INSERT_SITES,
    &SITES_BY_KEY,
    &OPERATORS_BY_NAME,
    &SET_OPERATOR,
    &OPERATOR_OF_SITE,
];

impl Store {
    /// The site with this key, made when there is none, and whose it is.
    pub async fn site(&self, key: &str, operator: &OperatorWish) -> Result<SiteAt> {
        if let Some((known, name)) = self.known_site(key).await?
            && (name == operator.name || !self.is_to_move(operator).await?)
        {
            return Ok(known);
        }
        let change = Change::Site { key: key.to_owned(), operator: operator.clone() };
        let site = SiteId(self.change(change).await?);
        let known = self.known_site(key).await?;
        Ok(known.map_or(SiteAt { site, operator: OperatorId::TAIL }, |(known, _)| known))
    }

    /// The wish can take a site out of the tail.
    async fn is_to_move(&self, wish: &OperatorWish) -> Result<bool> {
        let is_known =
            || async { self.read(&OPERATOR_BY_NAME, vec![wish.name.as_str().into()]).await };
        Ok(wish.name != TAIL && (wish.make || !is_known().await?.is_empty()))
    }

    async fn known_site(&self, key: &str) -> Result<Option<(SiteAt, String)>> {
        let rows = self.read(&SITE_BY_KEY, vec![key.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let at = SiteAt { site: SiteId(row.int(0)?), operator: OperatorId(row.int(1)?) };
        Ok(Some((at, row.maybe_text(2)?.unwrap_or_default())))
    }

    /// Who runs the site; the tail does when nothing is known of it.
    pub async fn operator_of_site(&self, site: SiteId) -> Result<OperatorId> {
        let rows = self.read(&OPERATOR_OF_SITE, vec![site.0.into()]).await?;
        rows.first().map_or(Ok(OperatorId::TAIL), |row| Ok(OperatorId(row.int(0)?)))
    }

    pub async fn operators(&self) -> Result<Vec<OperatorRow>> {
        collect(self.read(&OPERATORS, vec![]).await?, |row| {
            Ok(OperatorRow { id: OperatorId(row.int(0)?), name: row.text(1)? })
        })
    }

    /// Sees to it that there is an operator of each of these names.
    pub async fn ensure_operators(&self, names: impl Iterator<Item = &str>) -> Result<()> {
        let known = self.operators().await?;
        let is_new = |name: &&str| known.iter().all(|row| row.name != **name);
        let names: Vec<String> = names.filter(is_new).map(str::to_owned).collect();
        if !names.is_empty() {
            self.change(Change::Operators { names }).await?;
        }
        Ok(())
    }
}

/// The ids of sites by their keys, those that are new made together: a burst to many new domains
/// asks for hundreds at once. Another node may make the same site at the same moment: both are told
/// the same id.
pub(super) async fn sites(
    connection: &mut Connection,
    wishes: &BTreeMap<&str, &OperatorWish>,
) -> Result<HashMap<String, i64>> {
    let mut sites = HashMap::new();
    if wishes.is_empty() {
        return Ok(sites);
    }
    let operators = wished_operators(connection, wishes).await?;
    let operator = |key: &str| {
        let wish = wishes.get(key);
        wish.and_then(|wish| operators.get(wish.name.as_str())).copied().unwrap_or(TAIL_ID)
    };
    for (key, (id, now)) in sites_by_key(connection, wishes.keys().copied()).await? {
        let wished = operator(&key);
        if wished != now && wished != TAIL_ID {
            connection.execute(&SET_OPERATOR, vec![id.into(), wished.into()]).await?;
        }
        sites.insert(key, id);
    }
    let missing: Vec<&str> =
        wishes.keys().copied().filter(|key| !sites.contains_key(*key)).collect();
    if missing.is_empty() {
        return Ok(sites);
    }
    let count = i64::try_from(missing.len()).map_err(StoreError::broken_row)?;
    let first = ids::reserve(connection, "site", count).await?;
    let mut rows = Rows::new(connection.dialect(), SITE_COLUMNS);
    for (id, key) in (first..).zip(&missing) {
        rows.int(id).text(key).int(operator(key));
    }
    connection.execute(&INSERT_SITES, vec![rows.finish().into()]).await?;
    let made = sites_by_key(connection, missing.into_iter()).await?;
    sites.extend(made.into_iter().map(|(key, (id, _))| (key, id)));
    Ok(sites)
}

async fn sites_by_key(
    connection: &mut Connection,
    keys: impl Iterator<Item = &str>,
) -> Result<Vec<(String, (i64, i64))>> {
    let mut rows = Rows::new(connection.dialect(), SITES_BY_KEY.rows);
    for key in keys {
        rows.text(key);
    }
    let rows = connection.fetch(&SITES_BY_KEY, vec![rows.finish().into()]).await?;
    collect(rows, |row| Ok((row.text(0)?, (row.int(1)?, row.int(2)?))))
}

/// Each name is looked up once, however many sites wish for it.
async fn wished_operators<'a>(
    connection: &mut Connection,
    wishes: &BTreeMap<&str, &'a OperatorWish>,
) -> Result<HashMap<&'a str, i64>> {
    let mut names: BTreeMap<&'a str, bool> = BTreeMap::new();
    for wish in wishes.values() {
        *names.entry(wish.name.as_str()).or_default() |= wish.make;
    }
    let mut rows = Rows::new(connection.dialect(), OPERATORS_BY_NAME.rows);
    for name in names.keys() {
        rows.text(name);
    }
    let known = connection.fetch(&OPERATORS_BY_NAME, vec![rows.finish().into()]).await?;
    let known: HashMap<String, i64> =
        collect(known, |row| Ok((row.text(0)?, row.int(1)?)))?.into_iter().collect();
    let mut operators = HashMap::new();
    for (name, make) in names {
        match known.get(name) {
            Some(id) => {
                operators.insert(name, *id);
            }
            None if make => {
                operators.insert(name, insert(connection, name).await?);
            }
            None => {}
        }
    }
    Ok(operators)
}

async fn insert(connection: &mut Connection, name: &str) -> Result<i64> {
    let id = ids::reserve(connection, "operator", 1).await?;
    connection.execute(&INSERT_OPERATOR, vec![id.into(), name.into()]).await?;
    let made = connection.fetch(&OPERATOR_BY_NAME, vec![name.into()]).await?;
    made.first().map_or(Ok(id), |row| row.int(0))
}

pub(super) async fn make(connection: &mut Connection, names: &[String]) -> Result<i64> {
    for name in names {
        insert(connection, name).await?;
    }
    Ok(i64::try_from(names.len()).unwrap_or(i64::MAX))
}
