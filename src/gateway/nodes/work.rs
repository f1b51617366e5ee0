//! What waits until a node asks for it (`node.pending.enqueue` and `node.pending.drain`, protocol.md 8.3).
//!
//! Rule: one item of a kind is enough, so asking twice changes nothing; and every node finds a request for its status,
//! whether anybody asked or not.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::{Now, millis};
use crate::limits;

/// All queues. A stored format: they outlive a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Work {
    queues: BTreeMap<String, Queue>,
}

/// The queue of one node.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Queue {
    /// Counts changes.
    revision: u64,
    items: Vec<Item>,
}

/// Something that a node should do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// A UUID, or that of the baseline.
    pub id: String,
    /// `status.request` or `location.request`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// How soon.
    pub priority: Priority,
    /// ms since 1970.
    pub created_at_ms: u64,
    /// ms since 1970; the baseline has no end.
    pub expires_at_ms: Option<u64>,
}

/// How soon a node should do something; the most urgent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Of the baseline.
    Default,
    /// Unless the caller says otherwise.
    Normal,
    /// At once.
    High,
}

/// The answer to `node.pending.drain`, but for the node's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drained {
    /// Counts changes of the queue.
    pub revision: u64,
    /// The most urgent items, which are out of the queue now.
    pub items: Vec<Item>,
    /// Whether some are left.
    pub has_more: bool,
}

/// An [`Item`] as it is stored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    priority: Priority,
    created_at_ms: u64,
    expires_at_ms: Option<u64>,
}

impl Work {
    /// Queues `item` for a node, unless one of its kind waits already. The revision and the item that waits; `None`:
    /// there is no room for another node.
    pub fn enqueue(&mut self, node_id: &str, item: Item, now: Now) -> Option<(u64, Item)> {
        self.expire(now);
        if !self.queues.contains_key(node_id) && self.queues.len() >= limits::NODE_QUEUES_MAX {
            return None;
        }
        let queue = self.queues.entry(node_id.to_owned()).or_default();
        if let Some(waiting) = queue.items.iter().find(|waiting| waiting.kind == item.kind) {
            return Some((queue.revision, waiting.clone()));
        }
        queue.revision += 1;
        queue.items.push(item.clone());
        Some((queue.revision, item))
    }

    /// Takes at most `max` items out of a node's queue; a request for its status is always there.
    pub fn drain(&mut self, node_id: &str, max: usize, now: Now) -> Drained {
        self.expire(now);
        let mut queue = self.queues.remove(node_id).unwrap_or_default();
        queue.items.sort_by(|a, b| {
            b.priority.cmp(&a.priority).then_with(|| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)))
        });
        let asked = queue.items.iter().any(|item| item.kind == STATUS);
        let rest = queue.items.split_off(queue.items.len().min(max));
        let mut items = queue.items;
        if !items.is_empty() {
            queue.revision += 1;
        }
        let baseline = !asked && items.len() < max;
        let drained_all = rest.is_empty() && (asked || baseline);
        if baseline {
            items.push(Item::baseline(now));
        }
        let revision = queue.revision;
        if !rest.is_empty() {
            self.queues.insert(node_id.to_owned(), Queue { revision, items: rest });
        }
        Drained { revision, items, has_more: !drained_all }
    }

    /// Forgets what waits for a node that was removed.
    pub fn forget(&mut self, node_id: &str) {
        self.queues.remove(node_id);
    }

    fn expire(&mut self, now: Now) {
        self.queues.retain(|_, queue| {
            let before = queue.items.len();
            queue.items.retain(|item| item.expires_at_ms.is_none_or(|at| at > now.unix_ms));
            queue.revision += u64::from(queue.items.len() < before);
            !queue.items.is_empty()
        });
    }
}

impl Item {
    /// An item that waits for at most `expires_in_ms`, a day if the caller does not say.
    pub fn new(
        id: String,
        kind: &'static str,
        priority: Priority,
        expires_in_ms: Option<u64>,
        now: Now,
    ) -> Self {
        let life = expires_in_ms.unwrap_or_else(|| millis(limits::NODE_WORK_AGE));
        let expires_at_ms = Some(now.unix_ms.saturating_add(life));
        Self { id, kind, priority, created_at_ms: now.unix_ms, expires_at_ms }
    }

    fn baseline(now: Now) -> Self {
        Self {
            id: BASELINE.to_owned(),
            kind: STATUS,
            priority: Priority::Default,
            created_at_ms: now.unix_ms,
            expires_at_ms: None,
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Stored { id, kind, priority, created_at_ms, expires_at_ms } = Stored::deserialize(from)?;
        let known = KINDS.iter().find(|known| **known == kind).copied();
        let kind = known.ok_or_else(|| D::Error::custom(format!("no work is called {kind:?}")))?;
        Ok(Self { id, kind, priority, created_at_ms, expires_at_ms })
    }
}

/// Kinds of items.
pub const KINDS: &[&str] = &[STATUS, "location.request"];
const STATUS: &str = "status.request";
/// The id of the item that every node finds.
const BASELINE: &str = "baseline-status";

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn now() -> Now {
        Now { mono: Instant::now(), unix_ms: 1_000_000 }
    }

    fn item(id: &str, kind: &'static str, priority: Priority, now: Now) -> Item {
        Item::new(id.to_owned(), kind, priority, Some(1000), now)
    }

    fn ids(drained: &Drained) -> Vec<&str> {
        drained.items.iter().map(|item| &*item.id).collect()
    }

    #[test]
    fn every_node_finds_a_request_for_its_status() {
        let (mut work, now) = (Work::default(), now());
        let drained = work.drain("n", 4, now);
        assert_eq!((ids(&drained), drained.revision, drained.has_more), (vec![BASELINE], 0, false));
        let json = serde_json::to_value(&drained).unwrap();
        assert_eq!(json["items"][0]["type"], "status.request");
        assert_eq!(json["items"][0]["expiresAtMs"], serde_json::Value::Null);
        assert_eq!(json["items"][0]["priority"], "default");
    }

    #[test]
    fn one_of_a_kind_waits_and_the_urgent_go_first() {
        let (mut work, now) = (Work::default(), now());
        let first = work.enqueue("n", item("a", KINDS[0], Priority::Normal, now), now).unwrap();
        assert_eq!((first.0, &*first.1.id), (1, "a"));
        let again = work.enqueue("n", item("b", KINDS[0], Priority::High, now), now).unwrap();
        assert_eq!((again.0, &*again.1.id), (1, "a"));
        work.enqueue("n", item("c", KINDS[1], Priority::High, now), now).unwrap();
        let drained = work.drain("n", 1, now);
        assert_eq!((ids(&drained), drained.revision, drained.has_more), (vec!["c"], 3, true));
        let drained = work.drain("n", 4, now);
        assert_eq!((ids(&drained), drained.revision, drained.has_more), (vec!["a"], 4, false));
        assert_eq!(ids(&work.drain("n", 4, now)), [BASELINE]);
    }

    #[test]
    fn work_expires_and_is_bounded() {
        let (mut work, now) = (Work::default(), now());
        work.enqueue("n", item("a", KINDS[1], Priority::High, now), now).unwrap();
        let late = now.later(Duration::from_secs(1));
        assert_eq!(ids(&work.drain("n", 4, late)), [BASELINE]);
        for i in 0..limits::NODE_QUEUES_MAX {
            assert!(work.enqueue(&format!("{i}"), item("a", KINDS[0], Priority::High, now), now).is_some());
        }
        assert!(work.enqueue("more", item("a", KINDS[0], Priority::High, now), now).is_none());
        assert!(work.enqueue("more", item("a", KINDS[0], Priority::High, late), late).is_some());
    }
}
