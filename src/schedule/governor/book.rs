//! What was answered since the controller last looked, added up.
//!
//! Owns:       the sums between attempts and the controller.
//! Promises:   to note an answer costs one lock and a few additions; memory is bounded by pairs,
//!             not by mail; at most three samples a kind.
//! Knows not:  what follows from it.

use std::collections::HashMap;

use crate::model::*;
use crate::schedule::adaptive::Place;

/// Sums kept between two looks; what is beyond them is not learnt from, which is counted.
const SUMS_MAX: usize = 50_000;

/// The answer to some recipients of one transaction that were answered alike.
#[derive(Clone, Debug)]
pub struct Lesson<'a> {
    pub source: SourceId,
    pub operator: OperatorId,
    /// Which hosts have answered, where that is known.
    pub site: Option<SiteId>,
    pub class: StreamClass,
    pub campaign: Option<CampaignId>,
    pub sending_domain: Option<DomainId>,
    pub answer: Answered,
    pub count: u64,
    /// The reply, where it was a refusal.
    pub sample: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Accepted,
    /// `for_good`: a 5xx, or a host that takes nothing from this source.
    Refused {
        signal: Signal,
        for_good: bool,
    },
}

/// Complaints about mail that was accepted earlier, and for whom it had been brought.
#[derive(Clone, Copy, Debug)]
pub struct Complained {
    /// None where it is not known any more.
    pub source: Option<SourceId>,
    pub operator: OperatorId,
    pub campaign: Option<CampaignId>,
    pub sending_domain: Option<DomainId>,
    pub count: u64,
}

/// What a source met at an operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairSum {
    pub marks: Marks,
    /// How often each signal came, with samples.
    pub signals: Vec<(Signal, u64, Vec<String>)>,
}

impl PairSum {
    pub fn samples(&self) -> Vec<String> {
        let all = self.signals.iter().flat_map(|(_, _, samples)| samples.iter().cloned());
        all.take(DECISION_SAMPLES_MAX).collect()
    }
}

/// What a campaign or a From domain met at a place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WhoSum {
    pub marks: Marks,
    /// Refused for content or for the From domain.
    pub words: u64,
    pub samples: Vec<String>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Book {
    pub pairs: HashMap<(SourceId, OperatorId), PairSum>,
    /// By the operator, too: in the tail a place is one site.
    pub whos: HashMap<(WhoScope, OperatorId, Place), WhoSum>,
    /// Lessons for which there was no place.
    pub lost: u64,
}

impl Book {
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.whos.is_empty()
    }

    pub fn note(&mut self, lesson: &Lesson<'_>) {
        if self.pairs.len() + self.whos.len() >= SUMS_MAX {
            self.lost += lesson.count;
            return;
        }
        let marks = marks_of(lesson);
        let pair = self.pairs.entry((lesson.source, lesson.operator)).or_default();
        pair.marks.add(&marks);
        let signal = match lesson.answer {
            Answered::Accepted => Signal::None,
            Answered::Refused { signal, .. } => signal,
        };
        if signal != Signal::None {
            note_signal(&mut pair.signals, signal, lesson);
        }
        self.note_whos(lesson, &marks, signal);
    }

    /// A campaign answers for its content; without one the From domain does. A From domain also
    /// answers for itself, and counts for its own warm-up.
    fn note_whos(&mut self, lesson: &Lesson<'_>, marks: &Marks, signal: Signal) {
        let content = signal == Signal::Content;
        let from = signal == Signal::FromDomain;
        let domain = lesson.sending_domain.map(WhoScope::SendingDomain);
        let campaign = lesson.campaign.map(WhoScope::Campaign);
        let domain_words = from || (content && campaign.is_none());
        for (who, words) in [(campaign, content), (domain, domain_words)] {
            let Some(who) = who else { continue };
            let place = Place::of(lesson.operator, lesson.site);
            let sum = self.whos.entry((who, lesson.operator, place)).or_default();
            sum.marks.add(marks);
            if words {
                sum.words += lesson.count;
                push_sample(&mut sum.samples, lesson.sample);
            }
        }
    }

    /// A source is no more.
    pub fn forget(&mut self, source: SourceId) {
        self.pairs.retain(|pair, _| pair.0 != source);
    }

    /// A mail that was accepted earlier came back: it was offered already, and counts now for what
    /// it came back for. Warm-ups alone learn from that: beside which mails of this hour it should
    /// stop a campaign, a report of yesterday's does not say.
    pub fn returned(&mut self, lesson: &Lesson<'_>) {
        if self.pairs.len() + self.whos.len() >= SUMS_MAX {
            self.lost += lesson.count;
            return;
        }
        let told = Marks { offered: 0, transactional: 0, slowed: 0, ..marks_of(lesson) };
        self.pairs.entry((lesson.source, lesson.operator)).or_default().marks.add(&told);
        self.note_whos(lesson, &told, Signal::None);
    }

    /// Complaints came in for mails that were accepted earlier.
    pub fn complain(&mut self, told: &Complained) {
        if self.pairs.len() + self.whos.len() >= SUMS_MAX {
            self.lost += told.count;
            return;
        }
        let (operator, complaints) = (told.operator, told.count);
        if let Some(source) = told.source {
            self.pairs.entry((source, operator)).or_default().marks.complaints += complaints;
        }
        let domain = told.sending_domain.map(WhoScope::SendingDomain);
        for who in [told.campaign.map(WhoScope::Campaign), domain].into_iter().flatten() {
            let place = Place::of(operator, None);
            let sum = self.whos.entry((who, operator, place)).or_default();
            sum.marks.complaints += complaints;
        }
    }
}

fn marks_of(lesson: &Lesson<'_>) -> Marks {
    let count = lesson.count;
    let mut marks = Marks { offered: count, ..Marks::default() };
    if lesson.class == StreamClass::Transactional {
        marks.transactional = count;
    }
    match lesson.answer {
        Answered::Accepted => marks.accepted = count,
        Answered::Refused { signal: Signal::Reputation, for_good: true } => marks.blocked = count,
        Answered::Refused { signal: Signal::Reputation, .. } => marks.deferred = count,
        Answered::Refused { signal: Signal::Capacity | Signal::Rate, .. } => marks.slowed = count,
        Answered::Refused { signal: Signal::InvalidRecipient, .. } => marks.invalid = count,
        Answered::Refused { .. } => {}
    }
    marks
}

fn note_signal(signals: &mut Vec<(Signal, u64, Vec<String>)>, signal: Signal, lesson: &Lesson<'_>) {
    let at = signals.iter().position(|(known, _, _)| *known == signal).unwrap_or_else(|| {
        signals.push((signal, 0, Vec::new()));
        signals.len() - 1
    });
    let (_, count, samples) = &mut signals[at];
    *count += lesson.count;
    push_sample(samples, lesson.sample);
}

fn push_sample(samples: &mut Vec<String>, sample: Option<&str>) {
    if let Some(sample) = sample.filter(|_| samples.len() < DECISION_SAMPLES_MAX) {
        samples.push(sample.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(answer: Answered, count: u64) -> Lesson<'static> {
        Lesson {
            source: SourceId(1),
            operator: OperatorId(2),
            site: None,
            class: StreamClass::Marketing,
            campaign: Some(CampaignId(3)),
            sending_domain: Some(DomainId(4)),
            answer,
            count,
            sample: Some("550 no"),
        }
    }

    #[test]
    fn content_is_laid_to_the_campaign_and_a_from_domain_to_itself() {
        let mut book = Book::default();
        let content = Answered::Refused { signal: Signal::Content, for_good: true };
        book.note(&lesson(content, 2));
        book.note(&Lesson { campaign: None, ..lesson(content, 5) });
        let from = Answered::Refused { signal: Signal::FromDomain, for_good: true };
        book.note(&lesson(from, 9));
        let at = OperatorId(2);
        let words = |who| book.whos[&(who, at, Place::Operator(at))].words;
        assert_eq!(words(WhoScope::Campaign(CampaignId(3))), 2);
        assert_eq!(words(WhoScope::SendingDomain(DomainId(4))), 14);
        let pair = &book.pairs[&(SourceId(1), OperatorId(2))];
        assert_eq!((pair.marks.offered, pair.marks.unwelcome()), (16, 0));
    }

    #[test]
    fn a_complaint_counts_for_the_source_and_for_whom_it_had_brought_the_mail() {
        let mut book = Book::default();
        let mut told = Complained {
            source: Some(SourceId(1)),
            operator: OperatorId(2),
            campaign: Some(CampaignId(3)),
            sending_domain: Some(DomainId(4)),
            count: 2,
        };
        book.complain(&told);
        // Of a source that was removed: the domain is complained of all the same.
        (told.source, told.campaign) = (None, None);
        book.complain(&told);
        let at = OperatorId(2);
        let of = |who| book.whos[&(who, at, Place::Operator(at))].marks.complaints;
        assert_eq!(of(WhoScope::SendingDomain(DomainId(4))), 4);
        assert_eq!(of(WhoScope::Campaign(CampaignId(3))), 2);
        assert_eq!(book.pairs[&(SourceId(1), at)].marks.complaints, 2);
    }

    #[test]
    fn what_comes_back_counts_for_its_reason_and_is_not_offered_again() {
        let mut book = Book::default();
        book.note(&lesson(Answered::Accepted, 10));
        for (signal, count) in [
            (Signal::InvalidRecipient, 3),
            (Signal::Reputation, 2),
            (Signal::FromDomain, 1),
            (Signal::Rate, 5),
        ] {
            book.returned(&lesson(Answered::Refused { signal, for_good: true }, count));
        }
        let pair = &book.pairs[&(SourceId(1), OperatorId(2))];
        let (marks, signals) = (pair.marks, &pair.signals);
        assert_eq!((marks.offered, marks.accepted, marks.slowed), (10, 10, 0));
        assert_eq!((marks.invalid, marks.blocked, signals.len()), (3, 2, 0));
        let at = OperatorId(2);
        let domain = WhoScope::SendingDomain(DomainId(4));
        let domain = &book.whos[&(domain, at, Place::Operator(at))];
        assert_eq!((domain.marks.invalid, domain.words), (3, 0));
        book.forget(SourceId(1));
        assert!(book.pairs.is_empty());
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_not_kept() {
        let mut book = Book::default();
        for source in 0..60_000 {
            let lesson = lesson(Answered::Accepted, 1);
            book.note(&Lesson { source: SourceId(source), ..lesson });
        }
        assert!(book.pairs.len() <= SUMS_MAX && book.lost > 9_000);
    }
}
