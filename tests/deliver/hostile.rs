//! Hosts that are broken, hostile or merely odd, and the outcome of a mail at each of them.

use std::time::Duration;

use bytes::Bytes;
use postroad::clock::Clock;
use postroad::deliver::*;

use super::host::Host;
use super::{
    BODY, SHORT, dialer, mail, open, open_fails, open_fails_with, options, send_one, send_one_with,
    source, stories, story, target, to,
};
use crate::support::until;

/// A host that lets the greeting or the answer to EHLO wait is left soon.
fn impatient() -> DeliverOptions {
    DeliverOptions { greeting_wait: SHORT, command_wait: SHORT, ..options() }
}

/// The outcome of one mail to one recipient at a host that behaves like this after EHLO.
macro_rules! outcome_at {
    ($keywords:expr, |$talk:ident| $script:expr) => {{
        let host = Host::start(move |mut $talk| async move {
            $talk.greet($keywords).await;
            $script
        })
        .await;
        let (connection, answer) = send_one(&host).await;
        (story(&answer.outcomes[0]), connection.is_usable(), answer)
    }};
}

#[tokio::test]
async fn an_endless_greeting_ends() {
    let host = Host::start(|mut talk| async move {
        for _ in 0..10_000 {
            talk.say("220-more\r\n").await;
        }
    })
    .await;
    let failure = open_fails(&[&host]).await;
    assert_eq!(story(&failure.outcome), "deferred host: a reply of more than 100 lines");
}

#[tokio::test]
async fn an_endless_ehlo_answer_ends() {
    let host = Host::start(|mut talk| async move {
        talk.say("220 hi\r\n").await;
        talk.line().await;
        for _ in 0..10_000 {
            talk.say("250-more\r\n").await;
        }
    })
    .await;
    let failure = open_fails(&[&host]).await;
    assert_eq!(story(&failure.outcome), "deferred host: a reply of more than 100 lines");
    assert_eq!(failure.dialogue.lines[1..3], ["< 220 hi", "> EHLO mail.sender.example"]);
}

#[tokio::test]
async fn a_line_of_a_megabyte_is_not_read_to_its_end() {
    let (told, usable, _) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say(&format!("250 {}\r\n", "x".repeat(1 << 20))).await;
    });
    assert_eq!(told, "deferred host: a reply line of more than 8192 octets");
    assert!(!usable);
}

#[tokio::test]
async fn a_host_that_drips_octets_gains_no_time() {
    let host = Host::start(|mut talk| async move {
        talk.drip(&"220-hello\r\n".repeat(50), Duration::from_millis(50)).await;
    })
    .await;
    let failure = open_fails_with(impatient(), &[&host]).await;
    assert_eq!(story(&failure.outcome), "deferred host: no answer within 0.4 s");
}

#[tokio::test]
async fn a_host_that_never_greets_is_left() {
    let host = Host::start(|mut talk| async move { talk.hang().await }).await;
    let failure = open_fails_with(impatient(), &[&host]).await;
    assert_eq!(story(&failure.outcome), "deferred host: no answer within 0.4 s");
    assert_eq!(failure.facts.address, Some(host.address));
}

#[tokio::test]
async fn silence_after_the_greeting_defers() {
    let host = Host::start(|mut talk| async move {
        talk.say("220 hi\r\n").await;
        talk.hang().await;
    })
    .await;
    let failure = open_fails_with(impatient(), &[&host]).await;
    assert_eq!(story(&failure.outcome), "deferred host: no answer within 0.4 s");
}

#[tokio::test]
async fn a_refusal_at_connect_never_fails_a_mail_and_the_next_host_is_tried() {
    let refusing = Host::start(|mut talk| async move {
        talk.say("554 5.7.1 your address is listed\r\n").await;
    })
    .await;
    let taking = Host::start(|mut talk| async move {
        talk.greet(&[]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let connection = open(&[&refusing, &taking]).await;
    assert_eq!(connection.facts().address, Some(taking.address));
    let failure = open_fails(&[&refusing]).await;
    assert_eq!(story(&failure.outcome), "deferred source 554 5.7.1 your address is listed");
}

#[tokio::test]
async fn a_closed_port_is_passed_over() {
    let taking = Host::start(|mut talk| async move {
        talk.greet(&[]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let mut target = target(&[&taking]);
    target.hosts[0].addresses.insert(0, "127.0.0.1:1".parse().expect("an address"));
    let connection = dialer().open(&target, &source()).await.expect("a connection");
    assert_eq!(connection.facts().address, Some(taking.address));
}

#[tokio::test]
async fn a_source_address_that_is_not_ours_is_our_own_fault() {
    let host = Host::start(|mut talk| async move { talk.greet(&[]).await }).await;
    let foreign = Source { bind_v4: Some([192, 0, 2, 1].into()), ..source() };
    let failure = dialer().open(&target(&[&host]), &foreign).await.err().expect("no connection");
    assert!(story(&failure.outcome).starts_with("deferred ourselves: cannot send from 192.0.2.1"));
    let v6 = Source { bind_v4: None, bind_v6: Some(std::net::Ipv6Addr::LOCALHOST), ..source() };
    let failure = dialer().open(&target(&[&host]), &v6).await.err().expect("no connection");
    assert!(story(&failure.outcome).starts_with("deferred source: no address"));
}

#[tokio::test]
async fn a_host_without_ehlo_is_greeted_with_helo() {
    let host = Host::start(|mut talk| async move {
        talk.say("220 hi\r\n").await;
        talk.take_mails(|line| line.starts_with("EHLO").then_some("502 what\r\n")).await;
    })
    .await;
    let (_, answer) = send_one(&host).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"]);
    assert!(host.heard().contains("HELO mail.sender.example\r\n"));
}

#[tokio::test]
async fn a_host_that_says_421_forever_defers_wherever_it_says_so() {
    let host = Host::start(|mut talk| async move { talk.say("421 4.3.2 busy\r\n").await }).await;
    let failure = open_fails(&[&host]).await;
    assert_eq!(story(&failure.outcome), "deferred host 421 4.3.2 busy");
    let (told, usable, answer) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n421 4.7.0 go away\r\n").await;
    });
    assert_eq!(told, "deferred host 421 4.7.0 go away");
    assert!(!usable && !answer.untouched);
}

#[tokio::test]
async fn codes_that_differ_within_a_reply_are_no_answer() {
    let (told, usable, _) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say("250-first\r\n550 second\r\n").await;
        talk.hang().await;
    });
    assert_eq!(told, "deferred host: the lines of one reply carry the codes 250 and 550");
    assert!(!usable);
}

#[tokio::test]
async fn rubbish_after_the_final_dot_is_an_answer_not_seen() {
    for rubbish in ["250-yes\r\n550 no\r\n", "<html>ok</html>\r\n", "250x\r\n"] {
        let (told, usable, answer) = outcome_at!(&["PIPELINING"], |talk| {
            talk.until("DATA\r\n").await;
            talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
            talk.data().await;
            talk.say(rubbish).await;
            talk.hang().await;
        });
        assert_eq!(told, "answer not seen");
        assert!(!usable && !answer.dialogue.lines.is_empty());
    }
}

#[tokio::test]
async fn a_host_that_closes_at_data_teaches_nothing_of_the_mail() {
    let (told, ..) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n").await;
    });
    assert_eq!(told, "deferred host: the host closed the connection");
}

#[tokio::test]
async fn a_host_that_closes_or_falls_silent_after_the_dot_was_not_seen_to_answer() {
    let (told, ..) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
    });
    assert_eq!(told, "answer not seen");
    let (told, ..) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.half_close().await;
        talk.hang().await;
    });
    assert_eq!(told, "answer not seen");
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.hang().await;
    })
    .await;
    let options = DeliverOptions { data_end_wait: SHORT, ..options() };
    let (_, answer) = send_one_with(options, &host).await;
    assert_eq!(stories(&answer), ["answer not seen"]);
}

#[tokio::test]
async fn a_421_after_the_dot_is_an_answer() {
    let (told, ..) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.say("421 4.3.0 restarting\r\n").await;
    });
    assert_eq!(told, "deferred host 421 4.3.0 restarting");
}

#[tokio::test]
async fn a_reset_after_250_takes_nothing_back() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.say("250 taken\r\n").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        talk.reset();
    })
    .await;
    let (mut connection, answer) = send_one(&host).await;
    assert_eq!(stories(&answer), ["delivered 250 taken"]);
    until("it is seen to be reset", || !connection.is_usable()).await;
    // Whoever does not ask beforehand learns that nothing was learned.
    let answer = connection.send(&to(&["c@example.net"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["deferred host: the host closed the connection"]);
    assert!(answer.untouched);
}

#[tokio::test]
async fn a_host_that_ends_a_used_connection_at_mail_leaves_the_mail_untouched() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.say("250 taken\r\n").await;
        talk.line().await;
        talk.say("421 4.4.2 enough for one connection\r\n").await;
    })
    .await;
    let (mut connection, _) = send_one(&host).await;
    let answer = connection.send(&to(&["c@example.net"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["deferred host 421 4.4.2 enough for one connection"]);
    assert!(answer.untouched && !connection.is_usable());
}

#[tokio::test]
async fn what_a_host_says_unasked_ends_the_connection() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.say("250 taken\r\n250 and the next one\r\n").await;
        talk.hang().await;
    })
    .await;
    let (mut connection, answer) = send_one(&host).await;
    assert_eq!(stories(&answer), ["delivered 250 taken"]);
    assert!(!connection.is_usable());
    let answer = connection.send(&to(&["c@example.net"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["deferred host: the host sent more than was asked for"]);
    assert!(answer.untouched && !host.heard().contains("c@example.net"));
}

#[tokio::test]
async fn a_354_for_nobody_is_answered_with_a_lone_dot() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.take_mails(|line| line.contains("gone@").then_some("550 5.1.1 who\r\n")).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let answer = connection.send(&to(&["gone@a.example", "gone@b.example"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["failed recipient 550 5.1.1 who"; 2]);
    assert!(connection.is_usable());
    let answer = connection.send(&to(&["b@a.example"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"]);
    assert_eq!(host.heard().matches("hello\r\n").count(), 1);
    assert!(host.heard().contains("DATA\r\n.\r\nMAIL"));
}

#[tokio::test]
async fn each_recipient_has_an_answer_of_its_own() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.take_mails(|line| match line {
            _ if line.contains("gone@") => Some("550 5.1.1 who\r\n"),
            _ if line.contains("grey@") => Some("450 4.2.0 later\r\n"),
            _ => None,
        })
        .await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let all = to(&["a@x.example", "gone@x.example", "grey@x.example", "b@x.example"]);
    let answer = connection.send(&all, &mail(BODY)).await;
    assert_eq!(
        stories(&answer),
        [
            "delivered 250 2.0.0 ok",
            "failed recipient 550 5.1.1 who",
            "deferred recipient 450 4.2.0 later",
            "delivered 250 2.0.0 ok"
        ]
    );
    let record = answer.dialogue.lines.join("\n");
    assert!(record.contains("> RCPT TO:<gone@x.example>\n< 550 5.1.1 who\n"), "{record}");
    assert!(!record.contains("hello"), "{record}");
}

#[tokio::test]
async fn a_refused_sender_and_a_refused_data_leave_the_connection_clean() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("550 5.1.8 no such sender\r\n503 no\r\n503 no\r\n").await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n451 4.3.0 not now\r\n").await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let one = to(&["b@x.example"]);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(stories(&connection.send(&one, &mail(BODY)).await));
    }
    assert_eq!(
        told,
        [
            "failed from_domain 550 5.1.8 no such sender",
            "deferred host 451 4.3.0 not now",
            "delivered 250 2.0.0 ok"
        ]
    );
    assert_eq!(host.heard().matches("RSET").count(), 1);
    assert!(host.heard().contains("DATA\r\nRSET\r\nMAIL"));
}

#[tokio::test]
async fn a_refusal_while_the_mail_is_being_sent_is_its_answer() {
    let large = Bytes::from(format!("Subject: x\r\n\r\n{}", "0123456789abcde\r\n".repeat(2 << 20)));
    for (answer, told) in [
        ("552 5.3.4 too big\r\n", "failed message 552 5.3.4 too big"),
        ("451 4.7.1 later\r\n", "deferred message 451 4.7.1 later"),
        ("421 4.3.0 bye\r\n", "deferred host 421 4.3.0 bye"),
        ("250 lovely\r\n", "deferred host 250 lovely"),
    ] {
        let host = Host::start(move |mut talk| async move {
            talk.greet(&["PIPELINING"]).await;
            talk.until("DATA\r\n").await;
            talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
            talk.octets(100).await;
            talk.say(answer).await;
            talk.hang().await;
        })
        .await;
        let mut connection = open(&[&host]).await;
        let answer = connection.send(&to(&["b@x.example"]), &mail(large.clone())).await;
        assert_eq!(stories(&answer), [told]);
        assert!(!connection.is_usable());
    }
}

#[tokio::test]
async fn a_host_that_stops_reading_is_left() {
    let large = Bytes::from("0123456789abcde\r\n".repeat(2 << 20));
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.hang().await;
    })
    .await;
    let options = DeliverOptions { data_block_wait: SHORT, ..options() };
    let dialer = Dialer::new(options, Clock::system());
    let mut connection = dialer.open(&target(&[&host]), &source()).await.expect("a connection");
    let answer = connection.send(&to(&["b@x.example"]), &mail(large.clone())).await;
    assert_eq!(stories(&answer), ["deferred host: the host took nothing of the mail for 0.4 s"]);
    // And one that closes in the middle.
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.until("DATA\r\n").await;
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.octets(100).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let answer = connection.send(&to(&["b@x.example"]), &mail(large)).await;
    assert_eq!(stories(&answer), ["deferred host: the host closed the connection"]);
}

#[tokio::test]
async fn answers_that_come_octet_by_octet_are_the_same_answers() {
    let (told, usable, _) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        talk.drip("250-a\r\n250 b\r\n250 c\r\n354 go\r\n", Duration::from_millis(2)).await;
        talk.data().await;
        talk.drip("250 taken\r\n", Duration::from_millis(2)).await;
        talk.hang().await;
    });
    assert_eq!(told, "delivered 250 taken");
    assert!(usable);
}

#[tokio::test]
async fn escape_codes_and_long_texts_are_harmless_where_they_are_shown() {
    let (told, _, answer) = outcome_at!(&["PIPELINING"], |talk| {
        talk.until("DATA\r\n").await;
        let text = format!("550 \x1b[2Jboo \u{7}<script>{}\r\n", "x".repeat(5000));
        talk.say(&format!("250 ok\r\n{text}554 none\r\n")).await;
        talk.hang().await;
    });
    assert!(told.starts_with("failed recipient 550 \u{fffd}[2Jboo \u{fffd}<script>xxx"), "{told}");
    assert!(told.len() < 1100);
    assert!(answer.dialogue.lines.iter().all(|line| line.len() <= 512));
    assert!(!answer.dialogue.lines.iter().any(|line| line.contains(['\u{1b}', '\u{7}'])));
}
