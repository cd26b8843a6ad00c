//! The environment templates run in, and what is refused before they run.

use std::collections::BTreeSet;
use std::io::Write;

use minijinja::{
    AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value, filters, tests,
};

use super::scan::{Piece, PieceKind, pieces, unquoted, words};
use super::{BODY_BYTES_MAX, NAMES, Part, SUBJECT_BYTES_MAX, TemplateError, place};

/// Steps of one render. A loop of a thousand rows with ten values each takes about half.
const FUEL: u64 = 50_000;
/// What one part may become.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
const RECURSION_MAX: usize = 30;
/// `~` and `+` in one output, where they make one text of many …
const JOINTS_OF_OUTPUT_MAX: usize = 32;
/// … and in all statements together, where one can build on another: sixteen can make a value at
/// most some hundred times as long.
const JOINTS_OF_STATEMENTS_MAX: usize = 16;
/// The longest text that `join` makes.
const JOIN_BYTES_MAX: usize = 64 * 1024;

const STATEMENTS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "set"];

const FILTERS: [&str; 23] = [
    "abs",
    "capitalize",
    "count",
    "d",
    "date",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "int",
    "join",
    "last",
    "length",
    "link",
    "lower",
    "money",
    "number",
    "round",
    "sort",
    "title",
    "trim",
    "upper",
];
/// They take no more than what is there, too.
const MORE_FILTERS: [&str; 3] = ["reverse", "unique", "urlencode"];

/// Filters, tests and limits; no functions, no loader, nothing that reads or writes.
fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_formatter(format_value);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("count", filters::length);
    environment.add_filter("length", filters::length);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("e", filters::escape);
    environment.add_filter("escape", filters::escape);
    environment.add_filter("first", first);
    environment.add_filter("last", last);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", filters::int);
    environment.add_filter("join", join);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("round", filters::round);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("urlencode", filters::urlencode);
    environment.add_filter("date", date);
    environment.add_filter("number", number);
    environment.add_filter("money", money);
    environment.add_filter("link", link);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("string", tests::is_string);
    environment.add_test("number", tests::is_number);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment
}

/// What is missing shows as nothing. In HTML only what has a meaning there is escaped: the usual
/// escape of `/` would stand in every link and date.
fn format_value(
    output: &mut Output,
    state: &mut State,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    let is_plain = *state.auto_escape() == AutoEscape::None || value.is_safe();
    let text = if is_plain { text } else { escaped(&text) };
    output.write_str(&text).map_err(|_| minijinja::Error::from(ErrorKind::WriteFailure))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Refuses what cannot be rendered safely, or names what there is not.
pub fn check(part: Part, text: &str, fields: &BTreeSet<String>) -> Result<(), TemplateError> {
    let bytes_max = if part == Part::Subject { SUBJECT_BYTES_MAX } else { BODY_BYTES_MAX };
    if text.len() > bytes_max {
        return Err(place(part, text, bytes_max, format!("at most {bytes_max} octets")));
    }
    if let Some(at) = text.find('\0') {
        return Err(place(part, text, at, "a NUL octet"));
    }
    let pieces = pieces(text).map_err(|at| place(part, text, at, "this has no end"))?;
    let mut joints = 0;
    for piece in &pieces {
        let wrong = |(at, why): (usize, String)| place(part, text, piece.inner_start + at, why);
        joints += check_piece(piece).map_err(wrong)?;
        if joints > JOINTS_OF_STATEMENTS_MAX {
            let why = "too many ~ and + in statements; put them into the output";
            return Err(place(part, text, piece.start, why));
        }
    }
    let environment = environment();
    let template = environment.template_from_named_str("check", text);
    let template = template.map_err(|error| of_jinja(part, text, &error))?;
    let mut unknown: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    unknown.sort();
    for name in unknown {
        let root = name.split('.').next().unwrap_or_default();
        let of_contact =
            name.strip_prefix("contact.").map(|rest| rest.trim_start_matches("fields."));
        let named = if root == "contact" { of_contact } else { Some(root) };
        let is_content = part == Part::Layout && root == "content";
        let is_known = is_content
            || named.is_none_or(|named| {
                let named = named.split('.').next().unwrap_or_default();
                named == "fields" || NAMES.contains(&named) || fields.contains(named)
            });
        if !is_known {
            let at = first_use(&pieces, named.unwrap_or(root)).unwrap_or(0);
            return Err(place(part, text, at, format!("there is no field '{name}'")));
        }
    }
    Ok(())
}

fn first_use(pieces: &[Piece<'_>], name: &str) -> Option<usize> {
    let name = name.split('.').next().unwrap_or_default();
    pieces.iter().find_map(|piece| {
        let inner = unquoted(piece.inner);
        let found = words(&inner).find(|(_, word)| *word == name).map(|(at, _)| at);
        found.map(|at| piece.inner_start + at)
    })
}

/// The joints of a statement; or what is refused, and where.
fn check_piece(piece: &Piece<'_>) -> Result<usize, (usize, String)> {
    if piece.kind == PieceKind::Comment {
        return Ok(0);
    }
    let inner = unquoted(piece.inner);
    if let Some(at) = inner.find('*') {
        return Err((at, "there is no *; a text could grow without end".to_owned()));
    }
    let mut filter = None;
    for (at, word) in words(&inner) {
        let before = inner[..at].trim_end();
        if before.ends_with('|') && !FILTERS.contains(&word) && !MORE_FILTERS.contains(&word) {
            filter = Some((at, format!("there is no filter '{word}'")));
            break;
        }
    }
    if let Some(wrong) = filter {
        return Err(wrong);
    }
    let joints = inner.bytes().filter(|octet| matches!(octet, b'~' | b'+')).count();
    if piece.kind == PieceKind::Output {
        return match joints {
            0..=JOINTS_OF_OUTPUT_MAX => Ok(0),
            _ => Err((0, format!("at most {JOINTS_OF_OUTPUT_MAX} ~ and + in one output"))),
        };
    }
    let mut words = words(&inner);
    let (at, statement) = words.next().unwrap_or((0, ""));
    if !STATEMENTS.contains(&statement) {
        let known = STATEMENTS.join(", ");
        return Err((at, format!("'{statement}' is none of: {known}")));
    }
    let binds = matches!(statement, "for" | "set");
    if let Some(at) = literal(&inner).filter(|_| binds) {
        return Err((at, "no list or map is made in 'for' and 'set'".to_owned()));
    }
    if statement == "set" && !inner.contains('=') {
        return Err((at, "'set' needs a value behind '='".to_owned()));
    }
    if let Some((at, _)) = words.find(|(_, word)| statement == "for" && *word == "recursive") {
        return Err((at, "loops do not call themselves".to_owned()));
    }
    Ok(joints)
}

/// A bracket or brace that makes a list or map, and does not look into one.
fn literal(inner: &str) -> Option<usize> {
    inner.bytes().enumerate().find_map(|(at, octet)| {
        let before = inner[..at].trim_end().as_bytes().last().copied().unwrap_or(b' ');
        let looks_into =
            before.is_ascii_alphanumeric() || matches!(before, b'_' | b']' | b')' | b' ');
        let is_word_before = inner[..at].trim_end().ends_with(" in");
        let is_literal = octet == b'{' || (octet == b'[' && (!looks_into || is_word_before));
        is_literal.then_some(at)
    })
}

/// The environment with these templates, which were checked.
pub fn ready(
    templates: [(&'static str, String); 3],
) -> Result<Environment<'static>, TemplateError> {
    let mut environment = environment();
    for (name, text) in templates {
        let part = part_of(name);
        environment
            .add_template_owned(name, text.clone())
            .map_err(|error| of_jinja(part, &text, &error))?;
    }
    Ok(environment)
}

fn part_of(name: &str) -> Part {
    match name {
        "subject.txt" => Part::Subject,
        "body.txt" => Part::Text,
        _ => Part::Body,
    }
}

pub fn render(
    environment: &Environment<'static>,
    part: Part,
    name: &str,
    values: &Value,
) -> Result<String, TemplateError> {
    let template = environment.get_template(name).map_err(|error| of_jinja(part, "", &error))?;
    let mut output = Bounded(Vec::new());
    template
        .render_captured_to(values.clone(), &mut output)
        .map_err(|error| of_jinja(part, template.source(), &error))?;
    String::from_utf8(output.0).map_err(|why| place(part, "", 0, why.to_string()))
}

/// Takes as much as a part may become.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + octets.len() > OUTPUT_BYTES_MAX {
            return Err(std::io::Error::other("the output is too long"));
        }
        self.0.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn of_jinja(part: Part, text: &str, error: &minijinja::Error) -> TemplateError {
    let why = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the template takes too many steps".to_owned(),
        (ErrorKind::WriteFailure, _) => "the output is longer than a mebibyte".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    match (error.range(), error.line()) {
        (Some(range), _) => place(part, text, range.start, why),
        (None, line) => {
            TemplateError { part, line: line.unwrap_or(1), column: 1, path: String::new(), why }
        }
    }
}

fn failed(why: impl Into<String>) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, why.into())
}

/// Stands in for what is missing, null or an empty text: people mean all three.
fn default(value: &Value, other: Option<Value>) -> Value {
    let is_empty = value.is_undefined() || value.is_none() || value.as_str() == Some("");
    if is_empty { other.unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

fn first(value: &Value) -> Result<Value, minijinja::Error> {
    Ok(value.try_iter()?.next().unwrap_or_default())
}

fn last(value: &Value) -> Result<Value, minijinja::Error> {
    Ok(value.try_iter()?.last().unwrap_or_default())
}

fn join(value: &Value, between: Option<String>) -> Result<String, minijinja::Error> {
    let between = between.unwrap_or_default();
    let mut joined = String::new();
    for (place, item) in value.try_iter()?.enumerate() {
        let item = item.to_string();
        if joined.len() + item.len() + between.len() > JOIN_BYTES_MAX {
            return Err(failed("join makes a text that is too long"));
        }
        joined.push_str(if place == 0 { "" } else { &between });
        joined.push_str(&item);
    }
    Ok(joined)
}

/// `{{ since|date("%d.%m.%Y") }}`, of a date as fields have it.
fn date(value: &Value, format: Option<String>) -> Result<String, minijinja::Error> {
    const FORMAT_BYTES_MAX: usize = 100;
    let format = format.unwrap_or_else(|| "%Y-%m-%d".to_owned());
    let Some(text) = value.as_str() else {
        return if value.is_undefined() || value.is_none() {
            Ok(String::new())
        } else {
            Err(failed("date needs a date"))
        };
    };
    // A width such as %999999999d would make a long text of a short one.
    let has_width = format.split('%').skip(1).any(|rest| {
        rest.trim_start_matches(['-', '_', '0', '^', '#']).starts_with(|c: char| c.is_ascii_digit())
    });
    if format.len() > FORMAT_BYTES_MAX || has_width {
        return Err(failed("the format of date is too long or has a width"));
    }
    let date: jiff::civil::Date =
        text.parse().map_err(|_| failed("date needs a date like 2024-12-31"))?;
    jiff::fmt::strtime::format(&format, date).map_err(|why| failed(why.to_string()))
}

/// `{{ points|number(2, ",", ".") }}`: decimals, the sign before them, and between thousands.
fn number(
    value: &Value,
    decimals: Option<usize>,
    point: Option<String>,
    thousands: Option<String>,
) -> Result<String, minijinja::Error> {
    const DECIMALS_MAX: usize = 6;
    const SIGN_BYTES_MAX: usize = 8;
    if value.is_undefined() || value.is_none() {
        return Ok(String::new());
    }
    let number = f64::try_from(value.clone()).map_err(|_| failed("number needs a number"))?;
    let point = point.unwrap_or_else(|| ".".to_owned());
    let thousands = thousands.unwrap_or_default();
    if point.len() > SIGN_BYTES_MAX || thousands.len() > SIGN_BYTES_MAX || number.abs() > 1e15 {
        return Err(failed("number has a sign or a value that is too long"));
    }
    let digits = format!("{:.*}", decimals.unwrap_or(0).min(DECIMALS_MAX), number.abs());
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut text = String::from(if number < 0.0 { "-" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            text.push_str(&thousands);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push_str(&point);
        text.push_str(fraction);
    }
    Ok(text)
}

/// `{{ total|money("€") }}` is `1,234.50 €`.
fn money(value: &Value, sign: Option<String>) -> Result<String, minijinja::Error> {
    let amount = number(value, Some(2), None, Some(",".to_owned()))?;
    let sign = sign.unwrap_or_default();
    match (amount.is_empty(), sign.len() > 16) {
        (true, _) => Ok(amount),
        (_, true) => Err(failed("money has a sign that is too long")),
        _ => Ok(format!("{amount} {sign}").trim_end().to_owned()),
    }
}

/// A value as a link, or nothing when it would leave what mail may link to.
fn link(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default().trim();
    if is_link(text) { text.to_owned() } else { String::new() }
}

/// http, https, mailto and tel, without control characters that a browser would leave out.
pub fn is_link(text: &str) -> bool {
    let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    text.contains(':')
        && matches!(scheme.as_str(), "http" | "https" | "mailto" | "tel")
        && !text.contains(char::is_control)
}
