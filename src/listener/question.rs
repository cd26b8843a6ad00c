//! What a session asks the door in the midst of a mail, and what it makes of the answers.

use super::session::{Phase, Session};
use crate::accept::Refusal;
use crate::auth::Identity;
use crate::model::{Address, ReversePath};

impl Session {
    /// Who asks (nobody we know, where no identity is required), and for which sender and declared
    /// size, while the step is `CheckSender`.
    pub fn in_question(&self) -> Option<(Option<&Identity>, &ReversePath, Option<u64>)> {
        match &self.phase {
            Phase::Sender(mail) => Some((self.identity(), &mail.envelope.sender, mail.declared)),
            _ => None,
        }
    }

    /// Whom the client wants to write to, while the step is `CheckRecipient`.
    pub fn recipient_in_question(&self) -> Option<&Address> {
        match &self.phase {
            Phase::Recipient(recipient) => Some(&recipient.address),
            _ => None,
        }
    }

    pub fn recipient_checked(&mut self, answer: Result<(), Refusal>) {
        if let Phase::Recipient(recipient) = std::mem::replace(&mut self.phase, Phase::Command) {
            match (answer, self.transaction.as_mut()) {
                (Ok(()), Some(transaction)) => {
                    transaction.envelope.recipients.push(*recipient);
                    self.reply("250 2.1.5 ok");
                }
                (Ok(()), None) => self.reply("503 5.5.1 Say MAIL first"),
                (Err(refusal), _) => self.refuse(&refusal),
            }
        }
    }

    pub fn sender_checked(&mut self, answer: Result<(), Refusal>) {
        if let Phase::Sender(transaction) = std::mem::replace(&mut self.phase, Phase::Command) {
            match answer {
                Ok(()) => {
                    self.transaction = Some(transaction);
                    self.reply("250 2.1.0 ok");
                }
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    /// As `submitted`, for mail from outside.
    pub fn received(&mut self, answer: Result<(), Refusal>) {
        self.phase = Phase::Command;
        match answer {
            Ok(()) => {
                self.tally.accepted += 1;
                self.tally.accepted_bytes += self.mail_bytes;
                self.reply("250 2.0.0 taken");
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }
}
