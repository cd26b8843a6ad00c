//! A session's mail while its body comes in, and what becomes of it at the end.

use bytes::{Buf, BytesMut};

use super::session::{Phase, Session, Step};
use crate::accept::{Arrival, Received, Submission};
use crate::model::Envelope;
use crate::wire::data::{BodyEnd, BodyFault, DataDecoder};

/// So much of a refused body is read for the sake of a clear answer; then the session ends.
pub(super) const SWALLOW_BYTES_MAX: u64 = 64 * 1024 * 1024;
pub(super) const TOO_BIG: &str = "552 5.3.4 The message is too big";

impl Session {
    pub(super) fn read_data(&mut self, mut decoder: DataDecoder) -> Option<Step> {
        let Some(end) = decoder.decode(&mut self.input) else {
            if decoder.received() > self.rules.message_bytes_max.saturating_add(SWALLOW_BYTES_MAX) {
                self.transaction = None;
                self.cut(TOO_BIG);
                return None;
            }
            self.phase = Phase::Data(decoder);
            return Some(Step::Read);
        };
        self.turns += 1;
        self.phase = Phase::Command;
        let mail = end.split(&mut self.input);
        let transaction = self.transaction.take()?;
        self.end_of_mail(transaction.envelope, mail, end)
    }

    /// Each chunk is answered; the last one ends the mail.
    pub(super) fn read_chunk(&mut self, last: bool) -> Option<Step> {
        self.phase = Phase::Command;
        let chunks = self.transaction.as_mut().and_then(|mail| mail.chunks.as_mut())?;
        if !chunks.decode(&mut self.input) {
            self.phase = Phase::Chunk { last };
            return Some(Step::Read);
        }
        self.turns += 1;
        let (received, fault) = (chunks.received(), chunks.fault());
        if last || fault.is_some() {
            let transaction = self.transaction.take()?;
            let (mail, end) = transaction.chunks?.finish();
            return self.end_of_mail(transaction.envelope, mail, end);
        }
        self.reply(&format!("250 2.0.0 {received} octets received"));
        None
    }

    /// True once the refused chunk has gone by and its reply was given.
    pub(super) fn swallow(&mut self, left: u64, reply: &'static str) -> bool {
        let count = usize::try_from(left).map_or(self.input.len(), |n| n.min(self.input.len()));
        self.input.advance(count);
        let left = left - count as u64;
        if left > 0 {
            self.phase = Phase::Swallow { left, reply };
            return false;
        }
        self.turns += 1;
        self.phase = Phase::Command;
        self.reply(reply);
        true
    }

    /// Whatever becomes of the mail, its envelope is gone from the session (A6).
    fn end_of_mail(
        &mut self,
        mut envelope: Envelope,
        mail: BytesMut,
        end: BodyEnd,
    ) -> Option<Step> {
        self.phase = Phase::Command;
        if let Some(fault) = end.fault {
            self.reply(match fault {
                BodyFault::TooLong => TOO_BIG,
                BodyFault::Nul => "554 5.6.0 The message holds a NUL octet",
                BodyFault::BareLineEnd => {
                    "554 5.6.0 The message holds a CR or LF that stands alone"
                }
            });
            return None;
        }
        let identity = self.identity().cloned();
        if self.role.identity_required && identity.is_none() {
            self.reply("530 5.7.0 Authentication required");
            return None;
        }
        envelope.eight_bit |= end.eight_bit;
        self.mail_bytes = mail.len() as u64;
        let arrival = Arrival {
            peer: self.peer,
            ehlo: self.ehlo.clone().unwrap_or_default(),
            protocol: self.protocol(envelope.smtputf8),
            tls: self.tls.clone(),
        };
        self.phase = Phase::Asked;
        let mail = mail.freeze();
        Some(match identity {
            Some(identity) => {
                Step::Submit(Box::new(Submission { identity, envelope, mail, arrival }))
            }
            None => Step::Receive(Box::new(Received { envelope, mail, arrival })),
        })
    }

    /// RFC 3848 and RFC 6531 §4.3.
    fn protocol(&self, smtputf8: bool) -> &'static str {
        match (smtputf8, self.extended, self.tls.is_some(), self.authenticated.is_some()) {
            (true, _, true, true) => "UTF8SMTPSA",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, false, false) => "UTF8SMTP",
            (false, false, ..) => "SMTP",
            (false, true, true, true) => "ESMTPSA",
            (false, true, true, false) => "ESMTPS",
            (false, true, false, true) => "ESMTPA",
            (false, true, false, false) => "ESMTP",
        }
    }
}
