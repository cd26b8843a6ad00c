//! Health windows: what they count, whom they stop, whom they tell.

use std::time::{Duration, Instant};

use postroad::config::Settings;
use postroad::model::State;
use postroad::wire::decode::quoted_printable;
use postroad::wire::network::Network;
use postroad::world::dns::{Data, Says};
use postroad::world::manners::{Manners, Rule, Whom};
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::api::PASSWORD;
use crate::support::http::HttpSink;
use crate::support::relay::Database;
use crate::support::{PATIENCE, until_told};

/// Contacts, of whom so many have a mailbox that is gone.
async fn people(desk: &Desk, name: &str, fine: usize, gone: usize) {
    for number in 0..fine {
        desk.contact(&format!("fine-{name}-{number}@a.test"), json!({"name": "A"})).await;
    }
    for number in 0..gone {
        desk.contact(&format!("gone-{name}-{number}@a.test"), json!({"name": "A"})).await;
    }
}

async fn launched(desk: &Desk, settings: Value) -> i64 {
    let id = desk.campaign("<p>x</p>", settings).await;
    desk.step(id, "launch").await;
    id
}

fn manners() -> Manners {
    let gone = Whom::LocalStart("gone".to_owned());
    let rules = vec![Rule::mailbox(gone, "550 5.1.1 no such user here")];
    Manners { rules, ..Manners::default() }
}

async fn window(desk: &Desk, query: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/health-windows?{query}");
    let ask = async || desk.done("GET", &path, Value::Null).await;
    let any = |page: &Value| page["items"].as_array().is_some_and(|all| all.iter().any(&holds));
    until_told("the window", ask, any).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_addresses_count_for_all_they_concern_and_too_many_of_them_are_told() {
    for database in Database::all().await {
        let sink = HttpSink::taking().await;
        let desk = Desk::with(&database, manners(), |settings| {
            settings.fetch.allowed_networks = vec![Network::parse("127.0.0.0/8").expect("one")];
        })
        .await;
        let order = json!({"name": "a", "url": sink.url("/hook"), "kinds": ["alarm"]});
        desk.relay.order("/v1/webhooks", order).await;
        people(&desk, "a", 70, 5).await;
        let id = launched(&desk, json!({})).await;
        desk.until(id, "sent").await;
        let warned =
            |one: &Value| one["bounce"]["standing"] == "warn" && one["counts"]["ended"] == 75;
        let page = window(&desk, &format!("kind=campaign&id={id}"), warned).await;
        let own = &page["items"][0];
        assert_eq!((&own["bounce"]["count"], &own["bounce"]["of"]), (&json!(5), &json!(75)));
        let (low, rate, high) =
            (&own["bounce"]["low"], &own["bounce"]["rate"], &own["bounce"]["high"]);
        assert!(low.as_f64() < rate.as_f64() && rate.as_f64() < high.as_f64(), "{own}");
        for kind in ["source", "domain", "organization"] {
            let query = format!("kind={kind}&by_operator={}", kind == "source");
            let all = window(&desk, &query, |one| one["counts"]["ended"] == 75).await;
            assert_eq!(all["items"][0]["counts"]["bounced"], 5, "{kind}");
        }
        let requests = sink.until(1).await;
        let alarm = &requests[0].json()["events"][0]["fields"];
        assert_eq!((&alarm["rate"], &alarm["standing"]), (&json!("bounce"), &json!("warn")));
        assert!(alarm["of"].as_u64() >= Some(50), "{alarm}");
        assert_eq!(desk.show(id).await["state"], "sent", "a warning stops nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_to_lost_addresses_is_paused_and_a_few_mails_stop_nobody() {
    let desk = Desk::on(&Database::Sqlite, manners()).await;
    people(&desk, "few", 4, 1).await;
    let few = launched(&desk, json!({})).await;
    desk.until(few, "sent").await;
    let own = format!("kind=campaign&id={few}");
    window(&desk, &own, |one| one["counts"]["ended"] == 5).await;
    people(&desk, "many", 40, 80).await;
    // What the throttle keeps back is still to come.
    let throttle = json!({"throttle": {"messages": 100, "seconds": 86400}});
    let many = launched(&desk, throttle).await;
    let told = |one: &Value| one["bounce"]["standing"] == "stop";
    let page = window(&desk, &format!("kind=campaign&id={many}"), told).await;
    assert_eq!(page["items"][0]["operator"], Value::Null, "in all");
    let shown = desk.until(many, "paused").await;
    let trouble = shown["trouble"].as_str().expect("why");
    assert!(trouble.contains("addresses are lost"), "{trouble}");
    let page = desk.done("GET", &format!("/v1/health-windows?{own}"), Value::Null).await;
    assert_eq!(page["items"][0]["bounce"]["standing"], "good", "one of five proves nothing");
    // The pause is written before its decision.
    let decisions = async || desk.done("GET", "/v1/decisions?active=true", Value::Null).await;
    let of_campaign = |page: &Value| {
        let items = page["items"].as_array().expect("a list");
        items.iter().find(|one| one["who"] == format!("campaign:{many}")).cloned()
    };
    let is_told = |page: &Value| of_campaign(page).is_some();
    let stop = of_campaign(&until_told("the decision", decisions, is_told).await);
    let stop = stop.expect("told");
    assert_eq!((&stop["rule"], &stop["after"]), (&json!("health"), &json!(0)), "{stop}");
}

fn listening(settings: &mut Settings) {
    settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
}

/// What the alarms to somebody say, once they say this; the clock moves meanwhile.
async fn alarmed(desk: &Desk, recipient: &str, words: &str) -> String {
    let started = Instant::now();
    loop {
        let mails = desk.mx.mails();
        let own = mails.iter().filter(|mail| mail.envelope.recipients == [recipient]);
        let told: String = own
            .map(|mail| String::from_utf8_lossy(&quoted_printable(&mail.body)).into_owned())
            .collect();
        if told.contains(words) {
            return told;
        }
        assert!(started.elapsed() < PATIENCE, "nobody told {recipient} of: {words}");
        desk.relay.clock().advance(Duration::from_secs(31));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn complaints_pause_a_campaign_and_are_told_by_mail_but_one_of_five_does_nothing() {
    let desk = Desk::with(&Database::Sqlite, Manners::default(), listening).await;
    desk.mx.send_back_to(desk.relay.inbound());
    let owner = json!({"email": "owner@people.test", "password": PASSWORD, "role": "owner"});
    desk.done("POST", "/v1/installation/users", owner).await;
    desk.contact("complains-few@a.test", json!({"name": "A"})).await;
    people(&desk, "few", 6, 0).await;
    let few = launched(&desk, json!({"throttle": {"messages": 5, "seconds": 86_400}})).await;
    let complained = |one: &Value| one["counts"]["complained"] == 1 && one["counts"]["taken"] == 5;
    window(&desk, &format!("kind=campaign&id={few}"), complained).await;
    for number in 0..8 {
        desk.contact(&format!("complains-many-{number}@a.test"), json!({"name": "A"})).await;
    }
    people(&desk, "many", 60, 0).await;
    // What the throttle keeps back is still to come.
    let many = launched(&desk, json!({"throttle": {"messages": 60, "seconds": 86_400}})).await;
    let told = |one: &Value| one["complaint"]["standing"] == "stop";
    window(&desk, &format!("kind=campaign&id={many}"), told).await;
    let shown = desk.until(many, "paused").await;
    let trouble = shown["trouble"].as_str().expect("why");
    assert!(trouble.contains("recipients complained"), "{trouble}");
    assert_ne!(shown["sums"]["delivered"], shown["audience"], "in the middle: {shown}");
    let page = window(&desk, &format!("kind=campaign&id={few}"), complained).await;
    assert_eq!(page["items"][0]["complaint"]["standing"], "good", "{page}");
    assert_eq!(desk.show(few).await["state"], "sending");
    let mail = alarmed(&desk, "owner@people.test", "it is paused").await;
    assert!(mail.contains(&format!("campaign {many}")), "{mail}");
    assert!(!mail.contains(&format!("campaign {few}:")), "{mail}");
}

/// Nothing goes to a domain until the limit is removed.
async fn stall(desk: &Desk, domain: &str) -> String {
    let limit = json!({"metric": "messages", "value": 0, "window": "1d",
        "to": format!("domain:{domain}")});
    format!("/v1/limits/{}", desk.done("POST", "/v1/limits", limit).await["id"])
}

/// A campaign that has lost 20 of 50 addresses at a host and none of 190 elsewhere; the limits that
/// keep back one more mail at that host, and one elsewhere.
async fn bad_at(host: &str) -> (Desk, i64, [String; 2]) {
    let desk = Desk::on(&Database::Sqlite, manners()).await;
    desk.mx.name(host, Says::Records(vec![Data::Address([127, 0, 9, 1].into())]));
    for domain in ["bad.test", "latebad.test"] {
        desk.mx.name(domain, Says::Records(vec![Data::Mx(10, host.to_owned())]));
    }
    let one = async |local: &str, number: usize, domain: &str| {
        desk.contact(&format!("{local}-{number}@{domain}"), json!({"name": "A"})).await;
    };
    for number in 0..190 {
        one("fine", number, "good.test").await;
    }
    for number in 0..50 {
        one(if number < 20 { "gone" } else { "fine" }, number, "bad.test").await;
    }
    one("fine", 1, "latebad.test").await;
    one("fine", 2, "lategood.test").await;
    let first = stall(&desk, "bad.test").await;
    let late = [stall(&desk, "latebad.test").await, stall(&desk, "lategood.test").await];
    let id = launched(&desk, json!({})).await;
    desk.until_it(id, "done elsewhere", |shown| shown["sums"]["delivered"] == 190).await;
    desk.done("DELETE", &first, Value::Null).await;
    (desk, id, late)
}

#[tokio::test(flavor = "multi_thread")]
async fn among_small_hosts_a_campaign_stops_at_the_one_where_it_is_bad() {
    let (desk, id, late) = bad_at("mx.small.test").await;
    let ask = async || {
        let all = desk.done("GET", "/v1/decisions?active=true", Value::Null).await;
        let mut items = all["items"].as_array().expect("a list").clone().into_iter();
        items.find(|one| one["who"] == format!("campaign:{id}")).unwrap_or_default()
    };
    let stop = until_told("a stop", ask, |stop: &Value| !stop.is_null()).await;
    assert!(stop["to"].as_str().is_some_and(|to| to.starts_with("site:")), "{stop}");
    for limit in late {
        desk.done("DELETE", &limit, Value::Null).await;
    }
    let shown =
        desk.until_it(id, "through elsewhere", |shown| shown["sums"]["delivered"] == 221).await;
    assert_eq!(shown["state"], "sending", "{shown}");
    assert_eq!(desk.relay.state_of("fine-1@latebad.test").await, State::Waiting);
    assert_eq!(stop["rule"], "health");
    let is_it = |one: &Value| one["fields"]["kind"] == "campaign" && one["fields"]["site"].is_i64();
    let ask = async || {
        let alarms = desk.done("GET", "/v1/events?kind=alarm&limit=1000", Value::Null).await;
        alarms["items"].as_array().expect("a list").iter().filter(|one| is_it(one)).count()
    };
    assert_eq!(until_told("an alarm", ask, |count| *count > 0).await, 1);
    desk.relay.clock().advance(Duration::from_secs(25 * 3600));
    let shown = desk.until(id, "sent").await;
    assert_eq!((&shown["sums"]["delivered"], &shown["sums"]["failed"]), (&json!(222), &json!(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_bad_at_one_operator_stops_there_for_a_day_and_goes_on_elsewhere() {
    let (desk, id, late) = bad_at("gmail-smtp-in.l.google.com").await;
    let stopped = |one: &Value| one["bounce"]["standing"] == "stop";
    let path = format!("kind=campaign&id={id}&by_operator=true");
    let page = window(&desk, &path, stopped).await;
    let own = page["items"].as_array().expect("a list").iter().find(|one| stopped(one));
    assert_eq!(own.expect("it is stopped")["counts"]["bounced"], 20);
    for limit in late {
        desk.done("DELETE", &limit, Value::Null).await;
    }
    let shown =
        desk.until_it(id, "through elsewhere", |shown| shown["sums"]["delivered"] == 221).await;
    assert_eq!(shown["state"], "sending", "in all it is not bad enough: {shown}");
    let waiting = desk.relay.delivery_to("fine-1@latebad.test").await;
    assert_eq!(waiting.state, State::Waiting);
    let why = desk.relay.why(waiting.id).await;
    assert!(why.iter().any(|reason| reason.text.contains("addresses are lost")), "{why:?}");
    // The domain it is sent from is stopped there, too, so nothing goes yet.
    let go_on = json!({"operator": "google"});
    desk.done("POST", &format!("/v1/campaigns/{id}/go-on"), go_on).await;
    desk.relay.clock().advance(Duration::from_secs(25 * 3600));
    let shown = desk.until(id, "sent").await;
    assert_eq!((&shown["sums"]["delivered"], &shown["sums"]["failed"]), (&json!(222), &json!(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_credential_sends_has_a_window_of_its_own() {
    let desk = Desk::on(&Database::Sqlite, manners()).await;
    for recipient in ["fine-1@a.test", "fine-2@a.test", "gone-1@a.test"] {
        desk.relay.submit(&[recipient]).await;
    }
    desk.relay.run_until_idle().await;
    let all = |one: &Value| one["counts"]["ended"] == 3;
    let page = window(&desk, "kind=credential&by_operator=true", all).await;
    assert_eq!(page["items"][0]["counts"]["bounced"], 1, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_off_and_what_is_blocked_are_rates_of_all_answers() {
    let listed = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using \
                  zen.spamhaus.org";
    let at = |local: &str, reply: &str| Rule::mailbox(Whom::LocalStart(local.to_owned()), reply);
    let rules = vec![at("full", "452 4.2.2 mailbox full"), at("listed", listed)];
    let manners = Manners { rules, ..Manners::default() };
    let desk = Desk::on(&Database::Sqlite, manners).await;
    for (number, local) in ["fine", "full", "listed"].into_iter().enumerate() {
        desk.relay.submit(&[&format!("{local}-1@a.test")]).await;
        let all = |one: &Value| one["counts"]["answered"] == number + 1;
        window(&desk, "kind=credential", all).await;
    }
    let page = desk.done("GET", "/v1/health-windows?kind=credential", Value::Null).await;
    let own = &page["items"][0];
    assert_eq!((&own["block"]["count"], &own["block"]["of"]), (&json!(1), &json!(3)), "{own}");
    assert!(own["deferral"]["count"].as_u64() >= Some(1), "{own}");
    assert_eq!((&own["deferral"]["of"], &own["bounce"]["count"]), (&json!(3), &json!(0)), "{own}");
    assert!(own["block"]["low"].as_f64() < own["block"]["rate"].as_f64());
}
