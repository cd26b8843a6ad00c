//! Events of campaigns become counts, links and readers; those of submitted mail say who it was.
//!
//! Owns:       what is counted by what, and the task that counts.
//! Promises:   each event is counted once; what people did is told from what machines did before
//!             it is counted, and in the same way for all mail.
//! Knows not:  reports, HTTP, SQL.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::sync::watch;

use super::geography::Geography;
use super::machines::Machines;
use super::reader::{self, Reader};
use crate::clock::Clock;
use crate::model::*;
use crate::store::{
    CountedEvent, CountedOf, Fared, FaredOf, Reading, Store, StoreError, Tally, TallyKey, Uncounted,
};

/// Of all mail, campaigns' or not.
const EVENTS_MAX: u32 = 5000;
const EARLIER_MAX: usize = 5000;
/// So long is waited for what may come beside: links that are followed together.
const LAG: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(2);
const TARGET_BYTES_MAX: usize = 200;
const HOUR: i64 = 3_600_000_000;

/// Runs until `stop` turns true.
pub async fn run(
    store: Store,
    geography: Option<Geography>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let mut counter = Counter { store, geography, earlier: Vec::new() };
    while !*stop.borrow() {
        match counter.count(clock.now()).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "events of campaigns are counted later");
            }
        }
        tokio::select! {
            () = clock.sleep(TICK) => {}
            _ = stop.changed() => {}
        }
    }
}

struct Counter {
    store: Store,
    geography: Option<Geography>,
    /// Clicks that were counted and stand beside those that come next.
    earlier: Vec<CountedEvent>,
}

impl Counter {
    /// True when there may be more.
    async fn count(&mut self, now: Timestamp) -> Result<bool, StoreError> {
        let Uncounted { from, upto, count, mut events } =
            self.store.events_to_count(EVENTS_MAX).await?;
        let ripe = events.iter().position(|event| event.at > now - LAG).unwrap_or(events.len());
        // What comes behind is looked at for what was beside, and counted the next time.
        let behind = events.split_off(ripe);
        let upto = behind.first().map_or(upto, |first| first.id.0 - 1);
        if upto <= from {
            return Ok(false);
        }
        let is_last = behind.is_empty();
        let beside = [std::mem::take(&mut self.earlier), behind].concat();
        let tally = Tally { upto, ..tally(&events, &beside, self.geography.as_ref()) };
        self.earlier = still_beside(beside, events);
        self.store.count_events(from, tally).await?;
        Ok(count >= u64::from(EVENTS_MAX) && is_last)
    }
}

/// Of what was counted, the clicks that one may stand beside that is counted next.
fn still_beside(earlier: Vec<CountedEvent>, counted: Vec<CountedEvent>) -> Vec<CountedEvent> {
    let Some(last) = counted.iter().map(|event| event.at).max() else { return earlier };
    let mut clicks: Vec<CountedEvent> = earlier
        .into_iter()
        .chain(counted)
        .filter(|event| is_click(event) && event.at >= last - 2 * reader::BURST)
        .collect();
    let too_many = clicks.len().saturating_sub(EARLIER_MAX);
    clicks.drain(..too_many);
    clicks
}

/// What these events add; those beside are counted before or after them. Pure.
pub fn tally(
    events: &[CountedEvent],
    beside: &[CountedEvent],
    geography: Option<&Geography>,
) -> Tally {
    let bursts = Bursts::of(events.iter().chain(beside));
    let machines = machines(events.iter().chain(beside), &bursts);
    let mut counts: BTreeMap<TallyKey, u64> = BTreeMap::new();
    let mut clicks: BTreeMap<(CampaignId, i64, i64, String), u64> = BTreeMap::new();
    let mut readings: BTreeMap<(CampaignId, DeliveryId), Reading> = BTreeMap::new();
    let mut fared: BTreeMap<ContactId, FaredOf> = BTreeMap::new();
    let mut replies = Vec::new();
    let mut verdicts = Vec::new();
    for event in events {
        let of = &event.of;
        if of.campaign.0 == 0 {
            verdicts.extend(verdict(event, &bursts, &machines));
            continue;
        }
        note_fared(event, &mut fared);
        if event.kind == EventKind::Replied.word() {
            replies.extend(of.contact.map(|contact| (of.organization, contact, event.at)));
        }
        if event.fields.get(event::AGAIN) == Some(&true.into()) {
            continue;
        }
        let reader = reader_of(event, of, &bursts, &machines);
        *counts.entry(key(event, of, reader)).or_default() += 1;
        if reader == Some(Reader::Person) {
            for key in device_keys(event, of) {
                *counts.entry(key).or_default() += 1;
            }
            if let Some(key) = country_key(event, of, geography) {
                *counts.entry(key).or_default() += 1;
            }
            note(event, of, &mut clicks, &mut readings);
        }
    }
    Tally {
        upto: 0,
        counts: counts.into_iter().collect(),
        clicks: clicks
            .into_iter()
            .map(|((campaign, variant, place, target), count)| {
                (campaign, variant, place, target, count)
            })
            .collect(),
        readings: readings.into_values().collect(),
        replies,
        fared: fared.into_values().collect(),
        verdicts,
    }
}

/// The fields of an event of submitted mail with who it was; None where they say so already.
fn verdict(
    event: &CountedEvent,
    bursts: &Bursts,
    machines: &Machines,
) -> Option<(EventId, serde_json::Value)> {
    let reader = reader_of(event, &event.of, bursts, machines)?;
    if text(event, "reader") == reader.word() {
        return None;
    }
    let mut fields = event.fields.clone();
    fields.as_object_mut()?.insert("reader".to_owned(), reader.word().into());
    Some((event.id, fields))
}

fn text<'a>(event: &'a CountedEvent, name: &str) -> &'a str {
    event.fields.get(name).and_then(|value| value.as_str()).unwrap_or_default()
}

fn place(event: &CountedEvent) -> i64 {
    event.fields.get("place").and_then(serde_json::Value::as_i64).unwrap_or(0)
}

fn is_click(event: &CountedEvent) -> bool {
    event.kind == EventKind::Clicked.word()
}

/// Requests that are a machine's by themselves.
fn machines<'a>(events: impl Iterator<Item = &'a CountedEvent>, bursts: &Bursts) -> Machines {
    let (none, mut machines) = (Machines::default(), Machines::default());
    for event in events {
        if reader_of(event, &event.of, bursts, &none) == Some(Reader::Robot) {
            machines.note(event.of.delivery, text(event, "address"), event.at);
        }
    }
    machines
}

fn reader_of(
    event: &CountedEvent,
    of: &CountedOf,
    bursts: &Bursts,
    machines: &Machines,
) -> Option<Reader> {
    if !is_click(event) && event.kind != EventKind::Opened.word() {
        return None;
    }
    Some(reader::judge(&reader::Request {
        is_click: is_click(event),
        is_head: text(event, "method") == "HEAD",
        agent: text(event, "agent"),
        since_delivery: of.delivered_at.map(|at| event.at.since(at)),
        links_beside: bursts.beside(event, of),
        machine_beside: machines.are_beside(of.delivery, text(event, "address"), event.at),
    }))
}

/// Clicks of each delivery, in the order of time.
struct Bursts(HashMap<DeliveryId, Vec<(Timestamp, i64)>>);

impl Bursts {
    fn of<'a>(events: impl Iterator<Item = &'a CountedEvent>) -> Bursts {
        let mut clicks: HashMap<DeliveryId, Vec<(Timestamp, i64)>> = HashMap::new();
        for event in events.filter(|event| is_click(event)) {
            clicks.entry(event.of.delivery).or_default().push((event.at, place(event)));
        }
        Bursts(clicks)
    }

    /// Other links of the same mail that were followed at about the same time.
    fn beside(&self, event: &CountedEvent, of: &CountedOf) -> usize {
        // Of whom nothing is kept, nothing else is known.
        if of.delivery.0 == 0 {
            return 0;
        }
        let own = place(event);
        let Some(clicks) = self.0.get(&of.delivery) else { return 0 };
        let near = |at: Timestamp| {
            at.since(event.at) <= reader::BURST && event.at.since(at) <= reader::BURST
        };
        let others: HashSet<i64> = clicks
            .iter()
            .filter(|(at, place)| *place != own && near(*at))
            .map(|(_, place)| *place)
            .collect();
        others.len()
    }
}

fn key(event: &CountedEvent, of: &CountedOf, reader: Option<Reader>) -> TallyKey {
    let detail = match reader {
        Some(reader) => reader.word().to_owned(),
        None => text(event, "class").to_owned(),
    };
    TallyKey {
        campaign: of.campaign,
        variant: of.variant,
        hour: event.at.0.div_euclid(HOUR),
        kind: event.kind.clone(),
        detail,
        operator: of.operator,
        source: text(event, "source").to_owned(),
    }
}

/// Requests of people, by what they read with: kind of device, mail program or browser, system.
fn device_keys(event: &CountedEvent, of: &CountedOf) -> [TallyKey; 3] {
    let agent = text(event, "agent");
    let kinds = match is_click(event) {
        true => ["clicked_by", "clicked_with", "clicked_on"],
        false => ["opened_by", "opened_with", "opened_on"],
    };
    let details =
        [reader::device(agent).word(), reader::client(agent).word(), reader::system(agent).word()];
    [0, 1, 2].map(|place| TallyKey {
        kind: kinds[place].to_owned(),
        detail: details[place].to_owned(),
        source: String::new(),
        ..key(event, of, None)
    })
}

/// Requests of people, by where they come from, as far as it is known.
fn country_key(
    event: &CountedEvent,
    of: &CountedOf,
    geography: Option<&Geography>,
) -> Option<TallyKey> {
    if reader::is_behind_proxy(text(event, "agent")) {
        return None;
    }
    let detail = geography?.country(text(event, "address"))?;
    let kind = if is_click(event) { "clicked_from" } else { "opened_from" };
    let source = String::new();
    Some(TallyKey { kind: kind.to_owned(), detail, source, ..key(event, of, None) })
}

/// What the mail's end, or its delay, says of its contact.
fn note_fared(event: &CountedEvent, fared: &mut BTreeMap<ContactId, FaredOf>) {
    let of = &event.of;
    let Some(contact) = of.contact else { return };
    let Ok(kind) = event.kind.parse::<EventKind>() else { return };
    if !matches!(
        kind,
        EventKind::Delivered | EventKind::Deferred | EventKind::Failed | EventKind::Bounced
    ) {
        return;
    }
    let new = FaredOf { organization: of.organization, contact, fared: Fared::default() };
    let fared = &mut fared.entry(contact).or_insert(new).fared;
    if of.operator != 0 {
        fared.operator = Some(OperatorId(of.operator));
    }
    match kind {
        EventKind::Delivered => fared.delivered_at = Some(event.at),
        EventKind::Deferred => fared.deferred_at = Some(event.at),
        _ => {
            let class = text(event, "class");
            fared.bounced_at = Some(event.at);
            fared.bounce_class = (!class.is_empty()).then(|| class.to_owned());
        }
    }
}

fn note(
    event: &CountedEvent,
    of: &CountedOf,
    clicks: &mut BTreeMap<(CampaignId, i64, i64, String), u64>,
    readings: &mut BTreeMap<(CampaignId, DeliveryId), Reading>,
) {
    if of.delivery.0 == 0 {
        note_click(event, of, clicks);
        return;
    }
    let reading = readings.entry((of.campaign, of.delivery)).or_insert(Reading {
        campaign: of.campaign,
        delivery: of.delivery,
        organization: of.organization,
        variant: of.variant,
        contact: of.contact,
        opened_at: None,
        clicked_at: None,
    });
    if !is_click(event) {
        reading.opened_at.get_or_insert(event.at);
        return;
    }
    reading.clicked_at.get_or_insert(event.at);
    note_click(event, of, clicks);
}

fn note_click(
    event: &CountedEvent,
    of: &CountedOf,
    clicks: &mut BTreeMap<(CampaignId, i64, i64, String), u64>,
) {
    if !is_click(event) {
        return;
    }
    let target = text(event, "link").split(['?', '#']).next().unwrap_or_default();
    let target = target[..target.floor_char_boundary(TARGET_BYTES_MAX)].to_owned();
    *clicks.entry((of.campaign, of.variant, place(event), target)).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::super::geography::tests::small;
    use super::*;
    use serde_json::json;

    const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0 Safari/537.36";

    fn event(
        id: i64,
        seconds: i64,
        kind: &str,
        delivery: i64,
        fields: serde_json::Value,
    ) -> CountedEvent {
        CountedEvent {
            id: EventId(id),
            at: Timestamp::from_seconds(seconds),
            kind: kind.to_owned(),
            fields,
            of: CountedOf {
                delivery: DeliveryId(delivery),
                organization: OrganizationId::FIRST,
                campaign: CampaignId(7),
                contact: Some(ContactId(delivery)),
                variant: 0,
                operator: 3,
                delivered_at: Some(Timestamp::from_seconds(100)),
            },
        }
    }

    fn click(id: i64, seconds: i64, delivery: i64, place: i64) -> CountedEvent {
        let fields = json!({"agent": CHROME, "method": "GET", "place": place,
            "link": format!("https://shop.test/{place}?who={delivery}")});
        event(id, seconds, "clicked", delivery, fields)
    }

    #[test]
    fn of_submitted_mail_it_is_said_who_it_was_and_nothing_is_counted() {
        let submitted = |event: CountedEvent| {
            let of = CountedOf { campaign: CampaignId(0), contact: None, ..event.of };
            CountedEvent { of, ..event }
        };
        let said = |mut event: CountedEvent, reader: &str| {
            event.fields["reader"] = json!(reader);
            event
        };
        let events = [
            submitted(said(click(1, 300, 1, 0), "person")),
            submitted(said(click(2, 301, 1, 1), "person")),
            submitted(said(click(3, 400, 2, 0), "person")),
            submitted(click(4, 500, 3, 0)),
        ];
        let tally = tally(&events, &[submitted(click(5, 302, 1, 2))], None);
        let verdicts: Vec<_> = tally.verdicts.iter().collect();
        let verdict = |id: i64, reader| (EventId(id), json!(reader));
        let told: Vec<_> =
            verdicts.iter().map(|(id, fields)| (*id, fields["reader"].clone())).collect();
        assert_eq!(told, [verdict(1, "robot"), verdict(2, "robot"), verdict(4, "person")]);
        assert_eq!(verdicts[0].1["link"], events[0].fields["link"], "the rest stays");
        assert!(tally.counts.is_empty() && tally.clicks.is_empty() && tally.readings.is_empty());
    }

    #[test]
    fn links_followed_together_are_one_burst_in_whatever_parts_they_are_counted() {
        // One a second: the first is counted before the last came.
        let first = [click(1, 300, 1, 0), click(2, 299, 9, 0), click(3, 301, 1, 1)];
        let kept = still_beside(vec![click(0, 290, 1, 5)], first.to_vec());
        let ids: Vec<i64> = kept.iter().map(|event| event.id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
        let tally = tally(&[click(4, 302, 1, 2)], &kept, None);
        let details: Vec<&str> = tally.counts.iter().map(|(key, _)| key.detail.as_str()).collect();
        assert_eq!(details, ["robot"]);
    fn a_filters_network_is_known_by_its_first_request() {
        let from = |mut event: CountedEvent, address: &str| {
            event.fields["address"] = json!(address);
            event
        };
        let head = |mut event: CountedEvent| {
            event.fields["method"] = json!("HEAD");
            event
        };
        let events = [
            head(from(click(1, 300, 1, 0), "81.2.69.142")),
            from(click(2, 310, 1, 0), "81.2.69.150"),
            from(click(3, 310, 1, 0), "89.160.20.112"),
            from(click(4, 311, 2, 0), "81.2.69.150"),
        ];
        let tally = tally(&events, &[], None);
        let clicks = tally.counts.iter().filter(|(key, _)| key.kind == "clicked");
        let clicks: Vec<(&str, u64)> =
            clicks.map(|(key, count)| (key.detail.as_str(), *count)).collect();
        assert_eq!(clicks, [("person", 2), ("robot", 2)]);
    }

    #[test]
    fn what_people_did_is_counted_apart_from_what_machines_did() {
        let events = [
            event(1, 100, "delivered", 1, json!({"source": "first"})),
            event(2, 101, "deferred", 2, json!({"source": "first", "class": "greylisted"})),
            event(
                3,
                200,
                "opened",
                1,
                json!({"agent": CHROME, "method": "GET",
                "address": "81.2.69.142"}),
            ),
            click(4, 210, 1, 0),
            click(5, 300, 2, 0),
            click(6, 301, 2, 1),
        ];
        // The third link of the same mail comes only after the ripe part.
        let tally = tally(&events, &[click(8, 302, 2, 2)], Some(&small()));
        let of = |kind: &str, detail: &str| -> u64 {
            let counts = tally.counts.iter();
            let own = counts.filter(|(key, _)| key.kind == kind && key.detail == detail);
            own.map(|(_, count)| count).sum()
        };
        assert_eq!((of("delivered", ""), of("deferred", "greylisted")), (1, 1));
        assert_eq!((of("opened", "person"), of("clicked", "person")), (1, 1));
        assert_eq!(of("clicked", "robot"), 2);
        assert_eq!((of("opened_by", "desktop"), of("clicked_by", "desktop")), (1, 1));
        assert_eq!((of("opened_with", "chrome"), of("clicked_with", "chrome")), (1, 1));
        assert_eq!((of("opened_on", "linux"), of("clicked_on", "linux")), (1, 1));
        assert_eq!((of("opened_from", "DE"), of("clicked_from", "DE")), (1, 0));
        assert_eq!(tally.counts.len(), 12);
        assert_eq!(tally.clicks, [(CampaignId(7), 0, 0, "https://shop.test/0".to_owned(), 1)]);
        assert_eq!(tally.readings.len(), 1);
        assert_eq!(tally.readings[0].contact, Some(ContactId(1)));
        assert_eq!(tally.readings[0].clicked_at, Some(Timestamp::from_seconds(210)));
        let fared: Vec<(i64, bool, bool)> = tally
            .fared
            .iter()
            .map(|one| {
                (one.contact.0, one.fared.delivered_at.is_some(), one.fared.deferred_at.is_some())
            })
            .collect();
        assert_eq!(fared, [(1, true, false), (2, false, true)]);
    }

    #[test]
    fn a_delivery_that_is_told_of_twice_counts_once_and_its_contact_learns_the_last() {
        let told = |id, class: &str, again: bool| {
            let mut fields = json!({"hard": again, "class": class});
            if again {
                fields[event::AGAIN] = true.into();
            }
            event(id, 200 + id, "bounced", 1, fields)
        };
        let events = [told(1, "mailbox_full", false), told(2, "mailbox_invalid", true)];
        let tally = tally(&events, &[], None);
        let counts: Vec<_> =
            tally.counts.iter().map(|(key, count)| (key.detail.as_str(), *count)).collect();
        assert_eq!(counts, [("mailbox_full", 1)]);
        assert_eq!(tally.fared[0].fared.bounce_class.as_deref(), Some("mailbox_invalid"));
    }
}
