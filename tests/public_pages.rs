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
