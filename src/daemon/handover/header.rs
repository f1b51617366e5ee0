//! The first page of the book: what the rest has to be read by.

/// The header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The instant from which all times in the book count: nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) epoch_ns: u64,
    /// How many processes have written the book, the present one included.
    pub(super) run: u64,
    /// How many processes in a row, the present one included, have begun to take over and have not come to the end of
    /// their first turn.
    pub(super) attempts: u64,
    /// Where on the tape the record is that all connections share; 0: there is none.
    pub(super) shared: u64,
    /// `SO_COOKIE` of the ends of the lots: of the first the end that sends and the end that takes, then of the second.
    pub(super) ends: [u64; 4],
}

impl Header {
    /// A page.
    pub(super) const BYTES: usize = 4096;

    /// As it stands in the file.
    pub(super) fn encode(self) -> [u8; ENCODED_BYTES] {
        let [a, b, c, d] = self.ends;
        let mut bytes = [0; ENCODED_BYTES];
        let words = [MAGIC, FORMAT, self.epoch_ns, self.run, self.attempts, self.shared, a, b, c, d];
        for (part, value) in bytes.chunks_exact_mut(8).zip(words) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// What stands in the file.
    ///
    /// # Errors
    /// It is no header, or of a format that this version does not know.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut words = bytes.chunks_exact(8).filter_map(|part| part.try_into().ok()).map(u64::from_le_bytes);
        let mut word = || words.next().unwrap_or_default();
        if word() != MAGIC {
            return Err("the memory file is none of loopgate's".into());
        }
        match word() {
            FORMAT => {}
            newer if newer > FORMAT => {
                return Err(format!("the memory file has format {newer}, this version knows {FORMAT}"));
            }
            older => return Err(format!("the memory file has format {older}, which was never in use")),
        }
        let (epoch_ns, run, attempts, shared) = (word(), word(), word(), word());
        Ok(Self { epoch_ns, run, attempts, shared, ends: [word(), word(), word(), word()] })
    }

    /// What a record is sealed for, so that it is believed nowhere else: this format and lineage, its owner, and the
    /// socket.
    pub(super) fn place(&self, owner: u32, cookie: u64) -> [u8; 32] {
        let mut place = [0; 32];
        for (part, value) in place.chunks_exact_mut(8).zip([FORMAT, self.epoch_ns, u64::from(owner), cookie])
        {
            part.copy_from_slice(&value.to_le_bytes());
        }
        place
    }
}

const ENCODED_BYTES: usize = 80;
const MAGIC: u64 = u64::from_le_bytes(*b"loopgate");
/// The format of the book: of this header, the table, the tape and the records' frame. What a record itself says may
/// grow without a new number as long as former versions are understood.
const FORMAT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_others_are_refused() {
        let header = Header { epoch_ns: 1, run: 2, attempts: 3, shared: 4, ends: [5, 6, 7, 8] };
        let mut page = vec![0; Header::BYTES];
        assert!(Header::decode(&page).unwrap_err().contains("none of loopgate's"));
        page[..ENCODED_BYTES].copy_from_slice(&header.encode());
        assert_eq!(Header::decode(&page), Ok(header));
        page[8] = 2;
        assert!(Header::decode(&page).unwrap_err().contains("format 2, this version knows 1"));
        page[8] = 0;
        assert!(Header::decode(&page).unwrap_err().contains("never in use"));
        assert!(Header::decode(&[]).is_err());
    }
}
