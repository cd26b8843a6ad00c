//! Who belongs to one organization sees and changes nothing of another, on any route.

use postroad::model::{MediaId, OrganizationId, Permission, Role};
use postroad::store::MediaRow;
use serde_json::{Value, json};

use crate::support::api::{As, PASSWORD, TestApi, filled};

/// Stands in all that belongs to the organization that is spied upon.
const MARK: &str = "secretshop";

/// An organization full of things.
struct Shop {
    owner: As,
    /// The beginning of a path, and what its parameters are here.
    names: Vec<(&'static str, Vec<String>)>,
    /// What each change would be, if it were one's own.
    orders: Vec<(&'static str, &'static str, Value)>,
}

/// What has no thing of an organization behind its parameter: it belongs to the installation, or
/// only a running daemon makes it.
const OF_NOBODY: [&str; 9] = [
    "/v1/classification/rules/",
    "/v1/decisions/",
    "/v1/installation/users/",
    "/v1/limits/",
    "/v1/pool-rules/",
    "/v1/pools/",
    "/v1/sources/",
    "/v1/warmups/",
    // tests/routes.rs: a mail must have come in.
    "/v1/inbound-calls/",
];

fn id(made: &Value) -> String {
    assert!(made["id"].is_i64(), "{made}");
    made["id"].to_string()
}

impl Shop {
    async fn open(api: &TestApi) -> Shop {
        let user = json!({"email": format!("{MARK}@example.test"), "password": PASSWORD,
            "role": "owner"});
        let made = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(user)).await;
        assert_eq!(made.status, 200, "{made:?}");
        let given = json!({"email": format!("{MARK}@example.test"), "password": PASSWORD});
        let session = || api.ask(&As::Nobody, "POST", "/v1/session", Some(given.clone()));
        let owner = session().await.session();
        session().await;
        let mut shop = Shop { owner, names: Vec::new(), orders: Vec::new() };
        shop.people(api, &made.body["id"]).await;
        shop.mail(api).await;
        shop.domains(api).await;
        let list = shop.contacts(api).await;
        shop.campaigns(api, list).await;
        shop
    }

    async fn done(&self, api: &TestApi, method: &str, path: &str, body: Value) -> Value {
        let made = api.ask(&self.owner, method, path, (!body.is_null()).then_some(body)).await;
        assert_eq!(made.status, 200, "{method} {path}: {made:?}");
        made.body
    }

    /// Makes one of these.
    async fn make(&mut self, api: &TestApi, path: &'static str, body: Value) -> String {
        let made = self.done(api, "POST", path, body).await;
        let own = id(&made);
        self.names.push((path, vec![own.clone()]));
        own
    }

    fn order(&mut self, method: &'static str, path: &'static str, body: Value) {
        self.orders.push((method, path, body));
    }

    async fn people(&mut self, api: &TestApi, user: &Value) {
        self.names.push(("/v1/organizations", vec!["1".to_owned()]));
        self.names.push(("/v1/users", vec![user.to_string()]));
        let sessions = self.done(api, "GET", "/v1/account/sessions", Value::Null).await;
        let other = sessions["items"].as_array().expect("a list").len() - 1;
        self.names.push(("/v1/account/sessions", vec![id(&sessions["items"][other])]));
        let invite = json!({"email": format!("{MARK}@invited.test"), "role": "admin"});
        let made = self.done(api, "POST", "/v1/invites", invite).await;
        self.names.push(("/v1/invites", vec![id(&made["invite"])]));
        let key = json!({"name": format!("{MARK}-key")});
        self.done(api, "POST", "/v1/credentials", key).await;
        self.names.push(("/v1/credentials", vec![format!("{MARK}-key")]));
        self.order("post", "/v1/campaigns/{id}/go-on", json!({"operator": "tail"}));
        self.order("patch", "/v1/credentials/{name}", json!({"scopes": []}));
        self.order("patch", "/v1/users/{id}", json!({"role": "read_only"}));
        self.order("patch", "/v1/organizations/{id}", json!({"capture": true}));
        self.order("put", "/v1/organizations/{id}/pool", json!({"pool": "default"}));
        self.order("put", "/v1/organizations/{id}/send-limits", json!({"day": 1}));
        self.order("post", "/v1/organizations/{id}/suspend", json!({"reason": "envy"}));
    }

    async fn mail(&mut self, api: &TestApi) {
        let (subject, to) = (format!("the {MARK} sale"), format!("bob@{MARK}.test"));
        let message = api.mail(OrganizationId::FIRST, &subject, &to).await;
        let found = self.done(api, "GET", "/v1/deliveries", Value::Null).await;
        self.names.push(("/v1/messages", vec![message.to_string()]));
        self.names.push(("/v1/deliveries", vec![id(&found["items"][0])]));
        let stream = json!({"name": format!("{MARK}-news"), "class": "marketing"});
        self.make(api, "/v1/streams", stream).await;
        self.order("post", "/v1/streams/{id}/hold", json!({"reason": "envy"}));
        let policy = json!({"suppressed": "hold", "bounces": "asked"});
        self.order("put", "/v1/streams/{id}/policy", policy);
        self.order("put", "/v1/streams/{id}/tracking", json!({"tracking": "both"}));
        let rule = json!({"tag": "no such tag", "reason": format!("{MARK} waits")});
        self.make(api, "/v1/hold-rules", rule).await;
        let trace = json!({"recipient": to, "hours": 1});
        self.make(api, "/v1/traces", trace).await;
        let entry = json!({"entries": [{"address": format!("eve@{MARK}.test")}],
            "scope": "organization"});
        self.done(api, "POST", "/v1/suppressions", entry).await;
        let found = self.done(api, "GET", "/v1/suppressions", Value::Null).await;
        self.names.push(("/v1/suppressions", vec![id(&found["items"][0])]));
        self.order("post", "/v1/suppressions/{id}/remove", json!({"note": "envy"}));
        let hook = json!({"name": MARK, "url": format!("https://{MARK}.test/hook")});
        let hook = self.done(api, "POST", "/v1/webhooks", hook).await;
        self.names.push(("/v1/webhooks", vec![id(&hook["webhook"])]));
        self.order("patch", "/v1/webhooks/{id}", json!({"enabled": false}));
        self.order("post", "/v1/webhooks/{id}/replay", json!({"from": 0, "to": 1}));
        let filter = json!({"action": "cancel", "filter": {"organization": 1}});
        self.order("post", "/v1/deliveries/steer", filter);
    }

    async fn domains(&mut self, api: &TestApi) {
        let domain = format!("{MARK}.test");
        // What the operator adds is verified, and that is what a stranger would like to have.
        let order = json!({"name": domain, "organization": 1});
        let made = api.ask(&As::Operator, "POST", "/v1/domains", Some(order)).await;
        assert_eq!(made.status, 200, "{made:?}");
        self.names.push(("/v1/domains", vec![domain.clone()]));
        self.order("put", "/v1/domains/{name}/tracking", json!({"tracking": "both"}));
        let keys = self.done(api, "POST", "/v1/dkim", json!({"domain": domain})).await;
        let selector = keys["items"][0]["selector"].as_str().expect("a selector").to_owned();
        self.names.push(("/v1/dkim", vec![domain.clone(), selector]));
        self.order("post", "/v1/dkim", json!({"domain": domain}));
        let returns = json!({"name": format!("bounce.{domain}")});
        self.make(api, "/v1/return-domains", returns).await;
        let route = json!({"pattern": format!("help@{domain}"), "action": "refuse"});
        self.make(api, "/v1/inbound-routes", route).await;
    }

    async fn contacts(&mut self, api: &TestApi) -> i64 {
        let field = json!({"name": MARK, "kind": "text"});
        self.done(api, "POST", "/v1/contact-fields", field).await;
        self.names.push(("/v1/contact-fields", vec![MARK.to_owned()]));
        self.order("patch", "/v1/contact-fields/{name}", json!({"label": "envy"}));
        let list = json!({"name": format!("{MARK} readers"), "opt_in": "single"});
        let own = self.make(api, "/v1/lists", list.clone()).await;
        self.order("put", "/v1/lists/{id}", list);
        let email = format!("reader@{MARK}.test");
        let contact = json!({"email": email, "contact": {"name": MARK}});
        self.make(api, "/v1/contacts", contact).await;
        self.order("patch", "/v1/contacts/{id}", json!({"name": "envy"}));
        let segment = json!({"name": MARK, "expression": format!("name = \"{MARK}\"")});
        self.make(api, "/v1/segments", segment.clone()).await;
        self.order("put", "/v1/segments/{id}", segment);
        let file = format!("email\n{email}\n").into_bytes();
        let import = api.upload("/v1/imports", file).await;
        assert_eq!(import.status, 200, "{import:?}");
        self.names.push(("/v1/imports", vec![id(&import.body)]));
        let columns = json!([{"to": "email"}]);
        let start = json!({"mode": "add", "columns": columns});
        self.order("post", "/v1/imports/{id}/start", start);
        own.parse().expect("an id")
    }

    async fn campaigns(&mut self, api: &TestApi, list: i64) {
        let template = json!({"name": MARK, "kind": "html", "subject": MARK, "body": "<p>x</p>"});
        let made = self.make(api, "/v1/templates", template.clone()).await;
        let shown = self.done(api, "GET", &format!("/v1/templates/{made}"), Value::Null).await;
        let mut change = template;
        change["revision"] = shown["revision"].clone();
        self.order("put", "/v1/templates/{id}", change);
        let layout = json!({"name": MARK, "body": "<div>{{ content }}</div>"});
        self.make(api, "/v1/layouts", layout.clone()).await;
        self.order("put", "/v1/layouts/{id}", layout);
        let blocks = json!({"name": MARK, "blocks": [{"type": "text", "text": MARK}]});
        self.make(api, "/v1/saved-blocks", blocks.clone()).await;
        self.order("put", "/v1/saved-blocks/{id}", blocks);
        let body = format!("<p>{MARK} <a href=\"{{{{ unsubscribe_url }}}}\">leave</a></p>");
        let variant = json!({"subject": MARK, "kind": "html", "body": body});
        let input = json!({"name": MARK, "from": format!("news@{MARK}.test"),
            "variants": [variant], "settings": {"audience": {"lists": [list]}}});
        self.make(api, "/v1/campaigns", input.clone()).await;
        self.order("put", "/v1/campaigns/{id}", input);
        self.order("post", "/v1/campaigns/{id}/step", json!({"step": "launch"}));
        let seen = self.of("/v1/contacts/{id}")[0].parse::<i64>().expect("an id");
        self.order("post", "/v1/campaigns/{id}/preview", json!({"contact": seen}));
        let test = json!({"contact": seen, "to": ["spy@example.test"]});
        self.order("post", "/v1/campaigns/{id}/test", test);
        self.order("post", "/v1/campaigns/{id}/winner", json!({"variant": 0}));
        let automation = json!({"name": MARK, "entry": {"kind": "tag", "tag": MARK},
            "steps": [{"kind": "wait", "seconds": 60}]});
        self.make(api, "/v1/automations", automation.clone()).await;
        self.order("put", "/v1/automations/{id}", automation);
        self.order("post", "/v1/automations/{id}/step", json!({"step": "activate"}));
        let file = MediaRow {
            id: MediaId(0),
            organization: OrganizationId::FIRST,
            name: format!("{MARK}.png"),
            content_type: "image/png".to_owned(),
            bytes: 1,
            key: MARK.to_owned(),
            created_at: api.clock().now(),
        };
        let file = api.store.add_media(&file).await.expect("a file");
        self.names.push(("/v1/media", vec![file.to_string()]));
    }

    /// What the parameters of a path of the document are here; none: nothing of it is here.
    fn of(&self, path: &str) -> &[String] {
        let own = |(begin, _): &&(&str, Vec<String>)| path.starts_with(&format!("{begin}/{{"));
        self.names.iter().find(own).map_or(&[], |(_, names)| names)
    }

    fn filled(&self, path: &str) -> String {
        let mut names = self.of(path).iter().map(String::as_str);
        let part = |part: &str| match part.starts_with('{') {
            // Runs of automations: a stranger comes no further than the automation.
            true => names.next().unwrap_or("1").to_owned(),
            false => part.to_owned(),
        };
        path.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    fn body(&self, method: &str, path: &str) -> Option<Value> {
        let own = |(of, to, _): &&(&str, &str, Value)| (*of, *to) == (method, path);
        match self.orders.iter().find(own) {
            Some((.., body)) => Some(body.clone()),
            None => matches!(method, "post" | "put" | "patch").then(|| json!({})),
        }
    }

    /// All that stands in its lists.
    async fn inventory(&self, api: &TestApi) -> Vec<Value> {
        let mut all = Vec::new();
        for (path, _) in &self.names {
            let is_listed = !matches!(*path, "/v1/messages");
            if is_listed {
                all.push(self.done(api, "GET", path, Value::Null).await);
            }
        }
        all
    }
}

/// A second organization with a user of this role, or its most powerful key.
async fn stranger(api: &TestApi, role: Option<Role>) -> As {
    let organizations = api.ask(&As::Operator, "GET", "/v1/organizations", None).await.body;
    let name = format!("other {}", organizations["items"].as_array().expect("a list").len());
    let order = json!({"name": name});
    let made = api.ask(&As::Operator, "POST", "/v1/organizations", Some(order)).await.body;
    let own = made["id"].to_string();
    let Some(role) = role else {
        let scopes: Vec<_> =
            Permission::ALL.iter().filter(|one| one.is_for_credentials()).collect();
        let order = json!({"name": format!("spy-{own}"), "organization": made["id"],
            "rules": {"scopes": scopes}});
        let key = api.ask(&As::Operator, "POST", "/v1/credentials", Some(order)).await.body;
        return As::Key(format!("spy-{own}:{}", key["secret"].as_str().expect("a secret")));
    };
    let email = format!("{role}-{own}@example.test");
    let order = json!({"email": email, "password": PASSWORD, "role": role,
        "organization": made["id"]});
    let user = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(order)).await;
    assert_eq!(user.status, 200, "{user:?}");
    let given = json!({"email": email, "password": PASSWORD});
    api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.session()
}

#[tokio::test]
async fn every_thing_of_an_organization_has_a_name_that_its_owner_finds_it_by() {
    let api = TestApi::new().await;
    let shop = Shop::open(&api).await;
    let mut unfurnished = Vec::new();
    for (method, path, _) in api.operations().await {
        let is_thing = path.contains('{') && !OF_NOBODY.iter().any(|of| path.starts_with(of));
        if is_thing && shop.of(&path).is_empty() {
            unfurnished.push(path.clone());
        }
        if method == "get" && is_thing {
            let answer = api.ask(&shop.owner, "GET", &shop.filled(&path), None).await;
            // Of a mail whose body lies nowhere, there is no source.
            // Nor are links asked for without a daemon.
            let is_beyond = path.ends_with("/raw") || path.ends_with("/links");
            assert!(answer.status == 200 || is_beyond, "{path}: {answer:?}");
        }
    }
    assert!(unfurnished.is_empty(), "nothing stands behind {unfurnished:#?}");
}

#[tokio::test]
async fn another_tenant_sees_and_changes_nothing_on_any_route() {
    let api = TestApi::new().await;
    let shop = Shop::open(&api).await;
    let before = shop.inventory(&api).await;
    let spies = [stranger(&api, None).await, stranger(&api, Some(Role::Owner)).await];
    for (method, path, need) in api.operations().await {
        // What is one's own session, and what needs nobody, has nothing of a tenant.
        if need.as_deref().unwrap_or_default().is_empty() {
            continue;
        }
        let asked = shop.filled(&path);
        for spy in &spies {
            let body = shop.body(&method, &path);
            // A refusal may say back what was asked for.
            let echo = asked.contains(MARK)
                || body.as_ref().is_some_and(|body| body.to_string().contains(MARK));
            let answer = api.ask(spy, &method, &asked, body).await;
            let told = format!("{method} {path}: {answer:?}");
            let silent = !answer.body.to_string().contains(MARK);
            assert!(silent || echo && answer.status.is_client_error(), "{told}");
            // Some things only a running daemon knows.
            assert!(!answer.status.is_server_error() || answer.status == 503, "{told}");
            if path.contains('{') {
                assert!(answer.status.is_client_error(), "{told}");
            }
            // Where all that was asked for is lawful, there is no such thing for a stranger.
            if !shop.of(&path).is_empty() && !path.starts_with("/v1/organizations") {
                let is_away = matches!(answer.status.as_u16(), 403 | 404 | 409);
                assert!(is_away, "it was looked for: {told}");
            }
        }
    }
    assert_eq!(shop.inventory(&api).await, before);
}

#[tokio::test]
async fn each_role_may_do_what_its_permissions_say_and_nothing_else() {
    let api = TestApi::new().await;
    for role in Role::ALL {
        let user = stranger(&api, Some(*role)).await;
        for (method, path, need) in api.operations().await {
            let Some(need) = need.filter(|need| !need.is_empty()) else { continue };
            let permission: Permission = need.parse().expect("a permission");
            // Nothing has such an id or name, and an empty body is no order.
            let body = matches!(method.as_str(), "post" | "put" | "patch").then(|| json!({}));
            let answer = api.ask(&user, &method, &filled(&path, "999999"), body).await;
            let told = format!("{role}: {method} {path}: {answer:?}");
            assert_eq!(answer.status == 403, !role.permits(permission), "{told}");
        }
    }
}

#[tokio::test]
async fn who_belongs_to_two_organizations_names_the_one_he_means() {
    let api = TestApi::new().await;
    let ann = json!({"email": "ann@example.test", "password": PASSWORD, "role": "owner"});
    let made = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(ann)).await.body;
    let order = json!({"name": "second"});
    let second = api.ask(&As::Operator, "POST", "/v1/organizations", Some(order)).await.body;
    let second = second["id"].to_string();
    let given = json!({"email": "ann@example.test", "password": PASSWORD});
    let ann = api.ask(&As::Nobody, "POST", "/v1/session", Some(given)).await.session();
    let there = [("postroad-organization", second.as_str())];
    let asked = api.ask_with(&ann, "GET", "/v1/streams", &there, None).await;
    assert_eq!(asked.status, 403, "she does not belong there yet");
    let offer = json!({"email": "ann@example.test", "role": "read_only"});
    let invited = api.ask_with(&As::Operator, "POST", "/v1/invites", &there, Some(offer)).await;
    let join = json!({"token": invited.body["token"], "password": PASSWORD});
    let joined = api.ask(&As::Nobody, "POST", "/v1/invites/accept", Some(join)).await.body;
    assert_eq!(joined["user"], made["id"]);
    assert_eq!(api.ask(&ann, "GET", "/v1/streams", None).await.status, 403, "which one?");
    let streams = api.ask_with(&ann, "GET", "/v1/streams", &there, None).await.body;
    assert_eq!(streams["items"][0]["organization"].to_string(), second);
    let order = json!({"name": "own", "class": "marketing"});
    let made = api.ask_with(&ann, "POST", "/v1/streams", &there, Some(order)).await;
    assert_eq!(made.status, 403, "she only reads there");
}
