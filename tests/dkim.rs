//! What we sign, verifiers that share no code with us accept: dkimpy and mailauth (installed by
//! `scripts/test-tools`), and the crate mail-auth.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use bytes::Bytes;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use postroad::clock::Clock;
use postroad::compose::Composer;
use postroad::compose::key_ring::{KeyRing, Keys};
use postroad::dkim::{Algorithm, PrivateKey};
use postroad::model::*;
use postroad::store::MessageRow;
use proptest::prelude::*;

use crate::support::mail;

const SELECTORS: [(Algorithm, &str); 2] =
    [(Algorithm::RsaSha256, "testr"), (Algorithm::Ed25519Sha256, "teste")];

struct Signer {
    composer: Composer,
    /// Owner name to TXT text.
    zone: HashMap<String, String>,
}

impl Signer {
    fn new() -> Signer {
        let domain = Domain::parse("shop.example").expect("lawful");
        let keys = SELECTORS.map(|(algorithm, selector)| {
            PrivateKey::generate(&domain, selector, algorithm).expect("a key")
        });
        let name = |key: &PrivateKey| format!("{}._domainkey.shop.example", key.selector);
        let zone = keys.iter().map(|key| (name(key), key.record().expect("a record"))).collect();
        let mut ring = KeyRing::default();
        ring.add(OrganizationId::FIRST, DomainId(1), &domain, Keys::Ready(keys.into()));
        Signer { composer: Composer::with_keys(ring, Clock::system()), zone }
    }

    async fn signed(&self, id: i64, mail: &[u8]) -> Vec<u8> {
        let row = message(id, mail.len());
        let composed =
            self.composer.compose(&row, DeliveryId(1), Bytes::copy_from_slice(mail)).await;
        composed.expect("composed").chunks.concat()
    }
}

fn message(id: i64, length: usize) -> MessageRow {
    MessageRow {
        domain: Some(DomainId(1)),
        body: BodyRef { segment: SegmentId(1), offset: 0, length: length as u64 },
        expires_at: Timestamp(0),
        rank: id % 2,
        ..mail::message(MessageId(id), "", Timestamp(0))
    }
}

const HEADS: [&str; 8] = [
    "From: Ann <ann@shop.example>\r\nTo: bob@mx.example\r\nSubject: Hello\r\nX-Here: y\r\n",
    "FROM:ann@shop.example\r\nto:  bob@mx.example \r\nSubject:\r\nX-Here: y\r\n",
    "Received: from a\r\n\tby b; now\r\nX-Here: y\r\nFrom: \"A, B\"\r\n <ann@shop.example>\r\n\
     Subject: a long\r\n\t  folded   \t subject \r\n",
    "X-Here: y\r\nFrom: ann@shop.example\r\nSubject: one\r\nSubject: two\r\nTo: a@b.example\r\n\
     To: c@d.example\r\nReceived: x\r\nReceived: y\r\n",
    "From: Änn <änn@shop.example>\r\nSubject: Grüße aus Köln\r\nX-Here: y\r\n",
    "From: =?utf-8?Q?=C3=84nn?= <ann@shop.example>\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\
     Date: Mon, 23 Nov 2026 07:09:22 +0000\r\nMessage-ID: <1@shop.example>\r\nX-Here: y\r\n\
     MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
     Content-Transfer-Encoding: 8bit\r\nReply-To: help@shop.example\r\nCc: c@d.example\r\n",
    "From: ann@shop.example\r\nList-Unsubscribe: <https://shop.example/u?x=1>,\r\n \
     <mailto:u@shop.example>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
     List-Id: Shop <news.shop.example>\r\nFeedback-ID: a:b:c:d\r\nX-Here: y\r\n",
    "DKIM-Signature-Old: v=1\r\nX-Here: y\r\nFrom: ann@shop.example\r\nX-Empty:\r\nX-Space: \t \r\n\
     In-Reply-To: <0@shop.example>\r\nReferences: <0@shop.example>\r\n <00@shop.example>\r\n\
     Sender: ann@shop.example\r\n",
];

fn bodies() -> Vec<String> {
    vec![
        String::new(),
        "\r\n\r\n".into(),
        " \t\r\n\r\n".into(),
        "Hello\r\n \r\n".into(),
        "Hello\r\n\t\r\n\r\n".into(),
        "Hello".into(),
        "two  spaces\tand  tabs\t\r\n  indented \r\n\r\n\r\nend\r\n\r\n".into(),
        "Grüße, 日本語\r\n".into(),
        format!("{}\r\n", "long line ".repeat(300)),
        format!("{}\r\n", "x".repeat(5000)),
        "--b\r\nContent-Type: text/html\r\n\r\n<p>  x</p>\r\n--b\r\n\
         Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            .to_owned()
            + &"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\r\n".repeat(200)
            + "--b--\r\n",
        ".\r\n..\r\n.leading dots\r\n".into(),
    ]
}

fn tools() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("test-tools");
    assert!(tools.join("venv").is_dir(), "run scripts/test-tools first: it installs verifiers");
    tools
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().expect("the verifier starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn two_independent_verifiers_accept_what_we_sign_and_no_forgery_of_it() {
    let (signer, place) = (Signer::new(), tempfile::tempdir().expect("a directory"));
    let mut count = 0;
    for head in HEADS {
        for body in bodies() {
            let mail = format!("{head}\r\n{body}");
            let signed = signer.signed(count, mail.as_bytes()).await;
            std::fs::write(place.path().join(format!("{count:03}.eml")), signed).expect("written");
            count += 1;
        }
    }
    let zone = serde_json::to_string(&signer.zone).expect("JSON");
    std::fs::write(place.path().join("zone.json"), zone).expect("written");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dkim");
    let tools = tools();
    let mut python = Command::new(tools.join("venv/bin/python"));
    let by_dkimpy = output_of(python.arg(here.join("verify.py")).arg(place.path()));
    let mut node = Command::new("node");
    let node = node.arg(here.join("verify.mjs")).arg(&tools).arg(place.path());
    let expected: String = (0..count).map(|n| format!("{n:03}.eml pass pass\n")).collect();
    assert_eq!(by_dkimpy, expected, "dkimpy");
    assert_eq!(output_of(node), expected, "mailauth");
}

struct Known<K, V>(Mutex<HashMap<K, V>>);

impl<K: std::hash::Hash + Eq, V: Clone> ResolverCache<K, V> for Known<K, V> {
    fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        self.0.lock().expect("no panic").get(key).cloned()
    }

    fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        self.0.lock().expect("no panic").remove(key)
    }

    fn insert(&self, key: K, value: V, _: std::time::Instant) {
        self.0.lock().expect("no panic").insert(key, value);
    }
}

/// The crate mail-auth, with the zone in its cache instead of DNS.
pub struct MailAuth {
    authenticator: MessageAuthenticator,
    texts: Known<Box<str>, Txt>,
}

impl MailAuth {
    pub fn new(zone: &HashMap<String, String>) -> MailAuth {
        let texts = Known(Mutex::default());
        let later = std::time::Instant::now() + std::time::Duration::from_secs(3600);
        for (name, text) in zone {
            let key = DomainKey::parse(text.as_bytes()).expect("a record");
            texts.insert(format!("{name}.").into_boxed_str(), Txt::from(key), later);
        }
        let empty = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let made = MessageAuthenticator::new(empty, ResolverOpts::default());
        MailAuth { authenticator: made.expect("a resolver"), texts }
    }

    pub async fn passes(&self, mail: &[u8]) -> usize {
        let message = AuthenticatedMessage::parse(mail).expect("a mail");
        let parameters = Parameters::new(&message).with_txt_cache(&self.texts);
        let outputs = self.authenticator.verify_dkim(parameters).await;
        outputs.iter().filter(|output| *output.result() == DkimResult::Pass).count()
    }
}

/// mail-auth 0.13 hashes lines of white space at the end of a body, against RFC 6376 §3.4.4.
fn is_known_fault(body: &str) -> bool {
    let text = body.trim_end_matches("\r\n");
    text.ends_with([' ', '\t']) && text.rsplit("\r\n").next().is_some_and(|l| l.trim().is_empty())
}

#[test]
fn the_crate_mail_auth_accepts_whatever_mail_we_sign() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let signer = Signer::new();
    let mail_auth = runtime.block_on(async { MailAuth::new(&signer.zone) });
    let field =
        "(From|To|Subject|List-Id|X-Y|Date|Cc): {0,2}[a-z\t ]{0,30}(\r\n[ \t][a-z]{1,9})?\r\n";
    let (head, body) = (format!("({field}){{0,6}}"), "([a-zü]{0,9}[ \t]{0,3}|\r\n){0,40}");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 100,
        ..ProptestConfig::default()
    });
    let mut next = 0;
    let id = std::cell::RefCell::new(&mut next);
    runner
        .run(&(head.as_str(), body), |(head, body)| {
            prop_assume!(!is_known_fault(&body));
            **id.borrow_mut() += 1;
            let mail = format!("From: ann@shop.example\r\n{head}\r\n{body}");
            let signed = runtime.block_on(signer.signed(**id.borrow(), mail.as_bytes()));
            prop_assert_eq!(runtime.block_on(mail_auth.passes(&signed)), 2);
            Ok(())
        })
        .expect("every mail passes");
}
