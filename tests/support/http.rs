//! HTTP servers that the product calls: they keep each request and answer as told.
//!
//! Owns:       a listening socket on loopback and what came in over it.
//! Promises:   requests are kept whole and in order; an answer is sent octet by octet as given.
//! Knows not:  who calls.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

#[derive(Clone, Debug)]
pub struct Request {
    /// `POST /path HTTP/1.1`
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// What is answered to the nth request; the last answer repeats. None: never an answer.
type Answers = Arc<dyn Fn(usize) -> Option<String> + Send + Sync>;

pub struct HttpSink {
    pub address: SocketAddr,
    /// Of an https server: its root in PEM.
    pub roots: Option<PathBuf>,
    requests: Arc<Mutex<Vec<Request>>>,
    _directory: Option<tempfile::TempDir>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for HttpSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} X\r\ncontent-length: 2\r\n\r\nok")
}

impl HttpSink {
    /// Answers 200 to everything.
    pub async fn taking() -> HttpSink {
        HttpSink::answering(|_| Some(status(200))).await
    }

    pub async fn answering(
        answers: impl Fn(usize) -> Option<String> + Send + Sync + 'static,
    ) -> HttpSink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        HttpSink::start(listener, Arc::new(answers), None)
    }

    /// Over TLS, with a certificate for `name` and a root of its own.
    pub async fn secure(name: &str) -> HttpSink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        HttpSink::secure_on(listener, name, |_| Some(status(200))).await
    }

    /// As `secure`, where a name and no port can be given.
    pub async fn secure_on(
        listener: TcpListener,
        name: &str,
        answers: impl Fn(usize) -> Option<String> + Send + Sync + 'static,
    ) -> HttpSink {
        let key = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a key");
        let directory = tempfile::tempdir().expect("a directory");
        let roots = directory.path().join("roots.pem");
        std::fs::write(&roots, key.cert.pem()).expect("written");
        let private = key.signing_key.serialize_der();
        let private = rustls::pki_types::PrivatePkcs8KeyDer::from(private).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .expect("a certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let mut sink = HttpSink::start(listener, Arc::new(answers), Some(acceptor));
        sink.roots = Some(roots);
        sink._directory = Some(directory);
        sink
    }

    fn start(
        listener: TcpListener,
        answers: Answers,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> HttpSink {
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answers, tls) = (kept.clone(), answers.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, kept, answers).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, kept, answers).await;
                            }
                        }
                    }
                });
            }
        });
        HttpSink { address, roots: None, requests, _directory: None, task }
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.roots.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }

    /// Waits until so many have come.
    pub async fn until(&self, count: usize) -> Vec<Request> {
        super::until(&format!("{count} requests"), || self.requests.lock().len() >= count).await;
        self.requests()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    kept: Arc<Mutex<Vec<Request>>>,
    answers: Answers,
) {
    let mut octets = Vec::new();
    let end = loop {
        if let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut octets).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&octets[..end]).into_owned();
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let line = lines.next().unwrap_or_default().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers = lines.filter_map(header).collect();
    let mut request = Request { line, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while octets.len() < end + length {
        if stream.read_buf(&mut octets).await.unwrap_or(0) == 0 {
            return;
        }
    }
    request.body = octets[end..end + length].to_vec();
    let nth = {
        let mut kept = kept.lock();
        kept.push(request);
        kept.len() - 1
    };
    match answers(nth) {
        Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
        None => std::future::pending().await,
    }
    drop(stream.shutdown().await);
}
