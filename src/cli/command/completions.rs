//! `loopgate completions`. Rule: the scripts are made from the descriptions that the programs themselves read.

use clap_complete::{Shell, generate};

use super::Shown;
use crate::cli::args::Program;

/// What `shell` needs to complete the command lines of `program`.
pub(crate) fn run(shell: Shell, program: Program) -> Shown {
    let mut description = match program {
        Program::Loopgate => crate::cli::description(),
        #[cfg(feature = "daemon")]
        Program::Loopgated => daemon(),
    };
    let name = description.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut description, name, &mut script);
    String::from_utf8_lossy(&script).into_owned().into()
}

/// The daemon's own table of options, in the words of the generator. The daemon itself does without clap.
#[cfg(feature = "daemon")]
fn daemon() -> clap::Command {
    use crate::args::{FLAGS, Table, Takes};
    use clap::builder::PossibleValuesParser;
    use clap::{Arg, ArgAction, ValueHint};

    let options = FLAGS.iter().map(|flag| {
        let option = Arg::new(flag.long).long(flag.long).short(flag.short).help(flag.about);
        match flag.takes {
            Takes::Nothing => option.action(ArgAction::SetTrue),
            Takes::File => option.value_name("FILE").value_hint(ValueHint::FilePath),
            Takes::Table => {
                option.value_name("TABLE").value_parser(PossibleValuesParser::new(Table::names()))
            }
        }
    });
    clap::Command::new("loopgated").disable_help_flag(true).args(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_has_a_script_of_each_program() {
        for shell in Shell::value_variants() {
            for program in Program::value_variants() {
                let script = run(*shell, *program).text;
                let word = if *program == Program::Loopgate { "devices" } else { "dump" };
                assert!(script.contains(word), "{shell} {program:?}");
            }
        }
    }

    #[cfg(feature = "daemon")]
    #[test]
    fn the_daemon_is_described_soundly() {
        daemon().debug_assert();
    }
}
