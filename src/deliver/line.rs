//! One stream to a host: octets out, replies in, each with a deadline.
//!
//! Owns:       the stream and the reader of its replies.
//! Promises:   what is written while the host talks cannot lock both up; a reply has one deadline
//!             for the whole of it, so a host that drips octets gains nothing.
//! Knows not:  what the commands mean.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::secure::Wire;
use crate::model::Reply;
use crate::wire::reply::{ReplyError, ReplyReader};

/// Slices handed to one `writev`.
const SLICES_MAX: usize = 16;
/// How long a last word is waited for after a write failed: hosts say why before they close.
const LAST_WORD_WAIT: Duration = Duration::from_secs(1);

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the host closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(io::Error),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Silent(Duration),
    #[error("the host took nothing of the mail for {} s", .0.as_secs_f64())]
    Stuck(Duration),
    #[error("the attempt took longer than {} s", .0.as_secs())]
    OutOfTime(Duration),
    #[error("{0}")]
    Rubbish(#[from] ReplyError),
    #[error("the host answered {0} where that has no meaning")]
    OutOfPlace(Box<Reply>),
    #[error("the host sent more than was asked for")]
    Unasked,
    /// 421: the host closes the channel, whatever it was asked.
    #[error("{0}")]
    Goodbye(Box<Reply>),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Broken::Closed,
            _ => Broken::Io(error),
        }
    }
}

/// How the writing of a mail ended.
pub(super) enum Written {
    /// All of it is with the system, the final dot too.
    All,
    /// The host answered before it had seen all; the rest was not sent.
    Early(Reply),
}

pub(super) struct Line {
    wire: Wire,
    replies: ReplyReader,
}

impl Line {
    pub(super) fn new(wire: Wire) -> Line {
        Line { wire, replies: ReplyReader::default() }
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// For the handshake; an error when the host has said more than it was asked for, which would
    /// otherwise count as said under TLS (A3).
    pub(super) fn into_wire(self) -> Result<Wire, Broken> {
        if self.replies.is_empty() { Ok(self.wire) } else { Err(Broken::Unasked) }
    }

    /// Nothing unread, nothing waiting, not closed.
    pub(super) fn is_quiet(&self) -> bool {
        self.replies.is_empty() && self.wire.is_quiet()
    }

    /// What the host said before it was asked: mostly 421, before it closes an idle connection.
    pub(super) fn unasked(&mut self) -> Option<Broken> {
        if self.replies.is_empty() {
            return None;
        }
        match self.replies.next_reply() {
            Ok(Some(reply)) if reply.code == 421 => Some(Broken::Goodbye(Box::new(reply))),
            _ => Some(Broken::Unasked),
        }
    }

    /// The next reply. A 421 is an error here, since nothing follows it.
    pub(super) async fn reply(&mut self, wait: Duration) -> Result<Reply, Broken> {
        let reply = match self.replies.next_reply()? {
            Some(reply) => reply,
            None => tokio::time::timeout(wait, self.read_reply())
                .await
                .map_err(|_| Broken::Silent(wait))??,
        };
        if reply.code == 421 { Err(Broken::Goodbye(Box::new(reply))) } else { Ok(reply) }
    }

    async fn read_reply(&mut self) -> Result<Reply, Broken> {
        loop {
            if self.wire.read_buf(self.replies.space()).await? == 0 {
                return Err(Broken::Closed);
            }
            if let Some(reply) = self.replies.next_reply()? {
                return Ok(reply);
            }
        }
    }

    /// Commands, in one write. Replies that come meanwhile are kept for `reply`.
    pub(super) async fn say(&mut self, octets: &[u8], wait: Duration) -> Result<(), Broken> {
        let mut rest = octets;
        loop {
            let slices = [IoSlice::new(rest)];
            let slices = if rest.is_empty() { &slices[..0] } else { &slices[..] };
            match self.step(slices, wait).await? {
                Step::Wrote(count) => rest = &rest[count..],
                Step::Read => {}
                Step::Done => return Ok(()),
            }
        }
    }

    /// Commands and mail in one flight, for BDAT: replies to the commands may come while the mail
    /// is still being written, and stay for `reply`.
    pub(super) async fn say_pieces(
        &mut self,
        pieces: &[Bytes],
        wait: Duration,
    ) -> Result<(), Broken> {
        match self.write_pieces(pieces, wait, false).await? {
            Written::All => Ok(()),
            Written::Early(reply) => Err(Broken::OutOfPlace(Box::new(reply))),
        }
    }

    /// A mail after 354, the final dot with it. A reply before that ends the writing.
    pub(super) async fn send_mail(
        &mut self,
        pieces: &[Bytes],
        wait: Duration,
    ) -> Result<Written, Broken> {
        match self.write_pieces(pieces, wait, true).await {
            Err(Broken::Closed) => match self.reply(LAST_WORD_WAIT).await {
                Ok(reply) => Ok(Written::Early(reply)),
                Err(Broken::Goodbye(reply)) => Err(Broken::Goodbye(reply)),
                Err(_) => Err(Broken::Closed),
            },
            ended => ended,
        }
    }

    async fn write_pieces(
        &mut self,
        pieces: &[Bytes],
        wait: Duration,
        stop_at_reply: bool,
    ) -> Result<Written, Broken> {
        let (mut at, mut offset) = (0, 0);
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&pieces[at..]) {
                *slice = IoSlice::new(if count == 0 { &piece[offset..] } else { piece });
                count += 1;
            }
            match self.step(&slices[..count], wait).await? {
                Step::Wrote(written) => {
                    offset += written;
                    while at < pieces.len() && offset >= pieces[at].len() {
                        offset -= pieces[at].len();
                        at += 1;
                    }
                }
                Step::Read if stop_at_reply => {
                    if let Some(reply) = self.replies.next_reply()? {
                        return Ok(Written::Early(reply));
                    }
                }
                Step::Read => {}
                Step::Done => return Ok(Written::All),
            }
        }
    }

    /// Some progress in one direction, within `wait`.
    async fn step(&mut self, slices: &[IoSlice<'_>], wait: Duration) -> Result<Step, Broken> {
        let moved = std::future::poll_fn(|cx| self.poll_step(cx, slices));
        match tokio::time::timeout(wait, moved).await {
            Ok(step) => step,
            Err(_) => Err(Broken::Stuck(wait)),
        }
    }

    /// Writes `slices`, or flushes when there are none; while the host takes nothing, listens to
    /// it, since it may wait for us to do so (RFC 2920 §3.1).
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<Step, Broken>> {
        let wire = Pin::new(&mut self.wire);
        let written = if slices.is_empty() {
            wire.poll_flush(cx).map_ok(|()| Step::Done)
        } else {
            wire.poll_write_vectored(cx, slices).map_ok(Step::Wrote)
        };
        match written {
            Poll::Ready(Ok(Step::Wrote(0))) => return Poll::Ready(Err(Broken::Closed)),
            Poll::Ready(ended) => return Poll::Ready(ended.map_err(Broken::from)),
            Poll::Pending => {}
        }
        if !self.replies.has_space() {
            return Poll::Pending;
        }
        let reading = std::pin::pin!(self.wire.read_buf(self.replies.space()));
        match reading.poll(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Broken::Closed)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Step::Read)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

enum Step {
    Wrote(usize),
    Read,
    Done,
}
