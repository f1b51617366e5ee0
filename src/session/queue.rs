//! Bytes that wait, oldest first: what a peer sent and nobody has looked at, and what the peer is owed.
//!
//! Rule: a queue holds nothing back and interprets nothing; who fills it keeps it within its bound.

use std::io::{self, Write};

use crate::limits::BUFFER_KEEP_BYTES;

/// A first-in, first-out queue of bytes in one piece.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// Where the first waiting byte is; everything before it is done with.
    start: usize,
}

impl Queue {
    /// A queue in which `bytes` wait.
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }

    /// The waiting bytes.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `more`.
    pub(super) fn push(&mut self, more: &[u8]) {
        // What is done with is overwritten once it is the larger part, so a byte is moved at most once on average.
        if self.start > 0 && self.start >= self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
            // One largest message must not keep its room while small ones come without a pause.
            let needed = (self.bytes.len() + more.len()).max(BUFFER_KEEP_BYTES);
            if self.bytes.capacity() / 4 > needed {
                self.bytes.shrink_to(needed);
            }
        }
        self.bytes.extend_from_slice(more);
    }

    /// Drops the first `count` waiting bytes; all of them if there are fewer. A queue that becomes empty keeps at
    /// most [`BUFFER_KEEP_BYTES`].
    pub(super) fn skip(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
            if self.bytes.capacity() > BUFFER_KEEP_BYTES {
                self.release();
            }
        }
    }

    /// Gives back all memory that is not needed for what waits.
    pub(super) fn release(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.shrink_to_fit();
    }

    /// Bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Write for Queue {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.push(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut queue = Queue::default();
        let mut seen = Vec::new();
        for round in 0..200u8 {
            queue.push(&[round; 7]);
            let some = queue.waiting()[..5].to_vec();
            queue.skip(some.len());
            seen.extend(some);
        }
        seen.extend(queue.waiting());
        let want: Vec<u8> = (0..200u8).flat_map(|round| [round; 7]).collect();
        assert_eq!(seen, want);
    }

    #[test]
    fn what_is_done_with_does_not_pile_up() {
        let mut queue = Queue::default();
        queue.push(&[0; 100]);
        for _ in 0..100_000 {
            queue.push(&[1; 50]);
            queue.skip(50);
        }
        assert_eq!(queue.len(), 100);
        assert!(queue.capacity() < 1_000, "{} bytes", queue.capacity());
    }

    #[test]
    fn room_of_a_large_message_is_given_back_under_steady_traffic() {
        let mut queue = Queue::default();
        queue.push(&vec![0; 1024 * 1024]);
        queue.push(&[1; 10]);
        queue.skip(1024 * 1024);
        for _ in 0..10 {
            queue.push(&[1; 10]);
            queue.skip(10);
        }
        assert_eq!(queue.waiting(), [1; 10]);
        assert!(queue.capacity() <= BUFFER_KEEP_BYTES, "{} bytes", queue.capacity());
    }

    #[test]
    fn a_grown_queue_is_given_back_once_empty() {
        let mut queue = Queue::default();
        queue.push(&vec![0; BUFFER_KEEP_BYTES + 1]);
        queue.skip(usize::MAX);
        assert_eq!((queue.len(), queue.capacity()), (0, 0));
        queue.push(&[0; 10]);
        queue.skip(10);
        assert!(queue.capacity() >= 10, "a small one is kept");
        queue.release();
        assert_eq!(queue.capacity(), 0);
    }
}
