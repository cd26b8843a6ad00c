//! The ledger's promises, on SQLite and on PostgreSQL alike.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use postroad::clock::Clock;
use postroad::model::*;
use postroad::store::*;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::support::{PATIENCE, mail};

/// A ledger of its own for one test.
struct Ledger {
    location: Location,
    clock: Clock,
    store: Store,
    _directory: tempfile::TempDir,
}

impl Ledger {
    async fn sqlite() -> Option<Ledger> {
        let directory = tempfile::tempdir().expect("a directory");
        let location = Location::Sqlite(directory.path().join("ledger"));
        Some(Ledger::open(location, directory).await)
    }

    /// None, loudly, when no server is named.
    async fn postgres() -> Option<Ledger> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("POSTROAD_TEST_POSTGRES") else {
            eprintln!(
                "\n*** SKIPPED ON POSTGRESQL: set POSTROAD_TEST_POSTGRES=\"$(scripts/postgres \
                 start)\" ***\n"
            );
            return None;
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        administer(&server, &format!("DROP DATABASE IF EXISTS {name}")).await;
        administer(&server, &format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').expect("a URL with a database");
        let directory = tempfile::tempdir().expect("a directory");
        Some(Ledger::open(Location::Postgres(format!("{base}/{name}")), directory).await)
    }

    async fn open(location: Location, directory: tempfile::TempDir) -> Ledger {
        let clock = Clock::standing(1);
        let store = Store::open(&location, 1, clock.clone()).await.expect("the store opens");
        Ledger { location, clock, store, _directory: directory }
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store =
            Store::open(&self.location, 1, self.clock.clone()).await.expect("it opens again");
    }

    /// A site of this key, and whose it is.
    async fn site(&self, key: &str, operator: &str, make: bool) -> (SiteId, OperatorId) {
        let wish = OperatorWish { name: operator.to_owned(), make };
        let at = self.store.site(key, &wish).await.expect("a site");
        (at.site, at.operator)
    }

    /// A message to these recipients, waiting at site 7, not taken by anybody.
    async fn mail(&self, recipients: &[&str]) -> Enqueue {
        let id = self.store.message_id().await.expect("an id");
        let first = self.store.delivery_ids(recipients.len()).await.expect("ids");
        let message = MessageRow {
            credential: Some(CredentialId(3)),
            eight_bit: true,
            dsn_return: Some(DsnReturn::Headers),
            dsn_envelope_id: Some("QQ+314".to_owned()),
            message_id_header: "1@sender.example".to_owned(),
            subject: "Grüße \"an\" \\ alle\t🦀".to_owned(),
            tag: Some("welcome".to_owned()),
            metadata: Some("{\"order\":7}".to_owned()),
            body: BodyRef { segment: SegmentId(4), offset: 4096, length: 1000 },
            ..mail::message(id, "\"odd \\\"one\"@sender.example", self.clock.now())
        };
        let deliveries = (first.0..).zip(recipients).map(|(id, recipient)| NewDelivery {
            id: DeliveryId(id),
            recipient: Recipient::new(recipient.parse().expect("lawful")),
            site: SiteId(7),
            claimed: false,
            contact: None,
            score: 0,
        });
        Enqueue { message, deliveries: deliveries.collect(), slice: None, line: None }
    }

    async fn accept(&self, recipients: &[&str]) -> Enqueue {
        let mail = self.mail(recipients).await;
        self.store.enqueue(mail.clone()).await.expect("it is accepted");
        mail
    }

    async fn claim(&self, limit: usize) -> Vec<ClaimedDelivery> {
        self.store
            .claim(SiteId(7), TakeOrder::Due, (self.clock.now(), limit), &[], &|_| false)
            .await
            .expect("a claim")
            .deliveries
    }

    fn step(&self, delivery: DeliveryId, step: Step, tries: u32) -> Settle {
        Settle {
            delivery,
            site: None,
            step,
            tries,
            counted: !matches!(step, Step::Expire | Step::Hold | Step::Cancel),
            due: self.clock.now() + Duration::from_secs(300),
            text: "250 2.0.0 as you like".to_owned(),
            blame: (step != Step::Deliver).then_some(Blame::Host),
            answer_not_seen: false,
            delay_reported: false,
            fields: serde_json::json!({ "host": "mx.example", "reply": "a\r\nb\u{1b}" }),
            pin: None,
            at: self.clock.now(),
        }
    }

    async fn settle(&self, delivery: DeliveryId, step: Step, tries: u32) -> Settled {
        let settlements = vec![self.step(delivery, step, tries)];
        let group = SettleGroup { settlements, report: None };
        self.store.settle(group).await.expect("it is settled")[0]
    }

    async fn state_of(&self, delivery: DeliveryId) -> State {
        self.store.deliveries_by_id(&[delivery]).await.expect("a read")[0].0
    }

    async fn kinds(&self, message: MessageId) -> Vec<EventKind> {
        let events = self.store.events_of_message(message, 100).await.expect("events");
        events.iter().map(|event| event.kind).collect()
    }

    async fn live(&self) -> (u64, u64) {
        let segments = self.store.segments().await.expect("segments");
        segments.first().map_or((0, 0), |segment| (segment.live_bytes, segment.live_bodies))
    }

    async fn steer(&self, action: SteerAction, filter: DeliveryFilter, limit: u32) -> u64 {
        let reason = "somebody said so".to_owned();
        let at = self.clock.now();
        let job = Steer { filter, action, reason, at, due: at, limit };
        self.store.steer(job).await.expect("it is steered")
    }

    /// By another hand than the store's.
    async fn sql(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.location {
            Location::Sqlite(directory) => {
                let file = directory.join("ledger.sqlite");
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
                let mut hand = sqlx::SqliteConnection::connect_with(&options).await.expect("open");
                hand.execute(sql).await.expect("it obeys");
                hand.close().await.expect("closed");
            }
            Location::Postgres(url) => {
                let mut hand = sqlx::PgConnection::connect(url).await.expect("open");
                hand.execute(sql).await.expect("it obeys");
                hand.close().await.expect("closed");
            }
        }
    }

    /// A handle whose first change takes this line along.
    fn told(&self, action: &str) -> Store {
        let (actor, action) = ("ann".to_owned(), action.to_owned());
        self.store.audited(AuditEntry { actor, action, ..AuditEntry::default() })
    }

    /// What the audit log says was done, newest first.
    async fn actions(&self) -> Vec<String> {
        let lines = self
            .store
            .audit(Scope::INSTALLATION, &AuditFilter::default(), 100)
            .await
            .expect("the log");
        lines.into_iter().map(|line| line.action).collect()
    }

    fn hold(&self) -> Steer {
        let (at, filter) = (self.clock.now(), everything());
        Steer { filter, action: SteerAction::Hold, reason: "x".into(), at, due: at, limit: 10 }
    }

    async fn contact(&self, email: &str) -> ContactBatch {
        let id = self.store.contact_ids(1).await.expect("an id");
        ContactBatch {
            organization: OrganizationId::FIRST,
            at: self.clock.now(),
            mode: UpsertMode::AddOrUpdate,
            consent: Consent::Shared(ConsentId(0)),
            resubscribe: false,
            rows: vec![ContactWrite::of(id, email.to_owned())],
            progress: None,
        }
    }

    async fn assert_nothing_is_lost(&self) {
        let census = self.store.census().await.expect("a census");
        assert_eq!(census.accepted, census.by_state.values().sum::<u64>(), "{census:?}");
    }
}

async fn administer(server: &str, sql: &str) {
    let mut connection = sqlx::PgConnection::connect(server).await.expect("the test server");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the server obeys");
    connection.close().await.expect("closed");
}

fn everything() -> DeliveryFilter {
    DeliveryFilter::default()
}

/// Each story runs once on each database.
macro_rules! on_both {
    ($(async fn $name:ident($ledger:ident) $body:block)*) => {
        mod stories {
            use super::*;
            $(pub async fn $name($ledger: Ledger) $body)*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(ledger) = super::Ledger::sqlite().await {
                    super::stories::$name(ledger).await;
                }
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(ledger) = super::Ledger::postgres().await {
                    super::stories::$name(ledger).await;
                }
            })*
        }
    };
}

on_both! {
    async fn what_goes_in_comes_out_the_same(ledger) {
        let mut mail = ledger.mail(&["bob@bücher.example", "\"a b\"@c.example"]).await;
        mail.deliveries[0].recipient.notify = Notify::NEVER;
        mail.deliveries[0].recipient.original = Some("rfc822;b+40x".to_owned());
        ledger.store.enqueue(mail.clone()).await.expect("accepted");

        let kept = ledger.store.message(mail.message.id).await.expect("read").expect("there");
        assert_eq!(format!("{kept:?}"), format!("{:?}", mail.message));
        let claimed = ledger.claim(10).await;
        assert_eq!(claimed.len(), 2);
        for (claimed, given) in claimed.iter().zip(&mail.deliveries) {
            assert_eq!((claimed.id, &claimed.recipient), (given.id, &given.recipient));
            assert_eq!(format!("{:?}", claimed.message), format!("{:?}", mail.message));
        }
        let events = ledger.store.events_of_message(mail.message.id, 9).await.expect("events");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].fields, serde_json::json!({ "recipients": 2, "bytes": 1000 }));
        assert_eq!(ledger.live().await, (1000, 1));
        ledger.assert_nothing_is_lost().await;
    }

    async fn the_engaged_are_claimed_first_where_that_is_asked_for(ledger) {
        let mut mail = ledger.mail(&["a@x.example", "b@x.example", "c@x.example"]).await;
        mail.message.rank = 1;
        for (delivery, score) in mail.deliveries.iter_mut().zip([0, 60, 30]) {
            delivery.score = score;
        }
        ledger.store.enqueue(mail.clone()).await.expect("accepted");
        let ids = |at: [usize; 2]| at.map(|at| mail.deliveries[at].id).to_vec();
        for (order, expected) in
            [(TakeOrder::Engaged, ids([1, 2])), (TakeOrder::Due, ids([0, 1]))]
        {
            let wanted = (ledger.clock.now(), 2);
            let claim = ledger.store.claim(SiteId(7), order, wanted, &[], &|_| false).await;
            let claim = claim.expect("a claim");
            let found: Vec<DeliveryId> = claim.deliveries.iter().map(|one| one.id).collect();
            assert_eq!(found, expected, "{order:?}");
            assert!(claim.deliveries.iter().any(|one| one.score == 60));
        }
    }

    async fn a_state_and_its_event_come_together(ledger) {
        let mail = ledger.accept(&["bob@there.example"]).await;
        let delivery = ledger.claim(1).await[0].id;
        assert_eq!(ledger.settle(delivery, Step::Defer, 0).await, Settled::Moved(State::Waiting));
        assert!(ledger.claim(1).await.is_empty(), "it is not due yet");
        ledger.clock.advance(Duration::from_secs(301));
        assert_eq!(ledger.claim(1).await[0].tries, 1);
        let settled = ledger.settle(delivery, Step::Deliver, 1).await;
        assert_eq!(settled, Settled::Moved(State::Delivered));

        use EventKind::{Accepted, Deferred, Delivered};
        assert_eq!(ledger.kinds(mail.message.id).await, [Accepted, Deferred, Delivered]);
        let events = ledger.store.events_of_message(mail.message.id, 9).await.expect("events");
        assert_eq!(events[1].fields["reply"], "a\r\nb\u{1b}");
        let view = &ledger.store.list_deliveries(&everything(), 5).await.expect("a list")[0];
        assert_eq!((view.state, view.tries, view.blame), (State::Delivered, 2, None));
        assert_eq!(view.text, "250 2.0.0 as you like");
        assert_eq!(ledger.live().await, (0, 0));
        ledger.assert_nothing_is_lost().await;
    }

    async fn an_outcome_counts_once(ledger) {
        let mail = ledger.accept(&["bob@there.example"]).await;
        let delivery = ledger.claim(1).await[0].id;
        assert_eq!(ledger.settle(delivery, Step::Fail, 1).await, Settled::Stale);
        assert_eq!(ledger.settle(delivery, Step::Fail, 0).await, Settled::Moved(State::Failed));
        assert_eq!(ledger.settle(delivery, Step::Fail, 0).await, Settled::Stale);
        assert_eq!(ledger.settle(delivery, Step::Deliver, 1).await, Settled::Stale);
        assert_eq!(ledger.settle(DeliveryId(999_999), Step::Fail, 0).await, Settled::Stale);
        assert_eq!(ledger.kinds(mail.message.id).await.len(), 2);
        assert_eq!(ledger.live().await, (0, 0));
    }

    async fn two_outcomes_of_one_delivery_in_one_batch_follow_each_other(ledger) {
        let mail = ledger.accept(&["bob@there.example"]).await;
        let delivery = ledger.claim(1).await[0].id;
        let settlements = vec![
            ledger.step(delivery, Step::Defer, 0),
            ledger.step(delivery, Step::Deliver, 1),
            ledger.step(delivery, Step::Deliver, 1),
        ];
        let group = SettleGroup { settlements, report: None };
        let settled = ledger.store.settle(group).await.expect("settled");
        let [waiting, delivered] = [State::Waiting, State::Delivered].map(Settled::Moved);
        assert_eq!(settled, [waiting, delivered, Settled::Stale]);
        assert_eq!(ledger.state_of(delivery).await, State::Delivered);
        assert_eq!(ledger.kinds(mail.message.id).await.len(), 3);
        assert_eq!(ledger.live().await, (0, 0));
    }

    async fn a_body_is_freed_by_its_last_delivery_and_not_before(ledger) {
        let mail = ledger.accept(&["a@x.example", "b@x.example", "c@x.example"]).await;
        let ids: Vec<DeliveryId> = ledger.claim(9).await.iter().map(|d| d.id).collect();
        ledger.settle(ids[1], Step::Deliver, 0).await;
        assert_eq!(ledger.live().await, (1000, 1));
        let owed = ledger.store.owed_bodies(SegmentId(4)).await.expect("owed");
        assert_eq!(owed, [(mail.message.id, mail.message.body)]);
        ledger.settle(ids[0], Step::Fail, 0).await;
        assert_eq!(ledger.live().await, (1000, 1));
        ledger.steer(SteerAction::Cancel, everything(), 10).await;
        assert_eq!(ledger.live().await, (0, 0));
        assert!(ledger.store.owed_bodies(SegmentId(4)).await.expect("owed").is_empty());
        ledger.store.remove_segment(SegmentId(4)).await.expect("forgotten");
        assert!(ledger.store.segments().await.expect("segments").is_empty());
    }

    async fn a_late_250_counts_whatever_a_person_did_meanwhile(ledger) {
        ledger.accept(&["a@x.example"]).await;
        let cancelled = ledger.claim(1).await[0].id;
        assert_eq!(ledger.steer(SteerAction::Cancel, everything(), 10).await, 1);
        assert_eq!(ledger.state_of(cancelled).await, State::Cancelled);
        assert_eq!(ledger.settle(cancelled, Step::Defer, 0).await, Settled::Stale);
        let delivered = Settled::Moved(State::Delivered);
        assert_eq!(ledger.settle(cancelled, Step::Deliver, 0).await, delivered);
        assert_eq!(ledger.live().await, (0, 0), "the body is freed once");
        ledger.assert_nothing_is_lost().await;
    }

    async fn a_report_is_accepted_with_its_cause_and_once(ledger) {
        ledger.accept(&["a@x.example"]).await;
        let failed = ledger.claim(1).await[0].id;
        let report = Box::new(ledger.mail(&["sender@sender.example"]).await);
        let settlements = vec![ledger.step(failed, Step::Fail, 0)];
        let group = SettleGroup { settlements, report: Some(report) };
        ledger.store.settle(group.clone()).await.expect("settled");
        assert_eq!(ledger.store.settle(group).await.expect("settled"), [Settled::Stale]);
        let census = ledger.store.census().await.expect("a census");
        assert_eq!(census.accepted, 2);
        assert_eq!(census.by_state[&State::Waiting], 1);
        ledger.assert_nothing_is_lost().await;
    }

    async fn a_job_that_cannot_be_written_harms_no_other(ledger) {
        let mut answers = Vec::new();
        for number in 0..60 {
            let mut mail = ledger.mail(&["a@x.example"]).await;
            if number == 41 {
                mail.message.id = MessageId(-1);
            }
            if number % 20 == 7 {
                mail.message.idempotency_key = Some("the same".to_owned());
            }
            let store = ledger.store.clone();
            answers.push(tokio::spawn(async move { store.enqueue(mail).await }));
        }
        let mut refused = Vec::new();
        for answer in answers {
            refused.extend(answer.await.expect("no panic").err());
        }
        let is_duplicate =
            |e: &&StoreError| **e == StoreError::Duplicate("messages_idempotency_key".to_owned());
        assert_eq!(refused.iter().filter(is_duplicate).count(), 2, "{refused:?}");
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused.iter().all(|error| !error.is_transient()), "{refused:?}");
        assert_eq!(ledger.store.census().await.expect("a census").accepted, 57);
        ledger.assert_nothing_is_lost().await;
        let first = ledger.store.message_by_idempotency_key(OrganizationId::FIRST, "the same");
        assert!(first.await.expect("read").is_some());
        let other = ledger.store.message_by_idempotency_key(OrganizationId(2), "the same");
        assert_eq!(other.await.expect("read"), None);
    }

    async fn the_same_message_twice_is_told_by_its_name(ledger) {
        let mail = ledger.accept(&["a@x.example"]).await;
        let again = ledger.store.enqueue(mail).await;
        assert_eq!(again, Err(StoreError::Duplicate("messages_id".to_owned())));
        ledger.assert_nothing_is_lost().await;
    }

    async fn claims_go_by_rank_then_due_time_and_pass_over_what_is_taken(ledger) {
        let mut expected = Vec::new();
        for (rank, stream, late) in [(1, 2, 1), (0, 1, 9), (1, 2, 0), (0, 3, 5), (0, 1, 7)] {
            let mut mail = ledger.mail(&["a@x.example"]).await;
            mail.message.rank = rank;
            mail.message.stream = StreamId(stream);
            mail.message.due_at = mail.message.due_at - Duration::from_secs(late);
            expected.push((rank, mail.message.due_at, mail.deliveries[0].id));
            ledger.store.enqueue(mail).await.expect("accepted");
        }
        let mut future = ledger.mail(&["a@x.example"]).await;
        future.message.due_at = ledger.clock.now() + Duration::from_secs(60);
        ledger.store.enqueue(future.clone()).await.expect("accepted");
        expected.sort();
        let expected: Vec<DeliveryId> = expected.into_iter().map(|(_, _, id)| id).collect();

        let now = ledger.clock.now();
        let taken = [expected[1], expected[3]];
        let due = ledger.store.next_due(SiteId(7), &expected, &|_| false).await.expect("a time");
        assert_eq!(due, Some(future.message.due_at));
        let due = TakeOrder::Due;
        let claimed = ledger.store.claim(SiteId(7), due, (now, 2), &taken, &|_| false).await;
        let claimed = claimed.expect("a claim").deliveries;
        let claimed: Vec<DeliveryId> = claimed.iter().map(|d| d.id).collect();
        assert_eq!(claimed, [expected[0], expected[2]]);
        let backlogs = ledger.store.backlogs().await.expect("backlogs");
        assert_eq!(backlogs.len(), 1);
        assert_eq!(backlogs[0].site, SiteId(7));
        let nowhere = ledger.store.claim(SiteId(8), due, (now, 9), &[], &|_| false).await;
        let nowhere = nowhere.expect("a claim").deliveries;
        assert!(nowhere.is_empty());
        assert_eq!(ledger.store.next_due(SiteId(8), &[], &|_| false).await.expect("none"), None);
    }

    async fn holding_releasing_and_retrying_move_what_the_filter_names(ledger) {
        for domain in ["x.example", "x.example", "y.example", "x.example"] {
            ledger.accept(&[&format!("a@{domain}")]).await;
        }
        let x = DeliveryFilter { domain: Domain::parse("x.example").ok(), ..everything() };
        assert_eq!(ledger.steer(SteerAction::Hold, x.clone(), 2).await, 2);
        assert_eq!(ledger.steer(SteerAction::Hold, x.clone(), 2).await, 1);
        let held = DeliveryFilter { state: Some(State::Held), ..everything() };
        assert_eq!(ledger.store.count_deliveries(&held).await.expect("a count"), 3);
        let list = ledger.store.list_deliveries(&held, 2).await.expect("a list");
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].text, "somebody said so");
        let rest = DeliveryFilter { before: Some(list[1].id), ..held.clone() };
        assert_eq!(ledger.store.list_deliveries(&rest, 2).await.expect("a list").len(), 1);
        assert_eq!(ledger.claim(9).await.len(), 1);

        assert_eq!(ledger.steer(SteerAction::Release, x.clone(), 10).await, 3);
        assert_eq!(ledger.store.count_deliveries(&held).await.expect("a count"), 0);
        for delivery in ledger.claim(9).await {
            ledger.settle(delivery.id, Step::Defer, delivery.tries).await;
        }
        assert_eq!(ledger.steer(SteerAction::Retry, x, 10).await, 3);
        assert_eq!(ledger.claim(9).await.len(), 3);
        ledger.assert_nothing_is_lost().await;
    }

    async fn a_filter_finds_by_each_of_its_fields(ledger) {
        let mail = ledger.accept(&["a@x.example", "b@y_z.example"]).await;
        let other = ledger.accept(&["c@x.example"]).await;
        let message = Some(mail.message.id);
        let cases = [
            (everything(), 3),
            (DeliveryFilter { message, ..everything() }, 2),
            (DeliveryFilter { message: Some(MessageId(9999)), ..everything() }, 0),
            (DeliveryFilter { message, state: Some(State::Waiting), ..everything() }, 2),
            (DeliveryFilter { message, state: Some(State::Held), ..everything() }, 0),
            (DeliveryFilter { delivery: Some(other.deliveries[0].id), ..everything() }, 1),
            (DeliveryFilter { state: Some(State::Waiting), ..everything() }, 3),
            (DeliveryFilter { organization: Some(OrganizationId(2)), ..everything() }, 0),
            (DeliveryFilter { sender: Some("Sender.example".into()), ..everything() }, 3),
            (DeliveryFilter { sender: Some("%".into()), ..everything() }, 0),
            (DeliveryFilter { sender: Some("x@sender.example".into()), ..everything() }, 0),
            (DeliveryFilter { domain: Domain::parse("y_z.example").ok(), ..everything() }, 1),
            (DeliveryFilter { before: Some(other.deliveries[0].id), ..everything() }, 2),
        ];
        for (filter, expected) in cases {
            let count = ledger.store.count_deliveries(&filter).await.expect("a count");
            let list = ledger.store.list_deliveries(&filter, 100).await.expect("a list");
            assert_eq!((count, list.len()), (expected, expected as usize), "{filter:?}");
            assert!(list.windows(2).all(|pair| pair[0].id > pair[1].id));
        }
    }

    async fn fresh_mail_stands_among_the_unrouted_until_a_settlement_names_its_site(ledger) {
        let mut mail = ledger.mail(&["a@x.example", "b@y.example", "c@x.example"]).await;
        for delivery in &mut mail.deliveries {
            delivery.claimed = true;
        }
        ledger.store.enqueue(mail.clone()).await.expect("accepted");
        let [first, second, third] = [0, 1, 2].map(|position: usize| mail.deliveries[position].id);
        let give_back = [first, third].map(|delivery| Settle {
            site: Some(SiteId(9)),
            due: ledger.clock.now(),
            ..ledger.step(delivery, Step::LoseLease, 0)
        });
        let group = SettleGroup { settlements: give_back.to_vec(), report: None };
        let settled = ledger.store.settle(group).await.expect("settled");
        assert_eq!(settled, [Settled::Moved(State::Waiting), Settled::Moved(State::Waiting)]);
        let claim = async |site| {
            let (due, wanted) = (TakeOrder::Due, (ledger.clock.now(), 9));
            let claimed = ledger.store.claim(site, due, wanted, &[], &|_| false).await;
            claimed.expect("a claim").deliveries.iter().map(|d| d.id).collect::<Vec<DeliveryId>>()
        };
        assert_eq!(claim(SiteId(9)).await, [first, third]);
        assert_eq!(claim(SiteId::UNROUTED).await, [second]);
        assert!(claim(SiteId(7)).await.is_empty());
    }

    async fn what_is_given_back_untried_keeps_the_last_answer(ledger) {
        let mail = ledger.accept(&["a@x.example"]).await;
        let delivery = mail.deliveries[0].id;
        ledger.claim(1).await;
        assert_eq!(ledger.settle(delivery, Step::Defer, 0).await, Settled::Moved(State::Waiting));
        ledger.clock.advance(Duration::from_secs(301));
        let last = ledger.claim(1).await.remove(0).last_text;
        assert!(!last.is_empty());
        let mut back = ledger.step(delivery, Step::LoseLease, 0);
        (back.tries, back.text, back.counted) = (1, String::new(), false);
        back.due = ledger.clock.now();
        let group = SettleGroup { settlements: vec![back], report: None };
        ledger.store.settle(group).await.expect("settled");
        assert_eq!(ledger.claim(1).await.remove(0).last_text, last);
    }

    async fn sites_asked_for_at_once_are_made_once(ledger) {
        let ask = |(key, operator): (&'static str, &'static str)| {
            let store = ledger.store.clone();
            let wish = OperatorWish { name: operator.to_owned(), make: operator != "x.example" };
            tokio::spawn(async move { store.site(key, &wish).await.expect("a site") })
        };
        let asked = [
            ("mx:a.example", "a.example"),
            ("mx:b.example", "x.example"),
            ("mx:a.example", "a.example"),
            ("mx:c.example", "a.example"),
            ("unrouted", "x.example"),
        ];
        let mut sites = Vec::new();
        for site in asked.map(ask) {
            sites.push(site.await.expect("no panic"));
        }
        assert_eq!(sites[0], sites[2]);
        assert_ne!(sites[0].site, sites[1].site);
        assert_eq!(sites[0].operator, sites[3].operator);
        assert_ne!(sites[0].operator, OperatorId::TAIL);
        assert_eq!(sites[1].operator, OperatorId::TAIL);
        assert_eq!(sites[4].site, SiteId::UNROUTED);
        assert_eq!(ledger.site("mx:b.example", "x.example", false).await.0, sites[1].site);
        assert_eq!(ledger.store.sites().await.expect("sites").len(), 4);
        let keys = ledger.store.site_keys(&[sites[1].site, SiteId(999)]).await.expect("keys");
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), [(sites[1].site, "mx:b.example".into())]);
    }

    async fn a_site_leaves_the_tail_once_its_operator_has_a_name_and_never_falls_back(ledger) {
        ledger.store.ensure_operators(["google"].into_iter()).await.expect("made");
        let names = ledger.store.operators().await.expect("operators");
        let google = names.iter().find(|row| row.name == "google").expect("made").id;
        assert_eq!(ledger.site("mx:g.example", "google", false).await.1, google);
        let (first, operator) = ledger.site("mx:a.example", "a.example", false).await;
        assert_eq!(operator, OperatorId::TAIL);
        let (site, named) = ledger.site("mx:a.example", "a.example", true).await;
        assert!(site == first && named != OperatorId::TAIL && named != google);
        assert_eq!(ledger.site("mx:b.a.example", "a.example", false).await.1, named);
        assert_eq!(ledger.site("mx:a.example", "tail", true).await.1, named);
        assert_eq!(ledger.site("mx:a.example", "other.example", false).await.1, named);
        assert_eq!(ledger.store.operator_of_site(first).await.expect("known"), named);
        let unrouted = ledger.store.operator_of_site(SiteId::UNROUTED).await;
        assert_eq!(unrouted.expect("known"), OperatorId::TAIL);
    }

    async fn ids_are_given_once_also_after_a_restart(mut_ledger) {
        let mut ledger = mut_ledger;
        let mut given = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let mut tasks = Vec::new();
            for _ in 0..8 {
                let store = ledger.store.clone();
                tasks.push(tokio::spawn(async move {
                    let mut ids = Vec::new();
                    for _ in 0..5 {
                        let first = store.delivery_ids(900).await.expect("ids").0;
                        ids.extend(first..first + 900);
                    }
                    ids
                }));
            }
            for task in tasks {
                for id in task.await.expect("no panic") {
                    assert!(given.insert(id), "{id} was given twice");
                }
            }
            ledger.reopen().await;
        }
        assert_eq!(given.len(), 2 * 8 * 5 * 900);
        assert!(given.first().is_some_and(|id| *id > 0));
    }

    async fn what_was_accepted_is_there_after_a_restart(mut_ledger) {
        let mut ledger = mut_ledger;
        let mail = ledger.accept(&["a@x.example", "b@x.example"]).await;
        ledger.reopen().await;
        assert_eq!(ledger.claim(9).await.len(), 2);
        assert_eq!(ledger.store.census().await.expect("a census").accepted, 2);
        assert_eq!(ledger.kinds(mail.message.id).await, [EventKind::Accepted]);
    }

    async fn names_are_given_once_and_secrets_revoked_once(ledger) {
        let store = &ledger.store;
        let organization = store.organizations().await.expect("one")[0].id;
        assert_eq!(organization, OrganizationId::FIRST);
        let streams = store.streams().await.expect("two");
        let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, ["transactional", "marketing"]);

        let domain = Domain::parse("sender.example").expect("lawful");
        let row = store.add_domain(organization, &domain).await.expect("added");
        assert_eq!(store.domains().await.expect("one")[0].id, row.id);
        let again = store.add_domain(organization, &domain).await.map(|_| ());
        assert_eq!(again, Err(StoreError::Duplicate("domains_name".to_owned())));

        let add = |name: &'static str| {
            store.add_credential(organization, name, "$argon2id$", streams[0].id)
        };
        add("app").await.expect("added");
        let again = add("app").await.map(|_| ());
        assert_eq!(again, Err(StoreError::Duplicate("credentials_name".to_owned())));
        assert!(store.revoke_credential("app").await.expect("revoked"));
        assert!(!store.revoke_credential("app").await.expect("revoked before"));
        let credential = &store.credentials().await.expect("one")[0];
        assert_eq!(credential.secret_hash, "$argon2id$");
        assert!(credential.revoked_at.is_some());

        let key = DkimKeyRow {
            domain,
            selector: "p1".to_owned(),
            algorithm: "ed25519-sha256".to_owned(),
            record: "v=DKIM1; k=ed25519; p=".to_owned(),
            created_at: ledger.clock.now(),
            proved_at: None,
        };
        store.add_dkim_key(&key).await.expect("added");
        let again = store.add_dkim_key(&key).await;
        assert_eq!(again, Err(StoreError::Duplicate("dkim_keys_selector".to_owned())));
        assert_eq!(store.dkim_keys().await.expect("one")[0].record, key.record);
    }

    async fn what_has_no_line_in_the_audit_log_was_not_changed(ledger) {
        let kept = ledger.accept(&["a@x.example"]).await;
        let new = ledger.mail(&["b@x.example"]).await;
        let told = || Enqueue { line: ledger.told("sent").line(), ..new.clone() };
        let first = OrganizationId::FIRST;
        ledger.sql("ALTER TABLE audit RENAME TO audit_away").await;
        let contact = ledger.contact("a@x.example").await;
        let refusals = [
            ledger.told("suspended").suspend(first, "x").await.map(drop),
            ledger.told("held").steer(ledger.hold()).await.map(drop),
            ledger.told("added").write_contacts(contact.clone()).await.map(drop),
            ledger.store.enqueue(told()).await,
        ];
        for refused in refusals {
            assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        }
        ledger.sql("ALTER TABLE audit_away RENAME TO audit").await;
        let organization = &ledger.store.organizations().await.expect("one")[0];
        assert!(organization.suspended_at.is_none());
        assert_eq!(ledger.state_of(kept.deliveries[0].id).await, State::Waiting);
        let found = ledger.store.contact_by_email(first, "a@x.example").await.expect("a read");
        assert!(found.is_none());
        assert!(ledger.store.message(new.message.id).await.expect("a read").is_none());

        assert!(ledger.told("suspended").suspend(first, "x").await.expect("with its line"));
        assert_eq!(ledger.told("held").steer(ledger.hold()).await.expect("with its line"), 1);
        ledger.told("added").write_contacts(contact).await.expect("with its line");
        ledger.store.enqueue(told()).await.expect("with its line");
        assert_eq!(ledger.actions().await, ["sent", "added", "held", "suspended"]);
        assert_eq!(ledger.state_of(kept.deliveries[0].id).await, State::Held);
    }

    async fn a_line_goes_with_the_first_change_and_with_none_that_changes_nothing(ledger) {
        let first = OrganizationId::FIRST;
        let store = ledger.told("several");
        assert!(!store.resume(first).await.expect("a look"));
        assert_eq!(store.steer(ledger.hold()).await.expect("nothing waits"), 0);
        store.message_id().await.expect("an id");
        assert!(ledger.actions().await.is_empty());
        let line = store.line().expect("not written");
        line.say(|said| said.after = Some("wanted".into()));
        assert!(store.suspend(first, "x").await.expect("suspended"));
        assert!(store.resume(first).await.expect("resumed"));
        assert!(store.line().is_none());
        let after = async || {
            let all = AuditFilter::default();
            let lines = ledger.store.audit(Scope::INSTALLATION, &all, 9).await.expect("the log");
            lines.into_iter().map(|line| line.after).collect::<Vec<_>>()
        };
        assert_eq!(after().await, [Some("wanted".into())]);
        line.say(|said| said.after = Some("done".into()));
        store.tell(&line).await.expect("told");
        assert_eq!(after().await, [Some("done".into())]);
    }

    async fn a_closed_store_refuses_for_now_and_loses_nothing_it_took(mut_ledger) {
        let mut ledger = mut_ledger;
        let mut answers = Vec::new();
        for _ in 0..200 {
            let (mail, store) = (ledger.mail(&["a@x.example"]).await, ledger.store.clone());
            answers.push(tokio::spawn(async move { store.enqueue(mail).await }));
        }
        tokio::task::yield_now().await;
        ledger.store.close().await;
        let mut accepted = 0;
        for answer in answers {
            match answer.await.expect("no panic") {
                Ok(()) => accepted += 1,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
        ledger.reopen().await;
        assert_eq!(ledger.store.census().await.expect("a census").accepted, accepted);
    }

    async fn a_reader_beside_the_daemon_reads_and_writes_nothing(ledger) {
        ledger.accept(&["a@x.example"]).await;
        let reader = Store::open_to_read(&ledger.location).await.expect("a reader");
        assert_eq!(reader.census().await.expect("a census").accepted, 1);
        let refused = reader.enqueue(ledger.mail(&["a@x.example"]).await).await;
        assert!(refused.is_err_and(|error| !error.is_transient()));
        reader.close().await;
    }

    async fn many_at_once_are_all_kept_and_settled(ledger) {
        let mut tasks = Vec::new();
        for _ in 0..20 {
            let mut mails = Vec::new();
            for _ in 0..25 {
                mails.push(ledger.mail(&["a@x.example"]).await);
            }
            let store = ledger.store.clone();
            let steps: Vec<Settle> =
                mails.iter().map(|m| ledger.step(m.deliveries[0].id, Step::Deliver, 0)).collect();
            tasks.push(tokio::spawn(async move {
                for (mut mail, settle) in mails.into_iter().zip(steps) {
                    mail.deliveries[0].claimed = true;
                    store.enqueue(mail).await.expect("accepted");
                    let group = SettleGroup { settlements: vec![settle], report: None };
                    let settled = store.settle(group).await.expect("settled");
                    assert_eq!(settled, [Settled::Moved(State::Delivered)]);
                }
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        let census = ledger.store.census().await.expect("a census");
        assert_eq!((census.accepted, census.by_state[&State::Delivered]), (500, 500));
        assert_eq!(ledger.live().await, (0, 0));
    }
}

#[tokio::test]
async fn a_second_daemon_on_the_same_directory_is_turned_away() {
    let ledger = Ledger::sqlite().await.expect("a ledger");
    let second = Store::open(&ledger.location, 1, ledger.clock.clone()).await.map(|_| ());
    assert!(matches!(second, Err(StoreError::Taken(ref text)) if text.contains("stop it first")));
    ledger.store.close().await;
    Store::open(&ledger.location, 1, ledger.clock.clone()).await.expect("the next one");
}

#[tokio::test]
async fn while_another_process_locks_the_ledger_callers_hear_so_and_then_it_heals() {
    let ledger = Ledger::sqlite().await.expect("a ledger");
    let Location::Sqlite(directory) = &ledger.location else { panic!("SQLite") };
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("ledger.sqlite"));
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.expect("a connection");
    let mail = ledger.mail(&["a@x.example"]).await;
    other.execute("BEGIN IMMEDIATE").await.expect("locked");
    let refused = ledger.store.enqueue(mail).await;
    assert!(refused.is_err_and(|error| error.is_transient()));
    other.execute("ROLLBACK").await.expect("unlocked");
    accepts_again(&ledger).await;
}

async fn accepts_again(ledger: &Ledger) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match ledger.store.enqueue(ledger.mail(&["a@x.example"]).await).await {
            Ok(()) => return ledger.assert_nothing_is_lost().await,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the store does not come back by itself");
}

#[tokio::test]
async fn a_full_disk_is_told_and_more_room_heals_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("small");
    std::fs::create_dir(&place).expect("a directory");
    let mount = |arguments: &[&str]| {
        std::process::Command::new("mount").args(arguments).arg(&place).status()
    };
    if !mount(&["-t", "tmpfs", "-o", "size=3m", "none"]).is_ok_and(|status| status.success()) {
        eprintln!("\n*** SKIPPED: no right to mount a small disk ***\n");
        return;
    }
    let ledger = Ledger::open(Location::Sqlite(place.clone()), directory).await;
    let mut refusal = None;
    let mut accepted = 0;
    for _ in 0..200 {
        let mut mail = ledger.mail(&["a@x.example"]).await;
        mail.message.metadata = Some("x".repeat(60_000));
        match ledger.store.enqueue(mail).await {
            Ok(()) => accepted += 1,
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    assert!(refusal.is_some_and(|error| error.is_transient()), "{accepted} accepted");
    assert!(mount(&["-o", "remount,size=30m"]).is_ok_and(|status| status.success()));
    accepts_again(&ledger).await;
    assert_eq!(ledger.store.census().await.expect("a census").accepted, accepted + 1);
    ledger.store.close().await;
    let unmounted = std::process::Command::new("umount").arg("-l").arg(&place).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_goes_and_comes_back_heals_without_a_restart() {
    let Some(ledger) = Ledger::postgres().await else { return };
    let Location::Postgres(url) = &ledger.location else { panic!("PostgreSQL") };
    let server = std::env::var("POSTROAD_TEST_POSTGRES").expect("a server");
    let name = url.rsplit('/').next().expect("a name");
    ledger.accept(&["a@x.example"]).await;
    administer(&server, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    let kill =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    administer(&server, &kill).await;
    // The ids are in memory, so the mail can still be made.
    for _ in 0..3 {
        let refused = ledger.store.enqueue(ledger.mail(&["a@x.example"]).await).await;
        assert!(refused.is_err_and(|error| error.is_transient()));
        assert!(ledger.store.ping().await.is_err_and(|error| error.is_transient()));
    }
    administer(&server, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    accepts_again(&ledger).await;
    assert_eq!(ledger.claim(9).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_keeps_other_nodes_away_until_it_ends_or_its_holder_comes_back() {
    let Some(mut ledger) = Ledger::postgres().await else { return };
    let mut mail = ledger.mail(&["a@x.example", "b@x.example", "c@x.example"]).await;
    for delivery in &mut mail.deliveries {
        delivery.site = SiteId::UNROUTED;
    }
    mail.deliveries[0].claimed = true;
    ledger.store.enqueue(mail.clone()).await.expect("accepted");
    let other = Store::open(&ledger.location, 2, ledger.clock.clone()).await.expect("node 2");
    let claim = async |store: &Store, limit, held: &[DeliveryId]| {
        let claimed = store
            .claim(SiteId::UNROUTED, TakeOrder::Due, (ledger.clock.now(), limit), held, &|_| false)
            .await;
        claimed.expect("a claim").deliveries.iter().map(|d| d.id).collect::<Vec<DeliveryId>>()
    };
    let [first, second, third] = [0, 1, 2].map(|position: usize| mail.deliveries[position].id);
    assert_eq!(ledger.state_of(first).await, State::Leased);
    assert_eq!(claim(&other, 1, &[]).await, [second]);
    assert_eq!(claim(&ledger.store, 9, &[first]).await, [third]);
    assert!(claim(&other, 9, &[second]).await.is_empty());
    // A lease that the node itself does not know of is its own stray.
    assert_eq!(claim(&ledger.store, 9, &[third]).await, [first]);
    assert_eq!(ledger.steer(SteerAction::Hold, everything(), 9).await, 0);

    // Only the holder may defer; a 250 counts from anybody.
    assert_eq!(ledger.settle(second, Step::Defer, 0).await, Settled::Stale);
    assert_eq!(ledger.settle(third, Step::Expire, 0).await, Settled::Moved(State::Expired));

    // Node 1 comes back and frees what its earlier life held, and nothing else.
    ledger.reopen().await;
    assert_eq!(ledger.store.free_own_leases().await.expect("freed"), 1);
    let claim = async |store: &Store, limit| {
        let claimed = store
            .claim(SiteId::UNROUTED, TakeOrder::Due, (ledger.clock.now(), limit), &[], &|_| false)
            .await;
        claimed.expect("a claim").deliveries.iter().map(|d| d.id).collect::<Vec<DeliveryId>>()
    };
    assert_eq!(claim(&ledger.store, 9).await, [first]);
    // Node 2 does not come back: its lease ends by itself.
    ledger.clock.advance(limits::LEASE_DURATION + Duration::from_secs(1));
    let backlogs = ledger.store.backlogs().await.expect("backlogs");
    assert!(backlogs.iter().all(|backlog| backlog.due_at <= ledger.clock.now()));
    assert_eq!(claim(&ledger.store, 9).await, [first, second]);
    other.close().await;
}

fn alarm(ledger: &Ledger, text: &str) -> NewEvent {
    NewEvent {
        at: ledger.clock.now(),
        kind: EventKind::Alarm,
        organization: OrganizationId::NOBODY,
        fields: serde_json::json!({ "text": text }),
    }
}

/// What is told of the events that a reader has not seen yet, and where he stands then.
async fn news(store: &Store, after: EventId) -> (Vec<String>, EventId) {
    let (events, last) = store.events_after(after, 100).await.expect("events");
    let told = |event: EventRow| match event.fields["text"].as_str() {
        Some(text) => text.to_owned(),
        None => event.kind.to_string(),
    };
    (events.into_iter().map(told).collect(), last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_behind_the_last_event_misses_none_whichever_node_wrote_it() {
    let Some(ledger) = Ledger::postgres().await else { return };
    let other = Store::open(&ledger.location, 2, ledger.clock.clone()).await.expect("node 2");
    let mut seen = ledger.store.last_event().await.expect("a place to begin");
    for round in 0..6 {
        let (writer, reader) = match round % 2 {
            0 => (&other, &ledger.store),
            _ => (&ledger.store, &other),
        };
        let text = format!("round {round}");
        writer.record_event(alarm(&ledger, &text)).await.expect("recorded");
        let (told, last) = news(reader, seen).await;
        assert_eq!(told, [text]);
        assert_eq!(reader.last_event().await.expect("the newest"), last);
        let feed = reader.events_in(Scope::INSTALLATION, seen, 10).await.expect("the feed");
        assert_eq!(feed.len(), 1);
        seen = last;
    }
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_the_event_that_is_older_and_commits_later() {
    let Some(ledger) = Ledger::postgres().await else { return };
    let Location::Postgres(url) = &ledger.location else { panic!("PostgreSQL") };
    let other = Store::open(&ledger.location, 2, ledger.clock.clone()).await.expect("node 2");
    ledger.accept(&["bob@there.example"]).await;
    let delivery = ledger.claim(1).await[0].id;
    let seen = ledger.store.last_event().await.expect("a place to begin");

    // Somebody holds the row that node 1 settles, so its transaction has ids and does not commit.
    let mut holder = sqlx::PgConnection::connect(url).await.expect("a connection");
    let hold = format!("BEGIN; SELECT 1 FROM deliveries WHERE id = {} FOR UPDATE", delivery.0);
    holder.execute(AssertSqlSafe(hold)).await.expect("held");
    let group =
        SettleGroup { settlements: vec![ledger.step(delivery, Step::Deliver, 0)], report: None };
    let settling = tokio::spawn({
        let store = ledger.store.clone();
        async move { store.settle(group).await }
    });
    let waiting = "SELECT 1 FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid \
                   WHERE NOT l.granted AND a.datname = current_database()";
    let started = Instant::now();
    while holder.fetch_all(waiting).await.expect("locks").is_empty() {
        assert!(started.elapsed() < PATIENCE, "node 1 does not come to the row");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.record_event(alarm(&ledger, "of node 2")).await.expect("recorded");
    for store in [&ledger.store, &other] {
        assert_eq!(news(store, seen).await, (vec![], seen), "an older one may still come");
    }
    let late = other.last_event().await.expect("who begins now");
    holder.execute("COMMIT").await.expect("let go");
    let settled = settling.await.expect("no panic").expect("settled");
    assert_eq!(settled, [Settled::Moved(State::Delivered)]);
    for begin in [seen, late] {
        assert_eq!(news(&other, begin).await.0, ["delivered", "of node 2"]);
    }
    other.close().await;
}

/// On one thread both changes wait before the writer looks, so that one transaction has both.
#[tokio::test]
async fn ids_reserved_by_a_transaction_that_failed_are_not_given_twice() {
    for ledger in [Ledger::sqlite().await, Ledger::postgres().await] {
        let Some(mut ledger) = ledger else { continue };
        let domain: Domain = "taken.example".parse().expect("lawful");
        let owner = OrganizationId::FIRST;
        ledger.store.add_domain(owner, &domain).await.expect("added");
        let (recorded, refused) = tokio::join!(
            ledger.store.record_event(alarm(&ledger, "told")),
            ledger.store.add_domain(owner, &domain),
        );
        recorded.expect("the other's failure is not its own");
        assert!(matches!(refused, Err(StoreError::Duplicate(_))), "{refused:?}");
        ledger.reopen().await;
        for _ in 0..3 {
            ledger.accept(&["bob@there.example"]).await;
        }
        let (told, _) = news(&ledger.store, EventId(0)).await;
        assert_eq!(told, ["told", "accepted", "accepted", "accepted"]);
    }
}
