//! Settings: what is wrong is named with its place, all of it in one run.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use postroad::config::{self, Place, Settings};

fn mistakes(text: &str) -> Vec<String> {
    match config::read("postroad.toml", text, &[]) {
        Ok(settings) => panic!("taken without a word: {settings:?}"),
        Err(mistakes) => mistakes.0.iter().map(|mistake| mistake.to_string()).collect(),
    }
}

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(config::read("postroad.toml", "", &[]), Ok(Settings::default()));
}

#[test]
fn the_sample_checks_clean_as_it_is_printed() {
    let sample = config::sample();
    assert_eq!(config::read("sample", &sample, &[]), Ok(Settings::default()), "{sample}");
}

#[test]
fn the_sample_shows_every_setting_at_its_default() {
    // The tables that may be repeated come after `#[[`, with examples instead of defaults.
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let mut in_items = false;
    let mut text = String::new();
    for line in config::sample().lines() {
        in_items = line.starts_with("#[[") || (in_items && !line.starts_with('['));
        let kept = if is_setting(line) { &line[1..] } else { line };
        text.push_str(if in_items { "" } else { kept });
        text.push('\n');
    }
    assert!(text.contains("\nwait_first = \"5m\"\n"), "{text}");
    assert!(text.contains("\nsegment_bytes = \"64 MiB\"\n"), "{text}");
    assert_eq!(config::read("sample", &text, &[]), Ok(Settings::default()), "{text}");
}

#[test]
fn every_mistake_is_named_in_one_run_with_file_and_line() {
    let found = mistakes(
        "[smtp]\n\
         erors_max = 5\n\
         command_wait = 300\n\
         recipients_max = 7\n\
         proxies = [\"10.0.0.1/8\", \"fe80::/10\"]\n\
         [retry]\n\
         wait_first = \"1 fortnight\"\n\
         [delivery]\n\
         preference = \"ipv4\"\n\
         mx_port = \"25\"\n\
         [http]\n\
         listen = [\"0.0.0.0:587\"]\n\
         [[route]]\n\
         name = \"smart\"\n\
         domains = [\"*\"]\n\
         [nod]\n\
         id = 1\n",
    );
    let expected = [
        "postroad.toml:2: smtp.erors_max: unknown setting; did you mean 'errors_max'?",
        "postroad.toml:3: smtp.command_wait: must be a time such as \"500ms\", \"30s\", \"5m\", \
         \"4h\", \"1h 30m\" or \"4d\", in quotes",
        "postroad.toml:4: smtp.recipients_max: must be between 100 and 100000",
        "postroad.toml:5: smtp.proxies: \"10.0.0.1/8\" is not a network such as \"192.0.2.0/24\" \
         or \"2001:db8::/32\", host bits zero",
        "postroad.toml:7: retry.wait_first: must be a time such as \"500ms\", \"30s\", \"5m\", \
         \"4h\", \"1h 30m\" or \"4d\", in quotes",
        "postroad.toml:9: delivery.preference: \"ipv4\" is not one of ipv4_only, ipv6_only, \
         ipv4_first, ipv6_first",
        "postroad.toml:10: delivery.mx_port: must be a whole number, without quotes",
        "postroad.toml:12: http.listen: 0.0.0.0:587 is taken already by smtp.submission",
        "postroad.toml:13: route[0].host: without a host, tls or preference the route changes \
         nothing",
        "postroad.toml:16: nod: unknown setting; did you mean 'node'?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_is_not_toml_is_named_by_its_line_and_the_rest_is_still_read() {
    let found = mistakes("[smtp]\nerrors_max = = 3\nrecipients_max = 1\n");
    assert!(found[0].starts_with("postroad.toml:2: not TOML"), "{found:?}");
    assert!(found.iter().any(|text| text.starts_with("postroad.toml:3: ")), "{found:?}");
}

#[test]
fn retry_waits_of_an_operator_that_nobody_knows_are_refused_with_the_names_there_are() {
    let text =
        |name: &str| format!("[[retry_profile]]\nprofile = \"rate\"\noperator = \"{name}\"\n");
    for name in ["google", "microsoft", "microsoft_365", "web.de", "tail", "hoster.example"] {
        let read = config::read("f", &text(name), &[]);
        assert!(read.is_ok(), "{name}: {read:?}");
    }
    let found = mistakes(&text("gogle"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("postroad.toml:3: retry_profile[0].operator: must be"));
    assert!(found[0].contains("google, microsoft_consumer, microsoft_365, yahoo"), "{found:?}");
}

#[test]
fn values_out_of_range_of_their_type_are_refused() {
    for text in [
        "[smtp]\nerrors_max = -1\n",
        "[smtp]\nerrors_max = 99999999999\n",
        "[node]\nid = 0\n",
        "[spool]\nsegment_bytes = \"1 KiB\"\n",
        "[spool]\nsegment_bytes = true\n",
        "[delivery]\nmx_port = 70000\n",
        "smtp = 3\n",
        "trusted = 3\n",
        "[retry]\nwait_first = \"5h\"\n",
    ] {
        assert_eq!(mistakes(text).len(), 1, "{text}: {:?}", mistakes(text));
    }
}

#[test]
fn routes_sources_and_trusted_networks_are_read_whole() {
    let text = "[[trusted]]\nnetwork = \"127.0.0.0/8\"\ncredential = \"app\"\n\
                [[source]]\nname = \"one\"\naddress = [\"192.0.2.1\", \"2001:db8::1\"]\n\
                [[route]]\nname = \"relay\"\ndomains = [\".example.com\", \"*\"]\n\
                host = \"smtp.example.net\"\nport = 587\ntls = \"verified\"\n\
                auth = { mechanism = \"login\", user = \"u\", secret = \"hush\" }\n";
    let settings = config::read("f", text, &[]).expect("lawful settings");
    assert_eq!(settings.trusted[0].credential, "app");
    assert_eq!(settings.source[0].address.len(), 2);
    assert_eq!(settings.route[0].port, Some(587));
    assert_eq!(settings.route[0].auth.as_ref().expect("an auth").secret, "hush");
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn what_is_missing_or_twice_in_repeated_tables_is_named() {
    let found = mistakes(
        "[[trusted]]\nnetwork = \"0.0.0.0/0\"\n\
         [[source]]\nname = \"a\"\naddress = [\"192.0.2.1\"]\n\
         [[source]]\nname = \"a\"\naddress = [\"192.0.2.1\"]\n\
         [[route]]\nname = \"b\"\ndomains = [\"x.example\", \"no domain\"]\nhost = \"h.example\"\n\
         auth = { user = \"u\" }\n\
         [[route]]\ndomains = [\"X.example\"]\nport = 25\n",
    );
    let text = found.join("\n");
    for part in [
        "postroad.toml:1: trusted[0].credential: is missing",
        "postroad.toml:2: trusted[0].network: the whole internet",
        "postroad.toml:7: source[1].name: 'a' is the name of another one above",
        "postroad.toml:8: source[1].address: 192.0.2.1 belongs to a source above already",
        "postroad.toml:11: route[0].domains: 'no domain' is not a domain",
        "postroad.toml:13: route[0].auth.secret: is missing",
        "postroad.toml:14: route[1].name: is missing",
        "postroad.toml:15: route[1].domains: x.example belongs to the route 'b' already",
        "postroad.toml:16: route[1].port: needs a host",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn an_account_elsewhere_is_an_id_and_its_key() {
    let of = |text: &str| format!("[acme]\n{text}");
    for (text, part) in [
        ("eab_key_id = \"k\"\n", "postroad.toml:2: acme.eab_key_id: needs acme.eab_key beside it"),
        ("eab_key = \"c2Vj\"\n", "postroad.toml:2: acme.eab_key: needs acme.eab_key_id beside it"),
        (
            "eab_key_id = \"k\"\neab_key = \"?\"\n",
            "postroad.toml:3: acme.eab_key: must be base64url",
        ),
    ] {
        let found = mistakes(&of(text));
        assert!(found.len() == 1 && found[0].starts_with(part), "{found:?}");
    }
    let text = of("eab_key_id = \"k\"\neab_key = \"c2Vj\"\n");
    let settings = config::read("f", &text, &[]).expect("lawful settings");
    assert_eq!(settings.acme.binding(), Some(("k".to_owned(), b"sec".to_vec())));
    assert!(!format!("{settings:?}").contains("c2Vj"));
}

#[test]
fn the_environment_overrides_the_file_and_its_mistakes_name_the_variable() {
    let environment = [
        variable("POSTROAD_SMTP_ERRORS_MAX", "7"),
        variable("POSTROAD_RETRY_WAIT_FIRST", "1m"),
        variable("POSTROAD_SMTP_SUBMISSION", "127.0.0.1:1587, [::1]:1587"),
        variable("POSTROAD_SMTP_PROXIES", "[\"10.0.0.0/8\"]"),
        variable("POSTROAD_TEST_POSTGRES", "not ours"),
    ];
    let text = "[smtp]\nerrors_max = 3\n";
    let settings = config::read("f", text, &environment).expect("lawful settings");
    assert_eq!(settings.smtp.errors_max, 7);
    assert_eq!(settings.retry.wait_first, Duration::from_secs(60));
    assert_eq!(settings.smtp.submission.len(), 2);
    assert_eq!(settings.smtp.proxies.len(), 1);

    let wrong = [variable("POSTROAD_SMTP_EROR_MAX", "7"), variable("POSTROAD_NODE_ID", "x")];
    let found = config::read("f", "", &wrong).expect_err("two mistakes");
    let places: Vec<Place> = found.0.iter().map(|mistake| mistake.place.clone()).collect();
    let named = wrong.map(|(name, _)| Place::Variable(name));
    assert!(places.len() == 2 && named.iter().all(|place| places.contains(place)), "{found}");
}

#[test]
fn a_secret_comes_from_a_file_that_others_cannot_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("url");
    std::fs::write(&file, "postgres://u:hush@localhost/p\n").expect("written");
    let text = format!("[store]\nurl_file = \"{}\"\n", file.display());
    let open_to = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, mode).expect("mode set");
    };
    open_to(0o600);
    let settings = config::read("f", &text, &[]).expect("lawful settings");
    assert_eq!(settings.store.url.as_deref(), Some("postgres://u:hush@localhost/p"));
    assert!(!format!("{settings:?}").contains("hush"));
    open_to(0o644);
    assert!(mistakes(&text)[0].contains("has mode 0644"), "{:?}", mistakes(&text));
    std::fs::remove_file(&file).expect("removed");
    assert!(
        mistakes(&text)[0].starts_with("postroad.toml:2: store.url: "),
        "{:?}",
        mistakes(&text)
    );
}

#[test]
fn a_table_of_routes_names_its_own_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes");
    let lines =
        "# comment\na.example\nb.example mx.example:25\nc.example mx\n.d.example [::1]:25\n!\n";
    std::fs::write(&file, lines).expect("written");
    let text = format!("[[route]]\nname = \"t\"\ndomains_file = \"{}\"\n", file.display());
    let found = mistakes(&text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("routes:4: ") && found[1].contains("routes:6: "), "{found:?}");
}

#[test]
fn a_reload_tells_what_was_taken_and_what_waits_for_a_restart() {
    let old = Settings::default();
    let text = "[log]\nlevel = \"debug\"\n[node]\nid = 2\n[store]\nurl = \"postgres://h/d\"\n\
                [smtp]\nerrors_max = 5\nsubmission = []\n\
                [[route]]\nname = \"r\"\ndomains = [\"*\"]\nhost = \"h.example\"\n";
    let new = config::read("f", text, &[]).expect("lawful settings");
    let reload = config::reload(&old, &new);
    assert_eq!(reload.taken, ["smtp.errors_max", "log.level", "route"]);
    assert_eq!(reload.needs_restart, ["node.id", "store.url", "smtp.submission"]);
    assert_eq!(config::reload(&new, &new), config::Reload::default());
}

#[test]
fn a_file_named_by_hand_must_exist() {
    let missing = std::path::Path::new("/nonexistent/postroad.toml");
    let found = config::load(Some(missing), &[]).expect_err("no such file");
    assert!(found.to_string().starts_with("/nonexistent/postroad.toml:1: cannot be read"));
    let variables = [variable("POSTROAD_CONFIG", "/nonexistent/other.toml")];
    let found = config::load(None, &variables).expect_err("no such file");
    assert!(found.to_string().starts_with("/nonexistent/other.toml:1: cannot be read"));
}
