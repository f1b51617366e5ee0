//! Where things stand in a JSON5 text, for error messages and for redaction in place. [`super::json5`] finds them while
//! it reads the values.

use std::ops::Range;

use super::error::Position;
use super::json5::is_line_end;

/// All spans of one text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spans {
    /// The outermost value.
    pub(crate) root: Node,
    /// The comments with their marks.
    pub(crate) comments: Vec<Range<usize>>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// From its first byte to behind its last.
    pub(crate) span: Range<usize>,
    /// What is in it.
    pub(crate) shape: Shape,
}

/// What a value is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A string, number, boolean or null.
    Scalar,
    /// The elements.
    List(Vec<Node>),
    /// The members in the order of the text; a key may come twice.
    Map(Vec<Member>),
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The key, decoded.
    pub(crate) key: String,
    /// Where the key begins.
    pub(crate) at: usize,
    /// Its value.
    pub(crate) value: Node,
}

impl Spans {
    /// The byte where the value at `path` begins, or that of the nearest value around it that is in the text.
    pub(crate) fn value_at(&self, path: &[String]) -> usize {
        let mut node = &self.root;
        for step in path {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node.span.start
    }

    /// The byte where the last key of `path` begins, if it is in the text.
    pub(crate) fn key_at(&self, path: &[String]) -> Option<usize> {
        let (last, parents) = path.split_last()?;
        let parent = parents.iter().try_fold(&self.root, |node, step| node.child(step))?;
        parent.member(last).map(|member| member.at)
    }
}

impl Node {
    /// The member or element named by `step`. Of members with one key the last counts, as in the value.
    fn child(&self, step: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Scalar => None,
            Shape::List(items) => items.get(step.parse::<usize>().ok()?),
            Shape::Map(_) => self.member(step).map(|member| &member.value),
        }
    }

    fn member(&self, key: &str) -> Option<&Member> {
        match &self.shape {
            Shape::Map(members) => members.iter().rev().find(|member| member.key == key),
            Shape::Scalar | Shape::List(_) => None,
        }
    }
}

/// The position of a byte, counted in characters and in all of JSON5's line ends, CR LF as one.
pub(crate) fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let mut position = Position { line: 1, column: 1 };
    let mut chars = before.chars().peekable();
    while let Some(c) = chars.next() {
        if is_line_end(c) {
            if c == '\r' && chars.peek() == Some(&'\n') {
                chars.next();
            }
            position = Position { line: position.line + 1, column: 1 };
        } else {
            position.column += 1;
        }
    }
    position
}

#[cfg(test)]
mod tests {
    use super::super::json5;
    use super::*;

    const TEXT: &str = "// head\n{ a: 1, 'b.c': [true, \"x, ]\"], /* } */ \\u0061d: { e: 'f\\'g' }, a: 2 }";

    fn spans() -> Spans {
        json5::read(TEXT).expect("valid text").1
    }

    fn path(steps: &[&str]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    fn rest(offset: usize) -> &'static str {
        TEXT.get(offset..).expect("a span of the text")
    }

    #[test]
    fn finds_values_and_keys() {
        let spans = spans();
        assert!(rest(spans.value_at(&path(&["b.c", "1"]))).starts_with("\"x, ]\""));
        assert!(rest(spans.value_at(&path(&["ad", "e"]))).starts_with("'f\\'g'"));
        assert!(rest(spans.key_at(&path(&["ad"])).expect("key")).starts_with("\\u0061d"));
        assert_eq!(spans.comments.len(), 2);
    }

    #[test]
    fn of_two_equal_keys_the_last_counts() {
        let spans = spans();
        assert!(rest(spans.value_at(&path(&["a"]))).starts_with("2 }"));
    }

    #[test]
    fn a_missing_value_is_placed_at_what_is_around_it() {
        let spans = spans();
        assert!(rest(spans.value_at(&path(&["ad", "no", "no"]))).starts_with("{ e:"));
        assert_eq!(spans.key_at(&path(&["no"])), None);
    }

    #[test]
    fn counts_lines_and_characters() {
        let text = "\u{feff}a\r\nbä\u{2028}c\rd";
        let at = |needle: &str| position(text, text.find(needle).expect("in the text"));
        assert_eq!(at("a"), Position { line: 1, column: 2 });
        assert_eq!(at("ä"), Position { line: 2, column: 2 });
        assert_eq!(at("c"), Position { line: 3, column: 1 });
        assert_eq!(at("d"), Position { line: 4, column: 1 });
    }
}
