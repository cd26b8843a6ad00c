//! Scopes and paces as they stand in SQL, JSON and on the command line: `source:7`, `each_site`,
//! `spread:8h-20h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Domain;
use super::limit::{FromScope, Pace, ToScope, WhoScope};

impl fmt::Display for FromScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FromScope::Installation => f.write_str("installation"),
            FromScope::Pool(pool) => write!(f, "pool:{pool}"),
            FromScope::Source(source) => write!(f, "source:{source}"),
            FromScope::EachSource => f.write_str("each_source"),
        }
    }
}

impl FromStr for FromScope {
    type Err = String;
    fn from_str(text: &str) -> Result<FromScope, String> {
        Ok(match parts(text) {
            ("installation", None) => FromScope::Installation,
            ("each_source", None) => FromScope::EachSource,
            ("pool", Some(id)) => FromScope::Pool(number(text, id)?),
            ("source", Some(id)) => FromScope::Source(number(text, id)?),
            _ => return Err(unknown(text, "installation, pool:ID, source:ID, each_source")),
        })
    }
}

impl fmt::Display for ToScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToScope::Anywhere => f.write_str("anywhere"),
            ToScope::Operator(operator) => write!(f, "operator:{operator}"),
            ToScope::Site(site) => write!(f, "site:{site}"),
            ToScope::Domain(domain) => write!(f, "domain:{domain}"),
            ToScope::EachSite => f.write_str("each_site"),
        }
    }
}

impl FromStr for ToScope {
    type Err = String;
    fn from_str(text: &str) -> Result<ToScope, String> {
        let domain = |name: &str| Domain::parse(name).map_err(|why| format!("'{text}': {why}"));
        Ok(match parts(text) {
            ("anywhere", None) => ToScope::Anywhere,
            ("each_site", None) => ToScope::EachSite,
            ("operator", Some(id)) => ToScope::Operator(number(text, id)?),
            ("site", Some(id)) => ToScope::Site(number(text, id)?),
            ("domain", Some(name)) => ToScope::Domain(domain(name)?),
            _ => {
                let words = "anywhere, operator:ID, site:ID, domain:NAME, each_site";
                return Err(unknown(text, words));
            }
        })
    }
}

impl fmt::Display for WhoScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhoScope::Everybody => f.write_str("everybody"),
            WhoScope::Organization(organization) => write!(f, "organization:{organization}"),
            WhoScope::Stream(stream) => write!(f, "stream:{stream}"),
            WhoScope::Campaign(campaign) => write!(f, "campaign:{campaign}"),
            WhoScope::SendingDomain(domain) => write!(f, "sending_domain:{domain}"),
        }
    }
}

impl FromStr for WhoScope {
    type Err = String;
    fn from_str(text: &str) -> Result<WhoScope, String> {
        Ok(match parts(text) {
            ("everybody", None) => WhoScope::Everybody,
            ("organization", Some(id)) => WhoScope::Organization(number(text, id)?),
            ("stream", Some(id)) => WhoScope::Stream(number(text, id)?),
            ("campaign", Some(id)) => WhoScope::Campaign(number(text, id)?),
            ("sending_domain", Some(id)) => WhoScope::SendingDomain(number(text, id)?),
            _ => {
                let words = "everybody, organization:ID, stream:ID, campaign:ID, sending_domain:ID";
                return Err(unknown(text, words));
            }
        })
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Fixed => f.write_str("fixed"),
            Pace::Sliding => f.write_str("sliding"),
            Pace::Spread { begins, ends } => {
                write!(f, "spread:{}s-{}s", begins.as_secs(), ends.as_secs())
            }
        }
    }
}

impl FromStr for Pace {
    type Err = String;
    fn from_str(text: &str) -> Result<Pace, String> {
        let words = "fixed, sliding, spread:8h-20h (from and until, after the day boundary)";
        match parts(text) {
            ("fixed", None) => Ok(Pace::Fixed),
            ("sliding", None) => Ok(Pace::Sliding),
            ("spread", Some(hours)) => {
                let span = hours.split_once('-').and_then(|(begins, ends)| {
                    Some(Pace::Spread { begins: span_of(begins)?, ends: span_of(ends)? })
                });
                span.filter(|pace| match pace {
                    Pace::Spread { begins, ends } => begins < ends,
                    _ => true,
                })
                .ok_or_else(|| unknown(text, words))
            }
            _ => Err(unknown(text, words)),
        }
    }
}

/// `30s`, `5m`, `8h`, `1d`; None for anything else, nothing at all, or more than ten years.
pub fn span_of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let count: u64 = number.parse().ok()?;
    let total = count.checked_mul(seconds)?;
    (total <= 3650 * 86_400).then(|| Duration::from_secs(total))
}

fn parts(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)))
}

/// An id as ours are: positive, and whole in JSON.
fn number<T: FromStr>(text: &str, id: &str) -> Result<T, String> {
    let lawful = id.parse().is_ok_and(|id: i64| id > 0 && id < 1 << 53);
    let refused = || format!("'{text}' does not end in the number of one");
    if lawful { id.parse().map_err(|_| refused()) } else { Err(refused()) }
}

fn unknown(text: &str, words: &str) -> String {
    format!("'{text}' is none of: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads_back<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            let read: T = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(read.to_string(), *text);
        }
    }

    #[test]
    fn every_scope_reads_back() {
        reads_back::<FromScope>(&["installation", "pool:1", "source:7", "each_source"]);
        reads_back::<ToScope>(&[
            "anywhere",
            "operator:3",
            "site:4",
            "domain:a.example",
            "each_site",
        ]);
        reads_back::<WhoScope>(&["everybody", "organization:1", "campaign:2", "sending_domain:3"]);
        reads_back::<Pace>(&["fixed", "sliding", "spread:28800s-72000s"]);
    }

    #[test]
    fn what_is_no_scope_is_told() {
        for text in ["", "source", "source:", "source:0", "source:-1", "source:x", "everywhere"] {
            assert!(text.parse::<FromScope>().is_err(), "{text}");
        }
        assert!("domain:".parse::<ToScope>().is_err());
        assert!("spread:20h-8h".parse::<Pace>().is_err());
        assert!("spread:8h".parse::<Pace>().is_err());
    }
}
