//! How a receiving host behaves: what it announces, whom it refuses, when it wants to wait.
//!
//! Owns:       the words of a host's manners, as data, and which of them answers a command.
//! Promises:   plain values; the same manners and the same history give the same answer.
//! Knows not:  sockets.

use std::time::Duration;

/// A moment of the dialogue at which a host may do something of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Connect,
    Ehlo,
    StartTls,
    Mail,
    Rcpt,
    Data,
    /// While the mail comes in, once its first octets are there.
    Body,
    /// After the final dot or the last chunk.
    DataEnd,
    Reset,
    Quit,
}

/// What the host does instead of the usual answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `550 5.1.1 no such user`; several lines separated by `\n`, each with its code. A `421`
    /// closes the connection, as RFC 5321 §3.8 says. A positive answer changes nothing but the
    /// words that are said.
    Reply(String),
    ReplyThenClose(String),
    /// Octets as they are, lawful or not, and no other answer.
    Raw(Vec<u8>),
    Close,
    /// RST instead of FIN.
    Reset,
    /// Waits, then goes on as usual.
    Pause(Duration),
    /// Answers nothing until the client goes away.
    Silence,
    /// At `DataEnd`: keeps the mail and closes without an answer.
    KeepThenClose,
    /// At `DataEnd`: keeps the mail and resets without an answer.
    KeepThenReset,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Anybody,
    /// This address, in any case.
    Address(String),
    /// Every address whose local part starts so: `gone` is `gone@`, `gone.away@`, `gone-7@` …
    LocalStart(String),
}

impl Whom {
    pub fn covers(&self, address: &str) -> bool {
        match self {
            Whom::Anybody => true,
            Whom::Address(own) => own.eq_ignore_ascii_case(address),
            Whom::LocalStart(start) => address
                .get(..start.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(start.as_str())),
        }
    }
}

/// One thing a host does of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub phase: Phase,
    /// The recipient at `Rcpt`; the sender at `Mail`; at `Data`, `Body` and `DataEnd` any of the
    /// recipients that were taken; elsewhere only `Anybody` is covered.
    pub whom: Whom,
    /// None: always. Otherwise the rule is gone after so many uses.
    pub times: Option<u32>,
    pub deed: Deed,
}

impl Rule {
    pub fn always(phase: Phase, deed: Deed) -> Rule {
        Rule { phase, whom: Whom::Anybody, times: None, deed }
    }

    pub fn once(phase: Phase, deed: Deed) -> Rule {
        Rule { phase, whom: Whom::Anybody, times: Some(1), deed }
    }

    pub fn times(mut self, times: u32) -> Rule {
        self.times = Some(times);
        self
    }

    pub fn at(mut self, whom: Whom) -> Rule {
        self.whom = whom;
        self
    }

    /// A mailbox that is answered at RCPT with this reply.
    pub fn mailbox(whom: Whom, reply: &str) -> Rule {
        Rule::always(Phase::Rcpt, Deed::Reply(reply.to_owned())).at(whom)
    }

    pub(super) fn covers(&self, phase: Phase, addresses: &[&str]) -> bool {
        self.phase == phase
            && (self.whom == Whom::Anybody
                || addresses.iter().any(|address| self.whom.covers(address)))
    }
}

/// Takes the deeds for this moment out of `rules`, up to the first that ends it; pauses before it
/// come along. Used-up rules are removed.
pub(super) fn take(rules: &mut Vec<Rule>, phase: Phase, addresses: &[&str]) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for rule in rules.iter_mut() {
        if !rule.covers(phase, addresses) {
            continue;
        }
        if let Some(times) = &mut rule.times {
            *times = times.saturating_sub(1);
        }
        deeds.push(rule.deed.clone());
        if !matches!(rule.deed, Deed::Pause(_)) {
            break;
        }
    }
    rules.retain(|rule| rule.times != Some(0));
    deeds
}

/// What EHLO announces; what is not announced is refused when it is used nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions {
    pub pipelining: bool,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub chunking: bool,
    pub dsn: bool,
    pub enhanced: bool,
    /// None: SIZE is not announced.
    pub size_max: Option<u64>,
    /// LIMITS RCPTMAX (RFC 9422), and 452 4.5.3 beyond it.
    pub recipients_max: Option<usize>,
}

impl Default for Extensions {
    fn default() -> Extensions {
        Extensions {
            pipelining: true,
            eight_bit: true,
            smtputf8: true,
            chunking: true,
            dsn: true,
            enhanced: true,
            size_max: Some(52_428_800),
            recipients_max: None,
        }
    }
}

impl Extensions {
    /// A host of RFC 821.
    pub fn none() -> Extensions {
        Extensions {
            pipelining: false,
            eight_bit: false,
            smtputf8: false,
            chunking: false,
            dsn: false,
            enhanced: false,
            size_max: None,
            recipients_max: None,
        }
    }
}

/// What STARTTLS leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsManner {
    /// STARTTLS is not announced.
    Absent,
    /// A certificate of the simulated internet's CA that names the host.
    #[default]
    Good,
    Expired,
    /// It names another host.
    WrongName,
    /// Signed by nobody but itself.
    SelfSigned,
    /// An RSA key of 1024 bits, which no verifier of today takes.
    Weak,
    /// `220`, then rubbish instead of a handshake.
    Broken,
    /// `220`, then nothing.
    Mute,
}

/// RFC 6647: the first try of (source address, sender, recipient) waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greylist {
    /// On the product's clock.
    pub wait: Duration,
    pub reply: String,
}

/// What one source address may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// At once; the greeting of one more is `connections_reply`.
    pub connections_max: usize,
    pub connections_reply: String,
    /// Mails in each `window` of the product's clock; MAIL of one more is `messages_reply`.
    pub messages_max: u32,
    pub window: Duration,
    pub messages_reply: String,
}

/// How long the host thinks, in wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    pub greeting: Duration,
    pub command: Duration,
    pub data_end: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    pub extensions: Extensions,
    pub tls: TlsManner,
    pub greylist: Option<Greylist>,
    pub throttle: Option<Throttle>,
    pub pace: Pace,
    pub rules: Vec<Rule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_two_times_is_gone_after_the_second() {
        let deed = Deed::Reply("451 4.7.1 later".into());
        let mut rules = vec![Rule::always(Phase::Rcpt, deed.clone()).times(2)];
        assert_eq!(take(&mut rules, Phase::Mail, &["a@b.test"]), []);
        for _ in 0..2 {
            let deeds = take(&mut rules, Phase::Rcpt, &["a@b.test"]);
            assert_eq!(deeds, std::slice::from_ref(&deed));
        }
        assert!(rules.is_empty());
    }

    #[test]
    fn a_pause_comes_along_with_the_deed_after_it() {
        let pause = Deed::Pause(Duration::from_secs(1));
        let mut rules = vec![
            Rule::always(Phase::Data, pause.clone()),
            Rule::always(Phase::Data, Deed::Close),
            Rule::always(Phase::Data, Deed::Silence),
        ];
        assert_eq!(take(&mut rules, Phase::Data, &[]), [pause, Deed::Close]);
    }

    #[test]
    fn a_local_start_covers_addresses_and_not_their_domains() {
        let gone = Whom::LocalStart("gone".into());
        assert!(gone.covers("Gone-7@b.test") && !gone.covers("bob@gone.test"));
        assert!(!gone.covers("go") && !gone.covers("güne@b.test"));
    }
}
