//! Where mail leaves from: sources, pools, rules, relays, health.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use postroad::config::{RelaySettings, Route, RouteAuth, Settings, SourceSettings};
use postroad::model::*;
use postroad::schedule::governor::book::{Answered, Lesson};
use postroad::schedule::warmup::course::Course;
use postroad::schedule::warmup::plan::Plan;
use postroad::schedule::why::ReasonKind;
use postroad::store::{SourceChange, SourceTables};
use postroad::world::dns::{Data, Says};
use postroad::world::manners::{Deed, Phase};
use serde_json::json;

use crate::deliver::host::{Host, Talk};
use crate::support::PATIENCE;
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, HOST_NAME, TestRelay};

const HOUR: Duration = Duration::from_secs(3600);

fn source(name: &str, number: u8) -> SourceSettings {
    SourceSettings {
        name: name.to_owned(),
        address: vec![Ipv4Addr::new(127, 0, 2, number).into()],
        ehlo: Some(HOST_NAME.to_owned()),
        ..SourceSettings::default()
    }
}

fn auth() -> RouteAuth {
    let (user, secret) = ("me".to_owned(), "s3cret".to_owned());
    RouteAuth { mechanism: RelayMechanism::Plain, user, secret }
}

fn relay_at(name: &str, port: u16) -> SourceSettings {
    let (host, auth) = ("127.0.0.1".to_owned(), Some(auth()));
    let relay = RelaySettings { host, port, tls: TlsMode::None, auth };
    SourceSettings { address: Vec::new(), relay: Some(relay), ..source(name, 0) }
}

fn three() -> Vec<SourceSettings> {
    vec![source("a", 1), source("b", 2), source("c", 3)]
}

async fn tables(relay: &TestRelay) -> SourceTables {
    relay.store().source_tables().await.expect("read")
}

async fn id_of(relay: &TestRelay, name: &str) -> SourceId {
    let tables = tables(relay).await;
    tables.sources.iter().find(|row| row.name == name).expect("declared").id
}

/// As the operator's commands do it.
async fn change(relay: &TestRelay, change: SourceChange) -> i64 {
    let changed = relay.app().store().change_sources(change).await.expect("written");
    relay.app().schedule().reread_sources().await.expect("taken");
    changed
}

/// How many mails each address brought, the last octets alone.
fn peers(mx: &FakeMx) -> std::collections::BTreeMap<String, usize> {
    let mut peers = std::collections::BTreeMap::new();
    for mail in mx.mails() {
        let address = mail.peer.rsplit_once(':').map_or(mail.peer.as_str(), |(ip, _)| ip);
        let last = address.rsplit('.').next().expect("an address").to_owned();
        *peers.entry(last).or_default() += 1;
    }
    peers
}

async fn on(database: &Database, mx: &FakeMx, sources: Vec<SourceSettings>) -> TestRelay {
    TestRelay::with(mx, |settings| {
        if let Database::Postgres(url) = database {
            settings.store.url = Some(url.clone());
        }
        settings.source = sources;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_leaves_by_the_pool_that_the_first_rule_names_and_divides_by_weight() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = on(&database, &mx, three()).await;
        let pool = PoolId(change(&relay, SourceChange::AddPool("news".into())).await);
        let (b, c) = (id_of(&relay, "b").await, id_of(&relay, "c").await);
        for (source, weight) in [(b, 1), (c, 3)] {
            let member = PoolMember { pool, source, weight, share_max: None };
            change(&relay, SourceChange::PutMember(member)).await;
        }
        for source in [b, c] {
            change(&relay, SourceChange::RemoveMember(PoolId::DEFAULT, source)).await;
        }
        let recipient = Some("news.test".to_owned());
        let matches = Box::new(PoolMatch { recipient, ..PoolMatch::default() });
        change(&relay, SourceChange::PutRule { position: 1, pool, matches }).await;
        for number in 0..40 {
            relay.submit(&[&format!("u{number}@news.test")]).await;
        }
        relay.submit(&["one@other.test"]).await;
        relay.run_until_idle().await;
        let peers = peers(&mx);
        assert_eq!(peers.get("1"), Some(&1), "{peers:?}");
        let (of_b, of_c) = (peers["2"], peers["3"]);
        assert!(of_b + of_c == 40 && (5..=18).contains(&of_b), "{peers:?} on {database:?}");
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_source_gives_its_mail_a_reason_until_it_has_one() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let relay = on(&database, &mx, vec![source("a", 1)]).await;
        let a = id_of(&relay, "a").await;
        change(&relay, SourceChange::SetState(a, SourceState::Suspended)).await;
        relay.submit(&["bob@example.test"]).await;
        relay.rest().await;
        let text = relay.text_of("bob@example.test").await;
        assert_eq!(text, "no source of the pool default may send (a: suspended)");
        let delivery = relay.delivery_to("bob@example.test").await;
        assert_eq!((delivery.tries, delivery.blame), (0, Some(Blame::Source)));
        let reasons = relay.why(delivery.id).await;
        let told = reasons.iter().find(|one| one.kind == ReasonKind::Source);
        assert_eq!(told.map(|one| &one.text), Some(&text), "{reasons:?}");
        change(&relay, SourceChange::RemoveMember(PoolId::DEFAULT, a)).await;
        relay.clock().advance(Duration::from_secs(301));
        relay.rest().await;
        let text = relay.text_of("bob@example.test").await;
        assert!(text.contains("has no source"), "{text}");
        let member = PoolMember { pool: PoolId::DEFAULT, source: a, weight: 1, share_max: None };
        change(&relay, SourceChange::PutMember(member)).await;
        change(&relay, SourceChange::SetState(a, SourceState::Active)).await;
        relay.run_until_idle().await;
        assert_eq!(mx.received(), ["bob@example.test"]);
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisted_mail_comes_back_from_the_source_it_was_greylisted_at() {
    for database in Database::all().await {
        let mx = FakeMx::greylisting(Duration::from_secs(60)).await;
        let mut relay = on(&database, &mx, three()).await;
        for number in 0..6 {
            relay.submit(&[&format!("u{number}@d{number}.test")]).await;
        }
        relay.rest().await;
        // Where each was tried is known from the ledger alone.
        relay.stop().await;
        relay.start().await;
        relay.run_until_idle().await;
        for number in 0..6 {
            let recipient = format!("u{number}@d{number}.test");
            let delivery = relay.delivery_to(&recipient).await;
            let events = relay.store().events_of_message(delivery.message, 100).await;
            let sources: Vec<String> = events
                .expect("listed")
                .iter()
                .filter_map(|event| event.fields["source"].as_str().map(str::to_owned))
                .collect();
            assert!(sources.len() == 2 && sources[0] == sources[1], "{sources:?}");
            assert_eq!(delivery.state, State::Delivered);
        }
    }
}

async fn takes_mail(mut talk: Talk) {
    talk.greet(&["PIPELINING", "AUTH PLAIN"]).await;
    talk.line().await;
    talk.say("235 2.7.0 welcome\r\n").await;
    talk.take_mails(|_| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_a_source_like_any_other() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let service = Host::start(takes_mail).await;
        let port = service.address.port();
        let relay = on(&database, &mx, vec![source("a", 1), relay_at("service", port)]).await;
        for number in 0..10 {
            relay.submit(&[&format!("u{number}@d{number}.test")]).await;
        }
        relay.run_until_idle().await;
        let direct = mx.mails().len();
        let by_relay = service.heard().matches("\r\nRCPT TO:").count();
        assert!(direct + by_relay == 10 && direct > 0 && by_relay > 0, "{direct} {by_relay}");
        assert!(service.heard().contains("AUTH PLAIN"), "{}", service.heard());
        relay.adds_up().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_relay_is_down_its_mail_goes_by_the_other_source() {
    let mx = FakeMx::accepting().await;
    let port = crate::support::ports::free_port();
    let relay = on(&Database::Sqlite, &mx, vec![relay_at("down", port), source("a", 1)]).await;
    for number in 0..6 {
        relay.submit(&[&format!("u{number}@d{number}.test")]).await;
    }
    relay.rest().await;
    assert_eq!(mx.mails().len(), 6, "{:?}", relay.owed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_another_host_fails_alone() {
    let mx = FakeMx::accepting().await;
    let foreign = SourceSettings { address: vec![[192, 0, 2, 9].into()], ..source("foreign", 9) };
    let relay = on(&Database::Sqlite, &mx, vec![foreign, source("a", 1)]).await;
    for number in 0..6 {
        relay.submit(&[&format!("u{number}@d{number}.test")]).await;
    }
    relay.rest().await;
    assert_eq!(mx.mails().len(), 6, "{:?}", relay.owed().await);
    let tables = tables(&relay).await;
    let (_, health) = &tables.health[0];
    let plumbed = health.findings.iter().find(|one| one.check == Check::Plumbed);
    assert_eq!(plumbed.map(|one| one.verdict), Some(Verdict::Bad), "{health:?}");
}

async fn knows_us_not(mut talk: Talk) {
    talk.greet(&["AUTH PLAIN"]).await;
    talk.line().await;
    talk.say("535 5.7.8 not you\r\n").await;
    talk.line().await;
}

async fn takes_the_second_token(mut talk: Talk) {
    talk.greet(&["PIPELINING", "AUTH XOAUTH2"]).await;
    let line = talk.line().await;
    let given = line.trim_end().rsplit(' ').next().unwrap_or_default();
    let given = BASE64_STANDARD.decode(given).unwrap_or_default();
    if !String::from_utf8_lossy(&given).contains("Bearer second") {
        talk.say("535 5.7.8 expired\r\n").await;
        talk.line().await;
        return;
    }
    talk.say("235 2.7.0 welcome\r\n").await;
    talk.take_mails(|_| None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_replaced_in_its_file_is_taken_when_the_old_one_is_refused() {
    let mx = FakeMx::accepting().await;
    mx.name(HOST_NAME, Says::Records(vec![Data::Address([127, 0, 0, 1].into())]));
    let service = Host::start(takes_the_second_token).await;
    let relay = on(&Database::Sqlite, &mx, Vec::new()).await;
    let file = relay.settings().node.data_dir.join("token");
    std::fs::write(&file, "first").expect("written");
    let at = json!({"host": "127.0.0.1", "port": service.address.port(), "tls": "none",
        "mechanism": "xoauth2", "user": "me", "secret_file": &file});
    let new = json!({"name": "service", "ehlo": HOST_NAME, "relay": at});
    relay.order("/v1/sources", new).await;
    std::fs::write(&file, "second").expect("written");
    relay.submit(&["bob@example.test"]).await;
    relay.rest().await;
    // Once by the check that a new source has, and once by the mail.
    let refused = BASE64_STANDARD.encode("user=me\x01auth=Bearer first\x01\x01");
    assert_eq!(service.heard().matches(&refused).count(), 2, "{}", service.heard());
    assert_eq!(relay.delivery_to("bob@example.test").await.state, State::Delivered);
}

/// The system's own choice of an address is the only source there is: it is no other one that could
/// be asked at once.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_of_its_own_a_failure_of_ours_connects_once_for_each_try() {
    let mx = FakeMx::accepting().await;
    let host = Host::start(knows_us_not).await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.source.clear();
        settings.route = vec![Route {
            name: "only".to_owned(),
            domains: vec!["*".to_owned()],
            host: Some("127.0.0.1".to_owned()),
            port: Some(host.address.port()),
            tls: Some(TlsMode::None),
            auth: Some(auth()),
            ..Route::default()
        }];
    })
    .await;
    relay.submit(&["bob@example.test"]).await;
    relay.rest().await;
    assert_eq!(host.connections(), 1);
    for (tries, minutes) in [(2, 10), (3, 20), (4, 40)] {
        relay.clock().advance(Duration::from_secs(minutes * 60));
        relay.rest().await;
        assert_eq!(host.connections(), tries, "one for each try");
    }
    let delivery = relay.delivery_to("bob@example.test").await;
    assert_eq!((delivery.tries, delivery.state), (4, State::Waiting));
}

/// What an operator refuses from one address would be refused for good: a mail is not tried there.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_stops_its_source_alone_and_without_another_one_mail_waits_for_the_probe() {
    let mx = FakeMx::accepting().await;
    let relay = on(&Database::Sqlite, &mx, vec![source("a", 1), source("b", 2)]).await;
    let (a, b) = (id_of(&relay, "a").await, id_of(&relay, "b").await);
    let listed = "550 5.7.1 Service unavailable; Client host [127.0.2.1] blocked using x.test";
    relay.controller().note(&Lesson {
        source: a,
        operator: OperatorId::TAIL,
        site: None,
        class: StreamClass::Marketing,
        campaign: None,
        sending_domain: None,
        answer: Answered::Refused { signal: Signal::Reputation, for_good: true },
        count: 4,
        sample: Some(listed),
    });
    relay.look().await;
    let decisions = relay.store().active_decisions().await.expect("read");
    let block = decisions.iter().find(|one| one.rule == DecisionRule::Block).expect("a block");
    assert_eq!(block.samples, [listed]);
    for number in 0..6 {
        relay.submit(&[&format!("u{number}@example.test")]).await;
    }
    relay.run_until_idle().await;
    assert_eq!(peers(&mx), [("2".to_owned(), 6)].into(), "the other one sends all of it");
    change(&relay, SourceChange::SetState(b, SourceState::Suspended)).await;
    relay.submit(&["late@example.test"]).await;
    relay.rest().await;
    let late = relay.delivery_to("late@example.test").await;
    let reasons = relay.why(late.id).await;
    let told = reasons.iter().find(|one| one.origin == Some(Origin::Adaptive)).expect("a limit");
    assert_eq!((told.until, told.source.as_deref()), (block.expires_at, Some("a")));
    relay.clock().advance(Duration::from_secs(15 * 60));
    relay.look().await;
    relay.run_until_idle().await;
    assert_eq!(peers(&mx)["1"], 1, "it is the probe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_removed_takes_its_warm_ups_and_limits_with_it() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        mx.name(HOST_NAME, Says::Records(vec![Data::Address([127, 0, 2, 2].into())]));
        let mut relay = on(&database, &mx, vec![source("a", 1)]).await;
        let new = json!({"name": "b", "address": ["127.0.2.2"], "ehlo": HOST_NAME, "quota": 50});
        relay.order("/v1/sources", new).await;
        let b = id_of(&relay, "b").await;
        let plan = Plan::named("standard").expect("it ships");
        let course = Course::new(plan, "tail", 500, Default::default()).expect("lawful");
        let pair = (WarmSubject::Source(b), OperatorId::TAIL);
        relay.controller().start(vec![(pair, course)], None).await.expect("begun");
        relay.controller().note(&Lesson {
            source: b,
            operator: OperatorId::TAIL,
            site: None,
            class: StreamClass::Marketing,
            campaign: None,
            sending_domain: None,
            answer: Answered::Refused { signal: Signal::Capacity, for_good: false },
            count: 1,
            sample: Some("421 4.7.0 too many connections"),
        });
        relay.look().await;
        let is_of_b = |limit: &Limit| limit.scope.from == FromScope::Source(b);
        let rows = relay.store().limits().await.expect("read");
        assert_eq!(rows.iter().filter(|row| is_of_b(&row.limit)).count(), 3, "{rows:?}");
        assert_eq!(relay.store().active_decisions().await.expect("read").len(), 1);
        relay.remove("/v1/sources/b").await;
        for _ in 0..2 {
            relay.look().await;
            let rows = relay.store().limits().await.expect("read");
            assert!(!rows.iter().any(|row| is_of_b(&row.limit)), "{rows:?}");
            let limits = relay.app().schedule().limits().all();
            assert!(!limits.iter().any(is_of_b), "{limits:?}");
            assert!(relay.store().warmups().await.expect("read").is_empty());
            assert!(relay.controller().warmups().await.is_empty());
            assert!(relay.store().active_decisions().await.expect("read").is_empty());
            relay.stop().await;
            relay.start().await;
        }
        let told = relay.see("/v1/audit").await;
        assert_eq!(told["items"][0]["action"], "source.removed", "{told}");
        assert_eq!(told["items"][0]["target"], "b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_a_pool_holds_for_all_its_sources_together_and_for_no_other_mail() {
    let mx = FakeMx::accepting().await;
    let relay = on(&Database::Sqlite, &mx, three()).await;
    let pool = PoolId(change(&relay, SourceChange::AddPool("news".into())).await);
    for name in ["b", "c"] {
        let source = id_of(&relay, name).await;
        let member = PoolMember { pool, source, weight: 1, share_max: None };
        change(&relay, SourceChange::PutMember(member)).await;
        change(&relay, SourceChange::RemoveMember(PoolId::DEFAULT, source)).await;
    }
    let recipient = Some("news.test".to_owned());
    let matches = Box::new(PoolMatch { recipient, ..PoolMatch::default() });
    change(&relay, SourceChange::PutRule { position: 1, pool, matches }).await;
    let scope = LimitScope {
        from: FromScope::Pool(pool),
        to: ToScope::Anywhere,
        who: WhoScope::Everybody,
        class: None,
    };
    let limit = Limit {
        id: LimitId(0),
        scope,
        metric: Metric::Messages,
        value: 3,
        window: Some(HOUR),
        pace: Pace::Fixed,
        origin: Origin::Admin,
        reason: "few from here".to_owned(),
        expires_at: None,
        pinned: false,
    };
    relay.set_limit(limit).await;
    for number in 0..8 {
        relay.submit(&[&format!("u{number}@news.test")]).await;
        relay.submit(&[&format!("u{number}@other.test")]).await;
    }
    relay.rest().await;
    let peers = peers(&mx);
    let of_pool: usize = ["2", "3"].iter().filter_map(|last| peers.get(*last)).sum();
    assert_eq!((of_pool, peers["1"]), (3, 8), "{peers:?}");
}

/// Moves the clock by minutes until the checks have come to this for a source, and whoever sends
/// knows it.
async fn comes_to(relay: &TestRelay, wanted: HealthState) -> SourceHealth {
    let started = std::time::Instant::now();
    loop {
        let rows = relay.app().schedule().sources().rows();
        let mut health = rows.into_iter().filter_map(|(_, _, health)| health);
        if let Some(health) = health.find(|health| health.state == wanted) {
            return health;
        }
        assert!(started.elapsed() < PATIENCE, "it never became {wanted}");
        relay.clock().advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn listed_source(settings: &mut Settings) {
    settings.checks.blocklists = vec!["dnsbl.test".to_owned()];
    settings.source =
        vec![SourceSettings { public_address: vec![[9, 9, 9, 9].into()], ..source("a", 1) }];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_source_is_red_after_two_hours_and_sends_when_a_person_says_so() {
    let mx = FakeMx::accepting().await;
    let address = Data::Address([9, 9, 9, 9].into());
    mx.name(HOST_NAME, Says::Records(vec![address]));
    let pointer = Says::Records(vec![Data::Pointer(HOST_NAME.to_owned())]);
    mx.name("9.9.9.9.in-addr.arpa", pointer);
    let spf = Says::Records(vec![Data::Text("v=spf1 ip4:9.9.9.9 -all".to_owned())]);
    mx.name("sender.test", spf);
    mx.name("9.9.9.9.dnsbl.test", Says::Missing);
    let relay = TestRelay::with(&mx, listed_source).await;
    comes_to(&relay, HealthState::Green).await;
    let entry = Says::Records(vec![Data::Address([127, 0, 0, 2].into())]);
    mx.name("9.9.9.9.dnsbl.test", entry);
    relay.clock().advance(HOUR);
    let health = comes_to(&relay, HealthState::Yellow).await;
    assert!(health.findings.iter().any(|one| one.text == "dnsbl.test lists 9.9.9.9"));
    relay.submit(&["first@example.test"]).await;
    relay.rest().await;
    assert_eq!(relay.state_of("first@example.test").await, State::Delivered);
    relay.clock().advance(2 * HOUR);
    comes_to(&relay, HealthState::Red).await;
    relay.submit(&["second@example.test"]).await;
    relay.rest().await;
    let text = relay.text_of("second@example.test").await;
    assert!(text.contains("red: dnsbl.test lists 9.9.9.9"), "{text}");
    let a = id_of(&relay, "a").await;
    change(&relay, SourceChange::Override(a, true)).await;
    relay.run_until_idle().await;
    assert_eq!(mx.received(), ["first@example.test", "second@example.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_at_the_same_hosts_count_at_one_operator() {
    let mx = FakeMx::accepting().await;
    let google = "aspmx.l.google.com";
    mx.name(google, Says::Records(vec![Data::Address([127, 0, 9, 1].into())]));
    for domain in ["one.test", "two.test"] {
        mx.name(domain, Says::Records(vec![Data::Mx(1, google.to_owned())]));
    }
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["a@one.test", "b@two.test", "c@three.test"]).await;
    relay.run_until_idle().await;
    let operators = relay.store().operators().await.expect("listed");
    let name = |id: Option<OperatorId>| {
        operators.iter().find(|row| Some(row.id) == id).map(|row| row.name.clone())
    };
    let sites = relay.store().sites().await.expect("listed");
    let of_site: Vec<_> = sites.iter().skip(1).filter_map(|site| name(site.operator)).collect();
    assert!(of_site.len() == 2 && of_site.contains(&"google".to_owned()), "{of_site:?}");
    assert!(of_site.contains(&"tail".to_owned()), "{of_site:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_tried_up_to_the_hosts_greeting_and_no_mail_is_sent() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::sending_to(&mx).await;
    let path = format!("/v1/sources/{}/test", relay.settings().source[0].name);
    let told = relay.order(&path, json!({"to": "example.test"})).await;
    let trial = &told["trial"];
    assert_eq!(trial["failure"], json!(null), "{trial}");
    let lines = |name: &str| trial[name].as_array().expect("a list").len();
    assert!(lines("dialogue") > 1 && lines("capabilities") > 0, "{trial}");
    assert!(trial["facts"]["host"].is_string(), "{trial}");
    assert!(told["health"].is_object(), "it is checked first: {told}");
    let told = relay.order(&path, json!({})).await;
    assert_eq!(told["trial"], json!(null), "an address of ours needs somebody to connect to");
    mx.always(Phase::Connect, Deed::Reply("554 go away".into()));
    let told = relay.order(&path, json!({"to": "example.test"})).await;
    assert!(told["trial"]["failure"].as_str().is_some_and(|why| why.contains("go away")), "{told}");
    assert!(mx.received().is_empty());
}
