//! Calls of SNS about a mail of a whole ledger.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::compose::returns::ReturnOptions;
use crate::dns::{DnsOptions, Resolver};
use crate::feedback::lesson;
use crate::fetch::FetchOptions;
use crate::store::{Enqueue, Location, MessageRow, NewDelivery, SuppressionFilter};
use crate::token::{Keys, Use};

const TOPIC: &str = "arn:aws:sns:eu-west-1:1:ses";
const CERTIFICATE: &str = "https://sns.eu-west-1.amazonaws.com/one.pem";
const RECIPIENT: &str = "ann@x.example";

/// A ledger with one mail, and a key that SNS signs with.
struct Desk {
    sns: Sns,
    store: Store,
    message: MessageRow,
    return_path: String,
    pair: RsaKeyPair,
    _directory: tempfile::TempDir,
}

impl Desk {
    async fn open() -> Desk {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Clock::standing(1);
        let location = Location::Sqlite(directory.path().join("ledger"));
        let store = Store::open(&location, 1, clock.clone()).await.expect("the store opens");
        let keys = Keys::open(&directory.path().join("keys"), clock.now()).expect("keys");
        let domain = "bounce.shop.example".parse().expect("a domain");
        let options =
            ReturnOptions { domain: Some(domain), valid: Duration::from_secs(7 * 86_400) };
        let returns = Returns::with_keys(keys, options, clock.clone());
        let (message, delivery) = mail(&store, clock.now()).await;
        let return_path = returns.address(Use::ReturnPath, &message, delivery).expect("an address");
        let dns = DnsOptions {
            servers: vec![([127, 0, 0, 1], 9).into()],
            allowed_networks: Vec::new(),
            own_names: Vec::new(),
            own_addresses: Vec::new(),
        };
        let resolver = Resolver::new(dns, clock.clone()).expect("a resolver");
        let parts = SnsParts {
            store: store.clone(),
            returns,
            judge: Judge::shipped().expect("the rules load"),
            fetcher: Fetcher::new(resolver, FetchOptions::default()),
        };
        let rule = SoftBounceRule { bounces: 5, span: Duration::from_secs(10 * 86_400) };
        let sns = Sns::new(parts, &[TOPIC.to_owned()], rule, clock);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let names = rcgen::CertificateParams::new(vec!["sns.test".to_owned()]).expect("names");
        let certificate = names.self_signed(&key).expect("signed");
        let public = public_key(certificate.pem().as_bytes()).expect("an RSA key");
        // As if it had been fetched before.
        sns.0.keys.insert(CERTIFICATE.to_owned(), Arc::new(public));
        let pair = RsaKeyPair::from_pkcs8(&key.serialize_der()).expect("a pair");
        let return_path = return_path.to_string();
        Desk { sns, store, message, return_path, pair, _directory: directory }
    }

    /// A call as SNS makes it, of what SES says about our mail.
    fn call(&self, mut news: Value) -> Value {
        news["mail"] = json!({"source": self.return_path});
        let mut call = json!({"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC,
            "Message": news.to_string(), "Timestamp": "2026-01-01T00:00:00.000Z",
            "SignatureVersion": "2", "Signature": "", "SigningCertURL": CERTIFICATE});
        let envelope: Envelope = serde_json::from_value(call.clone()).expect("an envelope");
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let text = signed_text(&envelope);
        let random = SystemRandom::new();
        let signed = self.pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
        signed.expect("signed");
        call["Signature"] = BASE64.encode(&signature).into();
        call
    }

    async fn take(&self, call: &Value) -> Result<(), SnsError> {
        self.sns.take(call.to_string().as_bytes()).await
    }

    async fn kinds(&self) -> Vec<String> {
        let events = self.store.events_of_message(self.message.id, 100).await.expect("events");
        events.iter().map(|event| event.kind.to_string()).collect()
    }

    async fn suppressed(&self) -> Vec<String> {
        let filter = SuppressionFilter::default();
        let rows = self.store.suppressions(&filter, 10).await.expect("a list");
        rows.iter().map(|row| row.reason.to_string()).collect()
    }
}

async fn mail(store: &Store, now: Timestamp) -> (MessageRow, DeliveryId) {
    let id = store.message_id().await.expect("an id");
    let delivery = store.delivery_ids(1).await.expect("an id");
    let message = MessageRow {
        id,
        organization: OrganizationId::FIRST,
        stream: StreamId(1),
        accepted_at: now,
        due_at: now,
        expires_at: now + Duration::from_secs(86_400),
        ..lesson::tests::message()
    };
    let new = NewDelivery {
        id: delivery,
        recipient: Recipient::new(RECIPIENT.parse().expect("lawful")),
        site: SiteId(7),
        claimed: false,
        contact: None,
        score: 0,
    };
    let job = Enqueue { message: message.clone(), deliveries: vec![new], slice: None, line: None };
    store.enqueue(job).await.expect("accepted");
    (message, delivery)
}

fn bounce(kind: &str) -> Value {
    json!({"notificationType": "Bounce", "bounce": {"bounceType": kind, "bouncedRecipients": [
        {"emailAddress": RECIPIENT, "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 user unknown"}]}})
}

#[tokio::test]
async fn a_bounce_that_ses_tells_of_counts_once_and_ends_mail_to_the_address() {
    let desk = Desk::open().await;
    let call = desk.call(bounce("Permanent"));
    for _ in 0..2 {
        desk.take(&call).await.expect("taken");
    }
    assert_eq!(desk.kinds().await, ["accepted", "bounced"]);
    assert_eq!(desk.suppressed().await, ["hard_bounce"]);
}

#[tokio::test]
async fn what_ses_calls_transient_ends_nothing_and_a_complaint_ends_all() {
    let desk = Desk::open().await;
    desk.take(&desk.call(bounce("Transient"))).await.expect("taken");
    assert_eq!(desk.suppressed().await, [""; 0]);
    let complaint = json!({"notificationType": "Complaint",
        "complaint": {"complainedRecipients": [{"emailAddress": RECIPIENT}]}});
    desk.take(&desk.call(complaint)).await.expect("taken");
    assert_eq!(desk.kinds().await, ["accepted", "bounced", "complained"]);
    assert_eq!(desk.suppressed().await, ["complaint"]);
}

#[tokio::test]
async fn a_call_that_is_forged_changes_nothing() {
    let desk = Desk::open().await;
    let good = desk.call(bounce("Permanent"));
    let change = |name: &str, value: &str| {
        let mut call = good.clone();
        call[name] = value.into();
        call
    };
    let other = desk.call(json!({"notificationType": "Delivery"}))["Message"].to_string();
    assert!(matches!(desk.take(&change("Message", &other)).await, Err(SnsError::Signature)));
    let other = "arn:aws:sns:eu-west-1:2:ses";
    assert!(matches!(desk.take(&change("TopicArn", other)).await, Err(SnsError::Topic)));
    let other = "https://sns.evil.example/one.pem";
    assert!(matches!(desk.take(&change("SigningCertURL", other)).await, Err(SnsError::Host)));
    assert_eq!(desk.kinds().await, ["accepted"]);
    assert_eq!(desk.suppressed().await, [""; 0]);
}

#[tokio::test]
async fn what_ses_has_delivered_is_confirmed_and_ends_nothing() {
    let desk = Desk::open().await;
    let news = json!({"eventType": "Delivery", "delivery": {"recipients": [RECIPIENT]}});
    for _ in 0..2 {
        desk.take(&desk.call(news.clone())).await.expect("taken");
    }
    assert_eq!(desk.kinds().await, ["accepted", "confirmed"]);
    assert_eq!(desk.suppressed().await, [""; 0]);
}
