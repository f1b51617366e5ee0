//! The journal is explained: every entry has its text in the catalog, every field its line in the manual, and nothing
//! is explained that does not exist.
#![allow(
    clippy::duration_suboptimal_units,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::ok_expect,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a panic is how a test fails, and nobody calls a test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use loopgate::journal::{ENTRIES, FIELDS};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The catalog's texts by message id.
fn catalog() -> BTreeMap<String, String> {
    let text = read("packaging/catalog/loopgate.catalog");
    let mut found = BTreeMap::new();
    for part in text.split("\n-- ").skip(1) {
        let (id, body) = part.split_once('\n').unwrap();
        assert!(found.insert(id.to_owned(), body.to_owned()).is_none(), "{id} twice");
    }
    found
}

#[test]
fn every_entry_is_in_the_catalog_and_nothing_else() {
    let catalog = catalog();
    let ids: BTreeSet<&str> = ENTRIES.iter().map(|row| row.id).collect();
    let explained: BTreeSet<&str> = catalog.keys().map(String::as_str).collect();
    assert_eq!(ids, explained);
    for (id, body) in &catalog {
        for header in ["Subject: ", "Defined-By: loopgate", "Documentation: man:loopgate-journal(7)"] {
            assert!(body.contains(header), "{id} lacks {header}");
        }
        assert!(body.lines().all(|line| line.len() <= 130), "{id} has long lines");
    }
}

#[test]
fn the_catalog_names_only_fields_that_exist() {
    let names: BTreeSet<&str> = FIELDS.iter().map(|row| row.name).collect();
    for (id, body) in catalog() {
        // Every other piece between two @ is a field.
        for field in body.split('@').skip(1).step_by(2) {
            assert!(names.contains(field), "{id} speaks of {field:?}");
        }
    }
}
