//! Transactions over an open connection.
//!
//! Owns:       the order of commands and mail, and what a connection is good for afterwards.
//! Promises:   one outcome for each recipient, in order, whatever the host does; a transaction ends
//!             within `SEND_DEADLINE`; the next one starts from a clean state or not at all.
//! Knows not:  how the connection was made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::capabilities::Capabilities;
use super::flight::{self, Flight, Form, Plan};
use super::line::{Broken, Line, Written};
use super::outcome::{self, Heard, Reach};
use super::{Answer, Connection, ConnectionFacts, Dialogue, Shared, Transaction};
use crate::model::limits::ATTEMPT_DEADLINE;
use crate::model::*;
use crate::wire::stuffing::WireBody;

/// One transaction, all its phases together.
pub(super) const SEND_DEADLINE: Duration = Duration::from_secs(15 * 60);
const _: () = assert!(
    SEND_DEADLINE.as_secs() + super::open::OPEN_DEADLINE.as_secs() <= ATTEMPT_DEADLINE.as_secs()
);
/// How long the answer to QUIT is waited for.
const QUIT_WAIT: Duration = Duration::from_secs(2);
/// A mail that is sent with its commands, unasked, is at most this long: what a host refuses has
/// then cost little, and the system takes it in one write.
const CHUNK_BYTES_MAX: usize = 128 * 1024;

/// What the connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Ready,
    /// A transaction was begun and not ended: RSET goes first.
    Begun,
    /// The host takes no more mails over this connection; only QUIT is left.
    Full,
    /// Broken, or closed by the host: nothing more may be said.
    Spent,
}

/// One transaction with some of the recipients, as far as it has come.
struct Exchange {
    picked: Vec<usize>,
    flight: Flight,
    heard: Heard,
}

/// The outcomes so far. It outlives the exchange, so that a deadline leaves nothing unanswered.
struct Tally {
    outcomes: Vec<Option<Outcome>>,
    exchange: Option<Exchange>,
    dialogue: Dialogue,
    recorded: bool,
    untouched: bool,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        line: Line,
        capabilities: Capabilities,
        facts: ConnectionFacts,
        opening: Dialogue,
    ) -> Connection {
        Connection {
            shared,
            line,
            capabilities,
            facts,
            opening,
            standing: Standing::Ready,
            transactions: 0,
            flawless: false,
        }
    }

    pub fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    /// Another transaction may follow. Notices a host that has closed or spoken unasked while the
    /// connection was idle.
    pub fn is_usable(&self) -> bool {
        matches!(self.standing, Standing::Ready | Standing::Begun) && self.line.is_quiet()
    }

    /// Never fails as a whole: a broken connection is an outcome for each recipient.
    pub async fn send(&mut self, transaction: &Transaction, mail: &Mail) -> Answer {
        let mut tally = Tally {
            outcomes: transaction.recipients.iter().map(|_| None).collect(),
            exchange: None,
            dialogue: Dialogue::default(),
            recorded: transaction.recorded,
            untouched: false,
        };
        let sending = self.send_all(transaction, mail, &mut tally);
        if tokio::time::timeout(SEND_DEADLINE, sending).await.is_err() {
            self.standing = Standing::Spent;
            self.settle(&mut tally, Some(&Broken::OutOfTime(SEND_DEADLINE)));
        }
        let rest = || outcome::deferred(None, Blame::Host, "the connection ended before");
        Answer {
            outcomes: tally.outcomes.into_iter().map(|one| one.unwrap_or_else(rest)).collect(),
            dsn_passed_on: self.capabilities.dsn && flight::asks_for_reports(transaction),
            dialogue: tally.dialogue,
            untouched: tally.untouched,
        }
    }

    async fn send_all(&mut self, transaction: &Transaction, mail: &Mail, tally: &mut Tally) {
        if let Some(broken) = self.line.unasked() {
            self.standing = Standing::Spent;
            tally.untouched = true;
            let outcomes = tally.outcomes.iter_mut();
            outcomes.for_each(|one| *one = Some(outcome::by_break(Reach::Commands, &broken)));
            return;
        }
        let body = WireBody::new(&mail.chunks);
        self.refuse_what_cannot_go(transaction, mail, &body, tally);
        let open: Vec<usize> =
            (0..tally.outcomes.len()).filter(|at| tally.outcomes[*at].is_none()).collect();
        // RFC 9422: what is over the host's limit goes in a transaction of its own.
        let together = self.capabilities.recipients_max.unwrap_or(usize::MAX);
        for picked in open.chunks(together.clamp(1, open.len().max(1))) {
            if matches!(self.standing, Standing::Spent | Standing::Full) {
                tally.untouched |= self.transactions > 0 && picked.len() == tally.outcomes.len();
                return;
            }
            let plan = Plan {
                transaction,
                picked,
                length: body.length(),
                with_reset: self.standing == Standing::Begun,
                form: self.form_for(&body),
            };
            let exchange = tally.exchange.insert(Exchange {
                picked: picked.to_vec(),
                flight: Flight::new(&plan, &self.capabilities),
                heard: Heard::default(),
            });
            let ended = self.run(exchange, &body).await;
            self.standing = *ended.as_ref().unwrap_or(&Standing::Spent);
            self.settle(tally, ended.as_ref().err());
            self.transactions += 1;
            let full = self.capabilities.mails_max.is_some_and(|max| self.transactions >= max);
            if full && self.standing != Standing::Spent {
                self.standing = Standing::Full;
            }
        }
    }

    /// DATA by default. A chunk in the same flight as its commands saves a round trip, but it is
    /// sent before the host has taken any recipient, and when no answer comes at all, nobody knows
    /// whether it was taken. So it is used only where the connection has just proved good: the host
    /// took the last mail for all its recipients, and has not failed at BDAT before.
    fn form_for(&self, body: &WireBody) -> Form {
        let host = &self.capabilities;
        let safe = self.shared.options.chunking
            && host.chunking
            && host.pipelining
            && self.flawless
            && body.length() <= CHUNK_BYTES_MAX
            && !self.shared.without_chunking.holds(self.facts.address, &self.shared.clock);
        if safe { Form::Chunk(body.length()) } else { Form::Data }
    }

    /// Limits that the host announced are answers given beforehand.
    fn refuse_what_cannot_go(
        &self,
        transaction: &Transaction,
        mail: &Mail,
        body: &WireBody,
        tally: &mut Tally,
    ) {
        let host = &self.capabilities;
        let too_large = host.size_max.is_some_and(|max| body.length() as u64 > max);
        let unsayable = !host.smtputf8 && flight::needs_smtputf8(transaction);
        let sender = transaction.sender.0.as_ref();
        let for_all = unsayable
            && (sender.is_some_and(|address| address.needs_smtputf8())
                || (transaction.smtputf8 && has_eight_bit_header(mail)));
        for (outcome, recipient) in tally.outcomes.iter_mut().zip(&transaction.recipients) {
            if too_large {
                *outcome = Some(refused("5.3.4 the mail is larger than the host takes"));
            } else if for_all || (unsayable && recipient.address.needs_smtputf8()) {
                *outcome = Some(refused("5.6.7 the mail needs SMTPUTF8, which the host lacks"));
            }
        }
    }

    /// From the first command to the last answer.
    async fn run(&mut self, exchange: &mut Exchange, body: &WireBody) -> Result<Standing, Broken> {
        let Exchange { flight, heard, picked } = exchange;
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        if let Form::Chunk(_) = flight.form {
            let mut pieces = Vec::with_capacity(body.plain().len() + 1);
            pieces.push(Bytes::copy_from_slice(flight.octets()));
            pieces.extend_from_slice(body.plain());
            heard.reach = Reach::Some;
            self.line.say_pieces(&pieces, options.data_block_wait).await?;
            heard.reach = Reach::All;
        } else if self.capabilities.pipelining {
            self.line.say(flight.octets(), options.command_wait).await?;
        }
        self.hear_commands(flight, heard, picked.len()).await?;
        let lock_step = !self.capabilities.pipelining;
        if lock_step && !heard.accepts_some() {
            let begun = heard.mail.as_ref().is_some_and(Reply::is_positive);
            return Ok(if begun { Standing::Begun } else { Standing::Ready });
        }
        match flight.form {
            Form::Chunk(_) => self.hear_chunk(heard).await,
            Form::Data => self.send_data(flight, heard, body).await,
        }
    }

    /// The answers to RSET, MAIL and each RCPT.
    async fn hear_commands(
        &mut self,
        flight: &Flight,
        heard: &mut Heard,
        recipients: usize,
    ) -> Result<(), Broken> {
        let wait = self.shared.options.command_wait;
        if flight.with_reset {
            let reply = self.ask(flight, 0, wait).await?;
            let lawful = reply.is_positive();
            heard.reset = Some(reply.clone());
            if !lawful {
                return Err(Broken::OutOfPlace(Box::new(reply)));
            }
        }
        let mail = heard.mail.insert(self.ask(flight, flight.mail_at(), wait).await?);
        if !mail.is_positive() && !self.capabilities.pipelining {
            return Ok(());
        }
        heard.recipients.reserve(recipients);
        for number in 0..recipients {
            let at = flight.mail_at() + 1 + number;
            heard.recipients.push(self.ask(flight, at, wait).await?);
        }
        Ok(())
    }

    /// In lock step the command is said first; in a flight it has been.
    async fn ask(
        &mut self,
        flight: &Flight,
        number: usize,
        wait: Duration,
    ) -> Result<Reply, Broken> {
        if !self.capabilities.pipelining {
            self.line.say(flight.command(number), wait).await?;
        }
        self.line.reply(wait).await
    }

    async fn hear_chunk(&mut self, heard: &mut Heard) -> Result<Standing, Broken> {
        let taken = heard.accepts_some();
        let reply = self.line.reply(self.shared.options.data_end_wait).await?;
        if taken && matches!(reply.code, 500 | 502 | 503 | 504) {
            self.shared.without_chunking.add(self.facts.address, &self.shared.clock);
        }
        // RFC 3030 §2: after a refused chunk only RSET leads on.
        let standing = if reply.is_positive() { Standing::Ready } else { Standing::Begun };
        if taken {
            heard.end = Some(reply);
        }
        Ok(standing)
    }

    async fn send_data(
        &mut self,
        flight: &Flight,
        heard: &mut Heard,
        body: &WireBody,
    ) -> Result<Standing, Broken> {
        let shared = Arc::clone(&self.shared);
        let options = &shared.options;
        let data = self.ask(flight, flight.last_at(), options.data_start_wait).await?;
        let code = data.code;
        heard.data = Some(data);
        match code {
            354 if heard.accepts_some() => {}
            354 => {
                // RFC 2920 §3.1: the host waits for a mail nobody gets; it is given an empty one.
                self.line.say(b".\r\n", options.command_wait).await?;
                let ended = self.line.reply(options.data_end_wait).await?;
                tracing::debug!(host = %self.facts.host, reason = %ended, "an empty mail ended");
                return Ok(Standing::Ready);
            }
            400..=599 => {
                let begun = heard.mail.as_ref().is_some_and(Reply::is_positive);
                return Ok(if begun { Standing::Begun } else { Standing::Ready });
            }
            _ => {
                let reply = heard.data.clone().unwrap_or_else(|| Reply::new(code, ""));
                return Err(Broken::OutOfPlace(Box::new(reply)));
            }
        }
        heard.reach = Reach::Some;
        match self.line.send_mail(&body.stuffed(), options.data_block_wait).await? {
            Written::All => heard.reach = Reach::All,
            // Nobody can take a mail whose end was not sent.
            Written::Early(reply) if reply.is_positive() => {
                return Err(Broken::OutOfPlace(Box::new(reply)));
            }
            Written::Early(reply) => {
                heard.end = Some(reply);
                return Ok(Standing::Spent);
            }
        }
        heard.end = Some(self.line.reply(options.data_end_wait).await?);
        Ok(Standing::Ready)
    }

    /// Writes down the outcomes of the exchange that has just ended.
    fn settle(&mut self, tally: &mut Tally, broken: Option<&Broken>) {
        let Some(exchange) = tally.exchange.take() else { return };
        let heard = &exchange.heard;
        for (number, at) in exchange.picked.iter().enumerate() {
            tally.outcomes[*at] = Some(outcome::judge(heard, number, broken));
        }
        self.flawless = heard.is_flawless();
        if self.flawless && broken.is_none() && !tally.recorded {
            return;
        }
        let lost_early =
            matches!(broken, Some(Broken::Closed | Broken::Goodbye(_) | Broken::Io(_)));
        tally.untouched |= lost_early
            && self.transactions > 0
            && heard.mail.is_none()
            && exchange.picked.len() == tally.outcomes.len()
            && heard.reach != Reach::All;
        self.record(&exchange, broken, &mut tally.dialogue);
    }

    /// Rebuilt from flight and replies, when something was not as it should be or it is wanted.
    fn record(&self, exchange: &Exchange, broken: Option<&Broken>, dialogue: &mut Dialogue) {
        if dialogue.lines.is_empty() {
            dialogue.lines.clone_from(&self.opening.lines);
        }
        let Exchange { flight, heard, .. } = exchange;
        let answers = heard.reset.iter().chain(&heard.mail).chain(&heard.recipients).map(Some);
        let missing = std::iter::repeat_n(None, flight.last_at());
        let last = match flight.form {
            Form::Data => heard.data.as_ref(),
            Form::Chunk(_) => heard.end.as_ref(),
        };
        let answers = answers.chain(missing).take(flight.last_at()).chain([last]);
        for (number, reply) in answers.enumerate() {
            if reply.is_some() || self.capabilities.pipelining {
                dialogue.ours(&String::from_utf8_lossy(flight.command(number)));
            }
            if let Some(reply) = reply {
                dialogue.theirs(reply);
            }
        }
        if let (Form::Data, Some(end)) = (flight.form, &heard.end) {
            dialogue.note("the mail");
            dialogue.theirs(end);
        }
        match broken {
            Some(Broken::Goodbye(reply)) => dialogue.theirs(reply),
            Some(broken) => dialogue.note(&broken.to_string()),
            None => {}
        }
    }

    /// QUIT, not waiting long for the answer.
    pub async fn quit(mut self) {
        if self.standing == Standing::Spent {
            return;
        }
        let ended = match self.line.say(b"QUIT\r\n", QUIT_WAIT).await {
            Ok(()) => self.line.reply(QUIT_WAIT).await.map(|_| ()),
            Err(broken) => Err(broken),
        };
        if let Err(broken) = ended {
            tracing::debug!(host = %self.facts.host, reason = %broken, "QUIT was not answered");
        }
    }
}

fn refused(reason: &str) -> Outcome {
    Outcome::Failed { reply: None, blame: Blame::Message, reason: reason.to_owned() }
}

/// Octets above 127 before the empty line: header fields that only SMTPUTF8 allows (RFC 6532).
fn has_eight_bit_header(mail: &Mail) -> bool {
    let mut seen = 0u32;
    for octet in mail.chunks.iter().flat_map(|chunk| chunk.iter().copied()) {
        seen = seen << 8 | u32::from(octet);
        if !octet.is_ascii() {
            return true;
        }
        if seen == u32::from_be_bytes(*b"\r\n\r\n") {
            return false;
        }
    }
    false
}
