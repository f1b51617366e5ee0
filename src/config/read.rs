//! Reading typed values out of a resolved configuration. Rule: what is absent or null is `None`, what is there has the
//! right type or is an error with its place.

use std::fmt;

use serde_json::Value;

use super::error::{ConfigError, Place};
use super::text::Document;

/// A value, or the lack of one, at a path. `Debug` shows the path, not the value, which may be a secret.
#[derive(Clone)]
pub(crate) struct At<'a> {
    source: &'a Document,
    value: Option<&'a Value>,
    path: Vec<String>,
}

impl<'a> At<'a> {
    /// The outermost value of `resolved`, whose parts stand in `source` as far as they were not included.
    pub(crate) fn root(source: &'a Document, resolved: &'a Value) -> Self {
        Self { source, value: Some(resolved), path: Vec::new() }
    }

    /// The member `key`; absent if this is absent or not an object.
    pub(crate) fn get(&self, key: &str) -> Self {
        self.step(key.to_owned(), self.value.and_then(|value| value.get(key)))
    }

    /// The member at a dotted path.
    pub(crate) fn at(&self, path: &str) -> Self {
        path.split('.').fold(self.clone(), |at, key| at.get(key))
    }

    /// The value as it is; null counts as absent.
    pub(crate) fn value(&self) -> Option<&'a Value> {
        self.value.filter(|value| !value.is_null())
    }

    /// The key with its path; words for the outermost value, which has none.
    pub(crate) fn key(&self) -> String {
        if self.path.is_empty() { "the file".to_owned() } else { self.path.join(".") }
    }

    /// Where the value stands.
    pub(crate) fn place(&self) -> Place {
        self.source.value_place(&self.path)
    }

    /// Where the last key of the path stands.
    pub(crate) fn key_place(&self) -> Place {
        self.source.key_place(&self.path)
    }

    /// Succeeds if this is absent or an object.
    pub(crate) fn expect_object(&self) -> Result<(), ConfigError> {
        match self.value() {
            None | Some(Value::Object(_)) => Ok(()),
            Some(_) => Err(self.wrong("an object")),
        }
    }

    /// A string.
    pub(crate) fn text(&self) -> Result<Option<&'a str>, ConfigError> {
        match self.value() {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong("a string")),
        }
    }

    /// A string without surrounding white space; an empty one counts as absent.
    pub(crate) fn trimmed(&self) -> Result<Option<&'a str>, ConfigError> {
        Ok(self.text()?.map(str::trim).filter(|text| !text.is_empty()))
    }

    /// A boolean.
    pub(crate) fn flag(&self) -> Result<Option<bool>, ConfigError> {
        match self.value() {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong("true or false")),
        }
    }

    /// A whole number from `min` to `max`.
    pub(crate) fn whole(&self, min: u64, max: u64) -> Result<Option<u64>, ConfigError> {
        let number = match self.value() {
            None => return Ok(None),
            Some(Value::Number(number)) => number,
            Some(_) => return Err(self.wrong("a whole number")),
        };
        match number.as_u64() {
            Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
            _ => {
                Err(self.bad(format!("{number} is out of bounds, write a whole number from {min} to {max}")))
            }
        }
    }

    /// The elements of a list; none if it is absent.
    pub(crate) fn items(&self) -> Result<Vec<Self>, ConfigError> {
        match self.value() {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                Ok(items.iter().enumerate().map(|(i, item)| self.step(i.to_string(), Some(item))).collect())
            }
            Some(_) => Err(self.wrong("a list")),
        }
    }

    /// The members of an object with their keys; none if it is absent.
    pub(crate) fn members(&self) -> Result<Vec<(&'a str, Self)>, ConfigError> {
        match self.value() {
            None => Ok(Vec::new()),
            Some(Value::Object(members)) => Ok(members
                .iter()
                .map(|(key, value)| (key.as_str(), self.step(key.clone(), Some(value))))
                .collect()),
            Some(_) => Err(self.wrong("an object")),
        }
    }

    /// The strings of a list, trimmed, without empty ones.
    pub(crate) fn texts(&self) -> Result<Vec<String>, ConfigError> {
        let mut texts = Vec::new();
        for item in self.items()? {
            match item.value {
                Some(Value::String(text)) => texts.push(text.trim().to_owned()),
                _ => return Err(item.wrong("a string")),
            }
        }
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    /// One of the named values.
    pub(crate) fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text()? else { return Ok(None) };
        if let Some((_, value)) = names.iter().find(|(name, _)| *name == text) {
            return Ok(Some(*value));
        }
        let known: Vec<String> = names.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        Err(self.bad(format!("not a known value, write {}", known.join(" or "))))
    }

    /// The error for a value of the wrong type.
    pub(crate) fn wrong(&self, expected: &'static str) -> ConfigError {
        ConfigError::WrongType { place: self.place(), key: self.key(), expected, found: kind(self.value) }
    }

    /// The error for a value of the right type that may not be.
    pub(crate) fn bad(&self, cause: String) -> ConfigError {
        ConfigError::BadValue { place: self.place(), key: self.key(), cause }
    }

    fn step(&self, key: String, value: Option<&'a Value>) -> Self {
        let mut path = self.path.clone();
        path.push(key);
        Self { source: self.source, value, path }
    }
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "At({})", self.key())
    }
}

/// What a value is, in words.
fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(Path::new("/x.json"), text.to_owned()).expect("valid text")
    }

    fn shown<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
        result.expect_err("a wrong value").to_string()
    }

    #[test]
    fn wrong_types_are_placed() {
        let document = document("{\n a: { b: 'x', n: 70000, l: ['a', 1], f: 1.5 } }");
        let a = At::root(&document, &document.value).get("a");
        assert_eq!(shown(a.get("b").flag()), "/x.json:2:10: a.b is a string, write true or false");
        assert_eq!(shown(a.get("b").whole(1, 2)), "/x.json:2:10: a.b is a string, write a whole number");
        assert_eq!(
            shown(a.get("n").whole(1, 65_535)),
            "/x.json:2:18: a.n: 70000 is out of bounds, write a whole number from 1 to 65535"
        );
        assert!(shown(a.get("f").whole(1, 9)).contains("1.5 is out of bounds"));
        assert_eq!(shown(a.get("l").texts()), "/x.json:2:34: a.l.1 is a number, write a string");
        assert_eq!(
            shown(a.get("b").one_of(&[("y", 1), ("z", 2)])),
            "/x.json:2:10: a.b: not a known value, write \"y\" or \"z\""
        );
    }

    #[test]
    fn null_and_nothing_are_absent() {
        let document = document("{ a: null }");
        let root = At::root(&document, &document.value);
        assert_eq!(root.at("a.b.c").text().expect("absent"), None);
        assert_eq!(root.get("a").whole(1, 2).expect("absent"), None);
        assert!(root.get("a").expect_object().is_ok());
        assert!(root.get("a").texts().expect("absent").is_empty());
    }
}
