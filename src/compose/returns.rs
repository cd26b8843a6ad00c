//! What a mail carries so that what comes back is known again: envelope sender and own field.
//!
//! Owns:       the domains that mail comes back to; prefixes of local parts; how long tokens hold.
//! Promises:   a mail has one return path through all its tries; an address that we did not sign,
//!             or whose time is over, is nobody's.
//! Knows not:  what comes back, what follows from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::links::LINKS_LIVE;
use crate::clock::Clock;
use crate::model::*;
use crate::store::{MessageRow, Store, StoreError};
use crate::token::{Claim, Keys, TOKEN_LETTERS, Use};
use crate::wire::header::HeaderSection;

/// In front of the token in a local part; the letter says what the address is for.
const BOUNCE: &str = "b-";
const UNSUBSCRIBE: &str = "u-";
/// The field that names the delivery where a report returns the mail and not the envelope.
pub const FIELD: &str = "Delivery-Token";

#[derive(Clone, Debug)]
pub struct ReturnOptions {
    /// The installation's own; None: only organizations with one of their own have return paths.
    pub domain: Option<Domain>,
    /// How long after the end of a mail's time something may come back for it.
    pub valid: Duration,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Returns(Arc<Inner>);

struct Inner {
    keys: Keys,
    options: ReturnOptions,
    store: Option<Store>,
    domains: ArcSwap<HashMap<OrganizationId, Domain>>,
    clock: Clock,
}

impl Returns {
    pub async fn open(
        keys: Keys,
        options: ReturnOptions,
        store: Store,
        clock: Clock,
    ) -> Result<Returns, StoreError> {
        let domains = ArcSwap::default();
        let returns =
            Returns(Arc::new(Inner { keys, options, store: Some(store), domains, clock }));
        returns.reload().await?;
        Ok(returns)
    }

    /// With domains that never change: for tests.
    pub fn with_keys(keys: Keys, options: ReturnOptions, clock: Clock) -> Returns {
        let domains = ArcSwap::default();
        Returns(Arc::new(Inner { keys, options, store: None, domains, clock }))
    }

    /// The domains of organizations were changed.
    pub async fn reload(&self) -> Result<(), StoreError> {
        if let Some(store) = &self.0.store {
            let rows = store.return_domains().await?;
            let domains = rows.into_iter().map(|row| (row.organization, row.name)).collect();
            self.0.domains.store(Arc::new(domains));
        }
        Ok(())
    }

    pub fn domain_of(&self, organization: OrganizationId) -> Option<Domain> {
        let own = self.0.domains.load().get(&organization).cloned();
        own.or_else(|| self.0.options.domain.clone())
    }

    /// Mail to addresses of this domain comes back to us.
    pub fn is_ours(&self, domain: &Domain) -> bool {
        self.0.options.domain.as_ref() == Some(domain)
            || self.0.domains.load().values().any(|own| own == domain)
    }

    /// Whose return path the domain is; None for the installation's, and for a foreign one.
    pub fn owner(&self, domain: &Domain) -> Option<OrganizationId> {
        let domains = self.0.domains.load();
        domains.iter().find(|(_, own)| *own == domain).map(|(organization, _)| *organization)
    }

    /// The envelope sender of a transaction that begins with this delivery. A report has none, and
    /// what its submitter gave is kept where there is no domain to come back to.
    pub fn sender(&self, message: &MessageRow, first: DeliveryId) -> ReversePath {
        if message.sender.0.is_none() {
            return ReversePath::NULL;
        }
        let path = self.address(Use::ReturnPath, message, first);
        path.map_or_else(|| message.sender.clone(), |address| ReversePath(Some(address)))
    }

    /// The address of a use, where the organization has a domain to come back to.
    pub fn address(&self, of: Use, message: &MessageRow, first: DeliveryId) -> Option<Address> {
        let domain = self.domain_of(message.organization)?;
        let token = self.token(of, message, first);
        let prefix = match of {
            Use::ReturnPath => BOUNCE,
            Use::Unsubscribe => UNSUBSCRIBE,
            // They stand in links alone.
            Use::Open | Use::Click | Use::Confirm | Use::Erase | Use::Browse => return None,
        };
        Address::parse(&format!("{prefix}{token}@{domain}")).ok()
    }

    /// It holds for a time that follows from the mail alone: every try has the same.
    pub fn token(&self, of: Use, message: &MessageRow, first: DeliveryId) -> String {
        let claim = Claim { message: message.id, delivery: first };
        let ends = match of {
            Use::Unsubscribe => message.accepted_at + LINKS_LIVE,
            _ => message.expires_at + self.0.options.valid,
        };
        self.0.keys.token(of, claim, ends)
    }

    /// The field that stands above a mail with a return path of ours.
    pub fn field(&self, message: &MessageRow, first: DeliveryId) -> Option<Bytes> {
        message.sender.0.as_ref()?;
        self.domain_of(message.organization)?;
        let token = self.token(Use::ReturnPath, message, first);
        Some(Bytes::from(format!("{FIELD}: {BOUNCE}{token}\r\n")))
    }

    /// The fields of RFC 2369 and RFC 8058 for mail of a marketing stream that has none of its own.
    /// `link` leads to the page that a mail program may post to.
    pub fn list_fields(
        &self,
        message: &MessageRow,
        delivery: DeliveryId,
        link: Option<&str>,
        body: &[u8],
    ) -> Option<Vec<u8>> {
        let section = HeaderSection::scan(body).ok()?;
        if message.rank == 0 || section.find("List-Unsubscribe").is_some() {
            return None;
        }
        let ways = self.ways(message, delivery, link)?;
        let mut fields = format!("List-Unsubscribe: {ways}\r\n");
        if link.is_some() {
            fields.push_str("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
        }
        for (name, value) in self.complaint_fields(message, delivery, &from_domain(&section)) {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        Some(fields.into_bytes())
    }

    /// Where complaints are brought (RFC 9477): only to a domain that the signature of the From
    /// domain vouches for.
    pub fn complaint_fields(
        &self,
        message: &MessageRow,
        delivery: DeliveryId,
        from: &str,
    ) -> Vec<(&'static str, String)> {
        let Some(address) = self.address(Use::ReturnPath, message, delivery) else {
            return Vec::new();
        };
        match Domain::parse(from) {
            Ok(from) if address.domain().is_within(&from) => vec![
                ("CFBL-Address", format!("{address}; report=arf")),
                ("CFBL-Feedback-ID", address.local().to_owned()),
            ],
            _ => Vec::new(),
        }
    }

    /// How to leave: by the page, by mail, or by both.
    pub fn ways(
        &self,
        message: &MessageRow,
        delivery: DeliveryId,
        link: Option<&str>,
    ) -> Option<String> {
        let link = link.map(|url| format!("<{url}>"));
        let address = self.address(Use::Unsubscribe, message, delivery);
        let mailto = address.map(|address| format!("<mailto:{address}?subject=unsubscribe>"));
        let ways: Vec<String> = link.into_iter().chain(mailto).collect();
        (!ways.is_empty()).then(|| ways.join(",\r\n\t"))
    }

    /// Which delivery an address of ours names, and for which use; None when it is none that we
    /// made or its time is over.
    pub fn read(&self, local: &str) -> Option<(Use, Claim)> {
        let prefix = local.get(..BOUNCE.len())?;
        let of = [(BOUNCE, Use::ReturnPath), (UNSUBSCRIBE, Use::Unsubscribe)];
        let (_, of) = of.into_iter().find(|(word, _)| prefix.eq_ignore_ascii_case(word))?;
        let claim = self.read_token(of, &local[BOUNCE.len()..])?;
        Some((of, claim))
    }

    pub fn read_token(&self, of: Use, token: &str) -> Option<Claim> {
        self.0.keys.read(of, token, self.0.clock.now()).ok()
    }

    /// `b-TOKEN` and `u-TOKEN` of an address, `u/TOKEN` of a link.
    fn named(&self, text: &str) -> Option<Claim> {
        match text.strip_prefix("u/") {
            Some(token) => self.read_token(Use::Unsubscribe, token),
            None => self.read(text).map(|(_, claim)| claim),
        }
    }

    /// The deliveries that are named anywhere in a text: in a returned `Return-Path`, in our own
    /// field, in a link of `List-Unsubscribe`. At most `count`, each once.
    pub fn named_in(&self, text: &[u8], count: usize) -> Vec<Claim> {
        let mut found = Vec::new();
        let is_letter = |b: &u8| b.is_ascii_alphanumeric();
        for (dash, _) in text.iter().enumerate().filter(|(_, octet)| matches!(octet, b'-' | b'/')) {
            if found.len() >= count {
                break;
            }
            let Some(letters) = text.get(dash + 1..dash + 1 + TOKEN_LETTERS) else { break };
            let is_whole = letters.iter().all(is_letter)
                && !text.get(dash + 1 + TOKEN_LETTERS).is_some_and(is_letter);
            let local = dash
                .checked_sub(1)
                .and_then(|start| std::str::from_utf8(&text[start..dash + 1 + TOKEN_LETTERS]).ok());
            let claim = local.filter(|_| is_whole).and_then(|local| self.named(local));
            if let Some(claim) = claim.filter(|claim| !found.contains(claim)) {
                found.push(claim);
            }
        }
        found
    }
}

/// Of the author; empty where none can be read.
pub(super) fn from_domain(section: &HeaderSection<'_>) -> String {
    let from = section.find("From").map(|field| field.text().into_owned()).unwrap_or_default();
    let domain = from.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
    domain.trim().trim_end_matches('>').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    fn returns(domain: Option<&str>) -> Returns {
        let domain = domain.map(|text| Domain::parse(text).expect("lawful"));
        let options = ReturnOptions { domain, valid: Duration::from_secs(60 * 86_400) };
        Returns::with_keys(Keys::standing(3), options, Clock::standing(1))
    }

    fn message(sender: &str) -> MessageRow {
        MessageRow {
            id: MessageId(7),
            accepted_at: Clock::standing(1).now(),
            expires_at: Clock::standing(1).now(),
            ..samples::message(sender)
        }
    }

    const CLAIM: Claim = Claim { message: MessageId(7), delivery: DeliveryId(9) };

    #[test]
    fn an_envelope_sender_names_its_delivery_in_letters_of_any_case() {
        let returns = returns(Some("bounce.shop.example"));
        let sender = returns.sender(&message("ann@shop.example"), DeliveryId(9));
        let address = sender.0.expect("an address");
        assert_eq!(address.domain().as_str(), "bounce.shop.example");
        assert!(address.local().len() <= 64);
        assert_eq!(returns.read(address.local()), Some((Use::ReturnPath, CLAIM)));
        let upper = address.local().to_uppercase();
        assert_eq!(returns.read(&upper), Some((Use::ReturnPath, CLAIM)));
        assert_eq!(returns.read(&address.local().replacen('b', "u", 1)), None);
        assert_eq!(returns.read("b-"), None);
        assert_eq!(returns.read("é"), None);
    }

    #[test]
    fn a_report_keeps_the_null_sender_and_without_a_domain_all_keep_theirs() {
        let kept = |domain, sender| returns(domain).sender(&message(sender), DeliveryId(9));
        assert_eq!(kept(Some("bounce.shop.example"), ""), ReversePath::NULL);
        assert_eq!(kept(None, "ann@shop.example").to_string(), "ann@shop.example");
        assert_eq!(returns(None).field(&message("ann@shop.example"), DeliveryId(9)), None);
    }

    #[test]
    fn deliveries_are_found_wherever_a_report_names_them() {
        let returns = returns(Some("bounce.shop.example"));
        let row = message("ann@shop.example");
        let path = returns.sender(&row, DeliveryId(9));
        let field = returns.field(&row, DeliveryId(9)).expect("a field");
        let leave = returns.address(Use::Unsubscribe, &row, DeliveryId(10)).expect("an address");
        let text = format!("Return-Path: <{path}>\r\nList-Unsubscribe: <mailto:{leave}>\r\n");
        let other = Claim { delivery: DeliveryId(10), ..CLAIM };
        assert_eq!(returns.named_in(text.as_bytes(), 9), [CLAIM, other]);
        assert_eq!(returns.named_in(&field, 9), [CLAIM]);
        let forged = "Return-Path: <b-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@x.example>";
        assert_eq!(returns.named_in(forged.as_bytes(), 9), []);
        assert_eq!(returns.named_in(text.as_bytes(), 1), [CLAIM]);
    }

    #[test]
    fn marketing_mail_tells_how_to_leave_and_other_mail_does_not() {
        let returns = returns(Some("bounce.shop.example"));
        let mut row = message("ann@shop.example");
        let body: &[u8] = b"From: a@shop.example\r\n\r\nx\r\n";
        let token = returns.token(Use::Unsubscribe, &row, DeliveryId(9));
        let link = format!("https://mail.shop.example/u/{token}");
        let fields = |row: &MessageRow, body: &[u8]| {
            let fields = returns.list_fields(row, DeliveryId(9), Some(&link), body);
            fields.map(|fields| String::from_utf8(fields).expect("text"))
        };
        assert_eq!(fields(&row, body), None);
        row.rank = 1;
        let text = fields(&row, body).expect("fields");
        assert!(text.starts_with(&format!("List-Unsubscribe: <{link}>,")), "{text}");
        assert!(text.contains("<mailto:u-") && text.contains("@bounce.shop.example?subject="));
        assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
        assert!(text.contains("\r\nCFBL-Address: b-"), "{text}");
        assert!(text.contains("@bounce.shop.example; report=arf\r\nCFBL-Feedback-ID: b-"));
        let foreign: &[u8] = b"From: A <a@other.example>\r\n\r\nx\r\n";
        assert!(!fields(&row, foreign).expect("fields").contains("CFBL"), "nobody vouches for it");
        assert_eq!(returns.named_in(text.as_bytes(), 9), [CLAIM]);
        assert_eq!(returns.named_in(link.as_bytes(), 9), [CLAIM]);
        let own: &[u8] = b"List-Unsubscribe: <https://x.example>\r\n\r\nx\r\n";
        assert_eq!(fields(&row, own), None);
    }
}
