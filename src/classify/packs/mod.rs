//! The rules that ship with this version, as files.
//!
//! Owns:       which files there are and in which order they are read.
//! Promises:   a file that cannot be read is an error with its name.
//! Knows not:  what the rules say.

use serde::Deserialize;

use super::rule::{Rule, RuleError};

/// In the order in which they are tried within a tier.
const PACKS: [(&str, &str); 10] = [
    ("google", include_str!("google.toml")),
    ("microsoft", include_str!("microsoft.toml")),
    ("yahoo", include_str!("yahoo.toml")),
    ("america", include_str!("america.toml")),
    ("europe", include_str!("europe.toml")),
    ("asia", include_str!("asia.toml")),
    ("filters", include_str!("filters.toml")),
    ("sender", include_str!("sender.toml")),
    ("recipient", include_str!("recipient.toml")),
    ("codes", include_str!("codes.toml")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pack {
    /// For all rules of the file that name none.
    operator: Option<String>,
    rule: Vec<Rule>,
}

pub fn shipped() -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    for (name, text) in PACKS {
        let pack: Pack =
            toml::from_str(text).map_err(|why| RuleError::Form(format!("pack {name}: {why}")))?;
        for mut rule in pack.rule {
            rule.operator = rule.operator.or_else(|| pack.operator.clone());
            rules.push(rule);
        }
    }
    Ok(rules)
}
