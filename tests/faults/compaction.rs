//! Segments of which little is owed give way, and what is owed in them is sent all the same.

use std::path::PathBuf;
use std::time::Duration;

use postroad::model::State;
use postroad::world::manners::{Rule, Whom};

use super::means::wrong_with;
use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

fn segments(relay: &TestRelay) -> Vec<PathBuf> {
    let spool = relay.settings().node.data_dir.join("spool");
    let entries = std::fs::read_dir(spool).expect("a spool").map(|entry| entry.expect("an entry"));
    let segments = entries.map(|entry| entry.path());
    segments.filter(|path| path.extension().is_some_and(|suffix| suffix == "segment")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_for_days_does_not_keep_its_whole_segment() {
    for database in Database::all().await {
        let mx = FakeMx::accepting().await;
        let later = Rule::mailbox(Whom::Address("slow@example.test".into()), "451 4.2.1 later");
        mx.first().script(later.clone().times(4));
        mx.second().script(later.times(4));
        let relay = TestRelay::on(&database, &mx).await;
        let body = |word: &str| {
            let lines = format!("{word} {}\r\n", "x".repeat(70)).repeat(2000);
            format!("From: <sender@sender.test>\r\nSubject: {word}\r\n\r\n{lines}").into_bytes()
        };
        let sender = format!("<{SENDER}>");
        relay.submit_mail(&sender, &["slow@example.test"], &body("slow")).await;
        for number in 0..20 {
            let recipient = format!("r{number}@example.test");
            relay.submit_mail(&sender, &[&recipient], &body("quick")).await;
        }
        relay.rest().await;
        let before = segments(&relay).len();
        assert!(before >= 3, "{before} segments of 1 MiB");
        relay.sweep().await;
        relay.sweep().await;
        let swept = segments(&relay);
        assert!(swept.len() >= 2, "the oldest holds a mail that is not old yet: {swept:?}");
        relay.clock().advance(Duration::from_secs(3700));
        relay.rest().await;
        relay.sweep().await;
        relay.sweep().await;
        assert_eq!(segments(&relay).len(), swept.len() - 1, "on {database:?}");
        assert_eq!(wrong_with(relay.settings()).await, Vec::<String>::new(), "{database:?}");
        relay.run_until_idle().await;
        assert_eq!(relay.state_of("slow@example.test").await, State::Delivered);
        let sent = body("slow");
        let lines = &sent[sent.len() - 70 * 2000..];
        assert!(mx.mail_to("slow@example.test").body.ends_with(lines), "as it was sent");
        relay.adds_up().await;
    }
}
