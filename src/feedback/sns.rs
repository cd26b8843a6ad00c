//! What Amazon SES tells by SNS of mail that left through it: bounces, complaints, deliveries.
//!
//! Owns:       how a call of SNS is believed, and what SES's JSON means.
//! Promises:   nothing follows from a call whose topic the settings do not name, or whose signature
//!             does not verify by a certificate of SNS's own host; what is told twice counts once.
//! Knows not:  HTTP servers.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::lesson::{Told, about};
use super::{Judge, Verdict, leave};
use crate::clock::Clock;
use crate::compose::returns::Returns;
use crate::fetch::{Call, Fetcher, Url};
use crate::model::*;
use crate::store::{ReturnSubject, SoftBounceRule, Store, StoreError};
use crate::wire::report::{Finding, Report, feedback_type};

const CERTIFICATES_MAX: u64 = 16;
const RECIPIENTS_MAX: usize = 100;

/// Why a call is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SnsError {
    #[error("it is not a call of SNS: {0}")]
    Form(String),
    #[error("its topic is none of inbound.sns_topics")]
    Topic,
    #[error("its certificate or subscription is not at a host of SNS")]
    Host,
    #[error("its signature does not verify")]
    Signature,
    #[error("SNS does not answer: {0}")]
    Away(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    kind: String,
    message_id: String,
    topic_arn: String,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    subject: Option<String>,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct News {
    #[serde(alias = "eventType")]
    notification_type: String,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
    delivery: Option<Delivery>,
}

#[derive(Debug, Deserialize)]
struct Delivery {
    recipients: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
    bounced_recipients: Vec<Bounced>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounced {
    email_address: String,
    status: Option<String>,
    diagnostic_code: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complained_recipients: Vec<Complained>,
    /// As in RFC 5965; left out where the mailbox operator told none.
    complaint_feedback_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complained {
    email_address: String,
}

pub struct SnsParts {
    pub store: Store,
    pub returns: Returns,
    pub judge: Judge,
    pub fetcher: Fetcher,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Sns(Arc<Inner>);

struct Inner {
    parts: SnsParts,
    topics: HashSet<String>,
    rule: SoftBounceRule,
    /// Public keys by the URL of their certificate.
    keys: moka::sync::Cache<String, Arc<Vec<u8>>>,
    clock: Clock,
}

impl Sns {
    pub fn new(parts: SnsParts, topics: &[String], rule: SoftBounceRule, clock: Clock) -> Sns {
        let (topics, keys) =
            (topics.iter().cloned().collect(), moka::sync::Cache::new(CERTIFICATES_MAX));
        Sns(Arc::new(Inner { parts, topics, rule, keys, clock }))
    }

    /// Takes a call: all that follows from it is on disk when it returns.
    ///
    /// # Errors
    /// It is not believed, or cannot be written down now.
    pub async fn take(&self, body: &[u8]) -> Result<(), SnsError> {
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|why| SnsError::Form(why.to_string()))?;
        if !self.0.topics.contains(&envelope.topic_arn) {
            return Err(SnsError::Topic);
        }
        let key = self.0.key(&envelope.signing_cert_url).await?;
        verify(&envelope, &key)?;
        match (envelope.kind.as_str(), &envelope.subscribe_url) {
            ("SubscriptionConfirmation", Some(url)) => self.0.confirm(url).await,
            ("Notification", _) => self.0.learn(&envelope.message).await,
            _ => Ok(()),
        }
    }
}

impl Inner {
    async fn key(&self, url: &str) -> Result<Arc<Vec<u8>>, SnsError> {
        let asked = of_sns(url).ok_or(SnsError::Host)?;
        if let Some(key) = self.keys.get(url) {
            return Ok(key);
        }
        let text = self.get(asked).await?;
        let key = Arc::new(public_key(&text).ok_or(SnsError::Signature)?);
        self.keys.insert(url.to_owned(), key.clone());
        Ok(key)
    }

    async fn confirm(&self, url: &str) -> Result<(), SnsError> {
        self.get(of_sns(url).ok_or(SnsError::Host)?).await?;
        tracing::info!("a subscription to a topic of SNS is confirmed");
        Ok(())
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, SnsError> {
        let answer = self.parts.fetcher.call(&Call::get(url)).await;
        let answer = answer.map_err(|error| SnsError::Away(error.to_string()))?;
        if !answer.is_success() {
            return Err(SnsError::Away(format!("status {}", answer.status)));
        }
        Ok(answer.body.to_vec())
    }

    /// The mail's own headers, which SES repeats, name the delivery by its token.
    async fn learn(&self, message: &str) -> Result<(), SnsError> {
        let news: News =
            serde_json::from_str(message).map_err(|why| SnsError::Form(why.to_string()))?;
        let report = report(&news);
        let claims = self.parts.returns.named_in(message.as_bytes(), 1);
        let Some(claim) = claims.first() else { return Ok(()) };
        let Some(row) = self.parts.store.message(claim.message).await? else { return Ok(()) };
        let mut group = self.parts.store.return_group(claim.message, claim.delivery).await?;
        if row.rank > 0 || row.body.is_recipe() {
            group.retain(|subject| subject.delivery == claim.delivery);
        }
        for finding in &report.findings {
            let Some(about) = about(finding, &group) else { continue };
            let told = Told {
                report: &report,
                finding,
                verdict: judged(&self.parts.judge, &news, about.subject, finding),
                message: &row,
                about,
                peer: "ses".to_owned(),
                rule: self.rule,
                at: self.clock.now(),
            };
            if let Some(returned) = told.lesson() {
                leave::came_back(&self.parts.store, returned).await?;
            }
        }
        Ok(())
    }
}

/// What SES calls transient is no lost address, whatever its words say.
fn judged(judge: &Judge, news: &News, of: &ReturnSubject, finding: &Finding) -> Verdict {
    let verdict = judge.judge(of.operator.as_deref(), finding);
    let is_lasting = news.bounce.as_ref().is_none_or(|one| one.bounce_type == "Permanent");
    Verdict { suppress: verdict.suppress.filter(|_| is_lasting), ..verdict }
}

/// What SES says, as a report by mail would.
fn report(news: &News) -> Report {
    let mut findings = Vec::new();
    if let Some(bounce) = &news.bounce {
        let is_lasting = bounce.bounce_type == "Permanent";
        for one in bounce.bounced_recipients.iter().take(RECIPIENTS_MAX) {
            let status = one.status.as_deref().and_then(Enhanced::read);
            let status = status.filter(|code| is_lasting || code.0 == 4);
            let status = status.or((!is_lasting).then_some(Enhanced(4, 0, 0)));
            findings.push(Finding {
                recipient: Some(one.email_address.clone()),
                kind: ReportKind::Bounce,
                status,
                texts: one.diagnostic_code.clone().into_iter().collect(),
                hosts: Vec::new(),
            });
        }
    }
    let named = news.complaint.as_ref().and_then(|one| one.complaint_feedback_type.as_deref());
    let told = named.map_or(FeedbackType::Abuse, feedback_type);
    if let Some(complaint) = &news.complaint {
        let kind = if told.is_complaint() { ReportKind::Complaint } else { ReportKind::NotBounce };
        for one in complaint.complained_recipients.iter().take(RECIPIENTS_MAX) {
            findings.push(Finding {
                recipient: Some(one.email_address.clone()),
                kind,
                status: None,
                texts: Vec::new(),
                hosts: Vec::new(),
            });
        }
    }
    let taken = news.delivery.iter().flat_map(|delivery| &delivery.recipients);
    findings.extend(taken.take(RECIPIENTS_MAX).map(|recipient| Finding {
        recipient: Some(recipient.clone()),
        kind: ReportKind::Delivered,
        status: None,
        texts: Vec::new(),
        hosts: Vec::new(),
    }));
    let feedback_type = (news.notification_type == "Complaint").then_some(told);
    Report { findings, original_message_id: None, feedback_type, feedback_id: None, is_cut: false }
}

/// `https://sns.REGION.amazonaws.com/…`.
fn of_sns(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.is_https() && url.port() == 443)?;
    let host = url.host().strip_suffix(".cn").unwrap_or(url.host());
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let lawful = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!region.is_empty() && region.chars().all(lawful)).then_some(url)
}

/// The lines that SNS signs, in its order.
fn signed_text(envelope: &Envelope) -> String {
    let mut lines = vec![("Message", envelope.message.as_str())];
    lines.push(("MessageId", &envelope.message_id));
    let fields: [(&str, Option<&str>); 2] = match envelope.kind.as_str() {
        "Notification" => [("Subject", envelope.subject.as_deref()), ("", None)],
        _ => [("SubscribeURL", envelope.subscribe_url.as_deref()), ("", None)],
    };
    lines.extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines.push(("Timestamp", &envelope.timestamp));
    if envelope.kind != "Notification" {
        lines.extend(envelope.token.as_deref().map(|token| ("Token", token)));
    }
    lines.extend([("TopicArn", envelope.topic_arn.as_str()), ("Type", envelope.kind.as_str())]);
    lines.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect()
}

fn verify(envelope: &Envelope, key: &[u8]) -> Result<(), SnsError> {
    let signature = BASE64.decode(&envelope.signature).map_err(|_| SnsError::Signature)?;
    let algorithm = match envelope.signature_version.as_str() {
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        "1" => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        _ => return Err(SnsError::Signature),
    };
    let text = signed_text(envelope);
    let public = UnparsedPublicKey::new(algorithm, key);
    public.verify(text.as_bytes(), &signature).map_err(|_| SnsError::Signature)
}

/// The RSA key in a certificate in PEM.
fn public_key(pem: &[u8]) -> Option<Vec<u8>> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let (inner, _) = take(&certificate, 0x30)?;
    let (mut fields, _) = take(inner, 0x30)?;
    if fields.first() == Some(&0xa0) {
        fields = take(fields, 0xa0)?.1;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for tag in [0x02, 0x30, 0x30, 0x30, 0x30] {
        fields = take(fields, tag)?.1;
    }
    let (key, _) = take(fields, 0x30)?;
    let (_, key) = take(key, 0x30)?;
    let (bits, _) = take(key, 0x03)?;
    // How many bits of the last octet are unused: none.
    bits.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

/// A DER value of this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod story;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feedback::lesson;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

    fn envelope(kind: &str) -> Envelope {
        Envelope {
            kind: kind.to_owned(),
            message_id: "1".to_owned(),
            topic_arn: "arn:aws:sns:eu-west-1:1:ses".to_owned(),
            message: "{}".to_owned(),
            timestamp: "2026-01-01T00:00:00.000Z".to_owned(),
            signature_version: "2".to_owned(),
            signature: String::new(),
            signing_cert_url: String::new(),
            subject: None,
            token: Some("t".to_owned()),
            subscribe_url: Some("https://sns.eu-west-1.amazonaws.com/?x".to_owned()),
        }
    }

    #[test]
    fn only_hosts_of_sns_are_asked() {
        let yes = [
            "https://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/x",
        ];
        let no = [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
            "https://sns.evil.example/x.pem",
            "https://sns.a.b.amazonaws.com/x",
            "https://sns..amazonaws.com/x",
            "https://s3.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
        ];
        assert!(yes.iter().all(|url| of_sns(url).is_some()));
        assert!(no.iter().all(|url| of_sns(url).is_none()));
    }

    #[test]
    fn the_lines_that_are_signed_stand_in_the_order_of_the_manual() {
        let text = signed_text(&envelope("Notification"));
        let expected = "Message\n{}\nMessageId\n1\nTimestamp\n2026-01-01T00:00:00.000Z\n\
                        TopicArn\narn:aws:sns:eu-west-1:1:ses\nType\nNotification\n";
        assert_eq!(text, expected);
        let text = signed_text(&envelope("SubscriptionConfirmation"));
        assert!(text.contains("SubscribeURL\nhttps://") && text.contains("Token\nt\nTopicArn\n"));
    }

    #[test]
    fn a_signature_verifies_by_the_key_of_its_certificate_and_a_changed_call_does_not() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["sns.test".to_owned()]);
        let certificate = parameters.expect("names").self_signed(&key).expect("signed");
        let public = public_key(certificate.pem().as_bytes()).expect("an RSA key");
        let pair = RsaKeyPair::from_pkcs8(&key.serialize_der()).expect("a pair");
        let mut call = envelope("Notification");
        let mut signature = vec![0; pair.public_modulus_len()];
        let text = signed_text(&call);
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).expect("signed");
        call.signature = BASE64.encode(&signature);
        assert!(verify(&call, &public).is_ok());
        call.message = "{ }".to_owned();
        assert!(verify(&call, &public).is_err());
        assert!(public_key(b"nonsense").is_none());
    }

    #[test]
    fn what_ses_says_is_read_as_a_report() {
        let bounce = r#"{"notificationType":"Bounce","bounce":{"bounceType":"Permanent",
            "bouncedRecipients":[{"emailAddress":"ann@x.example","status":"5.1.1",
            "diagnosticCode":"smtp; 550 5.1.1 user unknown"}]},"mail":{}}"#;
        let news: News = serde_json::from_str(bounce).expect("read");
        let judge = Judge::shipped().expect("the rules load");
        let told = report(&news);
        let ann = lesson::tests::subject(9, "ann@x.example");
        assert!(judged(&judge, &news, &ann, &told.findings[0]).is_hard());
        let news: News =
            serde_json::from_str(&bounce.replace("Permanent", "Transient")).expect("read");
        assert!(!judged(&judge, &news, &ann, &report(&news).findings[0]).is_hard());
        let complaint = r#"{"eventType":"Complaint","complaint":{"complainedRecipients":
            [{"emailAddress":"ann@x.example"}],"complaintFeedbackType":"abuse"}}"#;
        let news: News = serde_json::from_str(complaint).expect("read");
        let told = report(&news);
        assert_eq!(told.findings[0].kind, ReportKind::Complaint);
        assert_eq!(told.feedback_type, Some(FeedbackType::Abuse));
        let praise = complaint.replace("\"abuse\"", "\"not-spam\"");
        let told = report(&serde_json::from_str(&praise).expect("read"));
        assert_eq!(told.feedback_type, Some(FeedbackType::NotSpam));
        assert_eq!(told.findings[0].kind, ReportKind::NotBounce, "it ends nothing");
    }

    #[test]
    fn a_delivery_is_a_receipt_of_each_recipient() {
        let news = r#"{"eventType":"Delivery","mail":{},
            "delivery":{"recipients":["ann@x.example","bob@x.example"]}}"#;
        let told = report(&serde_json::from_str(news).expect("read"));
        let kinds: Vec<ReportKind> = told.findings.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [ReportKind::Delivered, ReportKind::Delivered]);
        assert_eq!(told.feedback_type, None);
    }
}
