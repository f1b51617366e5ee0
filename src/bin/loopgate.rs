//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    loopgate::cli::run(std::env::args_os()).into()
}
