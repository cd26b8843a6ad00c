//! What a list's public form asks beside the address: drawn, read, and shown again before it holds.
//!
//! Owns:       the names of its inputs, and the box that only programs fill in.
//! Promises:   what is read is lawful for its field; text of people is escaped.
//! Knows not:  whose address it is, where what was given is kept until then.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::public::{escaped, field};
use super::public_words::{Words, filled};
use crate::campaign::edit;
use crate::model::*;
use crate::store::ListForm;

/// Of what is given, as it stands in the link that confirms.
pub(super) const GIVEN_BYTES_MAX: usize = 1500;
/// Who fills this in does not see the page.
const TRAP: &str = "hp";

/// What somebody has typed beside his address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// Fields that a public form may ask for.
pub(super) const fn may_ask(field: &Field) -> bool {
    !field.encrypted && !matches!(field.kind, FieldKind::Json)
}

/// Those that it asks for; one that is gone is asked for no more.
fn asked<'a>(form: &'a ListForm, fields: &'a [Field]) -> impl Iterator<Item = &'a Field> {
    let named = |name: &String| fields.iter().find(|field| field.name == *name);
    form.fields.iter().filter_map(named).filter(|field| may_ask(field))
}

/// Address, name, fields, words and button, without the form around them.
pub(super) fn drawn(form: &ListForm, fields: &[Field], words: &Words) -> String {
    let mut html = format!(
        "<label>{} <input type=\"email\" name=\"email\" required></label>",
        words.your_address
    );
    if form.asks_name {
        html +=
            &format!("<label>{} <input name=\"name\" maxlength=\"300\"></label>", words.your_name);
    }
    for field in asked(form, fields) {
        html += &input(field);
    }
    html += &format!(
        "<div style=\"position:absolute;left:-9999px\" aria-hidden=\"true\"><label>{} \
         <input name=\"{TRAP}\" tabindex=\"-1\" autocomplete=\"off\"></label></div>",
        words.leave_empty
    );
    if !form.wording.is_empty() {
        html += &format!("<p>{}</p>", escaped(&form.wording).replace('\n', "<br>"));
    }
    html + &format!("<p><button>{}</button></p>", words.subscribe)
}

fn input(field: &Field) -> String {
    let (name, label) = (format!("field.{}", escaped(&field.name)), escaped(&field.label));
    let of = |more: &str| format!("<label>{label} <input name=\"{name}\" {more}></label>");
    match field.kind {
        FieldKind::Number => of("type=\"number\" step=\"any\""),
        FieldKind::Date => of("type=\"date\""),
        FieldKind::Birthday => of("placeholder=\"12-31\" maxlength=\"10\""),
        FieldKind::Url => of("type=\"url\" maxlength=\"500\""),
        FieldKind::Text | FieldKind::Json => of("maxlength=\"500\""),
        FieldKind::Boolean => {
            format!(
                "<label><input type=\"checkbox\" name=\"{name}\" value=\"true\"> {label}</label>"
            )
        }
        FieldKind::Choice => {
            let option = |choice: &String| format!("<option>{}</option>", escaped(choice));
            let options: String = field.choices.iter().map(option).collect();
            format!(
                "<label>{label} <select name=\"{name}\"><option></option>{options}</select></label>"
            )
        }
        FieldKind::MultiChoice => {
            let of_choice = |choice: &String| {
                let choice = escaped(choice);
                format!(
                    "<label><input type=\"checkbox\" name=\"{name}\" value=\"{choice}\"> \
                     {choice}</label>"
                )
            };
            let boxes: String = field.choices.iter().map(of_choice).collect();
            format!("<fieldset><legend>{label}</legend>{boxes}</fieldset>")
        }
    }
}

/// A program has filled in what people do not see.
pub(super) fn is_trapped(pairs: &[(String, String)]) -> bool {
    !field(pairs, TRAP).is_empty()
}

/// None where nothing was given. The error is the label of what cannot be taken.
pub(super) fn given(
    form: &ListForm,
    fields: &[Field],
    pairs: &[(String, String)],
    words: &Words,
) -> Result<Option<Given>, String> {
    let mut given = Given::default();
    let name = field(pairs, "name");
    if form.asks_name && !name.trim().is_empty() {
        given.name = Some(edit::name(name).map_err(|_| words.your_name.to_owned())?);
    }
    for field in asked(form, fields) {
        let wrong = || field.label.clone();
        let own = format!("field.{}", field.name);
        let texts = pairs.iter().filter(|(name, _)| *name == own);
        let texts: Vec<&str> = texts.map(|(_, text)| text.trim()).collect();
        let value = match field.kind {
            FieldKind::MultiChoice => {
                let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
                (!texts.is_empty()).then(|| FieldValue::from_json(field, &texts.into()))
            }
            _ => {
                let text = texts.first().filter(|text| !text.is_empty());
                text.map(|text| FieldValue::read(field, text, DateOrder::default()))
            }
        };
        if let Some(value) = value {
            let value = value.map_err(|_| wrong())?;
            given.fields.insert(field.name.clone(), value.to_json(field));
        }
        if serde_json::json!(given).to_string().len() > GIVEN_BYTES_MAX {
            return Err(wrong());
        }
    }
    Ok((given != Given::default()).then_some(given))
}

/// For whoever the address belongs to: he may not be the one who has typed it.
pub(super) fn shown(given: &Given, fields: &[Field], words: &Words) -> String {
    let mut rows = String::new();
    let mut row = |label: &str, value: &str| {
        rows += &format!("<dt>{}</dt><dd>{}</dd>", escaped(label), escaped(value));
    };
    if let Some(name) = &given.name {
        row(words.your_name, name);
    }
    for field in fields {
        let value = given.fields.get(&field.name);
        let value = value.and_then(|value| FieldValue::from_json(field, value).ok());
        if let Some(value) = value {
            row(&field.label, &value.to_text(field));
        }
    }
    match rows.is_empty() {
        true => rows,
        false => format!("<p>{}</p><dl>{rows}</dl>", words.you_told),
    }
}

/// That something typed cannot be taken.
pub(super) fn refused(label: &str, words: &Words) -> String {
    format!("<p>{}</p>", escaped(&filled(words.check, label)))
}

#[cfg(test)]
mod tests {
    use super::super::public::fields as pairs;
    use super::super::public_words::ENGLISH;
    use super::*;

    fn field(name: &str, kind: FieldKind, choices: &[&str]) -> Field {
        Field {
            id: FieldId(1),
            organization: OrganizationId::FIRST,
            name: name.to_owned(),
            label: format!("<{name}>"),
            kind,
            choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            slot: None,
            encrypted: name == "passport",
        }
    }

    fn all() -> Vec<Field> {
        vec![
            field("city", FieldKind::Text, &[]),
            field("size", FieldKind::Choice, &["S", "L"]),
            field("likes", FieldKind::MultiChoice, &["a, b", "c"]),
            field("born", FieldKind::Birthday, &[]),
            field("adult", FieldKind::Boolean, &[]),
            field("passport", FieldKind::Text, &[]),
            field("other", FieldKind::Text, &[]),
        ]
    }

    fn form() -> ListForm {
        let names = ["size", "city", "likes", "born", "adult", "passport", "gone"];
        ListForm {
            asks_name: true,
            fields: names.map(str::to_owned).to_vec(),
            wording: "I <agree>".to_owned(),
            ..ListForm::default()
        }
    }

    #[test]
    fn a_form_asks_in_its_order_for_what_may_be_asked_for_and_escapes_it() {
        let html = drawn(&form(), &all(), &ENGLISH);
        let place = |part: &str| html.find(part).unwrap_or_else(|| panic!("no {part} in {html}"));
        assert!(place("name=\"name\"") < place("name=\"field.size\""));
        assert!(place("name=\"field.size\"") < place("name=\"field.city\""));
        assert!(place("I &lt;agree&gt;") < place("<button>Subscribe"));
        assert!(html.contains("&lt;city&gt;") && !html.contains("<city>"), "{html}");
        assert!(!html.contains("passport") && !html.contains("field.other"), "{html}");
        assert!(!drawn(&ListForm::default(), &all(), &ENGLISH).contains("field."));
    }

    #[test]
    fn what_is_given_is_lawful_for_its_field_and_nothing_else_is_taken() {
        let read = |text: &str| given(&form(), &all(), &pairs(text), &ENGLISH);
        let all_of_it = "email=x&name=Ann&field.city=K%C3%B6ln&field.size=L&field.likes=c&\
            field.likes=a%2C+b&field.born=12-31&field.adult=true&field.passport=4711&\
            field.other=x&hp=";
        let taken = read(all_of_it).expect("lawful").expect("given");
        assert_eq!(taken.name.as_deref(), Some("Ann"));
        let expected = serde_json::json!({"adult": true, "born": "12-31", "city": "Köln",
            "likes": ["a, b", "c"], "size": "L"});
        assert_eq!(Value::Object(taken.fields), expected);
        assert_eq!(read("email=x&name=+&field.city=&field.size="), Ok(None));
        assert_eq!(read("field.size=XXL"), Err("<size>".to_owned()));
        assert_eq!(read("field.born=31.02."), Err("<born>".to_owned()));
        assert_eq!(read("name=a%0Ab"), Err("Your name".to_owned()));
        assert_eq!(read("field.city=a%00b"), Err("<city>".to_owned()));
        assert!(read(&format!("field.city={}", "x".repeat(1001))).is_err());
        assert!(is_trapped(&pairs("email=x&hp=buy")) && !is_trapped(&pairs("email=x&hp=")));
    }

    #[test]
    fn what_was_typed_is_shown_as_text() {
        let text = "name=%3Cb%3E&field.city=%3Ci%3E&field.likes=c";
        let given = given(&form(), &all(), &pairs(text), &ENGLISH).expect("lawful").expect("some");
        let html = shown(&given, &all(), &ENGLISH);
        assert!(html.contains("<dt>Your name</dt><dd>&lt;b&gt;</dd>"), "{html}");
        assert!(html.contains("<dd>&lt;i&gt;</dd>") && html.contains("<dd>c</dd>"), "{html}");
        assert_eq!(shown(&Given::default(), &all(), &ENGLISH), "");
    }
}
