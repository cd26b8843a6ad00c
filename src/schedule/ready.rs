//! The mail of one site that is in memory and next in turn: fair between flows.
//!
//! Owns:       the order in which a site's claimed deliveries leave.
//! Promises:   each flow (organization, stream) gets its turn; transactional mail goes first but
//!             for one turn in eight; one transaction holds one message and one recipient domain.
//! Knows not:  connections, time, rows.

use std::collections::VecDeque;

use crate::model::{OrganizationId, StreamId};
use crate::queue::Claimed;

/// One turn in so many goes to marketing while transactional mail waits too.
const MARKETING_TURN: u32 = 8;

#[derive(Default)]
pub struct Ready {
    /// By rank: transactional, marketing.
    ranks: [Rank; 2],
    count: usize,
    turns: u32,
}

/// Flows in the order of their turns.
#[derive(Default)]
struct Rank {
    flows: VecDeque<Flow>,
}

struct Flow {
    key: (OrganizationId, StreamId),
    waiting: VecDeque<Claimed>,
}

impl Ready {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn push(&mut self, claimed: Claimed) {
        self.rank(&claimed).flow(&claimed).waiting.push_back(claimed);
        self.count += 1;
    }

    /// Gives back what was taken and not tried: it goes first again.
    pub fn push_front(&mut self, transaction: Vec<Claimed>) {
        self.count += transaction.len();
        for claimed in transaction.into_iter().rev() {
            self.rank(&claimed).flow(&claimed).waiting.push_front(claimed);
        }
    }

    fn rank(&mut self, claimed: &Claimed) -> &mut Rank {
        let rank = usize::try_from(claimed.delivery.message.rank).unwrap_or(0);
        &mut self.ranks[rank.min(1)]
    }

    /// The deliveries of the next transaction: they share a message and a recipient domain.
    pub fn next(&mut self, recipients_max: usize) -> Vec<Claimed> {
        let [transactional, marketing] = &mut self.ranks;
        let both = !transactional.flows.is_empty() && !marketing.flows.is_empty();
        self.turns = self.turns.wrapping_add(1);
        let marketing_turn = both && self.turns.is_multiple_of(MARKETING_TURN);
        let rank = if transactional.flows.is_empty() || marketing_turn {
            marketing
        } else {
            transactional
        };
        let transaction = rank.next(recipients_max);
        self.count -= transaction.len();
        transaction
    }

    /// All of it, in no order that matters.
    pub fn drain(&mut self) -> Vec<Claimed> {
        self.count = 0;
        let flows = self.ranks.iter_mut().flat_map(|rank| rank.flows.drain(..));
        flows.flat_map(|flow| flow.waiting).collect()
    }
}

impl Rank {
    fn flow(&mut self, claimed: &Claimed) -> &mut Flow {
        let message = &claimed.delivery.message;
        let key = (message.organization, message.stream);
        let at = match self.flows.iter().position(|flow| flow.key == key) {
            Some(at) => at,
            None => {
                self.flows.push_back(Flow { key, waiting: VecDeque::new() });
                self.flows.len() - 1
            }
        };
        &mut self.flows[at]
    }

    fn next(&mut self, recipients_max: usize) -> Vec<Claimed> {
        let Some(mut flow) = self.flows.pop_front() else { return Vec::new() };
        let transaction = flow.next(recipients_max);
        if !flow.waiting.is_empty() {
            self.flows.push_back(flow);
        }
        transaction
    }
}

impl Flow {
    fn next(&mut self, recipients_max: usize) -> Vec<Claimed> {
        let Some(first) = self.waiting.pop_front() else { return Vec::new() };
        let (message, tries) = (first.delivery.message.id, first.delivery.tries);
        let domain = first.delivery.recipient.address.domain().clone();
        let mut transaction = vec![first];
        let mut at = 0;
        // A message's deliveries lie side by side; those to other domains are stepped over.
        while transaction.len() < recipients_max {
            let Some(next) = self.waiting.get(at) else { break };
            if next.delivery.message.id != message {
                break;
            }
            let same =
                *next.delivery.recipient.address.domain() == domain && next.delivery.tries == tries;
            if same {
                transaction.extend(self.waiting.remove(at));
            } else {
                at += 1;
            }
        }
        transaction
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::*;
    use crate::store::{ClaimedDelivery, MessageRow};
    use std::sync::Arc;

    pub fn message(id: i64, organization: i64, rank: i64) -> Arc<MessageRow> {
        Arc::new(MessageRow {
            id: MessageId(id),
            organization: OrganizationId(organization),
            stream: StreamId(rank + 1),
            credential: None,
            domain: None,
            sender: ReversePath::NULL,
            eight_bit: false,
            smtputf8: false,
            dsn_return: None,
            dsn_envelope_id: None,
            message_id_header: String::new(),
            subject: String::new(),
            tag: None,
            metadata: None,
            idempotency_key: None,
            body: BodyRef { segment: SegmentId(1), offset: 0, length: 0 },
            body_node: 1,
            accepted_at: Timestamp(0),
            due_at: Timestamp(0),
            expires_at: Timestamp(0),
            rank,
        })
    }

    pub fn claimed(message: &Arc<MessageRow>, recipient: &str) -> Claimed {
        let delivery = ClaimedDelivery {
            id: DeliveryId(0),
            recipient: Recipient::new(Address::parse(recipient).expect("lawful")),
            site: SiteId(1),
            tries: 0,
            due_at: Timestamp(0),
            delay_reported: false,
            last_text: String::new(),
            message: message.clone(),
        };
        Claimed { delivery, body: None }
    }

    fn recipients(transaction: &[Claimed]) -> Vec<String> {
        transaction.iter().map(|one| one.delivery.recipient.address.to_string()).collect()
    }

    #[test]
    fn a_transaction_holds_one_message_and_one_recipient_domain() {
        let (one, two) = (message(1, 1, 0), message(2, 1, 0));
        let mut ready = Ready::default();
        for recipient in ["a@x.example", "b@y.example", "c@x.example"] {
            ready.push(claimed(&one, recipient));
        }
        ready.push(claimed(&two, "d@x.example"));
        assert_eq!(recipients(&ready.next(10)), ["a@x.example", "c@x.example"]);
        assert_eq!(recipients(&ready.next(10)), ["b@y.example"]);
        assert_eq!(recipients(&ready.next(10)), ["d@x.example"]);
        assert!(ready.len() == 0 && ready.next(10).is_empty());
    }

    #[test]
    fn a_small_sender_is_not_behind_a_large_one() {
        let (large, small) = (message(1, 1, 0), message(2, 2, 0));
        let mut ready = Ready::default();
        for number in 0..50 {
            ready.push(claimed(&large, &format!("{number}@x.example")));
        }
        ready.push(claimed(&small, "small@x.example"));
        ready.next(1);
        assert_eq!(recipients(&ready.next(1)), ["small@x.example"]);
    }

    #[test]
    fn transactional_mail_passes_marketing_and_marketing_is_not_starved() {
        let (fast, bulk) = (message(1, 1, 0), message(2, 1, 1));
        let mut ready = Ready::default();
        for number in 0..40 {
            ready.push(claimed(&bulk, &format!("bulk{number}@x.example")));
            ready.push(claimed(&fast, &format!("fast{number}@x.example")));
        }
        let first: Vec<String> = (0..16).flat_map(|_| recipients(&ready.next(1))).collect();
        let bulk = first.iter().filter(|one| one.starts_with("bulk")).count();
        assert_eq!((bulk, first.len()), (2, 16));
    }

    #[test]
    fn what_was_not_tried_goes_first_again() {
        let one = message(1, 1, 0);
        let mut ready = Ready::default();
        for recipient in ["a@x.example", "b@x.example", "c@y.example"] {
            ready.push(claimed(&one, recipient));
        }
        let transaction = ready.next(10);
        ready.push_front(transaction);
        assert_eq!(ready.len(), 3);
        assert_eq!(recipients(&ready.next(10)), ["a@x.example", "b@x.example"]);
        assert_eq!(ready.drain().len(), 1);
    }
}
