//! What became of a campaign, for people: counts with names.
//!
//! Owns:       the report of a campaign.
//! Promises:   rates are of people, as far as can be told; what machines did is told apart.
//! Knows not:  how it was counted, HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::Sums;
use super::reader::Reader;
use crate::model::*;
use crate::store::{
    CampaignRow, DeferredRow, LinkRow, OperatorRow, ReaderCounts, Result, Store, TallyRow,
};

const HOUR: i64 = 3_600_000_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CampaignReport)]
pub struct Report {
    pub sums: Sums,
    pub variants: Vec<VariantReport>,
    /// What hosts refused for good, and what came back later.
    pub bounced: Vec<Bounced>,
    pub deferred_now: Vec<DeferredNow>,
    pub delivered: Vec<DeliveredBy>,
    /// Most clicked first.
    pub links: Vec<LinkRow>,
    pub machines: Machines,
    /// What people read with.
    #[serde(default)]
    pub devices: Vec<DeviceReport>,
    /// Mail programs and browsers.
    #[serde(default)]
    pub clients: Vec<ClientReport>,
    #[serde(default)]
    pub systems: Vec<SystemReport>,
    /// Where people read, by country; empty without `http.geography`.
    #[serde(default)]
    pub countries: Vec<CountryReport>,
    pub hours: Vec<Hour>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VariantReport {
    pub variant: u64,
    pub delivered: u64,
    /// Contacts who opened or clicked.
    pub opened: u64,
    pub clicked: u64,
    pub unsubscribed: u64,
    pub complained: u64,
    /// Answers of people.
    #[serde(default)]
    pub replied: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bounced {
    /// `failed`: at once; `bounced`: by a report.
    pub kind: String,
    pub class: String,
    pub operator: Option<String>,
    pub source: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeferredNow {
    /// The last answer.
    pub text: String,
    pub operator: Option<String>,
    pub count: u64,
    /// When the first of them is tried again.
    pub due_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveredBy {
    pub operator: Option<String>,
    pub source: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CountryReport {
    /// Two letters (ISO 3166-1).
    pub country: String,
    pub opens: u64,
    pub clicks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeviceReport {
    /// `desktop`, `phone`, `tablet`, `unknown`.
    pub device: String,
    /// Requests of people.
    pub opens: u64,
    pub clicks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientReport {
    /// Such as `gmail`, `apple_mail`, `outlook`, `firefox`, `other`.
    pub client: String,
    /// Requests of people.
    pub opens: u64,
    pub clicks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SystemReport {
    /// `windows`, `macos`, `ios`, `android`, `chrome_os`, `linux`, `unknown`.
    pub system: String,
    /// Requests of people.
    pub opens: u64,
    pub clicks: u64,
}

/// Requests that no person made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Machines {
    pub opens_by_proxies: u64,
    pub opens_by_robots: u64,
    pub clicks_by_robots: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hour {
    pub begins_at: Timestamp,
    pub delivered: u64,
    pub deferred: u64,
    pub failed: u64,
    /// Requests of people.
    pub opens: u64,
    pub clicks: u64,
    pub unsubscribed: u64,
    pub complained: u64,
}

pub async fn read(store: &Store, row: &CampaignRow, sums: Sums) -> Result<Report> {
    let counted = Counted {
        tallies: store.tallies(row.id).await?,
        readers: store.campaign_readers(row.id).await?,
        deferred: store.deferred_now(row.id).await?,
        links: store.campaign_links(row.id).await?,
        operators: store.operators().await?,
    };
    Ok(report(sums, row.content.variants.len() as u64, counted))
}

pub struct Counted {
    pub tallies: Vec<TallyRow>,
    pub readers: Vec<ReaderCounts>,
    pub deferred: Vec<DeferredRow>,
    pub links: Vec<LinkRow>,
    pub operators: Vec<OperatorRow>,
}

fn report(sums: Sums, variants: u64, counted: Counted) -> Report {
    let Counted { tallies, readers, deferred, links, operators } = counted;
    let names = |id: OperatorId| {
        let found = operators.iter().find(|row| row.id == id);
        found.map(|row| row.name.clone())
    };
    let mut report = Report { sums, links, ..Report::default() };
    report.variants = by_variant(variants, &readers, &tallies);
    let waiting = deferred.into_iter().map(|row| DeferredNow {
        operator: names(row.operator),
        text: row.text,
        count: row.count,
        due_at: row.due_at,
    });
    report.deferred_now = waiting.collect();
    let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
    for row in &tallies {
        add_hour(hours.entry(row.hour).or_default(), row);
        add_machine(&mut report.machines, row);
    }
    let hour = |(hour, counts)| Hour { begins_at: Timestamp(hour * HOUR), ..counts };
    let device = |(device, (opens, clicks))| DeviceReport { device, opens, clicks };
    report.devices = split(&tallies, ["opened_by", "clicked_by"]).map(device).collect();
    let client = |(client, (opens, clicks))| ClientReport { client, opens, clicks };
    report.clients = split(&tallies, ["opened_with", "clicked_with"]).map(client).collect();
    let system = |(system, (opens, clicks))| SystemReport { system, opens, clicks };
    report.systems = split(&tallies, ["opened_on", "clicked_on"]).map(system).collect();
    let country = |(country, (opens, clicks))| CountryReport { country, opens, clicks };
    report.countries = split(&tallies, ["opened_from", "clicked_from"]).map(country).collect();
    report.hours = hours.into_iter().map(hour).collect();
    let refused = |row: &&TallyRow| matches!(row.kind.as_str(), "failed" | "bounced");
    let bounced = summed(tallies.iter().filter(refused)).into_iter();
    let bounced = bounced.map(|((kind, class, operator, source), count)| Bounced {
        kind,
        class,
        operator: names(operator),
        source,
        count,
    });
    report.bounced = bounced.collect();
    let delivered = summed(tallies.iter().filter(|row| row.kind == "delivered")).into_iter();
    let delivered = delivered.map(|((_, _, operator, source), count)| DeliveredBy {
        operator: names(operator),
        source,
        count,
    });
    report.delivered = delivered.collect();
    report
}

/// Opens and clicks by what a tally tells of them.
fn split(
    tallies: &[TallyRow],
    [opened, clicked]: [&str; 2],
) -> impl Iterator<Item = (String, (u64, u64))> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in tallies {
        if row.kind == opened {
            sums.entry(row.detail.clone()).or_default().0 += row.count;
        } else if row.kind == clicked {
            sums.entry(row.detail.clone()).or_default().1 += row.count;
        }
    }
    sums.into_iter()
}

/// By kind, detail, operator and source.
fn summed<'a>(
    rows: impl Iterator<Item = &'a TallyRow>,
) -> BTreeMap<(String, String, OperatorId, String), u64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let key = (row.kind.clone(), row.detail.clone(), row.operator, row.source.clone());
        *sums.entry(key).or_default() += row.count;
    }
    sums
}

fn by_variant(count: u64, readers: &[ReaderCounts], tallies: &[TallyRow]) -> Vec<VariantReport> {
    let mut variants: Vec<VariantReport> =
        (0..count).map(|variant| VariantReport { variant, ..Default::default() }).collect();
    for readers in readers {
        if let Some(own) = of(&mut variants, readers.variant) {
            (own.opened, own.clicked) = (readers.opened, readers.clicked);
        }
    }
    for row in tallies {
        let Some(own) = of(&mut variants, row.variant) else { continue };
        match row.kind.as_str() {
            "delivered" => own.delivered += row.count,
            "unsubscribed" => own.unsubscribed += row.count,
            "complained" => own.complained += row.count,
            "replied" => own.replied += row.count,
            _ => {}
        }
    }
    variants
}

fn of(variants: &mut [VariantReport], variant: u64) -> Option<&mut VariantReport> {
    variants.iter_mut().find(|own| own.variant == variant)
}

fn add_hour(hour: &mut Hour, row: &TallyRow) {
    let is_person = row.detail == Reader::Person.word();
    match row.kind.as_str() {
        "delivered" => hour.delivered += row.count,
        "deferred" => hour.deferred += row.count,
        "failed" => hour.failed += row.count,
        "opened" if is_person => hour.opens += row.count,
        "clicked" if is_person => hour.clicks += row.count,
        "unsubscribed" => hour.unsubscribed += row.count,
        "complained" => hour.complained += row.count,
        _ => {}
    }
}

fn add_machine(machines: &mut Machines, row: &TallyRow) {
    match (row.kind.as_str(), row.detail.as_str()) {
        ("opened", "proxy") => machines.opens_by_proxies += row.count,
        ("opened", "robot") => machines.opens_by_robots += row.count,
        ("clicked", "robot") => machines.clicks_by_robots += row.count,
        _ => {}
    }
}
