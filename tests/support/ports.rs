//! Ports for daemons that are told theirs before they bind it.
//!
//! Owns:       the choice of a port that nobody else takes meanwhile.
//! Promises:   a port is given once in a run, and none that the system gives to clients.
//! Knows not:  who listens.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UdpSocket;

/// Below the ports that Linux gives to outgoing connections (32768 and up): one of those may be
/// taken by any client between the choice and the bind.
const FIRST: u32 = 12_000;
const COUNT: u32 = 18_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that is free now and that no other caller of this process was given.
pub fn free_port() -> u16 {
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (std::process::id().wrapping_mul(97) + step) % COUNT;
        let port = u16::try_from(port).expect("below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Both on one port: the one that one protocol gives out may be taken in the other.
pub async fn both_protocols() -> (tokio::net::TcpListener, UdpSocket) {
    for _ in 0..50 {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = tcp.local_addr().expect("an address");
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both protocols");
}

pub fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}
