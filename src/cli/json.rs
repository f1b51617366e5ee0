//! JSON: members of answers, and answers for machines, order and digits kept, only the white space is ours.

use std::fmt::Write as _;

use serde_json::Value;

/// Reading answers: what is not there is null, whatever shape the rest has.
pub(crate) trait Member {
    /// The member below `key`.
    fn at(&self, key: &str) -> &Value;
}

impl Member for Value {
    fn at(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(&Value::Null)
    }
}

/// `raw`, a JSON document, indented by two spaces, without a line break at the end.
///
/// Control characters beyond ASCII's first 32, which JSON lets through, are written as escapes: the value is the
/// same, and a terminal is safe. Levels beyond [`INDENT_MAX`] are not indented further, so that a deep document
/// stays near its own size.
pub(crate) fn pretty(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    let mut depth = 0_usize;
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => string(&mut out, &mut chars),
            '{' | '[' => {
                out.push(c);
                skip_space(&mut chars);
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Copies the rest of a string whose opening quote was read.
fn string(out: &mut String, chars: &mut Chars<'_>) {
    out.push('"');
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            '"' => {
                out.push(c);
                return;
            }
            '\u{7f}'..='\u{9f}' => {
                write!(out, "\\u{:04x}", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
}

fn skip_space(chars: &mut Chars<'_>) {
    while chars.next_if(char::is_ascii_whitespace).is_some() {}
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(INDENT_MAX)));
}

const INDENT_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_and_digits_are_kept() {
        let raw = r#"{"b": 1.50, "a":[ ],"c":[1,{"x":"a\"}:,[" }],"d":{}}"#;
        let want = "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"c\": [\n    1,\n    {\n      \"x\": \"a\\\"}:,[\"\n    }\n  ],\n  \"d\": {}\n}";
        assert_eq!(pretty(raw), want);
    }

    #[test]
    fn it_is_what_serde_writes_and_the_same_value() {
        let value = json!({"a": [1, 2, {"b": null}], "c": "x\u{9b}31m\u{7f}", "d": [[]], "e": "\u{1b}"});
        let shown = pretty(&value.to_string());
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
        let plain = json!({"a": [1, {"b": "c"}], "d": []});
        assert_eq!(pretty(&plain.to_string()), serde_json::to_string_pretty(&plain).unwrap());
    }

    #[test]
    fn depth_does_not_multiply_the_size() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(pretty(&deep).len() < 100_000 * 70);
    }
}
