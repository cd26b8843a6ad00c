//! Calls of Amazon's SNS: whose certificate is fetched, and what is fetched on their word.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use parking_lot::Mutex;
use postroad::world::dns::{Data, Says};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::http::{HttpSink, status};
use crate::support::mx::FakeMx;
use crate::support::operator;
use crate::support::relay::TestRelay;

const HOST: &str = "sns.eu-west-1.amazonaws.com";
/// Nobody else is there: a port cannot be named in such a URL.
const PLACE: [u8; 4] = [127, 0, 9, 43];
const TOPIC: &str = "arn:aws:sns:eu-west-1:1:ses";

/// What SNS posts when somebody asked it to.
fn asks_to_confirm(pair: &RsaKeyPair) -> Value {
    let url = format!("https://{HOST}/?Action=ConfirmSubscription&Token=t");
    let (message, at) = ("You have chosen to subscribe", "2026-01-01T00:00:00.000Z");
    let signed = format!(
        "Message\n{message}\nMessageId\n1\nSubscribeURL\n{url}\nTimestamp\n{at}\nToken\nt\n\
         TopicArn\n{TOPIC}\nType\nSubscriptionConfirmation\n"
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("signed");
    json!({"Type": "SubscriptionConfirmation", "MessageId": "1", "TopicArn": TOPIC,
        "Message": message, "Timestamp": at, "Token": "t", "SubscribeURL": url,
        "SignatureVersion": "2", "Signature": BASE64.encode(&signature),
        "SigningCertURL": format!("https://{HOST}/SimpleNotificationService-one.pem")})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_confirmed_on_the_word_of_a_certificate_from_the_host_of_sns() {
    let Ok(listener) = TcpListener::bind(std::net::SocketAddr::from((PLACE, 443))).await else {
        eprintln!("SKIPPED: port 443 needs root");
        return;
    };
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let names = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]);
    let certificate = names.expect("names").self_signed(&key).expect("signed").pem();
    let pair = RsaKeyPair::from_pkcs8(&key.serialize_der()).expect("a pair");
    let is_away = Arc::new(Mutex::new(true));
    let away = is_away.clone();
    let answers = move |_: usize| match *away.lock() {
        true => Some(status(503)),
        false => Some(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{certificate}",
            certificate.len()
        )),
    };
    let amazon = HttpSink::secure_on(listener, HOST, answers).await;
    let mx = FakeMx::accepting().await;
    mx.name(HOST, Says::Records(vec![Data::Address(PLACE.into())]));
    let relay = TestRelay::with(&mx, |settings| {
        settings.inbound.sns_topics = vec![TOPIC.to_owned()];
        settings.fetch.allowed_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        settings.fetch.extra_roots = amazon.roots.clone();
    })
    .await;
    let socket = relay.settings().control_socket();
    let post =
        async |call: &Value| operator::ask(&socket, "POST", "/v1/relays/ses", call.clone()).await.0;
    let call = asks_to_confirm(&pair);
    assert_eq!(post(&call).await, 503, "SNS calls again when its certificate cannot be had");
    *is_away.lock() = false;
    let mut forged = call.clone();
    forged["Token"] = "another".into();
    assert_eq!(post(&forged).await, 403);
    assert_eq!(post(&call).await, 204);
    let asked: Vec<String> = amazon.requests().into_iter().map(|request| request.line).collect();
    let pem = "GET /SimpleNotificationService-one.pem HTTP/1.1";
    let confirms = "GET /?Action=ConfirmSubscription&Token=t HTTP/1.1";
    assert_eq!(
        asked,
        [pem, pem, confirms],
        "a certificate is kept, and a forged call moves nothing"
    );
}
