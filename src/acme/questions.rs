//! What the authority asks over plain HTTP (RFC 8555 §8.3), and nothing else.
//!
//! Owns:       the answers while an order is under way; the port where they are given.
//! Promises:   a request is read to a small maximum and within seconds; whoever asks for anything
//!             else learns nothing.
//! Knows not:  orders, certificates.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub(super) const PATH: &str = "/.well-known/acme-challenge/";
const REQUEST_BYTES_MAX: usize = 8 * 1024;
const REQUEST_WAIT: Duration = Duration::from_secs(10);
const AT_ONCE_MAX: usize = 64;
/// After an error of the socket itself: no descriptor is left, most likely.
const PAUSE: Duration = Duration::from_millis(200);

/// A cheap handle; all clones share the answers.
#[derive(Clone, Default)]
pub struct Questions(Arc<Mutex<HashMap<String, String>>>);

impl Questions {
    pub(super) fn answer(&self, token: String, answer: String) {
        self.0.lock().insert(token, answer);
    }

    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }

    fn to(&self, request: &str) -> String {
        let line = request.lines().next().unwrap_or_default();
        let path = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
        let token = path.and_then(|path| path.strip_prefix(PATH));
        let answer = token.and_then(|token| self.0.lock().get(token).cloned());
        let (status, body) = match answer {
            Some(answer) => ("200 OK", answer),
            None => ("404 Not Found", String::new()),
        };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Answers until `stop` turns true.
pub async fn serve(listener: TcpListener, questions: Questions, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Whoever comes when all places are taken is sent away: the authority asks again.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let questions = questions.clone();
        tokio::spawn(async move {
            let talk = tokio::time::timeout(REQUEST_WAIT, talk(stream, &questions)).await;
            if !matches!(talk, Ok(Ok(()))) {
                tracing::debug!("a question over plain HTTP was not heard to its end");
            }
            drop(place);
        });
    }
}

async fn talk(mut stream: TcpStream, questions: &Questions) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut piece).await?;
        if count == 0 || request.len() + count > REQUEST_BYTES_MAX {
            return Ok(());
        }
        request.extend_from_slice(&piece[..count]);
    }
    let answer = questions.to(&String::from_utf8_lossy(&request));
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_by_its_token_is_answered() {
        let questions = Questions::default();
        questions.answer("abc".to_owned(), "abc.print".to_owned());
        let status = |request: &str| {
            let answer = questions.to(request);
            answer.split(' ').nth(1).map(str::to_owned).unwrap_or_default()
        };
        let good = "GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: a.test\r\n\r\n";
        assert!(questions.to(good).ends_with("\r\n\r\nabc.print"));
        for other in [
            "GET /.well-known/acme-challenge/ HTTP/1.1\r\n\r\n",
            "GET /.well-known/acme-challenge/abcd HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "POST /.well-known/acme-challenge/abc HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(status(other), "404", "{other}");
        }
        questions.forget();
        assert_eq!(status(good), "404");
    }
}
