//! The types a setting can have: how each is read from TOML and shown as TOML.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::declare::{Change, Difference, Section, Setting, Unit, show_table};
use super::read::{Reader, TomlNode};
use crate::model::{HostLook, IpPreference, RelayMechanism, RetryProfile, TlsMode};
use crate::wire::network::Network;

/// A text as a TOML string: what JSON escapes, TOML reads.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a string value.
fn text<'a>(value: &'a TomlNode<'_>, what: &str, reader: &mut Reader<'_>) -> Option<&'a str> {
    let found = value.get_ref().as_str();
    if found.is_none() {
        let kind = value.get_ref().type_str();
        reader.wrong(value, format!("must be {what}, in quotes; this is of type {kind}"));
    }
    found
}

macro_rules! texts {
    ($($kind:ty: $what:literal,)*) => {$(
        impl Setting for $kind {
            fn read(value: &TomlNode<'_>, _: Unit, reader: &mut Reader<'_>) -> Option<Self> {
                let text = text(value, $what, reader)?;
                match text.parse() {
                    Ok(read) => Some(read),
                    Err(_) => {
                        reader.wrong(value, format!("{} is not {}", quote(text), $what));
                        None
                    }
                }
            }
            fn show(&self, _: Unit) -> String {
                quote(&self.to_string())
            }
        }
    )*};
}
texts! {
    SocketAddr: "an address with port such as \"127.0.0.1:25\" or \"[::]:25\"",
    IpAddr: "an IP address such as \"192.0.2.1\"",
    Network: "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", host bits zero",
    TlsMode: "one of none, opportunistic, required, verified, implicit",
    IpPreference: "one of ipv4_only, ipv6_only, ipv4_first, ipv6_first",
    RelayMechanism: "one of plain, login, xoauth2",
    HostLook: "first or never",
    RetryProfile: "one of default, greylist, rate, reputation, mailbox_full, dns, network, tls",
}

impl Setting for String {
    fn read(value: &TomlNode<'_>, _: Unit, reader: &mut Reader<'_>) -> Option<Self> {
        let text = text(value, "a text", reader)?;
        if text.chars().any(char::is_control) {
            reader.wrong(value, "must not hold control characters".to_owned());
            return None;
        }
        Some(text.to_owned())
    }
    fn show(&self, unit: Unit) -> String {
        quote(if unit == Unit::Secret { "…" } else { self })
    }
}

impl Setting for PathBuf {
    fn read(value: &TomlNode<'_>, _: Unit, reader: &mut Reader<'_>) -> Option<Self> {
        let path = text(value, "a path", reader)?;
        if path.is_empty() || path.contains('\0') {
            reader.wrong(value, "must be a path".to_owned());
            return None;
        }
        Some(path.into())
    }
    fn show(&self, _: Unit) -> String {
        quote(&self.display().to_string())
    }
}

impl Setting for Duration {
    fn read(value: &TomlNode<'_>, _: Unit, reader: &mut Reader<'_>) -> Option<Self> {
        let what = "a time such as \"500ms\", \"30s\", \"5m\", \"4h\", \"1h 30m\" or \"4d\"";
        let read = value.get_ref().as_str().and_then(parse_time);
        if read.is_none() {
            reader.wrong(value, format!("must be {what}, in quotes"));
        }
        read
    }
    fn show(&self, _: Unit) -> String {
        quote(&show_time(*self))
    }
}

const TIME_UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// `1h 30m`: counts with their units, from large to small or not.
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, milliseconds) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = count.parse::<u64>().ok()?.checked_mul(*milliseconds)?;
        sum = sum.checked_add(part)?;
        rest = tail.trim_start();
    }
    Some(Duration::from_millis(sum))
}

/// In the largest unit that divides it.
pub fn show_time(span: Duration) -> String {
    let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let unit = TIME_UNITS
        .iter()
        .filter(|(name, _)| *name != "w")
        .find(|(_, size)| milliseconds >= *size && milliseconds.is_multiple_of(*size));
    match unit {
        Some((name, size)) => format!("{}{name}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

const SIZE_UNITS: [(&str, u64); 8] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
];

/// `64 MiB`, `35MB`, `1024`: octets.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = if unit.is_empty() { "b" } else { unit.as_str() };
    let (_, octets) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(*octets)
}

/// In the largest binary unit that divides it.
pub fn show_size(octets: u64) -> String {
    let binary = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match binary.iter().find(|(_, size)| octets >= *size && octets.is_multiple_of(*size)) {
        Some((name, size)) => format!("{} {name}", octets / size),
        None => format!("{octets} B"),
    }
}

/// A whole number, or with unit `Bytes` a size.
fn number(value: &TomlNode<'_>, unit: Unit, reader: &mut Reader<'_>) -> Option<i128> {
    let found = match value.get_ref() {
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix()).ok(),
        DeValue::String(text) if unit == Unit::Bytes => parse_size(text).map(i128::from),
        // An environment variable has no other way to say a number.
        DeValue::String(text) if reader.is_loose() => text.trim().parse().ok(),
        _ => None,
    };
    if found.is_none() {
        let what = match unit {
            Unit::Bytes => "a size such as \"64 MiB\" or a number of octets",
            _ => "a whole number, without quotes",
        };
        reader.wrong(value, format!("must be {what}"));
    }
    found
}

macro_rules! numbers {
    ($($kind:ty)*) => {$(
        impl Setting for $kind {
            fn read(value: &TomlNode<'_>, unit: Unit, reader: &mut Reader<'_>) -> Option<Self> {
                let number = number(value, unit, reader)?;
                let read = <$kind>::try_from(number).ok();
                if read.is_none() {
                    let (low, high) = (<$kind>::MIN, <$kind>::MAX);
                    reader.wrong(value, format!("must be between {low} and {high}"));
                }
                read
            }
            fn show(&self, unit: Unit) -> String {
                match (unit, u64::try_from(*self)) {
                    (Unit::Bytes, Ok(octets)) => quote(&show_size(octets)),
                    _ => self.to_string(),
                }
            }
        }
    )*};
}
numbers! { i64 u16 u32 u64 usize }

/// An empty text stands for "none".
impl<T: Setting> Setting for Option<T> {
    fn read(value: &TomlNode<'_>, unit: Unit, reader: &mut Reader<'_>) -> Option<Self> {
        if value.get_ref().as_str() == Some("") {
            return Some(None);
        }
        T::read(value, unit, reader).map(Some)
    }
    fn show(&self, unit: Unit) -> String {
        self.as_ref().map_or_else(|| quote(""), |value| value.show(unit))
    }
    fn item() -> Option<Box<dyn Section>> {
        T::item()
    }
}

/// All that can be read are; each that cannot is named.
fn read_list<T: Setting>(
    value: &TomlNode<'_>,
    unit: Unit,
    reader: &mut Reader<'_>,
) -> Option<Vec<T>> {
    if let (DeValue::String(text), true) = (value.get_ref(), reader.is_loose()) {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let nodes = parts.map(|part| TomlNode::new(value.span(), DeValue::String(part.into())));
        return nodes.map(|node| T::read(&node, unit, reader)).collect();
    }
    let Some(array) = value.get_ref().as_array() else {
        let kind = value.get_ref().type_str();
        reader.wrong(value, format!("must be a list in brackets; this is of type {kind}"));
        return None;
    };
    let read: Vec<Option<T>> = array.iter().map(|node| T::read(node, unit, reader)).collect();
    read.into_iter().collect()
}

fn show_list<T: Setting>(values: &[T], unit: Unit) -> String {
    let shown: Vec<String> = values.iter().map(|value| value.show(unit)).collect();
    format!("[{}]", shown.join(", "))
}

macro_rules! lists {
    ($($kind:ty)*) => {$(
        impl Setting for Vec<$kind> {
            fn read(value: &TomlNode<'_>, unit: Unit, reader: &mut Reader<'_>) -> Option<Self> {
                read_list(value, unit, reader)
            }
            fn show(&self, unit: Unit) -> String {
                show_list(self, unit)
            }
        }
    )*};
}
lists! { SocketAddr IpAddr Network String }

impl<T: Section + Default + Clone + PartialEq + 'static> Setting for T {
    fn read(value: &TomlNode<'_>, _: Unit, reader: &mut Reader<'_>) -> Option<Self> {
        let mut section = T::default();
        reader.table(&mut section, value);
        Some(section)
    }
    fn show(&self, _: Unit) -> String {
        show_table(self)
    }
    fn section(&self) -> Option<&dyn Section> {
        Some(self)
    }
    fn section_mut(&mut self) -> Option<&mut dyn Section> {
        Some(self)
    }
    fn item() -> Option<Box<dyn Section>> {
        Some(Box::new(T::default()))
    }
    fn compare(&self, other: &Self, at: &str, _: Change, found: &mut Vec<Difference>) {
        self.differences(other, at, found);
    }
}

/// Tables that may be repeated: `[[name]]`.
impl<T: Section + Default + Clone + PartialEq + 'static> Setting for Vec<T> {
    fn read(value: &TomlNode<'_>, unit: Unit, reader: &mut Reader<'_>) -> Option<Self> {
        let Some(array) = value.get_ref().as_array() else {
            reader.wrong(value, "is a table that may be repeated: write it as [[…]]".to_owned());
            return None;
        };
        let read_item = |(index, node): (usize, &TomlNode<'_>)| {
            reader.inside_item(index, node, |reader| T::read(node, unit, reader))
        };
        array.iter().enumerate().map(read_item).collect()
    }
    fn show(&self, unit: Unit) -> String {
        show_list(self, unit)
    }
    fn item() -> Option<Box<dyn Section>> {
        Some(Box::new(T::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_as_they_are_shown() {
        for text in ["500ms", "30s", "5m", "4h", "4d", "90s"] {
            let span = parse_time(text).expect("lawful");
            assert_eq!(parse_time(&show_time(span)), Some(span), "{text}");
        }
        assert_eq!(parse_time("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(show_time(Duration::from_secs(4 * 24 * 3600)), "4d");
        assert_eq!(parse_size("64 MiB"), Some(64 << 20));
        assert_eq!(parse_size("35MB"), Some(35_000_000));
        assert_eq!(parse_size("10"), Some(10));
        assert_eq!(show_size(64 << 20), "64 MiB");
    }

    #[test]
    fn times_and_sizes_without_sense_are_refused() {
        for text in ["", "5", "m", "5 minutes", "-5m", "5m5", "99999999999999999999d"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        for text in ["", "MiB", "-1", "1.5 GiB", "1 XB", "99999999999 TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
