//! What the door takes, what it refuses and with which words, and what it makes of a mail.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use postroad::accept::{Acceptance, Arrival, Ledger, Refusal, Rights, Submission};
use postroad::auth::Identity;
use postroad::clock::Clock;
use postroad::model::*;
use postroad::queue::{NewMessage, QueueError};
use postroad::spool::SpoolError;
use postroad::store::StoreError;
use postroad::wire::mailbox::addresses;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

/// How the fake queue answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    Full,
    Gone,
    Refuses,
}

#[derive(Clone)]
struct FakeLedger {
    mood: Mood,
    next: Arc<AtomicI64>,
    taken: Arc<Mutex<Vec<(MessageId, NewMessage)>>>,
}

impl Ledger for FakeLedger {
    async fn message_id(&self) -> Result<MessageId, QueueError> {
        Ok(MessageId(self.next.fetch_add(1, Ordering::Relaxed)))
    }

    async fn enqueue(&self, id: MessageId, new: NewMessage) -> Result<MessageId, QueueError> {
        match self.mood {
            Mood::Takes => {
                self.taken.lock().push((id, new));
                Ok(id)
            }
            Mood::Full => Err(SpoolError::Full("/queue".into()).into()),
            Mood::Gone => Err(StoreError::Unavailable("gone".into()).into()),
            Mood::Refuses => Err(StoreError::Refused("bad row".into()).into()),
        }
    }

    fn has_room(&self, _: u64) -> bool {
        self.mood != Mood::Full
    }
}

/// Organization 1 owns shop.example and what lies below it.
#[derive(Clone)]
struct FakeRights;

impl Rights for FakeRights {
    fn sending_domain(&self, organization: OrganizationId, domain: &Domain) -> Option<DomainId> {
        let own = Domain::parse("shop.example").expect("lawful");
        (organization == OrganizationId(1) && domain.is_within(&own)).then_some(DomainId(5))
    }

    fn stream(&self, _: OrganizationId, name: &str) -> Option<StreamId> {
        (name == "news").then_some(StreamId(2))
    }

    fn rank(&self, stream: StreamId) -> i64 {
        stream.0 - 1
    }

    fn take(&self, _: &Identity, _: u32) -> Result<(), Duration> {
        Ok(())
    }
}

struct Door {
    acceptance: Acceptance<FakeLedger, FakeRights>,
    ledger: FakeLedger,
    clock: Clock,
}

impl Door {
    fn new() -> Door {
        Door::in_mood(Mood::Takes)
    }

    fn in_mood(mood: Mood) -> Door {
        let clock = Clock::standing(1);
        let next = Arc::new(AtomicI64::new(41));
        let ledger = FakeLedger { mood, next, taken: Arc::default() };
        let acceptance =
            Acceptance::new(ledger.clone(), FakeRights, "mail.shop.example", clock.clone());
        Door { acceptance, ledger, clock }
    }

    async fn submit(&self, submission: Submission) -> Result<NewMessage, String> {
        let id = self.acceptance.submit(submission).await.map_err(|refusal| refusal.to_string())?;
        let (taken, new) = self.ledger.taken.lock().pop().expect("it was enqueued");
        assert_eq!(taken, id);
        Ok(new)
    }

    /// From ann@shop.example to bob@mx.example.
    async fn take(&self, mail: &str) -> Result<NewMessage, String> {
        self.submit(submission(mail)).await
    }

    async fn sent(&self, mail: &str) -> String {
        let new = self.take(mail).await.expect("taken");
        String::from_utf8(new.body.to_vec()).expect("text")
    }
}

fn submission(mail: &str) -> Submission {
    Submission {
        identity: identity(),
        envelope: envelope("ann@shop.example", &["bob@mx.example"]),
        mail: Bytes::copy_from_slice(mail.as_bytes()),
        arrival: Arrival {
            peer: "192.0.2.7".parse().expect("an address"),
            ehlo: "client.example".into(),
            protocol: "ESMTPSA",
            tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384".into()),
        },
    }
}

fn identity() -> Identity {
    Identity {
        credential: Some(CredentialId(3)),
        name: "app".into(),
        organization: OrganizationId(1),
        stream: StreamId(1),
        rules: Arc::default(),
    }
}

fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    let parse = |text: &&str| Recipient::new(Address::parse(text).expect("lawful"));
    Envelope {
        sender: ReversePath::parse(sender).expect("lawful"),
        recipients: recipients.iter().map(parse).collect(),
        eight_bit: false,
        smtputf8: false,
        dsn_return: None,
        dsn_envelope_id: None,
    }
}

const PLAIN: &str = "From: ann@shop.example\r\nDate: x\r\nMessage-ID: <1@shop.example>\r\n\
    Subject: Hello\r\n\r\nbody\r\n";

fn with(fields: &str) -> String {
    format!("{fields}{PLAIN}")
}

#[tokio::test]
async fn a_mail_gets_our_received_field_and_is_otherwise_untouched() {
    let sent = Door::new().sent(PLAIN).await;
    let (received, rest) = sent.split_once("From: ").expect("its From");
    let (head, date) = received.rsplit_once("\t").expect("a date");
    assert_eq!(
        head,
        "Received: from client.example ([192.0.2.7])\r\n\
         \t(using TLSv1.3 TLS13_AES_256_GCM_SHA384)\r\n\
         \tby mail.shop.example (Postroad) with ESMTPSA id 41\r\n\tfor <bob@mx.example>;\r\n"
    );
    assert!(date.trim_end().ends_with(" +0000"), "{date}");
    assert_eq!(format!("From: {rest}"), PLAIN);
}

#[tokio::test]
async fn several_recipients_do_not_see_each_other_and_the_same_one_counts_once() {
    let door = Door::new();
    let mut two = submission(PLAIN);
    let recipients = ["b@mx.example", "c@mx.example", "b@MX.example", "B@mx.example"];
    two.envelope = envelope("", &recipients);
    let new = door.submit(two).await.expect("taken");
    let text = String::from_utf8(new.body.to_vec()).expect("text");
    assert!(!text.contains("for <"), "{text}");
    let kept: Vec<String> = new.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    assert_eq!(kept, ["b@mx.example", "c@mx.example", "B@mx.example"]);
}

#[tokio::test]
async fn date_and_message_id_are_added_only_where_missing() {
    let door = Door::new();
    let new = door.take("From: ann@shop.example\r\n\r\nbody\r\n").await.expect("taken");
    let text = String::from_utf8(new.body.to_vec()).expect("text");
    let id = format!("Message-ID: <{}>\r\n", new.message_id_header);
    assert!(text.contains(&id) && new.message_id_header.ends_with("@shop.example"), "{text}");
    assert_eq!(text.matches("\r\nDate: ").count(), 1);
    assert!(text.ends_with("+0000\r\n\r\nbody\r\n"), "{text}");
    let new = door.take(PLAIN).await.expect("taken");
    assert_eq!(new.message_id_header, "1@shop.example");
    let text = String::from_utf8(new.body.to_vec()).expect("text");
    assert_eq!((text.matches("Date: ").count(), text.matches("Message-ID: ").count()), (1, 1));
}

#[tokio::test]
async fn blind_copies_and_return_paths_do_not_leave() {
    let sent = Door::new()
        .sent(&with(
            "Bcc: c@d.example,\r\n e@f.example\r\nResent-BCC: g@h.example\r\nReturn-Path: <>\r\n",
        ))
        .await;
    assert!(sent.ends_with(PLAIN), "{sent}");
    assert!(!sent.contains("c@d.example") && !sent.contains("Return-Path"), "{sent}");
}

#[tokio::test]
async fn what_is_asked_for_in_our_fields_is_read_and_removed() {
    let sent = "X-Postroad-Stream: news\r\nx-postroad-tag: spring sale\r\n\
        X-Postroad-Metadata: {\"order\":\r\n 7}\r\nX-Postroad-Not-Before: 2999-01-01T00:00:00Z\r\n\
        X-Postroad-Not-After: Tue, 01 Jan 2999 00:00:01 +0000\r\n\
        X-Postroad-Idempotency-Key: abc-1\r\n";
    let new = Door::new().take(&with(sent)).await.expect("taken");
    assert_eq!((new.stream, new.rank), (StreamId(2), 1));
    assert_eq!(new.tag.as_deref(), Some("spring sale"));
    assert_eq!(new.metadata.as_deref(), Some("{\"order\":7}"));
    assert_eq!(new.idempotency_key.as_deref(), Some("abc-1"));
    let (start, end) = (new.not_before.expect("a time"), new.not_after.expect("a time"));
    assert_eq!(end.since(start), Duration::from_secs(1));
    let text = String::from_utf8(new.body.to_vec()).expect("text");
    assert!(text.ends_with(PLAIN) && !text.to_lowercase().contains("x-postroad-"), "{text}");
}

#[tokio::test]
async fn an_encoded_metadata_field_reads_as_what_it_encodes() {
    let encoded = "X-Postroad-Metadata: =?utf-8?B?eyJuYW1lIjoiw4RubiJ9?=\r\n";
    let new = Door::new().take(&with(encoded)).await.expect("taken");
    assert_eq!(new.metadata.as_deref(), Some("{\"name\":\"Änn\"}"));
}

#[tokio::test]
async fn a_bad_value_in_our_fields_is_refused_by_name() {
    let door = Door::new();
    let large = format!("X-Postroad-Metadata: {{\"a\":\"{}\"}}\r\n", "x".repeat(4096));
    let long = format!("X-Postroad-Idempotency-Key: {}\r\n", "k".repeat(256));
    for (fields, name) in [
        ("X-Postroad-Stream: other\r\n", "X-Postroad-Stream"),
        ("X-Postroad-Metadata: [1]\r\n", "X-Postroad-Metadata"),
        ("X-Postroad-Metadata: {\"a\":\r\n", "X-Postroad-Metadata"),
        (large.as_str(), "X-Postroad-Metadata"),
        ("X-Postroad-Not-Before: tomorrow\r\n", "X-Postroad-Not-Before"),
        ("X-Postroad-Not-After: 1000\r\n", "X-Postroad-Not-After"),
        ("X-Postroad-Idempotency-Key: a b\r\n", "X-Postroad-Idempotency-Key"),
        (long.as_str(), "X-Postroad-Idempotency-Key"),
        ("X-Postroad-Tag:\r\n", "X-Postroad-Tag"),
        ("X-Postroad-Tag: a\r\nX-Postroad-Tag: b\r\n", "X-Postroad-Tag"),
        ("X-Postroad-Steam: news\r\n", "Stream, Tag"),
        ("X-Postroad-Not-Before: 32503680001\r\nX-Postroad-Not-After: 32503680000\r\n", "after"),
    ] {
        let refusal = door.take(&with(fields)).await.expect_err("refused");
        assert!(refusal.starts_with("550 5.6.0 ") && refusal.contains(name), "{refusal}");
        assert!(refusal.is_ascii() && refusal.len() < 400, "{refusal}");
    }
    assert!(door.ledger.taken.lock().is_empty());
}

#[tokio::test]
async fn nobody_sends_as_a_domain_that_is_not_his() {
    let door = Door::new();
    for mail in [
        "From: x@evil.example\r\n\r\n",
        "From: ann@shop.example, x@evil.example\r\n\r\n",
        "From: x@evil.example <ann@shop.example>\r\n\r\n",
        "From: \"a@shop.example\"@evil.example\r\n\r\n",
        "From: ann@shop.example\r\nSender: x@evil.example\r\n\r\n",
        "From: ann@shop.example.evil.example\r\n\r\n",
        "From: ann@notshop.example\r\n\r\n",
    ] {
        let refusal = door.take(mail).await.expect_err(mail);
        assert!(refusal.starts_with("550 5.7.1 "), "{refusal}");
        assert!(refusal.contains("postroad domain add "), "{refusal}");
    }
    let mut foreign = submission(PLAIN);
    foreign.envelope.sender = ReversePath::parse("x@evil.example").expect("lawful");
    let refusal = door.submit(foreign).await.expect_err("refused");
    assert!(refusal.starts_with("550 5.7.1 MAIL FROM names evil.example"), "{refusal}");
    let mut other = submission(PLAIN);
    other.identity.organization = OrganizationId(2);
    assert!(door.submit(other).await.is_err());
    assert!(door.take("From: a@news.shop.example\r\n\r\n").await.is_ok());
}

#[tokio::test]
async fn from_must_stand_there_once_and_be_readable() {
    let door = Door::new();
    for (mail, expected) in [
        ("Subject: x\r\n\r\n", "550 5.6.0 the mail has no From field"),
        ("no header\r\nFrom: ann@shop.example\r\n\r\n", "550 5.6.0 the mail has no From field"),
        ("From: a@shop.example\r\nfrom: b@shop.example\r\n\r\n", "550 5.7.1 "),
        ("From: a@shop.example\r\nFrom : x@evil.example\r\n\r\n", "550 5.7.1 "),
        ("From: Ann\r\n\r\n", "550 5.6.0 "),
        ("From: =?utf-8?q?x=40evil.example=3E?=@shop.example\r\n\r\n", "550 5.6.0 "),
        ("Sender: a@shop.example\r\nSender: b@shop.example\r\nFrom: a@shop.example\r\n\r\n", {
            "550 5.7.1 "
        }),
    ] {
        let refusal = door.take(mail).await.expect_err(mail);
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[tokio::test]
async fn a_mail_that_goes_in_a_circle_is_refused() {
    let door = Door::new();
    let many = "Received: from a by b; x\r\n";
    assert!(door.take(&with(&many.repeat(50))).await.is_ok());
    let refusal = door.take(&with(&many.repeat(51))).await.expect_err("refused");
    assert!(refusal.starts_with("554 5.4.6 "), "{refusal}");
    let mut mail = PLAIN.to_owned();
    for _ in 0..6 {
        mail = door.sent(&mail).await;
    }
    let refusal = door.take(&mail).await.expect_err("refused");
    assert!(refusal.starts_with("554 5.4.6 "), "{refusal}");
}

#[tokio::test]
async fn hostile_forms_are_refused_and_nothing_is_kept() {
    let door = Door::new();
    let fields = "A: b\r\n".repeat(1001);
    let long = format!("A: {}\r\n", "x".repeat(300 * 1024));
    for (mail, expected) in [
        (with("A: b\nC: d\r\n"), "550 5.6.0 "),
        (format!("{PLAIN}lone\rreturn\r\n"), "550 5.6.0 "),
        (format!("{PLAIN}\n.\r\n"), "550 5.6.0 "),
        (with("A: \0\r\n"), "550 5.6.0 "),
        (with(&fields), "552 5.3.4 "),
        (with(&long), "552 5.3.4 "),
    ] {
        let refusal = door.take(&mail).await.expect_err("refused");
        assert!(refusal.starts_with(expected), "{refusal}");
    }
    let mut nobody = submission(PLAIN);
    nobody.envelope.recipients.clear();
    assert!(door.submit(nobody).await.expect_err("refused").starts_with("554 5.5.1 "));
    assert!(door.ledger.taken.lock().is_empty());
}

#[tokio::test]
async fn a_mail_of_deeply_nested_parts_is_taken_as_it_is() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let sent = Door::new().sent(&format!("From: ann@shop.example\r\n{nested}")).await;
    assert!(sent.ends_with(&nested[34..]));
}

#[tokio::test]
async fn what_the_client_calls_itself_cannot_add_a_field() {
    let mut hostile = submission(PLAIN);
    hostile.arrival.ehlo = "x\r\nBcc: y@z.example".into();
    hostile.arrival.tls = Some("TLS)\r\nX-Evil: 1".into());
    hostile.arrival.peer = "2001:db8::1".parse().expect("an address");
    let new = Door::new().submit(hostile).await.expect("taken");
    let text = String::from_utf8(new.body.to_vec()).expect("text");
    assert!(text.starts_with("Received: from unknown ([IPv6:2001:db8::1])\r\n\t(using TLS)\r\n"));
    assert!(!text.contains("Evil") && !text.contains("Bcc"), "{text}");
}

#[tokio::test]
async fn a_header_section_that_ends_early_is_ended_for_every_reader() {
    let sent =
        Door::new().sent("From: ann@shop.example\r\nno field\r\nX-After: 1\r\n\r\nz\r\n").await;
    assert!(sent.ends_with("\r\n\r\nno field\r\nX-After: 1\r\n\r\nz\r\n"), "{sent}");
    let bare = Door::new().sent("From: ann@shop.example\r\nSubject: x\r\n").await;
    assert!(
        bare.contains("Subject: x\r\nMessage-ID: ") && bare.ends_with("+0000\r\n\r\n"),
        "{bare}"
    );
}

#[tokio::test]
async fn eight_bit_and_smtputf8_are_what_the_mail_needs() {
    let door = Door::new();
    let flags = |new: &NewMessage| (new.envelope.eight_bit, new.envelope.smtputf8);
    assert_eq!(flags(&door.take(PLAIN).await.expect("taken")), (false, false));
    let body = format!("{PLAIN}Grüße\r\n");
    assert_eq!(flags(&door.take(&body).await.expect("taken")), (true, false));
    let field = with("X-Name: Grüße\r\n");
    assert_eq!(flags(&door.take(&field).await.expect("taken")), (true, false));
    let mut declared = submission(&field);
    declared.envelope.smtputf8 = true;
    assert_eq!(flags(&door.submit(declared).await.expect("taken")), (true, true));
    let mut needless = submission(PLAIN);
    needless.envelope.smtputf8 = true;
    assert_eq!(flags(&door.submit(needless).await.expect("taken")), (false, false));
    let refusal = door.take("From: änn@shop.example\r\n\r\n").await.expect_err("refused");
    assert!(refusal.starts_with("550 5.6.7 "), "{refusal}");
    let mut rubbish = submission(PLAIN);
    rubbish.envelope.smtputf8 = true;
    rubbish.mail = Bytes::from_static(b"From: ann@shop.example\r\nSubject: \xff\r\n\r\n");
    assert!(door.submit(rubbish).await.expect_err("refused").starts_with("550 5.6.0 "));
}

#[tokio::test]
async fn the_subject_is_decoded_and_clipped_for_lists() {
    let door = Door::new();
    for (field, expected) in [
        ("Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n =?utf-8?Q?_aus?=\r\n", "Grüße aus".to_owned()),
        ("Subject: a\r\n\tb\r\n", "a b".to_owned()),
        (&format!("Subject: {}\r\n", "ü".repeat(300)), "ü".repeat(255)),
    ] {
        let mail = format!("From: ann@shop.example\r\n{field}\r\n");
        assert_eq!(door.take(&mail).await.expect("taken").subject, expected);
    }
}

#[tokio::test]
async fn trouble_of_ours_is_a_reason_to_try_again_and_never_an_answer_for_good() {
    for (mood, expected) in
        [(Mood::Full, "452 4.3.1 "), (Mood::Gone, "451 4.3.0 "), (Mood::Refuses, "451 4.3.0 ")]
    {
        let refusal = Door::in_mood(mood).take(PLAIN).await.expect_err("refused");
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[tokio::test]
async fn what_can_be_known_before_the_body_is_told_before_the_body() {
    let early = |mood, sender: &str, bytes| -> Result<(), Refusal> {
        let sender = ReversePath::parse(sender).expect("lawful");
        Door::in_mood(mood).acceptance.check_sender(&identity(), &sender, bytes)
    };
    assert_eq!(early(Mood::Takes, "ann@shop.example", None), Ok(()));
    assert_eq!(early(Mood::Takes, "", Some(1000)), Ok(()));
    let code = |answer: Result<(), Refusal>| answer.map_err(|refusal| refusal.code);
    assert_eq!(code(early(Mood::Takes, "x@evil.example", None)), Err(550));
    assert_eq!(code(early(Mood::Full, "ann@shop.example", None)), Err(452));
    assert_eq!(code(early(Mood::Takes, "ann@shop.example", Some(1 << 40))), Err(552));
}

#[tokio::test]
async fn a_moment_that_has_passed_by_our_own_clock_is_refused() {
    let door = Door::new();
    let soon = (door.clock.now() + Duration::from_secs(60)).seconds();
    let mail = with(&format!("X-Postroad-Not-After: {soon}\r\n"));
    assert!(door.take(&mail).await.is_ok());
    door.clock.advance(Duration::from_secs(61));
    assert!(door.take(&mail).await.is_err());
}

/// A8: whatever From value we read, Python's two parsers find no domain in it that we did not
/// check.
#[test]
fn no_reader_finds_an_author_that_we_did_not_check() {
    let piece = "(a|b| |,|<|>|@x\\.test|\"|\\(|\\)|\\\\|:|;|=\\?|c@z\\.test|<d@y\\.test>|\
        \"e@w\\.test\" |\"f\" |\\(g\\)|é){1,7}";
    let mut runner = TestRunner::deterministic();
    let values: Vec<String> = (0..20_000)
        .filter_map(|_| piece.new_tree(&mut runner).ok().map(|tree| tree.current()))
        .filter(|value| addresses(value.as_bytes()).is_ok())
        .collect();
    assert!(values.len() > 100, "only {} values are readable", values.len());
    let lines: String = values.iter().map(|value| format!("{}\n", json!(value))).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/accept/authors.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut stdin = python.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = python.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("written");
    let answers = String::from_utf8(output.stdout).expect("text");
    assert_eq!(answers.lines().count(), values.len());
    for (value, answer) in values.iter().zip(answers.lines()) {
        let ours = addresses(value.as_bytes()).expect("readable");
        let theirs: Vec<String> = serde_json::from_str(answer).expect("JSON");
        // What is no domain name is nobody's.
        for domain in theirs.iter().filter_map(|text| Domain::parse(text).ok()) {
            let known = ours.iter().any(|address| *address.domain() == domain);
            assert!(known, "{value:?}: Python sees {domain}, we saw {ours:?}");
        }
    }
}
