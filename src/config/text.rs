//! A configuration text as a value whose parts know where they stand.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{ConfigError, Place};
use super::json5::{self, Cause};
use super::spans::{self, Spans};

/// A parsed file. Its text may hold secrets, so `Debug` shows the path alone.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) value: Value,
    pub(crate) spans: Spans,
}

impl Document {
    /// Parses JSON5.
    pub(crate) fn parse(file: &Path, text: String) -> Result<Self, ConfigError> {
        let fault = match json5::read(&text) {
            Ok((value, spans)) => return Ok(Self { file: file.to_path_buf(), text, value, spans }),
            Err(fault) => fault,
        };
        let position = Some(spans::position(&text, fault.at));
        let place = Place { file: file.to_path_buf(), position };
        let cause = fault.cause.to_string();
        Err(match fault.cause {
            Cause::Depth | Cause::Values => ConfigError::TooBig { place, bound: cause },
            Cause::Expected(_) | Cause::Open(_) | Cause::Empty => ConfigError::Syntax { place, cause },
        })
    }

    /// The place of the value at `path`, or of what is around it in the text.
    pub(crate) fn value_place(&self, path: &[String]) -> Place {
        self.place(Some(self.spans.value_at(path)))
    }

    /// The place of the last key of `path`.
    pub(crate) fn key_place(&self, path: &[String]) -> Place {
        self.place(self.spans.key_at(path))
    }

    fn place(&self, offset: Option<usize>) -> Place {
        Place { file: self.file.clone(), position: offset.map(|offset| spans::position(&self.text, offset)) }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, ConfigError> {
        Document::parse(Path::new("/x.json"), text.to_owned())
    }

    fn shown(text: &str) -> String {
        parse(text).expect_err("a broken text").to_string()
    }

    #[test]
    fn errors_have_a_position() {
        assert_eq!(shown("{\n  a: 1,\n  b 2\n}"), "/x.json:3:5: not valid JSON5: expected a colon");
        assert_eq!(shown("{\n  a: 1,\n"), "/x.json:1:1: not valid JSON5: the text ends inside this object");
        assert_eq!(shown("{\u{2028} é x }"), "/x.json:2:4: not valid JSON5: expected a colon");
    }

    #[test]
    fn bounds_have_a_position() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(shown(&deep), "/x.json:1:98: too big, lists and objects nest at most 96 deep");
    }
}
