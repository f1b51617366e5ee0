//! Text as clients show it: lengths as JavaScript counts them, marks of the agent's own taken out.
//! Facts from OpenClaw 2026.3.13.

use std::borrow::Cow;

/// The first `max` UTF-16 units of `text`, never half a character; `None` if it has no more than that.
pub(super) fn prefix(text: &str, max: usize) -> Option<&str> {
    // A character has at most as many units as bytes.
    if text.len() <= max {
        return None;
    }
    let mut units = 0;
    for (index, c) in text.char_indices() {
        units += c.len_utf16();
        if units > max {
            return text.get(..index);
        }
    }
    None
}

/// `text` with at most `max` UTF-16 units, and the mark that chat clients know if it was cut.
pub(super) fn truncated(text: &str, max: usize) -> Cow<'_, str> {
    match prefix(text, max) {
        Some(start) => Cow::Owned(format!("{start}\n...(truncated)...")),
        None => Cow::Borrowed(text),
    }
}

/// `text` with at most `max` UTF-16 units, dots for the rest among them.
pub(super) fn shortened(text: &str, max: usize) -> String {
    match prefix(text, max) {
        Some(_) => format!("{}...", prefix(text, max.saturating_sub(3)).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A title of at most 60 characters, cut between words where one ends late enough.
pub(super) fn title(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if prefix(&text, TITLE_CHARS).is_none() {
        return text;
    }
    let start = prefix(&text, TITLE_CHARS - 1).unwrap_or_default();
    match start.rfind(' ') {
        Some(end) if end > TITLE_CHARS * 3 / 5 => format!("{}…", start.get(..end).unwrap_or_default()),
        _ => format!("{start}…"),
    }
}

/// `text` without the marks `[[audio_as_voice]]`, `[[reply_to_current]]` and `[[reply_to: …]]`, which are for
/// channels.
pub(super) fn without_marks(text: &str) -> Cow<'_, str> {
    if !text.contains("[[") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[[") {
        out.push_str(before);
        match after.split_once("]]") {
            Some((inner, tail)) if is_mark(inner) => rest = tail,
            _ => {
                // One bracket at a time: `[[[reply_to_current]]` holds a mark behind a bracket.
                out.push('[');
                rest = rest.get(before.len() + 1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A user's text without the header `[Channel … time] ` that channels put before it, and without lines
/// `[message_id: …]`.
pub(super) fn without_envelope(text: &str) -> Cow<'_, str> {
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((header, body)) if is_header(header) => body.trim_start(),
        _ => text,
    };
    if !text.lines().any(is_message_id) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.lines().filter(|line| !is_message_id(line)).collect::<Vec<_>>().join("\n"))
}

/// Whether an agent's whole answer is that it has nothing to say.
pub(super) fn is_silent(text: &str) -> bool {
    text.trim() == "NO_REPLY"
}

/// Whether the text between double brackets is a mark.
fn is_mark(inner: &str) -> bool {
    let inner = inner.trim().to_ascii_lowercase();
    if inner == "audio_as_voice" || inner == "reply_to_current" {
        return true;
    }
    let id = inner.strip_prefix("reply_to").map(str::trim_start).and_then(|rest| rest.strip_prefix(':'));
    id.is_some_and(|id| !id.is_empty() && !id.contains(['\n', ']']))
}

/// Whether the text in brackets is what a channel puts before a message: its name, or a time.
fn is_header(header: &str) -> bool {
    !header.is_empty()
        && (CHANNELS.iter().any(|name| header.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))
            || has_time(header))
}

/// Whether a time like `2026-11-22 07:38` or `2026-11-22T07:38Z` stands in the text.
fn has_time(text: &str) -> bool {
    text.as_bytes().windows(TIME.len()).enumerate().any(|(at, window)| {
        let fits = window.iter().zip(TIME).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'T'),
            other => byte == other,
        });
        let zulu = text.as_bytes().get(at + TIME.len()) == Some(&b'Z');
        fits && (zulu || window.get(10) == Some(&b' '))
    })
}

/// Whether a line is `[message_id: …]` and nothing else.
fn is_message_id(line: &str) -> bool {
    let line = line.trim();
    let inner = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| {
        let name = inner.get(..11).unwrap_or_default();
        name.eq_ignore_ascii_case("message_id:") && !inner.get(11..).unwrap_or_default().trim().is_empty()
    })
}

/// OpenClaw's number.
const TITLE_CHARS: usize = 60;
/// The form of a time: `0` for a digit.
const TIME: &[u8] = b"0000-00-00 00:00";
/// The channels that put their name before a message.
const CHANNELS: [&str; 13] = [
    "BlueBubbles",
    "Discord",
    "Google Chat",
    "Matrix",
    "Signal",
    "Slack",
    "Teams",
    "Telegram",
    "WebChat",
    "WhatsApp",
    "Zalo",
    "Zalo Personal",
    "iMessage",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_as_javascript_does() {
        assert_eq!(prefix("abc", 3), None);
        assert_eq!(prefix("abcd", 3), Some("abc"));
        // Two units each: no half of one is left over.
        assert_eq!(prefix("😀😀", 3), Some("😀"));
        assert_eq!(prefix("😀😀", 4), None);
        assert_eq!(truncated("ab", 1), "a\n...(truncated)...");
        assert_eq!(shortened("abcdef", 5), "ab...");
        assert_eq!(shortened("abcde", 5), "abcde");
    }

    #[test]
    fn titles_end_between_words() {
        assert_eq!(title("  a \n b "), "a b");
        assert_eq!(title(&"x".repeat(61)), format!("{}…", "x".repeat(59)));
        assert_eq!(title(&format!("{} {}", "x".repeat(40), "y".repeat(40))), format!("{}…", "x".repeat(40)));
        assert_eq!(title(&"x".repeat(60)), "x".repeat(60));
    }

    #[test]
    fn marks_are_taken_out_and_nothing_else() {
        assert_eq!(without_marks("[[reply_to_current]] hi"), " hi");
        assert_eq!(without_marks("a [[ Reply_To : 12 ]]b[[audio_as_voice]]"), "a b");
        assert_eq!(without_marks("[[[reply_to_current]]x"), "[x");
        for text in ["[[other]]", "[[reply_to:]]", "[[", "a [[reply_to_current", "[x]"] {
            assert_eq!(without_marks(text), text);
        }
    }

    #[test]
    fn envelopes_are_taken_off() {
        assert_eq!(without_envelope("[Telegram Bob 10:00] hi"), "hi");
        assert_eq!(without_envelope("[2026-11-22 07:38] hi"), "hi");
        assert_eq!(without_envelope("[x 2026-11-22T07:38Z] hi"), "hi");
        assert_eq!(without_envelope("[2026-11-22T07:38] hi"), "[2026-11-22T07:38] hi");
        assert_eq!(without_envelope("[note] hi"), "[note] hi");
        assert_eq!(without_envelope("a\n[message_id: 5]\nb"), "a\nb");
        assert_eq!(without_envelope("[message_id: ]"), "[message_id: ]");
        assert!(is_silent(" NO_REPLY\n") && !is_silent("NO_REPLY now"));
    }
}
