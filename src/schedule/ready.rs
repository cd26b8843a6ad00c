//! The mail of one site that is in memory and next in turn: fair between flows.
//!
//! Owns:       the order in which a site's claimed deliveries leave.
//! Promises:   deficit round robin: each flow (organization, stream) gets as many recipients as
//!             another, and in it each campaign; transactional mail goes first but for one turn in
//!             eight; one transaction holds one message and one recipient domain; what is parked is
//!             passed over.
//! Knows not:  connections, time, rows.

use std::collections::VecDeque;

use super::park::{Line, Parks};
use crate::model::{DeliveryId, Flow, TakeOrder};
use crate::queue::Claimed;

/// One turn in so many goes to marketing while transactional mail waits too.
const MARKETING_TURN: u32 = 8;

#[derive(Default)]
pub struct Ready {
    /// By rank: transactional, marketing.
    ranks: [Rank; 2],
    turns: u32,
}

/// Queues in the order of their turns.
#[derive(Default)]
struct Rank {
    queues: VecDeque<Queued>,
    count: usize,
}

/// A flow.
struct Queued {
    flow: Flow,
    /// In the order of their turns within those of the flow.
    parts: VecDeque<Part>,
    /// Recipients that it had beyond its turns; it is passed over as often.
    debt: usize,
}

/// What a flow has of one campaign, or of none.
struct Part {
    line: Line,
    waiting: VecDeque<Claimed>,
}

pub fn line_of(claimed: &Claimed) -> Line {
    Line { flow: claimed.delivery.message.flow(), campaign: claimed.delivery.campaign }
}

impl Ready {
    pub fn len(&self) -> usize {
        self.ranks.iter().map(|rank| rank.count).sum()
    }

    pub fn len_of_rank(&self, rank: i64) -> usize {
        self.ranks[rank_index(rank)].count
    }

    /// How many are not parked.
    pub fn free(&self, parks: &Parks) -> usize {
        if parks.is_empty() {
            return self.len();
        }
        let free = self.parts().filter(|one| !parks.cover(&one.line));
        free.map(|one| one.waiting.len()).sum()
    }

    /// Whether transactional mail is among it that is not parked.
    pub fn has_urgent(&self, parks: &Parks) -> bool {
        let parts = self.ranks[0].queues.iter().flat_map(|queue| &queue.parts);
        parts.into_iter().any(|one| !parks.cover(&one.line))
    }

    pub fn holds(&self, delivery: DeliveryId) -> bool {
        self.parts().flat_map(|part| &part.waiting).any(|one| one.delivery.id == delivery)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let queues = self.ranks.iter().flat_map(|rank| &rank.queues);
        queues.flat_map(|queue| &queue.parts)
    }

    pub fn push(&mut self, claimed: Claimed) {
        let rank = self.rank(&claimed);
        rank.count += 1;
        rank.queue(&claimed).part(&claimed).waiting.push_back(claimed);
    }

    /// Gives back what was taken and not tried: it goes first again.
    pub fn push_front(&mut self, transaction: Vec<Claimed>) {
        for claimed in transaction.into_iter().rev() {
            let rank = self.rank(&claimed);
            rank.count += 1;
            let queue = rank.queue(&claimed);
            queue.debt = queue.debt.saturating_sub(1);
            queue.part(&claimed).waiting.push_front(claimed);
        }
    }

    fn rank(&mut self, claimed: &Claimed) -> &mut Rank {
        &mut self.ranks[rank_index(claimed.delivery.message.rank)]
    }

    /// The deliveries of the next transaction: they share a message and a recipient domain.
    /// Neither `site` nor `lane` has parked them.
    pub fn next(
        &mut self,
        order: TakeOrder,
        recipients_max: usize,
        site: &Parks,
        lane: &Parks,
    ) -> Vec<Claimed> {
        let is_free = |line: &Line| !site.cover(line) && !lane.cover(line);
        let [transactional, marketing] = &mut self.ranks;
        self.turns = self.turns.wrapping_add(1);
        let ranks = if self.turns.is_multiple_of(MARKETING_TURN) {
            [marketing, transactional]
        } else {
            [transactional, marketing]
        };
        for rank in ranks {
            let transaction = rank.next(order, recipients_max, is_free);
            if !transaction.is_empty() {
                return transaction;
            }
        }
        Vec::new()
    }

    /// All of the lines that match, in no order that matters.
    pub fn drain(&mut self, matches: impl Fn(&Line) -> bool) -> Vec<Claimed> {
        let mut drained = Vec::new();
        for queue in self.ranks.iter_mut().flat_map(|rank| &mut rank.queues) {
            let (gone, kept): (VecDeque<Part>, VecDeque<Part>) =
                std::mem::take(&mut queue.parts).into_iter().partition(|one| matches(&one.line));
            queue.parts = kept;
            drained.extend(gone.into_iter().flat_map(|one| one.waiting));
        }
        self.without_the_empty();
        drained
    }

    /// Those that match, in no order that matters.
    pub fn drain_each(&mut self, matches: impl Fn(&Claimed) -> bool) -> Vec<Claimed> {
        let mut drained = Vec::new();
        let queues = self.ranks.iter_mut().flat_map(|rank| &mut rank.queues);
        for part in queues.flat_map(|queue| &mut queue.parts) {
            let (gone, kept): (VecDeque<Claimed>, VecDeque<Claimed>) =
                std::mem::take(&mut part.waiting).into_iter().partition(&matches);
            part.waiting = kept;
            drained.extend(gone);
        }
        self.without_the_empty();
        drained
    }

    fn without_the_empty(&mut self) {
        for rank in &mut self.ranks {
            for queue in &mut rank.queues {
                queue.parts.retain(|part| !part.waiting.is_empty());
            }
            rank.queues.retain(|queue| !queue.parts.is_empty());
            let parts = rank.queues.iter().flat_map(|queue| &queue.parts);
            rank.count = parts.map(|part| part.waiting.len()).sum();
        }
    }
}

fn rank_index(rank: i64) -> usize {
    usize::try_from(rank).unwrap_or(0).min(1)
}

impl Rank {
    fn queue(&mut self, claimed: &Claimed) -> &mut Queued {
        let flow = claimed.delivery.message.flow();
        let at = self.queues.iter().position(|queue| queue.flow == flow).unwrap_or_else(|| {
            self.queues.push_back(Queued { flow, parts: VecDeque::new(), debt: 0 });
            self.queues.len() - 1
        });
        &mut self.queues[at]
    }

    /// The first in turn that is free and owes nothing. A turn that is passed over pays for one
    /// recipient; when all owe, all are let off what the least of them owes.
    fn next(
        &mut self,
        order: TakeOrder,
        recipients_max: usize,
        is_free: impl Fn(&Line) -> bool,
    ) -> Vec<Claimed> {
        let free: Vec<usize> =
            (0..self.queues.len()).filter(|at| self.queues[*at].has_free(&is_free)).collect();
        let Some(least) = free.iter().map(|at| self.queues[*at].debt).min() else {
            return Vec::new();
        };
        let mut chosen = None;
        for at in free {
            let queue = &mut self.queues[at];
            queue.debt -= least;
            if queue.debt == 0 && chosen.is_none() {
                chosen = Some(at);
            } else if chosen.is_none() {
                queue.debt -= 1;
            }
        }
        let Some(mut queue) = chosen.and_then(|at| self.queues.remove(at)) else {
            return Vec::new();
        };
        let transaction = queue.next(order, recipients_max, &is_free);
        queue.debt += transaction.len().saturating_sub(1);
        self.count -= transaction.len();
        if !queue.parts.is_empty() {
            self.queues.push_back(queue);
        }
        transaction
    }
}

impl Queued {
    fn part(&mut self, claimed: &Claimed) -> &mut Part {
        let line = line_of(claimed);
        let at = self.parts.iter().position(|part| part.line == line).unwrap_or_else(|| {
            self.parts.push_back(Part { line, waiting: VecDeque::new() });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    fn has_free(&self, is_free: &impl Fn(&Line) -> bool) -> bool {
        self.parts.iter().any(|part| is_free(&part.line))
    }

    /// Of the first campaign in turn that is free.
    fn next(
        &mut self,
        order: TakeOrder,
        recipients_max: usize,
        is_free: &impl Fn(&Line) -> bool,
    ) -> Vec<Claimed> {
        let at = self.parts.iter().position(|part| is_free(&part.line));
        let Some(mut part) = at.and_then(|at| self.parts.remove(at)) else { return Vec::new() };
        let transaction = part.next(order, recipients_max);
        if !part.waiting.is_empty() {
            self.parts.push_back(part);
        }
        transaction
    }
}

impl Part {
    fn next(&mut self, order: TakeOrder, recipients_max: usize) -> Vec<Claimed> {
        let place = match order {
            TakeOrder::Due => 0,
            TakeOrder::Engaged => self.most_engaged(),
        };
        let Some(first) = self.waiting.remove(place) else { return Vec::new() };
        let (message, tries) = (first.delivery.message.id, first.delivery.tries);
        let domain = first.delivery.recipient.address.domain().clone();
        // Made for one person alone.
        let recipients_max =
            if first.delivery.message.body.is_recipe() { 1 } else { recipients_max };
        let mut transaction = vec![first];
        let mut at = place;
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

    /// The first of those with the highest score.
    fn most_engaged(&self) -> usize {
        let score = |(at, one): &(usize, &Claimed)| (one.delivery.score, std::cmp::Reverse(*at));
        self.waiting.iter().enumerate().max_by_key(score).map_or(0, |(at, _)| at)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::park::Park;
    use super::*;
    use crate::model::*;
    use crate::store::{ClaimedDelivery, MessageRow, samples};
    use std::sync::Arc;

    pub fn message(id: i64, organization: i64, rank: i64) -> Arc<MessageRow> {
        Arc::new(MessageRow {
            id: MessageId(id),
            organization: OrganizationId(organization),
            stream: StreamId(rank + 1),
            rank,
            ..samples::message("")
        })
    }

    pub fn claimed(message: &Arc<MessageRow>, recipient: &str) -> Claimed {
        let delivery = ClaimedDelivery {
            id: DeliveryId(0),
            recipient: Recipient::new(Address::parse(recipient).expect("lawful")),
            campaign: None,
            pool: None,
            site: SiteId(1),
            tries: 0,
            due_at: Timestamp(0),
            score: 0,
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
        assert_eq!(
            recipients(&ready.next(TakeOrder::Due, 10, &Parks::default(), &Parks::default())),
            ["a@x.example", "c@x.example"]
        );
        assert_eq!(
            recipients(&ready.next(TakeOrder::Due, 10, &Parks::default(), &Parks::default())),
            ["b@y.example"]
        );
        assert_eq!(
            recipients(&ready.next(TakeOrder::Due, 10, &Parks::default(), &Parks::default())),
            ["d@x.example"]
        );
        assert!(
            ready.len() == 0
                && ready.next(TakeOrder::Due, 10, &Parks::default(), &Parks::default()).is_empty()
        );
    }

    #[test]
    fn a_small_sender_is_not_behind_a_large_one() {
        let (large, small) = (message(1, 1, 0), message(2, 2, 0));
        let mut ready = Ready::default();
        for number in 0..50 {
            ready.push(claimed(&large, &format!("{number}@x.example")));
        }
        ready.push(claimed(&small, "small@x.example"));
        ready.next(TakeOrder::Due, 1, &Parks::default(), &Parks::default());
        assert_eq!(
            recipients(&ready.next(TakeOrder::Due, 1, &Parks::default(), &Parks::default())),
            ["small@x.example"]
        );
    }

    #[test]
    fn transactional_mail_passes_marketing_and_marketing_is_not_starved() {
        let (fast, bulk) = (message(1, 1, 0), message(2, 1, 1));
        let mut ready = Ready::default();
        for number in 0..40 {
            ready.push(claimed(&bulk, &format!("bulk{number}@x.example")));
            ready.push(claimed(&fast, &format!("fast{number}@x.example")));
        }
        let first: Vec<String> = (0..16)
            .flat_map(|_| {
                recipients(&ready.next(TakeOrder::Due, 1, &Parks::default(), &Parks::default()))
            })
            .collect();
        let bulk = first.iter().filter(|one| one.starts_with("bulk")).count();
        assert_eq!((bulk, first.len()), (2, 16));
    }

    #[test]
    fn the_engaged_go_first_where_a_source_is_new_and_else_who_waits_longest() {
        let (one, none) = (message(1, 1, 1), Parks::default());
        let filled = || {
            let mut ready = Ready::default();
            for (at, score) in [0, 40, 7, 40].into_iter().enumerate() {
                let mut mail = claimed(&one, &format!("r{at}@x{at}.example"));
                mail.delivery.score = score;
                ready.push(mail);
            }
            ready
        };
        let left = |order| -> Vec<String> {
            let mut ready = filled();
            (0..4).flat_map(|_| recipients(&ready.next(order, 1, &none, &none))).collect()
        };
        let names = |ids: [u8; 4]| ids.map(|id| format!("r{id}@x{id}.example")).to_vec();
        assert_eq!(left(TakeOrder::Engaged), names([1, 3, 2, 0]));
        assert_eq!(left(TakeOrder::Due), names([0, 1, 2, 3]));
    }

    #[test]
    fn what_was_not_tried_goes_first_again() {
        let one = message(1, 1, 0);
        let mut ready = Ready::default();
        for recipient in ["a@x.example", "b@x.example", "c@y.example"] {
            ready.push(claimed(&one, recipient));
        }
        let transaction = ready.next(TakeOrder::Due, 10, &Parks::default(), &Parks::default());
        ready.push_front(transaction);
        assert_eq!(ready.len(), 3);
        assert_eq!(
            recipients(&ready.next(TakeOrder::Due, 10, &Parks::default(), &Parks::default())),
            ["a@x.example", "b@x.example"]
        );
        assert_eq!(ready.drain(|_| true).len(), 1);
    }

    #[test]
    fn large_transactions_do_not_get_more_than_small_ones() {
        let (wide, narrow) = (message(1, 1, 0), message(2, 2, 0));
        let mut ready = Ready::default();
        for number in 0..60 {
            ready.push(claimed(&wide, &format!("{number}@x.example")));
            ready.push(claimed(&narrow, &format!("{number}@y{number}.example")));
        }
        let none = Parks::default();
        let mut sent = [0, 0];
        for _ in 0..24 {
            for one in ready.next(TakeOrder::Due, 10, &none, &none) {
                sent[usize::from(one.delivery.message.id == MessageId(2))] += 1;
            }
        }
        assert!(sent[0] <= sent[1] + 10 && sent[1] <= sent[0] + 10, "{sent:?}");
    }

    #[test]
    fn who_has_many_campaigns_gets_no_more_turns_than_who_has_one() {
        let (many, one) = (message(1, 1, 1), message(2, 2, 1));
        let mut ready = Ready::default();
        for number in 0..200 {
            let campaign = Some(CampaignId(1 + number % 10));
            let mut own = claimed(&many, &format!("{number}@x.example"));
            own.delivery.campaign = campaign;
            ready.push(own);
            ready.push(claimed(&one, &format!("{number}@y.example")));
        }
        let none = Parks::default();
        let (mut of_campaigns, mut of_one) = ([0; 10], 0);
        for _ in 0..100 {
            for one in ready.next(TakeOrder::Due, 1, &none, &none) {
                match one.delivery.campaign {
                    Some(campaign) => of_campaigns[campaign.0 as usize - 1] += 1,
                    None => of_one += 1,
                }
            }
        }
        assert!((45..=55).contains(&of_one), "{of_one} and {of_campaigns:?}");
        assert!(of_campaigns.iter().all(|count| (4..=6).contains(count)), "{of_campaigns:?}");
    }

    #[test]
    fn what_is_parked_is_passed_over_and_hides_nobody() {
        let (fast, bulk, other) = (message(1, 1, 0), message(2, 1, 1), message(3, 2, 1));
        let mut ready = Ready::default();
        for mail in [&fast, &bulk, &other] {
            ready.push(claimed(mail, "a@x.example"));
        }
        let mut parks = Parks::default();
        let denial = Denial {
            limit: LimitId(1),
            scope: LimitScope {
                from: FromScope::Installation,
                to: ToScope::Anywhere,
                who: WhoScope::Organization(OrganizationId(1)),
                class: None,
            },
            metric: Metric::Messages,
            value: 0,
            origin: Origin::Admin,
            reason: String::new(),
            until: None,
        };
        parks.add(Park::of(&denial, line_of(&claimed(&fast, "a@x.example")), Timestamp(0)));
        assert_eq!(ready.free(&parks), 1);
        let none = Parks::default();
        let next = ready.next(TakeOrder::Due, 10, &parks, &none);
        assert_eq!(next[0].delivery.message.id, MessageId(3));
        assert!(
            ready.next(TakeOrder::Due, 10, &none, &parks).is_empty(),
            "nor does a lane's own park"
        );
        assert_eq!(ready.drain(|line| parks.cover(line)).len(), 2);
    }
}
