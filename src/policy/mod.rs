//! Pure verdicts: who may come in, and what they may do.
//!
//! Rule: no I/O, no clock, no look-ups. The gateway gathers the facts; what is here turns them into an answer that
//! names its rule. The same facts give the same answer.

pub mod admit;
mod case;
pub mod credential;
pub mod device;
pub mod facts;
pub mod origin;
pub mod passage;
pub mod penalty;
pub mod recheck;
mod refusals;
pub mod rules;
pub mod saved;
pub mod scope;
pub mod secret;
pub mod surroundings;
pub mod target;
