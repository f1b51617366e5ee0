//! The loop that all clients live in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use super::{Account, Order, Until, Window, Wish};
use crate::fates::{Blows, Broadcasts, End, Fault, Standing, Verdict};
use crate::meter::Meter;
use crate::peer::{News, Peer, Terms};
use crate::profile::{Part, Profile};
use crate::socket::Socket;
use crate::talk::Files;

/// Everything.
pub(super) struct Runner {
    poll: Poll,
    wish: Wish,
    terms: Terms,
    seed: u64,
    next_number: u64,
    /// Where the next one is who is asked to call.
    asked: usize,
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
    here: BTreeMap<Part, usize>,
    arriving: usize,
    /// When each client has something to do, as it was when it was entered.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When visitors may come again.
    visits_from: Instant,
    broadcasts: Broadcasts,
    blows: Blows,
    faults: Arc<AtomicUsize>,
    hellos: Meter,
    answers: Meter,
    account: Account,
    waiting: Vec<(Until, Sender<()>)>,
    /// What was just read.
    buffer: Vec<u8>,
}

struct Client {
    peer: Peer,
    socket: Socket,
    connected: bool,
    /// The kernel takes no more at the moment, or for ever.
    blocked: bool,
    arriving: bool,
    timer: Option<Instant>,
}

impl Runner {
    pub(super) fn new(wish: Wish, seed: u64, blows: Blows, faults: Arc<AtomicUsize>) -> (Self, Arc<Waker>) {
        let poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).expect("a waker"));
        let terms = terms(&wish, &Files::default());
        let runner = Self {
            poll,
            wish,
            terms,
            seed,
            next_number: 0,
            asked: 0,
            slots: Vec::new(),
            free: Vec::new(),
            here: BTreeMap::new(),
            arriving: 0,
            timers: BinaryHeap::new(),
            visits_from: Instant::now(),
            broadcasts: Broadcasts::default(),
            blows,
            faults,
            hellos: Meter::new(),
            answers: Meter::new(),
            account: Account::default(),
            waiting: Vec::new(),
            buffer: vec![0; READ_BYTES],
        };
        (runner, waker)
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) -> Account {
        let mut events = Events::with_capacity(1_024);
        loop {
            while let Ok(order) = orders.try_recv() {
                if matches!(order, Order::Finish) {
                    return self.account;
                }
                self.obey(order);
            }
            self.refill();
            self.tell();
            match self.poll.poll(&mut events, Some(self.pause())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result.expect("a poll"),
            }
            for event in &events {
                if event.token() != WAKER {
                    let writable = event.is_writable() || event.is_error() || event.is_write_closed();
                    self.happens(event.token().0, writable);
                }
            }
            self.expire();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Change(change) => {
                change(&mut self.wish);
                self.terms = terms(&self.wish, &self.terms.files);
                for slot in 0..self.slots.len() {
                    self.rewind(slot);
                }
            }
            Order::AskIdle(count) => {
                let now = Instant::now();
                let idle = (0..self.slots.len()).filter(|slot| {
                    self.slots[*slot].as_ref().is_some_and(|client| client.peer.profile.part == Part::Idle)
                });
                let mut asked: Vec<usize> = idle.collect();
                // Others every time.
                let first = self.asked % asked.len().max(1);
                asked.rotate_left(first);
                self.asked = first + count.min(asked.len());
                for slot in asked.into_iter().take(count) {
                    if let Some(client) = &mut self.slots[slot] {
                        client.peer.ask(now);
                    }
                    self.write(slot);
                }
            }
            Order::Read(to) => {
                let window = Window { hellos: self.hellos.take(), answers: self.answers.take() };
                to.send(window).unwrap_or_default();
            }
            Order::Wait(until, to) => self.waiting.push((until, to)),
            Order::Finish => {}
        }
    }

    /// Lets come whoever is missing.
    fn refill(&mut self) {
        let now = Instant::now();
        for part in [Part::Beater, Part::Visitor, Part::Dawdler, Part::Steady, Part::Idle] {
            while self.here.get(&part).copied().unwrap_or_default() < self.wish.count(part) {
                let full = self.arriving >= ARRIVING_MAX && part.stays();
                if full || !part.stays() && now < self.visits_from {
                    break;
                }
                if !self.come(part, now) {
                    return;
                }
            }
        }
    }

    /// Whether it could begin to come.
    fn come(&mut self, part: Part, now: Instant) -> bool {
        self.next_number += 1;
        let (number, target) = (self.next_number, &self.wish.target);
        let profile = Profile::new(part, number, target);
        let seed = self.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9));
        let peer = Peer::new(profile, number, target.port, seed, now);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let dialled = Socket::dial(peer.profile.door, target).and_then(|mut socket| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(slot), interest)?;
            Ok(socket)
        });
        let socket = match dialled {
            Ok(socket) => socket,
            Err(error) => {
                self.free.push(slot);
                self.fault(Fault::RefusedConnect, || peer.story(&error.to_string(), now));
                self.visits_from = now + AFTER_REFUSAL;
                return false;
            }
        };
        if let (Part::Visitor, Some(left)) = (part, &mut self.wish.visits) {
            *left -= 1;
        }
        *self.here.entry(part).or_default() += 1;
        self.arriving += 1;
        let client = Client { peer, socket, connected: false, blocked: true, arriving: true, timer: None };
        self.slots[slot] = Some(client);
        self.rewind(slot);
        true
    }

    /// Something happened on its socket.
    fn happens(&mut self, slot: usize, writable: bool) {
        let Some(Some(client)) = self.slots.get_mut(slot) else { return };
        let now = Instant::now();
        if !client.connected {
            match client.socket.is_connected() {
                Ok(false) => return,
                Ok(true) => {
                    client.connected = true;
                    client.peer.connected(now);
                }
                Err(error) => {
                    let story = client.peer.story(&error.to_string(), now);
                    self.fault(Fault::RefusedConnect, || story);
                    self.visits_from = now + AFTER_REFUSAL;
                    return self.bury(slot);
                }
            }
        }
        if writable {
            client.blocked = false;
        }
        self.read(slot);
        self.write(slot);
    }

    fn read(&mut self, slot: usize) {
        let mut news = Vec::new();
        while let Some(Some(client)) = self.slots.get_mut(slot).filter(|slot| slot.is_some()) {
            let now = Instant::now();
            match client.socket.receive(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some([])) | Err(_) => client.peer.eof(now, &mut news),
                Ok(Some(bytes)) => client.peer.receive(bytes, now, &self.terms, &mut news),
            }
            if client.peer.is_over() {
                break;
            }
        }
        self.spread(slot, news);
    }

    fn write(&mut self, slot: usize) {
        let Some(Some(client)) = self.slots.get_mut(slot) else { return };
        let now = Instant::now();
        while !client.blocked {
            let bytes = client.peer.sendable(now);
            if bytes.is_empty() {
                break;
            }
            match client.socket.send(bytes) {
                Ok(Some(count)) => client.peer.sent(count, now),
                // What broke the connection may still be there to be read.
                Ok(None) | Err(_) => client.blocked = true,
            }
        }
        self.rewind(slot);
    }

    /// Acts on every timer that has run out.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, slot))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.timers.pop();
            let Some(Some(client)) = self.slots.get_mut(slot) else { continue };
            if client.timer != Some(at) {
                continue;
            }
            client.timer = None;
            let mut news = Vec::new();
            client.peer.expire(now, &self.terms, &mut news);
            self.spread(slot, news);
            self.write(slot);
        }
    }

    /// Enters when the client has something to do next.
    fn rewind(&mut self, slot: usize) {
        let Some(Some(client)) = self.slots.get_mut(slot) else { return };
        // Bytes that the kernel does not take are not waited for by the clock.
        let due = client.peer.due(&self.terms, client.blocked);
        if due.is_some() && due != client.timer {
            client.timer = due;
            self.timers.extend(due.map(|due| Reverse((due, slot))));
        }
    }

    fn spread(&mut self, slot: usize, news: Vec<News>) {
        let now = Instant::now();
        for item in news {
            match item {
                News::Open(took) => self.hellos.happened(took, now),
                News::Answered(took) => {
                    self.account.answered += 1;
                    self.answers.happened(took, now);
                }
                News::Heard => {
                    self.account.events += 1;
                    self.broadcasts.heard(now);
                }
                News::Left => self.account.visits += 1,
                News::Ended(end, standing) => self.judge(slot, &end, &standing, now),
                News::Fault(fault, what) => {
                    let story = self.story(slot, &what, now);
                    self.fault(fault, || story);
                }
            }
        }
        let Some(Some(client)) = self.slots.get_mut(slot) else { return };
        if client.arriving && client.peer.is_open() {
            client.arriving = false;
            self.arriving -= 1;
            *self.account.opened.entry(client.peer.profile.part).or_default() += 1;
        }
        if client.peer.is_over() {
            if !client.peer.profile.part.stays() {
                self.visits_from = now + self.wish.visit_pause;
            }
            self.bury(slot);
        }
    }

    fn judge(&mut self, slot: usize, end: &End, standing: &Standing, now: Instant) {
        match self.wish.law.judge(end, standing, &self.blows, &self.broadcasts) {
            Verdict::Fine(inside) => {
                let Some(Some(client)) = self.slots.get(slot) else { return };
                let part = client.peer.profile.part;
                self.account.tally.ended(part, inside, standing, &self.blows);
            }
            Verdict::Wrong(fault) => {
                let story = self.story(slot, &format!("{end:?}"), now);
                self.fault(fault, || story);
            }
        }
    }

    fn story(&self, slot: usize, what: &str, now: Instant) -> String {
        match self.slots.get(slot) {
            Some(Some(client)) => client.peer.story(what, now),
            _ => what.to_owned(),
        }
    }

    fn fault(&mut self, fault: Fault, story: impl FnOnce() -> String) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.account.tally.fault(fault, story);
    }

    fn bury(&mut self, slot: usize) {
        let Some(mut client) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        self.poll.registry().deregister(&mut client.socket).expect("it was registered");
        if client.arriving {
            self.arriving -= 1;
        }
        if let Some(count) = self.here.get_mut(&client.peer.profile.part) {
            *count -= 1;
        }
        self.free.push(slot);
    }

    /// Tells those who wait for what is so now.
    fn tell(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let parts = [Part::Beater, Part::Steady, Part::Idle];
        let counted = parts
            .iter()
            .all(|part| self.here.get(part).copied().unwrap_or_default() >= self.wish.count(*part));
        let clients = || self.slots.iter().flatten().map(|client| &client.peer);
        let lasting = || clients().filter(|peer| peer.profile.part.stays());
        let open = counted && lasting().all(Peer::is_open);
        let calm = open && clients().all(Peer::is_calm);
        let idle = counted && lasting().filter(|peer| peer.profile.part == Part::Idle).all(Peer::is_calm);
        self.waiting.retain(|(until, to)| {
            let so = match until {
                Until::Open => open,
                Until::Calm => calm,
                Until::Idle => idle,
            };
            !(so && to.send(()).is_ok())
        });
    }

    fn pause(&self) -> Duration {
        let now = Instant::now();
        let timer = self.timers.peek().map(|Reverse((at, _))| at.saturating_duration_since(now));
        let visit = (self.wish.visitors + self.wish.dawdlers > 0)
            .then(|| self.visits_from.saturating_duration_since(now));
        let visit = visit.filter(|span| !span.is_zero());
        timer.into_iter().chain(visit).min().unwrap_or(PAUSE_MAX).min(PAUSE_MAX)
    }
}

fn terms(wish: &Wish, files: &Files) -> Terms {
    Terms {
        calling: wish.calling,
        think: wish.think,
        beat: wish.beat,
        patience: wish.patience,
        files: files.clone(),
    }
}

/// Read at once.
const READ_BYTES: usize = 64 * 1024;
const WAKER: Token = Token(usize::MAX);
/// Handshakes of lasting clients at once: they come fast, but not as a flood.
const ARRIVING_MAX: usize = 32;
/// After a refusal there is no hurry.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);
/// Whoever waits is told within this.
const PAUSE_MAX: Duration = Duration::from_millis(10);
