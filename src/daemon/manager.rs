//! The conversation with the service manager (sd_notify(3)).
//!
//! Rule: the loop decides what is said, a thread says it. The manager's socket is a datagram socket on which a send can
//! block while the manager is busy; then words are left out, and the loop does not notice.

use std::time::{Duration, Instant};

use libsystemd::daemon::{NotifyState, notify, watchdog_enabled};
use nix::time::{ClockId, clock_gettime};

use crate::limits;

use super::worker::{Reporter, Worker};

/// What the manager knows, and the way to tell it more. Silent where nobody listens (`NOTIFY_SOCKET` is not set).
#[derive(Debug)]
pub(super) struct Manager {
    speaker: Option<Worker<Vec<NotifyState>>>,
    ready: bool,
    watchdog: Option<Watchdog>,
    status: String,
    status_next: Instant,
    /// Something may have changed since the status was shown.
    status_due: bool,
}

#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    next: Instant,
}

impl Manager {
    /// Finds out who listens.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(super) fn connect(reporter: Reporter, now: Instant) -> std::io::Result<Self> {
        let listened_to = is_listening();
        let speaker = listened_to
            .then(|| {
                Worker::spawn("notify", limits::NOTICES_QUEUED_MAX, reporter, |words: Vec<_>| speak(&words))
            })
            .transpose()?;
        let watchdog = watchdog_enabled(false)
            .filter(|timeout| listened_to && !timeout.is_zero())
            .map(|timeout| Watchdog { interval: timeout / 2, next: now });
        Ok(Self {
            speaker,
            ready: false,
            watchdog,
            status: String::new(),
            status_next: now,
            status_due: true,
        })
    }

    /// To be called once at the end of each turn: says READY when it first becomes true, feeds the watchdog when half
    /// of its time is over, and shows a changed status line at most once a second.
    pub(super) fn turn(&mut self, ready: bool, status: impl FnOnce() -> String, now: Instant) {
        if self.speaker.is_none() {
            self.status_due = false;
            return;
        }
        if ready && !self.ready {
            self.ready = self.say(vec![NotifyState::Ready]);
        }
        self.feed_watchdog(now);
        self.show_status(status, now);
    }

    /// A reload begins. [`Manager::reloaded`] has to follow, or `systemctl reload` waits for good.
    pub(super) fn reloading(&self) {
        let mut words = vec![NotifyState::Reloading];
        if let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            let usec = Duration::from(time).as_micros();
            words.push(NotifyState::Other(format!("MONOTONIC_USEC={usec}")));
        }
        self.say(words);
    }

    /// The reload is over, well or not: READY goes out with the next turn.
    pub(super) fn reloaded(&mut self) {
        self.ready = false;
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.say(vec![NotifyState::Stopping]);
    }

    /// When [`Manager::turn`] has to be called next even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let status = self.status_due.then_some(self.status_next);
        self.watchdog.as_ref().map(|watchdog| watchdog.next).into_iter().chain(status).min()
    }

    /// Lets the last words out, for at most `patience`.
    pub(super) fn finish(self, patience: Duration) {
        if let Some(speaker) = self.speaker {
            speaker.finish(patience);
        }
    }

    fn feed_watchdog(&mut self, now: Instant) {
        let Some(interval) = self.watchdog.as_ref().filter(|dog| dog.next <= now).map(|dog| dog.interval)
        else {
            return;
        };
        // A ping that found no room is tried again while there is still time.
        let wait = if self.say(vec![NotifyState::Watchdog]) { interval } else { interval / 4 };
        self.watchdog = Some(Watchdog { interval, next: now + wait });
    }

    fn show_status(&mut self, line: impl FnOnce() -> String, now: Instant) {
        self.status_due = now < self.status_next;
        if self.status_due {
            return;
        }
        self.status_next = now + limits::STATUS;
        let line = line();
        if line != self.status && self.say(vec![NotifyState::Status(line.clone())]) {
            self.status = line;
        }
    }

    /// Whether the words were taken.
    fn say(&self, words: Vec<NotifyState>) -> bool {
        self.speaker.as_ref().is_none_or(|speaker| speaker.give(words).is_ok())
    }
}

/// Whether there is a service manager that listens, and keeps what it is given.
pub(super) fn is_listening() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Whether it also keeps file descriptors for us: `$FDSTORE` says how many. systemd sets it since 254, and our units do
/// for those before.
pub(super) fn keeps() -> bool {
    let room = std::env::var("FDSTORE").ok().and_then(|text| text.parse::<usize>().ok());
    is_listening() && room.is_some_and(|room| room > 0)
}

/// Leaves a line in `systemctl status` for a start that failed. The manager waits for us then, so that this may too.
pub(super) fn last_words(line: &str) {
    speak(&[NotifyState::Status(line.to_owned())]);
}

/// Waits before a start that failed ends, if a manager started us: it starts us again at once, so that clients hardly
/// notice a crash, and what is at fault here is still at fault then.
pub(super) fn hold_back() {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        std::thread::sleep(limits::START_FAILED_PAUSE);
    }
}

/// An error has nobody to be told to: the manager is the one who does not listen.
fn speak(words: &[NotifyState]) {
    notify(false, words).unwrap_or_default();
}
