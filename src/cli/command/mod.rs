//! The commands. Each takes answers and makes text of them, for people or for machines.

mod call;
mod completions;
mod devices;
mod probe;
mod simple;
mod status;

use serde_json::{Value, json};

use super::args::{Browser, Command, Config, Nodes};
use super::client::Payload;
use super::failure::Failure;
use super::json::pretty;
use super::link::Link;
use super::screen::Screen;
use super::unix_ms;

/// How to answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// The payload as it came, indented.
    Json,
    /// For people.
    Text {
        /// Whether the terminal shows colour.
        colour: bool,
    },
}

/// What a command has to say. A failure beside the text means: shown, but not all is well.
#[derive(Debug)]
pub(crate) struct Shown {
    /// For standard output.
    pub text: String,
    /// For standard error, and the status.
    pub failure: Option<Failure>,
}

impl Form {
    /// `payload` in this form.
    pub(crate) fn show(
        self,
        payload: &Payload,
        render: impl FnOnce(&mut Screen, &Value),
    ) -> Result<Shown, Failure> {
        match self {
            Self::Json => Ok(pretty(payload.text()).into()),
            Self::Text { .. } => Ok(self.draw(&payload.value()?, render).into()),
        }
    }

    /// A report of our own in this form.
    pub(crate) fn report(self, report: &Value, render: impl FnOnce(&mut Screen, &Value)) -> Shown {
        match self {
            Self::Json => pretty(&report.to_string()).into(),
            Self::Text { .. } => self.draw(report, render).into(),
        }
    }

    fn draw(self, value: &Value, render: impl FnOnce(&mut Screen, &Value)) -> String {
        let colour = matches!(self, Self::Text { colour: true });
        // Read after the answer came, or it would come from the future.
        let mut screen = Screen::new(colour, unix_ms());
        render(&mut screen, value);
        screen.finish()
    }
}

impl Shown {
    /// The same, with something that is not well.
    #[must_use]
    pub(crate) fn but(mut self, failure: Option<Failure>) -> Self {
        self.failure = failure;
        self
    }
}

impl From<String> for Shown {
    fn from(mut text: String) -> Self {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self { text, failure: None }
    }
}

/// Does one command over `link`.
pub(crate) fn run(command: &Command, link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    match command {
        Command::Status => status::run(link, form),
        Command::Health => simple::health(link, form),
        Command::Probe => probe::run(link, form),
        // They need no link; `cli::run` has them.
        Command::Doctor { .. } | Command::Adopt { .. } | Command::Release { .. } => {
            Err(Failure::usage("it asks the machine, not the gateway"))
        }
        Command::Presence => simple::presence(link, form),
        Command::Devices(devices) => devices::run(devices, link, form),
        Command::Nodes(Nodes::List) => simple::nodes(link, form),
        Command::Config(Config::Get) => simple::config(link, form),
        Command::Browser(Browser::Status) => simple::browser(link, form),
        Command::Call { method, params } => call::run(method, params, link, form),
        Command::Completions { shell, program } => Ok(completions::run(*shell, *program)),
    }
}

/// Params of a method that takes none.
fn none() -> Value {
    json!({})
}
