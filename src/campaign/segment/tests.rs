//! What the language reads, and how it says what it cannot.

use super::*;
use crate::model::*;
use crate::store::filter::{Compare, Place, Test, TextCompare};
use crate::store::{ListRow, TagRow};

fn schema() -> Schema {
    let field = |id, name: &str, kind, slot| Field {
        id: FieldId(id),
        organization: OrganizationId::FIRST,
        name: name.to_owned(),
        label: name.to_owned(),
        kind,
        choices: vec!["S".to_owned(), "M".to_owned(), "L".to_owned()],
        slot,
        encrypted: false,
    };
    Schema {
        fields: vec![
            field(1, "city", FieldKind::Text, Some(Slot::Text(1))),
            field(2, "size", FieldKind::Choice, Some(Slot::Number(1))),
            field(3, "since", FieldKind::Date, Some(Slot::Number(2))),
            field(4, "born", FieldKind::Birthday, Some(Slot::Number(3))),
            field(5, "likes", FieldKind::MultiChoice, Some(Slot::Number(4))),
            field(6, "points", FieldKind::Number, None),
        ],
        lists: vec![ListRow {
            id: ListId(9),
            organization: OrganizationId::FIRST,
            name: "News".to_owned(),
            description: String::new(),
            visibility: ListVisibility::Public,
            opt_in: OptIn::Single,
            created_at: Timestamp(0),
        }],
        tags: vec![TagRow { id: TagId(8), name: "vip".to_owned() }],
        sealer: Default::default(),
        domains: Default::default(),
    }
}

/// 2024-12-28, so that the next week lies over the end of the year.
const NOW: Timestamp = Timestamp::from_seconds(1_735_344_000);

fn of(text: &str) -> Filter {
    filter(text, &schema(), NOW).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

fn city(value: &str) -> Filter {
    let (place, compare) = (Place::Slot(Slot::Text(1)), TextCompare::Equal);
    Filter::Test(Test::Text { place, compare, value: value.to_owned() })
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    let tag = || Filter::Test(Test::Tag(TagId(8)));
    let expected = Filter::Any(vec![
        city("Berlin"),
        Filter::All(vec![Filter::Not(Box::new(tag())), city("Köln")]),
    ]);
    assert_eq!(of("city = Berlin or not tag \"vip\" and city = 'Köln'"), expected);
    assert_eq!(of(""), Filter::EVERYBODY);
}

#[test]
fn both_forms_say_the_same() {
    for (text, tree) in [
        (
            "city = \"Berlin\" and (size in (S, l) or not list news is unconfirmed)",
            r#"{"all": [{"field": "city", "operator": "equals", "value": "Berlin"},
               {"any": [{"field": "size", "operator": "in", "value": ["S", "l"]},
               {"not": {"list": "News", "status": "unconfirmed"}}]}]}"#,
        ),
        ("points >= 2.5", r#"{"field": "points", "operator": "at_least", "value": 2.5}"#),
        ("opened is empty", r#"{"field": "opened", "operator": "empty"}"#),
        (
            "clicked within last 2 weeks",
            r#"{"field": "clicked", "operator": "within_last", "value": [2, "weeks"]}"#,
        ),
        ("tag vip", r#"{"tag": "vip"}"#),
        ("campaign 7 is opened", r#"{"campaign": 7, "fate": "opened"}"#),
        ("score top 10", r#"{"field": "score", "operator": "top", "value": 10}"#),
        (
            "since after 2024-01-31",
            r#"{"field": "since", "operator": "greater", "value": "2024-01-31"}"#,
        ),
    ] {
        assert_eq!(of(text), of(tree), "{text}");
    }
}

#[test]
fn relative_times_are_moments_when_the_question_is_asked() {
    let day = |back: i64| NOW.0 - back * 86_400_000_000;
    let (low, high) = (day(90), NOW.0);
    let opened = Filter::Test(Test::Between { place: Place::LastOpenAt, low, high });
    assert_eq!(of("opened within last 90 days"), opened);
    let (place, low) = (Place::Slot(Slot::Number(2)), 20_085);
    let soon = Filter::Test(Test::Between { place, low, high: low + 7 });
    assert_eq!(of("since within next 1 week"), soon);
}

#[test]
fn an_anniversary_may_lie_behind_the_end_of_the_year() {
    let place = Place::Slot(Slot::Number(3));
    let born = Filter::Test(Test::DayOfYear { place, from: 1228, to: 104 });
    assert_eq!(of("born anniversary within next 7 days"), born);
    let place = Place::Slot(Slot::Number(2));
    let today = Filter::Test(Test::Anniversary { place, from: 1228, to: 1228 });
    assert_eq!(of("since anniversary today"), today);
}

#[test]
fn values_are_compared_as_their_field_keeps_them() {
    let place = Place::Slot(Slot::Number(4));
    let likes = Filter::Test(Test::Bits { place, mask: 0b110 });
    assert_eq!(of("likes in (m, L)"), likes);
    let (place, compare) = (Place::Beside { field: FieldId(6), numeric: true }, Compare::Less);
    let points = Filter::Test(Test::Number { place, compare, value: -1_500_000 });
    assert_eq!(of("points < -1.5"), points);
}

#[test]
fn a_mistake_is_told_with_its_line_and_column() {
    for (text, place, why) in [
        ("city == Berlin", "line 1, column 7", "expected a value"),
        ("city = Berlin\n and town = x", "line 2, column 6", "there is no field 'town'"),
        ("(city = Berlin", "line 1, column 15", "expected ')'"),
        ("city = \"Berl", "line 1, column 8", "this text is not closed"),
        ("size = XL", "line 1, column 8", "'XL' is none of the field's choices"),
        ("size > S", "line 1, column 1", "'greater' cannot be asked of a field of choices"),
        ("tag gone", "line 1, column 5", "there is no such tag"),
        ("campaign x is opened", "line 1, column 10", "must be the number of a campaign"),
        ("campaign 7 is read", "line 1, column 15", "'read' is none of"),
        ("score > 101", "line 1, column 9", "must be a whole number from 0 to 100"),
        ("opened within last 90 moons", "line 1, column 23", "is no unit of time"),
        ("city = x; drop", "line 1, column 9", "';' means nothing here; texts stand in quotes"),
        ("ä", "line 1, column 2", "expected = != <"),
        (r#"{"all": [{"tag": "vip"}, {"tga": "x"}]}"#, "$.all[1].tga", "is not known here"),
        (r#"{"not": {"tag": "gone"}}"#, "$.not.tag", "there is no such tag"),
    ] {
        let wrong = filter(text, &schema(), NOW).expect_err(text);
        assert_eq!(wrong.place, place, "{text}: {wrong}");
        assert!(wrong.why.starts_with(why), "{text}: {wrong}");
    }
}

#[test]
fn depth_tests_and_length_are_bounded() {
    let deep = format!("{}tag vip{}", "(".repeat(5000), ")".repeat(5000));
    let deep_tree = format!("{}{{\"tag\":\"vip\"}}{}", "{\"not\":".repeat(1000), "}".repeat(1000));
    let broad = vec!["tag vip"; 201].join(" or ");
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    for text in [deep, deep_tree, broad, long] {
        assert!(filter(&text, &schema(), NOW).is_err());
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_fall(text in "\\PC{0,60}") {
        drop(filter(&text, &schema(), NOW));
    }

    #[test]
    fn no_words_of_the_language_make_the_reader_fall(words in proptest::collection::vec(
        proptest::sample::select(vec!["city", "and", "or", "not", "(", ")", "=", "in", ",", "x",
            "\"q\"", "within", "last", "90", "days", "list", "is", "empty", "between"]), 0..12)) {
        drop(filter(&words.join(" "), &schema(), NOW));
    }
}
