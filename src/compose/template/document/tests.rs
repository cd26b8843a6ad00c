//! What documents promise.

use super::super::{Source, Template};
use super::*;
use crate::model::TemplateKind;
use serde_json::{Value, json};

fn fields() -> BTreeSet<String> {
    ["city", "points", "orders", "site"].map(str::to_owned).into()
}

fn values() -> Value {
    json!({"name": "Ann <b>", "city": "Köln", "points": 12, "site": "https://ann.example/?a=1&b=2",
        "orders": [{"item": "Tea", "price": 3}, {"item": "Cup", "price": 9.5}],
        "unsubscribe_url": "https://m.example/u/1"})
}

fn source(document: &Value) -> Source {
    Source {
        subject: "Hi".to_owned(),
        kind: TemplateKind::Document,
        body: document.to_string(),
        layout: None,
        text: None,
    }
}

fn of_blocks(blocks: Value) -> Value {
    json!({"sections": [{"columns": [{"blocks": blocks}]}]})
}

fn rendered(document: &Value) -> super::super::Rendered {
    let template = Template::make(&source(document), &fields());
    let template = template.unwrap_or_else(|wrong| panic!("{document}: {wrong}"));
    template.render(&values()).unwrap_or_else(|wrong| panic!("{document}: {wrong}"))
}

/// Of blocks alone in a document: path and reason.
fn refused(document: &Value) -> (String, String) {
    let wrong = Template::make(&source(document), &fields()).expect_err(&document.to_string());
    (wrong.path, wrong.why)
}

#[test]
fn every_kind_of_block_is_drawn_and_values_are_escaped() {
    let text = "**Bold** and [site]({{ site }})\n\n{% if points > 10 %}Many{% endif %}";
    let raw = "<table><tr><td>raw {{ city|upper }}<br></td></tr></table>";
    let left = json!([
        {"type": "heading", "text": "Hello {{ name }} & all", "level": 2},
        {"type": "text", "text": text},
        {"type": "image", "src": "https://i.example/a.png?x=1&y=2", "alt": "A \"cup\"",
            "link": "{{ site }}"}]);
    let right = json!([
        {"type": "button", "text": "Buy in {{ city }}", "link": "https://s.example/{{ city }}",
            "background": "#ffee00"},
        {"type": "divider"}, {"type": "spacer", "height": 30},
        {"type": "social", "links": [{"network": "mastodon", "link": "https://m.example/@a"}]}]);
    let end = json!([{"type": "html", "html": raw},
        {"type": "text", "text": "[Leave]({{ unsubscribe_url }})"}]);
    let columns = json!([{"width": 60, "blocks": left}, {"width": 40, "blocks": right}]);
    let document = json!({"preview": "For {{ name }}", "style": {"font": "serif"}, "sections": [
        {"background": "#123456", "columns": columns}, {"columns": [{"blocks": end}]}]});
    let mail = rendered(&document);
    for expected in [
        "For Ann &lt;b&gt;",
        "Hello Ann &lt;b&gt; &amp; all</h2>",
        "<strong>Bold</strong>",
        "Many",
        "href=\"https://ann.example/?a=1&amp;b=2\"",
        "src=\"https://i.example/a.png?x=1&amp;y=2\"",
        "alt=\"A &quot;cup&quot;\"",
        "Buy in Köln",
        "https://s.example/Köln",
        "height:30px",
        ">Mastodon</a>",
        "raw KÖLN",
        "#123456",
        "Georgia",
        "mj-column-per-60",
        "color:#111111",
    ] {
        let html = mail.html.replace(": ", ":");
        assert!(html.contains(expected), "{expected}: {html}");
    }
    assert!(!mail.html.contains("zq7mark"), "{}", mail.html);
    assert!(mail.text.contains("Hello Ann <b> & all"), "{}", mail.text);
    assert!(!mail.html.contains("fonts.googleapis"), "{}", mail.html);
}

#[test]
fn loops_and_conditions_stand_around_whole_blocks() {
    let blocks = json!([
        {"type": "loop", "of": "orders", "item": "order", "blocks": [
            {"type": "heading", "text": "{{ order.item }}", "level": 3},
            {"type": "text", "text": "{{ order.price|money('€') }}"}]},
        {"type": "condition", "when": "city == \"Köln\"",
            "blocks": [{"type": "text", "text": "Rhein"}],
            "otherwise": [{"type": "text", "text": "Elsewhere"}]}]);
    let mut document = of_blocks(blocks);
    let hidden = json!({"when": "points > 100",
        "columns": [{"blocks": [{"type": "text", "text": "Secret"}]}]});
    document["sections"].as_array_mut().expect("sections").push(hidden);
    let mail = rendered(&document);
    let at = |what: &str| mail.html.find(what).unwrap_or_else(|| panic!("{what}: {}", mail.html));
    assert!(at("Tea") < at("3.00 €") && at("3.00 €") < at("Cup") && at("Cup") < at("9.50 €"));
    assert!(at("Rhein") > at("Cup"));
    for absent in ["Elsewhere", "Secret", "{%"] {
        assert!(!mail.html.contains(absent), "{absent}: {}", mail.html);
        assert!(!mail.text.contains(absent), "{absent}: {}", mail.text);
    }
    assert!(mail.text.contains("Tea") && mail.text.contains("Rhein"), "{}", mail.text);
}

#[test]
fn a_mistake_names_its_place() {
    let block = |block: Value| of_blocks(json!([{"type": "spacer", "height": 9}, block]));
    let first = "sections[0].columns[0].blocks[1]";
    for (wrong, path, why) in [
        (json!({"type": "texxt"}), "type", "unknown variant"),
        (json!({"type": "text"}), "text", "missing field"),
        (json!({"type": "text", "text": "x", "siz": 1}), "siz", "unknown field"),
        (json!({"type": "text", "text": "x", "size": "big"}), "size", "invalid type"),
        (json!({"type": "text", "text": "x", "size": 200}), "size", "must be 8 to 60"),
        (json!({"type": "text", "text": "{{ town }}"}), "text", "there is no field 'town'"),
        (json!({"type": "text", "text": "{% if city %}"}), "text", "unexpected end"),
        (json!({"type": "heading", "text": "x", "color": "red"}), "color", "is no colour"),
        (json!({"type": "button", "text": "x", "link": "javascript:1"}), "link", "a link goes"),
        (json!({"type": "button", "text": "x", "link": ""}), "link", "a link goes"),
        (json!({"type": "html", "html": "<script>1</script>"}), "html", "has no place"),
        (json!({"type": "saved", "block": 7}), "block", "there is no saved block 7"),
        (json!({"type": "condition", "when": "a %}{% if b", "blocks": []}), "when", "must be"),
        (json!({"type": "loop", "of": "orders|x", "blocks": []}), "of", "must be a name"),
        (
            json!({"type": "loop", "of": "orders", "blocks": [{"type": "text", "text": 1}]}),
            "blocks[0].text",
            "invalid type",
        ),
        (
            json!({"type": "social", "links": [{"network": "x", "link": "/here"}]}),
            "links[0].link",
            "a link goes",
        ),
    ] {
        let (found, told) = refused(&block(wrong.clone()));
        assert_eq!(found, format!("{first}.{path}"), "{wrong}: {told}");
        assert!(told.contains(why), "{wrong}: {told}");
    }
    let columns = json!([{"width": 50, "blocks": []}, {"width": 40, "blocks": []}]);
    let (path, _) = refused(&json!({"sections": [{"columns": columns}]}));
    assert_eq!(path, "sections[0].columns");
    assert_eq!(refused(&json!({"sections": []})).0, "sections");
    assert_eq!(refused(&json!({"sections": [], "styl": 1})).0, "styl");
}

#[test]
fn a_value_set_in_many_blocks_cannot_grow_without_end() {
    let double = json!({"type": "text", "text": "{% set city = city ~ city %}"});
    let (path, why) = refused(&of_blocks(Value::Array(vec![double; 40])));
    assert_eq!(path, "sections");
    assert!(why.starts_with("too many ~"), "{why}");
}

#[test]
fn a_saved_block_stands_for_its_blocks() {
    let document = of_blocks(json!([{"type": "condition", "when": "points",
        "blocks": [{"type": "saved", "block": 7}]}, {"type": "saved", "block": 8}]));
    let mut document = Document::of_value(&document).expect("lawful");
    let footer = blocks_of_value(&json!([{"type": "text", "text": "Footer"}])).expect("lawful");
    document.expand(&|id| (id == SavedBlockId(7)).then(|| footer.clone()));
    let text = document.to_text();
    assert!(text.contains("Footer") && !text.contains("\"block\":7"), "{text}");
    assert!(text.contains("{\"type\":\"saved\",\"block\":8}"), "{text}");
    let nested = blocks_of_value(&json!([{"type": "saved", "block": 1}])).expect("read");
    let wrong = check_saved(&nested, &fields()).expect_err("nested");
    assert_eq!(wrong.path, "blocks[0].block");
    let wrong = blocks_of_value(&json!([{"type": "spacer"}])).expect_err("no height");
    assert_eq!(wrong.path, "blocks[0].height");
}

#[test]
fn what_is_read_is_written_the_same_again() {
    let document = of_blocks(json!([{"type": "text", "text": "x", "color": "#abc"}]));
    let read = Document::of_value(&document).expect("lawful");
    let again = Document::of_text(&read.to_text()).expect("its own text");
    assert_eq!(read, again);
    assert_eq!(Document::of_text("{\n  x").expect_err("no JSON").line, 2);
}
