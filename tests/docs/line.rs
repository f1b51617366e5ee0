//! loopgate(1).

use std::collections::BTreeSet;

use loopgate::cli;
use loopgate::cli::doctor::CHECKS;
use loopgate::cli::exit::EXITS;

use crate::page::{Item, Page, read};

/// A command that does something: its path and its own options.
struct Leaf {
    path: String,
    options: BTreeSet<String>,
    arguments: usize,
    about: String,
}

fn page() -> Page {
    Page::read("loopgate.1")
}

fn leaves(command: &clap::Command, path: &str) -> Vec<Leaf> {
    let path = |name: &str| format!("{path} {name}").trim().to_owned();
    let mut found = Vec::new();
    for sub in command.get_subcommands() {
        if sub.has_subcommands() {
            found.extend(leaves(sub, &path(sub.get_name())));
            continue;
        }
        let own = sub.get_arguments().filter(|argument| !argument.is_global_set());
        let own: Vec<_> =
            own.filter(|argument| !["help", "version"].contains(&argument.get_id().as_str())).collect();
        found.push(Leaf {
            path: path(sub.get_name()),
            options: own
                .iter()
                .filter_map(|argument| argument.get_long())
                .map(|long| format!("--{long}"))
                .collect(),
            arguments: own.iter().filter(|argument| argument.is_positional()).count(),
            about: sub.get_about().map(ToString::to_string).unwrap_or_default(),
        });
    }
    found
}

fn options(text: &str) -> BTreeSet<String> {
    text.split_whitespace()
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_matches(',').to_owned())
        .collect()
}

#[test]
fn commands_with_their_arguments() {
    let leaves = leaves(&cli::description(), "");
    let items = page().items("COMMANDS");
    assert_eq!(items.len(), leaves.len());
    for (item, leaf) in items.iter().zip(&leaves) {
        let rest = item
            .head
            .strip_prefix(&leaf.path)
            .unwrap_or_else(|| panic!("{} is not {}", item.head, leaf.path));
        assert_eq!(options(rest), leaf.options, "{}", leaf.path);
        let named: BTreeSet<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        // Behind its name an option that takes a value has that value.
        assert!(named.len() >= leaf.arguments, "{}: {named:?}", leaf.path);
        item.says(&leaf.about);
    }
}

#[test]
fn options_of_every_command() {
    let description = cli::description();
    let globals: Vec<_> = description.get_arguments().filter(|argument| argument.is_global_set()).collect();
    let items = page().items("OPTIONS");
    let told: BTreeSet<String> = items.iter().flat_map(|item| options(&item.head)).collect();
    let mut known: BTreeSet<String> =
        globals.iter().filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect();
    known.extend(["--help", "--version"].map(str::to_owned));
    assert_eq!(told, known);
    for argument in globals {
        let long = format!("--{}", argument.get_long().unwrap());
        let item: &Item = items.iter().find(|item| options(&item.head).contains(&long)).unwrap();
        assert_eq!(item.head.contains(' '), argument.get_action().takes_values(), "{long}");
        for default in argument.get_default_values().iter().filter(|_| argument.get_action().takes_values()) {
            item.says(&format!("{} by default", default.to_string_lossy()));
        }
    }
}

#[test]
fn checks_of_doctor_in_their_order() {
    let items = page().items("DOCTOR");
    let heads: Vec<&str> = items.iter().map(|item| item.head.as_str()).collect();
    let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(heads, names);
    for (item, check) in items.iter().zip(CHECKS) {
        assert_eq!(item.body, check.sentence);
    }
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{name} is typed often");
    }
}

#[test]
fn exit_statuses() {
    let items = page().items("EXIT STATUS");
    assert_eq!(items.len(), EXITS.len());
    for (item, row) in items.iter().zip(EXITS) {
        assert_eq!(item.head, format!("{} ({})", row.exit.number(), row.name));
        item.says(row.meaning);
    }
}

#[test]
fn examples_and_variables_are_those_of_help() {
    let help = cli::description().render_long_help().to_string();
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    let shown = page().displays().concat();
    for example in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(shown.contains(example), "the manual lacks {example}");
    }
    let prose = page().prose("ENVIRONMENT");
    for name in help.split('$').skip(1) {
        let name = name.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).next().unwrap();
        assert!(prose.contains(name), "the manual lacks {name}");
    }
}

/// The owner's socket is where the units make it, where the command line looks for it, and where the manual says.
#[test]
fn sockets_are_where_the_units_make_them() {
    let help = cli::description().render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (unit, folder) in [
        ("units/loopgate.socket", "/run"),
        ("units/loopgate@.socket", "/run"),
        ("units/user/loopgate.socket", "$XDG_RUNTIME_DIR"),
    ] {
        let unit = read(unit);
        let path = unit.lines().find_map(|line| line.strip_prefix("ListenStream=%t/")).unwrap();
        let path = format!("{folder}/{}", path.replace("%i", "$LOGNAME"));
        assert!(help.contains(&format!("{path},")), "loopgate --help lacks {path}");
        assert!(page().whole().contains(&path), "loopgate.1 lacks {path}");
        let path = path.replace("$LOGNAME", "NAME");
        assert!(Page::read("loopgated.8").prose("FILES").contains(&path), "loopgated.8 lacks {path}");
    }
}
