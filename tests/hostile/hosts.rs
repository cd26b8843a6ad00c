//! A23, G18: many receiving hosts that mean harm at once, and one mail that must not notice.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad::config::Settings;
use postroad::model::State;
use postroad::world::dns::{Data, Says};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::clients::{MEMORY_MAX, resident_bytes};
use crate::faults::means::middle_and_p99;
use crate::support::PATIENCE;
use crate::support::mx::FakeMx;
use crate::support::relay::TestRelay;

const KINDS: usize = 10;
/// Of these, the mail is delivered by the kind that resets after its `250`.
const RESETS_AFTER_250: usize = 4;

/// Does harm of one kind to whoever connects.
async fn harm(kind: usize, mut peer: TcpStream) -> std::io::Result<()> {
    match kind {
        0 => return Ok(()),
        1 => peer.write_all(&[0x16, 0x03, 0x01, 0xff, 0xfe, 0x00, b'\n', 0x1b]).await?,
        2 => peer.write_all(&[b"220 ", &[b'x'; 100_000][..], b"\r\n"].concat()).await?,
        3 => {
            for octet in b"220 slow.test ESMTP\r\n".iter().cycle().take(200) {
                peer.write_all(&[*octet]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        RESETS_AFTER_250 => {
            talk(&mut peer, 100).await?;
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
            return Ok(());
        }
        5 => peer.write_all(b"421 4.3.2 never\r\n").await?,
        6 => tokio::time::sleep(Duration::from_secs(600)).await,
        7 => {
            peer.write_all(b"220 endless.test ESMTP\r\n").await?;
            for _ in 0..1_000_000 {
                peer.write_all(b"250-X-AND-ANOTHER \x1b[2J<script>\r\n").await?;
            }
        }
        // Closes in the middle: after MAIL, or while the mail comes.
        8 => return talk(&mut peer, 3).await,
        _ => return talk(&mut peer, 4).await,
    }
    let mut rubbish = [0; 4096];
    while peer.read(&mut rubbish).await? > 0 {}
    Ok(())
}

/// Answers so many lines as a host does, then returns; the final dot's `250` ends it too.
async fn talk(peer: &mut TcpStream, lines: usize) -> std::io::Result<()> {
    peer.write_all(b"220 host.test ESMTP\r\n").await?;
    let (mut input, mut in_data) = (Vec::new(), false);
    for _ in 0..lines {
        let mark: &[u8] = if in_data { b"\r\n.\r\n" } else { b"\r\n" };
        let end = loop {
            if let Some(at) = memchr::memmem::find(&input, mark) {
                break at + mark.len();
            }
            if peer.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        };
        let line: Vec<u8> = input.drain(..end).collect();
        if in_data {
            return peer.write_all(b"250 2.0.0 taken\r\n").await;
        }
        in_data = line.starts_with(b"DATA");
        let answer: &[u8] = if in_data { b"354 go on\r\n" } else { b"250 ok\r\n" };
        peer.write_all(answer).await?;
    }
    Ok(())
}

fn address_of(site: usize) -> Ipv4Addr {
    let octet = |number: usize| u8::try_from(number).expect("few enough");
    Ipv4Addr::new(127, 1, octet(site / 200), octet(site % 200 + 1))
}

/// So many sites, each a domain with one host of its own.
async fn hostile_sites(mx: &FakeMx, count: usize) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for site in 0..count {
        let address = address_of(site);
        let host = format!("hx{site}.test");
        mx.name(&host, Says::Records(vec![Data::Address(IpAddr::V4(address))]));
        mx.name(&format!("h{site}.test"), Says::Records(vec![Data::Mx(10, host)]));
        let listener = TcpListener::bind((address, mx.port())).await.expect("bound");
        tasks.spawn(async move {
            let mut peers = JoinSet::new();
            while let Ok((peer, _)) = listener.accept().await {
                peers.spawn(harm(site % KINDS, peer));
                while peers.try_join_next().is_some() {}
            }
        });
    }
    tasks
}

/// One mail after another to hosts that behave: how long each took from submission to arrival.
async fn normal_mail(relay: &TestRelay, mx: &FakeMx, name: &str, count: usize) -> Vec<Duration> {
    let mut spans = Vec::new();
    for number in 0..count {
        let recipient = format!("{name}{number}@n{}.test", number % 20);
        let began = Instant::now();
        relay.submit(&[&recipient]).await;
        let arrived = async {
            while !mx.received().contains(&recipient) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let arrived = tokio::time::timeout(PATIENCE, arrived).await;
        assert!(arrived.is_ok(), "{recipient} did not arrive beside the hostile");
        spans.push(began.elapsed());
    }
    spans
}

async fn hostile_beside_normal(sites: usize, mails: usize, change: impl FnOnce(&mut Settings)) {
    let mx = FakeMx::accepting().await;
    let hostile = hostile_sites(&mx, sites).await;
    let relay = Arc::new(TestRelay::with(&mx, change).await);
    let mut alone = normal_mail(&relay, &mx, "alone", 60).await;
    let memory = resident_bytes();
    for mail in 0..mails {
        for many in (0..sites).collect::<Vec<usize>>().chunks(50) {
            let recipients = many.iter().map(|site| format!("m{mail}@h{site}.test"));
            let recipients: Vec<String> = recipients.collect();
            relay.submit(&recipients.iter().map(String::as_str).collect::<Vec<&str>>()).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut beside = normal_mail(&relay, &mx, "beside", 60).await;
    let grown = resident_bytes().saturating_sub(memory);
    let (alone, beside) = (middle_and_p99(&mut alone), middle_and_p99(&mut beside));
    println!(
        "{sites} hostile sites, {mails} mails each: p50 {:?} and p99 {:?}, alone {:?} and {:?}; \
         {} KiB more memory",
        beside.0,
        beside.1,
        alone.0,
        alone.1,
        grown / 1024
    );
    assert!(beside.1 < Duration::from_secs(10), "normal mail waits for the hostile");
    assert!(grown < MEMORY_MAX, "{grown} octets");
    every_delivery_has_its_reason(&relay, sites, mails).await;
    drop(hostile);
}

async fn every_delivery_has_its_reason(relay: &TestRelay, sites: usize, mails: usize) {
    let tried = async |recipient: &str| {
        let began = Instant::now();
        loop {
            let delivery = relay.delivery_to(recipient).await;
            if delivery.tries > 0 || !delivery.text.is_empty() || delivery.state.is_final() {
                return delivery;
            }
            // A blocked site keeps its mail unread until the block ends.
            relay.clock().advance(Duration::from_secs(30));
            assert!(began.elapsed() < PATIENCE * 4, "{delivery:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    for site in 0..sites {
        for mail in 0..mails.min(2) {
            let delivery = tried(&format!("m{mail}@h{site}.test")).await;
            if site % KINDS == RESETS_AFTER_250 {
                assert_eq!(delivery.state, State::Delivered, "{delivery:#?}");
                continue;
            }
            assert_eq!(delivery.state, State::Waiting, "kind {}: {delivery:#?}", site % KINDS);
            assert!(!delivery.text.is_empty(), "no reason: {delivery:#?}");
            assert!(delivery.blame.is_some(), "no blame: {delivery:#?}");
        }
    }
}

fn impatient(settings: &mut Settings) {
    for wait in [
        &mut settings.delivery.greeting_wait,
        &mut settings.delivery.command_wait,
        &mut settings.delivery.data_start_wait,
        &mut settings.delivery.data_end_wait,
    ] {
        *wait = Duration::from_secs(12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_sites_do_not_hold_up_the_mail_to_others() {
    hostile_beside_normal(100, 1, impatient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_sites_with_much_mail_do_not_take_all_connections() {
    hostile_beside_normal(100, 15, |settings| {
        impatient(settings);
        settings.delivery.connections_max = 150;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly: G18, a thousand hostile sites at the usual deadlines' scale"]
async fn a_thousand_hostile_sites_do_not_hold_up_the_mail_to_others() {
    hostile_beside_normal(1000, 3, |settings| {
        impatient(settings);
        settings.delivery.command_wait = Duration::from_secs(60);
        settings.delivery.greeting_wait = Duration::from_secs(60);
    })
    .await;
}
