//! Name servers that fail, lie or keep silent, and answers that point where nobody may be sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postroad::model::State;
use postroad::wire::network::Network;
use postroad::world::dns::{Data, Says};
use tokio::net::TcpListener;

use crate::support::mx::{FIRST, FakeMx};
use crate::support::ports::both_protocols;
use crate::support::relay::{HOST_NAME, SENDER, SOURCE, TestRelay};

const LATER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn name_servers_that_fail_or_keep_silent_defer_with_the_reason_and_the_mail_arrives_later() {
    let mx = FakeMx::accepting().await;
    for (name, says) in [("failing.test", Says::ServerFailure), ("silent.test", Says::Silence)] {
        mx.name(name, says);
    }
    let relay = TestRelay::sending_to(&mx).await;
    let recipients = ["bob@failing.test", "bob@silent.test", "bob@well.test"];
    for recipient in recipients {
        relay.submit(&[recipient]).await;
    }
    relay.rest().await;
    assert_eq!(relay.state_of("bob@well.test").await, State::Delivered);
    for recipient in &recipients[..2] {
        assert_eq!(relay.state_of(recipient).await, State::Waiting, "{recipient}");
        let text = relay.text_of(recipient).await;
        let domain = recipient.rsplit('@').next().expect("a domain");
        assert!(text.contains("DNS") && text.contains(domain), "{text}");
        mx.dns().change(|zones| zones.remove(domain));
    }
    relay.clock().advance(LATER);
    relay.run_until_idle().await;
    let mut received = mx.received();
    received.sort();
    assert_eq!(received, recipients);
}

/// A server that answers each question with something else than an answer.
async fn liar() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let (stream, socket) = both_protocols().await;
    let address = socket.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut packet = [0u8; 4096];
        let mut turn = 0u8;
        loop {
            tokio::select! {
                received = socket.recv_from(&mut packet) => {
                    let Ok((length, peer)) = received else { continue };
                    turn = turn.wrapping_add(1);
                    let mut answer = packet[..length].to_vec();
                    match turn % 5 {
                        0 => answer = vec![0xff; 4096],
                        // The question as an answer whose counts promise what is not there.
                        1 => answer[2..12].fill(0xff),
                        2 => answer.truncate(3),
                        // A pointer to itself where a name should be.
                        3 => answer[12..14].copy_from_slice(&[0xc0, 0x0c]),
                        _ => answer[0] ^= 1,
                    }
                    socket.send_to(&answer, peer).await.ok();
                }
                accepted = stream.accept() => drop(accepted),
            }
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_from_a_name_server_defers_and_never_fails_a_mail() {
    let mx = FakeMx::accepting().await;
    let (server, liar) = liar().await;
    let relay = TestRelay::with(&mx, |settings| settings.dns.servers = vec![server]).await;
    for number in 0..10 {
        relay.submit(&[&format!("bob@d{number}.test")]).await;
    }
    relay.rest().await;
    for delivery in relay.owed().await {
        assert_eq!((delivery.state, delivery.tries), (State::Waiting, 1));
        assert!(delivery.text.contains("DNS"), "{}", delivery.text);
    }
    assert_eq!(relay.owed().await.len(), 10);
    assert_eq!(mx.received(), Vec::<String>::new());
    liar.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dns_says_for_good_fails_at_once_and_its_sender_is_told() {
    let mx = FakeMx::accepting().await;
    mx.name("null.test", Says::Records(vec![Data::Mx(0, ".".into())]));
    mx.name("missing.test", Says::Missing);
    let relay = TestRelay::sending_to(&mx).await;
    for (recipient, status) in [("bob@null.test", "5.1.10"), ("bob@missing.test", "5.1.2")] {
        relay.submit(&[recipient]).await;
        relay.rest().await;
        assert_eq!(relay.state_of(recipient).await, State::Failed);
        assert!(relay.text_of(recipient).await.contains(status));
    }
    relay.run_until_idle().await;
    let reports = mx.mails();
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert_eq!(report.envelope.sender, "");
        assert_eq!(report.envelope.recipients, [SENDER]);
        let text = String::from_utf8_lossy(&report.body).into_owned();
        assert!(text.contains("Action: failed"), "{text}");
    }
}

/// The listener stands where a mail would end up if a lie of DNS were believed.
async fn hosts_and_a_listener_beside() -> (FakeMx, TcpListener) {
    for _ in 0..50 {
        let mx = FakeMx::accepting().await;
        // Any client may have been given this port of this address.
        if let Ok(silent) = TcpListener::bind((Ipv4Addr::LOCALHOST, mx.port())).await {
            return (mx, silent);
        }
    }
    panic!("no port is free beside the hosts");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_dns_leads_to_private_addresses_or_to_ourselves() {
    let (mx, silent) = hosts_and_a_listener_beside().await;
    let everywhere: Vec<(&str, IpAddr)> = [
        ("loopback", "127.0.0.1"),
        ("zero", "0.0.0.0"),
        ("private", "10.1.2.3"),
        ("link", "169.254.169.254"),
        ("shared", "100.64.0.1"),
        ("multicast", "224.0.0.1"),
        ("six", "::1"),
        ("mapped", "::ffff:127.0.0.1"),
        ("unique", "fd00::1"),
        ("translated", "64:ff9b::7f00:1"),
        ("source", "127.0.2.1"),
    ]
    .map(|(name, address)| (name, address.parse().expect("an address")))
    .into();
    assert!(everywhere.iter().any(|(_, address)| *address == IpAddr::V4(SOURCE)));
    for (name, address) in &everywhere {
        mx.name(&format!("mx.{name}.test"), Says::Records(vec![Data::Address(*address)]));
        let host = format!("mx.{name}.test");
        mx.name(&format!("{name}.test"), Says::Records(vec![Data::Mx(10, host)]));
    }
    mx.name("own.test", Says::Records(vec![Data::Mx(10, HOST_NAME.into())]));
    // As on a real host: nothing but the one address of the well-behaved hosts is allowed.
    let allowed = Network::parse("127.0.9.0/24").expect("a network");
    let relay = TestRelay::with(&mx, |settings| {
        settings.delivery.allowed_networks = vec![allowed];
    })
    .await;
    let connected = Arc::new(AtomicUsize::new(0));
    let count = connected.clone();
    let watch = tokio::spawn(async move {
        while silent.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let never = |name: &str| format!("<bob@{name}.test> NOTIFY=NEVER");
    let mail = b"From: <sender@sender.test>\r\n\r\nx\r\n";
    for name in everywhere.iter().map(|(name, _)| *name).chain(["own"]) {
        relay.submit_mail(&format!("<{SENDER}>"), &[&never(name)], mail).await;
    }
    relay.submit(&["bob@well.test"]).await;
    relay.run_until_idle().await;
    for name in everywhere.iter().map(|(name, _)| *name).chain(["own"]) {
        let recipient = format!("bob@{name}.test");
        let delivery = relay.delivery_to(&recipient).await;
        assert_eq!(delivery.state, State::Failed, "{recipient}: {}", delivery.text);
        let status = if matches!(name, "own" | "source") { "5.4.6" } else { "5.4.4" };
        assert!(delivery.text.contains(status), "{recipient}: {}", delivery.text);
        assert_eq!(delivery.tries, 1, "no storm of retries: {recipient}");
    }
    assert_eq!(connected.load(Ordering::Relaxed), 0, "somebody was connected to");
    assert_eq!(mx.received(), ["bob@well.test"]);
    assert!(mx.mail_to("bob@well.test").host == FIRST);
    watch.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_silent_domains_do_not_hold_up_a_new_one() {
    let mx = FakeMx::accepting().await;
    mx.name("*.silent.test", Says::Silence);
    let relay = TestRelay::sending_to(&mx).await;
    for part in 0..5 {
        let recipients: Vec<String> =
            (0..100).map(|number| format!("bob@d{part}x{number}.silent.test")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        relay.submit(&recipients).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = std::time::Instant::now();
    relay.submit(&["bob@well.test"]).await;
    crate::support::until("the mail to a domain whose DNS is well", || {
        mx.received() == ["bob@well.test"]
    })
    .await;
    let took = began.elapsed();
    println!("500 silent domains: a new domain's mail took {took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}
