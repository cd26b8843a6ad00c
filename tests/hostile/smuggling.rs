//! A2: whatever comes in, what leaves has CR LF alone, and one mail leaves as one mail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::faults::means::route_all;
use crate::support::mx::FakeMx;
use crate::support::relay::TestRelay;
use crate::support::talk::Talk;

/// What a receiver that is careless about line ends might take for the end of a mail.
const ENDS: [&[u8]; 24] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\n\n.\n\n",
    b"\r\n.\n\r\n",
    b"\n.\n\r\n",
    b"\r\n.\r.\r\n",
    "\u{85}.\u{85}".as_bytes(),
    "\r\n.\u{2028}\r\n".as_bytes(),
    b"\x0b\r\n.\x0b\r\n",
    b"\r\n .\r\n",
    b"\r\n.\t\r\n",
    b"\r\n..\r\n",
    // The true end of a mail: by DATA it is the end, by BDAT it is a line like others.
    b"\r\n.\r\n",
    b"\r\n.\r\n.\r\n",
];
const INNER: &[u8] =
    b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";

/// A host that answers as it should and keeps every octet it was sent, connection by connection.
struct RawHost {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for RawHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RawHost {
    async fn start(chunking: bool) -> RawHost {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                keep.lock().push(Vec::new());
                let number = keep.lock().len() - 1;
                tokio::spawn(converse(stream, chunking, keep.clone(), number));
            }
        });
        RawHost { address, heard, task }
    }
}

/// Answers lines; the end of DATA is CR LF . CR LF, the end of BDAT is counted.
async fn converse(
    mut stream: TcpStream,
    chunking: bool,
    keep: Arc<Mutex<Vec<Vec<u8>>>>,
    number: usize,
) -> std::io::Result<()> {
    stream.write_all(b"220 raw.test ESMTP\r\n").await?;
    let (mut input, mut in_data) = (Vec::new(), false);
    loop {
        let mut window = [0u8; 8192];
        let length = stream.read(&mut window).await?;
        if length == 0 {
            return Ok(());
        }
        keep.lock()[number].extend_from_slice(&window[..length]);
        input.extend_from_slice(&window[..length]);
        while let Some(answer) = answer(&mut input, &mut in_data, chunking) {
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

fn answer(input: &mut Vec<u8>, in_data: &mut bool, chunking: bool) -> Option<String> {
    if *in_data {
        let end = memchr::memmem::find(input, b"\r\n.\r\n")? + 5;
        input.drain(..end);
        *in_data = false;
        return Some("250 2.0.0 taken\r\n".into());
    }
    let end = memchr::memmem::find(input, b"\r\n")? + 2;
    let line = String::from_utf8_lossy(&input[..end]).to_ascii_uppercase();
    if let Some(rest) = line.strip_prefix("BDAT ") {
        let count: usize = rest.split_whitespace().next()?.parse().ok()?;
        if input.len() < end + count {
            return None;
        }
        input.drain(..end + count);
        return Some("250 2.0.0 taken\r\n".into());
    }
    input.drain(..end);
    if line.starts_with("DATA") {
        *in_data = true;
        return Some("354 go on\r\n".into());
    }
    Some(match line.starts_with("EHLO") {
        true if chunking => {
            "250-raw.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n".into()
        }
        true => "250-raw.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n".into(),
        false => "250 2.0.0 ok\r\n".into(),
    })
}

/// How a client hands in the mail.
#[derive(Clone, Copy, Debug)]
enum Way {
    Data,
    OneChunk,
    /// A chunk ends within the sequence.
    ManyChunks,
}

/// True when the daemon took a mail.
async fn hand_in(relay: &TestRelay, way: Way, end: &[u8]) -> bool {
    let mut talk = Talk::to(relay.submission()).await;
    talk.expect("EHLO client.test", "250").await;
    talk.expect("MAIL FROM:<sender@sender.test> BODY=8BITMIME", "250").await;
    talk.expect("RCPT TO:<bob@b.test>", "250").await;
    let head = b"From: <sender@sender.test>\r\nSubject: outer\r\n\r\nouter";
    let mail = [&head[..], end, INNER].concat();
    let chunks: Vec<&[u8]> = match way {
        Way::Data => {
            talk.expect("DATA", "354").await;
            talk.send(&[&mail[..], b"\r\n.\r\n"].concat()).await;
            return ended(&mut talk).await;
        }
        Way::OneChunk => vec![&mail],
        Way::ManyChunks => {
            let cut = head.len() + end.len() / 2;
            vec![&mail[..head.len()], &mail[head.len()..cut], &mail[cut..]]
        }
    };
    for (position, chunk) in chunks.iter().enumerate() {
        let last = if position + 1 == chunks.len() { " LAST" } else { "" };
        talk.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes()).await;
        talk.send(chunk).await;
    }
    talk.send(b"QUIT\r\n").await;
    ended(&mut talk).await
}

/// Reads to the end of the session.
async fn ended(talk: &mut Talk) -> bool {
    talk.send(b"QUIT\r\n").await;
    String::from_utf8_lossy(&talk.rest().await).contains(" queued as ")
}

fn bare(octets: &[u8]) -> Option<usize> {
    (0..octets.len()).find(|at| match octets[*at] {
        b'\r' => octets.get(at + 1) != Some(&b'\n'),
        b'\n' => *at == 0 || octets[at - 1] != b'\r',
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_that_is_taken_leaves_as_two_mails_or_with_a_bare_line_end() {
    for chunking in [false, true] {
        let mx = FakeMx::accepting().await;
        let host = RawHost::start(chunking).await;
        let relay = TestRelay::with(&mx, |settings| {
            route_all(settings, host.address);
            settings.smtp.errors_max = 1000;
        })
        .await;
        let (mut taken, mut tried) = (0, 0);
        for way in [Way::Data, Way::OneChunk, Way::ManyChunks] {
            // By DATA the last two are the end, and what follows is the client's own second mail.
            let count = if matches!(way, Way::Data) { ENDS.len() - 2 } else { ENDS.len() };
            for end in &ENDS[..count] {
                tried += 1;
                taken += usize::from(hand_in(&relay, way, end).await);
            }
        }
        relay.rest().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let heard = host.heard.lock().clone();
        let mut mails = 0;
        for octets in &heard {
            assert_eq!(bare(octets), None, "{}", octets.escape_ascii());
            mails += transactions(octets);
        }
        let delivered = relay.store().census().await.expect("counted").accepted;
        println!("chunking {chunking}: {taken} of {tried} taken, {mails} transactions left");
        assert_eq!(mails as u64, delivered, "a mail left as two, or was lost");
        assert!(taken > 20, "too few were taken to show anything: {taken}");
    }
}

/// Transactions as a receiver counts them that follows RFC 5321 and RFC 3030 to the letter.
fn transactions(octets: &[u8]) -> usize {
    let (mut left, mut count) = (octets, 0);
    let mut in_data = false;
    while !left.is_empty() {
        let mark: &[u8] = if in_data { b"\r\n.\r\n" } else { b"\r\n" };
        let Some(end) = memchr::memmem::find(left, mark).map(|at| at + mark.len()) else { break };
        let line = String::from_utf8_lossy(&left[..end]).to_ascii_uppercase();
        left = &left[end..];
        if in_data {
            in_data = false;
            continue;
        }
        if line.starts_with("MAIL FROM:") {
            assert!(!line.contains("EVIL"), "smuggled: {line}");
            count += 1;
        }
        in_data = line.starts_with("DATA");
        if let Some(rest) = line.strip_prefix("BDAT ") {
            let octets: usize = rest.split_whitespace().next().expect("a count").parse().expect("");
            left = &left[octets.min(left.len())..];
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sequence_makes_a_second_mail_of_one_that_comes_in_from_outside() {
    let mx = FakeMx::accepting().await;
    let relay = TestRelay::with(&mx, |settings| {
        settings.inbound.listen = vec![([127, 0, 0, 1], 0).into()];
        settings.inbound.return_domain = Some("bounce.sender.test".to_owned());
        settings.inbound.errors_max = 1000;
    })
    .await;
    let inner =
        "MAIL FROM:<evil@far.test>\r\nRCPT TO:<abuse@bounce.sender.test>\r\nDATA\r\nx\r\n.\r\n";
    let mut taken = 0;
    for end in &ENDS[..ENDS.len() - 2] {
        let mut talk = Talk::to(relay.inbound()).await;
        talk.expect("EHLO mx.far.test", "250").await;
        talk.expect("MAIL FROM:<ann@far.test> BODY=8BITMIME", "250").await;
        talk.expect("RCPT TO:<postmaster@bounce.sender.test>", "250").await;
        talk.expect("DATA", "354").await;
        let mail = [b"Subject: outer\r\n\r\nouter", *end, inner.as_bytes()].concat();
        talk.send(&mail).await;
        talk.send(b"QUIT\r\n").await;
        let heard = String::from_utf8_lossy(&talk.rest().await).into_owned();
        assert!(!heard.contains("354"), "{}: {heard}", end.escape_ascii());
        taken += usize::from(heard.starts_with("250"));
    }
    let list = relay.see("/v1/inbound?limit=100").await;
    let senders: Vec<&str> = list["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["sender"].as_str().expect("text"))
        .collect();
    assert_eq!(senders, vec!["ann@far.test"; taken], "one mail each, and nobody else's");
    assert!(taken > 3, "too few were taken to show anything: {taken}");
}
