//! How loopgated ends. Rule: one table; the man page and `--dump=exit-codes` are made from it.

/// The exit statuses of loopgated, by the names of `sysexits.h` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Asked to stop, or done.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// No listener was handed over, or one that cannot be used.
    NoListener = 66,
    /// A fault of loopgate itself.
    Internal = 70,
    /// A file or a socket failed.
    Io = 74,
    /// The configuration cannot be used.
    Config = 78,
}

/// One row of [`EXITS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRow {
    /// The status.
    pub exit: Exit,
    /// Its name.
    pub name: &'static str,
    /// What it means and what to do.
    pub meaning: &'static str,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Every exit status there is.
pub const EXITS: &[ExitRow] = &[
    ExitRow { exit: Exit::Ok, name: "OK", meaning: "stopped as asked, or the check found nothing wrong" },
    ExitRow {
        exit: Exit::Usage,
        name: "USAGE",
        meaning: "the command line is wrong; a restart does not help, correct ExecStart=",
    },
    ExitRow {
        exit: Exit::NoListener,
        name: "NOINPUT",
        meaning: "no listening socket was handed over, or one that is not allowed; start it by its socket unit",
    },
    ExitRow {
        exit: Exit::Internal,
        name: "SOFTWARE",
        meaning: "a fault of loopgated itself; please report it with its journal",
    },
    ExitRow {
        exit: Exit::Io,
        name: "IOERR",
        meaning: "a file or a socket failed, or stored state cannot be read; the journal names it",
    },
    ExitRow {
        exit: Exit::Config,
        name: "CONFIG",
        meaning: "openclaw.json or loopgate.conf cannot be used; a restart does not help, see loopgated --check",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_total_and_sorted() {
        let codes: Vec<u8> = EXITS.iter().map(|row| row.exit.code()).collect();
        assert_eq!(codes, [0, 64, 66, 70, 74, 78]);
        assert!(EXITS.iter().all(|row| !row.name.is_empty() && !row.meaning.is_empty()));
    }
}
