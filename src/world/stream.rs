//! A host's end of a connection: clear at first, TLS after STARTTLS, with buffers for both ways.
//!
//! Owns:       the socket, what was read and not yet used, what is to be written.
//! Promises:   a read has a deadline and a bound; answers to a pipelined group leave in one write.
//! Knows not:  SMTP, but for the end of a line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// RFC 5321 §4.5.3.2.7 gives a client five minutes.
const READ_WAIT: Duration = Duration::from_secs(300);
const WRITE_WAIT: Duration = Duration::from_secs(60);
const HANDSHAKE_WAIT: Duration = Duration::from_secs(30);
const CLOSE_WAIT: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 16 * 1024;
pub(super) const LINE_BYTES_MAX: usize = 4096;

enum Socket {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) struct Stream {
    /// None once it was given up, or while a handshake failed.
    socket: Option<Socket>,
    pub(super) input: BytesMut,
    output: Vec<u8>,
}

/// What a line turned out to be.
pub(super) enum Line {
    /// Without its CRLF.
    Whole(Bytes),
    /// A CR or LF that is not part of CRLF stands in it.
    Bare,
    TooLong,
    /// The client went away.
    End,
}

impl Stream {
    pub(super) fn new(socket: TcpStream) -> Stream {
        Stream { socket: Some(Socket::Clear(socket)), input: BytesMut::new(), output: Vec::new() }
    }

    /// Reads what is there, at least an octet; false at the end of the stream.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        self.flush().await?;
        self.input.reserve(READ_BYTES);
        let read = async {
            match &mut self.socket {
                Some(Socket::Clear(socket)) => socket.read_buf(&mut self.input).await,
                Some(Socket::Tls(socket)) => socket.read_buf(&mut self.input).await,
                None => Ok(0),
            }
        };
        match tokio::time::timeout(READ_WAIT, read).await {
            Ok(length) => Ok(length? > 0),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }

    /// Up to the next LF.
    pub(super) async fn line(&mut self) -> io::Result<Line> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.input[searched..]) {
                return Ok(cut(&mut self.input, searched + at));
            }
            searched = self.input.len();
            if searched > LINE_BYTES_MAX {
                return Ok(Line::TooLong);
            }
            if !self.fill().await? {
                return Ok(Line::End);
            }
        }
    }

    /// Held back until the next read or `flush`.
    pub(super) fn say(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        let write = async {
            match &mut self.socket {
                Some(Socket::Clear(socket)) => socket.write_all(&output).await,
                Some(Socket::Tls(socket)) => {
                    socket.write_all(&output).await?;
                    socket.flush().await
                }
                None => Ok(()),
            }
        };
        match tokio::time::timeout(WRITE_WAIT, write).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }

    /// The handshake; the answer is `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
    pub(super) async fn secure(&mut self, config: Arc<ServerConfig>) -> io::Result<String> {
        self.flush().await?;
        let Some(Socket::Clear(socket)) = self.socket.take() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let handshake = TlsAcceptor::from(config).accept(socket);
        let secured = match tokio::time::timeout(HANDSHAKE_WAIT, handshake).await {
            Ok(secured) => secured?,
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        let facts = facts(secured.get_ref().1);
        self.socket = Some(Socket::Tls(Box::new(secured)));
        Ok(facts)
    }

    /// Says what is held back, then close_notify and FIN, and waits a moment for the client's.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        match &mut self.socket {
            Some(Socket::Clear(socket)) => socket.shutdown().await?,
            Some(Socket::Tls(socket)) => socket.shutdown().await?,
            None => return Ok(()),
        }
        // Octets that nobody reads would turn the FIN into an RST, which may overtake the answer.
        let client_closes = async {
            while self.fill().await? {
                self.input.clear();
            }
            Ok(())
        };
        let closed = tokio::time::timeout(CLOSE_WAIT, client_closes).await;
        self.abandon();
        closed.unwrap_or(Ok(()))
    }

    /// Drops the socket as it is: FIN, or RST when octets were left unread.
    pub(super) fn abandon(&mut self) {
        self.socket = None;
    }

    /// RST: a linger time of zero makes the kernel send one when the socket is dropped.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        match self.socket.take() {
            Some(Socket::Clear(socket)) => socket2::SockRef::from(&socket).set_linger(ZERO),
            Some(Socket::Tls(socket)) => {
                socket2::SockRef::from(socket.get_ref().0).set_linger(ZERO)
            }
            None => Ok(()),
        }
    }
}

const ZERO: Option<Duration> = Some(Duration::ZERO);

/// The line that ends with the LF at `end`.
fn cut(input: &mut BytesMut, end: usize) -> Line {
    let line = input.split_to(end).freeze();
    input.advance(1);
    match line.strip_suffix(b"\r") {
        Some(content) if memchr::memchr(b'\r', content).is_none() => {
            Line::Whole(line.slice(..line.len() - 1))
        }
        _ => Line::Bare,
    }
}

fn facts(connection: &rustls::ServerConnection) -> String {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
        other => format!("{other:?}"),
    };
    match connection.negotiated_cipher_suite() {
        Some(suite) => format!("{version} {:?}", suite.suite()),
        None => version,
    }
}
