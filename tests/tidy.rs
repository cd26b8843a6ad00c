//! The limits of the style that a machine can hold: lengths, nesting, heads, banned words.
//!
//! Owns:       the numbers and the list of what is banned, each with its reason.
//! Promises:   a breach is told by file and line, with what to do about it.
//! Knows not:  who may use whom (`layers.rs`), nor how a line is broken (rustfmt).

use crate::sources::{Function, Source, read_folder, report, root, words};

const FUNCTION_LINES_MAX: usize = 60;
const NESTING_MAX: usize = 4;
const FILE_LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;
/// The words an `expect` needs at least to be a reason and not a shrug.
const REASON_WORDS_MIN: usize = 3;

/// Banned outside tests: the words, and why.
const BANNED: [(&str, &str); 9] = [
    (".unwrap()", "return the error, or `expect` with the reason why it cannot happen"),
    (".unwrap_err()", "return the error, or match on it"),
    ("todo!", "no stubs: build it or leave it out"),
    ("unimplemented!", "no stubs: build it or leave it out"),
    ("dbg!", "a left-over of debugging; use `tracing`"),
    ("static mut", "no mutable globals: hand it down from `app`"),
    ("mod util", "name the module after what it owns"),
    ("mod utils", "name the module after what it owns"),
    ("mod helpers", "name the module after what it owns"),
];

/// What may print: the commands, the demo, and the binary's own file.
const PRINTERS: [&str; 3] = ["cli", "world", "main"];

/// Types that make a `static` change.
const CHANGEABLE: [&str; 8] =
    ["Mutex", "RwLock", "RefCell", "Cell", "DashMap", "AtomicUsize", "AtomicU64", "AtomicBool"];

/// Statics that may change nevertheless, each with its reason.
const STATICS_ALLOWED: [(&str, &str); 0] = [];

/// Module roots that only name others and so have nothing to own.
const HEADS_EXEMPT: [&str; 2] = ["src/lib.rs", "src/main.rs"];

#[test]
fn no_function_is_longer_than_sixty_lines() {
    let mut broken = Vec::new();
    for source in production() {
        for function in source.functions().iter().filter(|f| !source.is_test(f.start)) {
            let first = source.line_of(function.start);
            let length = source.line_of(function.body.end.min(source.code.len() - 1)) - first + 1;
            if length > FUNCTION_LINES_MAX {
                let (path, name) = (&source.path, &function.name);
                broken.push(format!("{path}:{first}: `{name}` has {length} lines"));
            }
        }
    }
    report(&broken, "A function has at most 60 lines: keep the branches, move out the straight.");
}

#[test]
fn no_function_nests_deeper_than_four_levels() {
    let mut broken = Vec::new();
    for source in production() {
        for function in source.functions().iter().filter(|f| !source.is_test(f.start)) {
            if let Some((at, depth)) = deepest(&source, function) {
                let (path, name, line) = (&source.path, &function.name, source.line_of(at));
                broken.push(format!("{path}:{line}: `{name}` nests {depth} levels deep"));
            }
        }
    }
    report(&broken, "A function nests at most 4 levels: return early, or name the inner part.");
}

#[test]
fn no_file_is_longer_than_five_hundred_lines_but_for_its_tests() {
    let mut broken = Vec::new();
    for source in production().iter().filter(|source| !source.is_test(0)) {
        let length = source.lines_of_product();
        if length > FILE_LINES_MAX {
            broken.push(format!("{}:{length}: {length} lines but for the tests", source.path));
        }
    }
    report(&broken, "A file has at most 500 lines but for its tests: split it by what it owns.");
}

/// A test whose file nobody names is not run, and nothing tells of it.
#[test]
fn every_file_is_a_module_of_something() {
    let mut broken = Vec::new();
    for folder in ["src", "tests"] {
        let sources = read_folder(folder);
        for source in &sources {
            let Some((parents, name)) = parents_of(&source.path) else { continue };
            let is_named =
                sources.iter().filter(|other| parents.contains(&other.path)).any(|other| {
                    let all: Vec<&str> = words(&other.code).map(|(_, word)| word).collect();
                    all.windows(2).any(|pair| pair == ["mod", name])
                });
            if !is_named {
                broken.push(format!("{}: nobody says `mod {name}`", source.path));
            }
        }
    }
    report(&broken, "A file that no module names is neither compiled nor run.");
}

/// The files that may name a module, and its name; None for the roots themselves.
fn parents_of(path: &str) -> Option<(Vec<String>, &str)> {
    const ROOTS: [&str; 3] = ["src/lib.rs", "src/main.rs", "tests/main.rs"];
    if ROOTS.contains(&path) {
        return None;
    }
    let stem = path.strip_suffix(".rs")?;
    let (folder, name) = stem.strip_suffix("/mod").unwrap_or(stem).rsplit_once('/')?;
    let inner = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
    let roots = ["lib.rs", "main.rs"].map(|root| format!("{folder}/{root}"));
    Some((inner.into_iter().chain(roots).collect(), name))
}

/// One whose file is there and is not listed is never run, and every test passes without it.
#[test]
fn every_migration_is_listed_for_both_databases() {
    let listed = read_folder("src/store")
        .into_iter()
        .find(|source| source.path == "src/store/migrate.rs")
        .expect("the list is there");
    let is_name =
        |text: &&str| text.len() > 5 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit);
    let listed: Vec<&str> =
        listed.strings.iter().map(|literal| literal.text.as_str()).filter(is_name).collect();
    let numbers: Vec<&str> = listed.iter().map(|name| &name[..4]).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "in order, each once: {listed:?}");
    for database in ["sqlite", "postgres"] {
        let folder = std::fs::read_dir(root().join("migrations").join(database));
        let mut files: Vec<String> = folder
            .expect("a folder of the checkout can be listed")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .map(|name| name.trim_end_matches(".sql").to_owned())
            .collect();
        files.sort();
        assert_eq!(files, listed, "migrations/{database} beside src/store/migrate.rs");
    }
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    let mut broken = Vec::new();
    for source in production().iter().chain(&read_folder("tests")).chain(&read_folder("benches")) {
        for (index, line) in source.lines.iter().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                broken.push(format!("{}:{}: {columns} columns", source.path, index + 1));
            }
        }
    }
    report(&broken, "A line has at most 100 columns; break long strings with `\\` or `concat!`.");
}

#[test]
fn every_file_says_at_its_head_what_it_is() {
    let mut broken = Vec::new();
    for source in production() {
        if source.is_test(0) {
            continue;
        }
        if !source.lines.first().is_some_and(|line| line.starts_with("//! ")) {
            broken.push(format!("{}:1: no `//!` sentence at its head", source.path));
        }
        if !is_module_root(&source.path) || HEADS_EXEMPT.contains(&source.path.as_str()) {
            continue;
        }
        let head: Vec<_> = source.lines.iter().take_while(|l| l.starts_with("//!")).collect();
        for part in ["Owns:", "Promises:", "Knows not:"] {
            if !head.iter().any(|line| line[3..].trim_start().starts_with(part)) {
                broken.push(format!("{}:1: the head does not say `{part}`", source.path));
            }
        }
    }
    report(&broken, "A head says what the file owns, what it promises, what it knows nothing of.");
}

#[test]
fn no_banned_word_stands_outside_tests() {
    let mut broken = Vec::new();
    for source in production() {
        for (word, why) in BANNED {
            for at in source.finds(word) {
                broken.push(format!("{}:{}: `{word}`: {why}", source.path, source.line_of(at)));
            }
        }
        for (line, comment) in &source.comments {
            let unfinished = ["TODO", "FIXME", "XXX"].iter().find(|word| comment.contains(**word));
            if let Some(word) = unfinished.filter(|_| !source.is_test_line(*line)) {
                broken.push(format!("{}:{line}: `{word}`: finish it or file it", source.path));
            }
        }
    }
    report(&broken, "These do not stand in code that handles mail.");
}

#[test]
fn no_result_is_thrown_away_by_a_wildcard() {
    let mut broken = Vec::new();
    for source in production() {
        for at in source.finds("let _ =") {
            let statement = source.code[at..].split(';').next().unwrap_or_default();
            if statement.contains('(') {
                let line = source.line_of(at);
                broken.push(format!("{}:{line}: `let _ =` before a call", source.path));
            }
        }
    }
    report(&broken, "A failure is handled or logged where it happens; `drop(x)` ends a value.");
}

#[test]
fn only_commands_and_the_demo_print() {
    let mut broken = Vec::new();
    for source in production().iter().filter(|source| !PRINTERS.contains(&source.module())) {
        for word in ["println!", "eprintln!", "print!", "eprint!"] {
            for at in source.finds(word) {
                broken.push(format!("{}:{}: `{word}`", source.path, source.line_of(at)));
            }
        }
    }
    report(&broken, "The daemon speaks through `tracing`; only cli, world and main print.");
}

#[test]
fn every_expect_outside_tests_gives_its_reason() {
    let mut broken = Vec::new();
    for source in production() {
        for at in source.finds(".expect(") {
            let after = &source.code[at + ".expect(".len()..];
            // The literal itself is blanked; whatever else stands there is a method of our own.
            if !after.trim_start().starts_with([')', ',']) {
                continue;
            }
            let line = source.line_of(at);
            let words = source.strings.iter().find(|literal| literal.at > at);
            let words = words.map_or(0, |literal| literal.text.split_whitespace().count());
            if words < REASON_WORDS_MIN {
                broken.push(format!("{}:{line}: `expect` without a reason", source.path));
            }
        }
    }
    report(&broken, "An `expect` says in a few words why it cannot happen.");
}

#[test]
fn no_global_changes() {
    let mut broken = Vec::new();
    for source in production() {
        for at in source.finds("static") {
            let declared = source.code[at..].split(['=', ';']).next().unwrap_or_default();
            // A lifetime (`&'static str`) is no declaration.
            let is_lifetime = at > 0 && source.code.as_bytes()[at - 1] == b'\'';
            let changes = CHANGEABLE.iter().any(|kind| declared.contains(kind));
            let allowed = STATICS_ALLOWED.iter().any(|(path, _)| *path == source.path);
            if changes && !is_lifetime && !allowed {
                let line = source.line_of(at);
                broken.push(format!("{}:{line}: {}", source.path, source.lines[line - 1].trim()));
            }
        }
    }
    report(&broken, "No mutable globals: `app` builds everything and hands it down.");
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut broken = Vec::new();
    for source in production() {
        for at in source.finds("unsafe") {
            // The type of a function from elsewhere does nothing yet.
            let after = source.code[at + "unsafe".len()..].trim_start();
            if !after.starts_with('{') && !after.starts_with("impl") {
                continue;
            }
            let line = source.line_of(at);
            let said = |(place, text): &(usize, String)| {
                (line.saturating_sub(8)..=line).contains(place)
                    && (text.contains("SAFETY") || text.contains("Safety"))
            };
            if !source.comments.iter().any(said) {
                broken.push(format!("{}:{line}: no `// SAFETY:` above it", source.path));
            }
        }
    }
    report(&broken, "An `unsafe` stands below a `// SAFETY:` comment that says why it holds.");
}

/// On a slow machine a hundred polls of ten milliseconds are over before what they wait for.
#[test]
fn a_wait_in_a_test_ends_by_time_and_not_by_count() {
    let mut broken = Vec::new();
    for source in read_folder("tests") {
        for at in source.finds("for _ in 0..") {
            if polls(block_after(&source.code[at..])) {
                broken.push(format!("{}:{}", source.path, source.line_of(at)));
            }
        }
    }
    report(&broken, "Wait with `until` or `until_told` of tests/support, which end by PATIENCE.");
}

/// A block that sleeps between looks and leaves its loop once it has seen enough.
fn polls(block: &str) -> bool {
    let has = |one: &str| words(block).any(|(_, word)| word == one);
    has("sleep") && (has("break") || has("return")) && !has("loop") && !has("while")
}

/// From the first `{` to the `}` that closes it.
fn block_after(code: &str) -> &str {
    let mut depth = 0;
    let start = code.find('{').unwrap_or(code.len());
    for (at, octet) in code.bytes().enumerate().skip(start) {
        match octet {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[start..=at];
        }
    }
    &code[start..]
}

/// What is only slow must not fail: a bound of wall time is PATIENCE, or has a name and a reason.
#[test]
fn no_test_claims_a_speed_in_passing() {
    let mut broken = Vec::new();
    for source in read_folder("tests") {
        for (index, line) in source.code.lines().enumerate() {
            if line.contains("assert!(") && line.contains(".elapsed() < Duration::from_") {
                broken.push(format!("{}:{}", source.path, index + 1));
            }
        }
    }
    report(&broken, "Compare with PATIENCE, or with a constant that says why it is that much.");
}

#[test]
fn a_poll_by_count_is_told_from_other_loops() {
    let counted = "{ for _ in 0..9 { if a().await { break; } sleep(b).await; } }";
    assert!(polls(block_after(counted)));
    for other in
        ["{ a.push(b().await); sleep(c).await; }", "{ loop { if a { break; } sleep(b); } }"]
    {
        assert!(!polls(block_after(other)), "{other}");
    }
}

fn production() -> Vec<Source> {
    read_folder("src")
}

/// `src/NAME.rs` and `src/NAME/mod.rs`.
fn is_module_root(path: &str) -> bool {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    match inside.split_once('/') {
        None => true,
        Some((_, rest)) => rest == "mod.rs",
    }
}

/// The first place deeper than allowed, with how deep it gets there.
///
/// Counted are blocks (of `if`, `match`, its arms, loops, closures, macros), not the braces of
/// struct literals and patterns.
fn deepest(source: &Source, function: &Function) -> Option<(usize, usize)> {
    let code = &source.code;
    let mut open: Vec<bool> = Vec::new();
    let mut worst: Option<(usize, usize)> = None;
    for at in function.body.start + 1..function.body.end {
        match code.as_bytes()[at] {
            b'{' => {
                open.push(is_block(&code[function.body.start..at]));
                let depth = open.iter().filter(|block| **block).count();
                if depth > NESTING_MAX && worst.is_none_or(|(_, most)| depth > most) {
                    worst = Some((worst.map_or(at, |(first, _)| first), depth));
                }
            }
            b'}' => drop(open.pop()),
            _ => {}
        }
    }
    worst
}

/// Whether the brace that follows `before` opens a block.
fn is_block(before: &str) -> bool {
    let before = before.trim_end();
    if ["=>", "{", "}", ";", "=", "|", "!"].iter().any(|end| before.ends_with(end)) {
        return true;
    }
    // A header such as `if let Some(x) = y` holds one of these words; a struct literal does not.
    let headers = ["if", "else", "match", "for", "while", "loop", "unsafe", "async", "move"];
    let header = &before[statement_start(before.as_bytes())..];
    words(header).any(|(_, word)| headers.contains(&word)) || header.contains("->")
}

/// Where the statement or argument begins that is still open at the end of `before`.
fn statement_start(before: &[u8]) -> usize {
    let mut depth = 0;
    for at in (0..before.len()).rev() {
        match before[at] {
            b')' | b']' => depth += 1,
            b'(' | b'[' if depth == 0 => return at + 1,
            b'(' | b'[' => depth -= 1,
            // The braces of a pattern (`if let A { b } = c`) belong to the header.
            b'}' if depth == 0 && next_is_word(&before[at + 1..]) => return at + 1,
            b'}' => depth += 1,
            b'{' if depth == 0 => return at + 1,
            b'{' => depth -= 1,
            b';' | b',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    0
}

fn next_is_word(rest: &[u8]) -> bool {
    rest.iter().find(|octet| !octet.is_ascii_whitespace()).is_none_or(u8::is_ascii_alphanumeric)
}

#[test]
fn nesting_counts_blocks_and_not_struct_literals() {
    let literals = "fn f() { if a { for b in c { A { d: B { e: C { f: 1 } } }; } } }";
    let source = Source::scan("src/sample.rs", literals);
    assert!(source.functions().iter().all(|function| deepest(&source, function).is_none()));
    let blocks = "fn f() { loop { match [a, b] { B => { if let C { x } = y { for d in [e, f] { \
                  g() } } } } } }";
    let source = Source::scan("src/sample.rs", blocks);
    let found = source.functions().iter().find_map(|function| deepest(&source, function));
    assert_eq!(found.map(|(_, depth)| depth), Some(5));
}
