//! What comes back for mail that a host of the simulated internet has taken: reports, complaints,
//! notes of absence, wishes to leave.
//!
//! Owns:       which mailboxes send something back, what and when; a small SMTP client.
//! Promises:   each mail is answered at most once; what cannot be brought is dropped and told of.
//! Knows not:  our own client, listener and parsers, so that it is a check on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::sink::Received;
use crate::clock::Clock;

/// Mails that wait to be answered; more are not.
pub(super) const ECHOES_MAX: usize = 10_000;
const WAIT_MAX: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

/// What a mailbox does with mail that its host has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Its host finds out afterwards that there is no such mailbox.
    Bounces(Duration),
    /// The mailbox behind it is full.
    Full,
    Complains,
    /// Its host goes on trying.
    Delays,
    IsAway,
    /// Its owner writes to the address of List-Unsubscribe.
    Leaves,
}

/// By the start of the local part.
const HABITS: [(&str, Habit); 7] = [
    ("bounces-tomorrow", Habit::Bounces(DAY)),
    ("bounces", Habit::Bounces(Duration::ZERO)),
    ("fills-up", Habit::Full),
    ("complains", Habit::Complains),
    ("delays", Habit::Delays),
    ("away", Habit::IsAway),
    ("leaves", Habit::Leaves),
];

/// Answers mail until the channel ends; `to` is where mail from outside comes in.
pub(super) async fn run(to: SocketAddr, clock: Clock, mut mails: mpsc::Receiver<Arc<Received>>) {
    let mut under_way = JoinSet::new();
    while let Some(mail) = mails.recv().await {
        while under_way.try_join_next().is_some() {}
        for recipient in &mail.envelope.recipients {
            let lower = recipient.to_ascii_lowercase();
            let habit = HABITS.iter().find(|(start, _)| lower.starts_with(start));
            if let Some((_, habit)) = habit {
                let (mail, recipient) = (mail.clone(), recipient.clone());
                under_way.spawn(answer(to, clock.clone(), *habit, mail, recipient));
            }
        }
    }
}

async fn answer(
    to: SocketAddr,
    clock: Clock,
    habit: Habit,
    mail: Arc<Received>,
    recipient: String,
) {
    if let Habit::Bounces(after) = habit {
        clock.sleep(after).await;
    }
    let original = String::from_utf8_lossy(&mail.body);
    let Some(echo) = echo(habit, &mail.envelope.sender, &recipient, &original) else { return };
    match tokio::time::timeout(WAIT_MAX, bring(to, &mail.host, &echo)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, recipient, "what comes back was not taken"),
        Err(_) => tracing::info!(recipient, "what comes back was not taken in time"),
    }
}

/// A mail that goes back.
struct Echo {
    sender: String,
    recipient: String,
    text: String,
}

fn echo(habit: Habit, sender: &str, recipient: &str, original: &str) -> Option<Echo> {
    let back = |text| {
        let is_known = !sender.is_empty();
        is_known.then(|| Echo { sender: String::new(), recipient: sender.to_owned(), text })
    };
    match habit {
        Habit::Bounces(_) => back(report(recipient, "failed", "5.1.1", "550 5.1.1 User unknown")),
        Habit::Full => back(report(recipient, "failed", "5.2.2", "552 5.2.2 Mailbox full")),
        Habit::Delays => back(report(recipient, "delayed", "4.4.1", "451 4.4.1 No answer")),
        Habit::IsAway => back(format!(
            "From: <{recipient}>\r\nTo: <{sender}>\r\nSubject: Out of office: your mail\r\n\
             Auto-Submitted: auto-replied\r\n\r\nI am away until Monday.\r\n"
        )),
        Habit::Complains => {
            let (_, domain) = sender.rsplit_once('@')?;
            let text = complaint(original);
            let sender = "feedback@fbl.test".to_owned();
            Some(Echo { sender, recipient: format!("abuse@{domain}"), text })
        }
        Habit::Leaves => {
            let (_, rest) = original.split_once("<mailto:")?;
            let (address, _) = rest.split_once(['?', '>'])?;
            let text = format!("From: <{recipient}>\r\nSubject: unsubscribe\r\n\r\n\r\n");
            Some(Echo { sender: recipient.to_owned(), recipient: address.to_owned(), text })
        }
    }
}

fn report(recipient: &str, action: &str, status: &str, said: &str) -> String {
    format!(
        "From: Mail Delivery System <MAILER-DAEMON@inner.test>\r\nSubject: Delivery status\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"=_b\"\r\n\r\n\
         --=_b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system at host inner.test.\r\n\
         {said}\r\n--=_b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; inner.test\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\n\
         Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {said}\r\n\r\n--=_b--\r\n"
    )
}

fn complaint(original: &str) -> String {
    format!(
        "From: feedback@fbl.test\r\nSubject: FW: a complaint\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"=_b\"\r\n\r\n\
         --=_b\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n\
         --=_b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\
         User-Agent: Fbl/1.0\r\nVersion: 1\r\n\r\n--=_b\r\nContent-Type: message/rfc822\r\n\r\n\
         {original}\r\n--=_b--\r\n"
    )
}

/// One mail over a connection of its own, line by line as RFC 5321 tells it.
async fn bring(to: SocketAddr, name: &str, echo: &Echo) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(to).await?);
    expect(&mut stream, '2').await?;
    let head = [
        format!("EHLO {name}"),
        format!("MAIL FROM:<{}>", echo.sender),
        format!("RCPT TO:<{}>", echo.recipient),
    ];
    for line in head {
        stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        expect(&mut stream, '2').await?;
    }
    stream.write_all(b"DATA\r\n").await?;
    expect(&mut stream, '3').await?;
    for line in echo.text.lines() {
        let dot = if line.starts_with('.') { "." } else { "" };
        stream.write_all(format!("{dot}{line}\r\n").as_bytes()).await?;
    }
    stream.write_all(b".\r\n").await?;
    expect(&mut stream, '2').await?;
    stream.write_all(b"QUIT\r\n").await
}

/// The last line of a reply, which must begin so.
async fn expect(stream: &mut BufReader<TcpStream>, class: char) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            break;
        }
    }
    if line.starts_with(class) { Ok(()) } else { Err(io::Error::other(line.trim().to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_goes_to_the_envelope_sender_and_a_wish_to_leave_to_the_address_of_the_field() {
        let original = "List-Unsubscribe: <https://x.test/u/1>,\r\n\t<mailto:u-1@b.test?subject=x>";
        let of = |habit, sender| echo(habit, sender, "ann@x.test", original);
        let bounce = of(Habit::Bounces(DAY), "b-1@b.test").expect("a report");
        assert_eq!((bounce.sender.as_str(), bounce.recipient.as_str()), ("", "b-1@b.test"));
        assert!(of(Habit::IsAway, "").is_none(), "nothing answers a report");
        assert_eq!(of(Habit::Leaves, "").expect("a mail").recipient, "u-1@b.test");
        let complaint = of(Habit::Complains, "b-1@b.test").expect("a complaint");
        assert_eq!(complaint.recipient, "abuse@b.test");
        assert!(complaint.text.contains(original));
    }
}
