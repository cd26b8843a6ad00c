//! What is looked at by the hour: the records of sending domains, and whether sources may send.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use postroad::config::{RelaySettings, Settings, SourceSettings};
use postroad::model::TlsMode;
use postroad::world::dns::{Data, Says};
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::mx::FakeMx;
use crate::support::relay::{HOST_NAME, TestRelay};

const HOUR: Duration = Duration::from_secs(3600);

fn address(of: [u8; 4]) -> Data {
    Data::Address(IpAddr::from(of))
}

fn text(of: &str) -> Data {
    Data::Text(of.to_owned())
}

/// A relay whose domain has a name server, which is the one of the test.
async fn looked_after(mx: &FakeMx, change: impl FnOnce(&mut Settings)) -> TestRelay {
    let port = mx.dns().address().port();
    let relay = TestRelay::with(mx, |settings| {
        settings.dns.authority_port = port;
        change(settings);
    })
    .await;
    mx.dns().change(|zones| {
        zones.add("sender.test", Data::NameServer("ns.sender.test".into()));
        zones.add("ns.sender.test", address([127, 0, 0, 1]));
    });
    relay
}

async fn look(relay: &TestRelay) -> Value {
    relay.order("/v1/domains/sender.test/check", json!({})).await
}

/// The record of this purpose, of a look made now.
async fn record(relay: &TestRelay, purpose: &str) -> Value {
    let check = look(relay).await;
    let records = check["records"].as_array().expect("records");
    let found = records.iter().find(|record| record["purpose"] == purpose);
    found.unwrap_or_else(|| panic!("no {purpose}: {check}")).clone()
}

async fn events(relay: &TestRelay, kind: &str) -> Vec<Value> {
    let page = relay.see(&format!("/v1/events?kind={kind}")).await;
    page["items"].as_array().expect("events").clone()
}

/// Moves the clock on by the hour until such an event is told.
async fn until_told(relay: &TestRelay, kind: &str) -> Value {
    let started = Instant::now();
    loop {
        if let Some(event) = events(relay, kind).await.last() {
            return event["fields"].clone();
        }
        assert!(started.elapsed() < PATIENCE, "{kind} is not told");
        relay.clock().advance(HOUR);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_for_links_is_right_only_where_it_leads_to_this_installation() {
    let mx = FakeMx::accepting().await;
    mx.name("links.host.test", Says::Records(vec![address([127, 0, 3, 1])]));
    mx.name("elsewhere.test", Says::Records(vec![address([192, 0, 2, 66])]));
    let relay = looked_after(&mx, |settings| {
        settings.http.public_url = Some("http://links.host.test".to_owned());
    })
    .await;
    relay.put("/v1/public-host", json!({"host": "links.sender.test"})).await;
    let missing = record(&relay, "tracking").await;
    assert_eq!(missing["state"], "missing", "{missing}");
    assert_eq!(
        (&missing["name"], &missing["type"], &missing["expected"]),
        (&json!("links.sender.test"), &json!("CNAME"), &json!("links.host.test"))
    );
    let alias = |name: &str| Data::Alias(name.to_owned());
    for (says, state, note) in [
        (vec![address([192, 0, 2, 66])], "different", "192.0.2.66"),
        (vec![alias("elsewhere.test")], "different", "192.0.2.66"),
        (vec![alias("links.host.test")], "right", ""),
        (vec![address([127, 0, 3, 1])], "right", ""),
        // A source's address is this host's as well.
        (vec![address([127, 0, 2, 1])], "right", ""),
        (vec![address([127, 0, 3, 1]), address([192, 0, 2, 66])], "different", "192.0.2.66"),
        (vec![alias("nowhere.sender.test")], "missing", "publish"),
    ] {
        mx.name("links.sender.test", Says::Records(says));
        let found = record(&relay, "tracking").await;
        assert_eq!(found["state"], state, "{found}");
        assert!(found["note"].as_str().is_some_and(|text| text.contains(note)), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bounces_come_back_to_needs_an_mx_and_spf_of_its_own() {
    let mx = FakeMx::accepting().await;
    let relay = looked_after(&mx, |settings| {
        settings.inbound.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    })
    .await;
    let order = json!({"name": "bounce.sender.test", "organization": 1});
    relay.order("/v1/return-domains", order).await;
    let mx_of = |name: &str| Data::Mx(10, name.to_owned());
    let covers = || text("v=spf1 ip4:127.0.2.1 -all");
    mx.name("ours.test", Says::Records(vec![mx_of(HOST_NAME), covers()]));
    for (says, leads, spf) in [
        (vec![mx_of("other.test")], "different", "missing"),
        (vec![mx_of(HOST_NAME), text("v=spf1 -all")], "right", "different"),
        (vec![text("v=spf1 ip4:127.0.2.0/24 -all")], "missing", "right"),
        (vec![mx_of(HOST_NAME), covers()], "right", "right"),
        (vec![mx_of(HOST_NAME), covers(), text("v=spf1 ~all")], "right", "different"),
        (vec![Data::Alias("ours.test".into())], "right", "right"),
    ] {
        mx.name("bounce.sender.test", Says::Records(says.clone()));
        let states = (
            record(&relay, "return_path").await["state"].clone(),
            record(&relay, "return_path_spf").await["state"].clone(),
        );
        assert_eq!(states, (json!(leads), json!(spf)), "{says:?}");
    }
    // Mail need not come in here: the domain is ready without it.
    let inbound = record(&relay, "inbound").await;
    assert_eq!((&inbound["state"], &inbound["optional"]), (&json!("missing"), &json!(true)));
    mx.dns().change(|zones| zones.add("sender.test", Data::Mx(10, HOST_NAME.to_owned())));
    assert_eq!(record(&relay, "inbound").await["state"], "right");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_spf_record_that_needs_more_than_ten_look_ups_is_not_right() {
    let mx = FakeMx::accepting().await;
    let relay = looked_after(&mx, |_| {}).await;
    let including = |count: usize| {
        let includes: Vec<String> = (0..count).map(|n| format!("include:i{n}.test")).collect();
        text(&format!("v=spf1 ip4:127.0.2.1 {} -all", includes.join(" ")))
    };
    mx.dns().change(|zones| {
        (0..11).for_each(|n| zones.add(&format!("i{n}.test"), text("v=spf1 -all")));
    });
    let server = || Data::NameServer("ns.sender.test".into());
    for (count, state, note) in [(10, "right", ""), (11, "different", "needs 11 look-ups")] {
        mx.name("sender.test", Says::Records(vec![server(), including(count)]));
        let check = look(&relay).await;
        let spf = &check["records"][0];
        assert_eq!((&check["spf_lookups"], &spf["state"]), (&json!(count), &json!(state)));
        assert!(spf["note"].as_str().is_some_and(|text| text.contains(note)), "{spf}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_looked_at_every_hour_and_only_a_change_is_told() {
    let mx = FakeMx::accepting().await;
    let relay = looked_after(&mx, |_| {}).await;
    look(&relay).await;
    look(&relay).await;
    assert_eq!(events(&relay, "domain_checked").await, Vec::<Value>::new());
    mx.name("_dmarc.sender.test", Says::Records(vec![text("v=DMARC1; p=none")]));
    let told = until_told(&relay, "domain_checked").await;
    let dmarc = "dmarc _dmarc.sender.test";
    assert_eq!(
        (&told["before"][dmarc], &told["records"][dmarc]),
        (&json!("missing"), &json!("right"))
    );
    assert_eq!((&told["domain"], &told["ready"]), (&json!("sender.test"), &json!(false)));
    look(&relay).await;
    assert_eq!(events(&relay, "domain_checked").await.len(), 1, "the same is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_probe_is_not_verified_signs_nothing_though_its_record_is_right() {
    let mx = FakeMx::accepting().await;
    let relay = looked_after(&mx, |_| {}).await;
    let keys = async |selector: &str| {
        let order = json!({"domain": "sender.test", "selector": selector});
        let made = relay.order("/v1/dkim", order).await;
        made["items"].as_array().expect("keys").clone()
    };
    let (first, second) = (keys("one").await, keys("two").await);
    let word = |row: &Value, name: &str| row[name].as_str().expect("text").to_owned();
    let file = |row: &Value| {
        let name = format!("{}.{}.pem", word(row, "selector"), word(row, "algorithm"));
        relay.settings().node.dkim_dir.join("sender.test").join(name)
    };
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one["algorithm"], other["algorithm"]);
        // What signs is not what the record names.
        std::fs::copy(file(one), file(other)).expect("copied");
        let name = format!("{}._domainkey.sender.test", word(other, "selector"));
        mx.name(&name, Says::Records(vec![text(&word(other, "record"))]));
    }
    let check = look(&relay).await;
    let tried: Vec<&Value> = check["records"]
        .as_array()
        .expect("records")
        .iter()
        .filter(|record| record["purpose"] == "dkim" && record["found"] != json!([]))
        .collect();
    assert_eq!(tried.len(), second.len(), "{check}");
    for record in tried {
        let note = record["note"].as_str().expect("a note");
        assert!(record["state"] == "different" && note.contains("was not verified"), "{record}");
    }
    relay.submit(&["bob@example.test"]).await;
    relay.run_until_idle().await;
    let mail = String::from_utf8_lossy(&mx.mail_to("bob@example.test").body).into_owned();
    assert!(!mail.contains("DKIM-Signature:"), "{mail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_get_out_turns_red_and_green_again_and_both_are_told() {
    let mx = FakeMx::accepting().await;
    let place = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = place.local_addr().expect("an address").port();
    drop(place);
    let relay = looked_after(&mx, |settings| {
        let host = "127.0.0.1".to_owned();
        settings.source.push(SourceSettings {
            name: "away".to_owned(),
            ehlo: Some(HOST_NAME.to_owned()),
            relay: Some(RelaySettings { host, port, tls: TlsMode::None, auth: None }),
            ..SourceSettings::default()
        });
    })
    .await;
    assert_eq!(events(&relay, "source_red").await, Vec::<Value>::new(), "not at once");
    let red = until_told(&relay, "source_red").await;
    assert!(red["findings"].to_string().contains("reach"), "{red}");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("free");
    let host = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(polite(stream));
        }
    });
    let green = until_told(&relay, "source_green").await;
    assert_eq!(green["source"], red["source"]);
    host.abort();
}

/// A host that takes every command.
async fn polite(stream: tokio::net::TcpStream) {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut reply = "220 away.test ESMTP\r\n";
    while stream.get_mut().write_all(reply.as_bytes()).await.is_ok() {
        line.clear();
        if !stream.read_line(&mut line).await.is_ok_and(|count| count > 0) {
            return;
        }
        reply = if line.starts_with("QUIT") { "221 bye\r\n" } else { "250 away.test\r\n" };
    }
}
