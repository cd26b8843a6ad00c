//! A small steady trickle of mail, so that a newcomer sees the demo do something.
//!
//! Owns:       the sample mails.
//! Promises:   it submits by SMTP, as an application in a trusted network would; a refusal is
//!             told in the log and the trickle goes on.
//! Knows not:  the daemon behind the address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpSocket, TcpStream};

use super::operators::{ACCEPTING_DOMAIN, GREYLISTING_DOMAIN};

/// Where the trickle comes from; the demo's settings trust it, so that it needs no AUTH.
pub(super) const TRICKLE_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 77);
const REPLY_LINES_MAX: usize = 50;
const REPLY_LINE_BYTES_MAX: u64 = 1_000;
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
pub(super) async fn trickle(per_minute: u32, submission: SocketAddr, from: &str) {
    let pause = Duration::from_secs(60) / per_minute.clamp(1, PER_MINUTE_MAX);
    for (number, recipient) in (1u64..).zip(RECIPIENTS.iter().cycle()) {
        tokio::time::sleep(pause).await;
        let submission = submit(submission, from, recipient, number);
        let submitted = match tokio::time::timeout(SUBMIT_WAIT, submission).await {
            Ok(submitted) => submitted,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        if let Err(error) = submitted {
            tracing::warn!(reason = %error, recipient, "a sample mail was not taken");
        }
    }
}

/// One mail in one connection, lock step.
async fn submit(server: SocketAddr, from: &str, recipient: &str, number: u64) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((TRICKLE_ADDRESS, 0)))?;
    let mut stream = BufStream::new(socket.connect(server).await?);
    expect(&mut stream, '2').await?;
    let mail = format!(
        "From: Sample shop <{from}>\r\nTo: <{recipient}>\r\nSubject: Sample {number}\r\n\r\n\
         Sample {number}, so that there is something to see. The hosts of {ACCEPTING_DOMAIN}\r\n\
         take it at once, those of {GREYLISTING_DOMAIN} after a while.\r\n.\r\n"
    );
    for (said, wanted) in [
        ("EHLO trickle.shop.test\r\n", '2'),
        (&format!("MAIL FROM:<{from}>\r\n"), '2'),
        (&format!("RCPT TO:<{recipient}>\r\n"), '2'),
        ("DATA\r\n", '3'),
        (&mail, '2'),
        ("QUIT\r\n", '2'),
    ] {
        stream.write_all(said.as_bytes()).await?;
        stream.flush().await?;
        expect(&mut stream, wanted).await?;
    }
    Ok(())
}

/// Reads one reply, whose code must start with this digit.
async fn expect(stream: &mut BufStream<TcpStream>, wanted: char) -> io::Result<()> {
    for _ in 0..REPLY_LINES_MAX {
        let mut line = String::new();
        (&mut *stream).take(REPLY_LINE_BYTES_MAX).read_line(&mut line).await?;
        if !line.starts_with(wanted) {
            return Err(io::Error::other(line.trim_end().to_owned()));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
    Err(io::Error::other("a reply without end"))
}
