//! A sink with STARTTLS for `benches/relay`: takes every mail and keeps none.
//!
//! smtp-sink has no TLS, and stunnel before it waits 200 ms at each connection. This does as
//! little as it can, in one thread, and tells its count as smtp-sink does: `mesg=N\r`.
//!
//!     tls-sink PORT CHAIN.pem KEY.pem

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn std::error::Error>;

const TELL_EVERY: Duration = Duration::from_millis(5);
const READ_BYTES: usize = 64 * 1024;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, chain, key] = arguments.as_slice() else {
        return Err("usage: tls-sink PORT CHAIN.pem KEY.pem".into());
    };
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(port.parse()?, TlsAcceptor::from(Arc::new(tls))))
}

async fn serve(port: u16, tls: TlsAcceptor) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mails = Arc::new(AtomicU64::new(0));
    tokio::spawn(tell(mails.clone()));
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, mails) = (tls.clone(), mails.clone());
        tokio::spawn(async move {
            // A client that leaves in the middle is its own affair; what counts is the count.
            if let Err(error) = session(stream, tls, &mails).await {
                eprintln!("session: {error}");
            }
        });
    }
}

async fn tell(mails: Arc<AtomicU64>) {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let count = mails.load(Ordering::Relaxed);
        if count != told {
            told = count;
            print!("mesg={count}\r");
            std::io::stdout().flush().expect("the reader of the count is there");
        }
    }
}

async fn session(
    mut stream: TcpStream,
    tls: TlsAcceptor,
    mails: &AtomicU64,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream).try_clone()?;
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    if talk(&mut stream, &socket, mails, true).await? {
        let mut secured = tls.accept(stream).await?;
        talk(&mut secured, &socket, mails, false).await?;
    }
    Ok(())
}

/// Answers until the client leaves; true: it asked for STARTTLS and was told to go on.
async fn talk<S>(
    stream: &mut S,
    socket: &Socket,
    mails: &AtomicU64,
    offer_tls: bool,
) -> Result<bool, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Vec::with_capacity(READ_BYTES);
    let mut answers = Vec::new();
    let mut in_mail = false;
    while stream.read_buf(&mut input).await? > 0 {
        // A sender without TCP_NODELAY (Postfix's tlsproxy) would wait 40 ms for each mail's
        // delayed acknowledgement. The kernel forgets this wish, so it is said again.
        socket.set_tcp_quickack(true)?;
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let end: &[u8] = if in_mail { b"\r\n.\r\n" } else { b"\r\n" };
            let Some(at) = memmem::find(rest, end) else { break };
            let verb = rest[..at.min(4)].to_ascii_uppercase();
            taken += at + end.len();
            if in_mail {
                in_mail = false;
                mails.fetch_add(1, Ordering::Relaxed);
                answers.extend_from_slice(b"250 2.0.0 taken\r\n");
                continue;
            }
            let starts_tls = offer_tls && verb == b"STAR";
            in_mail = verb == b"DATA";
            answers.extend_from_slice(answer(&verb, offer_tls));
            if starts_tls || verb == b"QUIT" {
                stream.write_all(&answers).await?;
                return Ok(starts_tls);
            }
        }
        input.drain(..taken);
        stream.write_all(&answers).await?;
        stream.flush().await?;
        answers.clear();
    }
    Ok(false)
}

fn answer(verb: &[u8], offer_tls: bool) -> &'static [u8] {
    match verb {
        b"EHLO" if offer_tls => {
            b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
        }
        b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
        b"STAR" => b"220 2.0.0 go on\r\n",
        b"DATA" => b"354 go on\r\n",
        b"QUIT" => b"221 2.0.0 bye\r\n",
        _ => b"250 2.0.0 ok\r\n",
    }
}
