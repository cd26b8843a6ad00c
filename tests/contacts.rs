//! Contacts, lists, consent and segments, through the API on both databases.

use serde_json::{Value, json};

use crate::support::api::{Answer, As, TestApi};
use crate::support::relay::Database;

async fn ask(api: &TestApi, method: &str, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    api.ask(&As::Operator, method, path, body).await
}

/// Asks, and the answer must be 200.
async fn done(api: &TestApi, method: &str, path: &str, body: Value) -> Value {
    let answer = ask(api, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {:?}", answer.body);
    answer.body
}

async fn put(api: &TestApi, email: &str, contact: Value) -> Value {
    done(api, "POST", "/v1/contacts", json!({"email": email, "contact": contact})).await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

async fn found(api: &TestApi, expression: &str) -> Vec<String> {
    let path = format!("/v1/contacts?segment={}", encoded(expression));
    let page = done(api, "GET", &path, Value::Null).await;
    let emails = page["items"].as_array().expect("items").iter();
    let names = emails.map(|contact| contact["email"].as_str().expect("an address"));
    let mut names: Vec<String> =
        names.map(|email| email.split('@').next().expect("a name").to_owned()).collect();
    names.sort();
    let counted = json!({"expression": expression});
    let count = done(api, "POST", "/v1/segments/count", counted).await;
    assert_eq!(count["count"], names.len(), "{expression}: list and count agree");
    names
}

#[tokio::test]
async fn a_contact_is_one_row_whatever_the_case_of_its_address() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let made = put(&api, "Ann@Example.com", json!({"name": "Ann", "tags": ["vip"]})).await;
        let again = put(&api, "ANN@example.COM", json!({"language": "de", "tags": ["old"]})).await;
        assert_eq!(made["id"], again["id"]);
        assert_eq!(again["email"], "ann@example.com");
        assert_eq!((&again["name"], &again["language"]), (&json!("Ann"), &json!("de")));
        assert_eq!(again["tags"], json!(["old", "vip"]));
        let add = json!({"email": "ann@EXAMPLE.com", "mode": "add"});
        let refused = ask(&api, "POST", "/v1/contacts", add).await;
        assert_eq!((refused.status.as_u16(), &refused.body["field"]), (409, &json!("email")));
        let update = json!({"email": "nobody@example.com", "mode": "update"});
        assert_eq!(ask(&api, "POST", "/v1/contacts", update).await.status, 404);
        let path = format!("/v1/contacts/{}", made["id"]);
        let change = json!({"untag": ["vip"], "name": "", "language": ""});
        let changed = done(&api, "PATCH", &path, change).await;
        assert_eq!((&changed["tags"], &changed["name"]), (&json!(["old"]), &json!("")));
        assert_eq!(changed["language"], Value::Null);
        done(&api, "DELETE", &path, Value::Null).await;
        assert_eq!(ask(&api, "GET", &path, Value::Null).await.status, 404);
        assert!(found(&api, "tag old").await.is_empty());
    }
}

#[tokio::test]
async fn nothing_of_another_organization_is_seen_or_changed() {
    let api = TestApi::new().await;
    let contact = put(&api, "ann@example.com", json!({})).await;
    let path = format!("/v1/contacts/{}", contact["id"]);
    let other = [("postroad-organization", "7")];
    for (method, body) in [("GET", None), ("DELETE", None), ("PATCH", Some(json!({})))] {
        let answer = api.ask_with(&As::Operator, method, &path, &other, body).await;
        assert_eq!(answer.status, 404, "{method}");
    }
    let page = api.ask_with(&As::Operator, "GET", "/v1/contacts", &other, None).await;
    assert_eq!(page.body["items"], json!([]));
    done(&api, "GET", &path, Value::Null).await;
}

#[tokio::test]
async fn a_subscription_tells_how_it_came_about_and_an_unsubscription_holds() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let list = done(&api, "POST", "/v1/lists", json!({"name": "News"})).await;
        let list = list["id"].clone();
        let path = "/v1/contacts";
        let silent = json!({"email": "a@example.com", "contact": {"subscribe": [list]}});
        let refused = ask(&api, "POST", path, silent).await;
        assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &json!("consent")));

        let asked = json!({"source": "form on /news", "address": "192.0.2.7", "wording": "v3"});
        let contact = put(&api, "a@example.com", json!({"subscribe": [list], "consent": asked}));
        let contact = contact.await;
        assert_eq!(contact["lists"][0]["status"], "unconfirmed", "double opt-in");
        let confirmed = json!({"source": "mailbox", "confirmed": true});
        let confirm = json!({"subscribe": [list], "consent": confirmed});
        let contact = put(&api, "a@example.com", confirm.clone()).await;
        assert_eq!(contact["lists"][0]["status"], "subscribed");
        // Asking once more takes nothing away.
        let contact = put(&api, "a@example.com", json!({"subscribe": [list], "consent": asked}));
        assert_eq!(contact.await["lists"][0]["status"], "subscribed");

        put(&api, "a@example.com", json!({"unsubscribe": [list]})).await;
        let contact = put(&api, "a@example.com", confirm.clone()).await;
        assert_eq!(contact["lists"][0]["status"], "unsubscribed");
        let again = json!({"source": "mailbox", "confirmed": true, "again": true});
        let contact = put(&api, "a@example.com", json!({"subscribe": [list], "consent": again}));
        let contact = contact.await;
        assert_eq!(contact["lists"][0]["status"], "subscribed");

        let path = format!("/v1/contacts/{}", contact["id"]);
        let story = done(&api, "GET", &path, Value::Null).await;
        let consents = story["consents"].as_array().expect("consents");
        let first = consents.last().expect("the oldest");
        assert_eq!(first["action"], "requested");
        assert_eq!((&first["address"], &first["wording"]), (&json!("192.0.2.7"), &json!("v3")));
        let lists = done(&api, "GET", "/v1/lists", Value::Null).await;
        assert_eq!(lists["items"][0]["subscribed"], 1);
    }
}

const FIELDS: [(&str, &str); 9] = [
    ("city", "text"),
    ("points", "number"),
    ("since", "date"),
    ("born", "birthday"),
    ("member", "boolean"),
    ("size", "choice"),
    ("likes", "multi_choice"),
    ("site", "url"),
    ("extra", "json"),
];

/// Ann has all values, Bob has others, Cyd has none.
async fn three(api: &TestApi) {
    for (name, kind) in FIELDS {
        let choices = if kind.ends_with("choice") { json!(["S", "M", "L"]) } else { json!([]) };
        let field = json!({"name": name, "kind": kind, "choices": choices});
        done(api, "POST", "/v1/contact-fields", field).await;
    }
    let single = json!({"name": "News", "opt_in": "single"});
    let list = done(api, "POST", "/v1/lists", single).await["id"].clone();
    let today = api.clock.now();
    let day = |days: i64| {
        let at = postroad::model::Timestamp(today.0 + days * 86_400_000_000);
        at.to_string()[..10].to_owned()
    };
    let ann = json!({"name": "Ann O'Hara", "language": "de", "tags": ["vip"], "subscribe": [list],
        "consent": {"source": "shop"}, "fields": {"city": "Köln_1%", "points": -1.5,
        "since": day(-10), "born": day(3), "member": true, "size": "M", "likes": ["S", "L"],
        "site": "https://ann.example/", "extra": {"a": [1]}}});
    put(api, "ann@one.example", ann).await;
    let bob = json!({"name": "Bob", "time_zone": "Europe/Berlin", "status": "blocked",
        "fields": {"city": "berlin", "points": 20, "since": day(20), "born": day(60),
        "member": false, "size": "L", "likes": ["M"]}});
    put(api, "bob@two.example", bob).await;
    put(api, "cyd@one.example", json!({})).await;
}

/// Each operator on each kind of place, and who answers it.
const QUESTIONS: [(&str, &str); 62] = [
    ("", "ann bob cyd"),
    ("city = BERLIN", "bob"),
    ("city != Berlin", "ann cyd"),
    ("not city = Berlin", "ann cyd"),
    ("city = \"köln_1%\"", "ann"),
    ("city contains '_1'", "ann"),
    ("city contains '%'", "ann"),
    ("city contains '_'", "ann"),
    ("city starts with ber", "bob"),
    ("city ends with LIN", "bob"),
    ("city in (berlin, \"köln_1%\")", "ann bob"),
    ("city not in (berlin)", "ann cyd"),
    ("city is empty", "cyd"),
    ("city is not empty", "ann bob"),
    ("points = -1.5", "ann"),
    ("points < 20", "ann"),
    ("points <= 20", "ann bob"),
    ("points > -1.5", "bob"),
    ("points >= -1.5", "ann bob"),
    ("points between -2 and 0", "ann"),
    ("points in (20, 21)", "bob"),
    ("points is empty", "cyd"),
    ("since within last 10 days", "ann"),
    ("since within last 9 days", ""),
    ("since within next 3 weeks", "bob"),
    ("since before 2000-01-01", ""),
    ("since after 2000-01-01", "ann bob"),
    ("since between 2000-01-01 and 2100-01-01", "ann bob"),
    ("since anniversary within next 20 days", "bob"),
    ("since anniversary within next 1 year", "ann bob"),
    ("since is empty", "cyd"),
    ("born anniversary within next 3 days", "ann"),
    ("born anniversary within next 2 days", ""),
    ("born anniversary within next 60 days", "ann bob"),
    ("born is empty", "cyd"),
    ("member = yes", "ann"),
    ("member = false", "bob"),
    ("size = m", "ann"),
    ("size in (M, L)", "ann bob"),
    ("likes = L", "ann"),
    ("likes in (M, L)", "ann bob"),
    ("likes is empty", "cyd"),
    ("site contains '//ANN.'", "ann"),
    ("site is empty", "bob cyd"),
    ("extra is not empty", "ann"),
    ("extra contains '[1]'", "ann"),
    ("email = ANN@one.example", "ann"),
    ("email starts with b", "bob"),
    ("domain = one.example", "ann cyd"),
    ("domain in (two.example)", "bob"),
    ("name contains \"o'h\"", "ann"),
    ("name is empty", "cyd"),
    ("language = de", "ann"),
    ("time_zone = Europe/Berlin", "bob"),
    ("status = blocked", "bob"),
    ("created within last 1 days", "ann bob cyd"),
    ("created before 2000-01-01", ""),
    ("opened is empty", "ann bob cyd"),
    ("clicked within last 90 days", ""),
    ("tag vip", "ann"),
    ("list News", "ann"),
    ("not (list news or domain = two.example)", "cyd"),
];

#[tokio::test]
async fn every_operator_finds_the_same_contacts_on_both_databases() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        three(&api).await;
        for (expression, expected) in QUESTIONS {
            let found = found(&api, expression).await;
            assert_eq!(found.join(" "), expected, "{expression} on {database:?}");
        }
    }
}

#[tokio::test]
async fn a_field_beyond_the_columns_is_found_all_the_same() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        for count in 0..17 {
            let field = json!({"name": format!("n{count}"), "kind": "number"});
            let made = done(&api, "POST", "/v1/contact-fields", field).await;
            assert_eq!(made["fast"], count < 16);
        }
        put(&api, "a@example.com", json!({"fields": {"n15": 15, "n16": 16.5}})).await;
        put(&api, "b@example.com", json!({"fields": {"n16": 9}})).await;
        assert_eq!(found(&api, "n16 > 10").await, ["a"]);
        assert_eq!(found(&api, "n15 is empty and n16 between 9 and 9").await, ["b"]);
        put(&api, "a@example.com", json!({"fields": {"n16": null}})).await;
        assert_eq!(found(&api, "n16 is empty").await, ["a"]);
    }
}

#[tokio::test]
async fn a_wrong_value_or_expression_is_told_by_its_name_and_place() {
    let api = TestApi::new().await;
    three(&api).await;
    let wrong = json!({"email": "x@example.com", "contact": {"fields": {"points": "many"}}});
    let refused = ask(&api, "POST", "/v1/contacts", wrong).await;
    assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &json!("fields.points")));
    let wrong = json!({"name": "s", "expression": "city = x\nand tawn = y"});
    let refused = ask(&api, "POST", "/v1/segments", wrong).await;
    assert_eq!(refused.body["field"], "expression");
    assert_eq!(refused.body["detail"], "line 2, column 5: there is no field 'tawn'");
    let saved = json!({"name": "s", "expression": "tag vip"});
    let segment = done(&api, "POST", "/v1/segments", saved.clone()).await;
    assert_eq!(ask(&api, "POST", "/v1/segments", saved.clone()).await.status, 409);
    let path = format!("/v1/segments/{}", segment["id"]);
    done(&api, "PUT", &path, json!({"name": "t", "expression": "size = L"})).await;
    let saved = done(&api, "GET", "/v1/segments", Value::Null).await;
    assert_eq!(saved["items"][0]["expression"], "size = L");
    done(&api, "DELETE", &path, Value::Null).await;
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let api = TestApi::new().await;
    for count in 0..7 {
        put(&api, &format!("c{count}@example.com"), json!({})).await;
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    for _ in 0..10 {
        let path = format!("/v1/contacts?limit=3{cursor}");
        let page = done(&api, "GET", &path, Value::Null).await;
        seen.extend(page["items"].as_array().expect("items").clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn an_export_holds_every_value_and_no_formula() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        three(&api).await;
        let evil = json!({"name": "=HYPERLINK(\"http://x\")", "fields": {"city": "+1, \"a\""}});
        put(&api, "cyd@one.example", evil).await;
        let csv = done(&api, "GET", "/v1/contacts/export", Value::Null).await;
        let csv = csv.as_str().expect("text");
        let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
        let heads = reader.headers().expect("heads").clone();
        let rows: Vec<_> = reader.records().map(|record| record.expect("lawful")).collect();
        let cell = |row: usize, name: &str| {
            let place = heads.iter().position(|head| head == name).expect(name);
            rows[row].get(place).expect("a cell").to_owned()
        };
        assert_eq!(rows.len(), 3);
        assert_eq!(cell(0, "email"), "ann@one.example");
        assert_eq!((cell(0, "lists"), cell(0, "tags")), ("News".to_owned(), "vip".to_owned()));
        assert_eq!((cell(0, "likes"), cell(0, "points")), ("S;L".to_owned(), "-1.5".to_owned()));
        assert_eq!((cell(0, "size"), cell(0, "member")), ("M".to_owned(), "true".to_owned()));
        assert_eq!(cell(0, "extra"), "{\"a\":[1]}");
        assert_eq!(cell(2, "name"), "'=HYPERLINK(\"http://x\")");
        assert_eq!(cell(2, "city"), "'+1, \"a\"");
    }
}

#[tokio::test]
async fn addresses_of_blocked_domains_become_no_contacts_and_those_there_are_stay() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        put(&api, "old@spam.test", json!({})).await;
        let domains = json!({"blocked": ["Spam.test", "*.throwaway.test"]});
        let set = done(&api, "PUT", "/v1/contact-domains", domains).await;
        assert_eq!(set["blocked"], json!(["spam.test", "*.throwaway.test"]));
        put(&api, "old@spam.test", json!({"name": "Old"})).await;
        put(&api, "ann@own.test", json!({})).await;
        for email in ["new@spam.test", "x@a.throwaway.test"] {
            let new = json!({"email": email, "contact": {}});
            let answer = ask(&api, "POST", "/v1/contacts", new).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["field"]),
                (422, &json!("email")),
                "{email}"
            );
        }
        for (wrong, field) in
            [(json!({"blocked": ["no domain"]}), "blocked"), (json!({"allowed": ["*"]}), "allowed")]
        {
            let answer = ask(&api, "PUT", "/v1/contact-domains", wrong).await;
            assert_eq!((answer.status.as_u16(), &answer.body["field"]), (422, &json!(field)));
        }
    }
}
