//! The table of connections: slots that are used again, each use with a generation of its own.
//!
//! Rule: peers that came to us, and legs and pipes that we have opened to the runtime, live in one table, so that an id
//! means one thing to the shell; but who asks for a peer never gets a leg or a pipe, and the other way round.

use super::io::ConnId;

/// Peers (`T`), legs (`L`) and pipes (`P`) by [`ConnId`]. A stale id finds nothing.
#[derive(Debug)]
pub(super) struct Conns<T, L, P> {
    slots: Vec<Slot<T, L, P>>,
    free: Vec<u32>,
    /// How many peers there are.
    len: usize,
    /// How many pipes there are.
    pipes: usize,
}

#[derive(Debug)]
struct Slot<T, L, P> {
    generation: u32,
    tenant: Option<Tenant<T, L, P>>,
}

#[derive(Debug)]
enum Tenant<T, L, P> {
    Peer(T),
    Leg(L),
    Pipe(P),
}

impl<T, L, P> Conns<T, L, P> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0, pipes: 0 }
    }

    /// How many peers there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts in the peer that `make` gives for the new id.
    pub(super) fn insert(&mut self, make: impl FnOnce(ConnId) -> T) -> ConnId {
        self.len += 1;
        self.put(|id| Tenant::Peer(make(id)))
    }

    /// Puts in the leg that `make` gives for the new id.
    pub(super) fn insert_leg(&mut self, make: impl FnOnce(ConnId) -> L) -> ConnId {
        self.put(|id| Tenant::Leg(make(id)))
    }

    /// Puts a peer into the slot that it had in another process. `None`: the slot is taken. Call
    /// [`Conns::close_gaps`] after the last one.
    pub(super) fn restore(&mut self, slot: u32, make: impl FnOnce(ConnId) -> T) -> Option<ConnId> {
        let id = self.put_back(slot, |id| Tenant::Peer(make(id)));
        self.len += usize::from(id.is_some());
        id
    }

    /// The same for a leg.
    pub(super) fn restore_leg(&mut self, slot: u32, make: impl FnOnce(ConnId) -> L) -> Option<ConnId> {
        self.put_back(slot, |id| Tenant::Leg(make(id)))
    }

    fn put(&mut self, make: impl FnOnce(ConnId) -> Tenant<T, L, P>) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, tenant: None });
            // At most SLOTS_MAX are ever made.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let generation = self.slot(slot).map_or(0, |s| s.generation);
        let id = ConnId { slot, generation };
        let tenant = make(id);
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            entry.tenant = Some(tenant);
        }
        id
    }

    fn put_back(&mut self, slot: u32, make: impl FnOnce(ConnId) -> Tenant<T, L, P>) -> Option<ConnId> {
        while self.slots.len() <= slot as usize {
            self.slots.push(Slot { generation: 0, tenant: None });
        }
        let entry = self.slots.get_mut(slot as usize).filter(|entry| entry.tenant.is_none())?;
        let id = ConnId { slot, generation: entry.generation };
        entry.tenant = Some(make(id));
        Some(id)
    }

    /// Finds the slots that nobody was put into.
    pub(super) fn close_gaps(&mut self) {
        let slots = self.slots.iter().zip(0u32..);
        self.free = slots.filter(|(entry, _)| entry.tenant.is_none()).map(|(_, slot)| slot).collect();
        // The lowest is used first.
        self.free.reverse();
    }

    /// The id of whoever has a slot.
    pub(super) fn at(&self, slot: u32) -> Option<ConnId> {
        let entry = self.slot(slot).filter(|entry| entry.tenant.is_some())?;
        Some(ConnId { slot, generation: entry.generation })
    }

    /// A peer.
    pub(super) fn get(&self, id: ConnId) -> Option<&T> {
        match self.tenant(id)? {
            Tenant::Peer(peer) => Some(peer),
            Tenant::Leg(_) | Tenant::Pipe(_) => None,
        }
    }

    /// A peer.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.tenant_mut(id)? {
            Tenant::Peer(peer) => Some(peer),
            Tenant::Leg(_) | Tenant::Pipe(_) => None,
        }
    }

    /// A leg.
    pub(super) fn leg(&self, id: ConnId) -> Option<&L> {
        match self.tenant(id)? {
            Tenant::Leg(leg) => Some(leg),
            Tenant::Peer(_) | Tenant::Pipe(_) => None,
        }
    }

    /// A leg.
    pub(super) fn leg_mut(&mut self, id: ConnId) -> Option<&mut L> {
        match self.tenant_mut(id)? {
            Tenant::Leg(leg) => Some(leg),
            Tenant::Peer(_) | Tenant::Pipe(_) => None,
        }
    }

    /// Takes the peer out; its id is dead from here on.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        match self.vacate(id)? {
            Tenant::Peer(peer) => {
                self.len -= 1;
                Some(peer)
            }
            Tenant::Leg(_) | Tenant::Pipe(_) => None,
        }
    }

    /// Takes the leg out; its id is dead from here on.
    pub(super) fn remove_leg(&mut self, id: ConnId) -> Option<L> {
        self.leg(id)?;
        match self.vacate(id)? {
            Tenant::Leg(leg) => Some(leg),
            Tenant::Peer(_) | Tenant::Pipe(_) => None,
        }
    }

    /// Puts in the pipe that `make` gives for the new id.
    pub(super) fn insert_pipe(&mut self, make: impl FnOnce(ConnId) -> P) -> ConnId {
        self.pipes += 1;
        self.put(|id| Tenant::Pipe(make(id)))
    }

    /// How many pipes there are.
    pub(super) fn pipes(&self) -> usize {
        self.pipes
    }

    /// A pipe.
    pub(super) fn pipe(&self, id: ConnId) -> Option<&P> {
        match self.tenant(id)? {
            Tenant::Pipe(pipe) => Some(pipe),
            Tenant::Peer(_) | Tenant::Leg(_) => None,
        }
    }

    /// A pipe.
    pub(super) fn pipe_mut(&mut self, id: ConnId) -> Option<&mut P> {
        match self.tenant_mut(id)? {
            Tenant::Pipe(pipe) => Some(pipe),
            Tenant::Peer(_) | Tenant::Leg(_) => None,
        }
    }

    /// Takes the pipe out; its id is dead from here on.
    pub(super) fn remove_pipe(&mut self, id: ConnId) -> Option<P> {
        self.pipe(id)?;
        match self.vacate(id)? {
            Tenant::Pipe(pipe) => {
                self.pipes -= 1;
                Some(pipe)
            }
            Tenant::Peer(_) | Tenant::Leg(_) => None,
        }
    }

    /// All peers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.all().filter_map(|(id, tenant)| match tenant {
            Tenant::Peer(peer) => Some((id, peer)),
            Tenant::Leg(_) | Tenant::Pipe(_) => None,
        })
    }

    /// The ids of all peers.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// All legs.
    pub(super) fn legs(&self) -> impl Iterator<Item = (ConnId, &L)> {
        self.all().filter_map(|(id, tenant)| match tenant {
            Tenant::Leg(leg) => Some((id, leg)),
            Tenant::Peer(_) | Tenant::Pipe(_) => None,
        })
    }

    fn all(&self) -> impl Iterator<Item = (ConnId, &Tenant<T, L, P>)> {
        self.slots.iter().zip(0u32..).filter_map(|(entry, slot)| {
            Some((ConnId { slot, generation: entry.generation }, entry.tenant.as_ref()?))
        })
    }

    fn tenant(&self, id: ConnId) -> Option<&Tenant<T, L, P>> {
        self.slot(id.slot).filter(|slot| slot.generation == id.generation)?.tenant.as_ref()
    }

    fn tenant_mut(&mut self, id: ConnId) -> Option<&mut Tenant<T, L, P>> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.tenant.as_mut()
    }

    fn vacate(&mut self, id: ConnId) -> Option<Tenant<T, L, P>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let tenant = slot.tenant.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(tenant)
    }

    fn slot(&self, slot: u32) -> Option<&Slot<T, L, P>> {
        self.slots.get(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_never_reaches_the_next_tenant() {
        let mut conns: Conns<_, &str, &str> = Conns::new();
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
    fn a_pipe_is_neither_leg_nor_peer() {
        let mut conns: Conns<&str, &str, &str> = Conns::new();
        let pipe = conns.insert_pipe(|_| "pipe");
        assert_eq!((conns.get(pipe), conns.leg(pipe)), (None, None));
        assert_eq!((conns.remove(pipe), conns.remove_leg(pipe)), (None, None));
        assert_eq!(
            (conns.pipe(pipe), conns.pipes(), conns.len(), conns.legs().count()),
            (Some(&"pipe"), 1, 0, 0)
        );
        assert_eq!((conns.remove_pipe(pipe), conns.remove_pipe(pipe)), (Some("pipe"), None));
        assert_eq!(conns.pipes(), 0);
    }

    #[test]
    fn a_leg_is_no_peer() {
        let mut conns: Conns<&str, &str, &str> = Conns::new();
        let (peer, leg) = (conns.insert(|_| "peer"), conns.insert_leg(|_| "leg"));
        assert_eq!((conns.get(leg), conns.leg(peer)), (None, None));
        assert_eq!((conns.remove(leg), conns.remove_leg(peer)), (None, None));
        assert_eq!((conns.leg(leg), conns.len(), conns.ids()), (Some(&"leg"), 1, vec![peer]));
        assert_eq!((conns.remove_leg(leg), conns.legs().count(), conns.len()), (Some("leg"), 0, 1));
    }

    #[test]
    fn who_comes_back_gets_the_same_slot_and_others_the_gaps() {
        let mut conns: Conns<_, &str, &str> = Conns::new();
        let second = conns.restore(2, |_| "second").unwrap();
        assert_eq!((second.slot, conns.restore(2, |_| "again")), (2, None));
        conns.close_gaps();
        let slots: Vec<u32> = (0..3).map(|_| conns.insert(|_| "new").slot).collect();
        assert_eq!(slots, [0, 1, 3]);
        assert_eq!((conns.len(), conns.get(second)), (4, Some(&"second")));
    }
}
