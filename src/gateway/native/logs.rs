//! `logs.tail`: OpenClaw's log file from a cursor on. Facts from OpenClaw 2026.3.13.
//!
//! Rule: a cursor is a byte offset of an earlier answer; a client that asks again and again sees every line once.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::gateway::io::FileError;
use crate::gateway::job::Query;
use crate::limits;
use crate::wire::error::ErrorShape;

use super::answer::{Answer, checked, counted, params, say, wide};
use super::date::Date;

/// What part of the log is wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// The offset behind what the caller has; none for a first call.
    cursor: Option<u64>,
    /// At most this many lines, the last ones.
    lines: usize,
    /// At most this many bytes, the last ones.
    bytes: u64,
}

/// Where to start reading, and what the caller has to know about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    /// The first byte that is new to the caller.
    start: u64,
    /// The caller has to forget what it has.
    reset: bool,
    /// There is more before the start that the caller does not have.
    truncated: bool,
}

/// `logs.tail`: the lines behind `cursor`, or the last ones.
///
/// A cursor beyond the end, or more than `maxBytes` behind it, starts over (`reset`); `truncated` says that lines are
/// left out. A missing file is an empty one.
pub(in crate::gateway) fn tail(query: &Query<'_>) -> Answer {
    const METHOD: &str = "logs.tail";
    let mut reader = params(query, METHOD)?;
    let wanted = Wanted {
        cursor: reader.int("cursor", 0..=u64::MAX),
        lines: counted(&mut reader, "limit", limits::LOG_LINES),
        bytes: wide(counted(&mut reader, "maxBytes", limits::LOG_BYTES)),
    };
    checked(reader, METHOD)?;
    let file = file(query).map_err(|cause| failed(&cause))?;
    let (slice, size, lines) = read(query, &file, wanted).map_err(|error| failed(&error.to_string()))?;
    say(&json!({
        "file": file.display().to_string(),
        "cursor": size,
        "size": size,
        "lines": lines,
        "truncated": slice.truncated,
        "reset": slice.reset,
    }))
}

impl Wanted {
    /// Where to start in a file of `size` bytes.
    fn slice(self, size: u64) -> Slice {
        let tail = size.saturating_sub(self.bytes);
        match self.cursor {
            None => Slice { start: tail, reset: false, truncated: tail > 0 },
            Some(cursor) if cursor > size => Slice { start: tail, reset: true, truncated: tail > 0 },
            Some(cursor) if cursor < tail => Slice { start: tail, reset: true, truncated: true },
            Some(cursor) => Slice { start: cursor, reset: false, truncated: false },
        }
    }
}

/// The slice, the file's size when the call came, and the lines.
fn read(query: &Query<'_>, file: &Path, wanted: Wanted) -> Result<(Slice, u64, Vec<String>), FileError> {
    let size = match query.files.read_range(file, 0, 0) {
        Ok((_, size)) => size,
        Err(FileError::Missing) => {
            return Ok((Slice { start: 0, reset: false, truncated: false }, 0, Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let slice = wanted.slice(size);
    if size <= slice.start {
        return Ok((slice, size, Vec::new()));
    }
    // The byte before tells whether the first line is whole. What was written meanwhile waits for the next call.
    let from = slice.start.saturating_sub(1);
    let (bytes, _) = query.files.read_range(file, from, size - from)?;
    let bytes = if slice.start == 0 { bytes.as_slice() } else { after_break(&bytes) };
    Ok((slice, size, lines(bytes, wanted.lines)))
}

/// What follows the first line break.
fn after_break(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(end + 1..)).unwrap_or_default()
}

/// The last `max` lines.
fn lines(bytes: &[u8], max: usize) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut lines: Vec<String> = bytes
        .rsplit(|byte| *byte == b'\n')
        .take(max)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    lines.reverse();
    lines
}

/// The log file: the configured one, or the newest that OpenClaw wrote to its temporary folder. A configured name with
/// a date stands for the newest of its folder if it is not there.
fn file(query: &Query<'_>) -> Result<PathBuf, String> {
    if let Some(file) = &query.setup.openclaw.logging.file {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !is_rolling(name) || query.files.read_range(file, 0, 0).is_ok() {
            return Ok(file.clone());
        }
        let newest = file.parent().map(|folder| newest(query, folder)).transpose()?.flatten();
        return Ok(newest.unwrap_or_else(|| file.clone()));
    }
    // OpenClaw leaves the first folder to whoever came first and takes one with its user's number then.
    let own = query.setup.owners.first().map(|uid| PathBuf::from(format!("{LOG_FOLDER}-{uid}")));
    for folder in own.iter().map(PathBuf::as_path).chain([Path::new(LOG_FOLDER)]) {
        if let Some(file) = newest(query, folder)? {
            return Ok(file);
        }
    }
    Ok(Path::new(LOG_FOLDER).join(format!("openclaw-{}.log", Date::of(query.now.unix_ms).day())))
}

/// The newest log of a folder: the names sort by date.
fn newest(query: &Query<'_>, folder: &Path) -> Result<Option<PathBuf>, String> {
    let entries = match query.files.list(folder) {
        Ok(entries) => entries,
        Err(FileError::Missing) => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_rolling);
    Ok(entries.into_iter().filter(name).max())
}

/// `openclaw-YYYY-MM-DD.log`.
fn is_rolling(name: &str) -> bool {
    let date = name.strip_prefix("openclaw-").and_then(|rest| rest.strip_suffix(".log")).unwrap_or_default();
    date.len() == 10
        && date
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

/// The words of OpenClaw.
fn failed(cause: &str) -> ErrorShape {
    ErrorShape::unavailable(format!("log read failed: {cause}"))
}

/// OpenClaw's temporary folder.
const LOG_FOLDER: &str = "/tmp/openclaw";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_where_to_start() {
        let slice = |cursor, size| Wanted { cursor, lines: 1, bytes: 100 }.slice(size);
        let at = |start, reset, truncated| Slice { start, reset, truncated };
        assert_eq!(slice(None, 100), at(0, false, false));
        assert_eq!(slice(None, 101), at(1, false, true));
        assert_eq!(slice(Some(150), 150), at(150, false, false));
        assert_eq!(slice(Some(50), 150), at(50, false, false));
        assert_eq!(slice(Some(49), 150), at(50, true, true));
        assert_eq!(slice(Some(151), 150), at(50, true, true));
        assert_eq!(slice(Some(9), 8), at(0, true, false));
    }

    #[test]
    fn rolling_names_are_known() {
        assert!(is_rolling("openclaw-2026-11-22.log"));
        for name in
            ["openclaw.log", "openclaw-2026-11-2.log", "openclaw-2026_11_22.log", "openclaw-2026-11-22.log.1"]
        {
            assert!(!is_rolling(name), "{name}");
        }
    }

    #[test]
    fn the_last_lines_count() {
        assert_eq!(lines(b"a\nb\nc\n", 2), ["b", "c"]);
        assert_eq!(lines(b"a\n\nc", 9), ["a", "", "c"]);
        assert_eq!(lines(b"\n", 9), [""]);
        assert!(lines(b"", 9).is_empty());
    }
}
