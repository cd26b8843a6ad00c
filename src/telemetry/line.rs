//! One log line, as text or as JSON.

use std::borrow::Cow;
use std::fmt::Write;

use tracing::field::{Field, Visit};

/// Fields in the order in which they were said.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub text: Option<String>,
    pub fields: Vec<(&'static str, Value)>,
    /// `message` names both the sentence of an event and, as a field, the mail it is about; where
    /// both are there, tracing says the sentence first.
    sentence_expected: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(serde_json::Number),
    Truth(bool),
}

impl Fields {
    /// For an event, whose first `message` is its sentence.
    pub fn of_event(event: &tracing::Event<'_>) -> Fields {
        let mut fields = Fields { sentence_expected: true, ..Fields::default() };
        event.record(&mut fields);
        fields
    }

    fn push(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) if self.sentence_expected => {
                self.sentence_expected = false;
                self.text = Some(text);
            }
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Number(value.into()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Number(value.into()));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = serde_json::Number::from_f64(value);
        self.push(field, number.map_or_else(|| Value::Text(value.to_string()), Value::Number));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Truth(value));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, Value::Text(value.to_string()));
    }
}

/// What an event says, with the fields of the spans around it, outermost first.
pub(super) struct Line<'a> {
    pub time: String,
    pub level: &'static str,
    pub module: &'a str,
    pub spans: Vec<Fields>,
    pub event: Fields,
}

impl Line<'_> {
    fn fields(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.spans.iter().flat_map(|span| &span.fields).chain(&self.event.fields)
    }

    /// `TIME LEVEL MODULE SENTENCE name=value name="value with spaces"`.
    pub fn as_text(&self) -> String {
        let sentence = self.event.text.as_deref().unwrap_or_default();
        let mut line = format!("{} {:5} {} ", self.time, self.level, self.module);
        line.push_str(&harmless(sentence));
        for (name, value) in self.fields() {
            line.push(' ');
            line.push_str(name);
            line.push('=');
            match value {
                Value::Number(number) => line.push_str(&number.to_string()),
                Value::Truth(truth) => line.push_str(if *truth { "true" } else { "false" }),
                Value::Text(text) => push_text(&mut line, text),
            }
        }
        line.push('\n');
        line
    }

    /// One object; of a field said twice the innermost counts.
    pub fn as_json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), self.time.as_str().into());
        object.insert("level".into(), self.level.into());
        object.insert("module".into(), self.module.into());
        let sentence = self.event.text.as_deref().unwrap_or_default();
        object.insert("text".into(), harmless(sentence).into());
        for (name, value) in self.fields() {
            let value = match value {
                Value::Number(number) => number.clone().into(),
                Value::Truth(truth) => (*truth).into(),
                Value::Text(text) => harmless(text).into(),
            };
            object.insert((*name).to_owned(), value);
        }
        let mut line = serde_json::Value::Object(object).to_string();
        line.push('\n');
        line
    }
}

fn push_text(line: &mut String, text: &str) {
    let text = harmless(text);
    let plain = !text.is_empty() && !text.contains([' ', '"', '=', '\\']);
    if plain {
        line.push_str(&text);
        return;
    }
    line.push('"');
    for c in text.chars() {
        if c == '"' {
            line.push('\\');
        }
        line.push(c);
    }
    line.push('"');
}

/// The text without anything that could begin a new line, move a cursor, colour a terminal or
/// turn the direction of writing: each such character is shown by its number, `\x1b`.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        let written = match c {
            '\n' => shown.write_str("\\n"),
            '\r' => shown.write_str("\\r"),
            '\t' => shown.write_str("\\t"),
            c if is_harmful(c) && u32::from(c) < 0x100 => write!(shown, "\\x{:02x}", u32::from(c)),
            c if is_harmful(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c => shown.write_char(c),
        };
        written.expect("a String takes all that is written to it");
    }
    Cow::Owned(shown)
}

const fn is_harmful(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown_by_its_number() {
        assert_eq!(harmless("plain ü ☃"), "plain ü ☃");
        assert_eq!(
            harmless("a\r\nb\x1b[31m\u{9b}0m\u{202e}\0"),
            "a\\r\\nb\\x1b[31m\\x9b0m\\u{202e}\\x00"
        );
    }
}
