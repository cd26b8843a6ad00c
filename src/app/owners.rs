//! The owners of the sandbox's mailboxes: they read, follow links and complain, as people do.
//!
//! Owns:       what an owner does with a mail, and when.
//! Promises:   he comes by the ways that everybody has: the public pages, and the port where other
//!             hosts bring mail; a mail without links, or a house without such a port, leaves him
//!             with nothing to do.
//! Knows not:  whose mail it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use crate::api::Peer;
use crate::clock::Clock;
use crate::sandbox::{Deed, Handed};
use crate::wire::mime::Mime;

/// Mails that wait for their owners.
pub const WAITING_MAX: usize = 200;
/// People do not read the moment a mail comes.
const READ_AFTER: Duration = Duration::from_secs(10);
/// From one link to the next.
const FOLLOW_AFTER: Duration = Duration::from_secs(5);
const LINKS_MAX: usize = 20;
const AGENT: &str = "Mozilla/5.0 (Sandbox) Postroad";
const COMPLAINT_WAIT: Duration = Duration::from_secs(30);
const REPLIES_MAX: usize = 200;
/// Of the mail that a complaint brings back.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What the owners use, known once all is up.
pub struct House {
    pub pages: Router,
    /// Where other hosts bring mail.
    pub inbound: Option<SocketAddr>,
}

/// Until `stop` turns true.
pub async fn run(
    mut mails: mpsc::Receiver<Handed>,
    house: Arc<ArcSwapOption<House>>,
    (base, clock): (String, Clock),
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let handed = tokio::select! {
            handed = mails.recv() => handed,
            // An error says that the daemon is gone: then this ends too.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (Some(handed), Some(house)) = (handed, house.load_full()) else { continue };
        tokio::select! {
            () = act(&handed, &house, &base, &clock) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn act(handed: &Handed, house: &House, base: &str, clock: &Clock) {
    clock.sleep(READ_AFTER).await;
    match handed.deed {
        Deed::Complain => {
            let Some(port) = house.inbound else { return };
            let complaining = complain(handed, port);
            match tokio::time::timeout(COMPLAINT_WAIT, complaining).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::debug!(reason = %why, "a complaint was not taken"),
                Err(_) => tracing::debug!("a complaint took too long"),
            }
        }
        Deed::Open => read(handed, house, (base, "/o/"), clock).await,
        Deed::Click => read(handed, house, (base, "/c/"), clock).await,
    }
}

async fn read(handed: &Handed, house: &House, (base, kind): (&str, &str), clock: &Clock) {
    // Without an address links lead nowhere.
    let paths = if base.is_empty() { Vec::new() } else { links(&handed.mail, base, kind) };
    for path in paths {
        let request = Request::builder().uri(path).header("user-agent", AGENT);
        let peer = Peer::Network { address: IpAddr::V4(Ipv4Addr::LOCALHOST), proxy: false };
        let Ok(request) = request.extension(peer).body(Body::empty()) else { continue };
        let Ok(answer) = house.pages.clone().oneshot(request).await;
        tracing::debug!(status = %answer.status(), "an owner of the sandbox has read");
        clock.sleep(FOLLOW_AFTER).await;
    }
}

/// The paths of a kind that the parts of a mail lead to.
fn links(mail: &[u8], base: &str, kind: &str) -> Vec<String> {
    let start = format!("{}{kind}", base.trim_end_matches('/'));
    let mut paths: Vec<String> = Vec::new();
    for part in &Mime::read(mail).parts {
        let text = String::from_utf8_lossy(&part.content()).into_owned();
        for (at, _) in text.match_indices(&start) {
            let path = &text[at + start.len() - kind.len()..];
            let end = path.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'));
            let path = path[..end.unwrap_or(path.len())].to_owned();
            if paths.len() < LINKS_MAX && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// As a provider's feedback loop does (RFC 5965), to where bounces of the mail come back.
async fn complain(handed: &Handed, port: SocketAddr) -> std::io::Result<()> {
    if handed.sender.is_empty() {
        return Ok(());
    }
    let mut stream = BufReader::new(TcpStream::connect(near(port)).await?);
    expect(&mut stream, None).await?;
    let host = handed.recipient.rsplit('@').next().unwrap_or_default().to_owned();
    expect(&mut stream, Some(&format!("EHLO {host}"))).await?;
    expect(&mut stream, Some("MAIL FROM:<>")).await?;
    expect(&mut stream, Some(&format!("RCPT TO:<{}>", handed.sender))).await?;
    expect(&mut stream, Some("DATA")).await?;
    expect(&mut stream, Some(&report(handed, &host))).await?;
    expect(&mut stream, Some("QUIT")).await
}

/// One that listens everywhere listens here.
fn near(port: SocketAddr) -> SocketAddr {
    let address = match port.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(address, port.port())
}

/// Says a line and reads its reply to the end; without one, the greeting.
async fn expect(stream: &mut BufReader<TcpStream>, line: Option<&str>) -> std::io::Result<()> {
    if let Some(line) = line {
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    }
    for _ in 0..REPLIES_MAX {
        let mut reply = String::new();
        if stream.read_line(&mut reply).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if reply.as_bytes().get(3) != Some(&b'-') {
            return match reply.starts_with(['2', '3']) {
                true => Ok(()),
                false => Err(std::io::Error::other(reply.trim().to_owned())),
            };
        }
    }
    Err(std::io::Error::other("a reply without an end"))
}

/// Ends with the dot.
fn report(handed: &Handed, host: &str) -> String {
    let end = handed.mail.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.map_or(handed.mail.len(), |end| end + 2).min(HEAD_BYTES_MAX);
    let head = String::from_utf8_lossy(&handed.mail[..end]);
    let head: Vec<String> = head.lines().map(stuffed).collect();
    format!(
        "From: <complaints@{host}>\r\nTo: <{}>\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"=_b\"\r\n\r\n\
         --=_b\r\nContent-Type: text/plain\r\n\r\nThe recipient calls this mail spam.\r\n\
         --=_b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\
         User-Agent: Postroad-Sandbox/1\r\nVersion: 1\r\nOriginal-Mail-From: <{}>\r\n\
         Original-Rcpt-To: <{}>\r\n\
         --=_b\r\nContent-Type: text/rfc822-headers\r\n\r\n{}\r\n--=_b--\r\n.",
        handed.sender,
        handed.sender,
        handed.recipient,
        head.join("\r\n")
    )
}

fn stuffed(line: &str) -> String {
    match line.starts_with('.') {
        true => format!(".{line}"),
        false => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_finds_the_links_whatever_they_are_encoded_in() {
        let mail = b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\
            Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            <a href=3D\"https://m.test/c/AB=\r\nCD\">x</a>\r\n\
            <img src=3D\"https://m.test/o/Z.gif\">\r\n--b--\r\n";
        assert_eq!(links(mail, "https://m.test/", "/c/"), ["/c/ABCD"]);
        assert_eq!(links(mail, "https://m.test", "/o/"), ["/o/Z.gif"]);
    }

    #[test]
    fn a_complaint_is_a_report_that_brings_the_header_back() {
        let handed = Handed {
            deed: Deed::Complain,
            sender: "b-token@back.test".to_owned(),
            recipient: "complain@sandbox.a.test".to_owned(),
            mail: b"Subject: sale\r\n.dot: x\r\n\r\nbody\r\n".to_vec(),
        };
        let text = report(&handed, "sandbox.a.test");
        assert!(text.contains("\r\nSubject: sale\r\n..dot: x\r\n--=_b--"), "{text}");
        assert!(
            text.contains("Original-Rcpt-To: <complain@sandbox.a.test>") && text.ends_with("\r\n.")
        );
        assert!(!text.contains("body"));
    }
}
