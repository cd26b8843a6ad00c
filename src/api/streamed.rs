//! Answers that are made while they are sent: as much as a few pieces lie in memory.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

const PIECES_MAX: usize = 4;

/// What the maker of an answer hands its pieces to. An error cuts the connection, so that a
/// client does not take half an answer for a whole one.
pub(super) type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

struct Streamed(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A body, and where its pieces go. When the client leaves, sending fails.
pub(super) fn body() -> (Pieces, Body) {
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    (pieces, Body::new(Streamed(receiver)))
}
