//! A scripted receiving host over a raw socket: it says what the test tells it to, lawful or not.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Script = Arc<dyn Fn(Talk) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Listens until it is dropped.
pub struct Host {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Host {
    pub async fn start<F, A>(script: F) -> Host
    where
        F: Fn(Talk) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let script: Script = Arc::new(move |talk| Box::pin(script(talk)));
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let resumed: Arc<AtomicUsize> = Arc::default();
        let kept = Arc::clone(&resumed);
        let (shared, count) = (Arc::clone(&heard), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let heard = Arc::clone(&shared);
                let talk = Talk {
                    stream: Some(End::Plain(stream)),
                    read: vec![],
                    heard,
                    peer,
                    resumed: Arc::clone(&kept),
                };
                tokio::spawn(script(talk));
            }
        });
        Host { address, heard, connections, resumed, task }
    }

    /// All octets that were read, of all connections in order.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock()).into_owned()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Host {
    /// TLS handshakes that took up an earlier session.
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::SeqCst)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum End {
    Plain(TcpStream),
    Tls(Box<dyn Stream>),
}

/// One connection, seen from the host.
pub struct Talk {
    stream: Option<End>,
    read: Vec<u8>,
    heard: Arc<Mutex<Vec<u8>>>,
    pub peer: SocketAddr,
    resumed: Arc<AtomicUsize>,
}

impl Talk {
    fn stream(&mut self) -> &mut dyn Stream {
        match self.stream.as_mut().expect("a stream") {
            End::Plain(tcp) => tcp,
            End::Tls(tls) => tls,
        }
    }

    /// The client may be gone, which the script does not mind.
    pub async fn say(&mut self, text: &str) {
        self.stream().write_all(text.as_bytes()).await.ok();
        self.stream().flush().await.ok();
    }

    /// Octet by octet, `pause` between them.
    pub async fn drip(&mut self, text: &str, pause: Duration) {
        for octet in text.bytes() {
            if self.stream().write_all(&[octet]).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 65_536];
        let count = self.stream().read(&mut buffer).await.unwrap_or(0);
        self.heard.lock().extend_from_slice(&buffer[..count]);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Up to and with `end`; what there is when the client closes.
    pub async fn until(&mut self, end: &str) -> String {
        let mut scanned = 0;
        loop {
            let found = memchr::memmem::find(&self.read[scanned..], end.as_bytes());
            if let Some(at) = found.map(|at| scanned + at) {
                let taken: Vec<u8> = self.read.drain(..at + end.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            scanned = (self.read.len() + 1).saturating_sub(end.len());
            if !self.more().await {
                return String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned();
            }
        }
    }

    pub async fn line(&mut self) -> String {
        self.until("\r\n").await
    }

    /// What comes next, which stays unread, begins so.
    pub async fn hears(&mut self, word: &str) -> bool {
        while self.read.len() < word.len() && self.more().await {}
        self.read.starts_with(word.as_bytes())
    }

    pub async fn octets(&mut self, count: usize) -> String {
        while self.read.len() < count && self.more().await {}
        let count = count.min(self.read.len());
        String::from_utf8_lossy(&self.read.drain(..count).collect::<Vec<u8>>()).into_owned()
    }

    /// Nothing has come that was not read, and nothing comes for a moment.
    pub async fn is_silent(&mut self) -> bool {
        let waited = tokio::time::timeout(Duration::from_millis(30), self.more()).await;
        waited.is_err() && self.read.is_empty()
    }

    /// Greets and answers EHLO with these keywords.
    pub async fn greet(&mut self, keywords: &[&str]) {
        self.say("220 host.example ESMTP\r\n").await;
        self.hello(keywords).await;
    }

    pub async fn hello(&mut self, keywords: &[&str]) {
        self.line().await;
        let mut lines = vec!["host.example"];
        lines.extend(keywords);
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            self.say(&format!("250{separator}{line}\r\n")).await;
        }
    }

    /// Takes mails as a good host does, until the client goes; `refuse` picks the answer to a
    /// command line, if it is not `250`.
    pub async fn take_mails(&mut self, refuse: impl Fn(&str) -> Option<&'static str>) {
        loop {
            let line = self.line().await;
            if line.is_empty() {
                return;
            }
            if let Some(answer) = refuse(&line) {
                self.say(answer).await;
                continue;
            }
            if let Some(rest) = line.strip_prefix("BDAT ") {
                let count = rest.split(' ').next().and_then(|word| word.parse().ok());
                self.octets(count.expect("a length")).await;
            }
            if line == "DATA\r\n" {
                self.say("354 go\r\n").await;
                if let Some(answer) = refuse(&self.data().await) {
                    self.say(answer).await;
                    continue;
                }
            }
            let answer = if line == "QUIT\r\n" { "221 bye\r\n" } else { "250 2.0.0 ok\r\n" };
            self.say(answer).await;
        }
    }

    /// The mail and its final dot.
    pub async fn data(&mut self) -> String {
        if self.read.len() < 3 {
            self.more().await;
        }
        if self.read.starts_with(b".\r\n") {
            return self.octets(3).await;
        }
        self.until("\r\n.\r\n").await
    }

    /// Answers STARTTLS with 220 and shakes hands; false when the client did not like it.
    pub async fn start_tls(&mut self, config: Arc<rustls::ServerConfig>) -> bool {
        self.line().await;
        self.say("220 go\r\n").await;
        self.secure(config).await
    }

    pub async fn secure(&mut self, config: Arc<rustls::ServerConfig>) -> bool {
        let Some(End::Plain(tcp)) = self.stream.take() else { return false };
        match tokio_rustls::TlsAcceptor::from(config).accept(tcp).await {
            Ok(tls) => {
                if tls.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                    self.resumed.fetch_add(1, Ordering::SeqCst);
                }
                self.stream = Some(End::Tls(Box::new(tls)));
                true
            }
            Err(_) => false,
        }
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(mut self) {
        if let Some(End::Plain(tcp)) = self.stream.take() {
            let linger = Some(Duration::ZERO);
            socket2::SockRef::from(&tcp).set_linger(linger).expect("a socket option");
        }
    }

    /// Ends our direction only.
    pub async fn half_close(&mut self) {
        self.stream().shutdown().await.ok();
    }

    pub async fn hang(&mut self) {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}
