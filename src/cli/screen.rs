//! Text for people: lines, aligned columns, times as people say them.
//!
//! Rule: everything goes through [`Screen`], and [`Screen`] lets no control character through. So nothing that a
//! gateway, a node or a device calls itself can steer the terminal.

use std::fmt::Write as _;

use serde_json::Value;

/// Text being made. Colour is added here and nowhere else.
#[derive(Debug)]
pub(crate) struct Screen {
    out: String,
    colour: bool,
    now_ms: u64,
}

/// A piece of text with a meaning; only the meaning has a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    text: String,
    tone: Tone,
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// Headings and names of columns.
    Bold,
    /// As it should be.
    Good,
    /// Wants attention.
    Warn,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Dim,
}

impl Screen {
    /// An empty screen. `now_ms` is what relative times are relative to, in milliseconds since 1970.
    pub(crate) fn new(colour: bool, now_ms: u64) -> Self {
        Self { out: String::new(), colour, now_ms }
    }

    /// All lines so far.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// One line.
    pub(crate) fn line(&mut self, spans: &[Span]) {
        for span in spans {
            self.put(span, 0);
        }
        self.end_line();
    }

    /// `name  value`, the names aligned.
    pub(crate) fn pair(&mut self, name: &str, spans: &[Span]) {
        self.put(&Span::new(name, Tone::Dim), PAIR_WIDTH);
        self.line(spans);
    }

    /// An empty line, unless nothing stands above it.
    pub(crate) fn gap(&mut self) {
        if !self.out.is_empty() {
            self.end_line();
        }
    }

    /// A table with a heading. A row that is shorter than the heading ends early.
    pub(crate) fn table(&mut self, heading: &[&str], rows: &[Vec<Span>]) {
        let heading: Vec<Span> = heading.iter().map(|name| Span::new(name, Tone::Bold)).collect();
        let mut widths = vec![0; heading.len()];
        for row in rows.iter().chain([&heading]) {
            for (width, span) in widths.iter_mut().zip(row) {
                *width = span.text.chars().count().max(*width);
            }
        }
        for row in [&heading].into_iter().chain(rows) {
            let last = row.len().saturating_sub(1);
            for (index, (span, width)) in row.iter().zip(&widths).enumerate() {
                self.put(span, if index == last { 0 } else { width + 2 });
            }
            self.end_line();
        }
    }

    /// How long ago `at_ms` was, or how far ahead it lies.
    pub(crate) fn ago(&self, at_ms: u64) -> String {
        match at_ms.abs_diff(self.now_ms) {
            0..1_000 => "now".to_owned(),
            ahead if at_ms > self.now_ms => format!("in {}", duration(ahead)),
            past => format!("{} ago", duration(past)),
        }
    }

    /// [`Screen::ago`] of a member of an answer; `-` if it is not a time.
    pub(crate) fn ago_at(&self, value: &Value) -> Span {
        value.as_u64().map_or_else(Span::none, |at| Span::new(&self.ago(at), Tone::Plain))
    }

    fn put(&mut self, span: &Span, width: usize) {
        let code = if self.colour { span.tone.code() } else { "" };
        self.out.push_str(code);
        self.out.push_str(&span.text);
        if !code.is_empty() {
            self.out.push_str("\x1b[0m");
        }
        let used = span.text.chars().count();
        self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    }

    fn end_line(&mut self) {
        let end = self.out.trim_end_matches(' ').len();
        self.out.truncate(end);
        self.out.push('\n');
    }
}

impl Span {
    /// `text` with control characters made visible.
    pub(crate) fn new(text: &str, tone: Tone) -> Self {
        Self { text: neutral(text), tone }
    }

    /// Nothing to show.
    pub(crate) fn none() -> Self {
        Self::new("-", Tone::Dim)
    }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Span {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Value> for Span {
    /// A scalar as people write it; `-` for what is absent, null or not a scalar.
    fn from(value: &Value) -> Self {
        match value {
            Value::String(text) if !text.is_empty() => Self::from(text.as_str()),
            Value::Bool(true) => Self::from("yes"),
            Value::Bool(false) => Self::from("no"),
            Value::Number(number) => Self::from(number.to_string()),
            _ => Self::none(),
        }
    }
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Dim => "\x1b[2m",
        }
    }
}

/// `text` without anything that a terminal acts on: control characters of ASCII and of Latin-1, and the marks that
/// turn the direction of writing, are spelled out.
pub(crate) fn neutral(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                write!(out, "\\x{:02x}", u32::from(c)).ok();
            }
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                write!(out, "\\u{{{:x}}}", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
    out
}

/// A list of names, separated by spaces; `-` if there are none.
pub(crate) fn names(value: &Value) -> Span {
    let names: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { Span::none() } else { Span::from(names.join(" ")) }
}

/// Milliseconds as people say them: the two largest units.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

const PAIR_WIDTH: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut screen = Screen::new(false, 0);
        screen
            .table(&["ID", "NAME"], &[vec!["a-long-id".into(), "ü".into()], vec!["b".into(), "x\ty".into()]]);
        assert_eq!(screen.finish(), "ID         NAME\na-long-id  ü\nb          x\\ty\n");
    }

    #[test]
    fn colour_does_not_shift_columns() {
        let row = vec![Span::new("a", Tone::Good), "b".into()];
        let mut screen = Screen::new(true, 0);
        screen.table(&["ID", "N"], &[row]);
        assert_eq!(screen.finish(), "\x1b[1mID\x1b[0m  \x1b[1mN\x1b[0m\n\x1b[32ma\x1b[0m   b\n");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "a\x1b]0;x\x07\u{9b}2J\r\n\u{202e}b\u{2066}\u{7f}";
        assert_eq!(neutral(hostile), "a\\x1b]0;x\\x07\\x9b2J\\x0d\\n\\u{202e}b\\u{2066}\\x7f");
        let mut screen = Screen::new(false, 0);
        screen.line(&[hostile.into(), (&Value::from(hostile)).into(), names(&Value::from(vec![hostile]))]);
        assert!(screen.finish().trim_end_matches('\n').chars().all(|c| !c.is_control()));
    }

    #[test]
    fn times_are_relative() {
        let screen = Screen::new(false, 10_000_000_000);
        let cases: [(u64, &str); 6] = [
            (10_000_000_000, "now"),
            (9_999_955_000, "45 s ago"),
            (9_999_000_000, "16 min ago"),
            (9_990_000_000, "2 h 46 min ago"),
            (9_000_000_000, "11 d 13 h ago"),
            (10_000_240_000, "in 4 min"),
        ];
        for (at, want) in cases {
            assert_eq!(screen.ago(at), want);
        }
    }
}
