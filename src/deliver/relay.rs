//! Into a relay that wants to know who we are: greeting, TLS, EHLO and AUTH by mail-send.
//!
//! Owns:       the stream while mail-send speaks over it, and a copy of all it hears.
//! Promises:   a password is never sent in the clear, unless the target says that TLS is off; an
//!             answer that holds more than it should ends the connection.
//! Knows not:  the mail, which our own transaction sends afterwards.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use mail_send::{Credentials, SmtpClient};
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2, EhloResponse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::RelayAuth;
use super::capabilities::Capabilities;
use super::line::{Broken, Line};
use super::open::{Opening, Trouble, not_offered};
use super::secure::Wire;
use crate::model::*;
use crate::wire::reply::ReplyReader;

/// What a relay may say between two of our words.
const HEARD_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn enter(
    opening: &mut Opening<'_>,
    wire: Wire,
    tls: TlsMode,
    auth: &RelayAuth,
) -> Result<(Line, Capabilities), Trouble> {
    let timeout = opening.shared.options.command_wait;
    let mut client = SmtpClient { stream: Overheard::new(wire), timeout };
    greeting(opening, &mut client).await?;
    let (mut announced, mut found) = hello(opening, &mut client).await?;
    let upgrade = !matches!(tls, TlsMode::None | TlsMode::Implicit);
    if upgrade && !found.starttls {
        return Err(opening.lost(Blame::Host, not_offered()));
    }
    if upgrade {
        opening.dialogue.ours("STARTTLS");
        let ended = client.cmd("STARTTLS\r\n").await;
        let reply = client.stream.only_reply(opening, ended.map(drop))?;
        opening.require(&reply, 220, "STARTTLS")?;
        let wire = opening.handshake(client.stream.wire, tls).await?;
        client = SmtpClient { stream: Overheard::new(wire), timeout };
        (announced, found) = hello(opening, &mut client).await?;
    }
    sign_in(opening, &mut client, announced, auth).await?;
    Ok((Line::new(client.stream.wire), found))
}

async fn greeting(
    opening: &mut Opening<'_>,
    client: &mut SmtpClient<Overheard>,
) -> Result<(), Trouble> {
    let wait = opening.greeting_wait();
    let ended = match tokio::time::timeout(wait, client.read()).await {
        Ok(ended) => ended,
        Err(_) => Err(mail_send::Error::Timeout),
    };
    let reply = client.stream.only_reply(opening, ended.map(drop))?;
    opening.require(&reply, 220, "the greeting")
}

/// What mail-send makes of the answer, which it needs for AUTH, and what we do.
async fn hello(
    opening: &mut Opening<'_>,
    client: &mut SmtpClient<Overheard>,
) -> Result<(EhloResponse<String>, Capabilities), Trouble> {
    let name = opening.own_name();
    opening.dialogue.ours(&format!("EHLO {name}"));
    let (announced, ended) = match client.ehlo(&name).await {
        Ok(announced) => (Some(announced), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let reply = client.stream.only_reply(opening, ended)?;
    opening.require(&reply, 250, "EHLO")?;
    match announced {
        Some(announced) => Ok((announced, Capabilities::read(&reply))),
        None => Err(opening.lost(Blame::Host, format!("EHLO was answered with {reply}"))),
    }
}

async fn sign_in(
    opening: &mut Opening<'_>,
    client: &mut SmtpClient<Overheard>,
    mut announced: EhloResponse<String>,
    auth: &RelayAuth,
) -> Result<(), Trouble> {
    let (mechanism, credentials) = match auth.mechanism {
        RelayMechanism::Plain => (AUTH_PLAIN, Credentials::new(&auth.user, &auth.secret)),
        RelayMechanism::Login => (AUTH_LOGIN, Credentials::new(&auth.user, &auth.secret)),
        RelayMechanism::Xoauth2 => {
            (AUTH_XOAUTH2, Credentials::new_xoauth2(&auth.user, &auth.secret))
        }
    };
    // mail-send takes the strongest mechanism it finds; ours is the one that was configured.
    announced.auth_mechanisms &= mechanism;
    if announced.auth_mechanisms == 0 {
        let reason = format!("the relay does not offer AUTH {}", auth.mechanism.word());
        return Err(opening.lost(Blame::Source, reason));
    }
    opening.dialogue.ours(&format!("AUTH {} ***", auth.mechanism.word().to_ascii_uppercase()));
    let ended = client.authenticate(&credentials, &announced).await.map(drop);
    let replies = client.stream.replies(opening)?;
    match (replies.last(), ended) {
        (Some(reply), Ok(_)) if reply.code == 235 => Ok(()),
        // A wrong password is trouble of the source: its mail waits until somebody has mended it.
        (Some(reply), _) if matches!(reply.code, 400..=599) => {
            Err(Trouble::Refused { blame: Blame::Source, at: "AUTH", reply: reply.clone() })
        }
        (_, Err(error)) => Err(lost(opening, error)),
        (_, Ok(_)) => Err(opening.lost(Blame::Host, "AUTH was answered with rubbish".into())),
    }
}

fn lost(opening: &mut Opening<'_>, error: mail_send::Error) -> Trouble {
    // Texts of mail-send may repeat what the relay said, but never what we said.
    opening.lost(Blame::Host, error.to_string())
}

/// The stream, with a copy of what was read: mail-send keeps neither the lines of a reply nor what
/// follows it, and in what follows an injected reply would hide (A3).
struct Overheard {
    wire: Wire,
    heard: Vec<u8>,
}

impl Overheard {
    fn new(wire: Wire) -> Overheard {
        Overheard { wire, heard: Vec::new() }
    }

    /// All that was said since the last call: whole replies and nothing more.
    fn replies(&mut self, opening: &mut Opening<'_>) -> Result<Vec<Reply>, Trouble> {
        let mut reader = ReplyReader::default();
        reader.space().append(&mut self.heard);
        let mut replies = Vec::new();
        loop {
            match reader.next_reply() {
                Ok(Some(reply)) => {
                    opening.dialogue.theirs(&reply);
                    replies.push(reply);
                }
                Ok(None) if reader.is_empty() => return Ok(replies),
                Ok(None) => return Err(opening.lost(Blame::Host, Broken::Unasked.to_string())),
                Err(error) => return Err(opening.lost(Blame::Host, error.to_string())),
            }
        }
    }

    /// One reply and nothing more; without any, why mail-send gave up.
    fn only_reply(
        &mut self,
        opening: &mut Opening<'_>,
        ended: Result<(), mail_send::Error>,
    ) -> Result<Reply, Trouble> {
        let mut replies = self.replies(opening)?;
        match (replies.pop(), replies.is_empty(), ended) {
            (Some(reply), true, _) => Ok(reply),
            (Some(_), false, _) => Err(opening.lost(Blame::Host, Broken::Unasked.to_string())),
            (None, _, Err(error)) => Err(lost(opening, error)),
            (None, _, Ok(())) => Err(opening.lost(Blame::Host, "no answer".into())),
        }
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let ended = Pin::new(&mut this.wire).poll_read(cx, into);
        this.heard.extend_from_slice(&into.filled()[before..]);
        if this.heard.len() > HEARD_BYTES_MAX {
            return Poll::Ready(Err(io::Error::other("the relay says too much")));
        }
        ended
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().wire).poll_write(cx, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}
