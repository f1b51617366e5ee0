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
}
