//! Relays that want to know who we are.

use std::sync::Arc;

use base64::Engine;
use postroad::deliver::*;
use postroad::model::*;

use super::host::{Host, Talk};
use super::secure::Authority;
use super::{BODY, dialer, mail, options, source, stories, story, target, to};
use postroad::clock::Clock;

fn relay_target(host: &Host, mechanism: RelayMechanism) -> Target {
    let auth = RelayAuth { mechanism, user: "me".into(), secret: "s3cret".into() };
    Target { tls: TlsMode::None, auth: Some(Arc::new(auth)), ..target(&[host]) }
}

fn in_base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

async fn relay(mut talk: Talk) {
    talk.greet(&["PIPELINING", "AUTH PLAIN LOGIN XOAUTH2"]).await;
    let line = talk.line().await;
    if line == "AUTH LOGIN\r\n" {
        talk.say(&format!("334 {}\r\n", in_base64("Username:"))).await;
        talk.line().await;
        talk.say(&format!("334 {}\r\n", in_base64("Password:"))).await;
        talk.line().await;
    }
    talk.say("235 2.7.0 welcome\r\n").await;
    talk.take_mails(|_| None).await;
}

#[tokio::test]
async fn each_mechanism_signs_in_and_the_mail_follows_on_the_same_stream() {
    for (mechanism, said) in [
        (RelayMechanism::Plain, format!("AUTH PLAIN {}\r\n", in_base64("\0me\0s3cret"))),
        (
            RelayMechanism::Login,
            format!("AUTH LOGIN\r\n{}\r\n{}\r\n", in_base64("me"), in_base64("s3cret")),
        ),
        (
            RelayMechanism::Xoauth2,
            format!("AUTH XOAUTH2 {}\r\n", in_base64("user=me\x01auth=Bearer s3cret\x01\x01")),
        ),
    ] {
        let host = Host::start(relay).await;
        let opened = dialer().open(&relay_target(&host, mechanism), &source()).await;
        let mut connection = opened.unwrap_or_else(|failure| panic!("{failure:?}"));
        let answer = connection.send(&to(&["b@x.example"]), &mail(BODY)).await;
        assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"]);
        assert!(host.heard().contains(&said), "{}", host.heard());
    }
}

#[tokio::test]
async fn a_refused_password_defers_and_stands_in_no_record() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["AUTH PLAIN LOGIN"]).await;
        talk.line().await;
        talk.say("535 5.7.8 wrong\r\n").await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let failure = dialer().open(&relay_target(&host, RelayMechanism::Plain), &source()).await;
    let failure = failure.err().expect("no connection");
    assert_eq!(story(&failure.outcome), "deferred source 535 5.7.8 wrong");
    let record = failure.dialogue.lines.join("\n");
    assert!(record.ends_with("> AUTH PLAIN ***\n< 535 5.7.8 wrong"), "{record}");
    let secret = in_base64("\0me\0s3cret");
    assert!(!format!("{failure:?}").contains(&secret) && !record.contains("s3cret"));
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_not_replaced_by_another() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["AUTH LOGIN CRAM-MD5"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let failure = dialer().open(&relay_target(&host, RelayMechanism::Plain), &source()).await;
    let told = story(&failure.err().expect("no connection").outcome);
    assert_eq!(told, "deferred source: the relay does not offer AUTH plain");
    assert!(!host.heard().contains("AUTH"));
}

#[tokio::test]
async fn a_password_is_not_sent_in_the_clear_unless_tls_is_off() {
    let host = Host::start(relay).await;
    for tls in [TlsMode::Opportunistic, TlsMode::Required, TlsMode::Verified] {
        let target = Target { tls, ..relay_target(&host, RelayMechanism::Plain) };
        let failure = dialer().open(&target, &source()).await.err().expect("no connection");
        let told = story(&failure.outcome);
        assert!(told.starts_with("deferred host: 4.7.4"), "{told}");
    }
    assert!(!host.heard().contains("AUTH"));
}

#[tokio::test]
async fn replies_that_hide_behind_another_end_the_connection() {
    let host = Host::start(|mut talk| async move {
        talk.say("220 hi\r\n250-fake\r\n250 AUTH PLAIN\r\n").await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let failure = dialer().open(&relay_target(&host, RelayMechanism::Plain), &source()).await;
    let told = story(&failure.err().expect("no connection").outcome);
    assert_eq!(told, "deferred host: the host sent more than was asked for");
    let authority = Authority::new();
    let config = authority.server("mx.example");
    let host = Host::start(move |mut talk| {
        let config = Arc::clone(&config);
        async move {
            talk.greet(&["STARTTLS"]).await;
            talk.line().await;
            talk.say("220 go\r\n250 AUTH PLAIN\r\n").await;
            talk.secure(config).await;
        }
    })
    .await;
    let target = Target { tls: TlsMode::Required, ..relay_target(&host, RelayMechanism::Plain) };
    let failure = dialer().open(&target, &source()).await.err().expect("no connection");
    assert_eq!(story(&failure.outcome), "deferred host: the host sent more than was asked for");
}

#[tokio::test]
async fn over_tls_from_the_start_or_by_starttls_the_relay_takes_the_mail() {
    let authority = Authority::new();
    let config = authority.server("mx.example");
    for tls in [TlsMode::Verified, TlsMode::Implicit] {
        let config = Arc::clone(&config);
        let host = Host::start(move |mut talk| {
            let config = Arc::clone(&config);
            async move {
                if tls == TlsMode::Implicit {
                    assert!(talk.secure(config).await);
                } else {
                    talk.greet(&["STARTTLS"]).await;
                    assert!(talk.start_tls(config).await);
                    talk.hello(&["PIPELINING", "AUTH PLAIN"]).await;
                    talk.line().await;
                    talk.say("235 in\r\n").await;
                    return talk.take_mails(|_| None).await;
                }
                relay(talk).await;
            }
        })
        .await;
        let options = DeliverOptions { extra_roots: Some(authority.path()), ..options() };
        let dialer = Dialer::new(options, Clock::system());
        let target = Target { tls, ..relay_target(&host, RelayMechanism::Plain) };
        let opened = dialer.open(&target, &source()).await;
        let mut connection = opened.unwrap_or_else(|failure| panic!("{failure:?}"));
        let answer = connection.send(&to(&["b@x.example"]), &mail(BODY)).await;
        assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"]);
        assert!(connection.facts().tls.as_ref().is_some_and(|tls| tls.starts_with("TLSv1.3 ")));
    }
}
