//! The simulated internet, seen by clients that are not ours: raw sockets and Python's smtplib.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use postroad::clock::Clock;
use postroad::world::manners::{
    Deed, Extensions, Greylist, Manners, Phase, Rule, Throttle, TlsManner, Whom,
};
use postroad::world::mx::Serves;
use postroad::world::operators::{
    ACCEPTING_DOMAIN, GREYLISTING_DOMAIN, REFUSED_RECIPIENT, operators, zones,
};
use postroad::world::sink::Keep;
use postroad::world::{HostPlan, World, WorldPlan};

use crate::support::talk::Talk;
use crate::support::until_told;

async fn world_with(manners: Manners, keep: Keep) -> World {
    let host = HostPlan {
        name: "mx.test".to_owned(),
        address: [127, 0, 8, 1].into(),
        serves: Serves::Domains(vec!["b.test".to_owned(), "*.c.test".to_owned()]),
        manners,
    };
    let plan = WorldPlan {
        hosts: vec![host],
        zones: Default::default(),
        keep,
        mx_port: 0,
        dns_port: 0,
        clock: Clock::standing(1),
    };
    World::start(plan).await.expect("a world")
}

async fn world(manners: Manners) -> World {
    world_with(manners, Keep::Memory).await
}

fn address(world: &World) -> SocketAddr {
    world.hosts()[0].address()
}

async fn enveloped(world: &World) -> Talk {
    let mut talk = Talk::to(address(world)).await;
    talk.expect("EHLO client.test", "250").await;
    talk.expect("MAIL FROM:<a@a.test>", "250").await;
    talk.expect("RCPT TO:<bob@b.test>", "250").await;
    talk
}

#[tokio::test]
async fn a_mail_is_kept_as_on_the_wire_after_dot_unstuffing() {
    let directory = tempfile::tempdir().expect("a directory");
    let keep = Keep::Directory(directory.path().to_owned());
    let world = world_with(Manners::default(), keep).await;
    let mut talk = Talk::to(address(&world)).await;
    talk.expect("EHLO client.test", "250").await;
    talk.expect("MAIL FROM:<a@a.test> BODY=8BITMIME SIZE=99 RET=HDRS", "250").await;
    talk.expect("RCPT TO:<bob@b.test> NOTIFY=NEVER", "250").await;
    talk.expect("RCPT TO:<x@sub.c.test>", "250").await;
    talk.expect("DATA", "354").await;
    talk.send(b"S: x\r\n\r\n..\r\n...two\r\n\xff\r\nlast.\r\n.\r\n").await;
    assert!(talk.reply().await.starts_with("250"));
    let body = std::fs::read(directory.path().join("1.eml")).expect("a mail");
    assert_eq!(body, b"S: x\r\n\r\n.\r\n..two\r\n\xff\r\nlast.\r\n");
    let sidecar = std::fs::read(directory.path().join("1.json")).expect("a sidecar");
    let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
    assert_eq!(
        sidecar["envelope"]["recipients"],
        serde_json::json!(["bob@b.test", "x@sub.c.test"])
    );
    assert_eq!(sidecar["envelope"]["sender_parameters"][2], serde_json::json!(["RET", "HDRS"]));
    assert_eq!(sidecar["ehlo"], "client.test");
    assert!(sidecar["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")));
    assert!(sidecar["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(world.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn a_group_in_one_write_is_answered_in_order() {
    let world = world(Manners::default()).await;
    let mut talk = Talk::to(address(&world)).await;
    talk.expect("EHLO client.test", "250-mx.test").await;
    let group = "MAIL FROM:<>\r\nRCPT TO:<bob@b.test>\r\nRCPT TO:<x@foreign.test>\r\nDATA\r\n";
    talk.send(group.as_bytes()).await;
    for start in ["250", "250", "550 5.7.1", "354"] {
        let reply = talk.reply().await;
        assert!(reply.starts_with(start), "{reply}");
    }
    talk.send(b"A: b\r\n\r\nc\r\n.\r\nQUIT\r\n").await;
    assert!(talk.reply().await.starts_with("250"));
    assert!(talk.reply().await.starts_with("221"));
    assert_eq!(world.received()[0].envelope.sender, "");
    assert_eq!(world.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn chunks_make_one_mail_with_its_dots_as_they_are() {
    let world = world(Manners::default()).await;
    let mut talk = enveloped(&world).await;
    talk.send(b"BDAT 7\r\nA: b\r\n\r").await;
    assert!(talk.reply().await.starts_with("250"));
    talk.send(b"BDAT 12 LAST\r\n\n.\r\n..text\r\n").await;
    assert!(talk.reply().await.starts_with("250"));
    assert_eq!(world.received()[0].body, "A: b\r\n\r\n.\r\n..text\r\n");
    talk.expect("MAIL FROM:<a@a.test>", "250").await;
    talk.expect("RCPT TO:<no@foreign.test>", "550").await;
    talk.send(b"BDAT 3 LAST\r\nab\nNOOP\r\n").await;
    assert!(talk.reply().await.starts_with("554"), "the chunk is swallowed");
    assert!(talk.reply().await.starts_with("250"), "and the dialogue goes on");
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_refused_and_told_on() {
    let cases: [(&[u8], &str); 9] = [
        (b"A: b\nc\r\n.\r\n", "554"),
        (b"A: b\rc\r\n.\r\n", "554"),
        (b"a\r\n\n.\r\nb\r\n.\r\n", "554"),
        (b".a\r\n.\r\n", "554"),
        (b"a\r\n.\nQUIT\r\n.\r\n", "554"),
        (b"a\n.\r\nb\r\n.\r\n", "554"),
        (b"a\r.\rb\r\n.\r\n", "554"),
        (b"\n.\nb\r\n.\r\n", "554"),
        (b"a\r\n.\rb\r\n.\r\n", "554"),
    ];
    for (mail, start) in cases {
        let world = world(Manners::default()).await;
        let mut talk = enveloped(&world).await;
        talk.expect("DATA", "354").await;
        talk.send(mail).await;
        let reply = talk.reply().await;
        assert!(reply.starts_with(start), "{mail:?}: {reply}");
        assert_eq!((world.accepted(), world.faults().len()), (0, 1), "{mail:?}");
    }
}

#[tokio::test]
async fn what_was_not_announced_is_a_fault_when_it_is_used() {
    let manners =
        Manners { extensions: Extensions::none(), tls: TlsManner::Absent, ..Manners::default() };
    let world = world(manners).await;
    let mut talk = Talk::to(address(&world)).await;
    assert_eq!(talk.say("EHLO client.test").await, "250 mx.test");
    talk.expect("STARTTLS", "503").await;
    talk.expect("MAIL FROM:<a@a.test> BODY=8BITMIME", "555").await;
    talk.expect("MAIL FROM:<ü@a.test>", "553").await;
    talk.send(b"MAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\n").await;
    assert_eq!(talk.reply().await, "250 Sender ok", "no enhanced code");
    assert!(talk.reply().await.starts_with("250"));
    talk.send(b"BDAT 3 LAST\r\nabc").await;
    assert!(talk.reply().await.starts_with("502"));
    assert_eq!(world.faults().len(), 5, "{:#?}", world.faults());
}

#[tokio::test]
async fn rules_answer_close_reset_and_keep_silent_at_their_phase() {
    let world = world(Manners::default()).await;
    let host = &world.hosts()[0];
    host.script(Rule::once(Phase::Connect, Deed::ReplyThenClose("554 5.7.1 no".into())));
    let (mut talk, greeting) = Talk::greeted_by(address(&world)).await;
    assert_eq!((greeting.as_str(), talk.rest().await.len()), ("554 5.7.1 no", 0));
    host.script(Rule::once(Phase::Body, Deed::Close));
    let mut talk = enveloped(&world).await;
    talk.expect("DATA", "354").await;
    talk.send(b"half a line").await;
    assert_eq!(talk.reply().await, "");
    host.script(Rule::once(Phase::DataEnd, Deed::KeepThenReset));
    let mut talk = enveloped(&world).await;
    talk.expect("DATA", "354").await;
    talk.send(b"a\r\n.\r\n").await;
    assert_eq!(talk.reply().await, "");
    assert_eq!(world.accepted(), 1, "kept, though nobody was told");
    let twice = Rule::mailbox(Whom::LocalStart("gone".into()), "550-5.1.1 no\n550 5.1.1 such");
    host.script(twice.times(2));
    let mut talk = enveloped(&world).await;
    talk.expect("RCPT TO:<gone.1@b.test>", "550-5.1.1 no\n550 5.1.1 such").await;
    talk.expect("RCPT TO:<Gone@b.test>", "550").await;
    talk.expect("RCPT TO:<gone@b.test>", "250").await;
}

#[tokio::test]
async fn greylisting_lets_pass_once_the_clock_has_moved() {
    let greylist = Greylist { wait: Duration::from_secs(300), reply: "451 4.7.1 later".into() };
    let world = world(Manners { greylist: Some(greylist), ..Manners::default() }).await;
    let mut talk = Talk::to(address(&world)).await;
    talk.expect("EHLO client.test", "250").await;
    talk.expect("MAIL FROM:<a@a.test>", "250").await;
    talk.expect("RCPT TO:<bob@b.test>", "451 4.7.1").await;
    world.clock().advance(Duration::from_secs(299));
    talk.expect("RCPT TO:<bob@b.test>", "451 4.7.1").await;
    world.clock().advance(Duration::from_secs(1));
    talk.expect("RCPT TO:<Bob@b.test>", "250").await;
    talk.expect("RCPT TO:<carol@b.test>", "451").await;
}

#[tokio::test]
async fn a_throttle_counts_connections_and_mails_of_each_source() {
    let throttle = Throttle {
        connections_max: 1,
        connections_reply: "421 4.7.0 too many connections".into(),
        messages_max: 2,
        window: Duration::from_secs(60),
        messages_reply: "451 4.7.28 too many mails".into(),
    };
    let world = world(Manners { throttle: Some(throttle), ..Manners::default() }).await;
    let mut talk = Talk::to(address(&world)).await;
    let (_, greeting) = Talk::greeted_by(address(&world)).await;
    assert_eq!(greeting, "421 4.7.0 too many connections");
    talk.expect("EHLO client.test", "250").await;
    for reply in ["250", "250", "451 4.7.28"] {
        talk.expect("MAIL FROM:<a@a.test>", reply).await;
        talk.expect("RSET", "250").await;
    }
    world.clock().advance(Duration::from_secs(60));
    talk.expect("MAIL FROM:<a@a.test>", "250").await;
    talk.expect("QUIT", "221").await;
    drop(talk);
    // The host counts the connection until it has seen it closed.
    let greeting = async || Talk::greeted_by(address(&world)).await.1;
    let is_served = |greeting: &String| greeting.starts_with("220");
    until_told("the closed connection counts no more", greeting, is_served).await;
}

/// Runs Python and returns what it printed.
async fn python(script: &'static str, arguments: Vec<String>) -> String {
    let run = move || Command::new("python3").arg("-c").arg(script).args(arguments).output();
    let output = tokio::task::spawn_blocking(run).await.expect("joined").expect("python3 runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Arguments: host, port, root file or nothing. Prints what came of STARTTLS and one mail.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
host, port, root, name = sys.argv[1:5]
context = ssl.create_default_context(cafile=root) if root else ssl._create_unverified_context()
if not root:
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
client = smtplib.SMTP(host, int(port), timeout=60)
client._host = name
try:
    client.starttls(context=context)
except (ssl.SSLError, OSError) as error:
    print("failed:", getattr(error, "verify_message", None) or "no handshake")
    sys.exit()
client.sendmail("a@a.test", ["bob@b.test"], b"Subject: x\r\n\r\n.dot\r\n", ["body=8bitmime"])
client.quit()
print("sent")
"#;

async fn handshake(manner: TlsManner, verified: bool) -> (String, World) {
    let world = world(Manners { tls: manner, ..Manners::default() }).await;
    let root = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(root.path(), world.root_pem()).expect("written");
    let at = address(&world);
    let file = if verified { root.path().display().to_string() } else { String::new() };
    let arguments = vec![at.ip().to_string(), at.port().to_string(), file, "mx.test".into()];
    (python(SMTPLIB, arguments).await, world)
}

#[tokio::test]
async fn a_good_certificate_verifies_and_the_mail_comes_over_tls() {
    let (said, world) = handshake(TlsManner::Good, true).await;
    assert_eq!(said, "sent");
    let mails = world.received();
    assert_eq!(mails[0].body, "Subject: x\r\n\r\n.dot\r\n");
    let tls = mails[0].tls.as_deref().expect("TLS");
    assert!(tls.starts_with("TLSv1.3 TLS13_AES"), "{tls}");
    assert_eq!(world.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn bad_certificates_shake_hands_and_do_not_verify() {
    for (manner, reason) in [
        (TlsManner::Expired, "expired"),
        (TlsManner::WrongName, "mismatch"),
        (TlsManner::SelfSigned, "self-signed"),
        (TlsManner::Weak, "too weak"),
    ] {
        let (said, _) = handshake(manner, true).await;
        assert!(said.starts_with("failed") && said.contains(reason), "{manner:?}: {said}");
        let (said, world) = handshake(manner, false).await;
        assert_eq!(said, "sent", "{manner:?}");
        assert!(world.received()[0].tls.is_some());
    }
}

#[tokio::test]
async fn broken_tls_never_shakes_hands() {
    let (said, _) = handshake(TlsManner::Broken, false).await;
    assert_eq!(said, "failed: no handshake");
}

/// Arguments: port, then pairs of address and recipient. Prints a line for each.
const MANY: &str = r#"
import smtplib, sys
port = int(sys.argv[1])
for host, recipient in zip(sys.argv[2::2], sys.argv[3::2]):
    try:
        client = smtplib.SMTP(host, port, timeout=60)
        client.sendmail("a@a.test", [recipient], b"Subject: x\r\n\r\nhello\r\n")
        print(recipient, "accepted")
        client.quit()
    except smtplib.SMTPRecipientsRefused as error:
        print(recipient, list(error.recipients.values())[0][0])
    except smtplib.SMTPResponseException as error:
        print(recipient, error.smtp_code)
    except smtplib.SMTPServerDisconnected:
        print(recipient, "closed")
"#;

#[tokio::test]
async fn the_cast_of_the_demo_behaves_as_its_notes_say() {
    let operators = operators();
    let plan = WorldPlan {
        hosts: operators.iter().flat_map(|operator| operator.hosts.clone()).collect(),
        zones: zones(&operators),
        keep: Keep::Memory,
        mx_port: 0,
        dns_port: 0,
        clock: Clock::standing(1),
    };
    let world = World::start(plan).await.expect("a world");
    let accepted = format!("bob@{ACCEPTING_DOMAIN}");
    let greylisted = format!("bob@{GREYLISTING_DOMAIN}");
    let cases = [
        ("mx1.goodmail.test", accepted.as_str(), "accepted"),
        ("mx2.goodmail.test", REFUSED_RECIPIENT, "550"),
        ("mx1.goodmail.test", "full@goodmail.test", "452"),
        ("mx1.goodmail.test", "overquota@goodmail.test", "552"),
        ("mx1.goodmail.test", "bob@greyfriars.test", "550"),
        ("mx.many.test", "bob@one.many.test", "accepted"),
        ("mx.greyfriars.test", greylisted.as_str(), "451"),
        ("mx.snail.test", "bob@snail.test", "accepted"),
        ("mx.museum.test", "bob@museum.test", "accepted"),
        ("mx.hang-up.test", "bob@hang-up.test", "closed"),
        ("mx.closed.test", "bob@closed.test", "421"),
        ("mx.blocking.test", "bob@blocking.test", "554"),
        ("mx.filtering.test", "bob@filtering.test", "550"),
    ];
    let mut arguments = vec![world.mx_port().to_string()];
    for (host, recipient, _) in cases {
        let host = world.host(host).unwrap_or_else(|| panic!("{host}"));
        arguments.extend([host.address().ip().to_string(), recipient.to_owned()]);
    }
    let said = python(MANY, arguments).await;
    let expected: Vec<String> =
        cases.iter().map(|(_, recipient, what)| format!("{recipient} {what}")).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    assert_eq!(world.faults(), Vec::<String>::new());
}
