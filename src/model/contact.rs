//! Contacts' words: statuses, kinds of fields, and values that are what their field says.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ids::{FieldId, OrganizationId};
use super::state::words;

/// Number columns and text columns of the table that segments walk.
pub const NUMBER_SLOTS: u8 = 16;
pub const TEXT_SLOTS: u8 = 12;
/// Their bits lie in one number below 2^53, which JSON keeps whole.
pub const CHOICES_MAX: usize = 50;
pub const TEXT_BYTES_MAX: usize = 1000;
const URL_BYTES_MAX: usize = 2000;
const JSON_BYTES_MAX: usize = 8192;
const NUMBER_ABS_MAX: i64 = 9_000_000_000_000;
const DECIMALS: usize = 6;
const MILLION: i64 = 1_000_000;

words! {
    ContactStatus {
        Active = "active",
        /// By hand or by a request to be left alone: no campaign writes to it.
        Blocked = "blocked",
    }
}

words! {
    /// How a contact stands to a list.
    MembershipStatus {
        /// Asked for, and not yet confirmed by its owner (double opt-in).
        Unconfirmed = "unconfirmed",
        Subscribed = "subscribed",
        Unsubscribed = "unsubscribed",
    }
}

words! {
    ListVisibility {
        /// Anybody may subscribe; it is shown on public pages.
        Public = "public",
        Private = "private",
    }
}

words! {
    OptIn {
        Single = "single",
        /// A subscription counts once it was confirmed from the mailbox.
        Double = "double",
    }
}

words! {
    /// What the record of consent tells of.
    ConsentAction {
        Imported = "imported",
        Requested = "requested",
        Subscribed = "subscribed",
        Confirmed = "confirmed",
        Unsubscribed = "unsubscribed",
        Blocked = "blocked",
        Unblocked = "unblocked",
    }
}

words! {
    ImportState {
        /// The file is here; what is to be done with it is not yet said.
        Uploaded = "uploaded",
        Running = "running",
        Done = "done",
        Cancelled = "cancelled",
        Failed = "failed",
    }
}

words! {
    /// What an import does with the contacts it names.
    ImportMode {
        /// Those that are there already stay as they are.
        Add = "add",
        /// Those that are not there are passed over.
        Update = "update",
        /// They are made or changed, and subscribed to the lists named.
        Subscribe = "subscribe",
        /// Those that are there leave the lists named.
        Unsubscribe = "unsubscribe",
        /// They are blocked, and made for it if they are not there.
        Suppress = "suppress",
    }
}

words! {
    /// What the body of a template is written in.
    TemplateKind {
        Html = "html",
        Markdown = "markdown",
        Mjml = "mjml",
        /// JSON: sections, columns and blocks.
        Document = "document",
    }
}

words! {
    FieldKind {
        Text = "text",
        /// With at most six decimals.
        Number = "number",
        Date = "date",
        /// A day of the year.
        Birthday = "birthday",
        Boolean = "boolean",
        Choice = "choice",
        MultiChoice = "multi_choice",
        Url = "url",
        Json = "json",
    }
}

/// A column of the table that segments walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// `n1` …
    Number(u8),
    /// `t1` …
    Text(u8),
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Slot::Number(place) => write!(f, "n{place}"),
            Slot::Text(place) => write!(f, "t{place}"),
        }
    }
}

impl std::str::FromStr for Slot {
    type Err = String;
    fn from_str(text: &str) -> Result<Slot, String> {
        let place = |rest: &str, most: u8| {
            let place = rest.parse().ok().filter(|place| (1..=most).contains(place));
            place.ok_or_else(|| format!("'{text}' is no column of fields"))
        };
        match text.split_at_checked(1) {
            Some(("n", rest)) => Ok(Slot::Number(place(rest, NUMBER_SLOTS)?)),
            Some(("t", rest)) => Ok(Slot::Text(place(rest, TEXT_SLOTS)?)),
            _ => Err(format!("'{text}' is no column of fields")),
        }
    }
}

/// A field that an organization gave its contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub id: FieldId,
    pub organization: OrganizationId,
    /// What templates and segments call it.
    pub name: String,
    pub label: String,
    pub kind: FieldKind,
    pub choices: Vec<String>,
    pub slot: Option<Slot>,
    /// Its values are sealed, and only some roles see them.
    pub encrypted: bool,
}

/// In which order day and month stand in `03/04/2024`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    #[default]
    DayFirst,
    MonthFirst,
}

/// A value that is lawful for the kind of its field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    Text(String),
    /// Millionths.
    Number(i64),
    /// Days since 1970-01-01.
    Date(i64),
    Birthday {
        month: i8,
        day: i8,
    },
    Boolean(bool),
    /// The place among the field's choices.
    Choice(usize),
    /// A bit for each place.
    Choices(i64),
    Url(String),
    Json(Value),
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    Number(i64),
    Text(String),
    Json(Value),
}

impl FieldKind {
    /// Whether its values fit a column of numbers, of texts, or none.
    pub const fn slot_kind(self) -> Option<fn(u8) -> Slot> {
        match self {
            FieldKind::Text => Some(Slot::Text),
            FieldKind::Url | FieldKind::Json => None,
            _ => Some(Slot::Number),
        }
    }

    pub const fn is_numeric(self) -> bool {
        !matches!(self, FieldKind::Text | FieldKind::Url | FieldKind::Json)
    }
}

impl FieldValue {
    /// From what a person or another program wrote. The error is a sentence about the value.
    pub fn read(field: &Field, text: &str, order: DateOrder) -> Result<FieldValue, String> {
        let text = text.trim();
        match field.kind {
            FieldKind::Text => bounded(text, TEXT_BYTES_MAX).map(FieldValue::Text),
            FieldKind::Number => number(text).map(FieldValue::Number),
            FieldKind::Date => date(text, order).map(FieldValue::Date),
            FieldKind::Birthday => birthday(text, order),
            FieldKind::Boolean => boolean(text).map(FieldValue::Boolean),
            FieldKind::Choice => choice(field, text).map(FieldValue::Choice),
            FieldKind::MultiChoice => choices(field, text.split([',', ';', '|'])),
            FieldKind::Url => url(text).map(FieldValue::Url),
            FieldKind::Json => {
                bounded(text, JSON_BYTES_MAX)?;
                let value = serde_json::from_str(text).map_err(|why| format!("no JSON: {why}"))?;
                json_value(value)
            }
        }
    }

    /// From a JSON value of the API.
    pub fn from_json(field: &Field, value: &Value) -> Result<FieldValue, String> {
        match (field.kind, value) {
            (FieldKind::Json, value) => json_value(value.clone()),
            (FieldKind::MultiChoice, Value::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                choices(field, texts.ok_or("must be an array of texts")?.into_iter())
            }
            (FieldKind::Boolean, Value::Bool(value)) => Ok(FieldValue::Boolean(*value)),
            (FieldKind::Number, Value::Number(value)) => {
                number(&value.to_string()).map(FieldValue::Number)
            }
            (FieldKind::Boolean, _) => Err("must be true or false".to_owned()),
            (_, Value::String(text)) => FieldValue::read(field, text, DateOrder::default()),
            (kind, _) => Err(format!("is no lawful value of a {kind} field")),
        }
    }

    pub fn to_json(&self, field: &Field) -> Value {
        let name = |place: usize| field.choices.get(place).cloned().unwrap_or_default();
        match self {
            FieldValue::Text(text) | FieldValue::Url(text) => json!(text),
            FieldValue::Number(millionths) if millionths % MILLION == 0 => {
                json!(millionths / MILLION)
            }
            FieldValue::Number(millionths) => json!(*millionths as f64 / MILLION as f64),
            FieldValue::Date(_) | FieldValue::Birthday { .. } => json!(self.to_text(field)),
            FieldValue::Boolean(value) => json!(value),
            FieldValue::Choice(place) => json!(name(*place)),
            FieldValue::Choices(bits) => places(*bits).map(name).collect(),
            FieldValue::Json(value) => value.clone(),
        }
    }

    /// As it stands in an export, from which `read` makes the same value again.
    pub fn to_text(&self, field: &Field) -> String {
        let name = |place: usize| field.choices.get(place).map_or("", String::as_str);
        match self {
            FieldValue::Text(text) | FieldValue::Url(text) => text.clone(),
            FieldValue::Number(millionths) => decimal(*millionths),
            FieldValue::Date(days) => day_of(*days).map_or(String::new(), |day| day.to_string()),
            FieldValue::Birthday { month, day } => format!("{month:02}-{day:02}"),
            FieldValue::Boolean(value) => value.to_string(),
            FieldValue::Choice(place) => name(*place).to_owned(),
            FieldValue::Choices(bits) => places(*bits).map(name).collect::<Vec<_>>().join(";"),
            FieldValue::Json(value) => value.to_string(),
        }
    }

    pub fn stored(&self) -> Stored {
        match self {
            FieldValue::Text(text) | FieldValue::Url(text) => Stored::Text(text.clone()),
            FieldValue::Number(number) | FieldValue::Date(number) | FieldValue::Choices(number) => {
                Stored::Number(*number)
            }
            FieldValue::Birthday { month, day } => Stored::Number(day_of_year(*month, *day)),
            FieldValue::Boolean(value) => Stored::Number(i64::from(*value)),
            FieldValue::Choice(place) => Stored::Number(i64::try_from(*place).unwrap_or(0)),
            FieldValue::Json(value) => Stored::Json(value.clone()),
        }
    }

    /// None for what no value of this kind is kept as.
    pub fn from_stored(kind: FieldKind, stored: Stored) -> Option<FieldValue> {
        Some(match (kind, stored) {
            (FieldKind::Text, Stored::Text(text)) => FieldValue::Text(text),
            (FieldKind::Url, Stored::Text(text)) => FieldValue::Url(text),
            (FieldKind::Number, Stored::Number(number)) => FieldValue::Number(number),
            (FieldKind::Date, Stored::Number(days)) => FieldValue::Date(days),
            (FieldKind::Birthday, Stored::Number(number)) => FieldValue::Birthday {
                month: i8::try_from(number / 100).ok()?,
                day: i8::try_from(number % 100).ok()?,
            },
            (FieldKind::Boolean, Stored::Number(number)) => FieldValue::Boolean(number != 0),
            (FieldKind::Choice, Stored::Number(place)) => {
                FieldValue::Choice(usize::try_from(place).ok()?)
            }
            (FieldKind::MultiChoice, Stored::Number(bits)) => FieldValue::Choices(bits),
            (FieldKind::Json, Stored::Json(value)) => FieldValue::Json(value),
            (FieldKind::Json, Stored::Text(text)) => FieldValue::Json(Value::String(text)),
            (FieldKind::Json, Stored::Number(number)) => FieldValue::Json(json!(number)),
            _ => return None,
        })
    }
}

/// PostgreSQL keeps no NUL, and no mail should carry one.
fn bounded(text: &str, bytes_max: usize) -> Result<String, String> {
    if text.contains('\0') {
        return Err("holds a NUL octet".to_owned());
    }
    if text.len() > bytes_max {
        return Err(format!("is longer than {bytes_max} octets"));
    }
    Ok(text.to_owned())
}

fn json_value(value: Value) -> Result<FieldValue, String> {
    let text = value.to_string();
    if text.len() > JSON_BYTES_MAX {
        return Err(format!("is longer than {JSON_BYTES_MAX} octets"));
    }
    if text.contains("\\u0000") {
        return Err("holds a NUL octet".to_owned());
    }
    Ok(FieldValue::Json(value))
}

/// A decimal number without a thousands separator, as millionths.
pub fn number(text: &str) -> Result<i64, String> {
    let wrong = || format!("'{}' is no number like -12.5", short(text));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let is_digits = |part: &str| part.bytes().all(|octet| octet.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return Err(wrong());
    }
    if fraction.len() > DECIMALS {
        return Err(format!("has more than {DECIMALS} decimals"));
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    if whole > NUMBER_ABS_MAX {
        return Err("is too large".to_owned());
    }
    let fraction: i64 = format!("{fraction:0<6}").parse().map_err(|_| wrong())?;
    let millionths = whole * MILLION + fraction;
    Ok(if negative { -millionths } else { millionths })
}

fn decimal(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let (whole, fraction) = (millionths.abs() / MILLION, millionths.abs() % MILLION);
    let text = format!("{sign}{whole}.{fraction:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(format!("'{}' is neither yes nor no", short(text))),
    }
}

fn url(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let is_web = lower.starts_with("https://") || lower.starts_with("http://");
    if !is_web || text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Err("must begin with http:// or https:// and hold no space".to_owned());
    }
    bounded(text, URL_BYTES_MAX)
}

fn choice(field: &Field, text: &str) -> Result<usize, String> {
    let lower = text.trim().to_lowercase();
    let place = field.choices.iter().position(|choice| choice.to_lowercase() == lower);
    place.ok_or_else(|| format!("'{}' is none of the field's choices", short(text)))
}

fn choices<'a>(field: &Field, texts: impl Iterator<Item = &'a str>) -> Result<FieldValue, String> {
    let mut bits = 0;
    for text in texts.filter(|text| !text.trim().is_empty()) {
        bits |= 1 << choice(field, text)?;
    }
    Ok(FieldValue::Choices(bits))
}

/// The places whose bits are set.
fn places(bits: i64) -> impl Iterator<Item = usize> {
    (0..CHOICES_MAX).filter(move |place| bits & (1 << place) != 0)
}

/// As many characters of a value as an error shows.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(40).collect()
}

pub fn day_of_year(month: i8, day: i8) -> i64 {
    i64::from(month) * 100 + i64::from(day)
}

fn day_of(days: i64) -> Option<jiff::civil::Date> {
    let epoch = jiff::civil::date(1970, 1, 1);
    let span = jiff::Span::new().try_days(days).ok()?;
    epoch.checked_add(span).ok()
}

/// Days since 1970-01-01.
pub fn days_of(date: jiff::civil::Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    // Both lie within the years of jiff, whose span in days fits.
    epoch.until(date).map_or(0, |span| i64::from(span.get_days()))
}

/// `2024-03-04` with anything behind a `T` or a space, `4.3.2024`, `04/03/2024`.
pub fn date(text: &str, order: DateOrder) -> Result<i64, String> {
    let wrong = || format!("'{}' is no date like 2024-12-31", short(text));
    let day = text.split(['T', ' ']).next().unwrap_or_default();
    let parts = parts(day, 3).ok_or_else(wrong)?;
    let (year, month, day) = match (day.contains('-') && parts[0] > 31, order) {
        (true, _) => (parts[0], parts[1], parts[2]),
        (false, DateOrder::MonthFirst) if day.contains('/') => (parts[2], parts[0], parts[1]),
        (false, _) => (parts[2], parts[1], parts[0]),
    };
    let date = jiff::civil::Date::new(
        i16::try_from(year).map_err(|_| wrong())?,
        i8::try_from(month).map_err(|_| wrong())?,
        i8::try_from(day).map_err(|_| wrong())?,
    );
    match date {
        Ok(date) if date.year() >= 1000 => Ok(days_of(date)),
        _ => Err(wrong()),
    }
}

/// `12-31`, `12/31` or `31.12.`, or a whole date whose year is left out.
fn birthday(text: &str, order: DateOrder) -> Result<FieldValue, String> {
    let wrong = || format!("'{}' is no day of the year like 12-31", short(text));
    if let Ok(days) = date(text, order) {
        let day = day_of(days).ok_or_else(wrong)?;
        return Ok(FieldValue::Birthday { month: day.month(), day: day.day() });
    }
    let parts = parts(text.trim_end_matches('.'), 2).ok_or_else(wrong)?;
    let day_first = text.contains('.') || (text.contains('/') && order == DateOrder::DayFirst);
    let (month, day) = if day_first { (parts[1], parts[0]) } else { (parts[0], parts[1]) };
    // A leap year, since people are born on the 29th of February.
    let day = i8::try_from(month).ok().zip(i8::try_from(day).ok());
    let day = day.and_then(|(month, day)| jiff::civil::Date::new(2000, month, day).ok());
    let day = day.ok_or_else(wrong)?;
    Ok(FieldValue::Birthday { month: day.month(), day: day.day() })
}

fn parts(text: &str, wanted: usize) -> Option<Vec<u32>> {
    let parts: Option<Vec<u32>> = text
        .split(['-', '/', '.'])
        .map(|part| part.parse().ok().filter(|_| (1..=4).contains(&part.len())))
        .collect();
    parts.filter(|parts| parts.len() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: FieldKind) -> Field {
        Field {
            id: FieldId(1),
            organization: OrganizationId::FIRST,
            name: "f".to_owned(),
            label: "F".to_owned(),
            kind,
            choices: vec!["Red".to_owned(), "Blue".to_owned(), "Grün".to_owned()],
            slot: None,
            encrypted: false,
        }
    }

    fn read(kind: FieldKind, text: &str) -> Result<String, String> {
        let field = field(kind);
        let value = FieldValue::read(&field, text, DateOrder::DayFirst)?;
        let kept = FieldValue::from_stored(kind, value.stored()).expect("of this kind");
        assert_eq!(kept, value, "what is kept is what was read");
        let again = FieldValue::read(&field, &value.to_text(&field), DateOrder::DayFirst);
        assert_eq!(again, Ok(value.clone()), "an export can be imported");
        assert_eq!(FieldValue::from_json(&field, &value.to_json(&field)), Ok(value.clone()));
        Ok(value.to_text(&field))
    }

    #[test]
    fn values_of_every_kind_are_read_kept_and_written_alike() {
        use FieldKind::{Birthday, Boolean, Choice, Date, MultiChoice, Number, Text, Url};
        for (kind, text, written) in [
            (Text, "  Ärger \"x\" ", "Ärger \"x\""),
            (Number, "-12.50", "-12.5"),
            (Number, "+7", "7"),
            (Number, ".25", "0.25"),
            (Date, "2024-02-29T10:00:00Z", "2024-02-29"),
            (Date, "31.12.1969", "1969-12-31"),
            (Date, "03/04/2024", "2024-04-03"),
            (Birthday, "02-29", "02-29"),
            (Birthday, "1.5.", "05-01"),
            (Birthday, "1980-12-31", "12-31"),
            (Boolean, "Yes", "true"),
            (Choice, " gRÜN", "Grün"),
            (MultiChoice, "blue; Red", "Red;Blue"),
            (MultiChoice, "", ""),
            (Url, "https://example.com/a?b=c", "https://example.com/a?b=c"),
        ] {
            assert_eq!(read(kind, text).as_deref(), Ok(written), "{kind} {text}");
        }
        assert_eq!(read(FieldKind::Json, "{\"a\": [1]}").as_deref(), Ok("{\"a\":[1]}"));
    }

    #[test]
    fn what_no_field_of_its_kind_can_hold_is_refused() {
        use FieldKind::{Birthday, Boolean, Choice, Date, Number, Text, Url};
        for (kind, text) in [
            (Number, "1,000"),
            (Number, "1.1234567"),
            (Number, ""),
            (Number, "99999999999999999999"),
            (Date, "2023-02-29"),
            (Date, "tomorrow"),
            (Date, "1.1.24"),
            (Birthday, "13-01"),
            (Boolean, "perhaps"),
            (Choice, "green"),
            (Text, "a\0b"),
            (Url, "javascript:alert(1)"),
            (Url, "https://a b"),
        ] {
            assert!(read(kind, text).is_err(), "{kind} {text:?}");
        }
    }

    #[test]
    fn a_month_first_date_is_read_as_it_was_meant() {
        let read = |order| {
            let value = FieldValue::read(&field(FieldKind::Date), "03/04/2024", order);
            value.expect("a date").to_text(&field(FieldKind::Date))
        };
        assert_eq!(read(DateOrder::MonthFirst), "2024-03-04");
        assert_eq!(read(DateOrder::DayFirst), "2024-04-03");
    }
}
