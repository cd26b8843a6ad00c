//! A small steady trickle of mail, so that a newcomer sees the demo do something.
//!
//! Owns:       the sample mails.
//! Promises:   it submits as any application would, by SMTP with AUTH; a refusal is told in the
//!             log and the trickle goes on.
//! Knows not:  the daemon behind the address.

use std::net::SocketAddr;
use std::time::Duration;

use mail_send::SmtpClientBuilder;
use mail_send::smtp::message::Message;

use super::operators::{ACCEPTING_DOMAIN, GREYLISTING_DOMAIN};
use super::seed::Secrets;

const SUBMIT_WAIT: Duration = Duration::from_secs(30);
pub(super) const PER_MINUTE_MAX: u32 = 600;

/// Who gets the samples, in turn.
const RECIPIENTS: &[&str] = &[
    "alice@goodmail.test",
    "bob@bakery.test",
    "carol@greyfriars.test",
    "dave@lookout.test",
    "erin@one.many.test",
    "gone@goodmail.test",
    "frank@yonder.test",
    "full@lookout.test",
    "grace@museum.test",
    "heidi@null-mx.test",
    "ivan@broken-tls.test",
    "judy@implicit-mx.test",
];

/// Goes on until its task is dropped; `per_minute` is at least 1.
pub(super) async fn trickle(
    per_minute: u32,
    submissions: SocketAddr,
    secrets: Secrets,
    from: String,
) {
    let pause = Duration::from_secs(60) / per_minute.clamp(1, PER_MINUTE_MAX);
    for (number, recipient) in (1u64..).zip(RECIPIENTS.iter().cycle()) {
        tokio::time::sleep(pause).await;
        let submission = submit(submissions, &secrets, &from, recipient, number);
        let submitted = match tokio::time::timeout(SUBMIT_WAIT, submission).await {
            Ok(submitted) => submitted,
            Err(_) => Err("no answer in 30 seconds".to_owned()),
        };
        if let Err(reason) = submitted {
            tracing::warn!(reason, recipient, "a sample mail was not taken");
        }
    }
}

async fn submit(
    server: SocketAddr,
    secrets: &Secrets,
    from: &str,
    recipient: &str,
    number: u64,
) -> Result<(), String> {
    let text = |error: mail_send::Error| error.to_string();
    let credentials = (secrets.smtp_user.clone(), secrets.smtp_password.clone());
    // The certificate was made for this run and is our own.
    let mut client = SmtpClientBuilder::new(server.ip().to_string(), server.port())?
        .allow_invalid_certs()
        .implicit_tls(true)
        .helo_host("trickle.shop.test")
        .timeout(SUBMIT_WAIT)
        .credentials(credentials)
        .connect()
        .await
        .map_err(text)?;
    let body = format!(
        "From: Sample shop <{from}>\r\nTo: <{recipient}>\r\nSubject: Sample {number}\r\n\r\n\
         Sample {number}, so that there is something to see. The hosts of {ACCEPTING_DOMAIN}\r\n\
         take it at once, those of {GREYLISTING_DOMAIN} after a while.\r\n"
    );
    client.send(Message::new(from, [recipient], body.as_bytes())).await.map_err(text)?;
    client.quit().await.map_err(text)
}
