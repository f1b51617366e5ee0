//! All clients together, in a thread of their own, and how to tell them what to do.
//!
//! Rule: whoever disturbs the gateway is another thread, so that a blow falls at any instant of the load.

mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Waker;

use crate::fates::{Blows, Law, Tally};
use crate::meter::Seen;
use crate::profile::{Part, Target};

use runner::Runner;

/// Who is wished for, and how they behave.
#[derive(Debug, Clone)]
pub struct Wish {
    pub law: Law,
    pub target: Target,
    pub steady: usize,
    pub idle: usize,
    /// One that everybody else hears of.
    pub beater: bool,
    /// Visitors at once.
    pub visitors: usize,
    /// Slow ones among them at once, besides.
    pub dawdlers: usize,
    /// How many visitors may still come; nobody counts them if there is none.
    pub visits: Option<usize>,
    /// The pause after a visit.
    pub visit_pause: Duration,
    /// Whether new calls are made.
    pub calling: bool,
    pub think: (Duration, Duration),
    pub beat: Duration,
    pub patience: Duration,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All that are wished for are there.
    Open,
    /// The same, and nobody owes anybody anything.
    Calm,
    /// The idle ones among them are at rest.
    Idle,
}

/// What was seen since the last reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    pub hellos: Seen,
    pub answers: Seen,
}

/// The end of it.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub tally: Tally,
    /// Admitted, by what for.
    pub opened: BTreeMap<Part, usize>,
    pub answered: usize,
    pub events: usize,
    /// Came, called and went.
    pub visits: usize,
}

/// The load.
pub struct Load {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    thread: JoinHandle<Account>,
    faults: Arc<AtomicUsize>,
    /// To be told of each blow.
    pub blows: Blows,
}

enum Order {
    Change(Box<dyn FnOnce(&mut Wish) + Send>),
    /// Idle clients call once: every one of them, or so many.
    AskIdle(usize),
    Read(Sender<Window>),
    Wait(Until, Sender<()>),
    Finish,
}

impl Wish {
    /// Nobody.
    pub fn new(law: Law, target: Target) -> Self {
        Self {
            law,
            target,
            steady: 0,
            idle: 0,
            beater: false,
            visitors: 0,
            dawdlers: 0,
            visits: None,
            visit_pause: Duration::from_millis(10),
            calling: true,
            think: (Duration::from_millis(10), Duration::from_millis(400)),
            beat: Duration::from_millis(500),
            patience: Duration::from_secs(20),
        }
    }

    fn count(&self, part: Part) -> usize {
        match part {
            Part::Steady => self.steady,
            Part::Idle => self.idle,
            Part::Beater => usize::from(self.beater),
            Part::Dawdler => self.dawdlers,
            Part::Visitor => self.visits.map_or(self.visitors, |left| left.min(self.visitors)),
        }
    }
}

impl Load {
    pub fn start(wish: Wish, seed: u64) -> Self {
        let (orders, inbox) = channel();
        let (blows, faults) = (Blows::default(), Arc::new(AtomicUsize::new(0)));
        let (hand, made) = channel();
        let (theirs, wrong) = (blows.clone(), Arc::clone(&faults));
        let thread = std::thread::spawn(move || {
            let (runner, waker) = Runner::new(wish, seed, theirs, wrong);
            hand.send(waker).expect("somebody waits");
            runner.run(&inbox)
        });
        let waker = made.recv().expect("a waker");
        Self { orders, waker, thread, faults, blows }
    }

    pub fn change(&self, change: impl FnOnce(&mut Wish) + Send + 'static) {
        self.order(Order::Change(Box::new(change)));
    }

    /// Idle clients call once, at most so many of them.
    pub fn ask_idle(&self, count: usize) {
        self.order(Order::AskIdle(count));
    }

    /// What was seen since the last reading.
    pub fn read(&self) -> Window {
        let (send, receive) = channel();
        self.order(Order::Read(send));
        Self::receive(&receive, Duration::from_secs(60)).expect("the load is alive")
    }

    /// Whether it came to that within `patience`.
    pub fn wait(&self, until: Until, patience: Duration) -> bool {
        let (send, receive) = channel();
        self.order(Order::Wait(until, send));
        Self::receive(&receive, patience).is_some()
    }

    /// Faults so far.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::Relaxed)
    }

    pub fn finish(self) -> Account {
        self.order(Order::Finish);
        self.thread.join().expect("the load ends by itself")
    }

    fn order(&self, order: Order) {
        // A load that has ended shows when it is joined.
        drop(self.orders.send(order));
        self.waker.wake().expect("a waker");
    }

    fn receive<T>(from: &Receiver<T>, patience: Duration) -> Option<T> {
        from.recv_timeout(patience).ok()
    }
}
