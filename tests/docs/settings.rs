//! loopgate.conf(5) and the example in packaging.

use std::path::{Path, PathBuf};

use loopgate::config::settings::SETTINGS;
use loopgate::config::{OpenClaw, Settings, Sources};

use crate::page::{Page, read};

fn page() -> Page {
    Page::read("loopgate.conf.5")
}

#[test]
fn every_key_with_default_bounds_and_help() {
    let items = page().items("Keys");
    assert_eq!(items.len(), SETTINGS.len());
    for (item, row) in items.iter().zip(SETTINGS) {
        assert_eq!(item.head, row.key);
        item.says(row.help);
        item.says(&format!("{}.", row.kind.describe()));
        item.says(&match row.kind.default_text() {
            none if none.is_empty() => "no default.".to_owned(),
            default => format!("default: {default}."),
        });
    }
}

#[test]
fn the_example_can_be_used_and_names_every_key() {
    let path = Path::new("/etc/loopgate/loopgate.conf");
    let text = read("packaging/loopgate.conf");
    assert_eq!(
        Settings::parse(path, text.clone()),
        Settings::parse(path, "{ owner: ['%loopgate'] }".to_owned()),
        "it changes nothing else"
    );

    let uncommented = uncomment(&text);
    Settings::parse(path, uncommented.clone()).unwrap_or_else(|error| panic!("{error}\n{uncommented}"));
    let value = OpenClaw::load(&Only(uncommented)).unwrap().parsed;
    for row in SETTINGS {
        let pointer = format!("/{}", row.key.replace('.', "/"));
        let found = value.pointer(&pointer).unwrap_or_else(|| panic!("the example lacks {}", row.key));
        let default = row.kind.default_text();
        if !default.is_empty() && !["owner", "origins"].contains(&row.key) {
            assert_eq!(found.to_string(), default, "{}", row.key);
        }
    }
}

/// One text, for whatever file is asked for: `openclaw.json` is read by the same parser and takes any key.
struct Only(String);

impl Sources for Only {
    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        Ok(path.ends_with("openclaw.json").then(|| self.0.clone()))
    }

    fn secret_file(&self, _path: &Path) -> Result<String, String> {
        Err("no such file".to_owned())
    }

    fn credential(&self, _name: &str) -> Option<Result<String, String>> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/u".into())
    }
}

/// The example with its commented keys in force.
fn uncomment(text: &str) -> String {
    let is_key = |line: &str| {
        let name = line.split_once(": ").map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(char::is_alphanumeric) && line.ends_with(',')
    };
    let line = |line: &str| match line.trim_start().strip_prefix("// ") {
        Some(key) if is_key(key) => key.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_settings_in_the_manual_can_be_used() {
    let path = Path::new("/etc/loopgate/loopgate.conf");
    let examples = page().displays();
    let (openclaw, settings): (Vec<_>, Vec<_>) =
        examples.into_iter().partition(|text| text.contains("gateway:"));
    assert!(!openclaw.is_empty() && settings.len() >= 3);
    for example in settings {
        Settings::parse(path, example.clone()).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}
