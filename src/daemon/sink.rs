//! Where journal entries go: journald by its native protocol when systemd started us, else lines on standard error.
//!
//! Rule: the loop hands an entry over and forgets it. When journald does not keep up, entries are dropped and counted,
//! and the count is reported as soon as it listens again; nothing ever waits for it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use log::Record;
use log::kv;
use systemd_journal_logger::{JournalLog, connected_to_journal};

use crate::journal::{Entry, Field, Kind, Level, Value};
use crate::limits;

use super::worker::{Reporter, Untaken, Worker};

/// The loop's end of the way to the journal.
#[derive(Debug)]
pub(super) struct Sink {
    writer: Worker<Entry>,
    lost: Arc<Lost>,
}

/// Entries that were dropped.
#[derive(Debug, Default)]
struct Lost {
    /// In all.
    total: AtomicU64,
    /// Not reported yet.
    unreported: AtomicU64,
}

/// Something that takes an entry or says that it cannot.
trait Outlet: Send + 'static {
    /// May block; only the thread waits for it.
    fn put(&mut self, entry: &Entry) -> std::io::Result<()>;
}

/// journald's socket; opened by the thread, because even that can block.
#[derive(Default)]
struct Journal {
    log: Option<JournalLog>,
}

/// Standard error.
struct Lines;

impl Sink {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// The kernel gives no thread.
    pub(super) fn open(reporter: Reporter) -> std::io::Result<Self> {
        if connected_to_journal() {
            Self::with(reporter, Journal::default())
        } else {
            Self::with(reporter, Lines)
        }
    }

    /// The same with any outlet.
    fn with(reporter: Reporter, mut outlet: impl Outlet) -> std::io::Result<Self> {
        let lost = Arc::new(Lost::default());
        let counter = Arc::clone(&lost);
        let write = move |entry: Entry| write(&mut outlet, &entry, &counter);
        let writer = Worker::spawn("journal", limits::ENTRIES_QUEUED_MAX, reporter, write)?;
        Ok(Self { writer, lost })
    }

    /// Takes an entry; drops and counts it if too many wait.
    pub(super) fn push(&self, entry: Entry) {
        match self.writer.give(entry) {
            Ok(()) => {}
            Err(Untaken::Full | Untaken::Ended) => self.lost.add(1),
        }
    }

    /// Entries that were dropped since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.lost.total.load(Ordering::Relaxed)
    }

    /// Writes what waits, for at most `patience`.
    pub(super) fn finish(self, patience: Duration) {
        self.writer.finish(patience);
    }
}

impl Lost {
    /// Counts what nobody will read.
    fn add(&self, count: u64) {
        self.total.fetch_add(count, Ordering::Relaxed);
        self.unreported.fetch_add(count, Ordering::Relaxed);
    }
}

impl Outlet for Journal {
    fn put(&mut self, entry: &Entry) -> std::io::Result<()> {
        // A journald that was not there at first is looked for again with each entry.
        let log = match self.log.take() {
            Some(log) => log,
            None => JournalLog::empty()?.with_syslog_identifier(IDENTIFIER.into()),
        };
        let sent = send(&log, entry);
        self.log = Some(log);
        sent
    }
}

impl Outlet for Lines {
    fn put(&mut self, entry: &Entry) -> std::io::Result<()> {
        let mut text = line(entry);
        text.push('\n');
        std::io::stderr().lock().write_all(text.as_bytes())
    }
}

/// Sends one entry to journald before there is a loop, if systemd started us. False if nobody took it within a bounded
/// time.
pub(super) fn tell_at_once(entry: Entry) -> bool {
    if !connected_to_journal() {
        return false;
    }
    let (sender, told) = std::sync::mpsc::channel();
    let tell = move || sender.send(Journal::default().put(&entry).is_ok());
    std::thread::Builder::new().name("journal".into()).spawn(tell).is_ok()
        && told.recv_timeout(limits::FAREWELL).unwrap_or(false)
}

/// One entry, and the report of what was lost before it. The report itself counts as nothing if it is lost.
fn write(outlet: &mut impl Outlet, entry: &Entry, lost: &Lost) {
    if outlet.put(entry).is_err() {
        lost.add(1);
        return;
    }
    let unreported = lost.unreported.swap(0, Ordering::Relaxed);
    if unreported > 0 && outlet.put(&Entry::new(Kind::JournalDropped).with(Field::Count, unreported)).is_err()
    {
        lost.unreported.fetch_add(unreported, Ordering::Relaxed);
    }
}

/// The entry as a record; the logger makes the journal's datagram of it.
fn send(log: &JournalLog, entry: &Entry) -> std::io::Result<()> {
    let row = entry.kind().row();
    let mut pairs: Vec<(&str, kv::Value<'_>)> = vec![("MESSAGE_ID", kv::Value::from(row.id))];
    pairs.extend(entry.fields().iter().map(|(field, value)| (field.name(), kv_value(value))));
    log.journal_send(
        &Record::builder()
            .level(log_level(row.level))
            .target(IDENTIFIER)
            .key_values(&pairs)
            .args(format_args!("{}", row.message))
            .build(),
    )
}

/// Numbers stay numbers until the logger writes them down.
fn kv_value(value: &Value) -> kv::Value<'_> {
    match value {
        Value::Text(text) => kv::Value::from(text.as_ref()),
        Value::Number(number) => kv::Value::from(*number),
    }
}

/// The level of the `log` crate that the logger turns into the priority of the same meaning: it maps `info` to 5,
/// notice, and `debug` to 6, informational.
const fn log_level(level: Level) -> log::Level {
    match level {
        Level::Error => log::Level::Error,
        Level::Warning => log::Level::Warn,
        Level::Notice => log::Level::Info,
        Level::Info => log::Level::Debug,
    }
}

/// `warning a connection was refused CONN_ID=7 CLOSE_REASON="no token"`: one line, without a time, for that is
/// whatever catches it.
fn line(entry: &Entry) -> String {
    let row = entry.kind().row();
    let mut text = format!("{} {}", level_name(row.level), row.message);
    for (field, value) in entry.fields() {
        text.push(' ');
        text.push_str(field.name());
        text.push('=');
        text.push_str(&quoted(&value.to_string()));
    }
    text
}

/// As it is where it is one word, else in quotes with escapes: a value can neither end its field nor fake another.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\' | '=');
    if !value.is_empty() && value.chars().all(plain) { value.to_owned() } else { format!("{value:?}") }
}

/// The word for a level in lines and tables.
pub(super) const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
        Level::Info => "info",
    }
}

/// `SYSLOG_IDENTIFIER`.
const IDENTIFIER: &str = "loopgated";

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::daemon::worker::Reports;

    type Written = Arc<Mutex<Vec<Entry>>>;

    /// Waits for a word before each entry, as a socket of a stopped journald does.
    struct Stuck {
        gate: Receiver<()>,
        written: Written,
    }

    impl Outlet for Stuck {
        fn put(&mut self, entry: &Entry) -> std::io::Result<()> {
            self.gate.recv().unwrap_or_default();
            self.written.lock().unwrap().push(entry.clone());
            Ok(())
        }
    }

    /// Refuses the first entries, as a journald that is not there does.
    struct Absent {
        refusals: usize,
        written: Written,
    }

    impl Outlet for Absent {
        fn put(&mut self, entry: &Entry) -> std::io::Result<()> {
            if self.refusals > 0 {
                self.refusals -= 1;
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            self.written.lock().unwrap().push(entry.clone());
            Ok(())
        }
    }

    fn reporter() -> Reporter {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        Reports::new(waker).reporter()
    }

    #[test]
    fn a_stuck_journal_never_stalls_and_the_loss_is_told() {
        let (go, gate) = channel();
        let written = Written::default();
        let sink = Sink::with(reporter(), Stuck { gate, written: Arc::clone(&written) }).unwrap();
        let pushed = limits::ENTRIES_QUEUED_MAX + 100;
        let start = std::time::Instant::now();
        for _ in 0..pushed {
            sink.push(Entry::new(Kind::Accept));
        }
        assert!(start.elapsed() < Duration::from_secs(2));
        let dropped = sink.dropped();
        assert!((99..=100).contains(&dropped), "{dropped}");
        drop(go);
        sink.finish(Duration::from_secs(10));
        let written = written.lock().unwrap();
        let told: Vec<_> = written.iter().filter(|entry| entry.kind() == Kind::JournalDropped).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].value(Field::Count), Some(&Value::Number(dropped)));
        assert_eq!(written.len() as u64 - 1 + dropped, pushed as u64, "every entry is written or counted");
    }

    #[test]
    fn an_absent_journal_is_told_once_it_is_back() {
        let written = Written::default();
        let sink = Sink::with(reporter(), Absent { refusals: 3, written: Arc::clone(&written) }).unwrap();
        for _ in 0..5 {
            sink.push(Entry::new(Kind::Accept));
        }
        sink.finish(Duration::from_secs(5));
        let kinds: Vec<_> = written.lock().unwrap().iter().map(Entry::kind).collect();
        assert_eq!(kinds, [Kind::Accept, Kind::JournalDropped, Kind::Accept]);
    }

    #[test]
    fn lines_are_readable_and_stay_one() {
        let entry = Entry::new(Kind::Refuse)
            .with(Field::ConnId, 7_u32)
            .with(Field::CloseReason, "no token")
            .with(Field::ClientId, "a\nb=\"c\"".to_owned());
        assert_eq!(
            line(&entry),
            "warning a connection was refused CONN_ID=7 CLOSE_REASON=\"no token\" CLIENT_ID=\"a\u{fffd}b=\\\"c\\\"\""
        );
    }
}
