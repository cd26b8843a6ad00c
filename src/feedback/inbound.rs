//! Mail from outside: whom it may be for, and what becomes of it before it is answered `250`.
//!
//! Owns:       the addresses that we serve; the order parse, attribute, write down.
//! Promises:   nobody is relayed for and nobody is written back to: an address that we did not make
//!             is refused at RCPT; what a mail teaches is committed before its `250`; a forged or
//!             repeated report changes nothing.
//! Knows not:  SMTP, sockets.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Notify;

use super::leave::{self, Asked, Wish};
use super::lesson::{Told, all_about};
use super::meters::Meters;
use super::{Judge, named, network, replies};
use crate::accept::{Received, Refusal};
use crate::clock::Clock;
use crate::compose::returns::Returns;
use crate::dns::Resolver;
use crate::dns::verify::{Arrived, Authenticity};
use crate::model::*;
use crate::queue::{Queue, QueueError};
use crate::store::{
    InboundMailRow, InboundRouteRow, MessageRow, ReturnSubject, Returned, SoftBounceRule, Store,
    StoreError,
};
use crate::token::{Claim, Use};
use crate::wire::mime::Fields;
use crate::wire::report::{self, Report};

/// Findings of one report that are followed.
const FINDINGS_MAX: usize = 100;
/// Above it a mail is read beside the async threads.
const READ_ASIDE_BYTES: usize = 128 * 1024;
pub(super) const SUBJECT_CHARS_MAX: usize = 200;
/// RFC 5321 §6.3.
const HOPS_MAX: usize = 100;
/// Answered by whoever runs the domain (RFC 2142, RFC 5321 §4.5.1).
const ROLES: [&str; 2] = ["postmaster", "abuse"];

#[derive(Clone, Debug)]
pub struct InboundOptions {
    pub host_name: String,
    /// Where mail to postmaster and abuse goes on to.
    pub postmaster: Option<Address>,
    pub mails_per_network_max: u32,
    /// DNSBLs whose word refuses a client.
    pub blocklists: Vec<String>,
    pub soft_bounces: SoftBounceRule,
}

/// Whom an address of ours stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Bounce(Claim),
    Unsubscribe(Claim),
    /// postmaster@ or abuse@ of a domain; the organization's, where it has one.
    Role(Option<OrganizationId>),
    Route(Arc<InboundRouteRow>),
}

/// A cheap handle.
#[derive(Clone)]
pub struct Inbound(Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) queue: Queue,
    returns: Returns,
    resolver: Resolver,
    judge: Judge,
    routes: ArcSwap<Routes>,
    pub(super) owed: Arc<Notify>,
    pub(super) options: InboundOptions,
    networks: network::Counts,
    meters: Meters,
    pub(super) clock: Clock,
}

/// What was seen in a mail, whoever it is for.
pub(super) struct Seen {
    report: Report,
    pub authenticity: Authenticity,
    subject: String,
    /// Deliveries that it names in what it returns.
    claims: Vec<Claim>,
}

/// What became of a mail for one of its recipients.
pub(super) struct Fate {
    pub kind: ReportKind,
    pub fate: InboundFate,
    pub text: String,
    pub organization: Option<OrganizationId>,
    learnt: Option<(MessageId, DeliveryId)>,
}

impl Fate {
    pub fn new(kind: ReportKind, fate: InboundFate, text: impl Into<String>) -> Fate {
        Fate { kind, fate, text: text.into(), organization: None, learnt: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the mail could not be read: {0}")]
    Read(String),
}

/// The routes of organizations, by pattern.
#[derive(Default)]
struct Routes {
    by_pattern: HashMap<String, Arc<InboundRouteRow>>,
    domains: HashSet<String>,
}

impl Routes {
    fn of(rows: Vec<InboundRouteRow>) -> Routes {
        let mut routes = Routes::default();
        for row in rows {
            let domain = row.pattern.rsplit_once('@').map_or("", |(_, domain)| domain);
            routes.domains.insert(domain.to_owned());
            routes.by_pattern.insert(row.pattern.clone(), Arc::new(row));
        }
        routes
    }

    /// The address's own before that of its domain.
    fn find(&self, address: &Address) -> Option<Arc<InboundRouteRow>> {
        let exact = address.to_string().to_lowercase();
        let wide = format!("*@{}", address.domain());
        self.by_pattern.get(&exact).or_else(|| self.by_pattern.get(&wide)).cloned()
    }
}

/// What an inbound door is made of.
pub struct InboundParts {
    pub store: Store,
    pub queue: Queue,
    pub returns: Returns,
    pub resolver: Resolver,
    pub judge: Judge,
}

impl Inbound {
    pub fn new(parts: InboundParts, options: InboundOptions, clock: Clock) -> Inbound {
        let InboundParts { store, queue, returns, resolver, judge } = parts;
        let networks = network::Counts::new(options.mails_per_network_max);
        let meters = Meters::new();
        let (routes, owed) = (ArcSwap::default(), Arc::default());
        Inbound(Arc::new(Inner {
            store,
            queue,
            returns,
            resolver,
            judge,
            routes,
            owed,
            options,
            networks,
            meters,
            clock,
        }))
    }

    /// Routes were changed.
    ///
    /// # Errors
    /// The ledger cannot be read; the routes read before stay in use.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let rows = self.0.store.inbound_routes().await?;
        self.0.routes.store(Arc::new(Routes::of(rows)));
        Ok(())
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Wakes who brings what routes owe.
    pub fn owed(&self) -> Arc<Notify> {
        self.0.owed.clone()
    }

    /// At MAIL: does this client send too much, is it on a list, is there room?
    pub async fn check_client(&self, peer: IpAddr, declared: Option<u64>) -> Result<(), Refusal> {
        let inner = &self.0;
        if !inner.networks.take(peer, inner.clock.now()) {
            let text = "too much mail from this network; try again later";
            return Err(Refusal::new(451, Enhanced(4, 7, 1), text));
        }
        if !inner.queue.has_room(declared.unwrap_or(0)) {
            return Err(Refusal::new(
                452,
                Enhanced(4, 3, 1),
                "no room for mail now; try again later",
            ));
        }
        for zone in &inner.options.blocklists {
            // A list that does not answer names nobody.
            if let Ok(true) = inner.resolver.is_listed(peer, zone).await {
                let text = format!("the client is listed at {zone}");
                return Err(Refusal::new(550, Enhanced(5, 7, 1), text));
            }
        }
        Ok(())
    }

    /// At RCPT: an address of ours?
    pub fn check_recipient(&self, address: &Address) -> Result<(), Refusal> {
        match self.0.target(address) {
            Ok(_) => Ok(()),
            Err(refusal) => {
                self.0.meters.refused.increment(1);
                Err(refusal)
            }
        }
    }

    /// Takes a mail: all that follows from it is on disk when it returns.
    pub async fn receive(&self, received: Received) -> Result<(), Refusal> {
        let (fields, _) = Fields::read(&received.mail);
        if fields.all("received").count() > HOPS_MAX {
            return Err(Refusal::new(554, Enhanced(5, 4, 6), "the mail goes round in a circle"));
        }
        let answer = self.0.receive(&received).await;
        answer.map_err(|trouble| {
            tracing::warn!(reason = %trouble, "a mail that came in was not taken");
            Refusal::new(451, Enhanced(4, 3, 0), "the mail cannot be stored now; try again later")
        })
    }
}

impl Inner {
    fn target(&self, address: &Address) -> Result<Target, Refusal> {
        let (local, domain) = (address.local(), address.domain());
        let is_return = self.returns.is_ours(domain);
        match self.returns.read(local).filter(|_| is_return) {
            Some((Use::ReturnPath, claim)) => return Ok(Target::Bounce(claim)),
            Some((Use::Unsubscribe, claim)) => return Ok(Target::Unsubscribe(claim)),
            Some((Use::Open | Use::Click | Use::Confirm | Use::Erase | Use::Browse, _)) | None => {}
        }
        let routes = self.routes.load();
        if let Some(route) = routes.find(address) {
            return match route.action {
                RouteAction::Refuse => Err(unknown()),
                _ => Ok(Target::Route(route)),
            };
        }
        if !is_return && !routes.domains.contains(domain.as_str()) {
            return Err(Refusal::new(550, Enhanced(5, 7, 1), "this host relays for nobody"));
        }
        if ROLES.iter().any(|role| local.eq_ignore_ascii_case(role)) {
            return Ok(Target::Role(self.returns.owner(domain)));
        }
        Err(unknown())
    }

    async fn receive(&self, received: &Received) -> Result<(), Trouble> {
        let seen = self.see(received).await?;
        for recipient in &received.envelope.recipients {
            // Its time may have ended since RCPT: then it is nobody's, and nothing follows.
            let fate = match self.target(&recipient.address) {
                Ok(target) => self.take(received, &seen, &target, &recipient.address).await?,
                Err(refusal) => Fate::new(ReportKind::NotBounce, InboundFate::Kept, refusal.text),
            };
            self.meters.received(fate.kind, fate.fate);
            self.note(received, &seen, &recipient.address, fate).await?;
        }
        Ok(())
    }

    async fn see(&self, received: &Received) -> Result<Seen, Trouble> {
        let sender = received.envelope.sender.0.as_ref().map(Address::to_string);
        let arrived = Arrived {
            peer: received.arrival.peer,
            ehlo: &received.arrival.ehlo,
            sender: sender.as_deref().unwrap_or_default(),
            host_name: &self.options.host_name,
            mail: &received.mail,
        };
        let authenticity = self.resolver.authenticate(arrived).await;
        let (report, subject, claims) = self.read(received.mail.clone()).await?;
        Ok(Seen { report, authenticity, subject, claims })
    }

    async fn read(&self, mail: Bytes) -> Result<(Report, String, Vec<Claim>), Trouble> {
        let returns = self.returns.clone();
        let is_small = mail.len() <= READ_ASIDE_BYTES;
        let read = move || {
            let report = report::read(&mail);
            let (fields, _) = Fields::read(&mail);
            let subject = fields.get("subject").unwrap_or_default();
            let subject = subject.chars().take(SUBJECT_CHARS_MAX).collect();
            (report, subject, named::claims_of(&mail, &returns))
        };
        if is_small {
            return Ok(read());
        }
        let reading = tokio::task::spawn_blocking(read);
        reading.await.map_err(|error| Trouble::Read(error.to_string()))
    }

    async fn take(
        &self,
        received: &Received,
        seen: &Seen,
        target: &Target,
        recipient: &Address,
    ) -> Result<Fate, Trouble> {
        match target {
            Target::Unsubscribe(claim) => self.unsubscribe(*claim).await,
            Target::Bounce(claim) => self.report(received, seen, &[*claim]).await,
            Target::Route(route) => {
                let mut fate = self.report(received, seen, &seen.claims).await?;
                if fate.kind == ReportKind::NotBounce {
                    let now = self.clock.now();
                    replies::note(&self.store, route.organization, &received.mail, now).await?;
                }
                self.route(received, seen, route, recipient, &mut fate).await?;
                Ok(fate)
            }
            Target::Role(organization) => {
                let mut fate = self.report(received, seen, &seen.claims).await?;
                let named = fate.organization.map(|_| fate.text.clone());
                fate.organization = fate.organization.or(*organization);
                if fate.fate == InboundFate::Unattributed {
                    self.pass_on(received, &mut fate).await?;
                    fate.text = named.into_iter().chain([fate.text]).collect::<Vec<_>>().join("; ");
                }
                Ok(fate)
            }
        }
    }

    /// A report teaches the deliveries that it is about; the strongest fate is told.
    async fn report(
        &self,
        received: &Received,
        seen: &Seen,
        claims: &[Claim],
    ) -> Result<Fate, Trouble> {
        let kind = kind_of(&seen.report);
        let mut fate = Fate::new(kind, InboundFate::Unattributed, "it names no delivery");
        for claim in claims {
            let Some(message) = self.store.message(claim.message).await? else { continue };
            let mut group = self.store.return_group(claim.message, claim.delivery).await?;
            // Each recipient of marketing has a token of his own, good for himself alone.
            if message.rank > 0 || message.body.is_recipe() {
                group.retain(|subject| subject.delivery == claim.delivery);
            }
            let findings = &seen.report.findings;
            let findings = &findings[..findings.len().min(FINDINGS_MAX)];
            for (finding, about) in all_about(findings, &group) {
                let told = Told {
                    report: &seen.report,
                    finding,
                    verdict: self.judge.judge(about.subject.operator.as_deref(), finding),
                    message: &message,
                    about,
                    peer: received.arrival.peer.to_string(),
                    rule: self.options.soft_bounces,
                    at: self.clock.now(),
                };
                let Some(returned) = told.lesson() else { continue };
                self.learn(received, &message, about.subject, returned, &mut fate).await?;
            }
        }
        if kind == ReportKind::Complaint && fate.fate == InboundFate::Unattributed {
            named::by_feedback_id(&self.store, &seen.report, &mut fate).await?;
        }
        Ok(fate)
    }

    async fn learn(
        &self,
        received: &Received,
        message: &MessageRow,
        subject: &ReturnSubject,
        returned: Returned,
        fate: &mut Fate,
    ) -> Result<(), Trouble> {
        fate.organization = Some(message.organization);
        fate.learnt = Some((message.id, subject.delivery));
        // Before the mark that lets a second one pass by; its key keeps it from being sent twice.
        let policy = self.queue.suppressions().policy(message.stream).bounces;
        if returned.kind == EventKind::Bounced && wants_report(policy, message, subject) {
            self.return_to_sender(received, message, subject).await?;
        }
        let kind = returned.kind;
        if leave::came_back(&self.store, returned).await? {
            fate.fate = match kind {
                EventKind::Unsubscribed => InboundFate::Unsubscribed,
                _ => InboundFate::Attributed,
            };
            fate.text = kind.word().to_owned();
        } else if fate.fate == InboundFate::Unattributed {
            fate.fate = InboundFate::Repeated;
            fate.text = format!("{kind} before");
        }
        Ok(())
    }

    async fn unsubscribe(&self, claim: Claim) -> Result<Fate, Trouble> {
        let (kind, now) = (ReportKind::NotBounce, self.clock.now());
        let asked = Asked { by: "mail", ..Asked::default() };
        let left = leave::leave(&self.store, claim, &Wish::These, asked, now).await?;
        let Some(left) = left else {
            let text = "its mail is not known any more";
            return Ok(Fate::new(kind, InboundFate::Unattributed, text));
        };
        let fate = if left.is_news { InboundFate::Unsubscribed } else { InboundFate::Repeated };
        let learnt = Some((claim.message, claim.delivery));
        let organization = Some(left.organization);
        Ok(Fate { organization, learnt, ..Fate::new(kind, fate, "by mail") })
    }

    async fn note(
        &self,
        received: &Received,
        seen: &Seen,
        recipient: &Address,
        fate: Fate,
    ) -> Result<(), Trouble> {
        let Seen { authenticity, subject, .. } = seen;
        let row = InboundMailRow {
            id: InboundMailId(0),
            at: self.clock.now(),
            organization: fate.organization,
            peer: received.arrival.peer.to_string(),
            ehlo: received.arrival.ehlo.chars().take(255).collect(),
            tls: received.arrival.tls.clone(),
            sender: received.envelope.sender.to_string(),
            recipient: recipient.to_string(),
            subject: subject.clone(),
            bytes: received.mail.len() as u64,
            from_domain: authenticity.from_domain.chars().take(255).collect(),
            spf: authenticity.spf.to_owned(),
            dkim: authenticity.dkim.to_owned(),
            dmarc: authenticity.dmarc.to_owned(),
            kind: fate.kind,
            fate: fate.fate,
            text: fate.text,
            message: fate.learnt.map(|(message, _)| message),
            delivery: fate.learnt.map(|(_, delivery)| delivery),
        };
        self.store.note_inbound(row).await?;
        Ok(())
    }
}

fn unknown() -> Refusal {
    Refusal::new(550, Enhanced(5, 1, 1), "there is no such address here")
}

/// He asked for it himself, and not by the default alone; or the stream tells all.
fn wants_report(policy: BouncePolicy, message: &MessageRow, subject: &ReturnSubject) -> bool {
    let is_asked = subject.notify.asked && subject.notify.failure;
    message.sender.0.is_some() && (is_asked || policy == BouncePolicy::Always)
}

/// The kind of most weight among the findings.
fn kind_of(report: &Report) -> ReportKind {
    let order = [
        ReportKind::Complaint,
        ReportKind::Bounce,
        ReportKind::Delay,
        ReportKind::AutoReply,
        ReportKind::Delivered,
    ];
    let is_there = |kind: &ReportKind| report.findings.iter().any(|one| one.kind == *kind);
    order.into_iter().find(is_there).unwrap_or(ReportKind::NotBounce)
}
