//! `postroad forecast`: when would it be done?

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::forecast::ForecastView;
use crate::config::Settings;
use crate::model::{Address, Domain};

const LINES_MAX: u64 = 50_000_000;
const LINE_BYTES_MAX: usize = 1000;
/// Domains whose operators are looked up; the rest counts for the tail.
const DOMAINS_MAX: usize = 300;

#[derive(Args)]
pub struct Forecast {
    /// Recipients at an operator, such as google=200000; may be given more than once. Without any
    /// and without a file: what waits now.
    #[arg(value_name = "OPERATOR=COUNT")]
    counts: Vec<String>,
    /// Addresses, or domains with counts (`gmail.com 5000`), one a line.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The pool that would carry it; all sources when it is missing.
    #[arg(long)]
    pool: Option<String>,
    /// Whose mail it is: their limits count, and rules choose the pool.
    #[arg(long, value_name = "ID")]
    organization: Option<i64>,
    #[arg(long, value_name = "ID")]
    stream: Option<i64>,
    /// The sending domain, whose warm-up counts.
    #[arg(long)]
    domain: Option<Domain>,
    #[arg(long)]
    json: bool,
}

pub fn run(command: Forecast, settings: Settings) -> Result<(), CliError> {
    let operators = command.counts.iter().map(|text| count(text)).collect::<Result<_, _>>()?;
    let mut operators: BTreeMap<String, u64> = operators;
    let mut domains = BTreeMap::new();
    if let Some(path) = &command.file {
        let (large, rest) = large_and_rest(read(path)?);
        domains = large;
        if rest > 0 {
            *operators.entry("tail".into()).or_default() += rest;
        }
    }
    on_one_thread(async {
        let desk = Desk::daemon(&settings).await?;
        let told: ForecastView = if operators.is_empty() && domains.is_empty() {
            let pool = command.pool.as_deref().map(percent_encode);
            let pool = pool.map_or(String::new(), |pool| format!("?pool={pool}"));
            desk.ask(Method::GET, &format!("/v1/forecast{pool}"), None).await?
        } else {
            let order = json!({"operators": operators, "domains": domains, "pool": command.pool,
                "organization": command.organization, "stream": command.stream,
                "sending_domain": command.domain});
            desk.ask(Method::POST, "/v1/forecast", Some(order)).await?
        };
        if command.json { screen::print_json(&told) } else { print(&told) }
    })
}

fn count(text: &str) -> Result<(String, u64), CliError> {
    let parts = text.split_once('=');
    let read = parts.and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
    read.ok_or_else(|| CliError::Refused(format!("'{text}' is not of the form google=200000")))
}

/// Recipients by domain.
fn read(path: &Path) -> Result<BTreeMap<Domain, u64>, CliError> {
    let mut domains: BTreeMap<Domain, u64> = BTreeMap::new();
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = String::new();
    for number in 1..=LINES_MAX {
        line.clear();
        let read = std::io::Read::take(&mut lines, LINE_BYTES_MAX as u64).read_line(&mut line)?;
        if read == 0 {
            return Ok(domains);
        }
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (domain, count) = domain_of(text).ok_or_else(|| {
            let path = path.display();
            CliError::Refused(format!("{path}, line {number}: neither an address nor a domain"))
        })?;
        *domains.entry(domain).or_default() += count;
    }
    Err(CliError::Refused(format!("{}: more than {LINES_MAX} lines", path.display())))
}

fn domain_of(text: &str) -> Option<(Domain, u64)> {
    if text.contains('@') {
        return Address::parse(text).ok().map(|address| (address.domain().clone(), 1));
    }
    let mut words = text.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
    let domain = Domain::parse(words.next()?).ok()?;
    let count = words.next().map_or(Some(1), |count| count.parse().ok())?;
    words.next().is_none().then_some((domain, count))
}

fn large_and_rest(domains: BTreeMap<Domain, u64>) -> (BTreeMap<Domain, u64>, u64) {
    let mut all: Vec<(Domain, u64)> = domains.into_iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest = all.split_off(all.len().min(DOMAINS_MAX));
    (all.into_iter().collect(), rest.iter().map(|(_, count)| count).sum())
}

fn print(told: &ForecastView) -> Result<(), CliError> {
    let when = |at: Option<crate::model::Timestamp>| {
        at.map_or_else(|| "not within 120 days".to_owned(), |at| at.to_string())
    };
    let row = |one: &crate::api::forecast::OperatorForecastView| {
        vec![
            one.operator.clone(),
            one.recipients.to_string(),
            when(one.ends_at),
            when(one.ends_at_with_one_more),
            one.bottleneck.clone().unwrap_or_else(|| "–".into()),
        ]
    };
    let rows: Vec<_> = told.operators.iter().map(row).collect();
    screen::print(&screen::table(
        &["operator", "recipients", "done", "with one more", "waits for"],
        &rows,
    ))?;
    let last = told.bottleneck.as_deref().unwrap_or("nothing but its pace");
    screen::print(&format!("\nall of it: {}; the bottleneck is {last}\n", when(told.ends_at)))?;
    screen::print(&format!("with one more address: {}\n", when(told.ends_at_with_one_more)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_domains_with_counts_are_read() {
        let domain =
            |text: &str| domain_of(text).map(|(domain, count)| (domain.to_string(), count));
        assert_eq!(domain("bob@gmail.com"), Some(("gmail.com".into(), 1)));
        assert_eq!(domain("gmail.com 5000"), Some(("gmail.com".into(), 5000)));
        assert_eq!(domain("gmail.com,7"), Some(("gmail.com".into(), 7)));
        for wrong in ["gmail.com x", "gmail.com 1 2", "no domain", "-4"] {
            assert_eq!(domain(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn beyond_the_largest_domains_all_count_for_the_tail() {
        let domain = |at: usize| Domain::parse(&format!("d{at}.test")).expect("lawful");
        let all = (0..400).map(|at| (domain(at), at as u64 + 1)).collect();
        let (large, rest) = large_and_rest(all);
        assert_eq!((large.len(), rest), (300, (1..=100).sum()));
    }

    #[test]
    fn what_is_no_count_is_refused() {
        assert_eq!(count("google=5").expect("lawful"), ("google".into(), 5));
        for wrong in ["google", "google=-5", "google=x"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
