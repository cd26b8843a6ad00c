//! Reads file and environment into settings and names every mistake with its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::declare::{Section, Setting, Unit, path};
use super::{Settings, verify};

/// A value with the place where it stands.
pub type TomlNode<'a> = Spanned<DeValue<'a>>;

const FILE_BYTES_MAX: u64 = 1 << 20;
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    File {
        file: String,
        line: usize,
    },
    Variable(String),
    /// Nobody gave it: a default that does not fit what was given.
    Default,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File { file, line } => write!(f, "{file}:{line}"),
            Place::Variable(name) => write!(f, "environment {name}"),
            Place::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    pub place: Place,
    /// As in `smtp.errors_max` or `route[0].host`; empty where no setting can be named.
    pub setting: String,
    pub text: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.setting.as_str() {
            "" => write!(f, "{}: {}", self.place, self.text),
            setting => write!(f, "{}: {setting}: {}", self.place, self.text),
        }
    }
}

/// Every mistake there is, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What has been read so far, and what was wrong with it.
pub struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    at: String,
    /// The environment variable that is being read, if one is.
    variable: Option<String>,
    mistakes: Vec<Mistake>,
    places: BTreeMap<String, Place>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str) -> Reader<'a> {
        let (mistakes, places) = (Vec::new(), BTreeMap::new());
        Reader { file, text, at: String::new(), variable: None, mistakes, places }
    }

    /// Values come from the environment, where everything is text.
    pub fn is_loose(&self) -> bool {
        self.variable.is_some()
    }

    fn place_of(&self, offset: usize) -> Place {
        if let Some(name) = &self.variable {
            return Place::Variable(name.clone());
        }
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File { file: self.file.to_owned(), line }
    }

    /// The value at hand cannot be taken.
    pub fn wrong(&mut self, value: &TomlNode<'_>, text: String) {
        // After a fault in the file's grammar the parser puts in a value of its own, of no width.
        if self.variable.is_none() && value.span().is_empty() {
            return;
        }
        let (place, setting) = (self.place_of(value.span().start), self.at.clone());
        self.mistakes.push(Mistake { place, setting, text });
    }

    /// What was read is fine by itself but not beside the rest; found after all was read.
    pub fn wrong_at(&mut self, setting: &str, text: String) {
        let place = self.nearest_place(setting);
        self.mistakes.push(Mistake { place, setting: setting.to_owned(), text });
    }

    /// Something is wrong in another file that the settings name.
    pub fn wrong_in(&mut self, file: &Path, line: usize, setting: &str, text: String) {
        let place = Place::File { file: file.display().to_string(), line };
        self.mistakes.push(Mistake { place, setting: setting.to_owned(), text });
    }

    /// Somebody gave this setting a value.
    pub fn was_given(&self, setting: &str) -> bool {
        self.places.contains_key(setting)
    }

    /// Where the setting was given, or else the table that should hold it.
    fn nearest_place(&self, setting: &str) -> Place {
        let mut name = setting;
        loop {
            if let Some(place) = self.places.get(name) {
                return place.clone();
            }
            match name.rfind(['.', '[']) {
                Some(cut) => name = &name[..cut],
                None => return Place::Default,
            }
        }
    }

    /// Keeps a value that lies in the range.
    pub fn within<T: Setting + PartialOrd>(
        &mut self,
        read: Option<T>,
        range: RangeInclusive<T>,
        unit: Unit,
        value: &TomlNode<'_>,
    ) -> Option<T> {
        let read = read?;
        if range.contains(&read) {
            return Some(read);
        }
        let (low, high) = (range.start().show(unit), range.end().show(unit));
        self.wrong(value, format!("must be between {low} and {high}"));
        None
    }

    /// Runs `read` for one of several tables of the same name.
    pub fn inside_item<T>(
        &mut self,
        index: usize,
        node: &TomlNode<'_>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let length = self.at.len();
        self.at.push_str(&format!("[{index}]"));
        self.places.insert(self.at.clone(), self.place_of(node.span().start));
        let result = read(self);
        self.at.truncate(length);
        result
    }

    /// Runs `read` one step further down the path.
    fn inside(&mut self, name: &str, offset: usize, read: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.at);
        self.at = path(&before, name);
        self.places.insert(self.at.clone(), self.place_of(offset));
        read(self);
        self.at = before;
    }

    /// Takes each key of a table, whatever is wrong with the others.
    pub fn table(&mut self, section: &mut dyn Section, value: &TomlNode<'_>) {
        let Some(table) = value.get_ref().as_table() else {
            let kind = value.get_ref().type_str();
            return self.wrong(value, format!("must be a table; this is of type {kind}"));
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let declared = section.declared().iter().find(|declared| declared.name == name);
            if declared.is_some() {
                self.inside(name, key.span().start, |reader| {
                    section.read_field(name, value, reader);
                });
                continue;
            }
            match secret_behind(section, name) {
                Some(secret) if table.contains_key(secret) => {
                    self.wrong(value, format!("both {secret} and {name} are given; leave one out"))
                }
                Some(secret) => self.secret_file(section, secret, value, key.span().start),
                None => self.unknown(section, name, key.span().start),
            }
        }
    }

    /// A secret that stands in a file of its own.
    fn secret_file(
        &mut self,
        section: &mut dyn Section,
        secret: &'static str,
        value: &TomlNode<'_>,
        offset: usize,
    ) {
        self.inside(secret, offset, |reader| {
            let Some(path) = value.get_ref().as_str() else {
                return reader.wrong(value, format!("{secret}_file must be a path, in quotes"));
            };
            if path.is_empty() {
                return;
            }
            match read_secret(Path::new(path)) {
                Ok(text) => {
                    let node = TomlNode::new(value.span(), DeValue::String(Cow::Owned(text)));
                    section.read_field(secret, &node, reader);
                }
                Err(why) => reader.wrong(value, why),
            }
        });
    }

    fn unknown(&mut self, section: &dyn Section, name: &str, offset: usize) {
        let place = self.place_of(offset);
        let known = section.declared().iter().map(|declared| declared.name);
        let text = match nearest(name, known) {
            Some(near) => format!("unknown setting; did you mean '{near}'?"),
            None => "unknown setting".to_owned(),
        };
        self.mistakes.push(Mistake { place, setting: path(&self.at, name), text });
    }

    /// `POSTROAD_SMTP_ERRORS_MAX=20` for `errors_max` of `[smtp]`.
    fn environment(&mut self, settings: &mut Settings, name: &str, text: &str) {
        let Some(rest) = name.strip_prefix("POSTROAD_") else { return };
        let rest = rest.to_ascii_lowercase();
        let Some((table, field)) = rest.split_once('_') else { return };
        let Some(section) = settings.child_mut(table) else { return };
        self.variable = Some(name.to_owned());
        self.at = table.to_owned();
        let value = match text.trim_start().starts_with('[') {
            true => DeValue::parse(text).ok().map(Spanned::into_inner),
            false => Some(DeValue::String(text.into())),
        };
        let key = Spanned::new(0..0, Cow::Borrowed(field));
        let node = TomlNode::new(0..0, value.unwrap_or_else(|| DeValue::String(text.into())));
        let table = DeTable::from_iter([(key, node)]);
        self.table(section, &TomlNode::new(0..0, DeValue::Table(table)));
        self.at.clear();
        self.variable = None;
    }
}

/// `url_file` stands for the secret `url`.
fn secret_behind(section: &dyn Section, name: &str) -> Option<&'static str> {
    let secret = name.strip_suffix("_file")?;
    let declared = section.declared().iter().find(|declared| declared.name == secret)?;
    (declared.unit == Unit::Secret).then_some(declared.name)
}

/// A secret is one line in a file that strangers cannot read. The group may, since packages and
/// systemd hand files to a daemon's group.
fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|why| format!("{shown} cannot be read: {why}"))?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o037 != 0 {
        return Err(format!("{shown} has mode {mode:04o}: others may read it; chmod 600 {shown}"));
    }
    if !found.is_file() || found.len() > SECRET_BYTES_MAX {
        return Err(format!("{shown} is not a file of at most {SECRET_BYTES_MAX} octets"));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("{shown} cannot be read: {why}"))?
        .trim_end_matches(['\r', '\n'])
        .to_owned();
    if text.is_empty() { Err(format!("{shown} is empty")) } else { Ok(text) }
}

/// The known name that differs least, if it differs by little.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.len() / 3).clamp(1, 4);
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in octets.
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

/// Reads settings from a file's text and the environment. `file` is its name in mistakes.
pub fn read(
    file: &str,
    text: &str,
    environment: &[(String, String)],
) -> Result<Settings, Mistakes> {
    let mut settings = Settings::default();
    let mut reader = Reader::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = reader.place_of(error.span().map_or(0, |span| span.start));
        let text = format!("not TOML: {}", error.message().trim_end().replace('\n', "; "));
        reader.mistakes.push(Mistake { place, setting: String::new(), text });
    }
    let document = TomlNode::new(document.span(), DeValue::Table(document.into_inner()));
    reader.table(&mut settings, &document);
    for (name, value) in environment {
        reader.environment(&mut settings, name, value);
    }
    verify::verify(&settings, &mut reader);
    let mut mistakes = reader.mistakes;
    mistakes.sort();
    mistakes.dedup();
    if mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(mistakes)) }
}

/// The settings and the file they came from, if there was one.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub file: Option<PathBuf>,
}

/// From the file named, else from POSTROAD_CONFIG, else `./postroad.toml`, else
/// `/etc/postroad/postroad.toml`; without any, the defaults with the environment's overrides.
pub fn load(named: Option<&Path>, environment: &[(String, String)]) -> Result<Loaded, Mistakes> {
    let Some(file) = find(named, environment) else {
        return read("", "", environment).map(|settings| Loaded { settings, file: None });
    };
    let shown = file.display().to_string();
    let refused = |text: String| {
        let place = Place::File { file: shown.clone(), line: 1 };
        Mistakes(vec![Mistake { place, setting: String::new(), text }])
    };
    let found =
        std::fs::metadata(&file).map_err(|why| refused(format!("cannot be read: {why}")))?;
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return Err(refused(format!("is not a file of at most {FILE_BYTES_MAX} octets")));
    }
    let text =
        std::fs::read_to_string(&file).map_err(|why| refused(format!("cannot be read: {why}")))?;
    let settings = read(&shown, &text, environment)?;
    Ok(Loaded { settings, file: Some(file) })
}

fn find(named: Option<&Path>, environment: &[(String, String)]) -> Option<PathBuf> {
    let variable = environment.iter().find(|(name, _)| name == "POSTROAD_CONFIG");
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    if let Some((_, value)) = variable.filter(|(_, value)| !value.is_empty()) {
        return Some(value.into());
    }
    let usual = ["postroad.toml", "/etc/postroad/postroad.toml"];
    usual.iter().map(PathBuf::from).find(|path| path.exists())
}
