//! How a setting is declared, and what follows from its declaration.
//!
//! A block of `settings!` is a table of the file; each line in it declares one setting:
//!
//! ```text
//! /// One sentence: it stands above the setting in `config sample`.
//! name: Type = default, Unit, Live or Restart, lowest..=highest;
//! ```
//!
//! From it come the struct, its `Default`, its `Debug` without secrets, the reading of file and
//! environment, the sample, and what a reload may take.

use super::read::{Reader, TomlNode};

/// What a value means and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Text,
    /// A host or domain name.
    Name,
    /// One of a few words.
    Word,
    Path,
    Count,
    /// Octets.
    Bytes,
    Time,
    Port,
    /// An IP address, with a port where something listens.
    Address,
    Network,
    /// Never shown; may be given as `name_file`.
    Secret,
    /// A table of settings.
    Table,
    /// A table that may be repeated.
    Items,
}

impl Unit {
    /// How a value is written, to stand after a setting's sentence; empty where it is plain.
    pub const fn hint(self) -> &'static str {
        match self {
            Unit::Bytes => "A size, such as \"64 MiB\".",
            Unit::Time => "A time, such as \"30s\", \"5m\" or \"4d\".",
            Unit::Network => "A network, such as \"192.0.2.0/24\".",
            Unit::Secret => "A secret: better given by a file of mode 0600.",
            _ => "",
        }
    }
}

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// On reload.
    Live,
    /// When the daemon starts again.
    Restart,
}

#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    pub name: &'static str,
    pub sentence: &'static str,
    pub unit: Unit,
    pub change: Change,
}

/// One setting that differs between two readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub setting: String,
    pub change: Change,
}

/// A table of settings.
pub trait Section {
    fn about(&self) -> &'static str;
    fn declared(&self) -> &'static [Declaration];
    /// Takes the value of a declared setting, or tells the reader what is wrong with it.
    fn read_field(&mut self, name: &str, value: &TomlNode<'_>, reader: &mut Reader<'_>);
    /// The setting's value as TOML; a secret shows as `"…"`.
    fn show_field(&self, name: &str) -> String;
    /// The setting's own table, where it is one.
    fn child(&self, name: &str) -> Option<&dyn Section>;
    fn child_mut(&mut self, name: &str) -> Option<&mut dyn Section>;
    /// An example of the setting's items, where it is a table that may be repeated.
    fn item(&self, name: &str) -> Option<Box<dyn Section>>;
    /// Names every setting whose value in `other` is another; `at` leads to this table.
    fn differences(&self, other: &Self, at: &str, found: &mut Vec<Difference>)
    where
        Self: Sized;
}

/// A type that a setting can have.
pub trait Setting: Sized + PartialEq {
    fn read(value: &TomlNode<'_>, unit: Unit, reader: &mut Reader<'_>) -> Option<Self>;
    /// As TOML.
    fn show(&self, unit: Unit) -> String;
    fn section(&self) -> Option<&dyn Section> {
        None
    }
    fn section_mut(&mut self) -> Option<&mut dyn Section> {
        None
    }
    fn item() -> Option<Box<dyn Section>> {
        None
    }
    fn compare(&self, other: &Self, at: &str, change: Change, found: &mut Vec<Difference>) {
        if self != other {
            found.push(Difference { setting: at.to_owned(), change });
        }
    }
}

pub(super) fn path(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// `{ name = value, … }`, which is also how a table shows in `Debug`.
pub(super) fn show_table(section: &dyn Section) -> String {
    let shown = |declared: &Declaration| {
        format!("{} = {}", declared.name, section.show_field(declared.name))
    };
    let fields: Vec<String> = section.declared().iter().map(shown).collect();
    format!("{{ {} }}", fields.join(", "))
}

macro_rules! settings {
    ($(
        $(#[doc = $about:literal])+
        $table:ident {$(
            $(#[doc = $sentence:literal])+
            $name:ident: $kind:ty = $default:expr, $unit:ident, $change:ident $(, $range:expr)?;
        )*}
    )*) => {$(
        $(#[doc = $about])+
        #[derive(Clone, PartialEq)]
        pub struct $table {$(
            $(#[doc = $sentence])+
            pub $name: $kind,
        )*}

        impl Default for $table {
            fn default() -> Self {
                $table { $($name: $default,)* }
            }
        }

        impl std::fmt::Debug for $table {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} {}", stringify!($table), crate::config::declare::show_table(self))
            }
        }

        impl Section for $table {
            fn about(&self) -> &'static str {
                concat!($($about),+)
            }
            fn declared(&self) -> &'static [Declaration] {
                &[$(Declaration {
                    name: stringify!($name),
                    sentence: concat!($($sentence),+),
                    unit: Unit::$unit,
                    change: Change::$change,
                },)*]
            }
            fn read_field(
                &mut self,
                name: &str,
                value: &crate::config::read::TomlNode<'_>,
                reader: &mut Reader<'_>,
            ) {
                match name {
                    $(stringify!($name) => {
                        let read = <$kind as Setting>::read(value, Unit::$unit, reader);
                        $(let read = reader.within(read, $range, Unit::$unit, value);)?
                        self.$name = read.unwrap_or_else(|| self.$name.clone());
                    })*
                    _ => {}
                }
            }
            fn show_field(&self, name: &str) -> String {
                match name {
                    $(stringify!($name) => self.$name.show(Unit::$unit),)*
                    _ => String::new(),
                }
            }
            fn child(&self, name: &str) -> Option<&dyn Section> {
                match name {
                    $(stringify!($name) => self.$name.section(),)*
                    _ => None,
                }
            }
            fn child_mut(&mut self, name: &str) -> Option<&mut dyn Section> {
                match name {
                    $(stringify!($name) => self.$name.section_mut(),)*
                    _ => None,
                }
            }
            fn item(&self, name: &str) -> Option<Box<dyn Section>> {
                match name {
                    $(stringify!($name) => <$kind as Setting>::item(),)*
                    _ => None,
                }
            }
            fn differences(&self, other: &Self, at: &str, found: &mut Vec<Difference>) {
                $(self.$name.compare(
                    &other.$name,
                    &crate::config::declare::path(at, stringify!($name)),
                    Change::$change,
                    found,
                );)*
            }
        }
    )*};
}
pub(super) use settings;
