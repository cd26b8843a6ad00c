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
