//! What remote hosts do to us, and what we make of it. Each host is a script over a raw socket.

pub mod host;
mod hostile;
mod relay;
mod secure;

use std::time::Duration;

use bytes::Bytes;
use postroad::clock::Clock;
use postroad::deliver::*;
use postroad::model::*;

use host::Host;

const BODY: &str = "Subject: hi\r\n\r\nhello\r\n";

/// A deadline short enough for a story that waits for it.
const SHORT: Duration = Duration::from_millis(400);

/// Deadlines that no host of a story is late for, were the machine ever so busy.
fn options() -> DeliverOptions {
    let long = Duration::from_secs(20);
    DeliverOptions {
        connect_wait: long,
        greeting_wait: long,
        command_wait: long,
        data_start_wait: long,
        data_block_wait: long,
        data_end_wait: long,
        ..DeliverOptions::default()
    }
}

fn dialer() -> Dialer {
    Dialer::new(options(), Clock::system())
}

fn source() -> Source {
    Source {
        name: "first".into(),
        bind_v4: Some([127, 0, 0, 7].into()),
        bind_v6: None,
        ehlo: "mail.sender.example".into(),
        ..Source::default()
    }
}

fn target(hosts: &[&Host]) -> Target {
    let host =
        |host: &&Host| TargetHost { name: "mx.example".into(), addresses: vec![host.address] };
    Target {
        hosts: hosts.iter().map(host).collect(),
        tls: TlsMode::Opportunistic,
        preference: IpPreference::Ipv4First,
        auth: None,
    }
}

fn to(recipients: &[&str]) -> Transaction {
    let address = |text: &&str| Recipient::new(Address::parse(text).expect("an address"));
    Transaction {
        sender: ReversePath::parse("from@sender.example").expect("an address"),
        recipients: recipients.iter().map(address).collect(),
        smtputf8: false,
        eight_bit: false,
        dsn_return: None,
        dsn_envelope_id: None,
        recorded: false,
    }
}

fn mail(text: impl Into<Bytes>) -> Mail {
    Mail { chunks: vec![text.into()] }
}

async fn open(hosts: &[&Host]) -> Connection {
    dialer().open(&target(hosts), &source()).await.expect("a connection")
}

async fn open_fails(hosts: &[&Host]) -> OpenFailure {
    open_fails_with(options(), hosts).await
}

async fn open_fails_with(options: DeliverOptions, hosts: &[&Host]) -> OpenFailure {
    match Dialer::new(options, Clock::system()).open(&target(hosts), &source()).await {
        Ok(_) => panic!("there is no connection to be had"),
        Err(failure) => failure,
    }
}

/// `delivered 250`, `deferred host: reason`, `failed recipient 550`.
fn story(outcome: &Outcome) -> String {
    let told = |reply: &Option<Reply>, reason: &String| match reply {
        Some(reply) => format!(" {reply}"),
        None => format!(": {reason}"),
    };
    match outcome {
        Outcome::Delivered { reply } => format!("delivered {reply}"),
        Outcome::Deferred { reply, blame, reason } => {
            format!("deferred {blame}{}", told(reply, reason))
        }
        Outcome::Failed { reply, blame, reason } => {
            format!("failed {blame}{}", told(reply, reason))
        }
        Outcome::AnswerNotSeen { .. } => "answer not seen".into(),
    }
}

fn stories(answer: &Answer) -> Vec<String> {
    answer.outcomes.iter().map(story).collect()
}

async fn send_one(host: &Host) -> (Connection, Answer) {
    send_one_with(options(), host).await
}

async fn send_one_with(options: DeliverOptions, host: &Host) -> (Connection, Answer) {
    let dialer = Dialer::new(options, Clock::system());
    let mut connection = dialer.open(&target(&[host]), &source()).await.expect("a connection");
    let answer = connection.send(&to(&["b@example.net"]), &mail(BODY)).await;
    (connection, answer)
}

#[tokio::test]
async fn a_mail_goes_in_one_flight_and_the_connection_serves_again() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "SIZE 10000"]).await;
        assert_eq!(talk.peer.ip().to_string(), "127.0.0.7");
        // All three commands are there before any answer is given.
        let flight = talk.until("DATA\r\n").await;
        assert_eq!(flight.lines().count(), 3);
        talk.say("250 ok\r\n250 ok\r\n354 go\r\n").await;
        talk.data().await;
        talk.say("250 2.0.0 taken\r\n").await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let (mut connection, answer) = send_one(&host).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 taken"]);
    assert!(answer.dialogue.lines.is_empty() && !answer.untouched);
    assert!(connection.is_usable());
    let again = connection.send(&to(&["c@example.net"]), &mail(BODY)).await;
    assert_eq!(stories(&again), ["delivered 250 2.0.0 ok"]);
    assert_eq!(connection.facts().local_address, Some([127, 0, 0, 7].into()));
    connection.quit().await;
    assert_eq!(
        host.heard(),
        "EHLO mail.sender.example\r\n\
         MAIL FROM:<from@sender.example> SIZE=22\r\nRCPT TO:<b@example.net>\r\nDATA\r\n\
         Subject: hi\r\n\r\nhello\r\n.\r\n\
         MAIL FROM:<from@sender.example> SIZE=22\r\nRCPT TO:<c@example.net>\r\nDATA\r\n\
         Subject: hi\r\n\r\nhello\r\n.\r\nQUIT\r\n"
    );
    assert_eq!(host.connections(), 1);
}

#[tokio::test]
async fn without_pipelining_each_command_waits_for_its_answer() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&[]).await;
        for answer in ["250 ok\r\n", "550 5.1.1 who\r\n", "250 ok\r\n", "354 go\r\n"] {
            talk.line().await;
            assert!(talk.is_silent().await);
            talk.say(answer).await;
        }
        talk.data().await;
        talk.say("250 ok\r\n").await;
        talk.hang().await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let answer = connection.send(&to(&["gone@a.example", "b@a.example"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["failed recipient 550 5.1.1 who", "delivered 250 ok"]);
    assert!(connection.is_usable());
}

#[tokio::test]
async fn in_lock_step_no_mail_is_offered_when_nobody_is_taken() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&[]).await;
        talk.take_mails(|line| line.contains("gone@").then_some("550 5.1.1 who\r\n")).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let answer = connection.send(&to(&["gone@a.example"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["failed recipient 550 5.1.1 who"]);
    let answer = connection.send(&to(&["b@a.example"]), &mail(BODY)).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"]);
    assert!(host.heard().contains("gone@a.example>\r\nRSET\r\nMAIL"), "{}", host.heard());
}

#[tokio::test]
async fn a_mail_over_the_announced_size_is_not_sent() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "SIZE 20"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let (connection, answer) = send_one(&host).await;
    assert_eq!(stories(&answer), ["failed message: 5.3.4 the mail is larger than the host takes"]);
    assert!(connection.is_usable());
    assert!(!host.heard().contains("MAIL"));
}

#[tokio::test]
async fn smtputf8_mail_goes_only_where_it_is_understood() {
    let with = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "SMTPUTF8", "8BITMIME"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let without = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "8BITMIME"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let both =
        Transaction { smtputf8: true, eight_bit: true, ..to(&["ü@x.example", "b@x.example"]) };
    let answer = open(&[&with]).await.send(&both, &mail(BODY)).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"; 2]);
    assert!(with.heard().contains("MAIL FROM:<from@sender.example> BODY=8BITMIME SMTPUTF8\r\n"));
    assert!(with.heard().contains("RCPT TO:<ü@x.example>\r\n"));
    let needs = "failed message: 5.6.7 the mail needs SMTPUTF8, which the host lacks";
    let answer = open(&[&without]).await.send(&both, &mail(BODY)).await;
    assert_eq!(stories(&answer), [needs, "delivered 250 2.0.0 ok"]);
    let answer = open(&[&without]).await.send(&both, &mail("Subject: ü\r\n\r\n")).await;
    assert_eq!(stories(&answer), [needs, needs]);
}

#[tokio::test]
async fn dsn_parameters_are_passed_on_where_they_are_understood() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "DSN"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let mut asking = to(&["b@x.example"]);
    asking.recipients[0].notify = Notify::NEVER;
    let answer = open(&[&host]).await.send(&asking, &mail(BODY)).await;
    assert!(answer.dsn_passed_on);
    assert!(host.heard().contains("RCPT TO:<b@x.example> NOTIFY=NEVER\r\n"));
    let answer = open(&[&host]).await.send(&to(&["b@x.example"]), &mail(BODY)).await;
    assert!(!answer.dsn_passed_on);
}

#[tokio::test]
async fn announced_limits_on_recipients_and_mails_are_kept() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=4"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let five = to(&["a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example"]);
    let answer = connection.send(&five, &mail(BODY)).await;
    assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"; 5]);
    assert_eq!(host.heard().matches("MAIL FROM").count(), 3);
    assert!(connection.is_usable());
    connection.send(&to(&["f@x.example"]), &mail(BODY)).await;
    assert!(!connection.is_usable());
    connection.quit().await;
    assert!(host.heard().ends_with("QUIT\r\n"));
}

#[tokio::test]
async fn whatever_a_mail_holds_the_wire_has_crlf_only_and_one_end() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.take_mails(|_| None).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    for end in
        ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\r\n.\r\n", "\r\r\n.\r\r\n"]
    {
        let text = format!("A: b\r\n\r\nhi{end}MAIL FROM:<evil@x.example>\r\n");
        let chunks = text.as_bytes().chunks(3).map(Bytes::copy_from_slice).collect();
        let answer = connection.send(&to(&["b@x.example"]), &Mail { chunks }).await;
        assert_eq!(stories(&answer), ["delivered 250 2.0.0 ok"], "{end:?}");
    }
    let heard = host.heard();
    assert_eq!(heard.matches("\r\n.\r\n").count(), 8, "{heard}");
    assert!(!heard.replace("\r\n", "").contains(['\r', '\n']), "{heard}");
}

#[tokio::test]
async fn a_chunk_flies_with_its_commands_once_the_host_has_proved_good() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "CHUNKING"]).await;
        talk.take_mails(|line| line.contains("gone@").then_some("550 5.1.1 who\r\n")).await;
    })
    .await;
    let mut connection = open(&[&host]).await;
    let mut told = Vec::new();
    for name in ["a", "b", "gone", "c", "d"] {
        let recipient = format!("{name}@x.example");
        let dotted = mail("A: b\r\n\r\n.dot\r\n");
        told.extend(stories(&connection.send(&to(&[&recipient]), &dotted).await));
    }
    let (good, gone) = ("delivered 250 2.0.0 ok", "failed recipient 550 5.1.1 who");
    assert_eq!(told, [good, good, gone, good, good]);
    let heard = host.heard();
    assert!(heard.contains("RCPT TO:<a@x.example>\r\nDATA\r\nA: b\r\n\r\n..dot\r\n.\r\n"));
    assert!(heard.contains("RCPT TO:<b@x.example>\r\nBDAT 14 LAST\r\nA: b\r\n\r\n.dot\r\nMAIL"));
    // After a refusal the next one asks first.
    assert!(heard.contains("RCPT TO:<c@x.example>\r\nDATA\r\n"), "{heard}");
    assert!(heard.contains("RCPT TO:<d@x.example>\r\nBDAT 14 LAST\r\n"));
}

#[tokio::test]
async fn a_host_that_announces_chunking_without_knowing_it_is_spared_it() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING", "CHUNKING"]).await;
        talk.take_mails(|line| match line {
            _ if line.starts_with("BDAT") => Some("502 5.5.1 what\r\n"),
            _ if line.starts_with("A: b") || line == "\r\n" => Some("500 what\r\n"),
            _ => None,
        })
        .await;
    })
    .await;
    let dialer = dialer();
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut connection = dialer.open(&target(&[&host]), &source()).await.expect("open");
        for _ in 0..2 {
            told.extend(stories(&connection.send(&to(&["b@x.example"]), &mail(BODY)).await));
        }
    }
    let good = "delivered 250 2.0.0 ok";
    assert_eq!(told, [good, "deferred host 502 5.5.1 what", good, good]);
}

#[tokio::test]
async fn a_thousand_recipients_with_long_answers_lock_nobody_up() {
    let host = Host::start(|mut talk| async move {
        talk.greet(&["PIPELINING"]).await;
        talk.take_mails(|line| {
            let ok = "250 2.1.5 a rather long answer to each and every recipient of it\r\n";
            line.starts_with("RCPT").then_some(ok)
        })
        .await;
    })
    .await;
    let names: Vec<String> = (0..1000).map(|n| format!("recipient{n}@x.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answer = open(&[&host]).await.send(&to(&names), &mail(BODY)).await;
    assert!(stories(&answer).iter().all(|told| told == "delivered 250 2.0.0 ok"));
}
