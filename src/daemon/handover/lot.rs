//! Where connections are parked: as messages in flight between two connected sockets, which the service manager holds.
//! What is in flight outlives this process, however it ends, and costs the service manager nothing.
//!
//! Rule: a connection is in a lot from the moment it is accepted, and whatever is moved is sent again before it is taken
//! out. Dead ones stay where they are until most of a lot is dead; their sockets were shut down, so nobody waits for
//! them.
//!
//! There are two lots, for most connections live for milliseconds: in the young one each has a message of its own; those
//! that are still there when it is full move on together into the old one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use rustix::net::sockopt::set_socket_send_buffer_size;

use crate::gateway::ConnId;
use crate::limits;

/// Both lots.
#[derive(Debug)]
pub(super) struct Lots {
    young: Lot,
    old: Lot,
    /// By slot: who is parked where.
    places: Vec<Option<(ConnId, Age)>>,
    /// The number of this process: it marks its messages.
    run: u64,
    /// Messages of the old lot that are still to be looked at, once a sweep has begun.
    sweep: usize,
    /// Since when a lot has held a dead connection.
    dead_since: Option<Instant>,
}

/// One lot.
#[derive(Debug)]
pub(super) struct Lot {
    send: UnixDatagram,
    take: UnixDatagram,
    /// Who is in each message, the oldest first.
    messages: VecDeque<Vec<ConnId>>,
    /// How many connections are in all messages, and how many of them are dead.
    parked: usize,
    dead: usize,
}

/// Which lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Young,
    Old,
}

/// The first message of a lot: the number of the process that has sent it, and its sockets.
type First = (u64, Vec<OwnedFd>);

impl Lots {
    /// Two lots without anybody in them.
    pub(super) fn new(young: Lot, old: Lot, run: u64) -> Self {
        Self { young, old, places: Vec::new(), run, sweep: 0, dead_since: None }
    }

    /// Parks a connection that was just accepted. `socket` finds the sockets of those who are parked already.
    ///
    /// # Errors
    /// The kernel takes no more; the connection is not parked.
    pub(super) fn park<'a>(
        &mut self,
        id: ConnId,
        stream: BorrowedFd<'_>,
        socket: impl Fn(ConnId) -> Option<BorrowedFd<'a>>,
    ) -> io::Result<()> {
        if self.young.messages.len() >= limits::HANDOVER_YOUNG_MAX {
            self.promote(&socket)?;
        }
        match self.young.send(self.run, &[stream]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.promote(&socket)?;
                self.young.send(self.run, &[stream])?;
            }
            sent => sent?,
        }
        self.adopt(vec![id], Age::Young);
        Ok(())
    }

    /// Notes who is in a message that was sent into a lot.
    fn adopt(&mut self, members: Vec<ConnId>, age: Age) {
        for id in &members {
            self.place(*id, age);
        }
        self.lot(age).note(members);
    }

    /// A connection is closed; what is parked of it is dead.
    pub(super) fn leave(&mut self, id: ConnId, now: Instant) {
        let Some(place) = self.places.get_mut(id.slot as usize) else { return };
        let Some((_, age)) = place.take_if(|(parked, _)| *parked == id) else { return };
        self.lot(age).dead += 1;
        self.dead_since.get_or_insert(now);
    }

    /// Takes dead connections out, a bounded number of messages at a time: when there are many, or when the first of
    /// them has lain there for [`limits::HANDOVER_DEAD_MAX`].
    ///
    /// # Errors
    /// The kernel takes no more. Everybody is still parked.
    pub(super) fn tidy<'a>(
        &mut self,
        socket: impl Fn(ConnId) -> Option<BorrowedFd<'a>>,
        now: Instant,
    ) -> io::Result<()> {
        let late = self.dead_since.is_some_and(|since| since + limits::HANDOVER_DEAD_MAX <= now);
        if late {
            self.dead_since = None;
            self.promote(&socket)?;
        }
        if self.sweep == 0 && (late || self.old.is_crowded()) {
            self.sweep = self.old.messages.len();
        }
        for _ in 0..limits::HANDOVER_SWEEP_TURN_MAX {
            if self.sweep == 0 {
                break;
            }
            self.turn_over(&socket)?;
        }
        Ok(())
    }

    /// Whether [`Lots::tidy`] has begun something that is not done.
    pub(super) fn is_busy(&self) -> bool {
        self.sweep > 0
    }

    /// When [`Lots::tidy`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.dead_since.map(|since| since + limits::HANDOVER_DEAD_MAX)
    }

    /// How many connections are parked, dead ones included.
    pub(super) fn parked(&self) -> usize {
        self.young.parked + self.old.parked
    }

    /// Takes out what former processes have left, one message at a time. `sort` says of each socket whose it is, or keeps
    /// it. Those that have somebody are sent again before their message is taken out, so that at no instant a connection
    /// is in the hands of this process alone.
    ///
    /// # Errors
    /// The kernel takes no more.
    pub(super) fn take_over(
        &mut self,
        mut sort: impl FnMut(OwnedFd) -> Option<(ConnId, OwnedFd)>,
    ) -> io::Result<Vec<(ConnId, OwnedFd)>> {
        let mut all = Vec::new();
        for age in [Age::Old, Age::Young] {
            while let Some((by, sockets)) = self.lot(age).peek()? {
                if by == self.run {
                    // Around once: from here on it is what was sent again.
                    break;
                }
                let sorted: Vec<(ConnId, OwnedFd)> = sockets.into_iter().filter_map(&mut sort).collect();
                if !sorted.is_empty() {
                    let again: Vec<BorrowedFd<'_>> =
                        sorted.iter().map(|(_, socket)| socket.as_fd()).collect();
                    // Into the same lot, which has room for as many as were in it.
                    let run = self.run;
                    self.lot(age).send(run, &again)?;
                    self.adopt(sorted.iter().map(|(id, _)| *id).collect(), age);
                    all.extend(sorted);
                }
                self.lot(age).drop_first()?;
            }
        }
        Ok(all)
    }

    /// Moves everybody who lives from the young lot into the old one.
    fn promote<'a>(&mut self, socket: &impl Fn(ConnId) -> Option<BorrowedFd<'a>>) -> io::Result<()> {
        let living: Vec<ConnId> = self.young.messages.iter().flatten().copied().collect();
        let living: Vec<ConnId> = living.into_iter().filter(|id| self.lives(*id)).collect();
        for members in living.chunks(limits::HANDOVER_BATCH_MAX) {
            self.park_old(members, socket)?;
        }
        while !self.young.messages.is_empty() {
            self.young.take_first()?;
        }
        self.young.dead = 0;
        Ok(())
    }

    /// Looks at the first messages of the old lot, as many as give one new message, and puts that at the end.
    fn turn_over<'a>(&mut self, socket: &impl Fn(ConnId) -> Option<BorrowedFd<'a>>) -> io::Result<()> {
        let mut living: Vec<ConnId> = Vec::new();
        let mut count = 0;
        for message in self.old.messages.iter().take(self.sweep) {
            let before = living.len();
            living.extend(message.iter().filter(|id| self.lives(**id)));
            if living.len() > limits::HANDOVER_BATCH_MAX {
                living.truncate(before);
                break;
            }
            count += 1;
        }
        if !living.is_empty() {
            self.park_old(&living, socket)?;
        }
        let mut parked = 0;
        for _ in 0..count {
            parked += self.old.take_first()?;
        }
        // Who was in them and did not move on was dead.
        self.old.dead = self.old.dead.saturating_sub(parked - living.len());
        self.sweep = self.sweep.saturating_sub(count);
        Ok(())
    }

    fn park_old<'a>(
        &mut self,
        members: &[ConnId],
        socket: &impl Fn(ConnId) -> Option<BorrowedFd<'a>>,
    ) -> io::Result<()> {
        let found: Vec<(ConnId, BorrowedFd<'a>)> =
            members.iter().filter_map(|id| Some((*id, socket(*id)?))).collect();
        let sockets: Vec<BorrowedFd<'a>> = found.iter().map(|(_, socket)| *socket).collect();
        self.old.send(self.run, &sockets)?;
        self.adopt(found.into_iter().map(|(id, _)| id).collect(), Age::Old);
        Ok(())
    }

    fn lives(&self, id: ConnId) -> bool {
        matches!(self.places.get(id.slot as usize), Some(Some((parked, _))) if *parked == id)
    }

    fn place(&mut self, id: ConnId, age: Age) {
        let index = id.slot as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, None);
        }
        if let Some(place) = self.places.get_mut(index) {
            *place = Some((id, age));
        }
    }

    fn lot(&mut self, age: Age) -> &mut Lot {
        match age {
            Age::Young => &mut self.young,
            Age::Old => &mut self.old,
        }
    }
}

impl Lot {
    /// A new one.
    ///
    /// # Errors
    /// The kernel gives no sockets.
    pub(super) fn create() -> io::Result<Self> {
        let (send, take) = UnixDatagram::pair()?;
        // As much as this machine allows, whatever its default is: it bounds how many messages fit in.
        set_socket_send_buffer_size(&send, SEND_BUFFER_BYTES)?;
        Self::with(send, take)
    }

    /// That of a former process, with whatever is in it.
    ///
    /// # Errors
    /// They are no sockets any more.
    pub(super) fn with(send: UnixDatagram, take: UnixDatagram) -> io::Result<Self> {
        // A full lot is told, never waited for.
        send.set_nonblocking(true)?;
        take.set_nonblocking(true)?;
        Ok(Self { send, take, messages: VecDeque::new(), parked: 0, dead: 0 })
    }

    /// The end that sends and the end that takes, to be given to the service manager.
    pub(super) fn ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.send.as_fd(), self.take.as_fd()]
    }

    fn send(&self, run: u64, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let mark = run.to_le_bytes();
        sendmsg(&self.send, &[IoSlice::new(&mark)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Everything in a lot that is not used any more, by the end that takes.
    ///
    /// # Errors
    /// It is no such socket.
    pub(super) fn drain(take: &UnixDatagram) -> io::Result<Vec<OwnedFd>> {
        take.set_nonblocking(true)?;
        let mut all = Vec::new();
        while let Some((_, sockets)) = receive(take, RecvFlags::empty())? {
            all.extend(sockets);
        }
        Ok(all)
    }

    /// The first message, which stays where it is.
    fn peek(&self) -> io::Result<Option<First>> {
        receive(&self.take, RecvFlags::PEEK)
    }

    /// Takes the first message out; without room for its sockets they are closed by the kernel.
    fn drop_first(&self) -> io::Result<()> {
        self.take.recv(&mut [0; 8]).map(drop)
    }

    /// Takes the first message out: how many connections were in it.
    fn take_first(&mut self) -> io::Result<usize> {
        self.drop_first()?;
        let members = self.messages.pop_front().unwrap_or_default();
        self.parked -= members.len();
        Ok(members.len())
    }

    fn note(&mut self, members: Vec<ConnId>) {
        self.parked += members.len();
        self.messages.push_back(members);
    }

    fn is_crowded(&self) -> bool {
        self.dead > limits::HANDOVER_DEAD_MIN + self.parked / 32
            || self.messages.len() > limits::HANDOVER_MESSAGES_MAX
    }
}

/// The first message; none if there is none.
fn receive(take: &UnixDatagram, flags: RecvFlags) -> io::Result<Option<First>> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0; 8];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    match recvmsg(take, &mut [IoSliceMut::new(&mut mark)], &mut control, flags) {
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        // An end that somebody has shut down gives nothing for ever; none of our messages is empty.
        Ok(received) if received.bytes == 0 => return Ok(None),
        other => other?,
    };
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    Ok(Some((u64::from_le_bytes(mark), sockets)))
}

/// The kernel gives less if `net.core.wmem_max` says so; its default of 208 KiB holds 555 messages, for it is doubled.
const SEND_BUFFER_BYTES: usize = 512 * 1024;
/// Room for the sockets of one message.
const SPACE: usize = cmsg_space!(ScmRights(limits::HANDOVER_BATCH_MAX));

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Connections by slot; dead ones are taken out.
    type Sockets = BTreeMap<u32, UnixStream>;

    fn id(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn find<'a>(sockets: &'a Sockets) -> impl Fn(ConnId) -> Option<BorrowedFd<'a>> + use<'a> {
        |id| sockets.get(&id.slot).map(AsFd::as_fd)
    }

    fn lots() -> (Lots, [UnixDatagram; 4]) {
        let (young, old) = (Lot::create().unwrap(), Lot::create().unwrap());
        let copies = [&young.send, &young.take, &old.send, &old.take].map(|end| end.try_clone().unwrap());
        (Lots::new(young, old, 1), copies)
    }

    /// What the next process finds, by what its peers have to say.
    fn heirs(ends: [UnixDatagram; 4], run: u64) -> (Lots, Vec<u32>) {
        let [a, b, c, d] = ends;
        let mut lots = Lots::new(Lot::with(a, b).unwrap(), Lot::with(c, d).unwrap(), run);
        let mut seen = Vec::new();
        let taken = lots.take_over(|socket| {
            let mut stream = UnixStream::from(socket);
            let mut word = [0; 4];
            std::io::Read::read_exact(&mut stream, &mut word).ok()?;
            let slot = u32::from_le_bytes(word);
            seen.push(slot);
            Some((id(slot), stream.into()))
        });
        assert_eq!(taken.unwrap().len(), seen.len());
        seen.sort_unstable();
        (lots, seen)
    }

    /// A connection whose peer has sent its own number twice.
    fn connect(slot: u32) -> (UnixStream, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        for _ in 0..2 {
            std::io::Write::write_all(&mut theirs, &slot.to_le_bytes()).unwrap();
        }
        (ours, theirs)
    }

    #[test]
    fn the_living_are_found_and_the_dead_are_not_for_ever() {
        let (mut lots, ends) = lots();
        let (mut sockets, mut peers) = (Sockets::new(), BTreeMap::new());
        let now = Instant::now();
        // Most leave at once, every tenth stays.
        for slot in 0..1_500 {
            let (ours, theirs) = connect(slot);
            lots.park(id(slot), ours.as_fd(), find(&sockets)).unwrap();
            sockets.insert(slot, ours);
            peers.insert(slot, theirs);
            if slot % 10 != 0 {
                sockets.remove(&slot);
                peers.remove(&slot);
                lots.leave(id(slot), now);
            }
            lots.tidy(find(&sockets), now).unwrap();
        }
        assert!(
            lots.parked() < 150 + limits::HANDOVER_YOUNG_MAX + limits::HANDOVER_DEAD_MIN + 64,
            "{lots:?}"
        );
        let late = now + limits::HANDOVER_DEAD_MAX;
        assert!(lots.deadline().is_some_and(|at| at <= late));
        lots.tidy(find(&sockets), late).unwrap();
        while lots.is_busy() {
            lots.tidy(find(&sockets), late).unwrap();
        }
        assert_eq!((lots.parked(), lots.deadline()), (150, None));
        drop((lots, sockets));
        let (_, seen) = heirs(ends, 2);
        assert_eq!(seen, (0..1_500).step_by(10).collect::<Vec<u32>>());
    }

    #[test]
    fn whoever_is_taken_over_is_parked_again() {
        let (mut lots, ends) = lots();
        let copies = ends.each_ref().map(|end| end.try_clone().unwrap());
        let pairs: Vec<_> = (0..300).map(connect).collect();
        for (slot, (ours, _)) in (0..).zip(&pairs) {
            let others = |other: ConnId| Some(pairs[other.slot as usize].0.as_fd());
            lots.park(id(slot), ours.as_fd(), others).unwrap();
        }
        drop(lots);
        let (lots, seen) = heirs(ends, 2);
        assert_eq!((seen.len(), lots.parked()), (300, 300));
        drop(lots);
        let (lots, seen) = heirs(copies, 3);
        assert_eq!((seen, lots.parked()), ((0..300).collect(), 300));
    }

    #[test]
    fn a_whole_house_leaves_room() {
        let (mut lots, _ends) = lots();
        // Of the family that may come in such numbers: the kernel looks for cycles among UNIX sockets in flight.
        let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = |_: ConnId| Some(ours.as_fd());
        let now = Instant::now();
        for generation in 0..4 {
            for slot in 0..16_384 {
                if generation > 0 {
                    lots.leave(ConnId { slot, generation: generation - 1 }, now);
                }
                lots.park(ConnId { slot, generation }, ours.as_fd(), socket).unwrap();
                lots.tidy(socket, now).unwrap();
            }
        }
        assert!(lots.parked() < 16_384 + 1_024 + limits::HANDOVER_YOUNG_MAX, "{}", lots.parked());
    }
}
