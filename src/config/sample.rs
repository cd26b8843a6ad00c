//! The sample file: every setting with its sentence and its default, commented out.

use super::Settings;
use super::declare::{Change, Declaration, Section, Unit, path};

const WIDTH: usize = 96;

const HEAD: &str = "\
# Settings of Postroad. A line that starts with '#' and a space explains; one that starts with
# '#' alone shows a setting at its default: remove the '#' to change it. `postroad config check`
# names every mistake. Each setting of a [table] can also be given in the environment, as
# POSTROAD_TABLE_NAME=value; a secret `name` also as a file, `name_file = \"path\"`.
# (live) marks what SIGHUP takes up; all else needs a restart.
";

/// The text of `postroad config sample`.
pub fn sample() -> String {
    let settings = Settings::default();
    let mut text = HEAD.to_owned();
    for declared in settings.declared() {
        match (settings.child(declared.name), settings.item(declared.name)) {
            (Some(section), _) => table(&mut text, declared.name, section),
            (None, Some(item)) => items(&mut text, declared.name, item.as_ref(), declared),
            (None, None) => {}
        }
    }
    text
}

fn table(text: &mut String, name: &str, section: &dyn Section) {
    text.push('\n');
    comment(text, section.about());
    text.push_str(&format!("[{name}]\n"));
    for declared in section.declared() {
        if declared.unit != Unit::Items {
            setting(text, section, declared, mark(declared.change));
        }
    }
    for declared in section.declared().iter().filter(|declared| declared.unit == Unit::Items) {
        if let Some(item) = section.item(declared.name) {
            items(text, &path(name, declared.name), item.as_ref(), declared);
        }
    }
}

fn items(text: &mut String, name: &str, item: &dyn Section, declared: &Declaration) {
    text.push('\n');
    comment(text, &format!("{}{}", item.about(), mark(declared.change)));
    text.push_str(&format!("#[[{name}]]\n"));
    for declared in item.declared() {
        setting(text, item, declared, "");
    }
}

fn setting(text: &mut String, section: &dyn Section, declared: &Declaration, mark: &str) {
    let Declaration { name, sentence, unit, .. } = declared;
    let hint = match unit.hint() {
        "" => String::new(),
        hint => format!(" {hint}"),
    };
    comment(text, &format!("{sentence}{hint}{mark}"));
    match section.item(name) {
        Some(inner) => {
            text.push_str(&format!("#{name} = {}\n", super::declare::show_table(&*inner)))
        }
        None if *unit == Unit::Secret => text.push_str(&format!("#{name}_file = \"\"\n")),
        None => text.push_str(&format!("#{name} = {}\n", section.show_field(name))),
    }
}

const fn mark(change: Change) -> &'static str {
    match change {
        Change::Live => " (live)",
        Change::Restart => "",
    }
}

/// Wrapped into lines that start with `# `.
fn comment(text: &mut String, sentence: &str) {
    let mut line = String::from("#");
    for word in sentence.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
