//! From the command line to the loop, and from the loop to the exit status.
//!
//! Rule: whatever stands in the way of a start is found before the first connection is taken, is told with its cause
//! and its remedy, and has an exit status of its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mio::{Poll, Token, Waker};
use nix::sys::prctl::set_dumpable;
use nix::time::{ClockId, clock_gettime};

use super::activation::Listeners;
use super::conn::Conns;
use super::dial::Dialler;
use super::door::Doors;
use super::files::{Disk, cause};
use super::handover::{self, HandOver, Inheritance, Stored};
use super::manager::{self, Manager};
use super::resume::Resume;
use super::setup::Origin;
use super::signal::Signals;
use super::sink::{self, Sink};
use super::store::Store;
use super::worker::{Report, Reporter, Reports, Worker};
use super::{Reload, Revision, Shell, Task, clock, dump};
use crate::args::{self, Action};
use crate::config::{Exit, Sources};
use crate::gateway::{Entropy, Gateway};
use crate::journal::{Entry, Field, Kind};
use crate::limits;

/// Why there is no start.
struct Failure {
    exit: Exit,
    cause: String,
    remedy: &'static str,
}

/// The kernel's random bytes.
struct Kernel;

/// loopgated: arguments in (without the program's name), exit status out.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let exit = match args::parse(arguments) {
        Ok(Action::Serve { config }) => serve(config),
        Ok(Action::Check { config }) => check(config),
        Ok(Action::Dump(table)) => print(&dump::table(table)),
        Ok(Action::Version) => print(concat!("loopgated ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Action::Help) => print(args::HELP),
        Err(error) => complain(Exit::Usage, &error.to_string()),
    };
    ExitCode::from(exit.code())
}

/// Reads the configuration as a start would, and says what is wrong with it.
fn check(config: Option<PathBuf>) -> Exit {
    let store = match Store::locate(|name| Disk.env(name), Disk.home()) {
        Ok(store) => store,
        Err(error) => return complain(Exit::Io, &error),
    };
    let setup = match Origin::new(config, None, store.clone()).read() {
        Ok(setup) => setup,
        Err(error) => return complain(Exit::Config, &error),
    };
    let auth = &setup.openclaw.gateway.auth;
    let token = if auth.wants_token() { own_token(&store) } else { Ok(String::new()) };
    let token = match (token, auth.secret().and_then(|secret| secret.reason())) {
        (Ok(token), None) => token,
        (Err(reason), _) => return complain(Exit::Config, &no_secret(&reason)),
        (_, Some(reason)) => return complain(Exit::Config, &no_secret(reason)),
    };
    let files = [&setup.settings.path, &setup.openclaw.path];
    let mut text = files.map(|file| format!("{}: {}\n", file.display(), found(file))).concat();
    for warning in &setup.openclaw.warnings {
        let file = setup.openclaw.path.display();
        // Writing to a string cannot fail.
        writeln!(text, "{file}: {}: {}", warning.path, warning.message).unwrap_or_default();
    }
    print(&(text + &token))
}

/// What a start would do for a token that nobody has configured.
fn own_token(store: &Store) -> Result<String, String> {
    let path = store.token_path();
    let has = match store.token()? {
        Some(_) => "has the token, for none is configured",
        None => "no such file, a start makes it with a token, for none is configured",
    };
    Ok(format!("{}: {has}\n", path.display()))
}

fn no_secret(reason: &str) -> String {
    format!("the gateway secret cannot be had: {reason}")
}

/// A file need not exist; that it does not is worth knowing where its path was mistyped.
fn found(file: &Path) -> &'static str {
    if file.exists() { "can be used" } else { "no such file, the defaults hold" }
}

/// Serves until the end.
fn serve(config: Option<PathBuf>) -> Exit {
    match begin(config) {
        Ok((shell, gateway)) => shell.run(gateway),
        Err(failure) => failure.tell(),
    }
}

/// Everything in the order in which it depends on each other: listeners and signals before any thread.
fn begin(config: Option<PathBuf>) -> Result<(Shell, Gateway), Failure> {
    // First of all: a file of our own must not get the number of one that was promised and not given.
    let (listeners, stored) = Listeners::take().map_err(|refused| Failure {
        exit: Exit::NoListener,
        cause: refused.to_string(),
        remedy: refused.remedy(),
    })?;
    let signals = Signals::block().map_err(|error| internal("signals", &error))?;
    // The secrets in memory are for no core file and no other process of the same user (S32). A kernel that refuses
    // leaves us as every other process is.
    set_dumpable(false).unwrap_or_default();
    let store = Store::locate(|name| Disk.env(name), Disk.home()).map_err(store_failure)?;
    let origin = Origin::new(config, listeners.port(), store.clone());
    let setup = origin.load().map_err(|cause| Failure { exit: Exit::Config, cause, remedy: CHECK_REMEDY })?;
    let saved = store.load().map_err(store_failure)?;
    let mut gateway = Gateway::new(*setup, Box::new(Kernel), saved.as_deref(), clock())
        .map_err(|why| store_failure(format!("{}: {why}", store.path().display())))?;
    let (hand_over, inheritance) = inherit(stored, &store);
    let began = inheritance.epoch_ns;
    let mut shell = shell(signals, listeners, origin, store, hand_over)
        .map_err(|error| internal("sockets and threads", &error))?;
    let resume = Resume {
        gateway: &mut gateway,
        conns: &mut shell.conns,
        doors: &mut shell.doors,
        sink: &shell.sink,
        now: clock(),
        underway: Vec::new(),
    };
    resume.run(inheritance, Duration::from_nanos(monotonic_ns().saturating_sub(began)));
    Ok((shell, gateway))
}

/// Takes over what a former process has left. Where nothing can be kept, we serve all the same, and say so.
fn inherit(stored: Stored, store: &Store) -> (HandOver, Inheritance) {
    let now_ns = monotonic_ns();
    let nothing = |orphans, failure| {
        let inheritance = Inheritance { orphans, epoch_ns: now_ns, failure, ..Inheritance::default() };
        (HandOver::default(), inheritance)
    };
    if !manager::keeps() {
        return nothing(handover::give_up(&stored), None);
    }
    match store.hand_over_key() {
        Ok(key) => handover::begin(stored, &key, now_ns)
            .unwrap_or_else(|error| nothing(Vec::new(), Some(cause(&error)))),
        Err(why) => nothing(handover::give_up(&stored), Some(why)),
    }
}

/// `CLOCK_MONOTONIC`, by which [`std::time::Instant`] counts; it is the same for all processes of a boot.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Everything outside the gateway, running.
fn shell(
    signals: Signals,
    listeners: Listeners,
    origin: Origin,
    store: Store,
    hand_over: HandOver,
) -> std::io::Result<Shell> {
    let poll = Poll::new()?;
    let reports = Reports::new(Waker::new(poll.registry(), WAKER)?);
    signals.register(poll.registry(), SIGNALS)?;
    let sink = Sink::open(reports.reporter())?;
    sink.push(Entry::new(Kind::Start));
    Ok(Shell {
        signals,
        doors: Doors::open(listeners, poll.registry().try_clone()?, FIRST_DOOR)?,
        conns: Conns::new(poll.registry().try_clone()?, hand_over),
        dialler: Dialler::default(),
        manager: Manager::connect(reports.reporter(), clock().mono)?,
        files: files_thread(reports.reporter(), origin)?,
        store: store_thread(reports.reporter(), store)?,
        poll,
        reports,
        sink,
        reload: Reload::Idle,
        signalled: true,
        stopping: false,
        leaving: None,
        ready: false,
    })
}

/// The thread that reads: jobs of the gateway's and the configuration.
fn files_thread(reporter: Reporter, origin: Origin) -> std::io::Result<Worker<Task>> {
    let back = reporter.clone();
    Worker::spawn("files", limits::JOBS_PENDING_MAX + 1, reporter, move |task| match task {
        Task::Run(ticket, job, now) => back.report(Report::Done(ticket, job.run(&Disk, now))),
        Task::Reload => back.report(Report::Reloaded(origin.load())),
    })
}

/// The thread that writes the pairing store, and waits for the disk.
fn store_thread(reporter: Reporter, store: Store) -> std::io::Result<Worker<Revision>> {
    let back = reporter.clone();
    Worker::spawn("store", SAVES_QUEUED_MAX, reporter, move |revision: Revision| {
        back.report(Report::Saved(revision.number, store.save(&revision.bytes)));
    })
}

/// The entry for something that ends the daemon.
pub(super) fn failure_entry(kind: Kind, cause: &str, remedy: &'static str) -> Entry {
    Entry::new(kind).with(Field::Cause, cause.to_owned()).with(Field::Remedy, remedy)
}

impl Failure {
    /// To the journal and `systemctl status` if systemd started us, else to whoever looks on.
    fn tell(self) -> Exit {
        manager::last_words(&self.cause);
        if sink::tell_at_once(failure_entry(Kind::StartFailed, &self.cause, self.remedy)) {
            manager::hold_back();
            return self.exit;
        }
        complain(self.exit, &format!("{}; {}", self.cause, self.remedy))
    }
}

impl Entropy for Kernel {
    #[expect(
        clippy::expect_used,
        reason = "a kernel without random bytes leaves nothing that could be done safely"
    )]
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel gives random bytes");
    }
}

/// A store that is there and cannot be used is never written over.
fn store_failure(cause: String) -> Failure {
    Failure { exit: Exit::Io, cause, remedy: STORE_REMEDY }
}

/// The kernel refuses something that every process may have.
fn internal(what: &str, error: &std::io::Error) -> Failure {
    Failure {
        exit: Exit::Internal,
        cause: format!("{what}: {}", cause(error)),
        remedy: "look at the limits of the unit",
    }
}

/// To standard output.
fn print(text: &str) -> Exit {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Exit::Ok,
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(_) => Exit::Io,
    }
}

#[expect(clippy::print_stderr, reason = "the one place that speaks to somebody at a terminal")]
fn complain(exit: Exit, text: &str) -> Exit {
    eprintln!("loopgated: {text}");
    exit
}

/// Poll tokens: connections count from 0 up, these and the doors lie above every slot.
pub(super) const WAKER: Token = Token(usize::MAX);
/// See [`WAKER`].
pub(super) const SIGNALS: Token = Token(usize::MAX - 1);
/// The first listener's.
pub(super) const FIRST_DOOR: usize = usize::MAX - 1 - limits::LISTENERS_MAX;
/// The gateway asks for one save at a time.
const SAVES_QUEUED_MAX: usize = 1;
const CHECK_REMEDY: &str = "correct it; loopgated --check shows it again";
const STORE_REMEDY: &str = "mend or move it; loopgated has left it as it was";
