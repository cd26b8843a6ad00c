//! Commits whose answer is lost on the way from PostgreSQL.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postroad::model::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

/// What PostgreSQL says once a transaction is on its disk.
const COMMITTED: &[u8] = b"COMMIT\0";
/// What only the transaction of the second mail says.
const SECOND: &str = "second@example.test";

/// Stands between the daemon and its server.
struct Wire {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let wire = Wire {
            address: listener.local_addr().expect("an address"),
            cut: Arc::new(AtomicBool::new(false)),
        };
        let cut = wire.cut.clone();
        tokio::spawn(async move {
            while let Ok((daemon, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("the server listens");
                tokio::spawn(carry(daemon, server, cut.clone()));
            }
        });
        wire
    }

    /// The second mail's commit happens, and nobody is told.
    fn cut_at_commit(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    fn was_cut(&self) -> bool {
        !self.cut.load(Ordering::Relaxed)
    }
}

async fn carry(daemon: TcpStream, server: TcpStream, cut: Arc<AtomicBool>) {
    let (asked, questions) = daemon.into_split();
    let (answers, told) = server.into_split();
    // Webhooks, windows and limits are committed meanwhile as well, by this connection or others.
    let is_second = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(asked, told, is_second.clone()));
    tell(answers, questions, &is_second, &cut).await;
    asking.abort();
}

/// Carries on what the daemon says, and notes the second mail before the server has heard of it.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_second: Arc<AtomicBool>) {
    let mut window = vec![0; 64 * 1024];
    let mut said = Vec::new();
    while let Ok(count @ 1..) = from.read(&mut window).await {
        said.extend_from_slice(&window[..count]);
        if memchr::memmem::find(&said, SECOND.as_bytes()).is_some() {
            is_second.store(true, Ordering::Relaxed);
        }
        said.drain(..said.len().saturating_sub(SECOND.len() - 1));
        if to.write_all(&window[..count]).await.is_err() {
            return;
        }
    }
}

/// Carries on what the server says, up to the commit that is to be cut off.
async fn tell(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_second: &AtomicBool,
    cut: &AtomicBool,
) {
    let mut window = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut window).await {
        let answer = &window[..count];
        let is_commit = answer.windows(COMMITTED.len()).any(|part| part == COMMITTED);
        let is_it = is_commit && is_second.load(Ordering::Relaxed);
        if is_it && cut.swap(false, Ordering::Relaxed) {
            return;
        }
        if to.write_all(answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_250_although_the_answer_to_the_commit_was_lost() {
    for database in Database::all().await {
        let Database::Postgres(url) = database else { continue };
        let (head, name) = url.rsplit_once('/').expect("a database");
        let (user, server) = head.rsplit_once('@').expect("a server");
        let wire = Wire::to(server.parse().expect("an address")).await;
        let url = format!("{user}@{}/{name}?sslmode=disable", wire.address);
        let mx = FakeMx::accepting().await;
        let relay = TestRelay::with(&mx, |settings| settings.store.url = Some(url)).await;
        relay.submit(&["first@example.test"]).await;
        relay.run_until_idle().await;
        wire.cut_at_commit();
        let mail = b"From: <sender@sender.test>\r\nSubject: hello\r\n\r\nhello\r\n";
        let reply = relay.try_submit(&format!("<{SENDER}>"), &[SECOND], mail).await;
        assert!(wire.was_cut());
        assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
        relay.run_until_idle().await;
        assert_eq!(mx.received(), ["first@example.test", SECOND]);
        assert_eq!(relay.state_of(SECOND).await, State::Delivered);
        relay.adds_up().await;
    }
}
