//! Signals as events of the loop: a signalfd, no handler, nothing that could run in the middle of anything.
//!
//! Rule: the signal says what comes after us, so that nobody has to be asked. The units have the manager send SIGTERM
//! for a restart (`RestartKillSignal=`) and SIGINT for a stop (`KillSignal=`). Whoever else sends SIGTERM to a unit with
//! `Restart=always` restarts it too.

use std::io;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGTERM: end; the next process is about to start.
    Leave,
    /// SIGINT: end for good.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals that are blocked and come here instead.
#[derive(Debug)]
pub(super) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals for this thread and every thread that it starts from now on.
    ///
    /// # Errors
    /// The kernel gives no signalfd.
    pub(super) fn block() -> io::Result<Self> {
        let set: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd })
    }

    /// Puts the signals among the events of the loop.
    ///
    /// # Errors
    /// epoll refuses.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.fd.as_raw_fd()), token, Interest::READABLE)
    }

    /// The next wish, if a signal has come.
    pub(super) fn next(&self) -> Option<Wish> {
        let info = self.fd.read_signal().ok().flatten()?;
        let is = |signal| info.ssi_signo == signal as u32;
        Some(match () {
            () if is(Signal::SIGHUP) => Wish::Reload,
            () if is(Signal::SIGINT) => Wish::Stop,
            () => Wish::Leave,
        })
    }
}
