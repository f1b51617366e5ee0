//! loopgate-journal(7).

use std::collections::BTreeSet;

use loopgate::journal::{ENTRIES, FIELDS, Level};
use loopgate::limits;
use loopgate::policy::rules::ADMISSION;

use crate::page::Page;
use crate::source::{code, first_arguments, literals};

fn page() -> Page {
    Page::read("loopgate-journal.7")
}

#[test]
fn every_entry_with_its_id_and_level() {
    let items = page().items("ENTRIES");
    assert_eq!(items.len(), ENTRIES.len());
    for (item, row) in items.iter().zip(ENTRIES) {
        let level = match row.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
            Level::Info => "info",
        };
        let first = format!("MESSAGE_ID={}, level {level}.", row.id);
        assert_eq!(item.head, row.message);
        let meaning = item.body.strip_prefix(&first).unwrap_or_else(|| panic!("{item:?} lacks {first}"));
        assert!(meaning.len() > 20, "{} is not explained", row.message);
    }
}

#[test]
fn every_field() {
    let items = page().items("JOURNAL FIELDS");
    assert_eq!(items.len(), FIELDS.len());
    for (item, row) in items.iter().zip(FIELDS) {
        assert_eq!((item.head.as_str(), item.body.as_str()), (row.name, row.help));
    }
}

/// The rules that end a connection and are no rules of admission: the names that refusals are made with.
#[test]
fn every_other_rule() {
    let source = ["src/session", "src/gateway"].map(code).concat();
    let mut made = first_arguments(&source, "Refusal::new");
    made.extend(first_arguments(&source, "Refusal::answer"));
    made.extend(first_arguments(&source, " answer"));
    made.extend(first_arguments(&source, "(answer"));
    made.extend(literals(&source, |text| text.starts_with("deadline-")));
    let told: BTreeSet<String> = page().heads("RULES").into_iter().collect();
    assert_eq!(told, made);
    for rule in ADMISSION {
        assert!(!told.contains(rule.name), "{} is a rule of admission", rule.name);
    }
}

#[test]
fn recipes_name_what_there_is() {
    let recipes = page().displays().join("\n");
    let words: Vec<&str> = recipes.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let field = |word: &str| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    for word in words.iter().filter(|word| field(word)) {
        let known = *word == "MESSAGE_ID" || FIELDS.iter().any(|row| row.name == *word);
        assert!(known, "{word} is no field");
    }
    let ids: Vec<&&str> = words.iter().filter(|word| word.len() == 32).collect();
    assert!(ids.len() >= 4, "{ids:?}");
    for id in ids {
        assert!(ENTRIES.iter().any(|row| row.id == *id), "{id} is no entry");
    }
    for rule in recipes.split("RULE=").skip(1) {
        let rule = rule.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap();
        let known = rule.is_empty() || ADMISSION.iter().any(|row| row.name == rule);
        assert!(known, "{rule} is no rule");
    }
}

#[test]
fn numbers() {
    let prose = page().whole();
    for text in [
        format!("cut at {} bytes", limits::FIELD_BYTES_MAX),
        format!("{} entries are written one by one", limits::ENTRIES_BURST_MAX),
        format!("at most {} entries wait", limits::ENTRIES_QUEUED_MAX),
    ] {
        assert!(prose.contains(&text), "the manual lacks {text:?}");
    }
    assert_eq!(limits::DECISIONS_FLUSH.as_secs(), 10);
    assert!(prose.contains("at least every ten seconds"));
}
