//! The sandbox: a receiving host within the daemon, for mail that shall go nowhere.
//!
//! Owns:       a port on loopback, and what it answers to `deliver`, `bounce`, `defer` and to the
//!             mailboxes whose owners do something: `complain`, `open`, `click`.
//! Promises:   mail to `…@sandbox.<host>` runs the whole way (limits, keys, connections, replies)
//!             and ends here; nothing of it is kept but what an owner is handed; every wait has a
//!             deadline, every line and mail a maximum.
//! Knows not:  the queue, who sends, how an owner complains or reads.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Before the name of the host.
pub const LABEL: &str = "sandbox";

const LINE_WAIT: Duration = Duration::from_secs(120);
const LINE_BYTES_MAX: u64 = 4096;
/// Lines of one mail; a mail may have 35 MiB in all.
const MAIL_LINES_MAX: u64 = 4_000_000;
const RECIPIENTS_MAX: usize = 1000;
const COMMANDS_MAX: usize = 100_000;
const CONNECTIONS_MAX: usize = 200;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Of a mail that its owner is handed.
const HANDED_BYTES_MAX: usize = 1024 * 1024;

/// What the owner of a mailbox does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Calls it spam.
    Complain,
    /// Has its images shown.
    Open,
    /// Follows its links.
    Click,
}

/// A mail that its owner does something with.
#[derive(Clone, Debug)]
pub struct Handed {
    pub deed: Deed,
    /// The reverse path, empty for none.
    pub sender: String,
    pub recipient: String,
    pub mail: Vec<u8>,
}

/// Answers until `stop` turns true. The address is for the router.
pub async fn start(
    host_name: &str,
    owners: mpsc::Sender<Handed>,
    stop: watch::Receiver<bool>,
) -> std::io::Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let name: Arc<str> = format!("{LABEL}.{host_name}").into();
    let house = House { name, owners };
    Ok((address, tokio::spawn(serve(listener, house, stop))))
}

#[derive(Clone)]
struct House {
    name: Arc<str>,
    owners: mpsc::Sender<Handed>,
}

async fn serve(listener: TcpListener, house: House, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error says that the daemon is gone: then this ends too.
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    tokio::spawn(serve_one(stream, house.clone(), place));
                }
            }
            Err(why) => {
                tracing::warn!(reason = %why, "the sandbox could not take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, house: House, _place: OwnedSemaphorePermit) {
    if let Err(why) = talk(stream, &house).await {
        tracing::debug!(reason = %why, "a connection to the sandbox ended badly");
    }
}

/// The reply to RCPT: what stands before `@` says what becomes of the mail.
fn reply_to(recipient: &str) -> &'static str {
    match word_of(recipient).as_str() {
        "deliver" | "complain" | "open" | "click" => "250 2.1.5 the sandbox takes it",
        "bounce" => "550 5.1.1 sandbox: there is no such user",
        "defer" => "451 4.2.1 sandbox: try again later",
        _ => "550 5.1.1 the sandbox knows deliver, bounce, defer, complain, open and click",
    }
}

fn word_of(recipient: &str) -> String {
    let local = recipient.split('@').next().unwrap_or_default();
    local.split('+').next().unwrap_or_default().to_ascii_lowercase()
}

fn deed_of(recipient: &str) -> Option<Deed> {
    match word_of(recipient).as_str() {
        "complain" => Some(Deed::Complain),
        "open" => Some(Deed::Open),
        "click" => Some(Deed::Click),
        _ => None,
    }
}

/// The path of `RCPT TO:<…> …`.
fn path_of(argument: &str) -> &str {
    let path = argument.split_once('<').map_or(argument, |(_, rest)| rest);
    path.split('>').next().unwrap_or_default().trim()
}

async fn talk(stream: TcpStream, house: &House) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let name = &house.name;
    let mut stream = BufReader::new(stream);
    say(&mut stream, &format!("220 {name} Postroad sandbox")).await?;
    let (mut recipients, mut sender) = (0, String::new());
    let mut handed: Vec<(Deed, String)> = Vec::new();
    for _ in 0..COMMANDS_MAX {
        let Some(line) = line(&mut stream).await? else { return Ok(()) };
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        let (verb, argument) = line.split_once([' ', ':']).unwrap_or((&line, ""));
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => format!("250-{name}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"),
            "HELO" | "NOOP" => format!("250 {name}"),
            "MAIL" | "RSET" => {
                recipients = 0;
                handed.clear();
                path_of(argument).clone_into(&mut sender);
                "250 2.0.0 OK".to_owned()
            }
            "RCPT" if recipients >= RECIPIENTS_MAX => "452 4.5.3 too many recipients".to_owned(),
            "RCPT" => {
                let recipient = path_of(argument);
                let reply = reply_to(recipient);
                handed.extend(deed_of(recipient).map(|deed| (deed, recipient.to_owned())));
                recipients += usize::from(reply.starts_with('2'));
                reply.to_owned()
            }
            "DATA" if recipients == 0 => "554 5.5.1 no recipient was taken".to_owned(),
            "DATA" => {
                say(&mut stream, "354 end with a dot").await?;
                let kept = if handed.is_empty() { 0 } else { HANDED_BYTES_MAX };
                let Some(mail) = read_mail(&mut stream, kept).await? else { return Ok(()) };
                recipients = 0;
                for (deed, recipient) in handed.drain(..) {
                    let (sender, mail) = (sender.clone(), mail.clone());
                    house.hand(Handed { deed, sender, recipient, mail });
                }
                "250 2.0.0 taken, and kept nowhere".to_owned()
            }
            "QUIT" => return say(&mut stream, "221 2.0.0 bye").await,
            _ => "500 5.5.2 unknown command".to_owned(),
        };
        say(&mut stream, &reply).await?;
    }
    Ok(())
}

impl House {
    fn hand(&self, handed: Handed) {
        if self.owners.try_send(handed).is_err() {
            tracing::debug!("the owners of the sandbox have too much to read");
        }
    }
}

/// A line with its end; None when the peer is gone or too slow, or says too much.
async fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut octets = Vec::new();
    let mut limited = stream.take(LINE_BYTES_MAX);
    let read = timeout(LINE_WAIT, limited.read_until(b'\n', &mut octets)).await;
    match read {
        Ok(read) => read.map(|_| octets.ends_with(b"\n").then_some(octets)),
        Err(_) => Ok(None),
    }
}

/// Reads to the dot, and keeps the beginning, dots unstuffed.
async fn read_mail(
    stream: &mut BufReader<TcpStream>,
    bytes_max: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut mail = Vec::new();
    for _ in 0..MAIL_LINES_MAX {
        match line(stream).await? {
            Some(line) if line == b".\r\n" => return Ok(Some(mail)),
            Some(line) if mail.len() + line.len() <= bytes_max => {
                mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(None)
}

async fn say(stream: &mut BufReader<TcpStream>, reply: &str) -> std::io::Result<()> {
    let reply = format!("{reply}\r\n");
    let writing = stream.get_mut().write_all(reply.as_bytes());
    match timeout(LINE_WAIT, writing).await {
        Ok(written) => written,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_part_says_what_becomes_of_the_mail() {
        for (recipient, code) in [
            ("deliver@sandbox.a.test", "250"),
            ("Deliver+7@sandbox.a.test", "250"),
            ("bounce@sandbox.a.test", "550"),
            ("defer@sandbox.a.test", "451"),
            ("deliver-x@sandbox.a.test", "550"),
            ("complain@sandbox.a.test", "250"),
        ] {
            assert!(reply_to(recipient).starts_with(code), "{recipient}");
        }
        assert_eq!(path_of("TO:<a@b.test> NOTIFY=NEVER"), "a@b.test");
        assert_eq!(deed_of("Click+7@sandbox.a.test"), Some(Deed::Click));
        assert_eq!(deed_of("deliver@sandbox.a.test"), None);
    }
}
