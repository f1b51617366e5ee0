//! Reading JSON objects of a peer: every field is asked for by name and type, every problem is collected, and what
//! nobody asked for is ignored, because newer clients send keys that older ones did not.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// A JSON object being read. Problems are collected until [`Reader::finish`].
#[derive(Debug)]
pub struct Reader<'a> {
    object: &'a Map<String, Value>,
    pointer: String,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads `value`, which must be an object; absent or null counts as an empty one.
    pub fn new(value: &'a Value) -> Result<Self, String> {
        match value {
            Value::Object(object) => Ok(Self { object, pointer: String::new(), problems: Vec::new() }),
            _ => Err("must be object".to_owned()),
        }
    }

    /// A reader of the object below `key`, if there is one. Its problems have to be given back with [`Reader::absorb`].
    pub fn object(&mut self, key: &str) -> Option<Reader<'a>> {
        let value = self.object.get(key)?;
        if let Value::Object(object) = value {
            return Some(Reader { object, pointer: format!("{}/{key}", self.pointer), problems: Vec::new() });
        }
        self.wrong(key, "must be object")
    }

    /// Takes over the problems that a reader made by [`Reader::object`] found.
    pub fn absorb(&mut self, inner: Reader<'_>) {
        self.problems.extend(inner.problems);
    }

    /// The raw value below `key`.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// Notes that `key` is required if it is absent.
    pub fn require(&mut self, key: &str) {
        if !self.object.contains_key(key) {
            self.problem(format!("must have required property '{key}'"));
        }
    }

    /// Any string.
    pub fn text(&mut self, key: &str) -> Option<&'a str> {
        match self.object.get(key)? {
            Value::String(text) => Some(text),
            _ => self.wrong(key, "must be string"),
        }
    }

    /// A string that is not empty.
    pub fn name(&mut self, key: &str) -> Option<&'a str> {
        let text = self.text(key)?;
        if text.is_empty() {
            return self.wrong(key, "must NOT have fewer than 1 characters");
        }
        Some(text)
    }

    /// A string that is not empty and must be there.
    pub fn required_name(&mut self, key: &str) -> &'a str {
        self.require(key);
        self.name(key).unwrap_or_default()
    }

    /// An integer within `range`.
    pub fn int(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.object.get(key)?;
        let Some(number) = integer(value) else {
            return self.wrong(key, "must be integer");
        };
        if number < i128::from(*range.start()) {
            return self.wrong(key, &format!("must be >= {}", range.start()));
        }
        match u64::try_from(number) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.wrong(key, &format!("must be <= {}", range.end())),
        }
    }

    /// A boolean.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        match self.object.get(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => self.wrong(key, "must be boolean"),
        }
    }

    /// A list of strings, none of them empty.
    pub fn names(&mut self, key: &str) -> Option<Vec<&'a str>> {
        let Value::Array(items) = self.object.get(key)? else {
            return self.wrong(key, "must be array");
        };
        let mut names = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str() {
                Some("") => self.wrong_item(key, index, "must NOT have fewer than 1 characters"),
                Some(name) => names.push(name),
                None => self.wrong_item(key, index, "must be string"),
            }
        }
        Some(names)
    }

    /// One of `words`.
    pub fn word<'w>(&mut self, key: &str, words: &[&'w str]) -> Option<&'w str> {
        let text = self.text(key)?;
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            self.wrong::<()>(key, &format!("must be one of {}", words.join(", ")));
        }
        found
    }

    /// Adds a problem of the caller's own finding about `key`. Always `None`, so that a field can be given up in place.
    pub fn wrong<T>(&mut self, key: &str, problem: &str) -> Option<T> {
        self.problem(format!("at {}/{key}: {problem}", self.pointer));
        None
    }

    /// All problems, joined by `; ` in the order they were found; `Ok` if there are none.
    pub fn finish(self) -> Result<(), String> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems.join("; ")) }
    }

    fn wrong_item(&mut self, key: &str, index: usize, problem: &str) {
        self.problem(format!("at {}/{key}/{index}: {problem}", self.pointer));
    }

    fn problem(&mut self, problem: String) {
        // A hostile object cannot make a long error: the first few problems tell enough.
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

fn integer(value: &Value) -> Option<i128> {
    if let Some(number) = value.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = value.as_u64() {
        return Some(number.into());
    }
    // JavaScript writes 1e3 for 1000 when it likes; a whole number is a whole number.
    let number = value.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i128)
}

const PROBLEMS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn problems_are_collected_and_unknown_keys_are_not_one() {
        let value = json!({"limit": 0, "name": "", "flag": 1, "names": ["a", ""], "newer": {}});
        let mut reader = Reader::new(&value).unwrap();
        assert_eq!(reader.int("limit", 1..=10), None);
        assert_eq!(reader.name("name"), None);
        assert_eq!(reader.flag("flag"), None);
        assert_eq!(reader.names("names"), Some(vec!["a"]));
        reader.require("key");
        let want = "at /limit: must be >= 1; at /name: must NOT have fewer than 1 characters; \
                    at /flag: must be boolean; at /names/1: must NOT have fewer than 1 characters; \
                    must have required property 'key'";
        assert_eq!(reader.finish(), Err(want.to_owned()));
    }

    #[test]
    fn whole_floats_are_integers() {
        let value = json!({"a": 3.0, "b": 3.5, "c": 1e300});
        let mut reader = Reader::new(&value).unwrap();
        assert_eq!(reader.int("a", 0..=10), Some(3));
        assert_eq!(reader.int("b", 0..=10), None);
        assert_eq!(reader.int("c", 0..=10), None);
    }
}
