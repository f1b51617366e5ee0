//! What went wrong, in one shape: the cause, the status to end with and what to type next.
//!
//! Rule: a failure is never printed anywhere else. Text of the gateway's making is neutralised when it is shown.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::exit::Exit;
use super::screen::neutral;

/// A command that did not work. The JSON form of it is what `--json` prints to standard error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// The status to end with.
    pub exit: Exit,
    /// The gateway's own code, or one of [`codes`].
    pub code: Cow<'static, str>,
    /// One sentence, lower case, without full stop.
    pub message: String,
    /// Machine-readable particulars.
    pub details: Option<Box<Value>>,
    /// Commands, or short advice, that help from here.
    pub next: Vec<String>,
    /// Whether another attempt is worth it.
    pub again: Again,
}

/// Whether a failed attempt may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail the same way.
    Never,
    /// Nothing was done yet: at once, or after the time that the gateway named.
    Harmless(Option<Duration>),
    /// The request may have been carried out: only if doing it twice is the same as doing it once.
    Repeatable,
}

/// Codes of failures that are not answers of a gateway.
pub(crate) mod codes {
    /// The connection ended before the answer.
    pub(crate) const CLOSED: &str = "CLOSED";
    /// A local setting or file.
    pub(crate) const CONFIG: &str = "CONFIG";
    /// A gateway that could not be moved.
    pub(crate) const MOVE: &str = "MOVE";
    /// What came is not the gateway's protocol.
    pub(crate) const PROTOCOL: &str = "PROTOCOL";
    /// No answer in time.
    pub(crate) const TIMEOUT: &str = "TIMEOUT";
    /// The gateway is reached but reports trouble.
    pub(crate) const UNHEALTHY: &str = "UNHEALTHY";
    /// Nobody listens.
    pub(crate) const UNREACHABLE: &str = "UNREACHABLE";
    /// The command line.
    pub(crate) const USAGE: &str = "USAGE";
}

impl Failure {
    /// A failure that another attempt would not change.
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            message: message.into(),
            details: None,
            next: Vec::new(),
            again: Again::Never,
        }
    }

    /// A wrong command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, codes::USAGE, message)
    }

    /// A local setting or file that cannot be used.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, codes::CONFIG, message)
    }

    /// An answer that the protocol does not allow.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(Exit::Protocol, codes::PROTOCOL, message)
    }

    /// The same with one more thing to try.
    #[must_use]
    pub(crate) fn next(mut self, advice: impl Into<String>) -> Self {
        self.next.push(advice.into());
        self
    }

    /// The same with particulars.
    #[must_use]
    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The same, worth or not worth another attempt.
    #[must_use]
    pub(crate) fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// The failure that is left after the last attempt: what might work later says so by its status.
    #[must_use]
    pub(crate) fn after(mut self, attempts: u32, waited: Duration) -> Self {
        if self.again == Again::Never {
            return self;
        }
        if self.exit != Exit::Unreachable {
            self.exit = Exit::Temporary;
        }
        if attempts > 1 {
            let seconds = waited.as_secs_f32();
            write!(self.message, " (gave up after {attempts} attempts in {seconds:.1} s)").ok();
        }
        self
    }

    /// The machine-readable form.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "exit": self.exit.number(),
            "next": self.next,
        })
    }

    /// The form for people, ending with a line break.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("loopgate: {}\n", neutral(&self.message));
        for advice in &self.next {
            writeln!(text, "  try: {}", neutral(advice)).ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_says_that_it_may_work_later() {
        let failure = Failure::new(Exit::Answer, codes::CLOSED, "closed").again(Again::Harmless(None));
        let last = failure.after(3, Duration::from_millis(1500));
        assert_eq!(last.exit, Exit::Temporary);
        assert_eq!(last.message, "closed (gave up after 3 attempts in 1.5 s)");
        let refused = Failure::new(Exit::Refused, "NOT_PAIRED", "no");
        assert_eq!(refused.clone().after(1, Duration::ZERO), refused);
    }

    #[test]
    fn text_of_a_peer_cannot_steer_the_terminal() {
        let failure = Failure::protocol("bad \x1b[2J").next("x\u{9b}31m");
        assert_eq!(failure.to_text(), "loopgate: bad \\x1b[2J\n  try: x\\x9b31m\n");
    }
}
