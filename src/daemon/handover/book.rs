//! The book: a memory file with everything that the next process has to know of the connections. It lies in the service
//! manager's hands, so that it outlives this process however that ends.
//!
//! Rule: at any instant the file is whole. A record is on the tape before a line of the table points to it, a line is
//! written as one piece, and no byte of the tape is given back while a line still points to it.
//!
//! Layout: a header in the first page, the table of [`Cell`]s by slot, and the tape, which is written at its end only.
//! What is still needed from its beginning is copied to the end now and then, and the beginning is given back to the
//! kernel; the file is sparse, and its length, which is sealed, is never reached.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals};

use super::cell::{Cell, State};
use super::header::Header;
use super::seal::{Key, OVERHEAD_BYTES};
use crate::limits;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Book {
    file: File,
    key: Key,
    header: Header,
    /// The table as it should be.
    cells: Vec<Cell>,
    /// Lines that are not written yet; a slot may stand here twice.
    unwritten: Vec<u32>,
    tape: Tape,
    /// Where a record is put together.
    buffer: Vec<u8>,
}

/// What is known of the tape.
#[derive(Debug)]
struct Tape {
    /// Everything before it was given back.
    start: u64,
    end: u64,
    /// The records that are needed, by place.
    live: BTreeMap<u64, Piece>,
    live_bytes: u64,
}

/// A record on the tape.
#[derive(Debug, Clone, Copy)]
struct Piece {
    owner: Owner,
    /// With its head.
    bytes: u64,
}

/// Whose record it is: the slot of a connection, or [`SHARED`].
type Owner = u32;

/// What a former process has left of one connection.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) slot: u32,
    pub(super) cell: Cell,
    /// The record, opened; none if there is none, an error if it cannot be believed.
    pub(super) record: Option<Result<Vec<u8>, &'static str>>,
}

/// What a former process has left.
#[derive(Debug)]
pub(super) struct Legacy {
    pub(super) conns: Vec<Left>,
    /// What all connections share; none if it was never written, an error if it cannot be believed.
    pub(super) shared: Option<Result<Vec<u8>, &'static str>>,
}

impl Book {
    /// An empty book.
    ///
    /// # Errors
    /// The kernel gives no memory file.
    pub(super) fn create(key: Key, header: Header) -> io::Result<Self> {
        let sealing = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know that a memory file can be one that nobody may ever execute.
        let fd = rustix::fs::memfd_create(NAME, sealing | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create(NAME, sealing))?;
        let file = File::from(fd);
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.set_len(FILE_BYTES)?;
        fcntl_add_seals(&file, SEALS)?;
        file.write_all_at(&header.encode(), 0)?;
        Ok(Self::with(file, key, header))
    }

    /// The book of a former process, and what it says.
    ///
    /// # Errors
    /// It is none of ours, or of a kind that this version does not know. Says what is wrong.
    pub(super) fn open(file: File, key: Key) -> Result<(Self, Legacy), String> {
        check(&file)?;
        let read = |error: io::Error| format!("the memory file cannot be read: {error}");
        let mut page = vec![0; Header::BYTES];
        file.read_exact_at(&mut page, 0).map_err(read)?;
        let header = Header::decode(&page)?;
        let mut table = vec![0; TABLE_BYTES];
        file.read_exact_at(&mut table, TABLE).map_err(read)?;
        let mut book = Self::with(file, key, header);
        let mut conns = Vec::new();
        for (slot, line) in (0..).zip(table.chunks_exact(Cell::BYTES)) {
            let Some(cell) = Cell::decode(line).filter(|cell| cell.state != State::Free) else { continue };
            let record = (cell.record != 0).then(|| book.adopt(slot, cell.cookie, cell.record));
            conns.push(Left { slot, cell, record });
            *book.cell_mut(slot) = cell;
        }
        let shared = (header.shared != 0).then(|| book.adopt(SHARED, 0, header.shared));
        // The tape of a long lineage lies far from its beginning; counted from there it would be full. What cannot be given
        // back now is tried again with the next tidying.
        book.give_back().unwrap_or_default();
        Ok((book, Legacy { conns, shared }))
    }

    /// The header as it was made or found.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// A new process writes into the book from here on.
    pub(super) fn begin_run(&mut self, run: u64) -> io::Result<()> {
        self.header.run = run;
        self.header.attempts = self.header.attempts.saturating_add(1);
        self.write_header()
    }

    /// Taking over is done.
    pub(super) fn took_over(&mut self) -> io::Result<()> {
        if self.header.attempts == 0 {
            return Ok(());
        }
        self.header.attempts = 0;
        self.write_header()
    }

    /// The memory file, to be given to the service manager.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The line of a slot.
    pub(super) fn cell(&self, slot: u32) -> Cell {
        self.cells.get(slot as usize).copied().unwrap_or_default()
    }

    /// Changes the line of a slot; it is in the file after the next [`Book::flush`]. A record that the line does not
    /// point to any more is not needed any more.
    pub(super) fn set(&mut self, slot: u32, cell: Cell) {
        let old = std::mem::replace(self.cell_mut(slot), cell);
        if old != cell {
            self.unwritten.push(slot);
        }
        if old.record != cell.record {
            self.tape.forget(old.record);
        }
    }

    /// Puts a connection's record on the tape: its place.
    ///
    /// # Errors
    /// There is no room, or the kernel has no memory. Nothing has changed.
    pub(super) fn record(&mut self, slot: u32, cookie: u64, plain: &[u8]) -> io::Result<u64> {
        self.append(slot, cookie, plain)
    }

    /// Puts what all connections share on the tape, in the place of what was there.
    ///
    /// # Errors
    /// As [`Book::record`].
    pub(super) fn share(&mut self, plain: &[u8]) -> io::Result<()> {
        let place = self.append(SHARED, 0, plain)?;
        let old = std::mem::replace(&mut self.header.shared, place);
        self.tape.forget(old);
        self.write_header()
    }

    /// Writes the lines that have changed: neighbours in one piece.
    ///
    /// # Errors
    /// The kernel has no memory; the lines are tried again with the next call.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.unwritten.sort_unstable();
        let mut rest = self.unwritten.as_slice();
        while let Some(first) = rest.first() {
            let near = rest.windows(2).take_while(|pair| matches!(pair, [a, b] if b - a <= GAP_MAX)).count();
            let (run, after) = rest.split_at(near + 1);
            let last = run.last().unwrap_or(first);
            let cells = self.cells.get(*first as usize..=*last as usize).unwrap_or_default();
            self.buffer.clear();
            for cell in cells {
                self.buffer.extend_from_slice(&cell.encode());
            }
            self.file.write_all_at(&self.buffer, line(*first))?;
            rest = after;
        }
        self.unwritten.clear();
        Ok(())
    }

    /// Copies what is needed from the beginning of the tape to its end while more of the tape is waste than not, a
    /// bounded number of records at a time, and gives back what nobody needs.
    ///
    /// # Errors
    /// The kernel has no memory. The book is whole; it only takes more room than it should.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        for _ in 0..limits::HANDOVER_TIDY_TURN_MAX {
            if !self.tape.is_wasteful() {
                break;
            }
            let Some((at, piece)) = self.tape.live.first_key_value().map(|(at, piece)| (*at, *piece)) else {
                break;
            };
            self.shift(at, piece)?;
        }
        self.flush()?;
        self.give_back()
    }

    fn with(file: File, key: Key, header: Header) -> Self {
        let tape = Tape { start: TAPE, end: TAPE, live: BTreeMap::new(), live_bytes: 0 };
        Self { file, key, header, cells: Vec::new(), unwritten: Vec::new(), tape, buffer: Vec::new() }
    }

    fn cell_mut(&mut self, slot: u32) -> &mut Cell {
        let index = slot as usize;
        debug_assert!(index < CELLS_MAX);
        if self.cells.len() <= index {
            self.cells.resize(index + 1, Cell::default());
        }
        #[expect(clippy::indexing_slicing, reason = "the line above makes it long enough")]
        &mut self.cells[index]
    }

    fn append(&mut self, owner: Owner, cookie: u64, plain: &[u8]) -> io::Result<u64> {
        let sealed = plain.len() + OVERHEAD_BYTES;
        let bytes = (HEAD_BYTES + sealed) as u64;
        if self.tape.bytes() + bytes > limits::HANDOVER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the memory file is full"));
        }
        let head = u64::from(owner) << u32::BITS | sealed as u64;
        self.buffer.clear();
        self.buffer.extend_from_slice(&head.to_le_bytes());
        let place = self.header.place(owner, cookie);
        self.key.seal(&place, plain, &mut self.buffer).ok_or(io::ErrorKind::Other)?;
        let at = self.tape.end;
        self.file.write_all_at(&self.buffer, at)?;
        self.tape.hold(at, Piece { owner, bytes });
        // One large record must not keep its room.
        self.buffer.shrink_to(BUFFER_KEEP_BYTES);
        Ok(at)
    }

    /// Reads a record that a former process has left, and counts it as needed.
    fn adopt(&mut self, owner: Owner, cookie: u64, at: u64) -> Result<Vec<u8>, &'static str> {
        let mut head = [0; HEAD_BYTES];
        if at < TAPE || self.file.read_exact_at(&mut head, at).is_err() {
            return Err("its record is not on the tape");
        }
        let head = u64::from_le_bytes(head);
        let length = u64::from(u32::MAX) & head;
        if head >> u32::BITS != u64::from(owner) || length > limits::HANDOVER_BYTES_MAX {
            return Err("its record belongs to something else");
        }
        let mut sealed = vec![0; usize::try_from(length).map_err(|_| "its record is too long")?];
        self.file.read_exact_at(&mut sealed, at + HEAD_BYTES as u64).map_err(|_| "its record is cut off")?;
        let plain = self.key.open(&self.header.place(owner, cookie), &sealed);
        let plain = plain.ok_or("its record is damaged, forged, or sealed with another key")?;
        self.tape.hold(at, Piece { owner, bytes: HEAD_BYTES as u64 + length });
        Ok(plain)
    }

    /// Copies one record to the end of the tape.
    fn shift(&mut self, at: u64, piece: Piece) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(piece.bytes).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, at)?;
        let to = self.tape.end;
        self.file.write_all_at(&bytes, to)?;
        self.tape.forget(at);
        self.tape.hold(to, piece);
        if piece.owner == SHARED {
            self.header.shared = to;
            return self.write_header();
        }
        self.cell_mut(piece.owner).record = to;
        self.unwritten.push(piece.owner);
        Ok(())
    }

    /// Gives the pages before the first record that is needed back to the kernel.
    fn give_back(&mut self) -> io::Result<()> {
        let needed = self.tape.live.keys().next().copied().unwrap_or(self.tape.end);
        let upto = needed - needed % PAGE_BYTES;
        if upto.saturating_sub(self.tape.start) < GIVE_BACK_MIN_BYTES {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, hole, self.tape.start, upto - self.tape.start)?;
        self.tape.start = upto;
        Ok(())
    }

    fn write_header(&self) -> io::Result<()> {
        self.file.write_all_at(&self.header.encode(), 0)
    }
}

impl Tape {
    fn bytes(&self) -> u64 {
        self.end - self.start
    }

    fn hold(&mut self, at: u64, piece: Piece) {
        self.live.insert(at, piece);
        self.live_bytes += piece.bytes;
        self.end = self.end.max((at + piece.bytes).next_multiple_of(ALIGNMENT_BYTES));
    }

    fn forget(&mut self, at: u64) {
        if let Some(piece) = self.live.remove(&at) {
            self.live_bytes -= piece.bytes;
        }
    }

    fn is_wasteful(&self) -> bool {
        let first = self.live.keys().next().copied().unwrap_or(self.end);
        self.end - first > 2 * self.live_bytes + WASTE_BYTES
    }
}

/// Whether a file that came out of the service manager's hands can be a book at all: a memory file of our own making
/// whose length nobody can change any more.
fn check(file: &File) -> Result<(), String> {
    let meta = file.metadata().map_err(|error| format!("the memory file cannot be looked at: {error}"))?;
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(format!("the memory file belongs to user {}", meta.uid()));
    }
    match fcntl_get_seals(file) {
        Ok(seals) if seals.contains(SEALS) => {}
        _ => return Err("it is not a memory file whose length is sealed".into()),
    }
    if meta.len() != FILE_BYTES {
        return Err(format!("the memory file has {} bytes, another version made it", meta.len()));
    }
    Ok(())
}

fn line(slot: u32) -> u64 {
    TABLE + u64::from(slot) * Cell::BYTES as u64
}

/// As `/proc/PID/fd` shows it.
const NAME: &str = "loopgate-state";
/// Nobody can cut the file off or make it longer, and nobody can change that.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
/// The length of the file: at 100 MB a second the tape lasts for 300 years.
const FILE_BYTES: u64 = 1 << 60;
const PAGE_BYTES: u64 = 4096;
/// Where the table begins.
const TABLE: u64 = Header::BYTES as u64;
const CELLS_MAX: usize = limits::CONNECTIONS.max;
const TABLE_BYTES: usize = CELLS_MAX * Cell::BYTES;
/// Where the tape begins.
const TAPE: u64 = 4 * 1024 * 1024;
/// The owner of what all connections share.
const SHARED: Owner = Owner::MAX;
/// Before each record: its sealed length and its owner.
const HEAD_BYTES: usize = 8;
const ALIGNMENT_BYTES: u64 = 8;
/// Lines that lie at most this far apart are written in one piece: a system call costs more than this many lines.
const GAP_MAX: u32 = 32;
/// Waste that is not worth the work.
const WASTE_BYTES: u64 = 256 * 1024;
/// See [`WASTE_BYTES`].
const GIVE_BACK_MIN_BYTES: u64 = 64 * 1024;
const BUFFER_KEEP_BYTES: usize = 64 * 1024;

const _: () = assert!(TABLE + TABLE_BYTES as u64 <= TAPE);
const _: () = assert!(PAGE_BYTES % Cell::BYTES as u64 == 0 && TABLE % PAGE_BYTES == 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::handover::seal::KEY_BYTES;

    const HEADER: Header = Header { epoch_ns: 9, run: 1, attempts: 0, shared: 0, ends: [1, 2, 3, 4] };

    fn key() -> Key {
        Key::new(&[7; KEY_BYTES])
    }

    fn book() -> Book {
        Book::create(key(), HEADER).unwrap()
    }

    fn reopen(book: &Book, key: Key) -> Result<(Book, Legacy), String> {
        Book::open(book.file.try_clone().unwrap(), key)
    }

    fn cell(slot: u32, record: u64) -> Cell {
        Cell { cookie: 1_000 + u64::from(slot), record, seq: 1, time: 2, state: State::Rest }
    }

    /// Writes the record of a slot, and its line.
    fn put(book: &mut Book, slot: u32, text: &str) {
        let record = book.record(slot, cell(slot, 0).cookie, text.as_bytes()).unwrap();
        book.set(slot, cell(slot, record));
    }

    fn texts(legacy: &Legacy) -> Vec<(u32, Result<String, &'static str>)> {
        let text = |record: &Result<Vec<u8>, &'static str>| {
            record.clone().map(|plain| String::from_utf8(plain).unwrap())
        };
        legacy.conns.iter().filter_map(|left| Some((left.slot, text(left.record.as_ref()?)))).collect()
    }

    #[test]
    fn what_is_flushed_is_found_by_the_next_process() {
        let mut book = book();
        for slot in [0, 1, 40, 4_000, 65_535] {
            put(&mut book, slot, &format!("slot {slot}"));
        }
        book.share(b"shared").unwrap();
        assert!(reopen(&book, key()).unwrap().1.conns.is_empty(), "no line is written yet");
        book.flush().unwrap();
        put(&mut book, 1, "newer");
        book.set(40, Cell::default());
        book.flush().unwrap();
        put(&mut book, 0, "never flushed");
        let (_, legacy) = reopen(&book, key()).unwrap();
        let found = [(0, "slot 0"), (1, "newer"), (4_000, "slot 4000"), (65_535, "slot 65535")];
        assert_eq!(texts(&legacy), found.map(|(slot, text)| (slot, Ok(text.to_owned()))));
        assert_eq!(legacy.conns[0].cell, cell(0, legacy.conns[0].cell.record));
        assert_eq!(legacy.shared, Some(Ok(b"shared".to_vec())));
    }

    #[test]
    fn another_key_and_another_place_open_nothing() {
        let mut book = book();
        put(&mut book, 3, "mine");
        put(&mut book, 4, "yours");
        book.flush().unwrap();
        let (_, legacy) = reopen(&book, Key::new(&[8; KEY_BYTES])).unwrap();
        assert!(texts(&legacy).iter().all(|(_, text)| text.is_err()), "{legacy:?}");
        // A line that points to the record of another connection.
        let stolen = book.cell(4).record;
        book.set(3, cell(3, stolen));
        book.flush().unwrap();
        let (_, legacy) = reopen(&book, key()).unwrap();
        assert!(texts(&legacy)[0].1.is_err(), "{legacy:?}");
        // And one that points nowhere.
        for nowhere in [1, TAPE - 8, TAPE + (1 << 40), u64::MAX - 3] {
            book.set(3, cell(3, nowhere));
            book.flush().unwrap();
            let (_, legacy) = reopen(&book, key()).unwrap();
            assert!(texts(&legacy)[0].1.is_err(), "{legacy:?}");
        }
    }

    #[test]
    fn the_tape_takes_no_more_room_than_it_needs() {
        let mut book = book();
        let text = "x".repeat(700);
        for slot in 0..100 {
            put(&mut book, slot, &format!("stays {slot}"));
        }
        for round in 0..20_000 {
            put(&mut book, 100 + round % 50, &text);
            if round % 7 == 0 {
                book.share(text.as_bytes()).unwrap();
            }
            if round % 64 == 0 {
                book.tidy().unwrap();
            }
        }
        book.tidy().unwrap();
        let kept = book.file.metadata().unwrap().blocks() * 512;
        assert!(kept < 1024 * 1024, "{kept} bytes of 16 million are kept");
        let (mut next, legacy) = reopen(&book, key()).unwrap();
        let texts = texts(&legacy);
        assert_eq!(texts.len(), 150);
        assert!((0..100).all(|slot| texts[slot].1 == Ok(format!("stays {slot}"))));
        assert!(legacy.shared.is_some_and(|shared| shared.is_ok()));
        // Whoever goes on with it writes behind what is there.
        put(&mut next, 0, "changed");
        next.flush().unwrap();
        let (_, legacy) = reopen(&next, key()).unwrap();
        assert_eq!(self::texts(&legacy)[..2], [(0, Ok("changed".to_owned())), (1, Ok("stays 1".to_owned()))]);
    }

    #[test]
    fn more_than_the_bound_is_refused_and_harms_nothing() {
        let mut book = book();
        put(&mut book, 0, "small");
        let large = vec![0; usize::try_from(limits::HANDOVER_BYTES_MAX / 4).unwrap()];
        let taken = (1..9).filter(|slot| book.record(*slot, 0, &large).is_ok()).count();
        assert_eq!(taken, 3);
        book.flush().unwrap();
        assert_eq!(texts(&reopen(&book, key()).unwrap().1), [(0, Ok("small".to_owned()))]);
    }

    #[test]
    fn what_is_no_book_is_refused_with_the_reason() {
        let refused = |file: File| Book::open(file, key()).map(drop).unwrap_err();
        let path = std::env::temp_dir().join(format!("loopgate-no-book-{}", std::process::id()));
        std::fs::write(&path, "text").unwrap();
        assert!(refused(File::open(&path).unwrap()).contains("not a memory file"));
        std::fs::remove_file(&path).unwrap();
        let bare = |length| {
            let fd = rustix::fs::memfd_create("x", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
            let file = File::from(fd);
            file.set_len(length).unwrap();
            fcntl_add_seals(&file, SEALS).unwrap();
            file
        };
        assert!(refused(bare(4096)).contains("another version"));
        assert!(refused(bare(FILE_BYTES)).contains("none of loopgate's"));
        let newer = bare(FILE_BYTES);
        let mut page = HEADER.encode();
        page[8] = 2;
        newer.write_all_at(&page, 0).unwrap();
        assert!(refused(newer).contains("format 2"));
    }

    #[test]
    fn a_long_lineage_leaves_the_next_process_its_room() {
        let mut book = book();
        let file = book.file.try_clone().unwrap();
        // As after many records that were given back.
        book.tape.end += 2 * limits::HANDOVER_BYTES_MAX;
        book.tape.start = book.tape.end;
        let record = book.record(3, 4711, b"somebody").unwrap();
        book.set(3, Cell { cookie: 4711, record, state: State::Rest, ..Cell::default() });
        book.tidy().unwrap();
        drop(book);
        let (mut book, legacy) = Book::open(file, key()).unwrap();
        assert_eq!(legacy.conns.len(), 1);
        assert_eq!(legacy.conns[0].record.as_ref().unwrap().as_deref(), Ok(&b"somebody"[..]));
        book.record(5, 4712, b"somebody new").unwrap();
    }
}
