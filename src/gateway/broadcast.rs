//! Events out: who hears them, with which number, and what happens to a peer that does not keep up.
//!
//! `seq` counts per connection from 1, so that a client sees a gap only where something was left out for it. Events
//! for one connection only have no `seq`, as in OpenClaw.

use super::event::{Event, Source};
use super::io::ConnId;
use super::{Gateway, Recorder, Stage};
use crate::clock::Now;
use crate::journal::Field;
use crate::limits;
use crate::policy::scope::{self, Need};
use crate::wire::frame::{self, StateVersion};

/// An event on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct News<'a> {
    /// The wire name; must have a row in [`super::event::EVENTS`].
    pub(super) name: &'static str,
    /// The payload as JSON.
    pub(super) payload: &'a str,
    /// For `presence` and `health`.
    pub(super) version: Option<StateVersion>,
    /// Whether the next one of its kind makes this one useless: such events are left out for slow clients.
    pub(super) droppable: bool,
}

impl<'a> News<'a> {
    pub(super) fn new(name: &'static str, payload: &'a str) -> Self {
        Self { name, payload, version: None, droppable: false }
    }

    pub(super) fn droppable(self) -> Self {
        Self { droppable: true, ..self }
    }

    pub(super) fn with_version(self, version: StateVersion) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl Gateway {
    /// Sends an event to everybody who may hear it.
    pub(super) fn broadcast(&mut self, news: News<'_>, now: Now) {
        for conn in self.conns.ids() {
            self.publish(conn, news, now);
        }
    }

    /// Sends an event to one connection as part of its numbered stream, if it may hear it.
    pub(super) fn publish(&mut self, id: ConnId, news: News<'_>, now: Now) {
        // Whom the runtime tells of it hears it from there.
        if Event::find(news.name).is_some_and(|event| event.source == Source::UpstreamElseNative)
            && self.has_leg(id)
        {
            return;
        }
        self.publish_upstream(id, news, now);
    }

    /// The same for an event of the runtime's.
    pub(super) fn publish_upstream(&mut self, id: ConnId, news: News<'_>, now: Now) {
        let Some(seq) = self.admit_news(id, news, now) else {
            return;
        };
        let text = frame::event(news.name, news.payload, Some(seq), news.version);
        self.send(id, &text, now);
    }

    /// Sends an event to one connection outside its numbered stream, if it may hear it.
    pub(super) fn tell(&mut self, id: ConnId, name: &'static str, payload: &str, now: Now) {
        if self.may_hear(id, name, now) {
            let text = frame::event(name, payload, None, None);
            self.send(id, &text, now);
        }
    }

    /// The number of the event in this connection's stream, or none if it does not get it.
    fn admit_news(&mut self, id: ConnId, news: News<'_>, now: Now) -> Option<u64> {
        if !self.may_hear(id, news.name, now) {
            return None;
        }
        let conn = self.conns.get_mut(id)?;
        if news.droppable && conn.session.unsent() > limits::TX_DROPPABLE_BYTES_MAX {
            return None;
        }
        let member = conn.member_mut()?;
        member.seq += 1;
        Some(member.seq)
    }

    /// The scope decision about an event, by the same function as for methods.
    fn may_hear(&mut self, id: ConnId, name: &'static str, now: Now) -> bool {
        let Some(event) = Event::find(name) else {
            return false;
        };
        let Some(conn) = self.conns.get(id) else {
            return false;
        };
        let Stage::Member(member) = &conn.stage else {
            return false;
        };
        if event.need == Need::Nothing {
            return true;
        }
        let mut recorder =
            Recorder { ledger: &mut self.ledger, conn, field: Field::Event, request: None, now };
        scope::decide(event.need, &member.grant).record(event.name, &member.grant, &mut recorder).is_ok()
    }
}
