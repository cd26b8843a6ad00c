//! Reads the project's own source files for `layers.rs` and `tidy.rs`.
//!
//! Owns:       a scanner that parts Rust text into code, comments and string literals.
//! Promises:   line numbers stay true; code inside `#[cfg(test)]` is known as such.
//! Knows not:  the grammar of Rust beyond that, nor which rules are checked.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file, with its comments and literals told apart from its code.
pub struct Source {
    /// Relative to the root of the package, with `/` between its parts.
    pub path: String,
    pub lines: Vec<String>,
    /// The text with each octet of a comment or literal made a space; line ends stay.
    pub code: String,
    pub strings: Vec<Literal>,
    /// (line, content) of each comment.
    pub comments: Vec<(usize, String)>,
    /// Octets of `code` that stand under `#[cfg(test)]`.
    tests: Vec<Range<usize>>,
}

/// A string literal; `at` is where it starts in `code`.
pub struct Literal {
    pub line: usize,
    pub at: usize,
    pub text: String,
}

/// A function with a body.
pub struct Function {
    pub name: String,
    pub start: usize,
    pub body: Range<usize>,
}

/// A breach of a rule, told so that one can act on it.
pub fn report(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}\n\n{}\n\n{} in all", broken.join("\n"), broken.len());
}

pub fn root() -> PathBuf {
    let given = std::env::var_os("CARGO_MANIFEST_DIR");
    given.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// Every Rust file below `folder`, in order of its path.
pub fn read_folder(folder: &str) -> Vec<Source> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = paths.iter().map(|path| read_file(&root, path)).collect();
    mark_test_files(&mut sources);
    sources
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of the checkout can be listed").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn read_file(root: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).expect("a source file can be read");
    let relative = path.strip_prefix(root).expect("it lies below the root");
    Source::scan(&relative.to_string_lossy().replace('\\', "/"), &text)
}

/// `#[cfg(test)] mod name;` makes the file of that module a test as a whole.
fn mark_test_files(sources: &mut [Source]) {
    let mut tests = BTreeSet::new();
    for source in sources.iter() {
        let Some(folder) = source.path.rsplit_once('/').map(|(folder, _)| folder) else { continue };
        let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
        let inner = if source.is_folder_root() { folder } else { stem };
        for range in &source.tests {
            let mut words = words(&source.code[range.clone()]);
            while let Some((_, word)) = words.next() {
                if word == "mod"
                    && let Some((at, name)) = words.next()
                    && source.code[range.start + at + name.len()..].trim_start().starts_with(';')
                {
                    tests.insert(format!("{inner}/{name}.rs"));
                    tests.insert(format!("{inner}/{name}/"));
                }
            }
        }
    }
    for source in sources {
        let path = source.path.clone();
        if tests.iter().any(|test| path == *test || (test.ends_with('/') && path.starts_with(test)))
        {
            source.tests = std::iter::once(0..source.code.len()).collect();
        }
    }
}

impl Source {
    pub fn scan(path: &str, text: &str) -> Source {
        let mut scanner = Scanner::new(text);
        scanner.run();
        let code = String::from_utf8(scanner.code).expect("only whole characters were blanked");
        let tests = test_ranges(&code);
        Source {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            code,
            strings: scanner.strings,
            comments: scanner.comments,
            tests,
        }
    }

    /// The first part of the path below `src`: `deliver` of `src/deliver/open.rs`.
    pub fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = inside.split('/').next().unwrap_or(inside);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub fn is_folder_root(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        matches!(name, "mod.rs" | "lib.rs" | "main.rs")
    }

    pub fn line_of(&self, at: usize) -> usize {
        self.code.as_bytes()[..at].iter().filter(|&&octet| octet == b'\n').count() + 1
    }

    pub fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }

    pub fn is_test_line(&self, line: usize) -> bool {
        let lines = |range: &Range<usize>| self.line_of(range.start)..=self.line_of(range.end);
        self.tests.iter().any(|range| lines(range).contains(&line))
    }

    /// Lines but for the tests, wherever these stand.
    pub fn lines_of_product(&self) -> usize {
        let lines = |range: &Range<usize>| {
            let last = range.end.saturating_sub(1).max(range.start);
            self.line_of(last) + 1 - self.line_of(range.start)
        };
        self.lines.len().saturating_sub(self.tests.iter().map(lines).sum())
    }

    /// Where `pattern` stands in code that is no test, as whole words.
    pub fn finds(&self, pattern: &str) -> Vec<usize> {
        let code = self.code.as_bytes();
        let edge = |at: Option<&u8>| at.is_none_or(|octet| !is_word(*octet));
        self.code
            .match_indices(pattern)
            .map(|(at, _)| at)
            .filter(|&at| !pattern.starts_with(char_is_word) || at == 0 || edge(code.get(at - 1)))
            .filter(|&at| !pattern.ends_with(char_is_word) || edge(code.get(at + pattern.len())))
            .filter(|&at| !self.is_test(at))
            .collect()
    }

    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        let mut words = words(&self.code).peekable();
        while let Some((at, word)) = words.next() {
            if word != "fn" {
                continue;
            }
            // `fn(u8)` is a type: no name stands between `fn` and the bracket.
            let Some(&(named, name)) = words.peek() else { break };
            if !self.code[at + 2..named].trim().is_empty() {
                continue;
            }
            if let Some(open) = body_of(&self.code, named) {
                let body = open..closing(&self.code, open);
                found.push(Function { name: name.to_owned(), start: at, body });
            }
        }
        found
    }
}

fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_' || octet >= 0x80
}

fn char_is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Every identifier and keyword with its place.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = code.as_bytes();
        while at < bytes.len() && !is_word(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        (at > start).then(|| (start, &code[start..at]))
    })
}

/// The brace that opens the body of the function named at `from`; None: it has none.
fn body_of(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (at, octet) in code.bytes().enumerate().skip(from) {
        match octet {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0i32;
    for (at, octet) in code.bytes().enumerate().skip(open) {
        match octet {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// Each item under `#[cfg(test)]`, from the attribute to its closing brace or semicolon.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(") {
        let Some(length) = code[start..].find(']') else { continue };
        let is_test = words(&code[start..start + length]).any(|(_, word)| word == "test");
        if !is_test || ranges.last().is_some_and(|last| last.contains(&start)) {
            continue;
        }
        let after = skip_attributes(code, start + length + 1);
        let end = body_of(code, after).map_or_else(
            || code[after..].find(';').map_or(code.len(), |length| after + length + 1),
            |open| closing(code, open) + 1,
        );
        ranges.push(start..end);
    }
    ranges
}

fn skip_attributes(code: &str, mut at: usize) -> usize {
    loop {
        let rest = code[at..].trim_start();
        at = code.len() - rest.len();
        match rest.strip_prefix("#[").and_then(|_| rest.find(']')) {
            Some(length) => at += length + 1,
            None => return at,
        }
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    code: Vec<u8>,
    strings: Vec<Literal>,
    comments: Vec<(usize, String)>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Scanner<'a> {
        Scanner {
            text: text.as_bytes(),
            at: 0,
            line: 1,
            code: Vec::with_capacity(text.len()),
            strings: Vec::new(),
            comments: Vec::new(),
        }
    }

    fn run(&mut self) {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            if rest.starts_with(b"//") {
                let end = rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
                self.comment(end);
            } else if rest.starts_with(b"/*") {
                self.comment(block_length(rest));
            } else if let Some((length, content)) = self.literal(rest) {
                self.string(length, content);
            } else if rest[0] == b'\''
                && let Some(length) = character_length(rest)
            {
                self.blank(length);
            } else {
                self.keep();
            }
        }
    }

    /// The length of the string literal that starts here, and where its content stands.
    fn literal(&self, rest: &[u8]) -> Option<(usize, Range<usize>)> {
        let inside_word = self.code.last().is_some_and(|&octet| is_word(octet));
        let prefix: usize = match rest {
            [b'"', ..] => 0,
            _ if inside_word => return None,
            [b'b' | b'c', b'r', ..] => 2,
            [b'b' | b'c' | b'r', ..] => 1,
            _ => return None,
        };
        let raw = rest[..prefix].contains(&b'r');
        let hashes = rest[prefix..].iter().take_while(|&&octet| octet == b'#').count();
        let open = prefix + hashes;
        if rest.get(open) != Some(&b'"') || (!raw && hashes > 0) {
            return None;
        }
        let mut at = open + 1;
        while at < rest.len() {
            let closed = rest[at] == b'"'
                && rest[at + 1..].iter().take(hashes).filter(|&&o| o == b'#').count() == hashes;
            if closed {
                return Some((at + 1 + hashes, open + 1..at));
            }
            at += if !raw && rest[at] == b'\\' { 2 } else { 1 };
        }
        Some((rest.len(), open + 1..rest.len()))
    }

    fn string(&mut self, length: usize, content: Range<usize>) {
        let content = &self.text[self.at + content.start..self.at + content.end];
        let text = String::from_utf8_lossy(content).into_owned();
        self.strings.push(Literal { line: self.line, at: self.at, text });
        self.blank(length);
    }

    fn comment(&mut self, length: usize) {
        let content = &self.text[self.at..self.at + length];
        self.comments.push((self.line, String::from_utf8_lossy(content).into_owned()));
        self.blank(length);
    }

    fn blank(&mut self, length: usize) {
        let end = (self.at + length).min(self.text.len());
        while self.at < end {
            let octet = self.text[self.at];
            self.line += usize::from(octet == b'\n');
            self.code.push(if octet == b'\n' { b'\n' } else { b' ' });
            self.at += 1;
        }
    }

    fn keep(&mut self) {
        let octet = self.text[self.at];
        self.line += usize::from(octet == b'\n');
        self.code.push(octet);
        self.at += 1;
    }
}

fn block_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a character literal; None: the quote begins a lifetime.
fn character_length(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let end = rest.iter().skip(3).position(|&octet| octet == b'\'');
        return Some(end.map_or(rest.len(), |end| end + 4));
    }
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), Some('\'')) => Some(character.len_utf8() + 2),
        _ => None,
    }
}

const SAMPLE: &str = r##"
fn first<'a>(text: &'a str) -> char { if text == "fn x() {" { '{' } else { '\'' } } // {
/* fn no() { /* nested */ */
const RAW: &str = r#"SELECT "1" FROM x"#;
type Called = fn(u8) -> u8;
#[cfg(test)]
mod tests {
    fn second() { third.unwrap() }
}
fn fourth(array: [u8; 3]) -> bool { true }
"##;

#[test]
fn the_scanner_tells_code_from_comments_and_literals() {
    let source = Source::scan("src/sample.rs", SAMPLE);
    let names: Vec<_> = source.functions().into_iter().map(|function| function.name).collect();
    assert_eq!(names, ["first", "second", "fourth"]);
    let literal = &source.strings[1];
    assert_eq!((literal.line, &*literal.text), (4, "SELECT \"1\" FROM x"));
    assert_eq!(source.comments.len(), 2);
    assert!(source.finds("unwrap").is_empty(), "what stands under cfg(test) is a test");
    assert_eq!(source.finds("bool").len(), 1);
    assert!(source.is_test_line(8) && !source.is_test_line(10));
    assert_eq!(source.lines_of_product(), source.lines.len() - 4);
    let whole = Source::scan("src/sample.rs", "#[cfg(test)]\nmod tests {}\n");
    assert_eq!(whole.lines_of_product(), 0);
    assert_eq!(source.code.lines().count(), SAMPLE.lines().count());
}
