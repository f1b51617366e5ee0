//! loopgate: the OpenClaw gateway port, held open by systemd.
//!
//! `loopgated` owns the port that OpenClaw's clients connect to. systemd hands it the listening sockets, it speaks the
//! gateway protocol to every unmodified client from 2026.3.13 on, decides in one place who may do what, writes every
//! decision to the journal with its reason, and answers the control plane itself. `loopgate` is its command line.
//!
//! # Three promises
//!
//! 1. *Always there.* The port belongs to the service manager, so no restart can lose it or race for it, and connections
//!    outlive the process.
//! 2. *Always the same answer.* One pure function admits ([`policy::admit::admit`]), one decides ([`policy::scope::decide`]).
//!    What is granted is what `hello-ok` says and what is enforced.
//! 3. *Always explained.* Every refusal, close and decision has a code, a sentence, a journal entry and a catalog text.
//!
//! # The house
//!
//! A file imports only from rows below its own; `tests/layers.rs` holds that. Rows 0 to 6 build without any I/O
//! (`--no-default-features`), and all of them can be driven by a test with a virtual clock.
//!
//! | row | module | what lives there |
//! | --- | --- | --- |
//! | 8 | `bin/` | two mains: arguments in, exit status out |
//! | 7 | [`daemon`] | the mio shell: activation, connections, signals, systemd, hand-over, files, journal sink, peer identity |
//! | 7 | [`cli`] | the command line: a small blocking client and its output |
//! | 6 | [`gateway`] | all connections together: method table, dispatch, events, presence, pairing, native methods |
//! | 5 | [`session`] | one connection: phases, transitions, deadlines, HTTP upgrade, framing |
//! | 4 | [`policy`] | pure verdicts: scopes, admission, origins, secrets, device proofs, penalties |
//! | 3 | [`journal`] | what can be said: the one list of fields, the one list of entries |
//! | 2 | [`wire`] | the protocol as types: frames, connect, hello, errors |
//! | 1 | [`config`], [`args`] | text to values |
//! | 0 | [`limits`], [`clock`] | every bound with its reason; time as a value |
//!
//! # The way of a byte
//!
//! ```text
//! systemd .socket ─ fd ─► daemon::activation
//! mio event ─► daemon::conn reads ─► &[u8]
//!   ─► Gateway::handle(Input::Bytes { conn, bytes }, now)
//!   ─► Session::receive, Session::poll ─► head | whole WebSocket messages
//!   ─► wire::frame::Request::parse
//!   ─► gateway::method::Method::find                 the one table
//!   ─► policy::scope::decide ─► Decision::record      the one place, never unlogged
//!   ─► native method ─► Gateway::respond ─► Session::send_text
//!   ─► Output::Flush ─► daemon::conn writes Gateway::outgoing
//!   ─► Output::Journal ─► daemon::sink
//! ```
//!
//! Downward only: values in, values out. Whatever the shell has to do comes back as a [`gateway::Output`], so a test is
//! a list of inputs and a list of expected outputs, and the simulation (`tests/simulation.rs`) drives the production
//! code. Work that may block (files, the disk, journald) is done by threads that exchange values with the loop.
//!
//! # From accept to admission
//!
//! [`session::PHASES`] and [`session::TRANSITIONS`] are the machine; each phase in which somebody is waited for has a
//! deadline that counts from accept. The gateway gathers facts ([`policy::facts::Facts`]): the listener, the uid of the
//! peer's process, the class of `Host` and `Origin`, forwarding headers, the verified credential, the proven device and
//! its record. [`policy::admit::admit`] turns them into a verdict that names its rule; [`policy::rules::ADMISSION`] lists the
//! rules in reading order. A [`policy::scope::Grant`] can be made nowhere else.
//!
//! # From one process to the next
//!
//! Two things outlive a process, both in the service manager's fd store. The sockets are *parked*: they are in flight, as
//! `SCM_RIGHTS` messages, between two connected sockets whose ends lie in the store. What is known of them is in the
//! *book*, a memory file of sealed records with a line for each connection. Five entries in all, however many connections
//! there are, and the manager is told nothing when one comes or goes: storing n sockets one by one costs it n² (8,000: 21 s)
//! and a process for each removal, while to park one costs us 3 us, and to park 253 together 40 us.
//!
//! Before anything of a connection is read or written its line says *busy*; at the end of a turn, when nothing is held or
//! owed any more, it says *at rest* again. So the process may end at any instant: whoever was at rest goes on, whoever was
//! not is closed with 1012, and nobody is resumed on a guess. A planned stop saves the busy ones too, every held byte
//! included. The next process finds each line's socket by its cookie and admits each member again
//! ([`policy::saved::Former::readmit`]) before it looks at the first byte. See `daemon::handover` and [`gateway::handover`].
//!
//! # Tables
//!
//! One fact, one table; `loopgated --dump=NAME` prints them, the manual is checked against them: phases, transitions,
//! methods, events, admission, fields, entries, settings, limits, exit codes.
#![forbid(unsafe_code)]

#[cfg(feature = "daemon")]
pub mod args;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod gateway;
pub mod journal;
pub mod limits;
pub mod policy;
pub mod session;
pub mod wire;
