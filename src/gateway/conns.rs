//! The table of connections: slots that are used again, each use with a generation of its own.

use super::io::ConnId;

/// Connections by [`ConnId`]. A stale id finds nothing.
#[derive(Debug)]
pub(super) struct Conns<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    tenant: Option<T>,
}

impl<T> Conns<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts in what `make` gives for the new id.
    pub(super) fn insert(&mut self, make: impl FnOnce(ConnId) -> T) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, tenant: None });
            // At most CONNECTIONS_MAX slots are ever made.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slot(slot).map_or(0, |s| s.generation);
        let id = ConnId { slot, generation };
        let tenant = make(id);
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            entry.tenant = Some(tenant);
            self.len += 1;
        }
        id
    }

    /// Puts a tenant into a slot that it had in another process. `None`: the slot is taken. Call
    /// [`Conns::close_gaps`] after the last one.
    pub(super) fn restore(&mut self, slot: u32, make: impl FnOnce(ConnId) -> T) -> Option<ConnId> {
        while self.slots.len() <= slot as usize {
            self.slots.push(Slot { generation: 0, tenant: None });
        }
        let entry = self.slots.get_mut(slot as usize).filter(|entry| entry.tenant.is_none())?;
        let id = ConnId { slot, generation: entry.generation };
        entry.tenant = Some(make(id));
        self.len += 1;
        Some(id)
    }

    /// Finds the slots that nobody was put into.
    pub(super) fn close_gaps(&mut self) {
        let slots = self.slots.iter().zip(0u32..);
        self.free = slots.filter(|(entry, _)| entry.tenant.is_none()).map(|(_, slot)| slot).collect();
        // The lowest is used first.
        self.free.reverse();
    }

    /// The tenant of a slot.
    pub(super) fn at(&self, slot: u32) -> Option<ConnId> {
        let entry = self.slot(slot).filter(|entry| entry.tenant.is_some())?;
        Some(ConnId { slot, generation: entry.generation })
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&T> {
        self.slot(id.slot).filter(|slot| slot.generation == id.generation)?.tenant.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.tenant.as_mut()
    }

    /// Takes the tenant out; its id is dead from here on.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let tenant = slot.tenant.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.len -= 1;
        Some(tenant)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.slots.iter().zip(0u32..).filter_map(|(entry, slot)| {
            Some((ConnId { slot, generation: entry.generation }, entry.tenant.as_ref()?))
        })
    }

    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.iter().map(|(id, _)| id).collect()
    }

    fn slot(&self, slot: u32) -> Option<&Slot<T>> {
        self.slots.get(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_never_reaches_the_next_tenant() {
        let mut conns = Conns::new();
        let first = conns.insert(|_| "first");
        assert_eq!(conns.remove(first), Some("first"));
        let second = conns.insert(|_| "second");
        assert_eq!(second.slot, first.slot);
        assert_eq!(conns.get(first), None);
        assert_eq!(conns.remove(first), None);
        assert_eq!(conns.get(second), Some(&"second"));
        assert_eq!((conns.len(), conns.ids()), (1, vec![second]));
    }

    #[test]
    fn who_comes_back_gets_the_same_slot_and_others_the_gaps() {
        let mut conns = Conns::new();
        let second = conns.restore(2, |_| "second").unwrap();
        assert_eq!((second.slot, conns.restore(2, |_| "again")), (2, None));
        conns.close_gaps();
        let slots: Vec<u32> = (0..3).map(|_| conns.insert(|_| "new").slot).collect();
        assert_eq!(slots, [0, 1, 3]);
        assert_eq!((conns.len(), conns.get(second)), (4, Some(&"second")));
    }
}
