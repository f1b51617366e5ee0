//! loopgated's command line. Rule: it only says what to do; every setting lives in `loopgate.conf`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};

/// What loopgated is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Serve the listeners that were handed over.
    Serve {
        /// The settings file, if one is named.
        config: Option<PathBuf>,
    },
    /// Read both configuration files, say what is wrong with them, and end.
    Check {
        /// The settings file, if one is named.
        config: Option<PathBuf>,
    },
    /// Print one of the tables.
    Dump(Table),
    /// Print the version.
    Version,
    /// Print [`HELP`].
    Help,
}

/// The tables that `--dump=NAME` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The phases of a connection.
    Phases,
    /// The transitions between them.
    Transitions,
    /// The methods.
    Methods,
    /// The events.
    Events,
    /// The rules of admission.
    Admission,
    /// The HTTP requests that pass to the runtime.
    Passages,
    /// The fields of a journal entry.
    Fields,
    /// The journal entries.
    Entries,
    /// The keys of `loopgate.conf`.
    Settings,
    /// The bounds.
    Limits,
    /// The exit statuses.
    ExitCodes,
}

/// An option, for hints and for completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Its name behind two dashes.
    pub long: &'static str,
    /// Its letter behind one dash.
    pub short: Option<char>,
    /// What stands behind it.
    pub takes: Takes,
    /// What [`HELP`] says of it.
    pub about: &'static str,
}

/// The value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// The path of a file.
    File,
    /// The name of a table, one of [`Table::names`].
    Table,
}

/// A command line that cannot be followed; [`Exit::Usage`](crate::config::Exit::Usage).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(String);

impl Table {
    /// The name after `--dump=`.
    pub fn name(self) -> &'static str {
        TABLES.iter().find(|(_, table)| *table == self).map_or("", |(name, _)| name)
    }

    /// The names of all tables.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLES.iter().map(|(name, _)| *name)
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Reads a command line without its first word. `--help` and `--version` win over everything before a mistake.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Action, UsageError> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut config = None;
    let mut check = false;
    let mut dump = None;
    while let Some(arg) = parser.next().map_err(|error| usage(&error.to_string()))? {
        match arg {
            Short('h') | Long("help") => return Ok(Action::Help),
            Long("version") => return Ok(Action::Version),
            Long("check") => check = true,
            Long("config") => {
                let path = parser.value().map_err(|_| usage("--config needs a file: --config=FILE"))?;
                if path.is_empty() {
                    return Err(usage("--config needs a file: --config=FILE"));
                }
                config = Some(PathBuf::from(path));
            }
            Long("dump") => dump = Some(table(&mut parser)?),
            other => return Err(unexpected(&other)),
        }
    }
    match (dump, check, config) {
        (Some(_), true, _) => Err(usage("--dump and --check do not go together")),
        (Some(_), _, Some(_)) => Err(usage("--dump and --config do not go together")),
        (Some(table), false, None) => Ok(Action::Dump(table)),
        (None, true, config) => Ok(Action::Check { config }),
        (None, false, config) => Ok(Action::Serve { config }),
    }
}

fn table(parser: &mut lexopt::Parser) -> Result<Table, UsageError> {
    let known = || Table::names().collect::<Vec<_>>().join(", ");
    let name = parser.value().map_err(|_| usage(&format!("--dump needs a table: {}", known())))?;
    let name = name.to_string_lossy();
    let found = TABLES.iter().find(|(table, _)| *table == name);
    found.map(|(_, table)| *table).ok_or_else(|| usage(&format!("no table {name:?}, there are {}", known())))
}

/// An argument that is not known, with the known one that begins alike.
fn unexpected(arg: &lexopt::Arg<'_>) -> UsageError {
    match arg {
        Short(c) => usage(&format!("unknown option -{c}")),
        Value(value) => usage(&format!("unexpected argument {:?}", value.to_string_lossy())),
        Long(name) => {
            let shared =
                |flag: &&Flag| flag.long.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
            match FLAGS.iter().max_by_key(shared).filter(|flag| shared(flag) >= 2) {
                Some(flag) => usage(&format!("unknown option --{name}, did you mean --{}", flag.long)),
                None => usage(&format!("unknown option --{name}")),
            }
        }
    }
}

fn usage(message: &str) -> UsageError {
    UsageError(format!("{message}; see loopgated --help"))
}

/// What `--help` prints.
pub const HELP: &str = "\
usage: loopgated [--config=FILE]
       loopgated --check [--config=FILE]
       loopgated --dump=TABLE

Owns the OpenClaw gateway port. It does not open the port itself: systemd does, and hands it over. To start it by
hand, use systemd-socket-activate(1).

  --config=FILE  read the settings from FILE instead of loopgate.conf in its usual places
  --check        read openclaw.json and the settings, say what is wrong with them, and exit with 0 or 78
  --dump=TABLE   print a table and exit: phases, transitions, methods, events, admission, passages, fields, entries,
                 settings, limits, exit-codes
  --version      print the version and exit
  -h, --help     print this and exit

See loopgated(8) and loopgate.conf(5).
";

/// The options, in the order of [`HELP`].
pub const FLAGS: &[Flag] = &[
    Flag {
        long: "config",
        short: None,
        takes: Takes::File,
        about: "read the settings from FILE instead of loopgate.conf in its usual places",
    },
    Flag {
        long: "check",
        short: None,
        takes: Takes::Nothing,
        about: "read openclaw.json and the settings, say what is wrong with them, and exit with 0 or 78",
    },
    Flag { long: "dump", short: None, takes: Takes::Table, about: "print a table and exit" },
    Flag { long: "version", short: None, takes: Takes::Nothing, about: "print the version and exit" },
    Flag { long: "help", short: Some('h'), takes: Takes::Nothing, about: "print this and exit" },
];
const TABLES: &[(&str, Table)] = &[
    ("phases", Table::Phases),
    ("transitions", Table::Transitions),
    ("methods", Table::Methods),
    ("events", Table::Events),
    ("admission", Table::Admission),
    ("passages", Table::Passages),
    ("fields", Table::Fields),
    ("entries", Table::Entries),
    ("settings", Table::Settings),
    ("limits", Table::Limits),
    ("exit-codes", Table::ExitCodes),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Action, String> {
        let words = line.split(' ').filter(|word| !word.is_empty()).map(OsString::from);
        parse(words).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_every_form() {
        let config = Some(PathBuf::from("/x"));
        for (line, want) in [
            ("", Action::Serve { config: None }),
            ("--config=/x", Action::Serve { config: config.clone() }),
            ("--config /x", Action::Serve { config: config.clone() }),
            ("--check", Action::Check { config: None }),
            ("--check --config=/x", Action::Check { config: config.clone() }),
            ("--dump=exit-codes", Action::Dump(Table::ExitCodes)),
            ("--dump phases", Action::Dump(Table::Phases)),
            ("--version", Action::Version),
            ("-h", Action::Help),
            ("--check --help", Action::Help),
        ] {
            assert_eq!(parsed(line), Ok(want), "{line}");
        }
    }

    #[test]
    fn mistakes_come_with_a_hint() {
        for (line, want) in [
            ("--conf=/x", "unknown option --conf, did you mean --config"),
            ("--checks", "unknown option --checks, did you mean --check"),
            ("--xyz", "unknown option --xyz; see loopgated --help"),
            ("-x", "unknown option -x"),
            ("serve", "unexpected argument \"serve\""),
            ("--config", "--config needs a file"),
            ("--config=", "--config needs a file"),
            ("--dump", "--dump needs a table: phases, transitions"),
            ("--dump=phase", "no table \"phase\", there are phases, "),
            ("--dump=phases --check", "do not go together"),
            ("--dump=phases --config=/x", "do not go together"),
            ("--check=1", "see loopgated --help"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.starts_with(want) || error.contains(want), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_option_and_table() {
        let help = HELP.split_whitespace().collect::<Vec<_>>().join(" ");
        for flag in FLAGS {
            let (value, more) = match flag.takes {
                Takes::Nothing => ("", String::new()),
                Takes::File => ("=FILE", String::new()),
                Takes::Table => ("=TABLE", format!(": {}", Table::names().collect::<Vec<_>>().join(", "))),
            };
            let line = format!("--{}{value} {}{more}", flag.long, flag.about);
            assert!(help.contains(&line), "--help lacks {line}");
            assert!(flag.short.is_none_or(|short| help.contains(&format!("-{short}, --{}", flag.long))));
        }
        let words: Vec<&str> = HELP.split(|c: char| c.is_whitespace() || c == ',').collect();
        for (name, table) in TABLES {
            assert!(words.contains(name), "{name}");
            assert_eq!(table.name(), *name);
        }
    }
}
