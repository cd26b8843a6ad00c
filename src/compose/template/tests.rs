//! What templates promise.

use super::*;
use serde_json::json;

fn source(kind: TemplateKind, body: &str) -> Source {
    Source {
        subject: "Hello {{ name|default('friend') }}".to_owned(),
        kind,
        body: body.to_owned(),
        layout: None,
        text: None,
    }
}

fn fields() -> BTreeSet<String> {
    ["city", "points", "since", "orders", "site"].map(str::to_owned).into()
}

fn made(body: &str) -> Template {
    let made = Template::make(&source(TemplateKind::Html, body), &fields());
    made.unwrap_or_else(|wrong| panic!("{body}: {wrong}"))
}

fn values() -> Value {
    json!({"name": "Ann <b>", "email": "ann@example.com", "city": "Köln", "points": 1234.5,
        "since": "2024-02-29", "site": "https://ann.example/?a=1&b=2",
        "orders": [{"item": "Tea", "price": 3}, {"item": "Cup", "price": 9.5}],
        "unsubscribe_url": "https://m.example/u/1"})
}

fn html(body: &str) -> String {
    made(body).render(&values()).unwrap_or_else(|wrong| panic!("{body}: {wrong}")).html
}

fn refused(body: &str) -> TemplateError {
    Template::make(&source(TemplateKind::Html, body), &fields()).expect_err(body)
}

#[test]
fn values_are_escaped_in_html_and_not_in_text_and_subject() {
    let rendered = made("<p>{{ name }} of {{ city }}</p>").render(&values()).expect("rendered");
    assert!(rendered.html.contains("<p>Ann &lt;b&gt; of Köln</p>"), "{}", rendered.html);
    assert_eq!(rendered.text.trim(), "Ann <b> of Köln");
    assert_eq!(rendered.subject, "Hello Ann <b>");
}

#[test]
fn a_value_in_the_subject_adds_no_header_field() {
    let values = json!({"name": "Ann\r\nBcc: x@example.com"});
    let rendered = made("<p>x</p>").render(&values).expect("rendered");
    assert!(!rendered.subject.contains(['\r', '\n']), "{}", rendered.subject);
}

#[test]
fn defaults_conditions_loops_and_filters_do_what_people_expect() {
    for (body, expected) in [
        ("{{ missing_is_no_field|default('x') }}", None),
        ("{{ contact.fields.city }}", Some("")),
        ("{{ preferences_url|default('none') }}", Some("none")),
        ("{% if city == \"Köln\" and points > 1000 %}yes{% else %}no{% endif %}", Some("yes")),
        ("{% if city in ['Bonn', 'Köln'] %}Rhein{% endif %}", Some("Rhein")),
        (
            "{% for order in orders %}{{ loop.index }}:{{ order.item }} {% endfor %}",
            Some("1:Tea 2:Cup "),
        ),
        ("{{ points|number(2, ',', '.') }}", Some("1.234,50")),
        ("{{ points|money('€') }}", Some("1,234.50 €")),
        ("{{ since|date('%d.%m.%Y') }}", Some("29.02.2024")),
        ("{{ city|upper }} {{ orders|length }}", Some("KÖLN 2")),
        ("{% set greeting = 'Hi ' ~ city %}{{ greeting }}", Some("Hi Köln")),
    ] {
        let body = format!("<p>{body}</p>");
        match expected {
            None => assert!(refused(&body).why.starts_with("there is no field"), "{body}"),
            Some(expected) => {
                let html = html(&body);
                assert!(html.contains(&format!("<p>{expected}</p>")), "{body}: {html}");
            }
        }
    }
}

#[test]
fn loops_between_the_rows_of_a_table_stay_there() {
    let body = "<table><tbody>{% for order in orders %}<tr><td>{{ order.item }}</td></tr>\
                {% endfor %}</tbody></table>";
    let rendered = made(body).render(&values()).expect("rendered");
    let expected = "<tbody><tr><td>Tea</td></tr><tr><td>Cup</td></tr></tbody>";
    assert!(rendered.html.contains(expected), "{}", rendered.html);
    let (tea, cup) = (rendered.text.find("Tea"), rendered.text.find("Cup"));
    assert!(tea.is_some() && tea < cup, "{}", rendered.text);
}

#[test]
fn styles_are_inlined_and_media_rules_kept() {
    let html = html(
        "<html><head><style>p { color: red } @media (max-width: 600px) { p { color: blue } }\
         </style></head><body><p class=\"{{ city }}\">x</p></body></html>",
    );
    assert!(html.contains("color: red"), "{html}");
    assert!(html.contains("<p class=\"Köln\" style="), "{html}");
    assert!(html.contains("@media"), "{html}");
}

#[test]
fn markdown_mjml_and_layouts_become_html() {
    let markdown = Source {
        layout: Some(
            "<div id=\"l\">{{ content }}</div><a href=\"{{ unsubscribe_url }}\">bye</a>".to_owned(),
        ),
        ..source(
            TemplateKind::Markdown,
            "# Hi {{ name }}\n\n[shop](https://s.example/?c={{ city }})",
        )
    };
    let template = Template::make(&markdown, &fields()).expect("lawful");
    let rendered = template.render(&values()).expect("rendered");
    assert!(rendered.html.contains("<div id=\"l\"><h1>Hi Ann &lt;b&gt;</h1>"), "{}", rendered.html);
    assert!(rendered.html.contains("href=\"https://s.example/?c=Köln\""), "{}", rendered.html);
    assert!(rendered.text.contains("https://m.example/u/1"), "{}", rendered.text);

    let mjml = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi {{ name }}\
                {% if points > 1 %}!{% endif %}</mj-text>\
                <mj-button href=\"{{ site }}\">go</mj-button>\
                </mj-column></mj-section></mj-body></mjml>";
    let template = Template::make(&source(TemplateKind::Mjml, mjml), &fields()).expect("lawful");
    let html = template.render(&values()).expect("rendered").html;
    assert!(html.contains("Hi Ann &lt;b&gt;!"), "{html}");
    assert!(html.contains("href=\"https://ann.example/?a=1&amp;b=2\""), "{html}");
    assert!(!html.contains("fonts.googleapis"), "{html}");
}

#[test]
fn no_link_leaves_the_schemes_of_mail() {
    for href in [
        "javascript:alert(1)",
        " JavaScript:x",
        "data:text/html,x",
        "/relative",
        "vbscript:x",
        "java{{ city }}:x",
        "{{ city }}{{ site }}javascript:",
    ] {
        let body = format!("<p>x</p>\n<a href=\"{href}\">x</a>");
        let made = Template::make(&source(TemplateKind::Html, &body), &fields());
        match made {
            Err(wrong) => assert_eq!((wrong.part, wrong.line), (Part::Body, 2), "{href}"),
            Ok(template) => {
                let html = template.render(&values()).expect("rendered").html;
                assert!(html.contains("href=\""), "{html}");
                assert!(!html.to_lowercase().contains("href=\"javascript"), "{html}");
            }
        }
    }
    let body = "<a href=\"{{ site }}\">x</a><a href=\"#a\">y</a><a href=\"tel:+49\">z</a>";
    let template = made(body);
    assert!(html(body).contains("https://ann.example/?a=1&amp;b=2"));
    for evil in ["javascript:alert(1)", "java\nscript:x", "\u{1}javascript:x", " data:x"] {
        let html = template.render(&json!({"site": evil})).expect("rendered").html;
        assert!(html.contains("<a href=\"\">x</a>"), "{html}");
    }
    for body in ["<script>x</script>", "<p onclick=\"x\">y</p>", "<iframe src=\"https://x\">"] {
        assert_eq!(refused(body).line, 1, "{body}");
    }
}

#[test]
fn a_mistake_is_told_with_line_and_column() {
    for (body, line, column, why) in [
        ("a\n  {{ nmae }}", 2, 6, "there is no field 'nmae'"),
        ("{{ contact.fields.town }}", 1, 19, "there is no field 'contact.fields.town'"),
        ("a\n{% if city %}", 2, 3, "unexpected end of input"),
        ("x {{ city", 1, 3, "this has no end"),
        ("{{ city|shout }}", 1, 9, "there is no filter 'shout'"),
        ("\n{{ 'a' * 100000000 }}", 2, 8, "there is no *"),
        ("{% macro m() %}{% endmacro %}", 1, 4, "'macro' is none of"),
        ("{% include 'x' %}", 1, 4, "'include' is none of"),
        ("{% for x in [city, city] %}{% endfor %}", 1, 13, "no list or map"),
        ("{% set x %}a{% endset %}", 1, 4, "'set' needs a value"),
    ] {
        let wrong = refused(body);
        assert!(wrong.why.starts_with(why), "{body}: {wrong}");
        if why != "unexpected end of input" {
            assert_eq!((wrong.line, wrong.column), (line, column), "{body}: {wrong}");
        }
    }
    let mjml = "<mjml>\n<mj-body>\n<mj-nothing /></mj-body></mjml>";
    let wrong = Template::make(&source(TemplateKind::Mjml, mjml), &fields()).expect_err("wrong");
    assert_eq!(wrong.line, 3, "{wrong}");
}

#[test]
fn bombs_end_within_their_bounds() {
    let many: Vec<u32> = (0..2000).collect();
    let values = json!({"orders": many, "city": "x".repeat(1000)});
    let nested = "{% for a in orders %}{% for b in orders %}{{ a }}{% endfor %}{% endfor %}";
    let wrong = made(nested).render(&values).expect_err("too many steps");
    assert_eq!(wrong.why, "the template takes too many steps");
    let broad = "{% for a in orders %}{{ city }}{% endfor %}";
    let wrong = made(broad).render(&values).expect_err("too long");
    assert_eq!(wrong.why, "the output is longer than a mebibyte");
    let doubling: String = (0..40).map(|n| format!("{{% set c{n} = city ~ city %}}")).collect();
    assert!(refused(&doubling).why.starts_with("too many ~"));
    let deep = "<div>".repeat(100_000);
    let wrong = Template::make(&source(TemplateKind::Html, &deep), &fields()).expect_err("deep");
    assert!(wrong.why.contains("octets") || wrong.why.contains("deeply"), "{wrong}");
    let deep = "<div>".repeat(5000);
    assert!(refused(&deep).why.contains("deeply"));
}

#[test]
fn what_should_be_known_before_a_launch_is_told() {
    let told = |body: &str| {
        let template = made(body);
        let rendered = template.render(&values()).expect("rendered");
        checks(&template, &rendered).into_iter().map(|check| check.why).collect::<Vec<_>>()
    };
    let good =
        format!("<p>{}</p><a href=\"{{{{ unsubscribe_url }}}}\">bye</a>", "word ".repeat(40));
    assert_eq!(told(&good), Vec::<String>::new());
    let bad = format!("<img src=\"http://x.example/a.png\">{}", "<p>word</p>".repeat(12_000));
    let told = told(&bad).join("\n");
    for why in ["unsubscribing", "102 KiB", "without words", "without TLS"] {
        assert!(told.contains(why), "{why}: {told}");
    }
}
