//! One line of the table in the book: how a connection stands at this moment.

/// A connection's line. It is written as one piece that lies within a page, so that an end at any instant leaves the
/// old line or the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cell {
    /// `SO_COOKIE` of its socket: the kernel gives no number twice.
    pub(super) cookie: u64,
    /// Where on the tape its record is; 0: there is none.
    pub(super) record: u64,
    /// The number of the last event that it was sent.
    pub(super) seq: u64,
    /// When its next tick is due, or for [`State::Fresh`] when it was accepted: microseconds of the epoch.
    pub(super) time: u64,
    pub(super) state: State,
}

/// What may be done with a connection whose process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// No connection.
    #[default]
    Free,
    /// Accepted, and nothing was read or written: it begins anew.
    Fresh,
    /// Something of it was in the memory of the process. If it has a record, it is a WebSocket and ends with a reason.
    Busy,
    /// As [`State::Busy`], and a frame was written in part: no word could reach the peer.
    Torn,
    /// Nothing was held, nothing was owed: it goes on with its record.
    Rest,
    /// Saved as it stood: the record has what was held, too.
    Saved,
}

impl Cell {
    /// In the table.
    pub(super) const BYTES: usize = 32;

    /// As it stands in the table.
    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let time = self.time << STATE_BITS | self.state as u64;
        for (part, value) in bytes.chunks_exact_mut(8).zip([self.cookie, self.record, self.seq, time]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// What stands in the table; `None` for a state that this version does not know.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.chunks_exact(8).filter_map(|part| part.try_into().ok()).map(u64::from_le_bytes);
        let (cookie, record, seq, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let state = STATES.iter().find(|state| **state as u64 == time & STATE_MASK)?;
        Some(Self { cookie, record, seq, time: time >> STATE_BITS, state: *state })
    }
}

/// The table's format: the number of a state is its place here.
const STATES: [State; 6] = [State::Free, State::Fresh, State::Busy, State::Torn, State::Rest, State::Saved];
/// The state takes the lowest byte of the time, which leaves 2,000 years of microseconds.
const STATE_BITS: u32 = 8;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_comes_back() {
        for state in STATES {
            let cell = Cell { cookie: u64::MAX, record: 4711, seq: 3, time: (1 << 56) - 1, state };
            assert_eq!(Cell::decode(&cell.encode()), Some(cell));
        }
        assert_eq!(Cell::decode(&[0; Cell::BYTES]), Some(Cell::default()));
        assert_eq!(Cell::decode(&[0xff; Cell::BYTES]), None);
        assert_eq!(Cell::decode(&[0; Cell::BYTES - 1]), None);
    }

    #[test]
    fn numbers_of_states_are_part_of_the_format() {
        for (number, state) in STATES.iter().enumerate() {
            assert_eq!(*state as usize, number);
        }
    }
}
