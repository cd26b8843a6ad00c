//! Whoever wants mail of a public list: asked on a page, confirmed from the mailbox.
//!
//! Owns:       what asking and confirming mean for memberships; how often one may ask.
//! Promises:   nobody is written to but to confirm, at most three times a day and not twice within
//!             ten minutes; a page says the same whether or not an address is known.
//! Knows not:  pages, mail.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use super::edit::ContactInput;
use super::{Schema, Unlawful, edit};
use crate::model::*;
use crate::store::{
    Consent, ConsentRow, ContactBatch, ContactWrite, ListRow, Store, StoreError, UpsertMode,
    Written,
};

const DAY: Duration = Duration::from_secs(86_400);
/// Confirmations of one address in a day.
const REQUESTS_MAX: usize = 3;
/// One is pending: another would only confuse.
const PENDING: Duration = Duration::from_secs(600);
/// Requests of one network in an hour.
const NETWORK_REQUESTS_MAX: u32 = 30;
const HOUR: Duration = Duration::from_secs(3600);
const NETWORKS_MAX: usize = 50_000;

#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unlawful(#[from] Unlawful),
    #[error("there is no such list")]
    NoList,
    #[error("too many requests from this network")]
    TooOften,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A mail that asks for confirmation.
    Confirm {
        contact: ContactId,
        email: String,
    },
    Nothing,
}

/// How often each network has asked within the hour. An hour that is full of networks begins anew.
#[derive(Default)]
pub struct Doorman(Mutex<HashMap<IpAddr, (Timestamp, u32)>>);

impl Doorman {
    pub fn lets_in(&self, address: IpAddr, now: Timestamp) -> bool {
        let mut networks = self.0.lock();
        if networks.len() >= NETWORKS_MAX {
            networks.clear();
        }
        let entry = networks.entry(network(address)).or_insert((now, 0));
        if now.since(entry.0) >= HOUR {
            *entry = (now, 0);
        }
        entry.1 += 1;
        entry.1 <= NETWORK_REQUESTS_MAX
    }
}

/// An IPv4 /24, an IPv6 /48.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    }
}

/// A list that anybody may subscribe to.
pub async fn public_list(
    store: &Store,
    organization: OrganizationId,
    list: ListId,
) -> Result<ListRow, SubscribeError> {
    let lists = store.lists(organization).await?;
    let found = lists.into_iter().find(|row| row.id == list);
    found.filter(|row| row.visibility == ListVisibility::Public).ok_or(SubscribeError::NoList)
}

/// The form that somebody has filled in, as consents tell of it.
#[derive(Clone, Debug)]
pub struct FormSeen {
    /// What one agrees to; empty: the list's name.
    pub wording: String,
    /// 0: the one that every list has.
    pub version: u64,
}

impl FormSeen {
    fn consent(self, action: ConsentAction, source: String, by: IpAddr, list: &ListRow) -> Consent {
        let source = match self.version {
            0 => source,
            version => format!("{source}, form version {version}"),
        };
        let wording = if self.wording.is_empty() { list.name.clone() } else { self.wording };
        Consent::Each { action, source, address: Some(by.to_string()), wording }
    }
}

/// Somebody has typed an address into a page; nobody knows yet whose it is.
pub async fn ask(
    store: &Store,
    list: &ListRow,
    email: &str,
    form: FormSeen,
    (address, now): (IpAddr, Timestamp),
) -> Result<Next, SubscribeError> {
    let email = edit::email(email)?;
    let organization = list.organization;
    if !store.contact_domains(organization).await?.takes(&email) {
        return Err(Unlawful::of("email", edit::DOMAIN_REFUSED).into());
    }
    if let Some(known) = store.contact_by_email(organization, &email).await? {
        let memberships = store.memberships(organization, &[known.id]).await?;
        let is_in = |row: &crate::store::MembershipRow| {
            row.list == list.id && row.status == MembershipStatus::Subscribed
        };
        let consents = store.consents(organization, known.id).await?;
        if memberships.iter().any(is_in) || has_asked_enough(&consents, now) {
            return Ok(Next::Nothing);
        }
    }
    // Whoever may have typed it, only its owner can say yes; so even a list with single opt-in
    // asks here.
    let write = ContactWrite {
        memberships: vec![(list.id, MembershipStatus::Unconfirmed)],
        ..ContactWrite::of(store.contact_ids(1).await?, email.clone())
    };
    let source = format!("page of list {}", list.id);
    let consent = form.consent(ConsentAction::Requested, source, address, list);
    let contact = write_one(store, organization, write, consent, (false, now)).await?;
    Ok(contact.map_or(Next::Nothing, |contact| Next::Confirm { contact, email }))
}

fn has_asked_enough(consents: &[ConsentRow], now: Timestamp) -> bool {
    let asked = consents.iter().filter(|row| row.action == ConsentAction::Requested);
    let within = |row: &&ConsentRow, span: Duration| now.since(row.at) < span;
    let today = asked.clone().filter(|row| within(row, DAY)).count();
    today >= REQUESTS_MAX || asked.clone().any(|row| within(&row, PENDING))
}

/// The owner of the mailbox has said yes, also to what was `given` beside his address. False when
/// the contact is gone.
pub async fn confirm(
    store: &Store,
    list: &ListRow,
    contact: ContactId,
    (given, form): (&ContactInput, FormSeen),
    (address, now): (IpAddr, Timestamp),
) -> Result<bool, SubscribeError> {
    let organization = list.organization;
    let Some(known) = store.contact(organization, contact).await? else { return Ok(false) };
    let schema = Schema::read(store, organization).await?;
    let bare = ContactWrite::of(known.id, known.email);
    // The form may have been for fields as they are no longer: that keeps nobody from saying yes.
    let filled = edit::applied(&schema, bare.clone(), given).unwrap_or(bare);
    let write = ContactWrite {
        status: Some(ContactStatus::Active),
        memberships: vec![(list.id, MembershipStatus::Subscribed)],
        ..filled
    };
    let source = "link in the confirmation mail".to_owned();
    let consent = form.consent(ConsentAction::Confirmed, source, address, list);
    Ok(write_one(store, organization, write, consent, (true, now)).await?.is_some())
}

async fn write_one(
    store: &Store,
    organization: OrganizationId,
    write: ContactWrite,
    consent: Consent,
    (resubscribe, at): (bool, Timestamp),
) -> Result<Option<ContactId>, StoreError> {
    let (mode, rows) = (UpsertMode::AddOrUpdate, vec![write]);
    let batch = ContactBatch { organization, at, mode, consent, resubscribe, rows, progress: None };
    let written = store.write_contacts(batch).await?;
    Ok(written.first().and_then(|written| match written {
        Written::Added(id) | Written::Updated(id) => Some(*id),
        Written::Skipped => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_three_times_a_day_and_not_twice_within_minutes() {
        let now = Timestamp::from_seconds(1_000_000);
        let row = |seconds: u64, action: ConsentAction| ConsentRow {
            id: ConsentId(1),
            list: None,
            action,
            at: now - Duration::from_secs(seconds),
            source: String::new(),
            address: None,
            wording: String::new(),
        };
        let asked = |ages: &[u64]| -> bool {
            let rows: Vec<ConsentRow> =
                ages.iter().map(|age| row(*age, ConsentAction::Requested)).collect();
            has_asked_enough(&rows, now)
        };
        assert!(!asked(&[]) && !asked(&[700]) && !asked(&[700, 5000]));
        assert!(asked(&[30]), "one is pending");
        assert!(asked(&[700, 5000, 80_000]));
        assert!(!asked(&[700, 5000, 90_000]), "the third was yesterday");
        assert!(!has_asked_enough(&[row(10, ConsentAction::Imported)], now));
    }

    #[test]
    fn a_network_asks_so_often_and_others_are_let_in() {
        let (doorman, now) = (Doorman::default(), Timestamp::from_seconds(1000));
        let from = |text: &str| text.parse::<IpAddr>().expect("an address");
        for _ in 0..NETWORK_REQUESTS_MAX {
            assert!(doorman.lets_in(from("192.0.2.7"), now));
        }
        assert!(!doorman.lets_in(from("192.0.2.99"), now), "the same network");
        assert!(doorman.lets_in(from("198.51.100.1"), now));
        assert!(doorman.lets_in(from("2001:db8:1::5"), now));
        assert!(doorman.lets_in(from("192.0.2.7"), now + HOUR));
    }
}
