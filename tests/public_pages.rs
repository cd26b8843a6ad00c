//! Pages that anybody sees, in the look of their organization and within other sites.

use postroad::world::manners::Manners;
use serde_json::{Value, json};

use crate::campaigns::Desk;
use crate::readers::{path, visit};
use crate::support::relay::Database;

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0";

async fn open_list(desk: &Desk) -> String {
    let list = json!({"name": "Open", "opt_in": "double", "visibility": "public"});
    let list = desk.done("POST", "/v1/lists", list).await["id"].to_string();
    format!("/s/1/{list}")
}

#[tokio::test(flavor = "multi_thread")]
async fn public_pages_have_the_look_of_their_organization() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let form = open_list(&desk).await;
        let (_, _, plain) = visit(&desk, "GET", &form, BROWSER, "").await;
        assert!(!plain.contains("<footer>"), "{plain}");
        let theme = json!({"color": "#0a7f5a", "footer": "Shop & Co\nStreet 1"});
        let set = desk.done("PUT", "/v1/public-theme", theme).await;
        assert_eq!(desk.done("GET", "/v1/public-theme", Value::Null).await, set);
        let leaving = async {
            desk.contact("ann@a.test", json!({"name": "Ann"})).await;
            let id = desk.campaign("<p>x</p>", json!({})).await;
            desk.step(id, "launch").await;
            desk.until(id, "sent").await;
            path(&desk.text_to("ann@a.test"), "u", 0)
        };
        for page in [form, leaving.await] {
            let (status, _, page) = visit(&desk, "GET", &page, BROWSER, "").await;
            assert_eq!(status, 200);
            assert!(page.contains("background:#0a7f5a"), "{page}");
            assert!(page.contains("Shop &amp; Co<br>Street 1"), "{page}");
        }
        for (wrong, field) in [
            (json!({"color": "red;}"}), "color"),
            (json!({"logo": 99}), "logo"),
            (json!({"footer": "x".repeat(1001)}), "footer"),
        ] {
            let (status, body) = desk.ask("PUT", "/v1/public-theme", wrong).await;
            assert_eq!((status, &body["field"]), (422, &json!(field)), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_stands_within_another_site_where_it_says_so_and_nowhere_else() {
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let form = open_list(&desk).await;
    let (_, head, _) = visit(&desk, "GET", &form, BROWSER, "").await;
    assert!(head.contains("frame-ancestors 'none'"), "{head}");
    let embedded = format!("{form}/embed");
    let (status, head, page) = visit(&desk, "GET", &embedded, BROWSER, "").await;
    assert_eq!(status, 200);
    assert!(!head.contains("frame-ancestors"), "{head}");
    assert!(page.contains("<form method=\"post\">"), "{page}");
    let (status, head, page) = visit(&desk, "POST", &embedded, BROWSER, "email=new%40a.test").await;
    assert_eq!(status, 200, "{page}");
    assert!(!head.contains("frame-ancestors") && page.contains("a mail is on its way"), "{page}");
    desk.relay.run_until_idle().await;
    assert!(desk.text_to("new@a.test").contains("Yes, subscribe me"));
    assert_eq!(visit(&desk, "GET", "/s/1/999/embed", BROWSER, "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_confirmed_is_asked_by_a_campaign_and_says_yes() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let form = open_list(&desk).await;
        let list: i64 = form.rsplit('/').next().and_then(|id| id.parse().ok()).expect("an id");
        for email in ["ann%40a.test", "bob%40b.test"] {
            visit(&desk, "POST", &form, BROWSER, &format!("email={email}")).await;
        }
        desk.relay.run_until_idle().await;
        // Bob says yes to the first mail.
        let link = path(&desk.text_to("bob@b.test"), "y", 0);
        assert_eq!(visit(&desk, "POST", &link, BROWSER, "").await.0, 200);
        let settings = |list: i64| json!({"audience": {"lists": [list], "unconfirmed": true}});
        let body = "<p>Still?</p><a href=\"{{ confirm_url }}\">yes</a>";
        let (status, refused) =
            desk.ask("POST", "/v1/campaigns", desk.input(body, settings(desk.list))).await;
        assert_eq!(status, 422, "that list is not public: {refused}");
        let id = desk.campaign("<p>no link</p>", settings(list)).await;
        let checks = desk.done("GET", &format!("/v1/campaigns/{id}/checks"), Value::Null).await;
        assert!(checks.to_string().contains("put {{ confirm_url }} into a link"), "{checks}");
        let id = desk.campaign(body, settings(list)).await;
        desk.step(id, "launch").await;
        let shown = desk.until(id, "sent").await;
        assert_eq!((&shown["audience"], &shown["sums"]["delivered"]), (&json!(1), &json!(1)));
        let mails = desk.mx.mails();
        let mut asked = mails.iter().filter(|mail| mail.envelope.recipients == ["ann@a.test"]);
        let asked = String::from_utf8_lossy(&asked.next_back().expect("a mail").body).into_owned();
        let text = postroad::wire::mime::Mime::read(asked.as_bytes());
        let html = text.parts.iter().find(|part| part.media == "text/html").expect("HTML");
        let html = postroad::wire::decode::text(&html.content(), Some("utf-8"));
        let link = path(&html, "y", 0);
        assert_eq!(visit(&desk, "POST", &link, BROWSER, "").await.0, 200);
        let lists = desk.done("GET", "/v1/lists", Value::Null).await;
        let counts = lists["items"].as_array().expect("lists").iter();
        let own = counts.clone().find(|row| row["id"] == list).expect("the list").clone();
        assert!(own.to_string().contains("\"subscribed\":2"), "{own}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_form_asks_holds_once_the_mailbox_has_said_yes() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let page = open_list(&desk).await;
        let path_of_form = format!("/v1/lists/{}/form", page.rsplit('/').next().expect("an id"));
        let secret = json!({"name": "passport", "kind": "text", "encrypted": true});
        desk.done("POST", "/v1/contact-fields", secret).await;
        let before = desk.done("GET", &path_of_form, Value::Null).await;
        assert_eq!((&before["version"], &before["fields"]), (&json!(0), &json!([])));
        let form = json!({"asks_name": true, "fields": ["city"], "wording": "Mail & more",
            "asked_url": "https://shop.test/asked?a=1&b=2",
            "confirmed_url": "https://shop.test/thanks"});
        let set = desk.done("PUT", &path_of_form, form.clone()).await;
        let html = set["html"].as_str().expect("HTML");
        assert!(html.contains(&format!("action=\"https://post.sender.test{page}\"")), "{html}");
        assert_eq!(desk.done("PUT", &path_of_form, form).await["version"], 1, "it is the same");
        for (wrong, field) in [
            (json!({"fields": ["passport"]}), "fields"),
            (json!({"fields": ["nonsense"]}), "fields"),
            (json!({"asked_url": "javascript:alert(1)"}), "asked_url"),
            (json!({"wording": "x".repeat(1001)}), "wording"),
        ] {
            let (status, body) = desk.ask("PUT", &path_of_form, wrong).await;
            assert_eq!((status, &body["field"]), (422, &json!(field)), "{body}");
        }
        let (_, _, shown) = visit(&desk, "GET", &page, BROWSER, "").await;
        for part in ["name=\"name\"", "name=\"field.city\"", "Mail &amp; more"] {
            assert!(shown.contains(part), "{shown}");
        }
        let trapped = "email=bot%40a.test&name=Buy&hp=https%3A%2F%2Fx.test";
        let typed = "email=new%40a.test&name=Ann+%3Cb%3E&field.city=K%C3%B6ln";
        for body in [trapped, typed] {
            let (status, _, told) = visit(&desk, "POST", &page, BROWSER, body).await;
            assert_eq!(status, 200);
            assert!(told.contains("0;url=https://shop.test/asked?a=1&amp;b=2"), "{told}");
        }
        let control = "email=new%40a.test&name=a%0Ab";
        assert_eq!(visit(&desk, "POST", &page, BROWSER, control).await.0, 422);
        desk.relay.run_until_idle().await;
        let mail = desk.text_to("new@a.test");
        assert!(!mail.contains("Ann") && !mail.contains("Köln"), "no word of a stranger: {mail}");
        let contacts = desk.done("GET", "/v1/contacts", Value::Null).await;
        let contacts = contacts["items"].as_array().expect("a list");
        assert_eq!(contacts.len(), 1, "a program fills in what people do not see");
        assert_eq!((&contacts[0]["name"], &contacts[0]["fields"]), (&json!(""), &json!({})));

        let link = path(&mail, "y", 0);
        let link = link.split_whitespace().next().expect("a link").to_owned();
        let (_, _, shown) = visit(&desk, "GET", &link, BROWSER, "").await;
        assert!(shown.contains("Ann &lt;b&gt;") && shown.contains("<dd>Köln</dd>"), "{shown}");
        let (status, _, told) = visit(&desk, "POST", &link, BROWSER, "").await;
        assert_eq!(status, 200);
        assert!(told.contains("0;url=https://shop.test/thanks"), "{told}");
        let own = format!("/v1/contacts/{}", contacts[0]["id"]);
        let contact = desk.done("GET", &own, Value::Null).await;
        assert_eq!(
            (&contact["name"], &contact["fields"]["city"]),
            (&json!("Ann <b>"), &json!("Köln"))
        );
        assert_eq!(contact["lists"][0]["status"], "subscribed");
        for consent in contact["consents"].as_array().expect("consents") {
            let source = consent["source"].as_str().expect("text");
            assert_eq!(consent["wording"], "Mail & more");
            assert!(source.ends_with(", form version 1"), "{source}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_speak_the_language_of_their_reader() {
    const GERMAN: &str = "Mozilla/5.0 Firefox/128.0\r\naccept-language: de-AT,de;q=0.9,en;q=0.5";
    let desk = Desk::on(&Database::Sqlite, Manners::default()).await;
    let form = open_list(&desk).await;
    let (_, _, page) = visit(&desk, "GET", &form, GERMAN, "").await;
    assert!(page.contains("<html lang=\"de\">") && page.contains("Abonnieren"), "{page}");
    let (_, _, page) = visit(&desk, "POST", &form, GERMAN, "email=neu%40a.test").await;
    assert!(page.contains("Fast geschafft"), "{page}");
    desk.relay.run_until_idle().await;
    let mail = desk.text_to("neu@a.test");
    assert!(mail.contains("Ja, ich möchte abonnieren"), "{mail}");
    assert_eq!(visit(&desk, "GET", "/u/nonsense", GERMAN, "").await.0, 404);

    desk.contact("ann@a.test", json!({"name": "Ann", "language": "fr-CA"})).await;
    let id = desk.campaign("<p>x</p>", json!({})).await;
    desk.step(id, "launch").await;
    desk.until(id, "sent").await;
    let link = path(&desk.text_to("ann@a.test"), "u", 0);
    for method in ["GET", "POST"] {
        let (status, _, page) = visit(&desk, method, &link, GERMAN, "wish=these").await;
        assert_eq!(status, 200);
        assert!(page.contains("<html lang=\"fr\">"), "what he is known to read: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_what_is_kept_of_him_and_has_it_erased_by_way_of_his_mailbox() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let ann = json!({"name": "Ann", "fields": {"city": "Köln"}});
        let ann = desk.contact("ann@a.test", ann).await;
        let id = desk.campaign("<p>x</p>", json!({})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;
        let unsubscribe = path(&desk.text_to("ann@a.test"), "u", 0);
        let preferences = unsubscribe.replacen("/u/", "/p/", 1);
        let (_, _, page) = visit(&desk, "GET", &preferences, BROWSER, "").await;
        assert!(page.contains("value=\"hand_over\"") && page.contains("value=\"erase\""), "{page}");
        for wish in ["hand_over", "hand_over", "erase"] {
            let form = format!("wish={wish}");
            let (status, _, page) = visit(&desk, "POST", &preferences, BROWSER, &form).await;
            assert_eq!(status, 200);
            assert!(page.contains("on its way to ann@a.test") && !page.contains("Köln"), "{page}");
        }
        desk.relay.run_until_idle().await;
        let mails = desk.mx.mails();
        assert_eq!(mails.len(), 3, "each is sent once a day");
        let part = |media: &str| {
            let found = mails.iter().skip(1).find_map(|mail| {
                let mime = postroad::wire::mime::Mime::read(&mail.body);
                let part = mime.parts.iter().find(|part| part.media == media)?;
                Some(part.content().to_vec())
            });
            String::from_utf8(found.expect("a part")).expect("text")
        };
        let kept: Value = serde_json::from_str(&part("application/json")).expect("JSON");
        assert_eq!(kept["contact"]["fields"]["city"], "Köln", "{kept}");
        assert_eq!(kept["mails"].as_array().map(Vec::len), Some(1), "{kept}");
        let asks = mails.iter().skip(1).map(|mail| {
            let text = postroad::wire::decode::quoted_printable(&mail.body);
            String::from_utf8_lossy(&text).into_owned()
        });
        let asks = asks.into_iter().find(|text| text.contains("/x/")).expect("a link");
        let link = path(&asks, "x", 0);
        let link = link.split_whitespace().next().expect("a link").to_owned();
        let own = format!("/v1/contacts/{ann}");
        assert_eq!(visit(&desk, "GET", &link, BROWSER, "").await.0, 200);
        assert_eq!(desk.ask("GET", &own, Value::Null).await.0, 200, "looking erases nobody");
        let (status, _, page) = visit(&desk, "POST", &link, BROWSER, "").await;
        assert!(status == 200 && page.contains("is erased"), "{page}");
        assert_eq!(desk.ask("GET", &own, Value::Null).await.0, 404);
        assert_eq!(visit(&desk, "POST", &link, BROWSER, "").await.0, 404, "it is done");
        assert_eq!(visit(&desk, "GET", "/x/nonsense", BROWSER, "").await.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_looked_at_in_a_browser_as_its_reader_has_got_it() {
    for database in Database::all().await {
        let desk = Desk::on(&database, Manners::default()).await;
        let ann = desk.contact("ann@a.test", json!({"name": "Ann <b>"})).await;
        let body = "<p>Hi {{ name }}</p><a href=\"https://shop.test/\">buy</a>\
            <a href=\"{{ browser_url }}\">look</a>";
        let id = desk.campaign(body, json!({})).await;
        desk.step(id, "launch").await;
        desk.until(id, "sent").await;
        let link = path(&desk.text_to("ann@a.test"), "b", 0);
        desk.done("PATCH", &format!("/v1/contacts/{ann}"), json!({"name": "Eve"})).await;
        let (status, head, page) = visit(&desk, "GET", &link, BROWSER, "").await;
        assert_eq!(status, 200, "{page}");
        assert!(head.contains("default-src 'none'") && head.contains("sandbox"), "{head}");
        assert!(page.contains("Hi Ann &lt;b&gt;"), "as he was called then: {page}");
        for kind in ["c", "u", "b"] {
            let own = format!("https://post.sender.test/{kind}/");
            assert!(page.contains(&own), "{own} leads where it led: {page}");
        }
        let other = link.replacen("/b/", "/u/", 1);
        assert_eq!(visit(&desk, "GET", &other, BROWSER, "").await.0, 404, "it is for this alone");
        desk.done("POST", &format!("/v1/contacts/{ann}/erase"), Value::Null).await;
        let (status, _, page) = visit(&desk, "GET", &link, BROWSER, "").await;
        assert!(status == 404 && !page.contains("Ann"), "{page}");
    }
}
