//! Taking secrets out of a configuration's text, comments and layout kept.
//!
//! Rule: the text is edited at the spans of the values that redaction changes, and parsed again. If the outcome is not
//! exactly the redacted value, the edit is thrown away and the redacted value is written anew.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::json5;
use super::redact::{self, REDACTED, Redactor};
use super::spans::{Member, Node, Shape};
use super::text::Document;

/// What has to be done to a text.
#[derive(Default)]
struct Edits {
    /// Spans and what comes in their places.
    list: Vec<(Range<usize>, String)>,
    /// Secrets that stand in the text alone, not in its value: in comments, under keys that come again.
    secrets: Vec<String>,
}

/// The text of `document` without secrets; `shown` is its value without secrets.
pub(crate) fn redact(document: &Document, shown: &Value, redactor: &Redactor) -> String {
    let edited = edit(document, shown, redactor);
    let same = |text: &String| {
        Document::parse(&document.file, text.clone()).is_ok_and(|again| again.value == *shown)
    };
    edited.filter(same).unwrap_or_else(|| format!("{shown:#}\n"))
}

fn edit(document: &Document, shown: &Value, redactor: &Redactor) -> Option<String> {
    let mut edits = Edits::default();
    edits.collect(&document.text, &document.spans.root, &document.value, shown);
    for span in &document.spans.comments {
        let comment = redact_comment(document.text.get(span.clone())?, &mut edits.secrets);
        edits.list.push((span.clone(), comment));
    }
    edits.list.sort_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(document.text.len());
    let mut at = 0;
    for (span, with) in edits.list {
        // A comment inside a value that was replaced as a whole is gone with it.
        if span.start < at {
            continue;
        }
        out.push_str(document.text.get(at..span.start)?);
        out.push_str(&with);
        at = span.end;
    }
    out.push_str(document.text.get(at..)?);
    Some(redactor.clone().knowing(edits.secrets).text(&out))
}

impl Edits {
    /// The replacements that make `shown` out of `value`, whose text is at `node`.
    fn collect(&mut self, text: &str, node: &Node, value: &Value, shown: &Value) {
        match (&node.shape, value, shown) {
            (Shape::List(nodes), Value::Array(items), Value::Array(shown)) if nodes.len() == shown.len() => {
                for ((node, item), shown) in nodes.iter().zip(items).zip(shown) {
                    self.collect(text, node, item, shown);
                }
            }
            (Shape::Map(members), Value::Object(values), Value::Object(shown)) => {
                for (member, shadowed) in with_shadows(members) {
                    match (values.get(&member.key), shown.get(&member.key)) {
                        (Some(value), Some(shown)) if !shadowed => {
                            self.collect(text, &member.value, value, shown);
                        }
                        _ => self.shadowed(text, member),
                    }
                }
            }
            _ if value == shown => {}
            _ => {
                let quote = text.get(node.span.start..).and_then(|rest| rest.chars().next());
                let with = match shown {
                    Value::String(shown) => {
                        quoted(shown, quote.filter(|&quote| quote == '\'').unwrap_or('"'))
                    }
                    other => other.to_string(),
                };
                self.list.push((node.span.clone(), with));
            }
        }
    }

    /// A key that comes again counts no more, but its value could be a secret still: all of it is hidden.
    fn shadowed(&mut self, text: &str, member: &Member) {
        let read = text.get(member.value.span.clone()).and_then(|text| json5::read(text).ok());
        let value = Value::Object(read.into_iter().map(|(value, _)| (member.key.clone(), value)).collect());
        self.secrets.extend(Redactor::new(&[&value]).into_secrets());
        self.blank(text, &member.value);
    }

    fn blank(&mut self, text: &str, node: &Node) {
        match &node.shape {
            Shape::Scalar => self.list.push((node.span.clone(), quoted(REDACTED, '"'))),
            Shape::List(nodes) => nodes.iter().for_each(|node| self.blank(text, node)),
            Shape::Map(members) => {
                for (member, shadowed) in with_shadows(members) {
                    if shadowed {
                        self.shadowed(text, member);
                    } else {
                        self.blank(text, &member.value);
                    }
                }
            }
        }
    }
}

/// The members, each with whether its key comes again behind it.
fn with_shadows(members: &[Member]) -> impl Iterator<Item = (&Member, bool)> {
    let last: BTreeMap<&str, usize> =
        members.iter().enumerate().map(|(i, member)| (member.key.as_str(), i)).collect();
    members
        .iter()
        .enumerate()
        .map(move |(i, member)| (member, last.get(member.key.as_str()).is_some_and(|&last| last > i)))
}

fn quoted(text: &str, quote: char) -> String {
    let json = Value::from(text).to_string();
    if quote == '"' || text.contains(['\'', '"', '\\']) || text.contains(char::is_control) {
        return json;
    }
    format!("'{text}'")
}

/// A comment without what is assigned in it to a key that sounds like a secret: `// token: 'old one'`. What was assigned
/// goes to `assigned`, for it may be repeated.
fn redact_comment(comment: &str, assigned: &mut Vec<String>) -> String {
    let lines = comment.split_inclusive('\n').map(|line| {
        let (body, end) = line.split_at(line.trim_end_matches(['\r', '\n']).len());
        let (body, close) = match body.strip_suffix("*/") {
            Some(body) => (body, "*/"),
            None => (body, ""),
        };
        let mark = body
            .char_indices()
            .find(|&(at, c)| matches!(c, ':' | '=') && names_secret(body.get(..at).unwrap_or_default()));
        let Some((at, _)) = mark else { return line.to_owned() };
        let (before, value) = body.split_at(at + 1);
        let word = value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','));
        if !word.contains(char::is_whitespace) {
            assigned.push(word.to_owned());
        }
        format!("{before} {REDACTED} {close}{end}")
    });
    lines.collect()
}

/// Whether the last word before an assignment names a secret. Words with dots are paths.
fn names_secret(before: &str) -> bool {
    let trimmed = before.trim_end().trim_end_matches(['"', '\'']);
    let word = trimmed.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).next();
    word.is_some_and(redact::names_secret)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn redacted(text: &str) -> String {
        let document = Document::parse(Path::new("/c"), text.to_owned()).expect("valid text");
        let redactor = Redactor::new(&[&document.value]);
        redact(&document, &redactor.value(&document.value), &redactor)
    }

    #[test]
    fn keeps_comments_and_layout() {
        let text =
            "// my gateway\n{\n  gateway: { auth: { token: 'tok-fake-1', }, port: 0x10 }, /* ok */\n}\n";
        assert_eq!(redacted(text), text.replace("tok-fake-1", REDACTED));
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is() {
        let text = "{ /* a: b */ a: [1, +2, .5, 'x\\\ny'], // token bucket\n 'b c': null }";
        assert_eq!(redacted(text), text);
    }

    #[test]
    fn follows_secrets_into_comments_and_escapes() {
        let text = "{ // the token was tok-fake-1\n// password: \"old one\"\n/* apiKey = k1\n x */ token: \"tok-f\\u0061ke-1\" }";
        let shown = redacted(text);
        for gone in ["tok-fake-1", "u0061", "old one", "k1"] {
            assert!(!shown.contains(gone), "{gone}: {shown}");
        }
        assert!(shown.contains("// password: __OPENCLAW_REDACTED__"), "{shown}");
        assert!(shown.contains("/* apiKey = __OPENCLAW_REDACTED__ \n x */"), "{shown}");
    }

    #[test]
    fn whole_objects_numbers_and_shadowed_keys_go() {
        let shown = redacted(
            "{ serviceAccount: { k: 'abcdefg' /* z */ }, token: 1234567, b: { token: 'first', token: 'second' } }",
        );
        for gone in ["abcdefg", "1234567", "first", "second"] {
            assert!(!shown.contains(gone), "{gone}: {shown}");
        }
    }

    #[test]
    fn an_edit_that_would_change_more_is_thrown_away() {
        // The secret is a key's name as well; replacing both makes two equal keys.
        let text = "{ token: 'gateway', gateway: 1, b: { gateway: 2 } }";
        let shown = redacted(text);
        assert!(!shown.contains("'gateway'"), "{shown}");
        let (again, _) = json5::read(&shown).expect("valid text");
        assert_eq!(again.get("token"), Some(&Value::from(REDACTED)));
    }
}
