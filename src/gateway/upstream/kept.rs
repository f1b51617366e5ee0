//! The last good answers of the runtime, for the time when it is away.
//!
//! Rule: an answer is given again only for the same question by somebody with the same scopes in the same protocol, and it
//! says how old it is.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits;
use crate::policy::scope::Scopes;
use crate::wire::Protocol;

/// A question as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Question<'a> {
    pub(in crate::gateway) method: &'static str,
    /// As the client wrote them; empty if there are none.
    pub(in crate::gateway) params: &'a str,
    pub(in crate::gateway) scopes: Scopes,
    pub(in crate::gateway) protocol: Protocol,
}

/// An answer that was good.
#[derive(Debug)]
pub(in crate::gateway) struct Kept {
    method: &'static str,
    params: Box<str>,
    scopes: Scopes,
    protocol: Protocol,
    /// The payload.
    pub(in crate::gateway) payload: Arc<str>,
    /// When it came.
    pub(in crate::gateway) unix_ms: u64,
}

/// The answers, the one that came longest ago first.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Answers {
    all: VecDeque<Kept>,
    bytes: usize,
}

impl Answers {
    /// Keeps an answer in place of the one before it, if it is not too large.
    pub(in crate::gateway) fn keep(&mut self, question: Question<'_>, payload: &str, unix_ms: u64) {
        if payload.len().saturating_add(question.params.len()) > limits::KEPT_ANSWER_BYTES_MAX {
            return;
        }
        if let Some(index) = self.all.iter().position(|kept| kept.answers(question)) {
            self.drop_at(index);
        }
        let Question { method, params, scopes, protocol } = question;
        let kept = Kept { method, params: params.into(), scopes, protocol, payload: payload.into(), unix_ms };
        self.bytes += kept.bytes();
        self.all.push_back(kept);
        while self.all.len() > limits::KEPT_ANSWERS_MAX || self.bytes > limits::KEPT_BYTES_MAX {
            self.drop_at(0);
        }
    }

    /// The last good answer.
    pub(in crate::gateway) fn find(&self, question: Question<'_>) -> Option<&Kept> {
        self.all.iter().find(|kept| kept.answers(question))
    }

    fn drop_at(&mut self, index: usize) {
        if let Some(kept) = self.all.remove(index) {
            self.bytes -= kept.bytes();
        }
    }
}

impl Kept {
    fn answers(&self, question: Question<'_>) -> bool {
        let Question { method, params, scopes, protocol } = question;
        (self.method, &*self.params, self.scopes, self.protocol) == (method, params, scopes, protocol)
    }

    fn bytes(&self) -> usize {
        self.params.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(params: &str) -> Question<'_> {
        Question { method: "skills.status", params, scopes: Scopes::READ, protocol: Protocol::V3 }
    }

    #[test]
    fn only_the_same_question_of_an_equal_is_answered() {
        let mut answers = Answers::default();
        answers.keep(question("{}"), "1", 5);
        answers.keep(question("{}"), "2", 6);
        assert_eq!(answers.find(question("{}")).map(|kept| (&*kept.payload, kept.unix_ms)), Some(("2", 6)));
        assert!(answers.find(question("")).is_none());
        assert!(answers.find(Question { scopes: Scopes::ADMIN, ..question("{}") }).is_none());
        assert!(answers.find(Question { protocol: Protocol::V4, ..question("{}") }).is_none());
        assert!(answers.find(Question { method: "config.schema", ..question("{}") }).is_none());
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut answers = Answers::default();
        let large = "x".repeat(limits::KEPT_ANSWER_BYTES_MAX - 10);
        for number in 0..40 {
            answers.keep(question(&number.to_string()), &large, number);
        }
        assert!(answers.bytes <= limits::KEPT_BYTES_MAX);
        assert!(answers.find(question("0")).is_none() && answers.find(question("39")).is_some());
        answers.keep(question("more"), &"x".repeat(limits::KEPT_ANSWER_BYTES_MAX), 0);
        assert!(answers.find(question("more")).is_none());
        for number in 0..=limits::KEPT_ANSWERS_MAX as u64 {
            answers.keep(question(&number.to_string()), "small", number);
        }
        assert!(answers.all.len() <= limits::KEPT_ANSWERS_MAX);
    }
}
