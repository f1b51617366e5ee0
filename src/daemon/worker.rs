//! Threads for what may block: files, the store, journald, the service manager.
//!
//! Rule: a thread and the loop exchange values and nothing else. The loop never waits for a thread; a thread that ends
//! while it is needed ends the daemon, with the cause in the journal.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use mio::Waker;

use crate::gateway::job::Outcome;
use crate::gateway::{Setup, Ticket};
use crate::limits;

/// What threads tell the loop.
#[derive(Debug)]
pub(super) enum Report {
    /// A job is done.
    Done(Ticket, Outcome),
    /// A save of the pairing store succeeded or failed.
    Saved(u64, Result<(), String>),
    /// The configuration was read again, or cannot be.
    Reloaded(Result<Box<Setup>, String>),
    /// The thread of this name has ended.
    Ended(&'static str),
}

/// The loop's end of the way from the threads.
#[derive(Debug)]
pub(super) struct Reports {
    sender: SyncSender<Report>,
    receiver: Receiver<Report>,
    waker: Arc<Waker>,
}

/// A thread's end of it.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    sender: SyncSender<Report>,
    waker: Arc<Waker>,
}

/// A thread with a bounded queue of tasks.
#[derive(Debug)]
pub(super) struct Worker<T> {
    tasks: SyncSender<T>,
    /// Gives an error as soon as the thread has ended.
    end: Receiver<()>,
}

/// Why a task was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// As many as may wait do so already.
    Full,
    /// The thread has ended.
    Ended,
}

/// Tells the loop that a thread has ended, however it did.
struct Farewell {
    name: &'static str,
    reporter: Reporter,
    _end: SyncSender<()>,
}

impl Reports {
    /// The way from the threads to the loop that `waker` wakes.
    pub(super) fn new(waker: Waker) -> Self {
        let (sender, receiver) = sync_channel(limits::REPORTS_QUEUED_MAX);
        Self { sender, receiver, waker: Arc::new(waker) }
    }

    /// An end for a thread.
    pub(super) fn reporter(&self) -> Reporter {
        Reporter { sender: self.sender.clone(), waker: Arc::clone(&self.waker) }
    }

    /// What has come, oldest first, without waiting.
    pub(super) fn next(&self) -> Option<Report> {
        self.receiver.try_recv().ok()
    }
}

impl Reporter {
    /// Hands a report to the loop; waits while too many are on their way. Lost when the loop has ended.
    pub(super) fn report(&self, report: Report) {
        if self.sender.send(report).is_ok() {
            self.wake();
        }
    }

    /// A waker fails only if the kernel has no memory for an eventfd's counter; the next one then does it.
    fn wake(&self) {
        self.waker.wake().unwrap_or_default();
    }
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread that takes tasks out of a queue of at most `capacity` and does each with `work`.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(super) fn spawn(
        name: &'static str,
        capacity: usize,
        reporter: Reporter,
        mut work: impl FnMut(T) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (tasks, queue) = sync_channel(capacity);
        let (end_sender, end) = sync_channel(0);
        let farewell = Farewell { name, reporter, _end: end_sender };
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _farewell = farewell;
            for task in queue {
                work(task);
            }
        })?;
        Ok(Self { tasks, end })
    }

    /// Queues a task, if there is room. Never waits.
    ///
    /// # Errors
    /// See [`Untaken`].
    pub(super) fn give(&self, task: T) -> Result<(), Untaken> {
        self.tasks.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => Untaken::Full,
            TrySendError::Disconnected(_) => Untaken::Ended,
        })
    }

    /// Lets the thread do what is queued, for at most `patience`. True if it did.
    pub(super) fn finish(self, patience: Duration) -> bool {
        let Self { tasks, end } = self;
        drop(tasks);
        end.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // Not `report`: a thread that dies must not wait for a loop that waits for nobody.
        if self.reporter.sender.try_send(Report::Ended(self.name)).is_ok() {
            self.reporter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn reports() -> (mio::Poll, Reports) {
        let poll = mio::Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), mio::Token(0)).unwrap();
        (poll, Reports::new(waker))
    }

    #[test]
    fn a_full_queue_is_told_and_never_waited_for() {
        let (_poll, reports) = reports();
        let (go, gate) = channel::<()>();
        let worker = Worker::spawn("test", 1, reports.reporter(), move |(): ()| {
            gate.recv().unwrap_or_default();
        })
        .unwrap();
        let taken = (0..10).filter(|_| worker.give(()) == Ok(())).count();
        assert!((1..=2).contains(&taken), "{taken}");
        assert_eq!(worker.give(()), Err(Untaken::Full));
        drop(go);
        assert!(worker.finish(Duration::from_secs(5)));
        assert!(matches!(reports.next(), Some(Report::Ended("test"))));
    }

    #[test]
    fn a_stuck_thread_is_left_behind() {
        let (_poll, reports) = reports();
        let (_go, gate) = channel::<()>();
        let worker = Worker::spawn("test", 1, reports.reporter(), move |(): ()| {
            gate.recv().unwrap_or_default();
        })
        .unwrap();
        worker.give(()).unwrap();
        assert!(!worker.finish(Duration::from_millis(50)));
    }

    #[test]
    fn a_panic_wakes_the_loop() {
        let (mut poll, reports) = reports();
        let worker = Worker::spawn("test", 1, reports.reporter(), |(): ()| panic!("on purpose")).unwrap();
        worker.give(()).unwrap();
        let mut events = mio::Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert!(!events.is_empty());
        assert!(matches!(reports.next(), Some(Report::Ended("test"))));
        assert_eq!(worker.give(()), Err(Untaken::Ended));
    }
}
