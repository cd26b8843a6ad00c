//! JSON into a document. What cannot be read is looked for from the outside in, so that the
//! innermost part that is wrong is named.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Block, Blocks, Column, Document, Section, Wrong};

pub fn document(value: &Value) -> Result<Document, Wrong> {
    serde_json::from_value(value.clone()).map_err(|_| {
        within(value, "", "sections", section)
            .or_else(|| own::<Document>(value, ""))
            .unwrap_or_else(|| Wrong::at("", "no document"))
    })
}

pub fn blocks(value: &Value) -> Result<Vec<Block>, Wrong> {
    let whole = serde_json::json!({ "blocks": value });
    let read: Result<Blocks, _> = serde_json::from_value(whole.clone());
    read.map(|of| of.blocks).map_err(|_| {
        within(&whole, "", "blocks", block)
            .or_else(|| own::<Blocks>(&whole, ""))
            .unwrap_or_else(|| Wrong::at("blocks", "no blocks"))
    })
}

fn section(value: &Value, path: &str) -> Option<Wrong> {
    within(value, path, "columns", column).or_else(|| own::<Section>(value, path))
}

fn column(value: &Value, path: &str) -> Option<Wrong> {
    within(value, path, "blocks", block).or_else(|| own::<Column>(value, path))
}

fn block(value: &Value, path: &str) -> Option<Wrong> {
    within(value, path, "blocks", block)
        .or_else(|| within(value, path, "otherwise", block))
        .or_else(|| within(value, path, "links", own::<super::SocialLink>))
        .or_else(|| own::<Block>(value, path))
}

fn within(
    value: &Value,
    path: &str,
    name: &str,
    of: fn(&Value, &str) -> Option<Wrong>,
) -> Option<Wrong> {
    let items = value.get(name)?.as_array()?;
    let found = |(at, item): (usize, &Value)| of(item, &format!("{}[{at}]", joined(path, name)));
    items.iter().enumerate().find_map(found)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What is wrong with this part itself; None when it can be read.
fn own<T: DeserializeOwned>(value: &Value, path: &str) -> Option<Wrong> {
    let why = serde_json::from_value::<T>(value.clone()).err()?.to_string();
    let Value::Object(object) = value else { return Some(Wrong::at(path, why)) };
    let mut quoted = why.split('`');
    let named = match (quoted.next(), quoted.next()) {
        (Some(before), Some(name)) if before.ends_with("field ") => Some(name.to_owned()),
        _ => None,
    };
    // The one without which the complaint is another.
    let without = |left_out: &String| {
        let mut rest = object.clone();
        rest.remove(left_out);
        serde_json::from_value::<T>(Value::Object(rest)).err().map(|why| why.to_string())
    };
    let blamed = || object.keys().find(|name| without(name).as_deref() != Some(&why)).cloned();
    let path = match named.or_else(blamed) {
        Some(name) => joined(path, &name),
        None => path.to_owned(),
    };
    Some(Wrong::at(path, why))
}
