//! The tables of the house as text: what the manual pages are checked against, and what `--dump=NAME` prints.
//!
//! Rule: nothing is said here that does not stand in a table; columns are padded to one width, the last one is free.

use std::fmt::Write;

use crate::args::Table;
use crate::config::exit::EXITS;
use crate::config::settings;
use crate::gateway::event::EVENTS;
use crate::gateway::method::{Demand, METHODS};
use crate::journal::{ENTRIES, FIELDS};
use crate::policy::passage::PASSAGES;
use crate::policy::rules::ADMISSION;
use crate::session::{Deadline, PHASES, TRANSITIONS};

use super::sink::level_name;

/// A table as text, one row a line, after a line of headings.
pub(super) fn table(table: Table) -> String {
    match table {
        Table::Phases => phases(),
        Table::Transitions => transitions(),
        Table::Methods => methods(),
        Table::Events => columns(
            ["event", "needs", "from"],
            EVENTS.iter().map(|row| [row.name.into(), row.need.name().into(), row.source.name().into()]),
        ),
        Table::Admission => columns(
            ["rule", "asked at", "when", "remedy"],
            ADMISSION.iter().map(|row| [row.name, row.stage.name(), row.when, row.remedy].map(Into::into)),
        ),
        Table::Passages => passages(),
        Table::Fields => {
            columns(["field", "holds"], FIELDS.iter().map(|row| [row.name.into(), row.help.into()]))
        }
        Table::Entries => columns(
            ["message id", "level", "message"],
            ENTRIES.iter().map(|row| [row.id.into(), level_name(row.level).into(), row.message.into()]),
        ),
        Table::Settings => {
            let rows = settings::SETTINGS.iter();
            columns(
                ["setting", "default", "may be", "help"],
                rows.map(|row| {
                    [row.key.into(), row.kind.default_text(), row.kind.describe(), row.help.into()]
                }),
            )
        }
        Table::Limits => limits(),
        Table::ExitCodes => columns(
            ["status", "name", "meaning"],
            EXITS.iter().map(|row| [row.exit.code().to_string(), row.name.into(), row.meaning.into()]),
        ),
    }
}

/// Where a connection can be, and for how long.
fn phases() -> String {
    let deadline = |deadline| match deadline {
        Deadline::None => "none",
        Deadline::Head => "head",
        Deadline::Handshake => "handshake",
        Deadline::Closing => "closing",
        Deadline::Relay => "relay",
    };
    columns(
        ["phase", "deadline", "bytes", "at the deadline", "what it is"],
        PHASES.iter().map(|row| {
            let bytes = row.bytes_max.to_string();
            [row.name.into(), deadline(row.deadline).into(), bytes, row.on_deadline.into(), row.doc.into()]
        }),
    )
}

/// Every step between phases; what is not here is a protocol error.
fn transitions() -> String {
    columns(
        ["from", "event", "to"],
        TRANSITIONS.iter().map(|(from, on, to)| [from.name().into(), format!("{on:?}"), to.name().into()]),
    )
}

/// What can be called.
fn methods() -> String {
    columns(
        ["method", "needs", "answered by", "advertised", "why"],
        METHODS.iter().map(|row| {
            let need = match row.demand {
                Demand::Always(need) => need.name(),
                Demand::Params(_) => "(by its params)",
            };
            let advertised = if row.is_advertised() { "yes" } else { "no" };
            [row.name, need, row.route.name(), advertised, row.why].map(Into::into)
        }),
    )
}

/// What passes to the runtime, for whom.
fn passages() -> String {
    columns(
        ["class", "for", "methods", "sockets", "paths", "what it is"],
        PASSAGES.iter().map(|row| {
            let methods = if row.reads_only { "GET HEAD" } else { "all" };
            let sockets = if row.upgrades { "yes" } else { "no" };
            let paths = row.paths.join(" ");
            [row.name.into(), row.access.name().into(), methods.into(), sockets.into(), paths, row.doc.into()]
        }),
    )
}

/// The bounds with the value and the reason that stand beside them in the source, which is the table.
fn limits() -> String {
    columns(["limit", "value", "reason"], bounds(LIMITS).into_iter())
}

/// Every `pub const` of a source text: name, value as written, the doc comment above it.
fn bounds(source: &str) -> Vec<[String; 3]> {
    let mut found = Vec::new();
    let (mut reason, mut open) = (String::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            join(&mut reason, text.trim());
            // A comment goes on in the next line, and belongs to the constant below it.
            continue;
        }
        // A definition may take several lines; it is whole at its semicolon.
        let mut definition: String = open.take().unwrap_or_default();
        if definition.is_empty() && !line.starts_with("pub const ") {
            reason.clear();
            continue;
        }
        join(&mut definition, line.strip_prefix("pub const ").unwrap_or(line));
        match definition.strip_suffix(';').and_then(|whole| whole.split_once(" = ")) {
            Some((name, value)) => {
                let name = name.split(':').next().unwrap_or(name);
                found.push([name.to_owned(), value.to_owned(), std::mem::take(&mut reason)]);
            }
            None => open = Some(definition),
        }
    }
    found
}

/// Appends with one space between.
fn join(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// Rows under their headings; every column but the last is as wide as its widest cell.
fn columns<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            write!(line, "{cell:width$}  ").unwrap_or_default();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The table of the bounds is their source text: no second list can fall behind it.
const LIMITS: &str = include_str!("../limits.rs");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_rows() {
        for (name, rows) in [
            (Table::Phases, PHASES.len()),
            (Table::Transitions, TRANSITIONS.len()),
            (Table::Methods, METHODS.len()),
            (Table::Events, EVENTS.len()),
            (Table::Admission, ADMISSION.len()),
            (Table::Passages, PASSAGES.len()),
            (Table::Fields, FIELDS.len()),
            (Table::Entries, ENTRIES.len()),
            (Table::Settings, settings::SETTINGS.len()),
            (Table::ExitCodes, EXITS.len()),
        ] {
            let text = table(name);
            assert_eq!(text.lines().count(), rows + 1, "{}", name.name());
            assert!(text.lines().all(|line| !line.ends_with(' ')));
        }
    }

    #[test]
    fn every_bound_has_its_value_and_reason() {
        let rows = bounds(LIMITS);
        assert_eq!(rows.len(), LIMITS.lines().filter(|line| line.starts_with("pub const ")).count());
        for [name, value, reason] in rows {
            assert!(!value.is_empty() && !reason.is_empty(), "{name}");
            assert!(!name.contains(char::is_lowercase), "{name}");
        }
    }

    #[test]
    fn definitions_over_several_lines_are_one_row() {
        let source = "/// Why,\n/// and why.\npub const A: usize =\n    count(1,\n 2);\nconst B: u8 = 1;\n";
        assert_eq!(bounds(source), [["A", "count(1, 2)", "Why, and why."].map(String::from)]);
    }
}
