//! What the gateway says to a client.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{GOODBYE, News, Peer, Stage, Terms};
use crate::fates::{End, Fault};
use crate::frames::{self, Frame};

/// Any frame of the gateway.
#[derive(Debug, Deserialize)]
struct Incoming<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    ok: Option<bool>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    seq: Option<u64>,
    #[serde(rename = "stateVersion")]
    version: Option<Version>,
}

/// How often the presence list and the health snapshot have changed.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Version {
    presence: u64,
    health: u64,
}

impl Peer {
    pub(super) fn frame(&mut self, frame: Frame, now: Instant, terms: &Terms, news: &mut Vec<News>) {
        match frame {
            Frame::Text(text) => self.text(&text, now, terms, news),
            Frame::Ping(payload) => {
                self.note(now, "< ping".to_owned());
                let due = self.ping_due.replace(now + PING);
                punctual("ping", due, now, news);
                self.queue(frames::pong(&payload), now, None);
            }
            Frame::Pong => self.wrong(Fault::FrameBroken, "a pong without a ping".to_owned(), now, news),
            Frame::Close(GOODBYE, _) if self.stage == Stage::Leaving && self.goodbye_at.is_some() => {
                self.note(now, "< close 1000".to_owned());
                self.goodbye_at = None;
            }
            Frame::Close(code, reason) => self.over(End::Closed(code, reason), now, news),
        }
    }

    fn text(&mut self, text: &str, now: Instant, terms: &Terms, news: &mut Vec<News>) {
        self.note(now, format!("< {text:.160}"));
        let incoming: Incoming<'_> = match serde_json::from_str(text) {
            Ok(incoming) => incoming,
            Err(error) => return self.wrong(Fault::FrameBroken, format!("{error}: {text:.200}"), now, news),
        };
        match (&*incoming.kind, incoming.event.as_deref()) {
            ("event", Some("connect.challenge")) if self.stage == Stage::Challenged => {
                let payload = value(incoming.payload);
                let params = self.profile.connect(payload["nonce"].as_str().unwrap_or_default());
                let frame = json!({"type": "req", "id": CONNECT, "method": "connect", "params": params});
                self.stage = Stage::Connecting;
                self.spoke_at = None;
                let fragments = 1 + self.seed.below(2);
                let due = self.dawdle(now);
                self.cut(frames::text(&frame.to_string(), fragments), due, None);
            }
            ("event", Some(event)) => {
                self.event(event, incoming.seq, now, news);
                if let Some(version) = incoming.version {
                    self.version(version, news);
                }
            }
            ("res", None) => self.answer(&incoming, now, terms, news),
            _ => self.wrong(Fault::FrameBroken, format!("an unknown frame: {text:.200}"), now, news),
        }
    }

    fn event(&mut self, name: &str, seq: Option<u64>, now: Instant, news: &mut Vec<News>) {
        if name == "shutdown" {
            news.push(News::Fault(Fault::ShutdownTold, "told of a shutdown".to_owned()));
        }
        if name == "tick" {
            let due = self.tick_due.replace(now + TICK);
            punctual(name, due, now, news);
        }
        let Some(seq) = seq else { return };
        // A newcomer of protocol 3 is told of health alone.
        if self.profile.part.stays() && (seq, name) != (1, "health") {
            news.push(News::Heard);
        }
        if seq != self.seq + 1 {
            let what = format!("event {name} has number {seq} after {}", self.seq);
            news.push(News::Fault(Fault::SequenceBroken, what));
        }
        self.seq = seq;
    }

    /// Versions never go back, whichever process counts them.
    fn version(&mut self, version: Version, news: &mut Vec<News>) {
        let before = std::mem::replace(&mut self.version, version);
        if version.presence < before.presence || version.health < before.health {
            let what = format!("state {version:?} after {before:?}");
            news.push(News::Fault(Fault::SequenceBroken, what));
        }
    }

    fn answer(&mut self, incoming: &Incoming<'_>, now: Instant, terms: &Terms, news: &mut Vec<News>) {
        let id = incoming.id.as_deref().unwrap_or_default();
        let ok = incoming.ok == Some(true);
        let raw = incoming.error.map_or("", RawValue::get);
        if self.stage == Stage::Connecting && id == CONNECT {
            if !ok {
                return self.wrong(Fault::FailedHandshake, format!("connect: {raw:.200}"), now, news);
            }
            return self.hello(&value(incoming.payload), now, terms, news);
        }
        let own = id.strip_prefix(&format!("{}-", self.number)).and_then(|number| number.parse::<u64>().ok());
        let Some(call) = own.and_then(|number| self.calls.remove(&number)) else {
            let doubled = id == CONNECT || own.is_some_and(|number| number <= self.last_call);
            let fault = if doubled { Fault::AnswerDoubled } else { Fault::AnswerUnknown };
            return news.push(News::Fault(fault, format!("an answer to {id} is not awaited")));
        };
        let checked =
            if ok { call.question.check(&value(incoming.payload)) } else { Err(format!("{id}: {raw:.200}")) };
        if let Err(problem) = checked {
            news.push(News::Fault(Fault::AnswerWrong, problem));
        }
        let Some(whole) = call.whole else {
            return news.push(News::Fault(Fault::AnswerUnknown, format!("{id} was not sent yet")));
        };
        news.push(News::Answered(now.saturating_duration_since(whole)));
        if self.calls.is_empty() {
            self.rest(now, terms);
        }
    }

    fn hello(&mut self, payload: &Value, now: Instant, terms: &Terms, news: &mut Vec<News>) {
        if let Err(problem) = self.profile.check(payload) {
            news.push(News::Fault(Fault::ScopesChanged, problem));
        }
        news.push(News::Open(now.saturating_duration_since(self.began).saturating_sub(self.paused)));
        self.stage = Stage::Open;
        self.tick_due = Some(now + TICK);
        self.ping_due = (self.profile.protocol == 4).then(|| now + PING);
        self.rest(now, terms);
    }
}

/// A tick or a ping that comes long before its time.
fn punctual(name: &str, due: Option<Instant>, now: Instant, news: &mut Vec<News>) {
    let early = due.map_or(TICK, |due| due.saturating_duration_since(now));
    if early > EARLY {
        news.push(News::Fault(Fault::TickTooSoon, format!("a {name} comes {early:?} too soon")));
    }
}

fn value(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// The id of the first request.
const CONNECT: &str = "connect";
/// The protocol's own.
const TICK: Duration = Duration::from_secs(30);
const PING: Duration = Duration::from_secs(25);
/// How much earlier than here they may be due there.
const EARLY: Duration = Duration::from_secs(2);
