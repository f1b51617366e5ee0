//! One client, without its socket: bytes and the time go in, bytes and [`News`] come out.
//!
//! Rule: whatever the gateway says is checked here, frame by frame, and remembered for the story of whoever is first to
//! suffer a fault.

mod hear;
mod say;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::common::Seed;
use crate::fates::{End, Fault, Standing};
use crate::frames::{self, Reader};
use crate::live::head;
use crate::profile::Profile;
use crate::talk::{Call, Files, Question};
use hear::Version;

/// How clients behave at the moment.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whether new calls are made.
    pub calling: bool,
    /// The pause between an answer and the next call.
    pub think: (Duration, Duration),
    /// The pause of the one that everybody hears.
    pub beat: Duration,
    /// Anything that takes longer is lost.
    pub patience: Duration,
    pub files: Files,
}

/// What others have to know.
#[derive(Debug)]
pub enum News {
    /// The handshake is over, and took so long.
    Open(Duration),
    /// A call was answered.
    Answered(Duration),
    /// An event that others hear too.
    Heard,
    /// It ended as it wanted to.
    Left,
    /// It was ended.
    Ended(End, Standing),
    Fault(Fault, String),
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Dialling,
    Upgrading,
    Challenged,
    Connecting,
    Open,
    Leaving,
    Over,
}

/// One client.
#[derive(Debug)]
pub struct Peer {
    pub profile: Profile,
    number: u64,
    port: u16,
    stage: Stage,
    seed: Seed,
    reader: Reader,
    /// What is to be sent, and when at the earliest.
    out: VecDeque<Piece>,
    calls: BTreeMap<u64, Call>,
    last_call: u64,
    /// The number of the last event.
    seq: u64,
    version: Version,
    began: Instant,
    /// How long it has held back what it had to say.
    paused: Duration,
    /// When bytes last went in or came out, the newest at the end.
    moved: VecDeque<Instant>,
    /// When the first byte went out of what the handshake waits for an answer to.
    spoke_at: Option<Instant>,
    goodbye_at: Option<Instant>,
    next_burst: Option<Instant>,
    tick_due: Option<Instant>,
    ping_due: Option<Instant>,
    history: VecDeque<(Instant, String)>,
}

/// Bytes that leave together.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    sent: usize,
    due: Instant,
    /// The call whose first byte is in it.
    begins: Option<u64>,
    /// The call whose last byte is in it.
    ends: Option<u64>,
}

impl Peer {
    pub fn new(profile: Profile, number: u64, port: u16, seed: u64, now: Instant) -> Self {
        Self {
            profile,
            number,
            port,
            stage: Stage::Dialling,
            seed: Seed(seed),
            reader: Reader::default(),
            out: VecDeque::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            seq: 0,
            version: Version::default(),
            began: now,
            paused: Duration::ZERO,
            moved: VecDeque::new(),
            spoke_at: None,
            goodbye_at: None,
            next_burst: None,
            tick_due: None,
            ping_due: None,
            history: VecDeque::new(),
        }
    }

    // -- what happens outside --

    /// The connection stands.
    pub fn connected(&mut self, now: Instant) {
        if self.stage == Stage::Dialling {
            self.stage = Stage::Upgrading;
            self.note(now, "connected".to_owned());
            self.moved(now);
            let due = self.dawdle(now);
            self.queue(head(self.port, "/", "").into_bytes(), due, None);
        }
    }

    pub fn receive(&mut self, bytes: &[u8], now: Instant, terms: &Terms, news: &mut Vec<News>) {
        self.reader.push(bytes);
        self.moved(now);
        if self.stage == Stage::Upgrading {
            match self.reader.take_head() {
                Some(head) if head.starts_with("HTTP/1.1 101 ") => self.stage = Stage::Challenged,
                Some(head) => return self.over(End::Answered(head), now, news),
                None => return,
            }
        }
        while self.stage != Stage::Over {
            match self.reader.take_frame() {
                Ok(Some(frame)) => self.frame(frame, now, terms, news),
                Ok(None) => return,
                Err(problem) => return self.wrong(Fault::FrameBroken, problem, now, news),
            }
        }
    }

    /// Nothing more will come.
    pub fn eof(&mut self, now: Instant, news: &mut Vec<News>) {
        match self.stage {
            Stage::Over => {}
            // The close frame has come back already.
            Stage::Leaving if self.goodbye_at.is_none() => {
                self.stage = Stage::Over;
                news.push(News::Left);
            }
            _ => self.over(End::Silent { torn: self.reader.is_mid_frame() }, now, news),
        }
    }

    /// Bytes that may leave now.
    pub fn sendable(&self, now: Instant) -> &[u8] {
        match self.out.front() {
            Some(piece) if piece.due <= now => &piece.bytes[piece.sent..],
            _ => &[],
        }
    }

    /// So many of them have left.
    pub fn sent(&mut self, count: usize, now: Instant) {
        self.moved(now);
        self.spoke_at.get_or_insert(now);
        let Some(piece) = self.out.front_mut() else { return };
        piece.sent += count;
        if let Some(call) = piece.begins.take().and_then(|id| self.calls.get_mut(&id)) {
            call.began = Some(now);
        }
        if piece.sent == piece.bytes.len() {
            if let Some(call) = piece.ends.and_then(|id| self.calls.get_mut(&id)) {
                call.whole = Some(now);
            }
            self.out.pop_front();
        }
    }

    /// When [`Peer::expire`] or [`Peer::sendable`] has something to give; not bytes, if the kernel takes none.
    pub fn due(&self, terms: &Terms, blocked: bool) -> Option<Instant> {
        if self.stage == Stage::Over {
            return None;
        }
        let piece = self.out.front().filter(|_| !blocked).map(|piece| piece.due);
        let burst = self.next_burst.filter(|_| self.may_call(terms));
        [piece, burst, self.limit(terms)].into_iter().flatten().min()
    }

    pub fn expire(&mut self, now: Instant, terms: &Terms, news: &mut Vec<News>) {
        if self.limit(terms).is_some_and(|limit| limit <= now) {
            let (fault, what) = match self.stage {
                Stage::Open => (Fault::AnswerLost, format!("no answer in {:?}", terms.patience)),
                Stage::Leaving => (Fault::GoodbyeUnanswered, format!("no end in {:?}", terms.patience)),
                _ => (Fault::FailedHandshake, format!("no handshake in {:?}", terms.patience)),
            };
            return self.wrong(fault, what, now, news);
        }
        if self.may_call(terms) && self.next_burst.is_some_and(|due| due <= now) {
            self.next_burst = None;
            self.burst(now, terms);
        }
    }

    // -- what it is told to do --

    /// One call, now.
    pub fn ask(&mut self, now: Instant) {
        if self.stage == Stage::Open && self.calls.is_empty() {
            let bytes = self.call(Question::Health, None, 1);
            self.note(now, format!("> {}-{}", self.number, self.last_call));
            self.queue(bytes, now, Some(self.last_call));
        }
    }

    /// Says goodbye.
    pub fn leave(&mut self, now: Instant) {
        if self.stage == Stage::Open {
            self.stage = Stage::Leaving;
            self.goodbye_at = Some(now);
            self.note(now, "> close 1000".to_owned());
            self.queue(frames::close(GOODBYE), now, None);
        }
    }

    // -- how it is --

    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    pub fn is_arriving(&self) -> bool {
        !matches!(self.stage, Stage::Open | Stage::Leaving | Stage::Over)
    }

    /// Open, and nothing is owed in either direction.
    pub fn is_calm(&self) -> bool {
        self.stage == Stage::Open && self.calls.is_empty() && self.out.is_empty()
    }

    fn standing(&self) -> Standing {
        let in_handshake = self.is_arriving();
        let asked_at = self.calls.values().filter_map(|call| call.began).min();
        Standing {
            in_handshake,
            upgraded: !matches!(self.stage, Stage::Dialling | Stage::Upgrading),
            began: self.began,
            goodbye_at: self.goodbye_at,
            asked_at: if in_handshake { self.spoke_at } else { asked_at },
            moved: self.moved.clone().into(),
            due: [self.tick_due, self.ping_due],
            hears: self.profile.hears(),
        }
    }

    /// Who it is and what it has seen last.
    pub fn story(&self, what: &str, now: Instant) -> String {
        let ago = |at: Instant| now.saturating_duration_since(at).as_secs_f64() * 1e3;
        let profile = &self.profile;
        let mut story = format!(
            "{what}\n  client {} ({:?}, protocol {}, door {:?}), begun {:.1} ms ago; {} calls open, {} pieces unsent",
            self.number,
            profile.part,
            profile.protocol,
            profile.door,
            ago(self.began),
            self.calls.len(),
            self.out.len(),
        );
        for (at, line) in &self.history {
            story += &format!("\n  {:>10.1} ms  {line}", -ago(*at));
        }
        story
    }

    // -- inside --

    /// When what is awaited counts as lost.
    fn limit(&self, terms: &Terms) -> Option<Instant> {
        let since = match self.stage {
            Stage::Over => None,
            Stage::Open => self.calls.values().filter_map(|call| call.began).min(),
            Stage::Leaving => self.goodbye_at.or(self.moved.back().copied()),
            _ => Some(self.began),
        };
        since.map(|since| since + terms.patience)
    }

    fn over(&mut self, end: End, now: Instant, news: &mut Vec<News>) {
        self.note(now, format!("< {end:?}"));
        news.push(News::Ended(end, self.standing()));
        self.stage = Stage::Over;
    }

    /// A fault after which nothing more is to be learned from this connection.
    fn wrong(&mut self, fault: Fault, what: String, now: Instant, news: &mut Vec<News>) {
        self.note(now, format!("! {what}"));
        news.push(News::Fault(fault, what));
        self.stage = Stage::Over;
    }

    fn moved(&mut self, now: Instant) {
        if self.moved.len() == MOVES_KEPT {
            self.moved.pop_front();
        }
        self.moved.push_back(now);
    }

    fn note(&mut self, now: Instant, line: String) {
        if self.history.len() == HISTORY_LINES {
            self.history.pop_front();
        }
        self.history.push_back((now, line));
    }
}

const GOODBYE: u16 = 1000;
const HISTORY_LINES: usize = 24;
/// More than anybody does while it has no answer.
const MOVES_KEPT: usize = 24;
