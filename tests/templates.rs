//! Templates and layouts, through the API on both databases.

use serde_json::{Value, json};

use crate::support::api::{As, TestApi};
use crate::support::relay::Database;

async fn done(api: &TestApi, method: &str, path: &str, body: Value) -> Value {
    let body = (!body.is_null()).then_some(body);
    let answer = api.ask(&As::Operator, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {:?}", answer.body);
    answer.body
}

/// Asks for what is refused: the status, the field to blame, and why.
async fn refused(api: &TestApi, method: &str, path: &str, body: Value) -> (u16, String, String) {
    let answer = api.ask(&As::Operator, method, path, Some(body)).await;
    let text = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), text("field"), text("detail"))
}

#[tokio::test]
async fn a_template_is_checked_saved_and_seen_as_a_contact_gets_it() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        done(&api, "POST", "/v1/contact-fields", json!({"name": "city", "kind": "text"})).await;
        let contact = json!({"email": "ann@example.com",
            "contact": {"name": "Ann & Bo", "fields": {"city": "Köln"}}});
        let contact = done(&api, "POST", "/v1/contacts", contact).await["id"].clone();
        let body = "<main>{{ content }}</main><a href=\"{{ unsubscribe_url }}\">bye</a>";
        let layout = done(&api, "POST", "/v1/layouts", json!({"name": "L", "body": body})).await;
        let template = json!({"name": "Welcome", "kind": "markdown", "layout": layout["id"],
            "subject": "Hi {{ name }}", "body": "# Hi {{ name }} of {{ city }}\n"});
        let saved = done(&api, "POST", "/v1/templates", template.clone()).await;
        assert_eq!(saved["revision"], 1);

        let wanted = json!({"template": template, "contact": contact});
        let seen = done(&api, "POST", "/v1/templates/preview", wanted).await;
        assert_eq!(seen["subject"], "Hi Ann & Bo");
        let html = seen["html"].as_str().expect("text");
        assert!(html.contains("<main><h1>Hi Ann &amp; Bo of Köln</h1>"), "{html}");
        assert!(seen["text"].as_str().expect("text").contains("Hi Ann & Bo of Köln"), "{seen}");
        assert_eq!(seen["checks"], json!([]));

        let path = format!("/v1/templates/{}", saved["id"]);
        let mut change = template.clone();
        change["revision"] = json!(1);
        change["body"] = json!("Hello\n\n{{ citty }}");
        let (status, field, why) = refused(&api, "PUT", &path, change.clone()).await;
        assert_eq!((status, field.as_str()), (422, "body"));
        assert_eq!(why, "line 3, column 4: there is no field 'citty'");
        change["body"] = json!("Hello {{ city }}");
        assert_eq!(done(&api, "PUT", &path, change.clone()).await["revision"], 2);
        let (status, field, _) = refused(&api, "PUT", &path, change).await;
        assert_eq!((status, field.as_str()), (409, "revision"), "changed by somebody else");

        let broken = json!({"name": "L", "body": "no place for the body"});
        let layout = format!("/v1/layouts/{}", layout["id"]);
        assert_eq!(refused(&api, "PUT", &layout, broken).await.0, 422);
        assert_eq!(refused(&api, "DELETE", &layout, Value::Null).await.0, 409, "it is used");
        done(&api, "DELETE", &path, Value::Null).await;
        done(&api, "DELETE", &layout, Value::Null).await;
        assert_eq!(done(&api, "GET", "/v1/templates", Value::Null).await["items"], json!([]));
    }
}

#[tokio::test]
async fn a_document_is_kept_drawn_and_refused_by_its_path() {
    for database in Database::all().await {
        let api = TestApi::on(&database).await;
        let contact = json!({"email": "ann@example.com", "contact": {"name": "Ann & Bo"}});
        let contact = done(&api, "POST", "/v1/contacts", contact).await["id"].clone();
        let footer = json!({"name": "Footer",
            "blocks": [{"type": "text", "text": "[Leave]({{ unsubscribe_url }})"}]});
        let footer = done(&api, "POST", "/v1/saved-blocks", footer).await["id"].clone();
        let document = json!({"sections": [{"columns": [{"blocks": [
            {"type": "heading", "text": "Hi {{ name }}"}, {"type": "saved", "block": footer}]}]}]});
        let template = json!({"name": "Visual", "kind": "document", "subject": "Hi",
            "document": document});
        let saved = done(&api, "POST", "/v1/templates", template.clone()).await;
        let body = saved["body"].as_str().expect("its text");
        let kept: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(kept["sections"][0]["columns"][0]["blocks"][0]["text"], "Hi {{ name }}");

        let wanted = json!({"template": template, "contact": contact});
        let seen = done(&api, "POST", "/v1/templates/preview", wanted).await;
        let html = seen["html"].as_str().expect("text");
        assert!(html.contains("Hi Ann &amp; Bo</h1>") && html.contains(">Leave</a>"), "{html}");
        assert!(seen["checks"].as_array().is_some_and(Vec::is_empty), "{}", seen["checks"]);

        let mut wrong = template.clone();
        wrong["document"]["sections"][0]["columns"][0]["blocks"][0]["text"] = json!("{{ nmae }}");
        let (status, field, why) = refused(&api, "POST", "/v1/templates", wrong).await;
        assert_eq!(status, 422);
        assert_eq!(field, "document.sections[0].columns[0].blocks[0].text");
        assert_eq!(why, "there is no field 'nmae'");
        let text = json!({"name": "T", "kind": "html", "subject": "x", "document": {}});
        assert_eq!(refused(&api, "POST", "/v1/templates", text).await.1, "document");

        let path = format!("/v1/saved-blocks/{footer}");
        assert_eq!(refused(&api, "DELETE", &path, Value::Null).await.0, 409, "it is used");
        let change = json!({"name": "Footer", "blocks": [{"type": "text", "text": "new words"}]});
        done(&api, "PUT", &path, change).await;
        let mut again = template.clone();
        again["name"] = json!("Again");
        let wanted = json!({"template": again, "contact": contact});
        let seen = done(&api, "POST", "/v1/templates/preview", wanted).await;
        assert!(seen["html"].as_str().expect("text").contains("new words"), "{seen}");
        let id = saved["id"].clone();
        done(&api, "DELETE", &format!("/v1/templates/{id}"), Value::Null).await;
        done(&api, "DELETE", &path, Value::Null).await;
        assert_eq!(done(&api, "GET", "/v1/saved-blocks", Value::Null).await["items"], json!([]));
    }
}
