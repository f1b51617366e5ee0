//! What clients ask for, and whether what they are told is right.
//!
//! Rule: as many answers as possible repeat something that only this call has said, so that an answer that belongs to
//! another call is seen to be wrong.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::common::Seed;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    Health,
    Status,
    /// Carries this many bytes that nobody looks at.
    Presence(usize),
    Config,
    Agents,
    /// The history of a session that does not exist; its key comes back.
    History(String),
    /// A history of [`TRANSCRIPT_MESSAGES`] messages: a large answer.
    Transcript,
    /// Protocol 4: a list of names, which comes back.
    Viewers(Vec<String>),
    /// Everybody who may read hears of it.
    Beat,
}

/// A call under way.
#[derive(Debug)]
pub struct Call {
    pub question: Question,
    /// When its first byte was handed to the kernel.
    pub began: Option<Instant>,
    /// When its last one was.
    pub whole: Option<Instant>,
    /// Room among the calls that read files, held as long as the call.
    pub _permit: Option<Permit>,
}

/// How many calls that read files may wait at once, everybody's together: the gateway takes 256 and refuses more.
#[derive(Debug, Clone, Default)]
pub struct Files(Rc<Cell<usize>>);

/// One of them; given back when it is dropped.
#[derive(Debug)]
pub struct Permit(Rc<Cell<usize>>);

impl Question {
    /// One by chance, and its permit.
    pub fn pick(seed: &mut Seed, protocol: u32, name: &str, files: &Files) -> (Self, Option<Permit>) {
        let question = match seed.below(16) {
            0..=2 => Self::History(format!("agent:main:storm-{name}")),
            3 | 4 if protocol == 4 => {
                let count = 1 + seed.below(32);
                Self::Viewers(
                    (0..count).map(|n| format!("agent:main:{name}-{n}-{:032x}", seed.next())).collect(),
                )
            }
            3 | 4 => Self::Agents,
            5 => Self::Status,
            6 => Self::Config,
            7 => Self::Presence(seed.below(4_000)),
            8 if seed.once_in(8) => Self::Presence(200_000 + seed.below(100_000)),
            9 if seed.once_in(4) => Self::Transcript,
            10..=12 => Self::Presence(0),
            _ => Self::Health,
        };
        if !question.reads_files() {
            return (question, None);
        }
        match files.permit() {
            None => (Self::Health, None),
            permit => (question, permit),
        }
    }

    fn reads_files(&self) -> bool {
        !matches!(self, Self::Health | Self::Presence(_) | Self::Beat)
    }

    pub fn method(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Status => "status",
            Self::Presence(_) => "system-presence",
            Self::Config => "config.get",
            Self::Agents => "agents.list",
            Self::History(_) | Self::Transcript => "chat.history",
            Self::Viewers(_) => "sessions.viewers.set",
            Self::Beat => "system-event",
        }
    }

    /// The request frame.
    pub fn frame(&self, id: &str) -> String {
        let params = match self {
            Self::Health | Self::Status | Self::Config | Self::Agents => json!({}),
            Self::Presence(padding) => json!({"padding": "p".repeat(*padding)}),
            Self::History(key) => json!({"sessionKey": key}),
            Self::Transcript => json!({"sessionKey": "agent:main:main", "limit": TRANSCRIPT_MESSAGES}),
            Self::Viewers(keys) => json!({"sessionKeys": keys}),
            Self::Beat => json!({"text": "Node: storm · mode test", "host": "storm"}),
        };
        json!({"type": "req", "id": id, "method": self.method(), "params": params}).to_string()
    }

    /// What is wrong with the payload.
    pub fn check(&self, payload: &Value) -> Result<(), String> {
        let right = match self {
            Self::Health | Self::Beat => payload["ok"] == true,
            Self::Status => payload["sessions"].is_object(),
            Self::Presence(_) => {
                payload.as_array().is_some_and(|all| all.iter().any(|entry| entry["mode"] == "gateway"))
            }
            Self::Config => payload["exists"] == true && payload["hash"].is_string(),
            Self::Agents => payload["defaultId"] == "main" && payload["agents"].is_array(),
            Self::History(key) => payload["sessionKey"] == *key && payload["messages"] == json!([]),
            Self::Transcript => {
                let numbers = payload["messages"].as_array().into_iter().flatten();
                let numbers: Vec<u64> = numbers.filter_map(|message| message["timestamp"].as_u64()).collect();
                (1..=TRANSCRIPT_MESSAGES as u64).eq(numbers)
            }
            Self::Viewers(keys) => payload["sessionKeys"] == json!(keys),
        };
        if right { Ok(()) } else { Err(format!("{}: {:.200}", self.method(), payload.to_string())) }
    }
}

impl Files {
    fn permit(&self) -> Option<Permit> {
        let held = self.0.get();
        (held < FILES_MAX).then(|| {
            self.0.set(held + 1);
            Permit(Rc::clone(&self.0))
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The transcript of the main session, one message a line.
pub fn transcript() -> String {
    let line = |n: usize| {
        let content = "t".repeat(1_000);
        json!({"id": format!("m{n}"), "message": {"role": "user", "content": content, "timestamp": n}})
            .to_string()
    };
    (1..=TRANSCRIPT_MESSAGES).map(|n| line(n) + "\n").collect()
}

/// Messages of the transcript.
const TRANSCRIPT_MESSAGES: usize = 150;
const FILES_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_another_calls_is_wrong() {
        let mine = Question::History("agent:main:a".into());
        assert!(mine.check(&json!({"sessionKey": "agent:main:a", "messages": []})).is_ok());
        assert!(mine.check(&json!({"sessionKey": "agent:main:b", "messages": []})).is_err());
        let mine = Question::Viewers(vec!["x".into(), "y".into()]);
        assert!(mine.check(&json!({"sessionKeys": ["x", "y"]})).is_ok());
        assert!(mine.check(&json!({"sessionKeys": ["x"]})).is_err());
        assert!(Question::Health.check(&json!({"ok": false})).is_err());
        assert!(Question::Transcript.check(&json!({"messages": []})).is_err());
    }

    #[test]
    fn no_more_calls_read_files_than_there_is_room_for() {
        let (files, mut seed) = (Files::default(), Seed(1));
        let picked: Vec<_> = (0..5_000).map(|_| Question::pick(&mut seed, 4, "n", &files)).collect();
        assert_eq!(picked.iter().filter(|(question, _)| question.reads_files()).count(), FILES_MAX);
        drop(picked);
        assert_eq!(files.0.get(), 0);
    }
}
