//! The schema's history, embedded in the program and brought up to date at start.
//!
//! Owns:       the list of migrations; the same numbers and names for both databases.
//! Promises:   a started daemon finds the schema it was built for, or refuses to start.
//! Knows not:  what the tables are for.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlStr};

use super::database::Connection;
use super::dialect::Dialect;
use super::error::Result;

macro_rules! migrations {
    ($(($number:literal, $name:literal),)*) => {
        fn all(dialect: Dialect) -> Vec<Migration> {
            vec![$(migration($number, $name, match dialect {
                Dialect::Sqlite => {
                    include_str!(concat!("../../migrations/sqlite/", $name, ".sql")).into_sql_str()
                }
                Dialect::Postgres => {
                    include_str!(concat!("../../migrations/postgres/", $name, ".sql"))
                        .into_sql_str()
                }
            }),)*]
        }
    };
}

migrations! {
    (1, "0001_ledger"),
    (2, "0002_fresh_mail"),
    (3, "0003_limits"),
    (4, "0004_sources"),
    (5, "0005_classification"),
    (6, "0006_warmup"),
    (7, "0007_suppressions"),
    (8, "0008_control"),
    (9, "0009_webhooks"),
    (10, "0010_contacts"),
    (11, "0011_imports"),
    (12, "0012_templates"),
    (13, "0013_pools"),
    (14, "0014_complaints"),
    (15, "0015_bounces"),
    (16, "0016_rule_recipients"),
    (20, "0020_returns"),
    (21, "0021_routes"),
    (22, "0022_stream_policies"),
    (23, "0023_health"),
    (24, "0024_list_suppressions"),
    (25, "0025_return_checks"),
    (26, "0026_event_ids"),
    (30, "0030_campaigns"),
    (31, "0031_readers"),
    (35, "0035_automations"),
    (36, "0036_engagement"),
    (37, "0037_preparing"),
    (38, "0038_media"),
    (39, "0039_tracking"),
    (40, "0040_postal"),
    (41, "0041_capture"),
    (42, "0042_domains"),
    (43, "0043_streams"),
    (44, "0044_retention"),
    (45, "0045_own_mail"),
    (46, "0046_steering"),
    (47, "0047_submitted_tracking"),
    (48, "0048_encrypted_fields"),
    (49, "0049_public_pages"),
    (50, "0050_host_certificates"),
    (51, "0051_list_forms"),
    (52, "0052_contact_domains"),
    (60, "0060_documents"),
    (61, "0061_membership_days"),
}

fn migration(number: i64, name: &'static str, sql: SqlStr) -> Migration {
    Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, sql, false)
}

/// Applies what is missing. A database of a newer program is refused, not guessed at.
pub async fn run(connection: &mut Connection) -> Result<()> {
    let migrator = Migrator::with_migrations(all(connection.dialect()));
    match connection {
        Connection::Sqlite(connection) => migrator.run_direct(None, connection, false).await?,
        Connection::Postgres(connection) => migrator.run_direct(None, connection, false).await?,
    }
    Ok(())
}
