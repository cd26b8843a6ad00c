//! Sockets under the router: the operator's Unix socket and the HTTP port.

use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::caller::Peer;
use crate::wire::network::Network;

const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// For the first octet, for TLS, for a request's header; and so for an idle connection too.
const HEADER_WAIT: Duration = Duration::from_millis(if cfg!(test) { 3_000 } else { 15_000 });
/// A connection is asked to end after this, and ended a little later.
const CONNECTION_LIFE: Duration = Duration::from_secs(2 * 3600);
/// What is under way may finish for this long once the end was announced.
const DRAIN_WAIT: Duration = Duration::from_secs(10);
const TCP_CONNECTIONS_MAX: usize = 1024;
const UNIX_CONNECTIONS_MAX: usize = 64;
/// After an accept that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The first octet of every TLS connection: a record of type handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("another daemon answers at {0}")]
    Taken(String),
    #[error("{path} cannot be listened on: {why}")]
    Bind { path: String, why: std::io::Error },
}

/// The operator's socket; its file goes when this goes.
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Binds the path with mode 0600. A file that an earlier life left there is replaced.
    pub fn bind(path: &Path) -> Result<OperatorSocket, ServeError> {
        let refused = |why| ServeError::Bind { path: path.display().to_string(), why };
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(ServeError::Taken(path.display().to_string()));
                }
                std::fs::remove_file(path).map_err(refused)?;
            }
            Ok(_) => {
                let why = "something that is not a socket lies there";
                return Err(refused(std::io::Error::other(why)));
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(refused)?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).map_err(refused)?;
        Ok(OperatorSocket { listener, path: path.to_owned() })
    }
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_file(&self.path) {
            tracing::debug!(reason = %why, "the operator's socket could not be removed");
        }
    }
}

/// Connections under way, with a bound on their number.
struct Connections {
    tasks: JoinSet<()>,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Connections {
    fn new(places: usize, stop: watch::Receiver<bool>) -> Connections {
        Connections { tasks: JoinSet::new(), places: Arc::new(Semaphore::new(places)), stop }
    }

    /// Runs a connection unless all places are taken, when it is closed unanswered.
    fn start<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        talk: impl FnOnce(watch::Receiver<bool>) -> F,
    ) {
        while self.tasks.try_join_next().is_some() {}
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return tracing::warn!("too many HTTP connections: one was closed");
        };
        let talk = talk(self.stop.clone());
        self.tasks.spawn(async move {
            talk.await;
            drop(place);
        });
    }

    /// Waits for what is under way; each connection ends itself within `DRAIN_WAIT`.
    async fn drain(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_WAIT * 2, all).await.is_err() {
            tracing::warn!("HTTP connections were cut at the end of their time");
        }
    }
}

/// Returns when `stop` turned true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could say stop, which is as good as stop.
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("the sender of the stop signal is gone");
    }
}

/// Answers on the operator's socket until `stop` turns true; then drains.
pub async fn serve_unix(socket: OperatorSocket, router: Router, mut stop: watch::Receiver<bool>) {
    let mut connections = Connections::new(UNIX_CONNECTIONS_MAX, stop.clone());
    loop {
        let accepted = tokio::select! {
            accepted = socket.listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) if is_operator(&stream) => {
                let router = router.clone();
                connections.start(|stop| talk(stream, router, Peer::Operator, stop));
            }
            Ok(_) => tracing::warn!("a stranger on the operator's socket was turned away"),
            Err(why) => accept_failed(&why).await,
        }
    }
    drop(socket);
    connections.drain().await;
}

/// Root or our own user, by the kernel's word (SO_PEERCRED).
fn is_operator(stream: &UnixStream) -> bool {
    // SAFETY: it takes nothing, touches no memory and always succeeds.
    let own = unsafe { libc::geteuid() };
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

async fn accept_failed(why: &std::io::Error) {
    tracing::warn!(reason = %why, "an HTTP connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// How the HTTP port speaks.
#[derive(Clone)]
pub struct TcpOptions {
    /// Its certificates are chosen, and exchanged when they change, by its own resolver.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Peers that may speak plain HTTP as loopback may, and whose X-Forwarded-For is believed.
    pub proxies: Vec<Network>,
}

impl TcpOptions {
    fn peer(&self, address: IpAddr) -> Peer {
        let proxy = self.proxies.iter().any(|network| network.contains(address));
        Peer::Network { address, proxy }
    }
}

/// Answers on the HTTP port until `stop` turns true; then drains.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    options: TcpOptions,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = Connections::new(TCP_CONNECTIONS_MAX, stop.clone());
    let options = Arc::new(options);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let (router, options) = (router.clone(), options.clone());
                let peer = options.peer(address.ip());
                connections.start(|stop| greet(stream, router, options, peer, stop));
            }
            Err(why) => accept_failed(&why).await,
        }
    }
    drop(listener);
    connections.drain().await;
}

/// TLS for everybody who begins with it; plain HTTP where nobody can listen in.
async fn greet(
    stream: TcpStream,
    router: Router,
    options: Arc<TcpOptions>,
    peer: Peer,
    stop: watch::Receiver<bool>,
) {
    let mut first = [0];
    let peeked = tokio::time::timeout(HEADER_WAIT, stream.peek(&mut first)).await;
    if !matches!(peeked, Ok(Ok(1))) {
        return;
    }
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(reason = %why, "an HTTP connection is slow to answer");
    }
    match &options.tls {
        Some(tls) if first[0] == TLS_HANDSHAKE => {
            let handshake = TlsAcceptor::from(tls.clone()).accept(stream);
            match tokio::time::timeout(HEADER_WAIT, handshake).await {
                Ok(Ok(stream)) => talk(stream, router, peer, stop).await,
                Ok(Err(why)) => tracing::debug!(reason = %why, ?peer, "no TLS with a client"),
                Err(_) => tracing::debug!(?peer, "a client was too slow for TLS"),
            }
        }
        _ if may_speak_plain(peer) => talk(stream, router, peer, stop).await,
        _ => tracing::debug!(?peer, "plain HTTP from afar was closed"),
    }
}

fn may_speak_plain(peer: Peer) -> bool {
    match peer {
        Peer::Operator => true,
        Peer::Network { address, proxy } => proxy || address.to_canonical().is_loopback(),
    }
}

async fn talk<S>(stream: S, router: Router, peer: Peer, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => finish(connection).await,
        () = tokio::time::sleep(CONNECTION_LIFE) => finish(connection).await,
    };
    if let Err(why) = ended {
        tracing::debug!(reason = %why, ?peer, "an HTTP connection ended badly");
    }
}

/// Lets the request under way be answered, takes no further one.
async fn finish<C>(mut connection: std::pin::Pin<&mut C>) -> hyper::Result<()>
where
    C: Finishing,
{
    connection.as_mut().announce();
    tokio::time::timeout(DRAIN_WAIT, connection).await.unwrap_or(Ok(()))
}

/// A connection that can be told to end; spares `finish` hyper's long type.
trait Finishing: Future<Output = hyper::Result<()>> {
    fn announce(self: std::pin::Pin<&mut Self>);
}

impl<I, S, B> Finishing for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn announce(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers who asks, once it was told to.
    fn router(go: watch::Receiver<bool>) -> Router {
        let answer = async move |Extension(peer): Extension<Peer>| {
            stopped(&mut go.clone()).await;
            format!("{peer:?}")
        };
        Router::new().route("/", get(answer))
    }

    fn at_once() -> Router {
        router(watch::channel(true).1)
    }

    fn options() -> TcpOptions {
        TcpOptions { tls: None, proxies: Vec::new() }
    }

    async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        let read =
            tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer));
        // A server that closes with unread octets resets: what came until then counts.
        match read.await.expect("an end within the deadline") {
            Ok(_) => answer,
            Err(why) => format!("{answer}{why}"),
        }
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn the_operators_socket_is_replaced_when_dead_and_kept_when_alive() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket left behind"));
        let socket = OperatorSocket::bind(&path).expect("bound");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(OperatorSocket::bind(&path), Err(ServeError::Taken(_))));
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(serve_unix(socket, at_once(), stopping));
        let stream = UnixStream::connect(&path).await.expect("connected");
        assert!(ask(stream, GET).await.ends_with("\r\n\r\nOperator"));
        stop.send(true).expect("heard");
        serving.await.expect("ended");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").expect("written");
        assert!(matches!(OperatorSocket::bind(&path), Err(ServeError::Bind { .. })));
        assert!(path.exists());
    }

    async fn port(
        router: Router,
        options: TcpOptions,
    ) -> (std::net::SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(serve_tcp(listener, router, options, stopping));
        (address, stop)
    }

    #[tokio::test]
    async fn a_header_that_is_too_large_is_refused() {
        let (address, _stop) = port(at_once(), options()).await;
        let stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        let answer = ask(stream, &request).await;
        assert!(answer.starts_with("HTTP/1.1 431") || answer.contains("reset"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_is_too_slow_is_cut() {
        let (address, _stop) = port(at_once(), options()).await;
        for begin in ["", "G", "GET / HTTP/1.1\r\nHost: h\r\n"] {
            let stream = TcpStream::connect(address).await.expect("connected");
            let answer = ask(stream, begin).await;
            assert!(!answer.contains("200 OK"), "{begin:?}: {answer}");
        }
    }

    #[tokio::test]
    async fn plain_and_tls_are_told_apart_by_their_first_octet() {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let chain = vec![own.cert.der().clone()];
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.into())
            .expect("a certificate");
        let tls = Some(Arc::new(server));
        let (address, _stop) = port(at_once(), TcpOptions { tls, proxies: Vec::new() }).await;

        let plain = TcpStream::connect(address).await.expect("connected");
        assert!(ask(plain, GET).await.starts_with("HTTP/1.1 200 OK"));

        let mut roots = rustls::RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a root");
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let stream = TcpStream::connect(address).await.expect("connected");
        let name = "localhost".try_into().expect("a name");
        let stream = connector.connect(name, stream).await.expect("TLS");
        assert!(ask(stream, GET).await.contains("address: 127.0.0.1, proxy: false"));
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_end() {
        let (go, waiting) = watch::channel(false);
        let (address, stop) = port(router(waiting), options()).await;
        let stream = TcpStream::connect(address).await.expect("connected");
        let asking = tokio::spawn(ask(stream, GET));
        // The request has been taken once the handler holds its own copy of the receiver.
        while go.receiver_count() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send(true).expect("heard");
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        go.send(true).expect("heard");
        assert!(asking.await.expect("answered").starts_with("HTTP/1.1 200 OK"));
    }

    #[test]
    fn plain_http_is_for_this_host_and_for_proxies() {
        let proxies = vec![Network::parse("10.0.0.0/8").expect("a network")];
        let options = TcpOptions { tls: None, proxies };
        let plain = |text: &str| may_speak_plain(options.peer(text.parse().expect("an address")));
        assert!(plain("127.0.0.1") && plain("::1") && plain("::ffff:127.0.0.1"));
        assert!(plain("10.1.2.3") && !plain("192.0.2.1") && !plain("2001:db8::1"));
    }
}
