//! Commits whose answer is lost on the way from PostgreSQL.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postroad::model::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::mx::FakeMx;
use crate::support::relay::{Database, SENDER, TestRelay};

/// What PostgreSQL says once a transaction is on its disk.
const COMMITTED: &[u8] = b"COMMIT\0";

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

    /// The next commit happens, and nobody is told.
    fn cut_at_next_commit(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    fn was_cut(&self) -> bool {
        !self.cut.load(Ordering::Relaxed)
    }
}

async fn carry(daemon: TcpStream, server: TcpStream, cut: Arc<AtomicBool>) {
    let (mut asked, mut told) = daemon.into_split();
    let (mut answers, mut questions) = server.into_split();
    let asking = tokio::spawn(async move { tokio::io::copy(&mut asked, &mut questions).await });
    let mut window = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = answers.read(&mut window).await {
        let answer = &window[..count];
        let is_commit = answer.windows(COMMITTED.len()).any(|part| part == COMMITTED);
        if is_commit && cut.swap(false, Ordering::Relaxed) {
            break;
        }
        if told.write_all(answer).await.is_err() {
            break;
        }
    }
    asking.abort();
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
        wire.cut_at_next_commit();
        let mail = b"From: <sender@sender.test>\r\nSubject: hello\r\n\r\nhello\r\n";
        let reply = relay.try_submit(&format!("<{SENDER}>"), &["second@example.test"], mail).await;
        assert!(wire.was_cut());
        assert!(reply.starts_with("250 2.0.0 queued as "), "{reply}");
        relay.run_until_idle().await;
        assert_eq!(mx.received(), ["first@example.test", "second@example.test"]);
        assert_eq!(relay.state_of("second@example.test").await, State::Delivered);
        relay.adds_up().await;
    }
}
