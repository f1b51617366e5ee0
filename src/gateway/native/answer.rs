//! What every native method needs: reading params, saying a payload, and the errors they have in common.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::gateway::io::FileError;
use crate::gateway::job::Query;
use crate::limits::Count;
use crate::wire::error::ErrorShape;
use crate::wire::params::Reader;

/// The payload as JSON text, or the error to send.
pub(super) type Answer = Result<String, ErrorShape>;

/// A file that is there but cannot be used. It is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(String);

impl Unreadable {
    /// `path` cannot be used because of `cause`, which says what to do.
    pub(super) fn new(path: &Path, cause: impl std::fmt::Display) -> Self {
        Self(format!("{}: {cause}", path.display()))
    }

    /// Which file, and why.
    pub(super) fn sentence(&self) -> &str {
        &self.0
    }
}

impl From<Unreadable> for ErrorShape {
    fn from(unreadable: Unreadable) -> Self {
        Self::unavailable(unreadable.0)
    }
}

/// Reads the params of `method`; none at all count as an empty object.
pub(super) fn params<'a>(query: &Query<'a>, method: &str) -> Result<Reader<'a>, ErrorShape> {
    let value = if query.params.is_null() { &*NOTHING } else { query.params };
    Reader::new(value).map_err(|problem| invalid(method, &problem))
}

/// Takes note that all params were asked for; an error if one of them was wrong.
pub(super) fn checked(reader: Reader<'_>, method: &str) -> Result<(), ErrorShape> {
    reader.finish().map_err(|problems| invalid(method, &problems))
}

/// For methods without params.
pub(super) fn no_params(query: &Query<'_>, method: &str) -> Result<(), ErrorShape> {
    checked(params(query, method)?, method)
}

/// The error for wrong params, in the words that both versions use.
pub(super) fn invalid(method: &str, problems: &str) -> ErrorShape {
    ErrorShape::invalid(format!("invalid {method} params: {problems}"))
}

/// The payload as JSON text.
#[expect(clippy::unnecessary_wraps, reason = "it ends every handler")]
pub(super) fn say(payload: &Value) -> Answer {
    Ok(payload.to_string())
}

/// What only the OpenClaw runtime can answer. `what` is a noun phrase.
pub(super) fn needs_runtime(what: &str) -> ErrorShape {
    ErrorShape::unavailable(format!(
        "{what} needs the OpenClaw runtime, which is not connected to this gateway"
    ))
}

/// A whole file of JSON; `None` if there is none.
pub(super) fn json_file(query: &Query<'_>, path: &Path, max: u64) -> Result<Option<Value>, Unreadable> {
    let Some(bytes) = whole_file(query, path, max)? else { return Ok(None) };
    parse(path, &bytes).map(Some)
}

/// A whole file; `None` if there is none.
pub(super) fn whole_file(query: &Query<'_>, path: &Path, max: u64) -> Result<Option<Vec<u8>>, Unreadable> {
    match query.files.read(path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(FileError::Missing) => Ok(None),
        Err(error) => Err(Unreadable::new(path, error)),
    }
}

/// The text of a JSON file as a value.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice(bytes)
        .map_err(|error| Unreadable::new(path, format!("not valid JSON, repair or move the file: {error}")))
}

/// A number of things that the caller may name.
pub(super) fn counted(reader: &mut Reader<'_>, key: &str, count: Count) -> usize {
    let range = wide(count.min)..=wide(count.max);
    reader.int(key, range).map_or(count.default, narrow)
}

/// A number without an upper bound of its own; the longest whole number that JavaScript counts to is one.
pub(super) fn whole(reader: &mut Reader<'_>, key: &str, min: u64) -> Option<usize> {
    reader.int(key, min..=WHOLE_MAX).map(narrow)
}

/// A size in memory as one on disk.
pub(super) fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A number as an index; on a machine too small for it the largest one.
pub(super) fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// `Number.MAX_SAFE_INTEGER`.
const WHOLE_MAX: u64 = 9_007_199_254_740_991;

static NOTHING: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
