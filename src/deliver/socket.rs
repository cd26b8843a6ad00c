//! A TCP connection from one of our addresses.
//!
//! Owns:       binding, and the socket options that mail needs.
//! Promises:   the source's own address or none; a family the source has no address of is not used.
//! Knows not:  SMTP, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use tokio::net::{TcpSocket, TcpStream};

use super::Source;

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Ours to mend: the address is not on this machine, or there are no descriptors left.
    #[error("cannot send from {0}: {1}")]
    Own(String, io::Error),
    #[error("cannot connect: {0}")]
    Host(#[from] io::Error),
}

impl Source {
    /// Where a connection to `to` is bound: None leaves it to the system, an error says that the
    /// source has addresses, but none of this family.
    pub(super) fn bind_for(&self, to: IpAddr) -> Result<Option<IpAddr>, NoFamily> {
        let (v4, v6) = (self.bind_v4.map(IpAddr::V4), self.bind_v6.map(IpAddr::V6));
        let own = if to.is_ipv4() { v4 } else { v6 };
        if own.is_none() && (v4.is_some() || v6.is_some()) { Err(NoFamily) } else { Ok(own) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoFamily;

pub(super) async fn connect(
    own: Option<IpAddr>,
    to: SocketAddr,
) -> Result<TcpStream, ConnectError> {
    let named = || own.map_or_else(|| "this machine".to_owned(), |own| own.to_string());
    let made = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = made.map_err(|error| ConnectError::Own(named(), error))?;
    // Each write of ours is a whole flight: waiting for more would only add a round trip.
    socket.set_nodelay(true)?;
    if let Some(own) = own {
        leave_port_open(&socket);
        socket.bind(SocketAddr::new(own, 0)).map_err(|error| ConnectError::Own(named(), error))?;
    }
    Ok(socket.connect(to).await?)
}

/// Without this, `bind` reserves a port before the destination is known, and a busy source address
/// runs out of ports at 28,000 connections to all hosts together instead of to each one.
fn leave_port_open(socket: &TcpSocket) {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for as long as `socket` lives, and the option's value is an
    // int that outlives the call.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if answer != 0 {
        // Kernels before 4.2: everything works, with fewer ports.
        tracing::debug!(reason = %io::Error::last_os_error(), "IP_BIND_ADDRESS_NO_PORT not set");
    }
}

/// What has come in on a connection that nobody reads just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Nothing,
    Octets,
    /// The other side has closed, perhaps after some last octets.
    End,
}

/// One system call, which does not wait. `peek` would not see an end that stands behind octets, as
/// it does when a host closes under TLS.
pub(super) fn waiting(tcp: &TcpStream) -> io::Result<Waiting> {
    let asked = libc::POLLIN | libc::POLLRDHUP;
    let mut entry = libc::pollfd { fd: tcp.as_raw_fd(), events: asked, revents: 0 };
    // SAFETY: `entry` is one valid entry, and its descriptor is open for as long as `tcp` lives.
    let answer = unsafe { libc::poll(&raw mut entry, 1, 0) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let ended = libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
    Ok(match entry.revents {
        0 => Waiting::Nothing,
        found if found & ended != 0 => Waiting::End,
        _ => Waiting::Octets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_with_one_family_does_not_use_the_other() {
        let mut source = Source { name: "a".into(), ..Source::default() };
        let v4: IpAddr = [192, 0, 2, 1].into();
        let v6: IpAddr = std::net::Ipv6Addr::LOCALHOST.into();
        assert_eq!((source.bind_for(v4), source.bind_for(v6)), (Ok(None), Ok(None)));
        source.bind_v4 = Some([127, 0, 0, 9].into());
        assert_eq!(source.bind_for(v4), Ok(Some([127, 0, 0, 9].into())));
        assert_eq!(source.bind_for(v6), Err(NoFamily));
    }
}
