//! How `loopgate` ends. Rule: one table; `--help` and the man page are made from it.

use std::fmt::Write as _;
use std::process::ExitCode;

/// The exit statuses of the command line, by the names of `sysexits.h` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// The gateway was reached and said no for a reason that has no status of its own, `doctor` found a fault, or `adopt`
    /// put back what it had done.
    Answer = 1,
    /// The command line is wrong, or a choice has to be made.
    Usage = 64,
    /// No gateway was reached.
    Unreachable = 69,
    /// It may work later.
    Temporary = 75,
    /// The answer broke the protocol.
    Protocol = 76,
    /// The gateway refused who asked, or what for.
    Refused = 77,
    /// A local setting or file cannot be used.
    Config = 78,
}

/// One row of [`EXITS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRow {
    /// The status.
    pub exit: Exit,
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// The table as `--help` shows it.
pub fn help() -> String {
    let mut text = String::from("Exit status:\n");
    for row in EXITS {
        let number = row.exit.number();
        writeln!(text, "  {number:>2}  {:<13}{}", row.name, row.meaning).ok();
    }
    text
}

/// Every exit status there is, by number.
pub const EXITS: &[ExitRow] = &[
    ExitRow { exit: Exit::Ok, name: "OK", meaning: "done" },
    ExitRow {
        exit: Exit::Answer,
        name: "ANSWER",
        meaning: "an error answer, a fault found by doctor, or a move put back",
    },
    ExitRow { exit: Exit::Usage, name: "USAGE", meaning: "wrong command line, or a choice is needed" },
    ExitRow { exit: Exit::Unreachable, name: "UNAVAILABLE", meaning: "no gateway was reached" },
    ExitRow { exit: Exit::Temporary, name: "TEMPFAIL", meaning: "no answer for now, even after retries" },
    ExitRow { exit: Exit::Protocol, name: "PROTOCOL", meaning: "what answered broke the protocol" },
    ExitRow { exit: Exit::Refused, name: "NOPERM", meaning: "refused: secret, pairing, role or scope" },
    ExitRow { exit: Exit::Config, name: "CONFIG", meaning: "a local setting or file cannot be used" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_total_and_sorted() {
        let numbers: Vec<u8> = EXITS.iter().map(|row| row.exit.number()).collect();
        assert_eq!(numbers, [0, 1, 64, 69, 75, 76, 77, 78]);
        let help = help();
        assert!(EXITS.iter().all(|row| help.contains(row.meaning) && !row.name.is_empty()));
        assert!(help.lines().all(|line| line.len() <= 80));
    }
}
