//! The house keeps its walls: a file imports only from rows below its own, and nothing but row 7 knows clocks, files,
//! sockets, threads or the environment. What is measured here is the tree in `src`, as text.
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

use std::fs;
use std::path::{Path, PathBuf};

/// One row of the house: a folder (or a file) of `src` and the rows that it may import.
struct Row {
    place: &'static str,
    may: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row { place: "bin", may: &["daemon", "cli"] },
    Row {
        place: "daemon",
        may: &["gateway", "session", "policy", "journal", "wire", "config", "args", "limits", "clock"],
    },
    Row {
        place: "cli",
        may: &["gateway", "session", "policy", "journal", "wire", "config", "args", "limits", "clock"],
    },
    Row { place: "gateway", may: &["session", "policy", "journal", "wire", "config", "limits", "clock"] },
    Row { place: "session", may: &["journal", "wire", "limits", "clock"] },
    Row { place: "policy", may: &["journal", "wire", "limits", "clock"] },
    Row { place: "journal", may: &["limits"] },
    Row { place: "wire", may: &["limits", "clock"] },
    Row { place: "args", may: &["config", "limits"] },
    Row { place: "config", may: &["limits", "clock"] },
    Row { place: "limits", may: &[] },
    Row { place: "clock", may: &[] },
    Row { place: "lib", may: &[] },
];

/// What belongs to row 7 alone. A core that knows one of these cannot be simulated.
const OUTSIDE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::process",
    "std::thread",
    "std::sync::mpsc",
    "Mutex",
    "Rc<RefCell",
    "async fn",
    "mio::",
    "nix::",
    "listenfd::",
    "libsystemd::",
];

/// Lines of a file of code; a table may be longer.
const FILE_LINES_MAX: usize = 450;
const TABLES: &[&str] =
    &["policy/rules.rs", "gateway/method.rs", "gateway/event.rs", "journal/entry.rs", "journal/field.rs"];

#[test]
fn a_file_imports_only_from_rows_below_its_own() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let place = place(&path);
        let row = ROWS.iter().find(|row| row.place == place).unwrap_or_else(|| panic!("no row for {path}"));
        for import in imports(&text) {
            if import != place && !row.may.contains(&import.as_str()) {
                faults.push(format!("{path} imports {import}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn only_the_shell_and_the_command_line_know_the_outside() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if matches!(place(&path).as_str(), "daemon" | "cli" | "bin") {
            continue;
        }
        for (number, line) in code_of(&text).lines().enumerate() {
            for word in OUTSIDE.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn files_fit_in_a_head() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let lines = code_of(&text).lines().count();
        if lines > FILE_LINES_MAX && !TABLES.contains(&path.as_str()) {
            faults.push(format!("{path}: {lines} lines"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_file_says_its_purpose_first() {
    let silent: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Every file below `src` with its path from there.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 30, "the walk finds the tree");
    found
}

/// The row that a file belongs to: its folder, or its own name at the top.
fn place(path: &str) -> String {
    path.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

/// The text without its unit tests, which may do as they like.
fn code_of(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap()
}

/// The rows that a file names: `crate::x` and, in the binaries, `loopgate::x`; grouped imports are opened.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code_of(text).lines().filter(|line| !line.trim_start().starts_with("//")) {
        for prefix in ["crate::", "loopgate::"] {
            for (at, _) in line.match_indices(prefix) {
                let rest = &line[at + prefix.len()..];
                match rest.strip_prefix('{') {
                    Some(group) => found.extend(group.split(['}', ',']).map(first_word)),
                    None => found.push(first_word(rest)),
                }
            }
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
