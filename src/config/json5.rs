//! JSON5, the syntax of openclaw.json and loopgate.conf: one pass gives the value and where its parts stand.
//!
//! Rule: a text is taken or refused as npm's json5 2.2.3 does, which OpenClaw reads its files with. Two things are as
//! in JSON instead: infinity and NaN are null, and half of a surrogate pair is U+FFFD. The reader recurses as deep as
//! the text nests, so the bounds of depth and number stand in it and hold whatever else is wrong with the text.
//!
//! Source: <https://spec.json5.org>, and the package's own behaviour, recorded in `tests/data/config`.

mod token;

use std::fmt;
use std::ops::Range;

use serde_json::{Map, Value};

pub(crate) use token::is_line_end;

use super::spans::{Member, Node, Shape, Spans};
use crate::limits::{CONFIG_DEPTH_MAX, CONFIG_VALUES_MAX};

/// Why a text cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The byte that is at fault. Of a text that ends too early, where the innermost thing that is open begins.
    pub(crate) at: usize,
    pub(crate) cause: Cause,
}

/// What is wrong at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Something else has to stand here.
    Expected(&'static str),
    /// This never closes.
    Open(&'static str),
    /// There is nothing but space.
    Empty,
    /// More than [`CONFIG_DEPTH_MAX`] levels.
    Depth,
    /// More than [`CONFIG_VALUES_MAX`] values.
    Values,
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that comes next, always at the start of a character.
    at: usize,
    /// Objects, lists and the string that are open: where each begins, and what it is.
    open: Vec<(usize, &'static str)>,
    comments: Vec<Range<usize>>,
    values: usize,
}

/// Reads one value with nothing but space around it. Of members with one key the last counts.
pub(crate) fn read(text: &str) -> Result<(Value, Spans), Fault> {
    let mut reader = Reader { text, at: 0, open: Vec::new(), comments: Vec::new(), values: 0 };
    let (value, root) = reader.value()?;
    reader.space()?;
    if reader.peek().is_some() {
        return Err(reader.expected("the end of the text"));
    }
    Ok((value, Spans { root, comments: reader.comments }))
}

impl Reader<'_> {
    fn value(&mut self) -> Result<(Value, Node), Fault> {
        self.space()?;
        let start = self.at;
        if self.open.len() > CONFIG_DEPTH_MAX {
            return Err(Fault { at: start, cause: Cause::Depth });
        }
        self.values += 1;
        if self.values > CONFIG_VALUES_MAX {
            return Err(Fault { at: start, cause: Cause::Values });
        }
        let (value, shape) = match self.peek() {
            Some('{') => self.map()?,
            Some('[') => self.list()?,
            Some('"' | '\'') => (self.string()?.into(), Shape::Scalar),
            None if self.open.is_empty() => return Err(Fault { at: start, cause: Cause::Empty }),
            _ => (self.word()?, Shape::Scalar),
        };
        Ok((value, Node { span: start..self.at, shape }))
    }

    fn list(&mut self) -> Result<(Value, Shape), Fault> {
        let (mut items, mut nodes) = (Vec::new(), Vec::new());
        self.enter("list");
        while !self.leaves(']')? {
            let (item, node) = self.value()?;
            items.push(item);
            nodes.push(node);
            self.separator(']', "a comma or ]")?;
        }
        Ok((Value::Array(items), Shape::List(nodes)))
    }

    fn map(&mut self) -> Result<(Value, Shape), Fault> {
        let (mut values, mut members) = (Map::new(), Vec::new());
        self.enter("object");
        while !self.leaves('}')? {
            let at = self.at;
            let key = match self.peek() {
                Some('"' | '\'') => self.string()?,
                _ => self.name()?,
            };
            self.space()?;
            if !self.eat(":") {
                return Err(self.expected("a colon"));
            }
            let (value, node) = self.value()?;
            members.push(Member { key: key.clone(), at, value: node });
            values.insert(key, value);
            self.separator('}', "a comma or }")?;
        }
        Ok((Value::Object(values), Shape::Map(members)))
    }

    /// Goes behind the bracket or quote that opens `what`.
    fn enter(&mut self, what: &'static str) {
        self.open.push((self.at, what));
        self.skip();
    }

    /// Goes behind the innermost closing bracket, if that is what comes next.
    fn leaves(&mut self, close: char) -> Result<bool, Fault> {
        self.space()?;
        let leaves = self.peek() == Some(close);
        if leaves {
            self.skip();
            self.open.pop();
        }
        Ok(leaves)
    }

    /// A comma, or the closing bracket, which stays.
    fn separator(&mut self, close: char, wanted: &'static str) -> Result<(), Fault> {
        self.space()?;
        if self.eat(",") || self.peek() == Some(close) { Ok(()) } else { Err(self.expected(wanted)) }
    }

    /// The fault that `wanted` does not come next: something else does, or nothing at all.
    fn expected(&self, wanted: &'static str) -> Fault {
        match (self.peek(), self.open.last()) {
            (None, Some(&(at, what))) => Fault { at, cause: Cause::Open(what) },
            _ => Fault { at: self.at, cause: Cause::Expected(wanted) },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Open(what) => write!(f, "the text ends inside this {what}"),
            Self::Empty => f.write_str("the text holds no value, write an object"),
            Self::Depth => write!(f, "lists and objects nest at most {CONFIG_DEPTH_MAX} deep"),
            Self::Values => write!(f, "at most {CONFIG_VALUES_MAX} values are read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        read(text).expect("valid text").0.to_string()
    }

    fn fault(text: &str) -> (usize, String) {
        let fault = read(text).expect_err(text);
        (fault.at, fault.cause.to_string())
    }

    /// JavaScript has floats alone, and serde_json, which reads the cases, may miss one by its last bits.
    fn alike(ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
                (a - b).abs() <= 4.0 * f64::EPSILON * b.abs()
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
            }
            _ => ours == theirs,
        }
    }

    #[test]
    fn texts_mean_what_the_reference_parser_makes_of_them() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/data/config/json5-cases.json")).expect("cases");
        let mut counts = (0, 0);
        for case in &cases {
            let text = case["text"].as_str().expect("a text");
            match (read(text), case.get("value")) {
                (Ok((ours, _)), Some(theirs)) => {
                    assert!(alike(&ours, theirs), "{text:?}: {ours} {theirs}");
                    counts.0 += 1;
                }
                (Err(_), None) => counts.1 += 1,
                (ours, theirs) => panic!("{text:?}: {ours:?} {theirs:?}"),
            }
        }
        assert!(counts.0 >= 60 && counts.1 >= 130, "{counts:?} cases are too few");
    }

    #[test]
    fn faults_are_placed() {
        for (text, at, want) in [
            ("", 0, "the text holds no value, write an object"),
            (" // only this\n", 14, "the text holds no value, write an object"),
            ("{ a: 1, b 2 }", 10, "expected a colon"),
            ("{ a: 1 b: 2 }", 7, "expected a comma or }"),
            ("[1 2]", 3, "expected a comma or ]"),
            ("{ 1: 2 }", 2, "expected a key or }"),
            ("{ a: True }", 5, "expected a value"),
            ("{ a: 'b', c: [1, ", 13, "the text ends inside this list"),
            ("{ a: 'b", 5, "the text ends inside this string"),
            ("{ a: 'b\\", 5, "the text ends inside this string"),
            ("{ a: 'b\n' }", 7, "expected the end of the string in its line, or \\ to go on in the next"),
            ("{ a: '\\u00g0' }", 10, "expected a hexadecimal digit"),
            ("{ a\\u002db: 1 }", 3, "expected a letter behind \\u"),
            ("{ a: 01 }", 5, "expected a number without zeros before it"),
            ("{ a: 1e }", 7, "expected a digit"),
            ("-", 1, "expected a number"),
            ("{} x", 3, "expected the end of the text"),
            ("{} /* x", 3, "the text ends inside this comment"),
            ("{} / x", 3, "expected a comment, // or /*"),
        ] {
            assert_eq!(fault(text), (at, want.to_owned()), "{text:?}");
        }
    }

    /// The stack is bounded whether or not the text is sound before, behind or around the brackets.
    #[test]
    fn depth_is_bounded_whatever_the_text() {
        let most = CONFIG_DEPTH_MAX + 1;
        assert!(read(&format!("{}{}", "[".repeat(most), "]".repeat(most))).is_ok());
        for (unit, at) in [("[", most), ("{a:", 3 * most), ("[\n", 2 * most), ("/**/[", 5 * most + 4)] {
            for tail in ["", "]x", "\u{85}"] {
                let fault = read(&format!("{}{tail}", unit.repeat(100_000))).expect_err("too deep");
                assert_eq!(fault, Fault { at, cause: Cause::Depth }, "{unit}");
            }
        }
        assert_eq!(fault(&format!("[\u{85}{}", "[".repeat(100_000))).1, "expected a value");
        assert_eq!(fault(&"[/*".repeat(100_000)).1, "the text ends inside this comment");
        assert_eq!(fault(&"\"".repeat(100_001)).1, "expected the end of the text");
    }

    #[test]
    fn values_are_bounded() {
        assert!(read(&format!("[{}]", "0,".repeat(CONFIG_VALUES_MAX - 1))).is_ok());
        let fault = read(&format!("[{}]", "0,".repeat(CONFIG_VALUES_MAX))).expect_err("too many");
        assert_eq!(fault, Fault { at: 2 * CONFIG_VALUES_MAX - 1, cause: Cause::Values });
    }

    #[test]
    fn long_strings_and_numbers_are_read() {
        let long = "ä\\n".repeat(1_000_000);
        let (read, _) = read(&format!("'{long}'")).expect("valid text");
        assert_eq!(read.as_str().map(str::len), Some(3_000_000));
        assert_eq!(value(&"9".repeat(1_000_000)), "null");
        assert_eq!(value(&format!("0.{}1", "0".repeat(1_000_000))), "0");
        assert_eq!(value(&format!("0x{}F", "0".repeat(1_000_000))), "15");
    }

    #[test]
    fn keys_of_javascript_are_keys_like_others() {
        assert_eq!(
            value("{ constructor: 1, __proto__: { toString: 2 }, a: 3, a: 4 }"),
            r#"{"__proto__":{"toString":2},"a":4,"constructor":1}"#
        );
    }
}
