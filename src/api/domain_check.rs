//! /v1/domains/{name}: the DNS records a sending domain needs, and what its name servers say.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::domain_hosts::Hosts;
use super::domain_upkeep::{Upkeep, record_name};
use super::extract::Path;
use super::problem::Problem;
use crate::dns::spf::{LOOKUPS_MAX, is_spf};
use crate::dns::{Authority, Resolver};
use crate::model::state::words;
use crate::model::{Domain, Scope, Timestamp};
use crate::schedule::sources::Sources;
use crate::store::{DkimKeyRow, DomainRow, Store};
use crate::token::base32;

const VERIFICATION_LABEL: &str = "_postroad";
const VERIFICATION_LETTERS: usize = 26;

words! {
    /// What a look at one record has found.
    RecordState {
        Right = "right",
        Missing = "missing",
        /// There is one, and it says something else.
        Different = "different",
        /// The name servers did not answer.
        Unknown = "unknown",
    }
}

/// One record: what is expected, and what was found.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordCheck {
    /// `verification`, `spf`, `dkim`, `dmarc`, `return_path`, `return_path_spf`,
    /// `tracking`, `inbound`.
    pub purpose: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// As it should be published.
    pub expected: String,
    pub found: Vec<String>,
    pub state: RecordState,
    /// What to do about it.
    pub note: String,
    /// The domain is ready without it.
    #[serde(default)]
    pub optional: bool,
}

/// A look at all records of a domain, at its own name servers.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DomainCheck {
    pub domain: Domain,
    pub at: Timestamp,
    /// It was shown to be the organization's; nobody sends from it before.
    pub verified: bool,
    /// All records are right.
    pub ready: bool,
    /// The name servers that were asked.
    pub servers: Vec<String>,
    /// Look-ups that a receiver makes for SPF; more than 10 fail.
    pub spf_lookups: u32,
    pub records: Vec<RecordCheck>,
}

/// Look now at the records of a domain, at its own name servers; a domain that is not verified is
/// when its record is there, and a new key signs once a mail that it signed was verified.
#[utoipa::path(post, path = "/v1/domains/{name}/check", tag = "domains",
    params(("name" = String, Path, description = "The domain")),
    responses((status = 200, body = DomainCheck)), security(("key" = ["domains_read"])))]
pub(super) async fn check(
    call: Call<needs::DomainsRead>,
    Path(name): Path<Domain>,
) -> Result<axum::Json<DomainCheck>, Problem> {
    let row = own(&call.store, call.scope(), &name).await?;
    let stopped = || Problem::conflict("no daemon is running");
    let upkeep = Upkeep::of(&call).ok_or_else(stopped)?;
    Ok(axum::Json(upkeep.look(&row).await?))
}

async fn own(store: &Store, scope: Scope, name: &Domain) -> Result<DomainRow, Problem> {
    let rows = store.domains().await?;
    let found = rows.into_iter().find(|row| row.name == *name && scope.covers(row.organization));
    found.ok_or_else(|| Problem::not_found("there is no such domain"))
}

/// Looks at the records of sending domains.
#[derive(Clone)]
pub struct Looker {
    pub resolver: Resolver,
    /// What mail leaves from, and SPF must cover.
    pub sources: Arc<Sources>,
    /// Where this installation is.
    pub hosts: Hosts,
    /// Of name servers.
    pub port: u16,
}

impl Looker {
    /// Looks, and changes nothing.
    pub(super) async fn check(
        &self,
        row: &DomainRow,
        keys: &[DkimKeyRow],
        own: (Option<&Domain>, Option<&Domain>),
        at: Timestamp,
    ) -> DomainCheck {
        let domain = &row.name;
        let mut check = DomainCheck {
            domain: domain.clone(),
            at,
            verified: row.verified_at.is_some(),
            ready: false,
            servers: Vec::new(),
            spf_lookups: 0,
            records: Vec::new(),
        };
        let authority = self.resolver.authority(domain, self.port).await;
        if let Ok(authority) = &authority {
            check.servers.clone_from(&authority.servers);
        }
        let authority = authority.as_ref().map_err(ToString::to_string);
        self.spf(authority.clone(), &mut check).await;
        for key in keys {
            let name = record_name(key);
            let found = texts(authority.clone(), &name).await;
            check.records.push(dkim(key, name, found));
        }
        if keys.is_empty() {
            check.records.push(no_key(domain));
        }
        let name = format!("_dmarc.{domain}");
        let found = texts(authority.clone(), &name).await;
        check.records.push(dmarc(name, found));
        check.records.extend(self.host_records(authority.clone(), domain, own).await);
        let name = format!("{VERIFICATION_LABEL}.{domain}");
        let found = match check.verified {
            // It has done its duty.
            true => Ok(vec![verification_text(row)]),
            false => texts(authority, &name).await,
        };
        check.records.push(verification(row, name, found));
        check
    }

    /// As the world sees them.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let rows = self.sources.rows();
        rows.iter().flat_map(|(row, ..)| row.kind.seen_as().iter().copied()).collect()
    }

    async fn spf(&self, authority: Result<&Authority, String>, check: &mut DomainCheck) {
        let name = check.domain.to_string();
        let mut record = record("spf", name.clone(), self.spf_expected());
        match texts(authority, &name).await {
            Err(why) => unknown(&mut record, why),
            Ok(all) => {
                record.found = all.into_iter().filter(|text| is_spf(text)).collect();
                check.spf_lookups = self.judge_found(&name, &mut record).await;
            }
        }
        check.records.push(record);
    }

    pub(super) fn spf_expected(&self) -> String {
        spf_expected(&self.addresses())
    }

    /// The look-ups that the record costs.
    pub(super) async fn judge_found(&self, name: &str, record: &mut RecordCheck) -> u32 {
        let only = match record.found.as_slice() {
            [] => {
                record.note = "publish this record".to_owned();
                return 0;
            }
            [only] => only,
            _ => {
                record.state = RecordState::Different;
                record.note = "more than one SPF record is as good as none".to_owned();
                return 0;
            }
        };
        match self.resolver.spf(name, only, &self.addresses()).await {
            Err(why) => {
                unknown(record, why.to_string());
                0
            }
            Ok(report) => {
                judge_spf(record, &report);
                report.lookups
            }
        }
    }
}

async fn texts(authority: Result<&Authority, String>, name: &str) -> Result<Vec<String>, String> {
    authority?.texts(name).await.map_err(|why| why.to_string())
}

pub(super) fn record(purpose: &str, name: String, expected: String) -> RecordCheck {
    RecordCheck {
        purpose: purpose.to_owned(),
        name,
        kind: "TXT".to_owned(),
        expected,
        found: Vec::new(),
        state: RecordState::Missing,
        note: String::new(),
        optional: false,
    }
}

pub(super) fn unknown(record: &mut RecordCheck, why: String) {
    record.state = RecordState::Unknown;
    record.note = why;
}

fn spf_expected(addresses: &[IpAddr]) -> String {
    let mut text = "v=spf1".to_owned();
    for address in addresses {
        let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
        text.push_str(&format!(" {kind}:{address}"));
    }
    text + " ~all"
}

fn judge_spf(record: &mut RecordCheck, report: &crate::dns::spf::SpfReport) {
    record.state = RecordState::Different;
    if let Some(wrong) = report.wrong.first() {
        record.note.clone_from(wrong);
    } else if report.lookups > LOOKUPS_MAX {
        record.note = format!(
            "a receiver needs {} look-ups for it and gives up after {LOOKUPS_MAX}",
            report.lookups
        );
    } else if let Some(address) = report.missing.first() {
        record.note = format!("it does not let pass what leaves from {address}");
    } else {
        record.state = RecordState::Right;
    }
}

/// Without the white space that people and panels put in.
fn squeezed(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>().replace(";;", ";")
}

fn dkim(key: &DkimKeyRow, name: String, found: Result<Vec<String>, String>) -> RecordCheck {
    let mut record = record("dkim", name, key.record.clone());
    match found {
        Err(why) => unknown(&mut record, why),
        Ok(found) => {
            let expected = squeezed(key.record.trim_end_matches(';'));
            let same = |text: &String| squeezed(text.trim_end_matches(';')) == expected;
            (record.state, record.note) = match found.as_slice() {
                [] => (RecordState::Missing, "publish this record".to_owned()),
                [only] if same(only) => (RecordState::Right, String::new()),
                [_] => (RecordState::Different, "it holds another key".to_owned()),
                _ => (RecordState::Different, "only one record may stand there".to_owned()),
            };
            record.found = found;
        }
    }
    record
}

fn no_key(domain: &Domain) -> RecordCheck {
    let note = format!("make a key: postroad dkim new {domain}");
    RecordCheck { note, ..record("dkim", format!("_domainkey.{domain}"), String::new()) }
}

/// The same for an organization and its domain at all times. It need not be a secret: who can
/// publish it in the domain is whose the domain is.
fn verification_text(row: &DomainRow) -> String {
    let text = format!("{} {} {}", row.organization, row.name, row.created_at.0);
    let mut token = base32::encode(digest(&SHA256, text.as_bytes()).as_ref());
    token.truncate(VERIFICATION_LETTERS);
    format!("postroad-verification={token}")
}

/// Name and text of the record that shows whose a domain is.
pub fn verification_record(row: &DomainRow) -> (String, String) {
    (format!("{VERIFICATION_LABEL}.{}", row.name), verification_text(row))
}

fn verification(row: &DomainRow, name: String, found: Result<Vec<String>, String>) -> RecordCheck {
    let mut record = record("verification", name, verification_text(row));
    match found {
        Err(why) => unknown(&mut record, why),
        Ok(found) => {
            let is_there = found.iter().any(|text| text.trim() == record.expected);
            (record.state, record.note) = match (is_there, found.is_empty()) {
                (true, _) => (RecordState::Right, String::new()),
                (_, true) => (RecordState::Missing, "publish this record".to_owned()),
                _ => (RecordState::Different, "it names another organization".to_owned()),
            };
            record.found = found;
        }
    }
    record
}

fn dmarc(name: String, found: Result<Vec<String>, String>) -> RecordCheck {
    let mut record = record("dmarc", name, "v=DMARC1; p=none".to_owned());
    match found {
        Err(why) => unknown(&mut record, why),
        Ok(found) => {
            let policy = |text: &String| squeezed(text).to_lowercase().starts_with("v=dmarc1;");
            record.found = found.into_iter().filter(policy).collect();
            (record.state, record.note) = match record.found.as_slice() {
                [] => (RecordState::Missing, "publish this record, or a stricter one".to_owned()),
                [only] if squeezed(only).to_lowercase().contains("p=") => {
                    (RecordState::Right, String::new())
                }
                [_] => (RecordState::Different, "it names no policy (p=)".to_owned()),
                _ => (RecordState::Different, "only one record may stand there".to_owned()),
            };
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(record: &str) -> DkimKeyRow {
        DkimKeyRow {
            domain: Domain::parse("a.example").expect("lawful"),
            selector: "s".to_owned(),
            algorithm: "rsa-sha256".to_owned(),
            record: record.to_owned(),
            created_at: Timestamp(0),
            proved_at: None,
        }
    }

    #[test]
    fn a_domain_is_verified_by_the_record_of_its_organization_alone() {
        let row = |organization| DomainRow {
            id: crate::model::DomainId(1),
            organization: crate::model::OrganizationId(organization),
            name: Domain::parse("a.example").expect("lawful"),
            created_at: Timestamp(7),
            verified_at: None,
            checked_at: None,
            checked: Default::default(),
        };
        let found = |text: String| verification(&row(1), String::new(), Ok(vec![text])).state;
        assert_eq!(found(verification_text(&row(1))), RecordState::Right);
        assert_eq!(found(verification_text(&row(2))), RecordState::Different);
        let none = verification(&row(1), String::new(), Ok(Vec::new()));
        assert_eq!(none.state, RecordState::Missing);
    }

    #[test]
    fn a_key_is_right_whatever_white_space_its_record_has() {
        let key = key("v=DKIM1; k=rsa; p=AAAA");
        let state = |found: &[&str]| {
            let found = found.iter().map(|text| (*text).to_owned()).collect();
            dkim(&key, "s._domainkey.a.example".to_owned(), Ok(found)).state
        };
        assert_eq!(state(&["v=DKIM1;k=rsa;p=AA AA;"]), RecordState::Right);
        assert_eq!(state(&["v=DKIM1; k=rsa; p=BBBB"]), RecordState::Different);
        assert_eq!(state(&["v=DKIM1; k=rsa; p=AAAA", "x"]), RecordState::Different);
        assert_eq!(state(&[]), RecordState::Missing);
    }

    #[test]
    fn a_dmarc_record_of_any_policy_is_right() {
        let state = |found: &str| dmarc(String::new(), Ok(vec![found.to_owned()])).state;
        assert_eq!(state("v=DMARC1; p=reject; rua=mailto:x@a.example"), RecordState::Right);
        assert_eq!(state("v=DMARC1; rua=mailto:x@a.example"), RecordState::Different);
        assert_eq!(state("v=spf1 -all"), RecordState::Missing);
    }
}
