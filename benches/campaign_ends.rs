//! What stands around the server in `benches/campaign`.
//!
//!     campaign-ends sink PORT FOLDER MAILS KEPT DEFERRED_PERCENT
//!         takes every mail, defers some recipients once, keeps a random part in FOLDER; tells its
//!         count as smtp-sink does: `mesg=N\r`
//!     campaign-ends sign FOLDER KEYS DOMAIN RSA_SELECTOR ED25519_SELECTOR MAILS
//!         signs the kept mails with both keys, again and again, as the daemon does
//!     campaign-ends verify FOLDER ZONE.json
//!         asks another implementation (mail-auth) for the signatures of the kept mails

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use memchr::memmem;
use postroad::dkim::keys::read;
use postroad::dkim::{Algorithm, Order, sign};
use postroad::model::{Domain, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const TELL_EVERY: Duration = Duration::from_millis(5);
const READ_BYTES: usize = 64 * 1024;
const GREETING: &[u8] = b"220 sink.example ESMTP\r\n";
const EHLO: &[u8] = b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words.as_slice() {
        ["sink", port, folder, mails, kept, deferred] => {
            let sink = Sink {
                folder: PathBuf::from(folder),
                mails: mails.parse::<u64>()?.max(1),
                kept: kept.parse()?,
                deferred_percent: deferred.parse()?,
                taken: AtomicU64::new(0),
                deferred: Mutex::default(),
            };
            runtime.block_on(serve(port.parse()?, Arc::new(sink)))
        }
        ["sign", folder, keys, domain, rsa, ed25519, mails] => {
            sign_all(Path::new(folder), Path::new(keys), domain, (rsa, ed25519), mails.parse()?)
        }
        ["verify", folder, zone] => runtime.block_on(verify(Path::new(folder), Path::new(zone))),
        _ => Err("usage: campaign-ends sink | sign | verify …".into()),
    }
}

struct Sink {
    folder: PathBuf,
    mails: u64,
    kept: u64,
    deferred_percent: u64,
    taken: AtomicU64,
    /// Who was put off already.
    deferred: Mutex<HashSet<u64>>,
}

impl Sink {
    /// The same recipient is always drawn alike.
    fn drawn(recipient: &[u8], salt: u64) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for octet in recipient {
            hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
        hash ^ (hash >> 29)
    }

    fn puts_off(&self, recipient: &[u8]) -> bool {
        let drawn = Sink::drawn(recipient, 1);
        let mut deferred = self.deferred.lock().expect("nobody falls with it");
        drawn % 100 < self.deferred_percent && deferred.insert(drawn)
    }

    fn take(&self, recipient: &[u8], mail: &[u8]) -> Result<(), Failure> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let drawn = Sink::drawn(recipient, 2);
        if drawn % self.mails < self.kept {
            let path = self.folder.join(format!("{drawn:016x}.eml"));
            let mut file = std::fs::File::options().create(true).append(true).open(path)?;
            file.write_all(&[recipient, b"\n", mail].concat())?;
        }
        Ok(())
    }
}

async fn serve(port: u16, sink: Arc<Sink>) -> Result<(), Failure> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    tokio::spawn(tell(sink.clone()));
    loop {
        let (stream, _) = listener.accept().await?;
        let sink = sink.clone();
        tokio::spawn(async move {
            // A client that leaves in the middle is its own affair; what counts is the count.
            if let Err(error) = session(stream, &sink).await {
                eprintln!("session: {error}");
            }
        });
    }
}

async fn tell(sink: Arc<Sink>) {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let count = sink.taken.load(Ordering::Relaxed);
        if count != told {
            told = count;
            print!("mesg={count}\r");
            std::io::stdout().flush().expect("the reader of the count is there");
        }
    }
}

async fn session(mut stream: TcpStream, sink: &Sink) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    stream.write_all(GREETING).await?;
    let mut input = Vec::with_capacity(READ_BYTES);
    let mut answers: Vec<u8> = Vec::new();
    let mut recipient: Option<Vec<u8>> = None;
    let mut in_mail = false;
    while stream.read_buf(&mut input).await? > 0 {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let end: &[u8] = if in_mail { b"\r\n.\r\n" } else { b"\r\n" };
            let Some(at) = memmem::find(rest, end) else { break };
            let line = &rest[..at];
            used += at + end.len();
            if in_mail {
                in_mail = false;
                sink.take(&recipient.take().unwrap_or_default(), line)?;
                answers.extend_from_slice(b"250 2.0.0 taken\r\n");
                continue;
            }
            let verb = line[..at.min(4)].to_ascii_uppercase();
            let is_last = verb == b"QUIT";
            in_mail = answer(sink, &verb, line, &mut recipient, &mut answers);
            if is_last {
                stream.write_all(&answers).await?;
                return Ok(());
            }
        }
        input.drain(..used);
        stream.write_all(&answers).await?;
        answers.clear();
    }
    Ok(())
}

/// True: the mail follows.
fn answer(
    sink: &Sink,
    verb: &[u8],
    line: &[u8],
    recipient: &mut Option<Vec<u8>>,
    answers: &mut Vec<u8>,
) -> bool {
    let said: &[u8] = match verb {
        b"EHLO" => EHLO,
        b"QUIT" => b"221 2.0.0 bye\r\n",
        b"MAIL" | b"RSET" => {
            *recipient = None;
            b"250 2.0.0 ok\r\n"
        }
        b"RCPT" => {
            let address = line.split(|octet| b"<>".contains(octet)).nth(1).unwrap_or_default();
            match sink.puts_off(address) {
                true => b"451 4.3.0 not now, come again\r\n",
                false => {
                    *recipient = Some(address.to_vec());
                    b"250 2.1.5 ok\r\n"
                }
            }
        }
        b"DATA" if recipient.is_none() => b"554 5.5.1 for whom?\r\n",
        b"DATA" => {
            answers.extend_from_slice(b"354 go on\r\n");
            return true;
        }
        _ => b"250 2.0.0 ok\r\n",
    };
    answers.extend_from_slice(said);
    false
}

/// Kept mails without the line that names their recipient, dots taken off.
fn kept(folder: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut mails = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "eml") {
            let octets = std::fs::read(path)?;
            let start = memchr::memchr(b'\n', &octets).map_or(0, |at| at + 1);
            let mut mail = Vec::with_capacity(octets.len());
            for line in octets[start..].split_inclusive(|octet| *octet == b'\n') {
                mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
            mail.extend_from_slice(b"\r\n");
            mails.push(mail);
        }
    }
    Ok(mails)
}

/// Without the signatures that it has.
fn unsigned(mail: &[u8]) -> Vec<u8> {
    let mut rest = mail;
    while rest.len() > 15 && rest[..15].eq_ignore_ascii_case(b"DKIM-Signature:") {
        let mut end = memmem::find(rest, b"\r\n").map_or(rest.len(), |at| at + 2);
        while rest.get(end).is_some_and(|octet| b" \t".contains(octet)) {
            end += memmem::find(&rest[end..], b"\r\n").map_or(rest.len() - end, |at| at + 2);
        }
        rest = &rest[end..];
    }
    rest.to_vec()
}

fn sign_all(
    folder: &Path,
    keys: &Path,
    domain: &str,
    (rsa, ed25519): (&str, &str),
    count: usize,
) -> Result<(), Failure> {
    let domain = Domain::parse(domain).map_err(|why| why.to_string())?;
    let keys = [
        read(keys, &domain, rsa, Algorithm::RsaSha256)?,
        read(keys, &domain, ed25519, Algorithm::Ed25519Sha256)?,
    ];
    let mails: Vec<Vec<u8>> = kept(folder)?.iter().map(|mail| unsigned(mail)).collect();
    if mails.is_empty() {
        return Err("no mail was kept".into());
    }
    let at = Timestamp::from_seconds(1_800_000_000);
    for mail in mails.iter().cycle().take(count) {
        std::hint::black_box(sign(Order { mail, at, marketing: true }, keys.iter())?);
    }
    Ok(())
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

async fn verify(folder: &Path, zone: &Path) -> Result<(), Failure> {
    let zone: HashMap<String, String> = serde_json::from_slice(&std::fs::read(zone)?)?;
    let texts: Known<Box<str>, Txt> = Known(Mutex::default());
    let later = std::time::Instant::now() + Duration::from_secs(3600);
    for (name, text) in zone {
        let key = DomainKey::parse(text.as_bytes()).map_err(|why| format!("{why:?}"))?;
        texts.insert(format!("{name}.").into_boxed_str(), Txt::from(key), later);
    }
    let empty = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    let authenticator = MessageAuthenticator::new(empty, ResolverOpts::default())
        .map_err(|why| format!("{why:?}"))?;
    let (mut mails, mut passed) = (0, 0);
    for mail in kept(folder)? {
        let message = AuthenticatedMessage::parse(&mail).ok_or("a mail that cannot be read")?;
        let parameters = Parameters::new(&message).with_txt_cache(&texts);
        let outputs = authenticator.verify_dkim(parameters).await;
        let passes = outputs.iter().filter(|output| *output.result() == DkimResult::Pass).count();
        mails += 1;
        passed += usize::from(passes == 2);
    }
    println!("{passed} {mails}");
    Ok(())
}
