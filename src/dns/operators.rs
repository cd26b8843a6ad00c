//! Who runs a site: its operator, known by the names of its MX hosts.
//!
//! Owns:       the table `operators.toml` and how a name is looked up in it.
//! Promises:   a table with a suffix that no sample shows, or a sample that another operator takes,
//!             is not loaded; the longest suffix wins; the answer depends on the hosts alone.
//! Knows not:  how much mail an operator gets, the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;

use super::MxHost;

/// The name of an operator, as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperatorName {
    /// One of the table's.
    Listed(&'static str),
    /// The registrable domain of the MX hosts, for all others.
    Domain(String),
    /// Everybody without a name of his own: addresses for hosts, and whoever is too small.
    Tail,
}

/// How the tail is called.
pub const TAIL: &str = "tail";

impl OperatorName {
    pub fn as_str(&self) -> &str {
        match self {
            OperatorName::Listed(name) => name,
            OperatorName::Domain(domain) => domain,
            OperatorName::Tail => TAIL,
        }
    }
}

impl std::fmt::Display for OperatorName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operator as the table has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedOperator {
    /// A stable word.
    pub name: String,
    /// For people.
    pub title: String,
    suffixes: Vec<String>,
    samples: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    operator: Vec<ListedOperator>,
}

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("the table of operators cannot be read: {0}")]
    Form(#[from] toml::de::Error),
    #[error("operator '{operator}': {why}")]
    Unlawful { operator: String, why: String },
}

/// Names that an operator of the table may not have: the tail's, and any that could be a domain.
fn is_lawful_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name != TAIL && !name.is_empty() && name.bytes().all(word)
}

#[derive(Debug)]
struct Table {
    operators: Vec<ListedOperator>,
    /// By suffix, the place in `operators`.
    suffixes: HashMap<String, usize>,
}

impl Table {
    fn parse(text: &str) -> Result<Table, TableError> {
        let operators = toml::from_str::<File>(text)?.operator;
        let mut suffixes = HashMap::new();
        for (at, operator) in operators.iter().enumerate() {
            let refused = |why| unlawful(operator, why);
            if !is_lawful_name(&operator.name) {
                return Err(refused("its name must be of the letters a to z, digits and _".into()));
            }
            if operators[..at].iter().any(|other| other.name == operator.name) {
                return Err(refused("there is another one of this name above".into()));
            }
            for suffix in &operator.suffixes {
                if suffixes.insert(suffix.clone(), at).is_some() {
                    return Err(refused(format!("the suffix {suffix} stands above already")));
                }
            }
        }
        let table = Table { operators, suffixes };
        table.operators.iter().enumerate().try_for_each(|(at, one)| table.prove(at, one))?;
        Ok(table)
    }

    /// Every sample is matched by a suffix of its operator, every suffix by a sample.
    fn prove(&self, at: usize, operator: &ListedOperator) -> Result<(), TableError> {
        let mut shown = Vec::new();
        for sample in &operator.samples {
            match self.suffix_of(sample) {
                Some((suffix, found)) if found == at => shown.push(suffix),
                Some((_, found)) => {
                    let other = &self.operators[found].name;
                    let why = format!("its sample {sample} is taken by '{other}'");
                    return Err(unlawful(operator, why));
                }
                None => {
                    return Err(unlawful(operator, format!("nothing matches its sample {sample}")));
                }
            }
        }
        let unseen = operator.suffixes.iter().find(|suffix| !shown.contains(&suffix.as_str()));
        match unseen {
            Some(suffix) => {
                let why =
                    format!("no sample shows its suffix {suffix}: it is shadowed or needless");
                Err(unlawful(operator, why))
            }
            None => Ok(()),
        }
    }

    /// The longest suffix of whole labels, and whose it is.
    fn suffix_of<'a>(&self, host: &'a str) -> Option<(&'a str, usize)> {
        let mut rest = Some(host);
        while let Some(name) = rest {
            if let Some(at) = self.suffixes.get(name) {
                return Some((name, *at));
            }
            rest = name.split_once('.').map(|(_, rest)| rest);
        }
        None
    }

    fn operator_of_host(&'static self, host: &str) -> OperatorName {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some((_, at)) = self.suffix_of(&host) {
            return OperatorName::Listed(&self.operators[at].name);
        }
        match psl::domain_str(&host) {
            Some(domain) if host.parse::<std::net::IpAddr>().is_err() => {
                OperatorName::Domain(domain.to_owned())
            }
            _ => OperatorName::Tail,
        }
    }
}

fn unlawful(operator: &ListedOperator, why: String) -> TableError {
    TableError::Unlawful { operator: operator.name.clone(), why }
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let table = Table::parse(include_str!("operators.toml"));
    table.expect("a test parses the table that is compiled in")
});

/// Those of the table, in its order.
pub fn listed_operators() -> &'static [ListedOperator] {
    &TABLE.operators
}

/// Who runs one host.
pub fn operator_of_host(host: &str) -> OperatorName {
    TABLE.operator_of_host(host)
}

/// Who runs these hosts, when all of them say the same; else who runs most of the most preferred
/// ones, since these get the mail; else most of all.
pub fn operator_of(hosts: &[MxHost]) -> OperatorName {
    let best = hosts.iter().map(|host| host.preference).min();
    let mut votes: BTreeMap<OperatorName, (usize, usize)> = BTreeMap::new();
    for host in hosts {
        let (preferred, all) = votes.entry(TABLE.operator_of_host(&host.name)).or_default();
        *preferred += usize::from(Some(host.preference) == best);
        *all += 1;
    }
    // A tie goes to the first by name, whatever order DNS gave the hosts in.
    let most = votes.into_iter().rev().max_by_key(|(_, votes)| *votes);
    most.map_or(OperatorName::Tail, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &[(u16, &str)]) -> String {
        let host = |(preference, name): &(u16, &str)| MxHost {
            preference: *preference,
            name: (*name).into(),
            addresses: Vec::new(),
        };
        operator_of(&hosts.iter().map(host).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn every_sample_of_the_table_is_its_operators_and_there_are_many() {
        let table = Table::parse(include_str!("operators.toml")).expect("the shipped table");
        assert!(table.operators.len() >= 40, "{}", table.operators.len());
        for operator in listed_operators() {
            for sample in &operator.samples {
                assert_eq!(of(&[(10, sample)]), operator.name, "{sample}");
            }
        }
    }

    #[test]
    fn companies_hosted_at_an_operator_count_there() {
        assert_eq!(of(&[(1, "ASPMX.L.GOOGLE.COM."), (5, "alt1.aspmx.l.google.com")]), "google");
        assert_eq!(of(&[(0, "example-org.mail.protection.outlook.com")]), "microsoft_365");
        assert_eq!(of(&[(0, "x.olc.protection.outlook.com")]), "microsoft_consumer");
        // Whole labels only.
        assert_eq!(of(&[(0, "mx.notgoogle.com")]), "notgoogle.com");
    }

    #[test]
    fn the_rest_is_known_by_the_registrable_domain_of_its_hosts() {
        assert_eq!(of(&[(1, "a.mx.hoster.co.uk"), (2, "b.mx.hoster.co.uk")]), "hoster.co.uk");
        assert_eq!(of(&[(1, "192.0.2.1")]), TAIL);
        assert_eq!(of(&[(1, "com")]), TAIL);
        assert_eq!(of(&[]), TAIL);
    }

    #[test]
    fn hosts_of_several_operators_count_where_most_of_the_preferred_stand() {
        let backup = [(5, "mx.own.example"), (10, "mx1.ovh.net"), (10, "mx2.ovh.net")];
        assert_eq!(of(&backup), "own.example");
        assert_eq!(of(&backup[1..]), "ovh");
        let equal = [(5, "mx.b.example"), (5, "mx.a.example"), (9, "x.b.example")];
        assert_eq!(of(&equal), "b.example");
        assert_eq!(of(&equal[..2]), "a.example");
    }

    fn mistake(text: &str) -> String {
        Table::parse(text).expect_err("an unlawful table").to_string()
    }

    fn entry(name: &str, suffixes: &str, samples: &str) -> String {
        format!(
            "[[operator]]\nname = '{name}'\ntitle = ''\nsuffixes = [{suffixes}]\n\
             samples = [{samples}]\n"
        )
    }

    #[test]
    fn a_table_that_contradicts_itself_is_not_loaded() {
        let one = entry("one", "'a.example'", "'mx.a.example'");
        assert!(Table::parse(&one).is_ok());
        let twice = format!("{one}{one}");
        assert!(mistake(&twice).contains("of this name above"));
        let same = one.clone() + &entry("two", "'a.example'", "'mx.a.example'");
        assert!(mistake(&same).contains("stands above already"));
        let taken =
            one.clone() + &entry("two", "'b.a.example', 'c'", "'x.b.a.example', 'mx.a.example'");
        assert!(mistake(&taken).contains("is taken by 'one'"), "{}", mistake(&taken));
        let shadowed = entry("two", "'b.example', 'c.b.example'", "'c.b.example'");
        assert!(mistake(&shadowed).contains("no sample shows its suffix b.example"));
        let none = entry("two", "'b.example'", "'b.example', 'mx.c.example'");
        assert!(mistake(&none).contains("nothing matches its sample"));
        assert!(mistake(&entry(TAIL, "'b'", "'b'")).contains("its name must be"));
        assert!(mistake("[[operator]]\nnom = 1").contains("cannot be read"));
    }
}
