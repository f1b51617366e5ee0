//! The command line: a small blocking client of the gateway protocol.
//!
//! Rule: a command is a function from answers to text; [`run`] alone writes, and what it writes is the answer on
//! standard output or one failure on standard error.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `args` | the flags and commands |
//! | `target`, `secrets`, `way` | where the gateway is and what opens it |
//! | `socket`, `client` | one connection: deadlines, upgrade, handshake, calls |
//! | `refusal`, `retry`, `link` | what a failure means, and when to try again |
//! | `need` | the least scopes for a method |
//! | `screen`, `json` | text for people, text for machines |
//! | `command` | one file a command family |
//! | `moving` | an OpenClaw gateway behind loopgate, and back |
//! | `doctor` | what is wrong with this machine, and how to mend it |

mod args;
mod client;
mod command;
pub mod doctor;
pub mod exit;
mod failure;
mod json;
mod link;
mod moving;
mod need;
mod refusal;
mod retry;
mod screen;
mod secrets;
mod socket;
mod sources;
mod target;
mod way;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use command::Form;
use exit::Exit;
use failure::Failure;
use link::Link;
use sources::Process;
use way::Plan;

/// Does what the arguments (the program's name first) say. The status to end with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let global = &cli.global;
    let plan = Plan { choice: global.choice(), given: global.given(), sources: &Process };
    let form = if global.json { Form::Json } else { Form::Text { colour: colour() } };
    // It asks the machine, and the gateway only beside that.
    if let Command::Doctor { checks } = &cli.command {
        return match doctor::run(checks, global, form) {
            Ok((text, exit)) => {
                finish(&text, None, global.json);
                exit
            }
            Err(failure) => finish("", Some(&failure), global.json),
        };
    }
    if let Some(order) = cli.command.order() {
        let mut say = |text: &str| {
            finish(text, None, false);
        };
        return match moving::run(&order, global, form, &mut say) {
            Ok(shown) => finish(&shown.text, shown.failure.as_ref(), global.json),
            Err(failure) => finish("", Some(&failure), global.json),
        };
    }
    let mut link = Link::new(&plan, Duration::from_millis(global.timeout), global.wait, global.json);
    let result = command::run(&cli.command, &mut link, form);
    link.close();
    match result {
        Ok(shown) => finish(&shown.text, shown.failure.as_ref(), global.json),
        Err(failure) => finish("", Some(&failure), global.json),
    }
}

/// The description of the command line, for the man page and for completions.
pub fn description() -> clap::Command {
    Cli::command()
}

fn finish(text: &str, failure: Option<&Failure>, json: bool) -> Exit {
    // A reader that went away (`| head`) has what it wanted.
    io::stdout().lock().write_all(text.as_bytes()).ok();
    let Some(failure) = failure else {
        return Exit::Ok;
    };
    let told = if json { json::pretty(&failure.to_json().to_string()) + "\n" } else { failure.to_text() };
    io::stderr().lock().write_all(told.as_bytes()).ok();
    failure.exit
}

/// `--help` and `--version`, and what clap did not understand.
fn usage(error: &clap::Error, json: bool) -> Exit {
    if !error.use_stderr() {
        error.print().ok();
        return Exit::Ok;
    }
    if json {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return finish("", Some(&Failure::usage(message).next("loopgate --help")), true);
    }
    error.print().ok();
    Exit::Usage
}

/// Whether standard output wants colour: a terminal that can, and nobody who said no (<https://no-color.org>).
fn colour() -> bool {
    let said_no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !said_no && !dumb
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, crate::clock::millis)
}
