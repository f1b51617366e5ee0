//! Failed attempts, counted by source. Rule: a source is what the kernel and the settings say, never an address or a
//! name as the peer spells it, so that no other spelling starts a new count.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::facts::PeerClass;
use super::origin::{Origin, OriginClass};
use super::surroundings::Surroundings;
use crate::clock::Now;
use crate::limits::PENALTY_SOURCES_MAX;

/// Who an attempt is put down to. A stored format: a hand-over carries the names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The owner's and root's own programs, without browser and proxy.
    Owner,
    /// The programs of another user.
    Uid(u32),
    /// Programs whose user the kernel does not tell.
    UnknownUid,
    /// Everything that comes through a proxy and not from a page: whose it is, only the proxy says.
    Proxied,
    /// Pages of one origin, whoever's browser it is.
    Browser(OriginKey),
}

/// An origin as a key. A stored format: a hand-over carries the names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginKey {
    /// Our own pages, under whatever name of this machine.
    Own,
    /// The pages of an origin that the settings name.
    Allowed(Origin),
    /// All others.
    Foreign,
}

/// How many attempts may fail, and what follows: `gateway.auth.rateLimit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Failures that are allowed in a window; one more is not tried.
    pub attempts: u32,
    /// The window that they are counted in.
    pub window: Duration,
    /// How long a source stays locked out.
    pub lockout: Duration,
    /// Whether [`Source::Owner`] is spared. Browsers never are.
    pub exempt_owner: bool,
}

/// The failures that are remembered.
#[derive(Debug)]
pub struct Penalty {
    tries: Tries,
    sources: BTreeMap<Source, Count>,
    /// Stands for every source for which there is no room while all others are locked out.
    overflow: Count,
}

/// One source's count as plain values, relative to the time of [`Penalty::export`]: what a hand-over carries. A stored
/// format, in which spans are whole microseconds; a field that is added needs a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Whose.
    pub source: Source,
    /// How long ago each remembered failure was, oldest first.
    #[serde(default, with = "micros::list")]
    pub failures_age: Vec<Duration>,
    /// How much of a lockout is left.
    #[serde(default, with = "micros::option", skip_serializing_if = "Option::is_none")]
    pub locked: Option<Duration>,
}

#[derive(Debug, Clone, Default)]
struct Count {
    failures: VecDeque<Instant>,
    locked_until: Option<Instant>,
}

impl Source {
    /// The source of an attempt.
    pub fn of(peer: PeerClass, surroundings: &Surroundings) -> Self {
        match &surroundings.origin {
            OriginClass::Own => return Self::Browser(OriginKey::Own),
            OriginClass::Allowed(origin) => return Self::Browser(OriginKey::Allowed(origin.clone())),
            OriginClass::Foreign => return Self::Browser(OriginKey::Foreign),
            OriginClass::Absent => {}
        }
        match peer {
            _ if surroundings.forwarded.is_some() => Self::Proxied,
            PeerClass::Owner => Self::Owner,
            PeerClass::Allowed(uid) | PeerClass::Other(uid) => Self::Uid(uid),
            PeerClass::Unknown => Self::UnknownUid,
        }
    }
}

impl Penalty {
    /// Nothing remembered.
    pub fn new(tries: Tries) -> Self {
        Self { tries, sources: BTreeMap::new(), overflow: Count::default() }
    }

    /// Other numbers from now on. Lockouts that have begun keep their end.
    pub fn set_tries(&mut self, tries: Tries) {
        self.tries = tries;
    }

    /// How long `source` is still locked out; `None` if it may try. Ask before looking at any secret.
    pub fn locked(&self, source: &Source, now: Now) -> Option<Duration> {
        if self.spares(source) {
            return None;
        }
        self.sources.get(source).unwrap_or(&self.overflow).locked(now)
    }

    /// Notes one failed attempt, whatever it consisted of. `Some` if it is the one that begins a lockout of that length.
    pub fn failed(&mut self, source: &Source, now: Now) -> Option<Duration> {
        if self.spares(source) {
            return None;
        }
        let tries = self.tries;
        self.count_mut(source, now).fail(&tries, now)
    }

    /// Forgets the failures of a source that has got in.
    pub fn succeeded(&mut self, source: &Source) {
        self.sources.remove(source);
    }

    /// What is remembered.
    pub fn export(&self, now: Now) -> Vec<Tally> {
        let age = |then: &Instant| now.mono.saturating_duration_since(*then);
        let tally = |(source, count): (&Source, &Count)| Tally {
            source: source.clone(),
            failures_age: count.failures.iter().map(age).collect(),
            locked: count.locked(now),
        };
        self.sources.iter().map(tally).collect()
    }

    /// Remembers what [`Penalty::export`] gave; times that this machine's clock cannot express are left out. `now` is
    /// the time of the export if this clock can show it, so that the time between counts; else the present.
    pub fn import(&mut self, tallies: impl IntoIterator<Item = Tally>, now: Now) {
        for tally in tallies.into_iter().take(PENALTY_SOURCES_MAX) {
            let failures = tally.failures_age.iter().filter_map(|age| now.mono.checked_sub(*age)).collect();
            let locked_until = tally.locked.and_then(|left| now.mono.checked_add(left));
            self.sources.insert(tally.source, Count { failures, locked_until });
        }
    }

    fn spares(&self, source: &Source) -> bool {
        *source == Source::Owner && self.tries.exempt_owner
    }

    /// The count of `source`; makes room by forgetting what is over, then whoever failed longest ago and is not locked
    /// out. A lockout is never forgotten before its end, however many other sources fail.
    fn count_mut(&mut self, source: &Source, now: Now) -> &mut Count {
        if !self.sources.contains_key(source) && self.sources.len() >= PENALTY_SOURCES_MAX {
            let window = self.tries.window;
            self.sources.retain(|_, count| count.locked(now).is_some() || count.is_recent(window, now));
            if self.sources.len() >= PENALTY_SOURCES_MAX && !self.forget_oldest(now) {
                return &mut self.overflow;
            }
        }
        self.sources.entry(source.clone()).or_default()
    }

    fn forget_oldest(&mut self, now: Now) -> bool {
        let open = self.sources.iter().filter(|(_, count)| count.locked(now).is_none());
        let oldest = open.min_by_key(|(_, count)| count.failures.back().copied());
        let oldest = oldest.map(|(source, _)| source.clone());
        oldest.is_some_and(|source| self.sources.remove(&source).is_some())
    }
}

impl Count {
    fn locked(&self, now: Now) -> Option<Duration> {
        let left = self.locked_until?.saturating_duration_since(now.mono);
        (!left.is_zero()).then_some(left)
    }

    fn is_recent(&self, window: Duration, now: Now) -> bool {
        self.failures.back().is_some_and(|last| now.mono.saturating_duration_since(*last) < window)
    }

    fn fail(&mut self, tries: &Tries, now: Now) -> Option<Duration> {
        if self.locked(now).is_some() {
            return None;
        }
        let old = |then: &Instant| now.mono.saturating_duration_since(*then) >= tries.window;
        while self.failures.front().is_some_and(old) {
            self.failures.pop_front();
        }
        self.failures.push_back(now.mono);
        if self.failures.len() < usize::try_from(tries.attempts).unwrap_or(usize::MAX) {
            return None;
        }
        self.failures.clear();
        self.locked_until = now.mono.checked_add(tries.lockout);
        self.locked(now)
    }
}

/// Spans as whole microseconds.
mod micros {
    use std::time::Duration;

    /// A list of them.
    pub(super) mod list {
        use serde::{Deserialize, Deserializer, Serializer};

        use super::Duration;

        pub(in super::super) fn serialize<S: Serializer>(
            spans: &[Duration],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(spans.iter().copied().map(crate::clock::micros))
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Vec<Duration>, D::Error> {
            let micros = Vec::<u64>::deserialize(deserializer)?;
            Ok(micros.into_iter().map(Duration::from_micros).collect())
        }
    }

    /// One, or none.
    pub(super) mod option {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use super::Duration;

        #[expect(clippy::ref_option, reason = "serde gives a field as a reference")]
        pub(in super::super) fn serialize<S: Serializer>(
            span: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            span.map(crate::clock::micros).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_micros))
        }
    }
}
