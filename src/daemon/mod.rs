//! The shell around the gateway: sockets, files, threads, signals, the service manager, the journal.
//!
//! Rule: one thread turns, and never waits for anything but events. Each turn reads the clock once, feeds what came to
//! the gateway, and does what the gateway says; what may block is done by threads that exchange values with it.

mod activation;
mod conn;
mod dial;
mod door;
mod dump;
mod files;
mod handover;
mod manager;
mod peer;
mod resume;
mod setup;
mod signal;
mod sink;
mod start;
mod store;
mod stream;
mod worker;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event;
use mio::{Events, Poll};

use crate::clock::Now;
use crate::config::Exit;
use crate::gateway::job::Job;
use crate::gateway::{Gateway, Input, Output, Ticket};
use crate::journal::{Entry, Field, Kind};
use crate::limits;

use conn::Conns;
use dial::Dialler;
use door::Doors;
use manager::Manager;
use signal::{Signals, Wish};
use sink::Sink;
pub use start::main;
use worker::{Report, Reports, Untaken, Worker};

/// Everything outside the gateway.
struct Shell {
    /// epoll.
    poll: Poll,
    /// SIGTERM, SIGINT, SIGHUP.
    signals: Signals,
    reports: Reports,
    /// Who comes in.
    doors: Doors,
    /// Who is in.
    conns: Conns,
    /// Where we are going.
    dialler: Dialler,
    manager: Manager,
    sink: Sink,
    /// Reads files.
    files: Worker<Task>,
    /// Writes the pairing store.
    store: Worker<Revision>,
    reload: Reload,
    /// The signalfd has something to say.
    signalled: bool,
    stopping: bool,
    /// Another process is to go on; since when we make ready for it.
    leaving: Option<Instant>,
    /// Ready was reached and told.
    ready: bool,
}

/// What the thread for files does.
enum Task {
    /// A job of the gateway's, with the time at which it was asked for.
    Run(Ticket, Box<Job>, Now),
    /// Reading the configuration.
    Reload,
}

/// What the thread for the pairing store writes.
struct Revision {
    /// Comes back with the result.
    number: u64,
    /// The whole file.
    bytes: Vec<u8>,
}

/// How far a reload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reload {
    /// Nobody asks for anything.
    Idle,
    /// The files are being read.
    Running,
    /// They are, and have to be read once more, for another SIGHUP came.
    Again,
}

impl Shell {
    /// Turns until the gateway has finished, a second signal comes, or something that is needed is gone. Then the
    /// threads get a bounded time for what is queued.
    fn run(mut self, mut gateway: Gateway) -> Exit {
        let exit = self.turn_until_end(&mut gateway);
        self.store.finish(limits::FAREWELL);
        self.manager.finish(limits::FAREWELL);
        self.sink.finish(limits::FAREWELL);
        exit
    }

    /// The loop. What it costs to turn is bounded: every step of a turn takes a bounded number of bytes, connections and
    /// rounds, and what is left over makes the next poll return at once.
    fn turn_until_end(&mut self, gateway: &mut Gateway) -> Exit {
        let mut events = Events::with_capacity(limits::EVENTS_TURN_MAX);
        let mut patience = Some(Duration::ZERO);
        loop {
            if let Err(error) = self.poll.poll(&mut events, patience) {
                if error.kind() != std::io::ErrorKind::Interrupted {
                    return self.end(&format!("epoll: {}", files::cause(&error)));
                }
            }
            let now = clock();
            events.iter().for_each(|event| self.note(event));
            if let Err(exit) = self.turn(gateway, now) {
                return exit;
            }
            let after = Instant::now();
            self.manager.turn(gateway.ready(), || status(gateway, &self.conns, &self.sink), after);
            self.observe(gateway, now, after);
            patience = self.patience(gateway, after);
        }
    }

    /// What happened goes in, what is to be done comes out.
    fn turn(&mut self, gateway: &mut Gateway, now: Now) -> Result<(), Exit> {
        self.obey(gateway, now)?;
        self.take_reports(gateway, now)?;
        if let Some(since) = self.leaving {
            return self.leave(gateway, since, now);
        }
        if let Some(entry) = self.doors.accept(&mut self.conns, gateway, now) {
            self.sink.push(entry);
        }
        self.dialler.turn(&mut self.conns, &mut self.doors, gateway, now);
        self.conns.read(gateway, now);
        self.conns.read_late(&gateway.expiring(now), gateway, now);
        gateway.expire(now);
        self.write_out(gateway, now)?;
        if let Some(entry) = self.conns.settle(gateway, now) {
            self.sink.push(entry);
        }
        Ok(())
    }

    /// Does what the gateway wants done, and what comes of that.
    fn write_out(&mut self, gateway: &mut Gateway, now: Now) -> Result<(), Exit> {
        for _ in 0..limits::ROUNDS_TURN_MAX {
            self.apply_all(gateway, now)?;
            if !self.conns.write(gateway, now) {
                return Ok(());
            }
        }
        self.apply_all(gateway, now)
    }

    /// A turn before a planned end: nothing new is read. When the disk has answered, or took too long, everything is saved
    /// as it stands; nobody waits for a peer.
    fn leave(&mut self, gateway: &mut Gateway, since: Instant, now: Now) -> Result<(), Exit> {
        self.write_out(gateway, now)?;
        if !gateway.settled() && now.mono < since + limits::HANDOVER_SETTLE {
            return Ok(());
        }
        gateway.handle(Input::HandOver, now);
        self.conns.park_legs(gateway, now);
        for conn in self.conns.unparked() {
            gateway.interrupt(conn, now);
        }
        self.write_out(gateway, now)?;
        let tally = self.conns.save(gateway, now);
        let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let entry = Entry::new(Kind::HandedOver).with(Field::Connections, tally.kept);
        self.sink.push(entry.with(Field::Count, tally.lost).with(Field::ElapsedUsec, took));
        Err(Exit::Ok)
    }

    /// Remembers what epoll says; nothing is done about it here.
    fn note(&mut self, event: &Event) {
        match event.token() {
            // Reports are asked for in each turn anyway; that costs no system call.
            start::WAKER => {}
            start::SIGNALS => self.signalled = true,
            token if token.0 >= start::FIRST_DOOR => self.doors.note(token.0 - start::FIRST_DOOR),
            _ => self.conns.note(event),
        }
    }

    /// Does what signals ask for.
    fn obey(&mut self, gateway: &mut Gateway, now: Now) -> Result<(), Exit> {
        if !std::mem::take(&mut self.signalled) {
            return Ok(());
        }
        while let Some(wish) = self.signals.next() {
            match wish {
                // Whoever asks twice does not want to wait for the clients.
                Wish::Leave | Wish::Stop if self.stopping => return Err(Exit::Ok),
                Wish::Leave if self.conns.outlive() => {
                    self.leaving.get_or_insert(now.mono);
                    self.manager.stopping();
                    self.doors.shut();
                }
                Wish::Leave | Wish::Stop => {
                    self.stopping = true;
                    self.leaving = None;
                    self.sink.push(Entry::new(Kind::Stop).with(Field::Connections, self.conns.len()));
                    self.manager.stopping();
                    self.doors.shut();
                    gateway.handle(Input::Stop, now);
                }
                Wish::Reload => self.begin_reload()?,
            }
        }
        Ok(())
    }

    /// Has the files read again. One reading at a time; however many signals come meanwhile, one more follows.
    fn begin_reload(&mut self) -> Result<(), Exit> {
        match self.reload {
            Reload::Idle => {
                self.manager.reloading();
                self.reload = Reload::Running;
                taken(self.files.give(Task::Reload)).map_err(|why| self.end(why))
            }
            Reload::Running | Reload::Again => {
                self.reload = Reload::Again;
                Ok(())
            }
        }
    }

    /// Passes on what the threads have done.
    fn take_reports(&mut self, gateway: &mut Gateway, now: Now) -> Result<(), Exit> {
        while let Some(report) = self.reports.next() {
            match report {
                Report::Done(ticket, outcome) => gateway.handle(Input::Done { ticket, outcome }, now),
                Report::Saved(revision, result) => gateway.handle(Input::Saved { revision, result }, now),
                Report::Reloaded(result) => {
                    match result {
                        Ok(setup) => gateway.handle(Input::Reload(setup), now),
                        Err(cause) => self.sink.push(reload_failed(cause)),
                    }
                    self.end_reload()?;
                }
                Report::Ended(name) => {
                    return Err(self.end(&format!("the thread {name} has ended")));
                }
            }
        }
        Ok(())
    }

    /// A failed reload is over as well: a manager that heard RELOADING waits for READY.
    fn end_reload(&mut self) -> Result<(), Exit> {
        let again = self.reload == Reload::Again;
        self.reload = Reload::Idle;
        self.manager.reloaded();
        if again { self.begin_reload() } else { Ok(()) }
    }

    /// Does everything that the gateway wants done by now.
    fn apply_all(&mut self, gateway: &mut Gateway, now: Now) -> Result<(), Exit> {
        while let Some(output) = gateway.poll_output() {
            self.apply(output, gateway, now)?;
        }
        Ok(())
    }

    /// What may block is handed over to a thread; the rest is done here, but for writing, which waits until everything
    /// that a turn has to say is there.
    fn apply(&mut self, output: Output, gateway: &mut Gateway, now: Now) -> Result<(), Exit> {
        let mut given = Ok(());
        match output {
            Output::Flush(conn) => self.conns.queue_write(conn),
            Output::HalfClose(conn) => self.conns.half_close(conn),
            Output::Close(conn) => {
                self.conns.close(conn, Instant::now());
                self.doors.resume();
            }
            Output::Dial { conn, port } => {
                if let Err(error) = self.dialler.dial(conn, port, &mut self.conns, now.mono) {
                    gateway.handle(dial::failure(conn, &error), now);
                }
            }
            Output::Journal(entry) => self.sink.push(entry),
            Output::Run { ticket, job } => given = self.files.give(Task::Run(ticket, job, clock())),
            Output::Save { revision, bytes } => given = self.store.give(Revision { number: revision, bytes }),
            Output::Finished => return Err(Exit::Ok),
        }
        taken(given).map_err(|why| self.end(why))
    }

    /// Ends for a fault of our own, explained.
    fn end(&self, cause: &str) -> Exit {
        self.sink.push(start::failure_entry(Kind::Fault, cause, FAULT_REMEDY));
        Exit::Internal
    }

    /// Tells the journal of the first readiness and of turns that took too long.
    fn observe(&mut self, gateway: &Gateway, begun: Now, after: Instant) {
        if !self.ready && gateway.ready() {
            self.ready = true;
            self.sink.push(Entry::new(Kind::Ready));
        }
        let took = after.saturating_duration_since(begun.mono);
        if took > limits::TURN_LATE {
            let usec = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let entry = Entry::new(Kind::WatchdogLate).with(Field::ElapsedUsec, usec);
            self.sink.push(entry.with(Field::Connections, self.conns.len()));
        }
    }

    /// How long the next poll may wait: not at all if something is left to do.
    fn patience(&self, gateway: &Gateway, now: Instant) -> Option<Duration> {
        if let Some(since) = self.leaving {
            return Some((since + limits::HANDOVER_SETTLE).saturating_duration_since(now));
        }
        if self.conns.busy(gateway) || self.doors.busy(gateway) {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            gateway.deadline(),
            self.manager.deadline(),
            self.doors.deadline(),
            self.conns.deadline(),
            self.dialler.deadline(),
        ];
        deadlines.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }
}

/// Both clocks. A wall clock before 1970 counts as 1970.
fn clock() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Instant::now(), unix_ms: crate::clock::millis(since) }
}

/// The gateway's own line, and what it cannot know.
fn status(gateway: &Gateway, conns: &Conns, sink: &Sink) -> String {
    let line = gateway.status_line();
    let parked = conns.parked().map_or_else(String::new, |parked| format!("; {parked} parked"));
    match sink.dropped() {
        0 => line + &parked,
        dropped => format!("{line}{parked}; {dropped} journal entries dropped"),
    }
}

fn reload_failed(cause: String) -> Entry {
    Entry::new(Kind::ReloadFailed).with(Field::Cause, cause).with(Field::Remedy, RELOAD_REMEDY)
}

const RELOAD_REMEDY: &str = "correct the file, then reload again";
const FAULT_REMEDY: &str = "report it with the journal of loopgated; systemd starts it again";

/// The gateway keeps to the bounds of the queues, so that one that is full is a fault.
fn taken(given: Result<(), Untaken>) -> Result<(), &'static str> {
    given.map_err(|untaken| match untaken {
        Untaken::Full => "more work was asked for than is ever allowed to wait",
        Untaken::Ended => "a thread that is needed has ended",
    })
}
