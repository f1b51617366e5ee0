//! The parts of a JSON5 text that nest nothing: space, comments, strings, names, numbers and literals.

use serde_json::Value;

use super::{Cause, Fault, Reader};

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Goes behind the next character.
    pub(super) fn skip(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// Goes behind `what`, if that comes next.
    pub(super) fn eat(&mut self, what: &str) -> bool {
        let eaten = self.rest().starts_with(what);
        if eaten {
            self.at += what.len();
        }
        eaten
    }

    /// The characters up to the first that does not fit.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// Space and comments.
    pub(super) fn space(&mut self) -> Result<(), Fault> {
        loop {
            self.take(is_space);
            if self.peek() != Some('/') {
                return Ok(());
            }
            let (start, rest) = (self.at, self.rest());
            let len = if rest.starts_with("//") {
                rest.find(is_line_end).unwrap_or(rest.len())
            } else if let Some(body) = rest.strip_prefix("/*") {
                let open = Fault { at: start, cause: Cause::Open("comment") };
                "/*".len() + body.find("*/").ok_or(open)? + "*/".len()
            } else {
                return Err(self.expected("a comment, // or /*"));
            };
            self.at += len;
            self.comments.push(start..self.at);
        }
    }

    /// A quoted string. It is put together in UTF-16, as in JavaScript: a pair of surrogates may come in two escapes.
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        let quote = self.peek();
        self.enter("string");
        let mut units = Vec::new();
        loop {
            let plain = self.take(|c| Some(c) != quote && !matches!(c, '\\' | '\n' | '\r'));
            units.extend(plain.encode_utf16());
            if self.eat("\\") {
                self.escape(&mut units)?;
            } else if self.peek().is_some() && self.peek() == quote {
                self.skip();
                self.open.pop();
                return Ok(String::from_utf16_lossy(&units));
            } else {
                return Err(self.expected("the end of the string in its line, or \\ to go on in the next"));
            }
        }
    }

    /// What a backslash in a string stands for.
    fn escape(&mut self, units: &mut Vec<u16>) -> Result<(), Fault> {
        let Some(c) = self.peek() else { return Err(self.expected("an escape")) };
        let meant = match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' | 'u' => {
                self.skip();
                units.push(self.code(if c == 'x' { 2 } else { 4 })?);
                return Ok(());
            }
            // The string goes on in the next line.
            c if is_line_end(c) => {
                if !self.eat("\r\n") {
                    self.skip();
                }
                return Ok(());
            }
            '0' if !self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => '\0',
            '0'..='9' => return Err(self.expected("no digit behind \\, write \\x and two digits")),
            other => other,
        };
        self.skip();
        units.extend_from_slice(meant.encode_utf16(&mut [0; 2]));
        Ok(())
    }

    /// So many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Result<u16, Fault> {
        let start = self.at;
        for _ in 0..digits {
            if !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                return Err(self.expected("a hexadecimal digit"));
            }
            self.skip();
        }
        let code = self.text.get(start..self.at).and_then(|code| u16::from_str_radix(code, 16).ok());
        code.ok_or_else(|| self.expected("a hexadecimal digit"))
    }

    /// A key without quotes.
    pub(super) fn name(&mut self) -> Result<String, Fault> {
        let mut name = String::new();
        loop {
            let fits = if name.is_empty() { begins_name } else { continues_name };
            let at = self.at;
            match self.peek() {
                Some('\\') => {
                    let misplaced = Fault { at, cause: Cause::Expected("a letter behind \\u") };
                    self.skip();
                    if !self.eat("u") {
                        return Err(self.expected("u behind \\ in a key"));
                    }
                    let c = char::from_u32(self.code(4)?.into());
                    name.push(c.filter(|&c| fits(c)).ok_or(misplaced)?);
                }
                Some(c) if fits(c) => {
                    self.skip();
                    name.push(c);
                }
                _ if name.is_empty() => return Err(self.expected("a key or }")),
                _ => return Ok(name),
            }
        }
    }

    /// A literal or a number.
    pub(super) fn word(&mut self) -> Result<Value, Fault> {
        if self.eat("null") {
            return Ok(Value::Null);
        }
        if self.eat("true") {
            return Ok(true.into());
        }
        if self.eat("false") {
            return Ok(false.into());
        }
        let negative = self.eat("-");
        let wanted = if negative || self.eat("+") { "a number" } else { "a value" };
        if self.eat("Infinity") || self.eat("NaN") {
            return Ok(Value::Null);
        }
        if self.eat("0x") || self.eat("0X") {
            return self.hexadecimal(negative);
        }
        self.decimal(negative, wanted)
    }

    fn hexadecimal(&mut self, negative: bool) -> Result<Value, Fault> {
        let digits = self.take(|c| c.is_ascii_hexdigit());
        if digits.is_empty() {
            return Err(self.expected("a hexadecimal digit"));
        }
        Ok(match u64::from_str_radix(digits, 16) {
            Ok(whole) => signed(negative, whole),
            Err(_) => float(negative, long_hexadecimal(digits)),
        })
    }

    fn decimal(&mut self, negative: bool, wanted: &'static str) -> Result<Value, Fault> {
        let start = self.at;
        let whole = self.take(|c| c.is_ascii_digit());
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(Fault { at: start, cause: Cause::Expected("a number without zeros before it") });
        }
        let point = self.rest().starts_with('.');
        if whole.is_empty() && !point {
            return Err(self.expected(wanted));
        }
        if self.eat(".") && self.take(|c| c.is_ascii_digit()).is_empty() && whole.is_empty() {
            return Err(self.expected("a digit"));
        }
        let exponent = self.eat("e") || self.eat("E");
        if exponent {
            let _signed = self.eat("+") || self.eat("-");
            if self.take(|c| c.is_ascii_digit()).is_empty() {
                return Err(self.expected("a digit"));
            }
        }
        if let (false, false, Ok(whole)) = (point, exponent, whole.parse()) {
            return Ok(signed(negative, whole));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        text.parse().map(|value| float(negative, value)).map_err(|_| self.expected("a number"))
    }
}

/// A whole number that 64 bits hold keeps all its digits, though JavaScript rounds beyond 53.
fn signed(negative: bool, magnitude: u64) -> Value {
    if !negative {
        return magnitude.into();
    }
    match i64::try_from(-i128::from(magnitude)) {
        Ok(value) => value.into(),
        #[expect(clippy::cast_precision_loss, reason = "JavaScript loses the same digits")]
        Err(_) => float(true, magnitude as f64),
    }
}

/// As JavaScript writes JSON: whole numbers without a fraction, zero without a sign, infinity as null.
fn float(negative: bool, magnitude: f64) -> Value {
    let value = if negative { -magnitude } else { magnitude };
    if value.fract() == 0.0 && magnitude <= WHOLE_F64_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        return (value as i64).into();
    }
    value.into()
}

/// The nearest float to more digits than 64 bits hold. The first 30 are more than it keeps, so of all behind them only
/// whether there is anything matters to its rounding.
fn long_hexadecimal(digits: &str) -> f64 {
    let digits = digits.trim_start_matches('0');
    let (head, tail) = digits.split_at_checked(30).unwrap_or((digits, ""));
    let more = u128::from(tail.contains(|c| c != '0'));
    #[expect(clippy::cast_precision_loss, reason = "rounded to the nearest, as JavaScript does")]
    let head = (u128::from_str_radix(head, 16).unwrap_or_default() | more) as f64;
    head * 16_f64.powi(i32::try_from(tail.len()).unwrap_or(i32::MAX))
}

fn is_space(c: char) -> bool {
    // U+0085 is a space to Unicode, not to JavaScript; the byte order mark the other way round.
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// What ends a line in JSON5.
pub(crate) fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

fn begins_name(c: char) -> bool {
    matches!(c, '$' | '_')
        || LETTERS_BESIDE_XID.contains(&c)
        || (unicode_ident::is_xid_start(c) && !matches!(c, '\u{1885}' | '\u{1886}' | '\u{2118}' | '\u{212e}'))
}

fn continues_name(c: char) -> bool {
    matches!(c, '$' | '\u{200c}' | '\u{200d}')
        || LETTERS_BESIDE_XID.contains(&c)
        || (unicode_ident::is_xid_continue(c)
            && !matches!(
                c,
                '\u{b7}' | '\u{387}' | '\u{1369}'
                    ..='\u{1371}' | '\u{19da}' | '\u{2118}' | '\u{212e}' | '\u{30fb}' | '\u{ff65}'
            ))
}

/// Up to here a float holds every whole number exactly.
const WHOLE_F64_MAX: f64 = 9_007_199_254_740_992.0;

/// JSON5 names letters by their category, the `XID` properties of Unicode leave out those that normalization changes.
const LETTERS_BESIDE_XID: [char; 22] = [
    '\u{37a}', '\u{e33}', '\u{eb3}', '\u{2e2f}', '\u{fc5e}', '\u{fc5f}', '\u{fc60}', '\u{fc61}', '\u{fc62}',
    '\u{fc63}', '\u{fdfa}', '\u{fdfb}', '\u{fe70}', '\u{fe72}', '\u{fe74}', '\u{fe76}', '\u{fe78}',
    '\u{fe7a}', '\u{fe7c}', '\u{fe7e}', '\u{ff9e}', '\u{ff9f}',
];

#[cfg(test)]
mod tests {
    use super::super::read;

    fn value(text: &str) -> String {
        read(text).expect("valid text").0.to_string()
    }

    #[test]
    fn numbers_are_as_json_shows_them() {
        assert_eq!(
            value("[0x10, +1, -0, .5, 1e3, Infinity, NaN, 123456789012345678901234567890, 5.e1, -0.0]"),
            "[16,1,0,0.5,1000,null,null,1.2345678901234568e+29,50,0]"
        );
    }

    #[test]
    fn sixty_four_bits_keep_their_digits() {
        assert_eq!(
            value("[18446744073709551615, -9223372036854775808, 0xFFFFFFFFFFFFFFFF]"),
            "[18446744073709551615,-9223372036854775808,18446744073709551615]"
        );
        assert_eq!(
            value("[18446744073709551616, -9223372036854775809]"),
            "[1.8446744073709552e+19,-9.223372036854776e+18]"
        );
    }

    /// Half-way between two floats, the last of many digits decides.
    #[test]
    fn long_hexadecimal_numbers_round_once() {
        let (half, zeros) = ("0x100000000000008", "0".repeat(40));
        assert_eq!(value(&format!("{half}{zeros}")), value(&format!("0x100000000000000{zeros}")));
        assert_eq!(value(&format!("{half}{zeros}1")), value(&format!("0x100000000000010{zeros}0")));
        assert_eq!(value(&format!("0x8{}", "0".repeat(255))), value("8.98846567431158e307"));
        assert_eq!(value(&format!("0x1{}", "0".repeat(256))), "null");
    }

    #[test]
    fn surrogates_pair_across_escapes_or_are_replaced() {
        assert_eq!(value(r"'\uD83D\uDE00'"), "\"😀\"");
        assert_eq!(value("'\\uD83D\\\n\\uDE00'"), "\"😀\"");
        assert_eq!(value(r"'\uD83D-\uDE00'"), "\"\u{fffd}-\u{fffd}\"");
    }

    #[test]
    fn names_are_letters_by_category() {
        for name in ["a\u{200d}b", "น้ำ", "क्षि", "ª", "𝒳", "Ⅷ", "a\u{203f}", "\\u0024\\u200c", "ﹰ"]
        {
            assert!(read(&format!("{{ {name}: 1 }}")).is_ok(), "{name}");
        }
        for name in ["a·b", "℘", "a℮", "\u{200d}b", "1", "²", "\u{301}a", "a\\u2028", "\\ud83d\\ude00", "😀"]
        {
            assert!(read(&format!("{{ {name}: 1 }}")).is_err(), "{name}");
        }
    }
}
