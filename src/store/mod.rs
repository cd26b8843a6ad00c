//! The ledger: every row there is, in SQLite or in PostgreSQL, behind one batching writer.
//!
//! Owns:       all SQL, the migrations, the ids, the lock on the data directory.
//! Promises:   when a write returns, its transaction is on stable storage; a delivery's new state
//!             and the event that tells of it are in the same transaction.
//! Knows not:  rules. It keeps what it is told and says what it keeps.

mod audit; // who changed what
mod automation_lists; // ways through automations, read
mod automation_runs; // who is in which automation
mod automations; // automations and their versions
mod campaign_changes; // what may be changed of campaigns
mod campaign_progress; // how far campaigns are
mod campaign_reports; // what became of campaigns, read
mod campaigns; // campaigns, audiences, what was fed
mod changes; // the writer's rare jobs
mod checkpoint; // SQLite's log, copied home beside the writer
mod claims; // what is due where
mod classification; // own rules, answers that no rule knows
mod compaction; // bodies that move to another segment
mod contact_batch; // contacts written, many at once
mod contact_definitions; // fields, lists, tags, saved segments
mod contact_domains; // which domains become contacts
mod contact_facts; // the columns of fields
mod contacts; // contacts read
mod database; // connections and rows of either database
mod dialect; // one text of SQL for both
mod directory; // the lock on the data directory
mod domain_checks; // what checks of sending domains have found
mod engagement; // how warm contacts are, how mail to them fared
mod erasure; // what tells of a person goes, counts stay
mod error;
mod event_ids; // ids of events, how far readers may go
pub mod filter; // a question about contacts, compiled
mod handle; // the callers' side of the writer
mod health; // health windows
mod host_certificates; // how certificates of hosts stand
mod ids; // blocks of ids
mod imports; // how far imports have come
mod inbound_mails; // mail that came in
mod jobs;
mod late_signals; // what was said of mail after it was taken
mod ledger; // the statements of a batch
mod limits; // limits and budgets
mod list_forms; // what public forms of lists ask
mod lists; // lists, counts, bulk changes
mod media; // files of organizations
mod membership_days; // memberships counted, how lists grow
mod messages; // messages and their events
mod migrate;
mod narrow; // what lists are narrowed to
mod operators; // operators, and which site is whose
mod organizations; // organizations, streams, domains, keys, credentials
mod own_mail; // whom the daemon itself writes to
mod people; // users, members, invites, sessions
mod plan; // what a batch writes, decided before it is written
mod public_hosts; // where links in mail lead
mod readings; // opens and clicks of submitted mail
mod redaction; // what names a person in the audit log goes
mod retention; // mail that is over and old goes
mod returns; // what came back
mod routes; // where mail that comes in goes on to
mod rows;
#[cfg(test)]
pub mod samples; // rows for tests
mod search; // the message log
mod sites; // sites, segments, census
mod sources; // sources, pools and their rules
mod standings; // how the deliveries of a batch stand before it
mod steering; // rules that hold mail, traced recipients
mod stream_policies; // what streams do with suppressed addresses
mod suppressions; // addresses that are not written to
mod switches; // what submitted mail tells of its readers
mod tallies; // what became of campaigns, counted
mod templates; // templates, layouts, saved blocks
mod tenants; // changes to organizations, streams, credentials
mod themes; // how public pages look
mod tracking; // who opened and clicked is forgotten
mod transaction; // read, plan, write, commit
mod unreadable; // damaged rows, set aside
mod warmups; // warm-ups, what was answered, what was decided
mod webhooks; // endpoints told of events, and calls owed to them
mod writer; // the one task that writes

pub use audit::{AuditEntry, AuditFilter, AuditLine};
pub use automation_lists::{RunRow, StepCount};
pub use automation_runs::{Arrival, DueRun, NewRun, RunChange, RunContact, RunMove};
pub use automations::{AutomationChange, AutomationRow, NewVersion};
pub use campaign_changes::CampaignChange;
pub use campaign_progress::{CampaignCounts, CampaignRecipient, DAY, EndsRow, OpenRow, Recipients};
pub use campaign_reports::{DeferredRow, LinkRow, ReaderCounts, RecipientRow, TallyRow};
pub use campaigns::{CampaignRow, RecipeRow, SliceRow};
pub use changes::NewEvent;
pub use claims::{Claims, Skip};
pub use classification::{ClassificationChange, PastReply, StoredRule, UnclassifiedReply};
pub use compaction::BodyMove;
pub use contact_batch::{Consent, ContactBatch, ContactWrite, UpsertMode, Written};
pub use contact_definitions::{ContactChange, ListRow, SavedSegmentRow, TagRow};
pub use contact_domains::ContactDomains;
pub use contact_facts::Slots;
pub use contacts::{ConsentRow, ContactRow, Fared, MembershipRow};
pub use directory::lock;
pub use engagement::FaredOf;
pub use erasure::Erasure;
pub use error::{Result, StoreError};
pub use health::{
    CameBack, HealthChange, HealthFilter, HealthHour, HealthNews, HealthStanding, HealthSum,
};
pub use host_certificates::HostCertificate;
pub use imports::{ImportChange, ImportProgress, ImportRow};
pub use inbound_mails::InboundMailRow;
pub use jobs::*;
pub use late_signals::{Complaint, LateBounce};
pub use limits::{BudgetRow, LimitChange, LimitRow};
pub use list_forms::ListForm;
pub use media::MediaRow;
pub use membership_days::GrowthRow;
pub use narrow::Narrowed;
pub use operators::{OperatorRow, OperatorWish, SiteAt};
pub use people::{NewInvite, NewSession};
pub use retention::Aged;
pub use returns::{ReturnDomainRow, ReturnSubject, Returned, SoftBounce, SoftBounceRule};
pub use routes::{InboundCallRow, InboundRouteRow, RouteChange};
pub use rows::*;
pub use search::{FoundPage, Search};
pub use sources::{SourceChange, SourceGiven, SourceTables};
pub use stream_policies::StreamPolicy;
pub use suppressions::{
    AddressHash, NewSuppression, SUPPRESSIONS_PER_CHANGE_MAX, Stop, SuppressionFilter,
    SuppressionRow,
};
pub use tallies::{CountedEvent, CountedOf, Reading, Tally, TallyKey, Tracked, Uncounted};
pub use templates::{LayoutRow, SavedBlockRow, TemplateChange, TemplateRow};
pub use tenants::Keep;
pub use themes::ThemeRow;
pub use unreadable::Unreadable;
pub use warmups::{DecisionChange, Learnt, SourceHour, SourcePeak, WarmupDayRow, WarmupRow};
pub use webhooks::{CallEnd, CallRow, NewCall, Secret, WebhookChange, WebhookRow, WebhookSettings};

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::model::*;
use crate::token::Sealer;

use changes::{Change, RowWrite};
use database::{Database, Row, Value};
use dialect::{Dialect, Statement};
use handle::{Control, Handle, Reply};
use ids::{BLOCK_IDS, Block};
use unreadable::LeftOut;

/// Where the ledger lies.
#[derive(Clone, Debug)]
pub enum Location {
    /// `ledger.sqlite` in this directory; one daemon at a time.
    Sqlite(PathBuf),
    /// A `postgres://` URL. The directory still holds spool and outcome log.
    Postgres(String),
}

/// A cheap handle; all clones share one writer.
#[derive(Clone)]
pub struct Store(Arc<Inner>, Option<AuditLine>);

struct Inner {
    database: Database,
    /// None when opened to read.
    writer: Option<Handle>,
    clock: Option<Clock>,
    node: i64,
    epoch: i64,
    message_ids: Block,
    delivery_ids: Block,
    contact_ids: Block,
    /// One refill at a time, so that a block is not wasted for each waiting caller.
    refilling: tokio::sync::Mutex<()>,
    left_out: LeftOut,
    /// What seals encrypted fields; unset: nothing.
    sealer: OnceLock<Sealer>,
    /// How often this process has made suppressions.
    suppressions: AtomicU64,
    /// Some address has bounced softly.
    has_soft_bounces: AtomicBool,
    lock: Mutex<Option<File>>,
}

static PING: Statement = Statement::new("SELECT 1");
static SHOW_FSYNC: Statement = Statement::pair("SELECT 'on'", "SHOW fsync");
static SHOW_COMMIT: Statement = Statement::pair("SELECT 'on'", "SHOW synchronous_commit");

impl Store {
    /// Takes the directory's lock, runs the migrations, starts the writer.
    pub async fn open(location: &Location, node: i64, clock: Clock) -> Result<Store> {
        let lock = match location {
            Location::Sqlite(directory) => Some(directory::lock(directory)?),
            Location::Postgres(_) => None,
        };
        let database = Database::new(location, false)?;
        let mut connection = database.connect().await?;
        migrate::run(&mut connection).await?;
        warn_if_not_durable(&mut connection).await?;
        let values = vec![node.into(), clock.now().0.into()];
        let started = connection.fetch(&changes::START_NODE, values).await?;
        let epoch = started.first().map_or(Ok(1), |row| row.int(0))?;
        let writer = writer::start(database.clone(), connection, node, epoch, clock.clone());
        Ok(Store::new(database, Some(writer), Some(clock), (node, epoch), lock))
    }

    /// Reads only, beside a running daemon: no lock, no migration, no writer. As node 1.
    pub async fn open_to_read(location: &Location) -> Result<Store> {
        let database = Database::new(location, true)?;
        let store = Store::new(database, None, None, (1, 0), None);
        store.ping().await?;
        Ok(store)
    }

    fn new(
        database: Database,
        writer: Option<Handle>,
        clock: Option<Clock>,
        (node, epoch): (i64, i64),
        lock: Option<File>,
    ) -> Store {
        let inner = Inner {
            database,
            writer,
            clock,
            node,
            epoch,
            message_ids: Block::default(),
            delivery_ids: Block::default(),
            contact_ids: Block::default(),
            refilling: tokio::sync::Mutex::new(()),
            left_out: LeftOut::default(),
            sealer: OnceLock::new(),
            suppressions: AtomicU64::new(0),
            has_soft_bounces: AtomicBool::new(false),
            lock: Mutex::new(lock),
        };
        Store(Arc::new(inner), None)
    }

    /// Waits for all that was handed in, then closes. Later writes answer `Unavailable`.
    pub async fn close(&self) {
        // The readers go first: SQLite copies its log home when its last connection closes, and a
        // reader's may not write.
        self.0.database.close().await;
        if let Some(writer) = &self.0.writer {
            writer.close().await;
        }
        drop(self.0.lock.lock().take());
    }

    /// Returns once the writer is gone, be it by `close` or by a panic: nothing can be accepted or
    /// settled without it. Never returns where there is none.
    pub async fn writer_ended(&self) {
        match &self.0.writer {
            None => std::future::pending().await,
            Some(writer) => writer.ended().await,
        }
    }

    /// Claims are rows of the ledger (PostgreSQL), not only in the memory of one node (SQLite).
    pub fn leases_claims(&self) -> bool {
        self.0.database.dialect() == Dialect::Postgres
    }

    /// Whoever reads and writes contacts seals by it; the first call wins.
    pub fn seal_by(&self, sealer: Sealer) {
        if self.0.sealer.set(sealer).is_err() {
            tracing::warn!("the store knows already what seals encrypted fields");
        }
    }

    /// One without keys where none was given.
    pub fn sealer(&self) -> Sealer {
        self.0.sealer.get().cloned().unwrap_or_default()
    }

    /// One round trip; what `/health` asks.
    pub async fn ping(&self) -> Result<()> {
        self.0.database.fetch_one(&PING, vec![]).await?;
        Ok(())
    }

    /// An id for a message; from memory in the usual case.
    pub async fn message_id(&self) -> Result<MessageId> {
        Ok(MessageId(self.take_ids(&self.0.message_ids, "message", 1).await?))
    }

    /// `count` consecutive ids; the first is returned.
    pub async fn delivery_ids(&self, count: usize) -> Result<DeliveryId> {
        let count = i64::try_from(count).map_err(StoreError::broken_row)?;
        Ok(DeliveryId(self.take_ids(&self.0.delivery_ids, "delivery", count).await?))
    }

    /// `count` consecutive ids; the first is returned.
    pub async fn contact_ids(&self, count: usize) -> Result<ContactId> {
        let count = i64::try_from(count).map_err(StoreError::broken_row)?;
        Ok(ContactId(self.take_ids(&self.0.contact_ids, "contact", count).await?))
    }

    async fn take_ids(&self, block: &Block, name: &'static str, count: i64) -> Result<i64> {
        if let Some(first) = block.take(count) {
            return Ok(first);
        }
        let _refilling = self.0.refilling.lock().await;
        if let Some(first) = block.take(count) {
            return Ok(first);
        }
        let more = BLOCK_IDS.max(count);
        let first = self.change(Change::ReserveIds { name, count: more }).await?;
        // What is asked for comes first: others may empty the block at once.
        block.refill(first + count, more - count);
        Ok(first)
    }

    /// Returns once the message, its deliveries and its event are on stable storage.
    /// `Duplicate("messages_idempotency_key")` when the key was used before, and
    /// `Duplicate("messages_id")` when this very message is in the ledger already: after an
    /// `Unavailable` it may or may not be.
    pub async fn enqueue(&self, job: Enqueue) -> Result<()> {
        if job.deliveries.is_empty() {
            return Err(StoreError::Refused("a message without deliveries".to_owned()));
        }
        self.ask(&self.writer()?.accepts, |reply| (Box::new(job), reply)).await
    }

    /// One answer for each settlement, in their order.
    pub async fn settle(&self, group: SettleGroup) -> Result<Vec<Settled>> {
        if group.report.as_ref().is_some_and(|report| report.deliveries.is_empty()) {
            return Err(StoreError::Refused("a report without deliveries".to_owned()));
        }
        self.ask(&self.writer()?.settles, |reply| (group, reply)).await
    }

    /// Something that happened, about no mail.
    pub async fn record_event(&self, event: NewEvent) -> Result<()> {
        self.change(Change::Event(Box::new(event))).await.map(drop)
    }

    /// The answer is what the first statement changed.
    async fn write(&self, writes: Vec<RowWrite>) -> Result<i64> {
        self.change(Change::Rows(writes)).await
    }

    /// One id, for what is made seldom.
    async fn reserve_id(&self, name: &'static str) -> Result<i64> {
        self.change(Change::ReserveIds { name, count: 1 }).await
    }

    /// One answer for each row, in their order; all are written or none.
    pub async fn write_contacts(&self, batch: ContactBatch) -> Result<Vec<Written>> {
        let line = self.line();
        self.ask(&self.writer()?.bulks, |reply| (Box::new(batch), line, reply)).await
    }

    async fn change(&self, change: Change) -> Result<i64> {
        let change = match self.line().filter(|_| change.is_ordered()) {
            Some(line) => Change::Audited(Box::new(change), line, self.now()),
            None => change,
        };
        self.ask(&self.writer()?.controls, |reply| Control::Change(change, reply)).await
    }

    /// Hands a job to the writer and waits for its answer. The writer answers within its own
    /// deadlines whatever the database does.
    async fn ask<J, T>(
        &self,
        channel: &mpsc::Sender<J>,
        job: impl FnOnce(Reply<T>) -> J,
    ) -> Result<T> {
        let gone = || StoreError::Unavailable("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        channel.send(job(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn writer(&self) -> Result<&Handle> {
        let refused = || StoreError::Refused("the store was opened to read".to_owned());
        self.0.writer.as_ref().ok_or_else(refused)
    }

    async fn read(&self, statement: &Statement, values: Vec<Value>) -> Result<Vec<Row>> {
        self.0.database.fetch(statement, values).await
    }

    fn database(&self) -> &Database {
        &self.0.database
    }

    fn now(&self) -> Timestamp {
        self.0.clock.as_ref().map_or(Timestamp::default(), Clock::now)
    }

    fn left_out(&self) -> &LeftOut {
        &self.0.left_out
    }

    fn node(&self) -> i64 {
        self.0.node
    }

    fn epoch(&self) -> i64 {
        self.0.epoch
    }
}

/// P1: a `250` is worth what the server's settings make of it.
async fn warn_if_not_durable(connection: &mut database::Connection) -> Result<()> {
    if connection.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    for (setting, statement) in [("fsync", &SHOW_FSYNC), ("synchronous_commit", &SHOW_COMMIT)] {
        let rows = connection.fetch(statement, vec![]).await?;
        let value = rows.first().map_or(Ok(String::new()), |row| row.text(0))?;
        // `local` still waits for this server's own disk.
        if !matches!(value.as_str(), "on" | "local" | "remote_write" | "remote_apply") {
            tracing::warn!(
                setting,
                value,
                "PostgreSQL may lose accepted mail in a power cut: set it to 'on'"
            );
        }
    }
    Ok(())
}

fn collect<T>(rows: Vec<Row>, read: impl FnMut(&Row) -> Result<T>) -> Result<Vec<T>> {
    rows.iter().map(read).collect()
}

/// Every statement there is.
#[cfg(test)]
fn statements() -> Vec<&'static Statement> {
    let mut all =
        vec![&PING, &SHOW_FSYNC, &SHOW_COMMIT, &ledger::STANDINGS, &checkpoint::CHECKPOINT];
    all.extend(ledger::BATCH);
    all.extend([&ledger::BEGIN, &ledger::COMMIT, &ledger::ROLLBACK]);
    all.extend(audit::ALL);
    all.extend(own_mail::ALL);
    all.extend(steering::ALL);
    all.extend(people::ALL);
    all.extend(automations::ALL);
    all.extend(automation_lists::ALL);
    all.extend(automation_runs::ALL);
    all.extend(tenants::ALL);
    all.extend(campaign_progress::ALL);
    all.extend(campaign_reports::ALL);
    all.extend(campaigns::ALL);
    all.extend(changes::ALL);
    all.extend(claims::ALL);
    all.extend(classification::ALL);
    all.extend(contact_batch::ALL);
    all.extend(contact_definitions::ALL);
    all.extend(contacts::ALL);
    all.extend(imports::ALL);
    all.extend(inbound_mails::ALL);
    all.extend(domain_checks::ALL);
    all.extend(engagement::ALL);
    all.extend(erasure::ALL);
    all.extend(event_ids::ALL);
    all.extend(tallies::ALL);
    all.extend(tracking::ALL);
    all.extend(templates::ALL);
    all.extend(compaction::ALL);
    all.extend([&unreadable::OWED_AFTER, &unreadable::STATELESS]);
    all.extend(limits::ALL);
    all.extend(media::ALL);
    all.extend(membership_days::ALL);
    all.extend(messages::ALL);
    all.extend(operators::ALL);
    all.extend(organizations::ALL);
    all.extend(readings::ALL);
    all.extend(redaction::ALL);
    all.extend(retention::ALL);
    all.extend(returns::ALL);
    all.extend(stream_policies::ALL);
    all.extend(switches::ALL);
    all.extend(themes::ALL);
    all.extend(list_forms::ALL);
    all.extend(contact_domains::ALL);
    all.extend(public_hosts::ALL);
    all.extend(host_certificates::ALL);
    all.extend(routes::ALL);
    all.extend(search::ALL);
    all.extend(sites::ALL);
    all.extend(sources::ALL);
    all.extend(health::ALL);
    all.extend(late_signals::ALL);
    all.extend(warmups::ALL);
    all.extend(webhooks::ALL);
    all.extend(suppressions::ALL);
    for source in [&lists::COUNT, &lists::LIST, &lists::TO_STEER] {
        all.extend(source.all());
    }
    all.push(&lists::DELIVERIES_OF_MESSAGE);
    all.push(&lists::LAST_DELIVERY);
    all.push(&lists::WAITING_OF_CAMPAIGN);
    all.push(&lists::WAITING_UNTIL);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqlSafeStr as _};

    use super::*;

    /// A migrated SQLite ledger of its own; the directory goes with the value.
    async fn sqlite() -> (sqlx::SqliteConnection, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let location = Location::Sqlite(directory.path().to_owned());
        let store = Store::open(&location, 1, Clock::standing(1)).await.expect("it opens");
        store.close().await;
        let file = directory.path().join("ledger.sqlite");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let connection = sqlx::SqliteConnection::connect_with(&options).await;
        (connection.expect("a connection"), directory)
    }

    /// A migrated PostgreSQL ledger in a database of that name; None, loudly, without a server.
    async fn postgres(name: &str) -> Option<sqlx::PgConnection> {
        let Ok(server) = std::env::var("POSTROAD_TEST_POSTGRES") else {
            eprintln!("\n*** SKIPPED ON POSTGRESQL: POSTROAD_TEST_POSTGRES is not set ***\n");
            return None;
        };
        let name = format!("{name}_{}", std::process::id());
        let mut connection = sqlx::PgConnection::connect(&server).await.expect("a server");
        for sql in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            connection.execute(AssertSqlSafe(sql)).await.expect("the server obeys");
        }
        let url = format!("{}/{name}", server.rsplit_once('/').expect("a URL").0);
        let location = Location::Postgres(url.clone());
        let store = Store::open(&location, 1, Clock::standing(1)).await.expect("it opens");
        store.close().await;
        Some(sqlx::PgConnection::connect(&url).await.expect("a connection"))
    }

    #[tokio::test]
    async fn every_statement_can_be_prepared_on_sqlite() {
        let (mut connection, _directory) = sqlite().await;
        for statement in statements() {
            let sql = statement.sql(Dialect::Sqlite);
            let prepared = (&mut connection).prepare(sql).await.map(|_| ());
            prepared.unwrap_or_else(|error| panic!("{error}: {statement:?}"));
        }
        let prepared = (&mut connection).prepare(transaction::whole_batch()).await.map(|_| ());
        prepared.expect("the batch as one text");
    }

    #[tokio::test]
    async fn every_statement_can_be_prepared_on_postgres() {
        let Some(mut connection) = postgres("prepare").await else { return };
        for statement in statements() {
            let sql = statement.sql(Dialect::Postgres);
            let prepared = (&mut connection).prepare(sql).await.map(|_| ());
            prepared.unwrap_or_else(|error| panic!("{error}: {statement:?}"));
        }
    }

    type Schema = BTreeMap<String, String>;

    /// Columns with type and NULL, and indexes with their columns in order.
    async fn schema_of_sqlite() -> Schema {
        let (mut connection, _directory) = sqlite().await;
        let columns = "SELECT m.name || '.' || c.name, lower(c.type) || ' ' || c.\"notnull\" \
             FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' \
             AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\' \
             UNION ALL SELECT 'index ' || m.name, group_concat(i.name, ',') \
             FROM sqlite_schema m, pragma_index_info(m.name) i WHERE m.type = 'index' \
             AND m.sql IS NOT NULL GROUP BY m.name";
        let rows = sqlx::query(columns).fetch_all(&mut connection).await.expect("a schema");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn schema_of_postgres() -> Option<Schema> {
        let mut connection = postgres("schema").await?;
        let columns = "SELECT table_name || '.' || column_name, \
             replace(data_type, 'bigint', 'integer') || ' ' || \
             CASE is_nullable WHEN 'NO' THEN '1' ELSE '0' END \
             FROM information_schema.columns WHERE table_schema = 'public' \
             AND table_name NOT LIKE '\\_sqlx%' \
             UNION ALL SELECT 'index ' || i.relname, string_agg(a.attname, ',' ORDER BY a.attnum) \
             FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
             JOIN pg_attribute a ON a.attrelid = i.oid JOIN pg_namespace n \
             ON n.oid = i.relnamespace AND n.nspname = 'public' \
             WHERE NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid) \
             GROUP BY i.relname";
        let rows = sqlx::query(columns).fetch_all(&mut connection).await.expect("a schema");
        Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    #[tokio::test]
    async fn both_databases_have_the_same_schema() {
        let Some(postgres) = schema_of_postgres().await else { return };
        let sqlite = schema_of_sqlite().await;
        assert!(sqlite.len() > 90, "{}", sqlite.len());
        for (name, column) in &sqlite {
            assert_eq!(postgres.get(name), Some(column), "{name}");
        }
        assert_eq!(sqlite.len(), postgres.len());
    }

    #[tokio::test]
    async fn no_read_of_the_queue_walks_the_whole_table() {
        let (mut connection, _directory) = sqlite().await;
        let mut walked: Vec<&Statement> = vec![
            &ledger::STANDINGS,
            &ledger::MOVE,
            &claims::FLOWS,
            &claims::BACKLOGS,
            &claims::DUE_IN_FLOW,
            &claims::NEXT_IN_FLOW,
            &claims::NEXT_LEASE_END,
            &claims::HELD_PAST,
            &compaction::OLD_BODIES,
            &compaction::MOVE_BODIES,
            &claims::DELIVERIES_BY_ID,
            &messages::MESSAGES_BY_ID,
            &messages::BY_IDEMPOTENCY_KEY,
            &messages::EVENTS_OF_MESSAGE,
            &sites::OWED_BODIES,
            &search::BY_IDS,
            &search::WALK,
            &search::LAST_OF_HOURS,
            &messages::EVENTS_AFTER,
        ];
        walked.extend(INDEXED.map(|(statement, _)| statement));
        for source in [&lists::COUNT, &lists::LIST, &lists::TO_STEER] {
            walked.extend(&source.all()[1..]);
        }
        for statement in walked {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement.render(Dialect::Sqlite, 1));
            let sql = AssertSqlSafe(sql).into_sql_str();
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("a plan");
            for row in rows {
                let step: String = row.get("detail");
                let is_walk = ["SCAN deliveries", "SCAN messages", "SCAN d", "SCAN m", "SCAN n"]
                    .iter()
                    .any(|walk| step == *walk);
                assert!(!is_walk, "{step}: {statement:?}");
            }
        }
    }

    /// A list in a parameter is text: whoever looks into it for each row of a table reads all of it
    /// again each time. (id, parent, step) as SQLite plans.
    fn reads_a_list_again(steps: &[(i64, i64, String)]) -> bool {
        let is_loop = |step: &str| step.starts_with("SCAN ") || step.starts_with("SEARCH ");
        steps.iter().enumerate().any(|(at, (_, parent, step))| {
            let within = |step: &str, of: i64| {
                let mut before = steps[..at].iter().filter(|(_, parent, _)| *parent == of);
                is_loop(step) && before.any(|(_, _, other)| is_loop(other))
            };
            let is_correlated = steps
                .iter()
                .any(|(id, _, around)| id == parent && around.starts_with("CORRELATED"));
            step.contains("VIRTUAL TABLE") && (within(step, *parent) || is_correlated)
        })
    }

    #[tokio::test]
    async fn no_list_in_a_parameter_is_read_once_for_each_row() {
        let (mut connection, _directory) = sqlite().await;
        let mut again = Vec::new();
        // An organization has few automations, and mostly none.
        let few = [&contact_batch::ARRIVE_BY_LIST, &contact_batch::ARRIVE_BY_TAG];
        let is_few = |one: &&Statement| few.iter().any(|few| std::ptr::eq(*few, *one));
        for statement in statements().into_iter().filter(|one| !is_few(one)) {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement.render(Dialect::Sqlite, 1));
            let sql = AssertSqlSafe(sql).into_sql_str();
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("a plan");
            let step = |row: &sqlx::sqlite::SqliteRow| (row.get(0), row.get(1), row.get("detail"));
            let steps: Vec<(i64, i64, String)> = rows.iter().map(step).collect();
            if reads_a_list_again(&steps) {
                again.push(format!("{}\n{steps:#?}", statement.render(Dialect::Sqlite, 1)));
            }
        }
        assert!(again.is_empty(), "{}: {}", again.len(), again.join("\n\n"));
    }

    /// Tables that grow with mail or with contacts.
    const GROWING: [&str; 14] = [
        "messages",
        "deliveries",
        "events",
        "contacts",
        "contact_facts",
        "contact_tags",
        "memberships",
        "consents",
        "suppressions",
        "campaign_readers",
        "campaign_tallies",
        "inbound_mails",
        "automation_runs",
        "webhook_calls",
    ];

    /// Partial indexes of what is owed: a walk of one ends with the queue, however much was sent.
    const OWED: [&str; 3] = ["deliveries_waiting", "deliveries_leased", "deliveries_held_until"];

    /// Who walks one of them without a bound, and why that may be.
    fn walkers_of_what_is_owed() -> Vec<(&'static Statement, &'static str)> {
        let mut all = vec![
            (&steering::COUNT_WOULD_HOLD, "a person asks what a rule would hold"),
            (&steering::SOME_WOULD_HOLD, "a person asks whom a rule would hold"),
            (&domain_checks::IS_OWED, "a person removes a domain"),
            (&warmups::WAITING_BY_OPERATOR, "a person asks for a forecast"),
        ];
        let lists = [&lists::COUNT, &lists::LIST, &lists::TO_STEER];
        let parts = lists.iter().flat_map(|list| list.all());
        all.extend(parts.map(|part| (part, "a person narrows it down by what no index has")));
        all
    }

    /// At the start, and in checks that a person asks for.
    const WALKS: [&Statement; 2] = [&sites::CENSUS, &unreadable::STATELESS];

    #[tokio::test]
    async fn no_read_walks_what_grows_without_end() {
        let (mut connection, _directory) = sqlite().await;
        let (mut walks, walkers) = (Vec::new(), walkers_of_what_is_owed());
        for statement in statements() {
            let sql = statement.render(Dialect::Sqlite, 1);
            let may_walk = WALKS.iter().any(|known| std::ptr::eq(*known, statement));
            if !sql.starts_with("SELECT") || may_walk {
                continue;
            }
            let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")).into_sql_str();
            let rows = sqlx::query(explained).fetch_all(&mut connection).await.expect("a plan");
            for row in rows {
                let step: String = row.get("detail");
                let Some(walk) = step.strip_prefix("SCAN ") else { continue };
                // By an index it may still be all of the table.
                let (name, by) = walk.split_once(" USING ").unwrap_or((walk, ""));
                let is_owed = OWED.iter().any(|index| by.ends_with(&format!("INDEX {index}")));
                if is_owed && walkers.iter().any(|(known, _)| std::ptr::eq(*known, statement)) {
                    continue;
                }
                let is_growing = |table: &&&str| {
                    name == **table
                        || sql.contains(&format!(" {table} AS {name} "))
                        || sql.contains(&format!(" {table} {name} "))
                };
                if let Some(table) = GROWING.iter().find(is_growing) {
                    walks.push(format!("{table}: {step}: {sql}"));
                }
            }
        }
        assert!(walks.is_empty(), "{}", walks.join("\n"));
    }

    /// Reads of what grows without end, each with the index it must walk, and by which keys.
    const INDEXED: [(&Statement, &str); 17] = [
        (&claims::FLOWS, "deliveries_waiting (site=? AND organization=? AND stream=? AND rank>?)"),
        (&claims::FLOWS, "deliveries_waiting (site=? AND organization=? AND stream>?)"),
        (&claims::FLOWS, "deliveries_waiting (site=? AND organization>?)"),
        (
            &claims::BACKLOGS,
            "deliveries_waiting (site=? AND organization=? AND stream=? AND rank>?)",
        ),
        (&claims::BACKLOGS, "deliveries_waiting (site>?)"),
        (&search::BY_SENDER, "messages_hour_sender (hour=? AND sender=?)"),
        (&search::BY_MESSAGE_ID, "messages_hour_message_id (hour=? AND message_id_header=?)"),
        (&search::BY_TAG, "messages_hour_tag (hour=? AND tag=?)"),
        (&search::BY_RECIPIENT, "deliveries_hour_recipient (hour=? AND recipient=?)"),
        (
            &messages::EVENTS_OF_ORGANIZATION,
            "events_organization (organization=? AND id>? AND id<?)",
        ),
        (&audit::AUDIT_OF, "audit_organization (organization=? AND id<?)"),
        (&people::ROLES_OF, "members_organizations (member=?)"),
        (&membership_days::LIST_GROWTH, "membership_days USING PRIMARY KEY (list=?)"),
        (&membership_days::MEMBER_COUNTS, "d USING PRIMARY KEY (list=?)"),
        (&campaign_progress::CAMPAIGN_COUNTS, "f USING PRIMARY KEY (campaign=?)"),
        (
            &campaign_progress::CAMPAIGN_COUNTS,
            "d USING COVERING INDEX deliveries_campaign (campaign=? AND state=?)",
        ),
        (&campaign_progress::CAMPAIGN_COUNTS, "t USING PRIMARY KEY (campaign=?)"),
    ];

    #[tokio::test]
    async fn every_search_walks_its_index() {
        let (mut connection, _directory) = sqlite().await;
        for (statement, index) in INDEXED {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement.render(Dialect::Sqlite, 1));
            let sql = AssertSqlSafe(sql).into_sql_str();
            let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("a plan");
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let walks = steps.iter().any(|step| step.contains(index));
            assert!(walks, "{index} is not walked: {steps:#?}");
        }
    }
}
