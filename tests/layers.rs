//! Who may use whom: the ranks of `ARCHITECTURE.md`, read from the code itself.
//!
//! Owns:       the table of ranks, and what only one module may do (SQL, time, DNS, HTTP …).
//! Promises:   a use of an equal or higher rank is told by file and line; no exception is silent.
//! Knows not:  how long or deep the code is (`tidy.rs`).
//! Code under `#[cfg(test)]` may use what it needs.

use std::collections::BTreeSet;

use crate::sources::{Literal, Source, read_folder, report, words};

/// A module uses only modules of a lower rank.
const RANKS: [(&str, u8); 37] = [
    ("model", 0),
    ("clock", 0),
    ("wire", 1),
    ("config", 1),
    ("telemetry", 1),
    ("classify", 1),
    ("token", 1),
    ("store", 2),
    ("spool", 2),
    ("dkim", 2),
    ("events", 3),
    ("auth", 3),
    ("dns", 3),
    ("contacts", 3),
    ("queue", 4),
    ("compose", 4),
    ("deliver", 4),
    ("fetch", 4),
    ("accept", 5),
    ("acme", 5),
    ("notices", 5),
    ("schedule", 5),
    ("listener", 6),
    ("campaign", 6),
    ("feedback", 6),
    ("webhooks", 6),
    ("sandbox", 6),
    ("api", 7),
    ("panel", 7),
    ("app", 8),
    ("cli", 8),
    ("world", 8),
    // Reserved words of a path that name no module of ours.
    ("self", 0),
    ("super", 0),
    ("crate", 0),
    ("lib", 9),
    ("main", 9),
];

/// The top: these three build the rest and may use each other.
const TOP: u8 = 8;

/// Lower in rank, and yet not to be known: a module, what it must not name, why.
const UNKNOWN: [(&str, &[&str], &str); 8] = [
    ("queue", &["dns", "wire"], "the debt outlives every protocol"),
    ("deliver", &["store", "spool", "events", "auth"], "an attempt knows no database"),
    ("listener", &["store", "spool"], "a session talks to `accept` and to nobody behind it"),
    ("listener", &["queue", "deliver", "dns"], "a session does not know what becomes of mail"),
    ("campaign", &["deliver"], "a campaign enters by `accept` like everybody"),
    ("api", &["deliver"], "a handler translates and does nothing else"),
    ("panel", &["deliver", "store"], "the panel uses what the API offers"),
    ("telemetry", &["wire"], "logs know no mail"),
];

/// What only the named modules may name: words of code, who, why.
const ONLY: [(&[&str], &[&str], &str); 12] = [
    (&["sqlx"], &["store"], "the database stands behind `store`"),
    (
        &["SystemTime::now", "Zoned::now", "jiff::Timestamp::now", "Utc::now"],
        &["clock"],
        "time is asked of `clock`, so that a test can move it",
    ),
    (
        &["Instant::now"],
        // tokio's instants are deadlines of sockets, which keep wall time by design; in `auth`
        // they make each refusal take equally long.
        &["clock", "deliver", "listener", "dns", "auth", "world"],
        "time is asked of `clock`; only socket deadlines keep wall time",
    ),
    (
        &["rand::fill", "SystemRandom", "getrandom", "thread_rng", "random()"],
        // Secrets are no dice: they come from the system, wherever they are made.
        &["clock", "auth", "dkim", "token", "world"],
        "dice come from `clock`; secrets are made where they are kept",
    ),
    (
        &["tokio::time"],
        // Deadlines of sockets, disks and threads, and polls: what a machine does takes the same
        // time however fast a demo's clock runs. When mail is due is never asked here.
        &[
            "clock", "deliver", "listener", "dns", "store", "spool", "auth", "compose", "schedule",
            "app", "api", "cli", "world", "fetch", "webhooks", "feedback", "sandbox", "acme",
        ],
        "a wait of the product is the clock's; only deadlines of the machine are tokio's",
    ),
    (&["axum"], &["api", "panel", "app", "cli"], "HTTP handlers stand in `api`"),
    (
        // In `acme` they are the form of a call that goes out by `fetch`.
        &["hyper", "hyper_util"],
        &["api", "panel", "app", "cli", "fetch", "world", "acme"],
        "as for axum",
    ),
    (
        &["hickory_resolver", "hickory_proto", "hickory_server"],
        &["dns", "world"],
        "DNS stands behind `dns`",
    ),
    (&["mail_send"], &["deliver"], "relays are opened in `deliver` and nowhere else"),
    (&["rcgen"], &["listener", "world"], "certificates are made for listeners and the demo"),
    (&["clap"], &["cli"], "arguments are read in `cli`"),
    (
        &["process::exit", "process::abort"],
        &["cli", "main"],
        "a library does not end the program; `app` returns",
    ),
];

/// Uses of an equal or higher rank that are let through, each with its reason. One that is no
/// longer needed fails the test, so the list only shrinks.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("clock", "model", "`Timestamp` is a word, and the clock's answer"),
    ("config", "wire", "a setting may be a network, and `wire::network` alone parses one"),
];

#[test]
fn every_module_uses_only_lower_ranks() {
    let mut broken = Vec::new();
    let mut needed = BTreeSet::new();
    for source in read_folder("src") {
        let user = source.module().to_owned();
        let Some(rank) = rank_of(&user) else {
            broken.push(format!("{}:1: module `{user}` has no rank", source.path));
            continue;
        };
        for (at, used) in uses(&source) {
            let line = source.line_of(at);
            let Some(other) = rank_of(&used) else {
                broken.push(format!("{}:{line}: `crate::{used}` has no rank", source.path));
                continue;
            };
            if used == user || other < rank || (rank >= TOP && other <= rank) {
                continue;
            }
            match EXCEPTIONS.iter().find(|(from, to, _)| *from == user && *to == used) {
                Some((from, to, _)) => drop(needed.insert((*from, *to))),
                None => broken.push(format!(
                    "{}:{line}: `{user}` (rank {rank}) uses `{used}` (rank {other})",
                    source.path
                )),
            }
        }
    }
    for (from, to, _) in EXCEPTIONS.iter().filter(|(from, to, _)| !needed.contains(&(*from, *to))) {
        broken.push(format!("tests/layers.rs: the exception {from} → {to} is no longer needed"));
    }
    report(&broken, "A module uses only lower ranks; what flows back goes through a table.");
}

#[test]
fn no_module_names_what_it_must_not_know() {
    let mut broken = Vec::new();
    for source in read_folder("src") {
        for (user, hidden, why) in UNKNOWN.iter().filter(|(user, ..)| *user == source.module()) {
            for (at, used) in uses(&source).into_iter().filter(|(_, u)| hidden.contains(&&**u)) {
                let line = source.line_of(at);
                broken.push(format!("{}:{line}: `{user}` names `{used}`: {why}", source.path));
            }
        }
    }
    report(&broken, "What a module does not know it cannot break.");
}

#[test]
fn what_one_module_owns_no_other_names() {
    let mut broken = Vec::new();
    for source in read_folder("src") {
        for (names, _, why) in ONLY.iter().filter(|rule| !rule.1.contains(&source.module())) {
            for name in *names {
                for at in source.finds(name) {
                    let line = source.line_of(at);
                    broken.push(format!("{}:{line}: `{name}`: {why}", source.path));
                }
            }
        }
    }
    report(&broken, "Some crates and some questions belong to one module.");
}

#[test]
fn sql_stands_only_in_the_store() {
    let mut broken = Vec::new();
    for source in read_folder("src").iter().filter(|source| source.module() != "store") {
        for Literal { line, at, text } in &source.strings {
            if is_sql(text) && !source.is_test(*at) {
                let start: String = text.trim().chars().take(40).collect();
                broken.push(format!("{}:{line}: \"{start}…\"", source.path));
            }
        }
    }
    report(&broken, "SQL stands only in `store`; callers hand it data.");
}

#[test]
fn the_map_names_every_module_in_the_order_of_ranks() {
    let library = std::fs::read_to_string(crate::sources::root().join("src/lib.rs"))
        .expect("the library has a root");
    let source = Source::scan("src/lib.rs", &library);
    let mut broken = Vec::new();
    let mut last = 0;
    let mut declared = words(&source.code).skip_while(|(_, word)| *word != "mod");
    while let Some((at, word)) = declared.next() {
        let Some((_, name)) = (word == "mod").then(|| declared.next()).flatten() else { continue };
        let line = source.line_of(at);
        match rank_of(name) {
            None => broken.push(format!("src/lib.rs:{line}: `{name}` has no rank")),
            Some(rank) if rank < last => {
                broken.push(format!("src/lib.rs:{line}: `{name}` stands below a higher rank"));
            }
            Some(rank) => last = rank,
        }
    }
    report(&broken, "`src/lib.rs` is the map: modules in the order of their ranks.");
}

fn rank_of(module: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// The first words that make a string a statement; each is followed by a space in SQL.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    let starts = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "CREATE INDEX "];
    let more = ["PRAGMA ", "ALTER TABLE ", "WITH RECURSIVE ", "BEGIN IMMEDIATE"];
    starts.iter().chain(&more).any(|start| text.starts_with(start))
        || (text.starts_with("UPDATE ") && text.contains(" SET "))
}

/// The top-level modules that code outside tests names by `crate::…` or by a chain of `super::`.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in source.finds("crate::") {
        found.extend(first_names(&source.code, at + "crate::".len()));
    }
    let depth = depth_of(&source.path);
    let chain = "super::".repeat(depth);
    for at in source.finds(&chain).into_iter().filter(|_| depth > 0) {
        let names = first_names(&source.code, at + chain.len());
        // A `super` inside an inline module reaches less far: what names no module is none.
        found.extend(names.into_iter().filter(|(_, name)| rank_of(name).is_some_and(|r| r <= TOP)));
    }
    found.retain(|(_, name)| name != "self" && name != "super");
    found
}

/// How many `super` lead from a file to the root of the crate.
fn depth_of(path: &str) -> usize {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let inside = inside.strip_suffix("/mod.rs").or(inside.strip_suffix(".rs")).unwrap_or(inside);
    if matches!(inside, "lib" | "main") { 0 } else { inside.split('/').count() }
}

/// The name at `at`, or all first names of the group that opens there.
fn first_names(code: &str, at: usize) -> Vec<(usize, String)> {
    let rest = &code[at..];
    if !rest.trim_start().starts_with('{') {
        let name = words(rest).next().filter(|(start, _)| *start == 0);
        let is_macro = |name: &str| rest[name.len()..].starts_with('!');
        return name
            .filter(|(_, name)| !is_macro(name))
            .map(|(_, name)| (at, name.to_owned()))
            .into_iter()
            .collect();
    }
    let open = at + rest.find('{').unwrap_or(0);
    let close = crate::sources::closing(code, open);
    let (mut depth, mut start, mut found) = (0, open + 1, Vec::new());
    for place in open + 1..=close {
        match code.as_bytes()[place] {
            b'{' => depth += 1,
            b',' | b'}' if depth == 0 => {
                let name = words(&code[start..place]).next();
                found.extend(name.map(|(from, name)| (start + from, name.to_owned())));
                start = place + 1;
            }
            b'}' => depth -= 1,
            _ => {}
        }
    }
    found
}

#[test]
fn uses_are_found_in_groups_paths_and_chains() {
    let code = "use crate::{model::{Id, Ip}, clock::Clock};\nfn f() { crate::store::open(); }\n\
                use super::super::queue::Queue;\n#[cfg(test)] mod t { use crate::app::App; }";
    let source = Source::scan("src/deliver/open.rs", code);
    let names: Vec<_> = uses(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["model", "clock", "store", "queue"]);
}
