//! What is said twice of the package: its version, and where it puts things.

use crate::page::read;

/// The first word behind `start` at the beginning of a line.
fn value<'a>(text: &'a str, start: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("no {start}"));
    line.split(|c: char| c.is_whitespace() || "\"()".contains(c)).find(|word| !word.is_empty()).unwrap()
}

#[test]
fn the_changelog_has_the_version_of_the_crate() {
    assert_eq!(value(&read("packaging/debian/changelog"), "loopgate ("), env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_package_wants_the_compiler_that_the_crate_promises() {
    let control = read("packaging/debian/control");
    let promised = value(&read("Cargo.toml"), "rust-version = ").to_owned();
    for tool in ["cargo", "rustc"] {
        assert!(control.contains(&format!(" {tool} (>= {promised}) <")), "{tool} {promised}");
    }
}

/// Who has no package makes the same user with the same file.
#[test]
fn the_user_is_the_one_that_the_service_runs_as() {
    let sysusers = read("packaging/sysusers/loopgate.conf");
    assert_eq!(value(&sysusers, "u "), value(&read("units/loopgate.service"), "User="));
}
