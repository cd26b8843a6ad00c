//! Encrypted fields: what a reader of the tables sees, what roles see, and what mail says.

use postroad::model::{ContactId, OrganizationId};
use postroad::store::filter::Filter;
use postroad::token::sealed_by;
use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::support::relay::Database;

const NUMBER: &str = "DE-4711-Grün";

async fn desk(database: &Database) -> Desk {
    let desk = Desk::on(database, Manners::default()).await;
    let field = json!({"name": "passport", "kind": "text", "encrypted": true});
    let made = desk.done("POST", "/v1/contact-fields", field).await;
    assert_eq!((&made["encrypted"], &made["fast"]), (&json!(true), &json!(false)));
    desk.contact("ann@a.test", json!({"name": "Ann", "fields": {"passport": NUMBER}})).await;
    desk.contact("bob@b.test", json!({"name": "Bob"})).await;
    desk
}

/// What stands in the row of the only contact that has a value.
async fn kept(desk: &Desk) -> String {
    let everybody = Filter::EVERYBODY;
    let store = desk.relay.store();
    let rows = store.contacts_after(OrganizationId::FIRST, ContactId(0), &everybody, 10).await;
    let rows = rows.expect("rows");
    let found = rows.iter().flat_map(|row| row.more.values()).find_map(Value::as_str);
    found.expect("a value").to_owned()
}

async fn count(desk: &Desk, expression: &str) -> Value {
    let asked = json!({ "expression": expression });
    desk.done("POST", "/v1/segments/count", asked).await["count"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_value_is_sealed_at_rest_and_shown_by_role_alone() {
    for database in Database::all().await {
        let desk = desk(&database).await;
        let before = kept(&desk).await;
        assert!(!before.contains("4711") && sealed_by(&before) == Some(1), "{before}");
        let rules = json!({"scopes": ["contacts_read"]});
        let key = json!({"name": "reader", "rules": rules});
        let key = desk.done("POST", "/v1/credentials", key).await;
        let key = format!("reader:{}", key["secret"].as_str().expect("a secret"));

        let own = desk.done("GET", "/v1/contacts", Value::Null).await;
        assert_eq!(own["items"][0]["fields"]["passport"], NUMBER);
        let (status, _, seen) = desk.relay.ask_as(&key, "GET", "/v1/contacts", None).await;
        assert_eq!(status, 200);
        assert_eq!(seen["items"][0]["fields"]["passport"], Value::Null, "{seen}");
        assert_eq!(seen["items"][0]["sealed"], json!(["passport"]));
        assert_eq!(seen["items"][1]["sealed"], json!([]), "Bob has none");

        assert_eq!(count(&desk, "passport = \"de-4711-GRÜN\"").await, 1);
        assert_eq!(count(&desk, "passport = \"DE-4712\"").await, 0);
        assert_eq!(count(&desk, "passport in (\"x\", \"DE-4711-Grün\")").await, 1);
        assert_eq!(count(&desk, "passport is empty").await, 1);
        let asked = json!({"expression": "passport contains \"47\""});
        assert_eq!(desk.ask("POST", "/v1/segments/count", asked).await.0, 422);

        let rotated = desk.done("POST", "/v1/sealing/rotate", Value::Null).await;
        assert_eq!((&rotated["newest"], &rotated["keys"]), (&json!(2), &json!(2)));
        assert_eq!(count(&desk, "passport = \"DE-4711-Grün\"").await, 1, "by the key before");
        let all = json!({"organization": 1});
        let resealed = desk.done("POST", "/v1/sealing/reseal", all.clone()).await;
        assert_eq!((&resealed["resealed"], &resealed["lost"]), (&json!(1), &json!(0)));
        assert_eq!(sealed_by(&kept(&desk).await), Some(2));
        assert_eq!(count(&desk, "passport = \"DE-4711-Grün\"").await, 1);
        let again = desk.done("POST", "/v1/sealing/reseal", all).await;
        assert_eq!(again["resealed"], 0, "it is done");
        let own = desk.done("GET", "/v1/contacts", Value::Null).await;
        assert_eq!(own["items"][0]["fields"]["passport"], NUMBER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_says_what_is_sealed_and_its_rows_do_not() {
    let desk = desk(&Database::Sqlite).await;
    let body = "<p>Your passport is {{ passport|default('unknown') }}</p>";
    let id = desk.campaign(body, json!({})).await;
    desk.step(id, "launch").await;
    desk.until(id, "sent").await;
    let mail = desk.text_to("ann@a.test");
    assert!(mail.contains(&format!("Your passport is {NUMBER}")), "{mail}");
    assert!(desk.text_to("bob@b.test").contains("is unknown"));
    let delivery = desk.relay.delivery_to("ann@a.test").await;
    let recipe = desk.relay.store().recipe(delivery.id).await.expect("read").expect("one");
    let pin = recipe.pin.map(|pin| format!("{pin:?}")).unwrap_or_default();
    assert!(pin.contains("Ann") && !pin.contains("4711"), "{pin}");
    let seen = format!("/v1/messages/{}/source?delivery={}", delivery.message, delivery.id);
    let (_, source) = desk.ask("GET", &seen, Value::Null).await;
    assert!(!source.to_string().contains("4711"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_without_the_right_to_see_leaves_what_is_sealed_as_it_is() {
    let desk = desk(&Database::Sqlite).await;
    let path = "/v1/contacts/export";
    let rules = json!({"scopes": ["contacts_read"]});
    let both = json!({"scopes": ["contacts_read", "contacts_reveal"]});
    for (name, rules, sees) in [("reader", rules, false), ("auditor", both, true)] {
        let key = json!({"name": name, "rules": rules});
        let key = desk.done("POST", "/v1/credentials", key).await;
        let key = format!("{name}:{}", key["secret"].as_str().expect("a secret"));
        let csv = export(&desk, &key, path).await;
        assert!(csv.contains("ann@a.test,Ann,active"), "{csv}");
        assert_eq!(csv.contains(NUMBER), sees, "{csv}");
    }
}

async fn export(desk: &Desk, key: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(desk.relay.http()).await.expect("connected");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: post.sender.test\r\nConnection: close\r\n\
         Authorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}
