//! Fields: which names they may have, and which column each gets.

use serde::{Deserialize, Serialize};

use super::{Schema, Unlawful};
use crate::model::contact::{CHOICES_MAX, NUMBER_SLOTS, TEXT_SLOTS};
use crate::model::*;

pub const FIELDS_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 50;
const LABEL_BYTES_MAX: usize = 200;
const CHOICE_BYTES_MAX: usize = 100;

/// What stands for something else in segments, templates and imports.
const RESERVED: [&str; 31] = [
    "id",
    "email",
    "domain",
    "name",
    "status",
    "language",
    "time_zone",
    "created",
    "opened",
    "clicked",
    "delivered",
    "deferred",
    "bounced",
    "bounce_class",
    "operator",
    "score",
    "list",
    "lists",
    "tag",
    "tags",
    "fields",
    "contact",
    "data",
    "campaign",
    "and",
    "or",
    "not",
    "in",
    "is",
    "true",
    "false",
];

/// A field that somebody wants.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewField {
    /// What templates and segments call it: letters, digits and `_`, a letter first.
    pub name: String,
    /// What people read; the name when it is missing.
    #[serde(default)]
    pub label: Option<String>,
    pub kind: FieldKind,
    /// Of fields of choices alone.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Its values are sealed at rest and shown to some roles alone; segments ask for equality.
    #[serde(default)]
    pub encrypted: bool,
}

/// The field as it is to be written; its id is given by the store. A kind that segments compare
/// gets a column of its own while there is one; beyond that its values stand beside, where a
/// segment finds them too, only slower.
pub fn made(
    schema: &Schema,
    organization: OrganizationId,
    new: NewField,
) -> Result<Field, Unlawful> {
    lawful_name(&new.name)?;
    if schema.field(&new.name).is_some() {
        return Err(Unlawful::of("name", "there is a field of this name"));
    }
    if schema.fields.len() >= FIELDS_MAX {
        return Err(Unlawful::of("name", format!("there are {FIELDS_MAX} fields already")));
    }
    let label = lawful_label(new.label.unwrap_or_else(|| new.name.clone()))?;
    let has_choices = matches!(new.kind, FieldKind::Choice | FieldKind::MultiChoice);
    if has_choices {
        lawful_choices(&new.choices)?;
    } else if !new.choices.is_empty() {
        return Err(Unlawful::of("choices", "only choice and multi_choice have choices"));
    }
    let encrypted = new.encrypted;
    // A sealed value is long, and a column would show nothing of it.
    let slot = if encrypted { None } else { free_slot(schema, new.kind) };
    let (id, name, kind, choices) = (FieldId(0), new.name, new.kind, new.choices);
    Ok(Field { id, organization, name, label, kind, choices, slot, encrypted })
}

/// Choices keep their places: new ones stand behind those there are.
pub fn changed(
    field: &Field,
    label: Option<String>,
    choices: Option<Vec<String>>,
) -> Result<Field, Unlawful> {
    let label = lawful_label(label.unwrap_or_else(|| field.label.clone()))?;
    let choices = match choices {
        None => field.choices.clone(),
        Some(_) if field.choices.is_empty() => {
            return Err(Unlawful::of("choices", "this field has no choices"));
        }
        Some(choices) => {
            lawful_choices(&choices)?;
            if choices.len() < field.choices.len() {
                let why = "contacts hold these choices: rename them or add behind them";
                return Err(Unlawful::of("choices", why));
            }
            choices
        }
    };
    Ok(Field { label, choices, ..field.clone() })
}

/// The lowest column that no field has.
fn free_slot(schema: &Schema, kind: FieldKind) -> Option<Slot> {
    let slot = kind.slot_kind()?;
    let most = if kind.is_numeric() { NUMBER_SLOTS } else { TEXT_SLOTS };
    (1..=most).map(slot).find(|slot| schema.fields.iter().all(|field| field.slot != Some(*slot)))
}

fn lawful_name(name: &str) -> Result<(), Unlawful> {
    let is_word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= NAME_BYTES_MAX;
    if !is_word {
        let why = "must be 1 to 50 small letters, digits or _, a letter first";
        return Err(Unlawful::of("name", why));
    }
    if RESERVED.contains(&name) {
        return Err(Unlawful::of("name", "this word means something else in segments"));
    }
    Ok(())
}

/// A field's name made of what heads a column: `First Name` is `first_name`.
pub fn name_from(head: &str) -> String {
    let mut name = String::new();
    for letter in head.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_matches('_');
    let name = if name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.to_owned()
    } else {
        format!("field_{name}")
    };
    let mut name: String = name.chars().take(NAME_BYTES_MAX - 2).collect();
    name.truncate(name.trim_end_matches('_').len());
    if RESERVED.contains(&name.as_str()) { format!("{name}_2") } else { name }
}

fn lawful_label(label: String) -> Result<String, Unlawful> {
    let lawful =
        (1..=LABEL_BYTES_MAX).contains(&label.trim().len()) && !label.contains(char::is_control);
    if lawful { Ok(label) } else { Err(Unlawful::of("label", "must be 1 to 200 octets of text")) }
}

fn lawful_choices(choices: &[String]) -> Result<(), Unlawful> {
    if !(1..=CHOICES_MAX).contains(&choices.len()) {
        let why = format!("must be 1 to {CHOICES_MAX} texts");
        return Err(Unlawful::of("choices", why));
    }
    for (place, choice) in choices.iter().enumerate() {
        let is_plain = !choice.contains([',', ';', '|']) && !choice.contains(char::is_control);
        let lawful =
            is_plain && choice.trim() == choice && (1..=CHOICE_BYTES_MAX).contains(&choice.len());
        if !lawful {
            let why = format!("'{choice}' must be 1 to 100 octets without , ; or |");
            return Err(Unlawful::of("choices", why));
        }
        let lower = choice.to_lowercase();
        if choices[..place].iter().any(|other| other.to_lowercase() == lower) {
            return Err(Unlawful::of("choices", format!("'{choice}' is there twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, kind: FieldKind, choices: &[&str]) -> NewField {
        let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
        NewField { name: name.to_owned(), label: None, kind, choices, encrypted: false }
    }

    #[test]
    fn each_field_gets_a_column_of_its_own_until_there_is_none() {
        let mut schema = Schema::default();
        for count in 0..usize::from(NUMBER_SLOTS) + 2 {
            let field = new(&format!("f{count}"), FieldKind::Date, &[]);
            let field = made(&schema, OrganizationId::FIRST, field).expect("lawful");
            assert!(
                schema.fields.iter().all(|other| field.slot.is_none() || other.slot != field.slot)
            );
            assert_eq!(field.slot.is_some(), count < usize::from(NUMBER_SLOTS), "{count}");
            schema.fields.push(field);
        }
        let text = made(&schema, OrganizationId::FIRST, new("city", FieldKind::Text, &[]));
        assert_eq!(text.expect("lawful").slot, Some(Slot::Text(1)));
    }

    #[test]
    fn what_cannot_be_a_field_is_refused_by_the_name_of_what_is_wrong() {
        let schema = Schema::default();
        for (field, wrong) in [
            (new("City", FieldKind::Text, &[]), "name"),
            (new("2nd", FieldKind::Text, &[]), "name"),
            (new("email", FieldKind::Text, &[]), "name"),
            (new("color", FieldKind::Choice, &[]), "choices"),
            (new("color", FieldKind::Choice, &["a", "A"]), "choices"),
            (new("color", FieldKind::Choice, &["a,b"]), "choices"),
            (new("color", FieldKind::Text, &["a"]), "choices"),
        ] {
            let refused = made(&schema, OrganizationId::FIRST, field.clone());
            assert_eq!(refused.expect_err("refused").field, wrong, "{field:?}");
        }
    }

    #[test]
    fn heads_of_columns_become_names() {
        for (head, name) in [
            ("First Name", "first_name"),
            ("  ZIP/Postal Code ", "zip_postal_code"),
            ("2nd e-mail", "field_2nd_e_mail"),
            ("Größe", "gr_e"),
            ("Email", "email_2"),
            ("名前", "field"),
        ] {
            assert_eq!(name_from(head), name.to_owned(), "{head}");
        }
    }
}
