//! /v1/domains/{name}: the DNS records a sending domain needs, and what its name servers say.

use serde::{Deserialize, Serialize};

use super::access::{Call, needs};
use super::extract::Path;
use super::problem::Problem;
use crate::dns::spf::{LOOKUPS_MAX, is_spf};
use crate::dns::{Authority, Resolver};
use crate::model::{Domain, Scope, Timestamp};
use crate::store::{DkimKeyRow, DomainRow, Store};

/// What a look at one record has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    Right,
    Missing,
    /// There is one, and it says something else.
    Different,
    /// The name servers did not answer.
    Unknown,
}

/// One record: what is expected, and what was found.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordCheck {
    /// `spf`, `dkim`, `dmarc`.
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
}

/// A look at all records of a domain, at its own name servers.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DomainCheck {
    pub domain: Domain,
    pub at: Timestamp,
    /// All records are right.
    pub ready: bool,
    /// The name servers that were asked.
    pub servers: Vec<String>,
    /// Look-ups that a receiver makes for SPF; more than 10 fail.
    pub spf_lookups: u32,
    pub records: Vec<RecordCheck>,
}

/// Look now at the records of a domain, at its own name servers.
#[utoipa::path(post, path = "/v1/domains/{name}/check", tag = "domains",
    params(("name" = String, Path, description = "The domain")),
    responses((status = 200, body = DomainCheck)), security(("key" = ["domains_read"])))]
pub(super) async fn check(
    call: Call<needs::DomainsRead>,
    Path(name): Path<Domain>,
) -> Result<axum::Json<DomainCheck>, Problem> {
    let row = own(&call.store, call.scope(), &name).await?;
    let stopped = || Problem::conflict("no daemon is running");
    let looker = call.looker.as_ref().ok_or_else(stopped)?;
    let checked = looker.check(&call.store, &row.name, call.clock.now()).await?;
    Ok(axum::Json(checked))
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
    pub addresses: Vec<std::net::IpAddr>,
    /// Of name servers.
    pub port: u16,
}

impl Looker {
    async fn check(
        &self,
        store: &Store,
        domain: &Domain,
        at: Timestamp,
    ) -> Result<DomainCheck, Problem> {
        let mut keys = store.dkim_keys().await?;
        keys.retain(|key| key.domain == *domain);
        let mut check = DomainCheck {
            domain: domain.clone(),
            at,
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
        for key in &keys {
            let name = format!("{}._domainkey.{domain}", key.selector);
            let found = texts(authority.clone(), &name).await;
            check.records.push(dkim(key, name, found));
        }
        if keys.is_empty() {
            check.records.push(no_key(domain));
        }
        let name = format!("_dmarc.{domain}");
        let found = texts(authority, &name).await;
        check.records.push(dmarc(name, found));
        check.ready = check.records.iter().all(|record| record.state == RecordState::Right);
        Ok(check)
    }

    async fn spf(&self, authority: Result<&Authority, String>, check: &mut DomainCheck) {
        let name = check.domain.to_string();
        let mut record = record("spf", name.clone(), spf_expected(&self.addresses));
        match texts(authority, &name).await {
            Err(why) => unknown(&mut record, why),
            Ok(all) => {
                record.found = all.into_iter().filter(|text| is_spf(text)).collect();
                check.spf_lookups = self.judge_found(&name, &mut record).await;
            }
        }
        check.records.push(record);
    }

    /// The look-ups that the record costs.
    async fn judge_found(&self, name: &str, record: &mut RecordCheck) -> u32 {
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
        match self.resolver.spf(name, only, &self.addresses).await {
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

fn record(purpose: &str, name: String, expected: String) -> RecordCheck {
    RecordCheck {
        purpose: purpose.to_owned(),
        name,
        kind: "TXT".to_owned(),
        expected,
        found: Vec::new(),
        state: RecordState::Missing,
        note: String::new(),
    }
}

fn unknown(record: &mut RecordCheck, why: String) {
    record.state = RecordState::Unknown;
    record.note = why;
}

fn spf_expected(addresses: &[std::net::IpAddr]) -> String {
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
        }
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
