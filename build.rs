//! Finds the built panel and lists its files for `src/panel`, which embeds them.
//!
//! In this order: the folder that PANEL_DIST names (packagers); `web/dist`, which `make panel`
//! fills, when nothing it was made of is newer; in a release build with npm, one built here, under
//! OUT_DIR. Else the panel is one page that says how to build it. Never a failed build, and a
//! debug build never waits for npm.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// What the panel is made of; as `web/tools/build.mjs` has it.
const INPUTS: [&str; 6] =
    ["src", "public", "index.html", "package-lock.json", "vite.config.ts", "tools/build.mjs"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder to write to"));
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-env-changed=PANEL_DIST");
    if is_release {
        INPUTS.iter().for_each(|input| println!("cargo::rerun-if-changed=web/{input}"));
    }
    let dist = match env::var_os("PANEL_DIST") {
        Some(named) => Some(PathBuf::from(named)),
        None => found(&root.join("web"), &out, is_release),
    };
    let listing = dist.and_then(|dist| match listing(&dist) {
        Ok(listing) => Some(listing),
        Err(why) => {
            println!("cargo::warning={}: {why}; the panel is left out", dist.display());
            None
        }
    });
    let listing = listing.unwrap_or_else(|| text_of(&[], "{}"));
    fs::write(out.join("panel_files.rs"), listing).expect("OUT_DIR can be written to");
}

fn found(web: &Path, out: &Path, is_release: bool) -> Option<PathBuf> {
    let dist = web.join("dist");
    let built = changed(&dist.join("index.html"));
    if built.is_some() && (!is_release || built >= newest(web)) {
        return Some(dist);
    }
    if is_release {
        match build(web, &out.join("web")) {
            Ok(fresh) => return Some(fresh),
            Err(why) => println!("cargo::warning=the panel was not built ({why}): `make panel`"),
        }
    }
    built.map(|_| dist)
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn newest(web: &Path) -> Option<SystemTime> {
    let mut newest = None;
    let mut open: Vec<PathBuf> = INPUTS.iter().map(|input| web.join(input)).collect();
    while let Some(path) = open.pop() {
        match fs::read_dir(&path) {
            Ok(inside) => open.extend(inside.flatten().map(|entry| entry.path())),
            Err(_) => newest = newest.max(changed(&path)),
        }
    }
    newest
}

/// npm works in a copy, so that nothing is written beside the sources.
fn build(web: &Path, copy: &Path) -> Result<PathBuf, String> {
    if env::var("CARGO_NET_OFFLINE").is_ok_and(|offline| offline == "true") {
        return Err("cargo is offline".to_owned());
    }
    let told = |why: io::Error| why.to_string();
    for part in ["src", "public", "tools"] {
        match fs::remove_dir_all(copy.join(part)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why.to_string()),
            _ => copy_all(&web.join(part), &copy.join(part)).map_err(told)?,
        }
    }
    for file in ["index.html", "package.json", "package-lock.json", "vite.config.ts", ".npmrc"] {
        fs::copy(web.join(file), copy.join(file)).map_err(told)?;
    }
    let quick = ["--fetch-retries=1", "--fetch-timeout=20000"];
    run(copy, "npm", &["ci", "--ignore-scripts", quick[0], quick[1]])?;
    run(copy, "node", &["tools/build.mjs"])?;
    Ok(copy.join("dist"))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let output = command.output().map_err(|why| format!("{program}: {why}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", text.lines().next().unwrap_or("failed")))
        }
    }
}

/// Every file of the folder with its packed forms, as Rust; and what it was made of.
fn listing(dist: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    let mut open = vec![dist.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    let mut rows = Vec::new();
    for path in &files {
        let name = path.strip_prefix(dist).map_err(io::Error::other)?.to_string_lossy();
        let is_packed = name.ends_with(".br") || name.ends_with(".gz");
        if is_packed || name.starts_with('.') || name == "sources.json" {
            continue;
        }
        let packed = |ending: &str| {
            let packed = PathBuf::from(format!("{}.{ending}", path.display()));
            match packed.exists() {
                true => format!("Some(include_bytes!({packed:?}))"),
                false => "None".to_owned(),
            }
        };
        rows.push(format!(
            "File {{ name: {name:?}, plain: include_bytes!({path:?}), gzip: {}, brotli: {} }}",
            packed("gz"),
            packed("br")
        ));
    }
    Ok(text_of(&rows, &fs::read_to_string(dist.join("sources.json"))?))
}

fn text_of(rows: &[String], sources: &str) -> String {
    let mut text = String::from("pub static FILES: &[File] = &[\n");
    for row in rows {
        // Writing to a string cannot fail.
        writeln!(text, "    {row},").expect("a string grows");
    }
    text.push_str("];\n");
    writeln!(text, "#[cfg(test)]\npub static SOURCES: &str = {sources:?};")
        .expect("a string grows");
    text
}
