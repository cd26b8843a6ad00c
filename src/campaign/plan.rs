//! A campaign as a person plans it: what is lawful, and what should be known before a launch.
//!
//! Owns:       the rules for senders, variants and settings; the checks before a launch.
//! Promises:   what is saved can be launched but for what the checks call wrong; each refusal
//!             names its field.
//! Knows not:  HTTP, SQL, how it is sent.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::{Schema, Unlawful, launch};
use crate::compose::template::{Check, Weight};
use crate::model::*;
use crate::store::{CampaignCounts, CampaignRow, DkimKeyRow, DomainRow, SavedSegmentRow};
use crate::wire::encode;

pub const NAME_BYTES_MAX: usize = 200;
/// Of what all mails of a campaign are given beside their contact.
const DATA_BYTES_MAX: usize = 64 * 1024;
pub const VARIANTS_MAX: usize = 10;

pub fn lawful_name(name: &str) -> Result<String, Unlawful> {
    let name = name.trim();
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
        return Err(Unlawful::of("name", "must be 1 to 200 octets of text"));
    }
    Ok(name.to_owned())
}

/// From, Reply-To and the number of variants; what the variants say is checked where templates
/// are made ready.
pub fn check_content(content: &CampaignContent, domains: &[DomainRow]) -> Result<(), Unlawful> {
    let from = Address::parse(&content.from)
        .map_err(|why| Unlawful::of("from", format!("is no address: {why}")))?;
    let is_ours = |row: &DomainRow| from.domain().is_within(&row.name);
    if !domains.iter().any(is_ours) {
        let why = format!("{} is none of the organization's domains", from.domain().as_str());
        return Err(Unlawful::of("from", why));
    }
    if let Some(reply_to) = &content.reply_to {
        Address::parse(reply_to)
            .map_err(|why| Unlawful::of("reply_to", format!("is no address: {why}")))?;
    }
    if content.from_name.len() > NAME_BYTES_MAX || content.from_name.contains(char::is_control) {
        return Err(Unlawful::of("from_name", "must be at most 200 octets of text"));
    }
    let data = serde_json::to_string(&content.data).map_or(usize::MAX, |text| text.len());
    if data > DATA_BYTES_MAX {
        return Err(Unlawful::of("data", "must be at most 64 KiB"));
    }
    if !(1..=VARIANTS_MAX).contains(&content.variants.len()) {
        let why = format!("there are 1 to {VARIANTS_MAX} variants");
        return Err(Unlawful::of("variants", why));
    }
    Ok(())
}

pub fn check_settings(
    settings: &CampaignSettings,
    variants: usize,
    schema: &Schema,
    saved: &[SavedSegmentRow],
    now: Timestamp,
) -> Result<(), Unlawful> {
    if !settings.audience.is_empty() {
        launch::filter(settings, schema, saved, now)?;
    }
    if let (Some(start), Some(end)) = (settings.starts_at, settings.deadline)
        && end <= start
    {
        return Err(Unlawful::of("settings.deadline", "lies before the start"));
    }
    check_tracking(&settings.tracking)?;
    check_confirming(&settings.audience, schema)?;
    if settings.sunset_days.is_some_and(|days| !(30..=3650).contains(&days)) {
        return Err(Unlawful::of("settings.sunset_days", "is 30 to 3650"));
    }
    if settings.rest_days.is_some_and(|days| !(1..=365).contains(&days)) {
        return Err(Unlawful::of("settings.rest_days", "is 1 to 365"));
    }
    let zone = |field: &str, name: &str| {
        let wrong = |_| Unlawful::of(field, "is no time zone such as Europe/Berlin");
        TimeZone::get(name).map(|_| ()).map_err(wrong)
    };
    if let Some(name) = &settings.local_time {
        zone("settings.local_time", name)?;
    }
    if let Some(window) = &settings.window {
        zone("settings.window.zone", &window.zone)?;
        if window.from_minute > 1439 || window.to_minute > 1440 {
            return Err(Unlawful::of("settings.window", "a day has 1440 minutes"));
        }
        if window.days.iter().any(|day| !(1..=7).contains(day)) {
            return Err(Unlawful::of("settings.window.days", "1 is Monday, 7 is Sunday"));
        }
    }
    if let Some(throttle) = &settings.throttle
        && (throttle.messages == 0 || !(1..=86_400).contains(&throttle.seconds))
    {
        let why = "one message at least, in 1 to 86400 seconds";
        return Err(Unlawful::of("settings.throttle", why));
    }
    match (&settings.test, variants) {
        (None, 2..) => Err(Unlawful::of("settings.test", "several variants need a test")),
        (Some(_), 1) => Err(Unlawful::of("settings.test", "a test needs two variants")),
        (Some(test), _) if !(1..=100).contains(&test.sample_percent) => {
            Err(Unlawful::of("settings.test.sample_percent", "is 1 to 100"))
        }
        (Some(test), _) if test.otherwise.is_some_and(|one| one >= variants as u64) => {
            Err(Unlawful::of("settings.test.otherwise", "there is no such variant"))
        }
        _ => Ok(()),
    }
}

/// Who has not confirmed is asked for one list, and by a page that anybody may see.
fn check_confirming(audience: &Audience, schema: &Schema) -> Result<(), Unlawful> {
    if !audience.unconfirmed {
        return Ok(());
    }
    let is_alone = audience.segments.is_empty() && audience.expression.is_none();
    let is_public = |list: &ListId| {
        schema.list(*list).is_some_and(|row| row.visibility == ListVisibility::Public)
    };
    match audience.lists.as_slice() {
        [list] if is_alone && is_public(list) => Ok(()),
        _ => Err(Unlawful::of("settings.audience.unconfirmed", "takes one list, which is public")),
    }
}

/// Parameters stand in every link.
pub fn check_tracking(tracking: &CampaignTracking) -> Result<(), Unlawful> {
    let Some(utm) = &tracking.utm else { return Ok(()) };
    let all = [Some(&utm.source), utm.medium.as_ref(), utm.campaign.as_ref()];
    let is_lawful = |text: &&String| (1..=100).contains(&text.len());
    match all.iter().flatten().all(is_lawful) {
        true => Ok(()),
        false => Err(Unlawful::of("tracking.utm", "each is 1 to 100 octets")),
    }
}

/// What is known of an organization when its campaign is looked at.
pub struct Known<'a> {
    pub domains: &'a [DomainRow],
    pub keys: &'a [DkimKeyRow],
    /// Links in mails lead somewhere.
    pub has_links: bool,
    /// Contacts in the audience now.
    pub audience: u64,
    pub now: Timestamp,
}

/// Beside those of its templates.
pub fn checks(row: &CampaignRow, known: &Known<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut tell = |weight, why: String| checks.push(Check { weight, why });
    let from = Address::parse(&row.content.from).ok();
    let domain = from.as_ref().map(Address::domain);
    let owned = domain.and_then(|name| known.domains.iter().find(|one| name.is_within(&one.name)));
    if owned.is_none() {
        let why = "the domain in From is none of the organization's";
        tell(Weight::Wrong, why.to_owned());
    }
    let signs = |key: &DkimKeyRow| domain.is_some_and(|name| name.is_within(&key.domain));
    if !known.keys.iter().any(signs) {
        let why = "the domain in From has no DKIM key: large operators refuse such mail";
        tell(Weight::Doubtful, why.to_owned());
    }
    if !known.has_links {
        let why = "http.public_url is not set: nobody could unsubscribe";
        tell(Weight::Wrong, why.to_owned());
    }
    if row.settings.audience.is_empty() {
        tell(Weight::Wrong, "no list, segment or expression says to whom it goes".to_owned());
    } else if known.audience == 0 {
        tell(Weight::Wrong, "nobody is in the audience".to_owned());
    }
    let confirms = |variant: &CampaignVariant| {
        let layout = variant.layout.as_deref().unwrap_or_default();
        variant.body.contains("confirm_url") || layout.contains("confirm_url")
    };
    let mut mails = row.content.variants.iter().flat_map(CampaignVariant::mails);
    if row.settings.audience.unconfirmed && !mails.all(|mail| confirms(&mail)) {
        let why = "nothing leads to confirming: put {{ confirm_url }} into a link";
        tell(Weight::Wrong, why.to_owned());
    }
    if row.settings.deadline.is_some_and(|deadline| deadline <= known.now) {
        tell(Weight::Wrong, "the deadline is over".to_owned());
    }
    checks
}

/// Where everybody of the audience is; their sum is the audience.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Sums {
    /// Not yet owed to anybody.
    pub planned: u64,
    pub waiting: u64,
    pub held: u64,
    pub delivered: u64,
    pub failed: u64,
    pub expired: u64,
    pub cancelled: u64,
    pub suppressed: u64,
    /// Contacts that were erased before their mail was made.
    pub removed: u64,
}

/// `fed`: contacts of the slices that have become deliveries.
pub fn sums(row: &CampaignRow, fed: u64, states: &[(State, u64)]) -> Sums {
    let of = |wanted: State| {
        let found = states.iter().filter(|(state, _)| *state == wanted);
        found.map(|(_, count)| count).sum()
    };
    let all: u64 = states.iter().map(|(_, count)| count).sum();
    let unfed = row.audience.unwrap_or(0).saturating_sub(fed);
    let mut sums = Sums {
        planned: 0,
        waiting: of(State::Waiting) + of(State::Leased),
        held: of(State::Held),
        delivered: of(State::Delivered),
        failed: of(State::Failed),
        expired: of(State::Expired),
        cancelled: of(State::Cancelled),
        suppressed: of(State::Suppressed),
        removed: fed.saturating_sub(all),
    };
    match row.state {
        CampaignState::Cancelled => sums.cancelled += unfed,
        // Its deadline came first.
        CampaignState::Sent => sums.expired += unfed,
        _ => sums.planned = unfed,
    }
    sums
}
/// As `sums`, from what is open and the counts of events, which are some seconds old: what has
/// ended since then still waits here while the campaign is not over, so that all add up.
pub fn counted_sums(row: &CampaignRow, counts: &CampaignCounts) -> Sums {
    let mut states = counts.states.clone();
    let all: u64 = states.iter().map(|(_, count)| count).sum();
    // Who was given up and taken later has both events.
    let mut twice = all.saturating_sub(counts.fed);
    let given_up = [State::Expired, State::Cancelled];
    for (_, count) in states.iter_mut().filter(|(state, _)| given_up.contains(state)) {
        let gone = twice.min(*count);
        (*count, twice) = (*count - gone, twice - gone);
    }
    if !matches!(row.state, CampaignState::Sent | CampaignState::Cancelled) {
        states.push((State::Leased, counts.fed.saturating_sub(all)));
    }
    sums(row, counts.fed, &states)
}

/// Images that the mail names as `cid:` and does not carry.
pub fn missing_images(content: &CampaignContent, carried: &[&str]) -> Vec<Check> {
    let mut missing = BTreeSet::new();
    for variant in content.variants.iter().flat_map(CampaignVariant::mails) {
        for quote in ['"', '\''] {
            for rest in variant.body.split(&format!("{quote}cid:")).skip(1) {
                let name = rest.split(quote).next().unwrap_or_default();
                let is_it = |own: &&str| {
                    own.bytes().map(encode::percent).collect::<String>() == name || *own == name
                };
                // What a template makes of it is known when it is made.
                if !name.contains("{{") && !carried.iter().any(is_it) {
                    missing.insert(name.to_owned());
                }
            }
        }
    }
    let told = |name: String| Check {
        weight: Weight::Doubtful,
        why: format!("the image cid:{name} is not among the attachments"),
    };
    missing.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(state: CampaignState, audience: u64) -> CampaignRow {
        let row = serde_json::json!({"id": 1, "organization": 1, "name": "", "state": state,
            "stream": 2, "revision": 1, "settings": {}, "winner": null, "audience": audience,
            "content": {"from": "news@shop.example", "from_name": "", "reply_to": null,
                "variants": []},
            "trouble": null, "created_at": 0, "updated_at": 0, "launched_at": 0,
            "ended_at": null, "automation": null});
        serde_json::from_value(row).expect("a campaign")
    }

    fn all(sums: &Sums) -> u64 {
        let Sums { planned, waiting, held, delivered, failed, .. } = sums;
        let Sums { expired, cancelled, suppressed, removed, .. } = sums;
        planned + waiting + held + delivered + failed + expired + cancelled + suppressed + removed
    }

    #[test]
    fn what_is_counted_late_still_waits_until_the_campaign_is_over() {
        let states = vec![(State::Waiting, 3), (State::Delivered, 90), (State::Failed, 2)];
        let counts = CampaignCounts { fed: 100, states };
        let sending = counted_sums(&campaign(CampaignState::Sending, 150), &counts);
        assert_eq!((sending.planned, sending.waiting, sending.removed), (50, 8, 0));
        let sent = counted_sums(&campaign(CampaignState::Sent, 150), &counts);
        assert_eq!((sent.expired, sent.waiting, sent.removed), (50, 3, 5));
        assert_eq!((all(&sending), all(&sent)), (150, 150));
    }

    #[test]
    fn who_was_given_up_and_taken_later_counts_once() {
        let states = vec![(State::Delivered, 97), (State::Expired, 2), (State::Cancelled, 3)];
        let counts = CampaignCounts { fed: 100, states };
        let sums = counted_sums(&campaign(CampaignState::Sent, 100), &counts);
        assert_eq!((sums.delivered, sums.expired, sums.cancelled), (97, 0, 3));
        assert_eq!(all(&sums), 100);
    }

    #[test]
    fn nobody_counts_anywhere_before_the_launch() {
        let draft = campaign(CampaignState::Draft, 0);
        assert_eq!(counted_sums(&draft, &CampaignCounts::default()), Sums::default());
    }
}
