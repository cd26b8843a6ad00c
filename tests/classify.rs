//! Replies of the world's hosts, with what a careful person says of them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use postroad::classify::{Answer, Classifier};
use postroad::clock::Clock;
use postroad::model::{State, Timestamp, UnclassifiedReplyId};
use postroad::store::{Location, Store, UnclassifiedReply};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, TestRelay};
use crate::support::until_told;

struct Told {
    category: &'static str,
    hard: bool,
    operator: Option<&'static str>,
    reply: &'static str,
}

fn told() -> Vec<Told> {
    let lines = include_str!("classify/replies.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.splitn(4, '\t').collect();
            let [category, hard, operator, reply] = fields[..] else {
                panic!("four fields in: {line}")
            };
            let operator = (operator != "-").then_some(operator);
            Told { category, hard: hard == "hard", operator, reply }
        })
        .collect()
}

/// The shares that the rules must reach, with the operator known and unknown.
#[test]
fn replies_of_the_world_are_classified_as_a_careful_person_would() {
    let classifier = Classifier::shipped().expect("the shipped rules load");
    let told = told();
    let count = told.len() as f64;
    assert!(count >= 400.0);
    for knows_operator in [true, false] {
        let (mut category, mut hard, mut good_called_bad, mut unclassified) = (0, 0, 0, 0);
        let mut wrong = Vec::new();
        for one in &told {
            let operator = one.operator.filter(|_| knows_operator);
            let record = classifier.classify(operator, &Answer::read(one.reply));
            let right = record.category.word() == one.category;
            category += usize::from(right);
            hard += usize::from(record.hard == one.hard);
            good_called_bad += usize::from(record.hard && !one.hard);
            unclassified += usize::from(record.category.word() == "unknown");
            if !right || record.hard != one.hard {
                let (got, rule) = (record.category, &record.rule);
                wrong.push(format!("{} not {got} ({rule}): {}", one.category, one.reply));
            }
        }
        let share = |part: usize| part as f64 / count;
        let wrong = wrong.join("\n");
        assert!(share(category) >= 0.95, "category {}\n{wrong}", share(category));
        assert!(share(hard) >= 0.98, "hard {}\n{wrong}", share(hard));
        assert!(share(good_called_bad) <= 0.005, "good called bad\n{wrong}");
        assert!(share(unclassified) <= 0.02, "unclassified\n{wrong}");
    }
}

#[test]
fn the_command_answers_line_by_line_without_daemon_or_settings() {
    let empty = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(env!("CARGO_BIN_EXE_postroad"))
        .args(["classify", "--operator", "gmail"])
        .current_dir(empty.path())
        .env("POSTROAD_CONFIG", "/nonexistent/postroad.toml")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let input = b"550 5.1.1 user unknown\n\n\xff\xfe 452 4.2.2 mailbox full\r\nno such thing";
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> =
        lines.iter().map(|it| (it["category"].as_str().unwrap_or(""), &it["hard"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(
        seen,
        [("bad_mailbox", &yes), ("unknown", &no), ("mailbox_full", &no), ("unknown", &no)]
    );
    let keys: Vec<&String> = lines[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(lines[0]["confidence"].as_f64().is_some_and(|it| it > 0.9));
}

/// Waits for the first attempt: state, what its event says, and how long until the next.
async fn first_attempt(relay: &TestRelay, recipient: &str) -> (State, Value, Duration) {
    relay.rest().await;
    let delivery = relay.delivery_to(recipient).await;
    let events = relay.store().events_of_message(delivery.message, 50).await.expect("it reads");
    let own = events.iter().rev().find(|event| event.delivery == Some(delivery.id));
    let fields = own.expect("an attempt was made").fields.clone();
    (delivery.state, fields, delivery.due_at.since(relay.clock().now()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_means_stands_in_its_event_and_sets_the_waits() {
    let mx = FakeMx::refusing("full@example.test", "452 4.2.2 mailbox full").await;
    mx.refuse("grey@example.test", "451 4.7.1 Greylisted");
    mx.refuse("gone@example.test", "550 5.1.1 user unknown");
    mx.refuse("fast@example.test", "550 Domain frequency limited");
    let relay = TestRelay::sending_to(&mx).await;
    let names = ["full", "grey", "gone", "fast"];
    let addresses = names.map(|name| format!("{name}@example.test"));
    relay.submit(&addresses.each_ref().map(String::as_str)).await;
    let minutes = |wait: Duration| wait.as_secs() / 60;

    let (state, fields, wait) = first_attempt(&relay, "full@example.test").await;
    assert_eq!((state, &fields["class"]), (State::Waiting, &json!("mailbox_full")));
    assert!((120..=151).contains(&minutes(wait)), "{wait:?}");
    assert_eq!(fields["retry_profile"], "mailbox_full");

    let (state, fields, wait) = first_attempt(&relay, "grey@example.test").await;
    assert_eq!((state, &fields["class"]), (State::Waiting, &json!("greylist")));
    assert!((4..=7).contains(&minutes(wait)), "{wait:?}");

    let (state, fields, _) = first_attempt(&relay, "gone@example.test").await;
    assert_eq!((state, &fields["hard"]), (State::Failed, &json!(true)));
    assert_eq!(fields["signal"], "invalid_recipient");
    assert_eq!(fields["suppress"], json!({"scope": "organization", "days": null}));

    // A refusal for good by its code, and a limit by its text.
    let (state, fields, _) = first_attempt(&relay, "fast@example.test").await;
    assert_eq!((state, &fields["category"]), (State::Waiting, &json!("rate")));
    assert_eq!(fields["disposition"], "retry");
    relay.adds_up().await;
}

/// Asks /v1/classification as the operator, over the daemon's socket.
async fn operator(relay: &TestRelay, method: &str, path: &str, body: Option<Value>) -> Value {
    let body = body.map_or_else(String::new, |body| body.to_string());
    let mut stream = tokio::net::UnixStream::connect(relay.settings().control_socket())
        .await
        .expect("the daemon listens");
    let request = format!(
        "{method} /v1/classification/{path} HTTP/1.1\r\nhost: postroad\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("it is answered");
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("JSON")
}

/// An own rule for a text that ships with no rule.
fn own_rule() -> Value {
    json!({
        "id": "own.zork", "class": "rate_messages", "confidence": 0.9, "disposition": "retry",
        "phrases": ["zork * today"], "samples": ["550 zork exhausted for today"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_no_rule_knows_is_listed_until_an_own_rule_knows_it() {
    for database in Database::all().await {
        let mx = FakeMx::refusing("a@example.test", "550 zork xq8xy1kz9w22 for today").await;
        mx.refuse("b@example.test", "550 zork 9k2jx7wq1z55 for today");
        let relay = TestRelay::on(&database, &mx).await;
        relay.submit(&["a@example.test", "b@example.test"]).await;
        relay.rest().await;
        let store = relay.store().clone();
        let groups = wait_for_groups(&store).await;
        let [group] = groups.as_slice() else { panic!("one group: {groups:?}") };
        assert_eq!((group.count, group.text.as_str()), (2, "^ zork <id> for today $"));

        let past = store.past_replies(Timestamp(0), 100).await.expect("it reads");
        assert_eq!(past.len(), 2);
        assert_eq!(store.past_replies(Timestamp(i64::MAX), 100).await.expect("it reads"), []);
        operator(&relay, "POST", "rules", Some(own_rule())).await;
        let listed = operator(&relay, "GET", "unclassified?limit=5", None).await;
        assert_eq!(listed, json!({"items": [], "next": null}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_counted_up_paged_and_bounded() {
    for database in Database::all().await {
        let directory = tempfile::tempdir().expect("a directory");
        let location = match &database {
            Database::Sqlite => Location::Sqlite(directory.path().to_owned()),
            Database::Postgres(url) => Location::Postgres(url.clone()),
        };
        let clock = Clock::standing(1_800_000_000);
        let store = Store::open(&location, 1, clock).await.expect("it opens");
        let group = |text: &str, count, at| UnclassifiedReply {
            id: UnclassifiedReplyId(0),
            operator: "google".into(),
            text: text.into(),
            sample: text.into(),
            count,
            first_seen_at: Timestamp(at),
            last_seen_at: Timestamp(at),
        };
        let first = [group("a", 3, 1), group("b", 1, 2), group("c", 2, 3)];
        store.note_unclassified(&first).await.expect("it is written");
        store.note_unclassified(&[group("b", 4, 9)]).await.expect("it is written");
        let page = store.unclassified_replies(None, 2, "").await.expect("it reads");
        let seen: Vec<_> = page.iter().map(|one| (one.text.as_str(), one.count)).collect();
        assert_eq!(seen, [("b", 5), ("a", 3)]);
        let last = page.last().map(|one| (one.count, one.id));
        let page = store.unclassified_replies(last, 2, "").await.expect("it reads");
        assert_eq!(page.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["c"]);
        store.prune_unclassified(Timestamp(2), 1).await.expect("it is written");
        let kept = store.unclassified_replies(None, 9, "").await.expect("it reads");
        assert_eq!(kept.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["b"]);
        store.close().await;
    }
}

/// The daemon writes groups every few seconds.
async fn wait_for_groups(store: &Store) -> Vec<UnclassifiedReply> {
    let groups = async || store.unclassified_replies(None, 10, "").await.expect("it reads");
    until_told("a group is written", groups, |groups| !groups.is_empty()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_rule_is_tried_added_and_removed_while_mail_flows() {
    let mx = FakeMx::refusing("a@example.test", "550 zork exhausted for today").await;
    let relay = TestRelay::sending_to(&mx).await;
    relay.submit(&["a@example.test"]).await;
    let (state, fields, _) = first_attempt(&relay, "a@example.test").await;
    assert_eq!((state, &fields["rule"]), (State::Failed, &json!("code.550")));

    let tried = operator(&relay, "POST", "rules/try", Some(json!({"rule": own_rule()}))).await;
    assert_eq!((&tried["looked_at"], &tried["matched"]), (&json!(1), &json!(1)), "{tried}");
    assert_eq!(tried["changed"][0]["from_rule"], "code.550");
    let none = operator(&relay, "GET", "rules", None).await;
    assert_eq!(none["items"], json!([]));

    operator(&relay, "POST", "rules", Some(own_rule())).await;
    let twice = operator(&relay, "POST", "rules", Some(own_rule())).await;
    assert!(twice["detail"].as_str().is_some_and(|why| why.contains("own.zork")), "{twice}");
    mx.refuse("b@example.test", "550 zork exhausted for today");
    relay.submit(&["b@example.test"]).await;
    let (state, fields, _) = first_attempt(&relay, "b@example.test").await;
    assert_eq!((state, &fields["rule"]), (State::Waiting, &json!("own.zork")));

    let removed = operator(&relay, "DELETE", "rules/own.zork", None).await;
    assert_eq!(removed["id"], "own.zork");
    let unlawful = json!({"id": "own.zork", "class": "policy", "confidence": 0.9, "samples": []});
    let refused = operator(&relay, "POST", "rules", Some(unlawful)).await;
    assert_eq!(refused["field"], "rule", "{refused}");
}

/// What says little of the address, and much of us, of somebody else or of now.
#[test]
fn no_doubtful_refusal_ends_writing_to_an_address() {
    let classifier = Classifier::shipped().expect("the shipped rules load");
    let hard: Vec<String> = include_str!("classify/doubtful.txt")
        .lines()
        .map(|line| (line, classifier.classify(None, &Answer::read(line))))
        .filter(|(_, record)| record.hard)
        .map(|(line, record)| format!("{} ({})", line, record.rule))
        .collect();
    assert!(hard.is_empty(), "{}", hard.join("\n"));
}
