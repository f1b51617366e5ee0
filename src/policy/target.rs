//! The path of a request, in the one spelling that is judged.
//!
//! Rule: what could be read in two ways is refused, never mended. So the bytes that were judged are the bytes that are
//! passed on, and no reader behind this gate finds another path in them (an encoded slash, a dot segment, `//host`).

use std::fmt;

/// A path that has one reading, without its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<'a>(&'a str);

/// What makes a target ambiguous, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous(pub &'static str);

impl<'a> Path<'a> {
    /// The path of a request target as it stands in the head.
    ///
    /// # Errors
    /// The target is not a plain path, or two readers may differ over it.
    pub fn of(target: &'a str) -> Result<Self, Ambiguous> {
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Ambiguous("it has characters that no url has"));
        }
        if target.contains('#') {
            return Err(Ambiguous("it has a fragment"));
        }
        let path = target.split('?').next().unwrap_or_default();
        let Some(segments) = path.strip_prefix('/') else {
            return Err(Ambiguous("it is not a path"));
        };
        if path.contains('\\') {
            return Err(Ambiguous("it has a backslash"));
        }
        // A slash at the end is a last segment without a name, which is fine; one in the middle is not.
        let named = segments.strip_suffix('/').unwrap_or(segments);
        if segments == "/" || (!named.is_empty() && named.split('/').any(str::is_empty)) {
            return Err(Ambiguous("it has an empty segment"));
        }
        if named.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(Ambiguous("it has a dot segment"));
        }
        escapes(path).map(|()| Self(path))
    }

    /// As it was sent.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether `pattern` names it, segment by segment. `*` stands for one segment, at the end for all that follow, even
    /// none. `folded`: without regard to letter case.
    pub fn is_named_by(self, pattern: &str, folded: bool) -> bool {
        let same = |one: &str, other: &str| one == other || (folded && one.eq_ignore_ascii_case(other));
        let mut segments = self.0.split('/').skip(1);
        let mut names = pattern.split('/').skip(1).peekable();
        while let Some(name) = names.next() {
            if name == "*" && names.peek().is_none() {
                return true;
            }
            match segments.next() {
                Some(segment) if name == "*" || same(segment, name) => {}
                // `/x` is the folder that `/x/*` speaks of.
                _ => return false,
            }
            if segments.clone().next().is_none() {
                let rest: Vec<_> = names.collect();
                return rest.is_empty() || rest == ["*"];
            }
        }
        segments.next().is_none()
    }
}

/// For the journal: a segment that looks like a secret (a capability, a ticket, a code) is left out.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut after_capability = false;
        for segment in self.0.split('/').skip(1) {
            let hidden = after_capability || looks_secret(segment);
            write!(f, "/{}", if hidden { HIDDEN } else { segment })?;
            after_capability = segment.eq_ignore_ascii_case("cap");
        }
        Ok(())
    }
}

/// Names that people give are short or have a dot; tokens are long and of one alphabet.
fn looks_secret(segment: &str) -> bool {
    segment.len() >= SECRET_CHARS_MIN
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~%=:".contains(&byte))
}

/// Every `%` begins an escape of a byte that has no other spelling and no meaning of its own.
fn escapes(path: &str) -> Result<(), Ambiguous> {
    for escape in path.split('%').skip(1) {
        let byte = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // `from_str_radix` takes a sign.
        let byte = byte.filter(|_| escape.starts_with(|c: char| c.is_ascii_hexdigit()));
        match byte {
            None => return Err(Ambiguous("it has a percent sign without two hex digits")),
            Some(byte) if byte.is_ascii_control() => {
                return Err(Ambiguous("it has an encoded control character"));
            }
            Some(b'/' | b'\\' | b'%') => {
                return Err(Ambiguous("it has an encoded slash, backslash or percent sign"));
            }
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                return Err(Ambiguous("it has an encoded letter, digit or dot, which needs no encoding"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A segment of this length may be a token: the shortest that OpenClaw makes has 16 characters.
const SECRET_CHARS_MIN: usize = 16;

const HIDDEN: &str = "\u{2026}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_stay_what_they_are() {
        for (target, path) in [
            ("/", "/"),
            ("/?x=//../%2f\\", "/"),
            ("/assets/index-BN_yKX8J.js", "/assets/index-BN_yKX8J.js"),
            ("/chat/?a=b?c", "/chat/"),
            ("/sessions/agent%3Amain%3Amain/history", "/sessions/agent%3Amain%3Amain/history"),
            ("/a/%C3%BC/@x/b;c=1,d!", "/a/%C3%BC/@x/b;c=1,d!"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(Path::of(target).map(Path::as_str), Ok(path), "{target}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for target in [
            "",
            "x",
            "*",
            "http://127.0.0.1:18789/",
            "//evil.example/",
            "//",
            "/a//b",
            "/a//",
            "/./a",
            "/a/.",
            "/a/./",
            "/..",
            "/a/../b",
            "/a/..",
            "/a/../",
            "/a\\b",
            "/\\evil.example",
            "/%2e%2e/a",
            "/%2E/",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/%252e",
            "/%00",
            "/a%0d%0ab",
            "/%7f",
            "/%",
            "/%2",
            "/%zz",
            "/%+1",
            "/%61pi",
            "/a#b",
            "/a?#b",
            "/a b",
            "/ä",
            "/a\tb",
            "/\u{1}",
        ] {
            assert!(Path::of(target).is_err(), "{target}");
        }
    }

    #[test]
    fn patterns_go_by_segments() {
        let named = |path, pattern| Path::of(path).unwrap().is_named_by(pattern, true);
        for (path, pattern) in [
            ("/", "/"),
            ("/", "/*"),
            ("/a/b", "/*"),
            ("/hooks", "/hooks/*"),
            ("/hooks/", "/hooks/*"),
            ("/HOOKS/wake", "/hooks/*"),
            ("/sessions/x/kill", "/sessions/*/kill"),
            ("/tools/invoke", "/tools/invoke"),
        ] {
            assert!(named(path, pattern), "{path} {pattern}");
        }
        for (path, pattern) in [
            ("/hooksx", "/hooks/*"),
            ("/x/hooks", "/hooks/*"),
            ("/sessions/x/y/kill", "/sessions/*/kill"),
            ("/sessions/x", "/sessions/*/kill"),
            ("/sessions/x/kill/y", "/sessions/*/kill"),
            ("/tools/invoke/", "/tools/invoke"),
            ("/a", "/"),
        ] {
            assert!(!named(path, pattern), "{path} {pattern}");
        }
    }

    #[test]
    fn letter_case_counts_where_it_is_asked_to() {
        let path = Path::of("/HOOKS/wake").unwrap();
        assert!(path.is_named_by("/hooks/*", true) && !path.is_named_by("/hooks/*", false));
        assert!(Path::of("/hooks/Wake").unwrap().is_named_by("/hooks/*", false));
    }

    #[test]
    fn the_journal_sees_no_secret_of_a_path() {
        let shown = |path| Path::of(path).unwrap().to_string();
        assert_eq!(
            shown("/__openclaw__/cap/x1/__openclaw__/canvas/"),
            "/__openclaw__/cap/…/__openclaw__/canvas/"
        );
        assert_eq!(shown("/join/EECLj6LMq0dJ2sYq"), "/join/…");
        assert_eq!(shown("/v1/chat/completions?token=tok-made-up"), "/v1/chat/completions");
        assert_eq!(
            shown("/assets/control-ui-foundation-BN_yKX8J.js"),
            "/assets/control-ui-foundation-BN_yKX8J.js"
        );
    }
}
