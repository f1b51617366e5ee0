//! Changes the runtime's settings in the text of a settings file. Rule: whatever else stands there stays as it is, comments
//! and layout included, and what comes out is read again: it has to mean what was wanted, and nothing else.

use std::ops::Range;
use std::path::Path;

use super::super::error::ConfigError;
use super::super::spans::{Member, Node, Shape};
use super::super::text::Document;
use super::Settings;

/// The settings below `runtime`; what is `None` is left out of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtime {
    /// `runtime.port`.
    pub port: Option<u16>,
    /// `runtime.unit`.
    pub unit: Option<String>,
}

/// A stretch of the text, and what comes in its place.
type Edit = (Range<usize>, String);

impl Runtime {
    /// What these settings are at present.
    pub fn of(settings: &Settings) -> Self {
        Self { port: settings.runtime_port, unit: settings.runtime_unit.clone() }
    }

    /// The lines that a person would have to write.
    pub fn snippet(&self) -> String {
        format!("runtime: {{ {} }}", self.members().join(", "))
    }

    fn members(&self) -> Vec<String> {
        KEYS.iter().filter_map(|key| Some(format!("{key}: {}", self.value(key)?))).collect()
    }

    /// A value as it is written. A unit's name has no letter that would have to be escaped.
    fn value(&self, key: &str) -> Option<String> {
        match key {
            "port" => self.port.map(|port| port.to_string()),
            _ => self.unit.as_ref().map(|unit| format!("'{unit}'")),
        }
    }
}

/// The text of the file at `path` with `wanted` in it, where `text` is what is there now. `Ok(None)`: it cannot be done
/// without touching something else, or the wanted values are none that may be written.
pub fn set_runtime(path: &Path, text: Option<&str>, wanted: &Runtime) -> Result<Option<String>, ConfigError> {
    let text = text.unwrap_or(NEW);
    let before = Settings::parse(path, text.to_owned())?;
    if Runtime::of(&before) == *wanted {
        return Ok(Some(text.to_owned()));
    }
    let document = Document::parse(path, text.to_owned())?;
    let Some(changed) = edits(&document, wanted).and_then(|edits| apply(text, edits)) else {
        return Ok(None);
    };
    let meant = Settings { runtime_port: wanted.port, runtime_unit: wanted.unit.clone(), ..before };
    let read = Settings::parse(path, changed.clone());
    Ok(read.is_ok_and(|settings| settings == meant).then_some(changed))
}

/// Whether nothing is in the file but what [`set_runtime`] makes of a file that is not there, and takes away again.
pub fn is_new(text: &str) -> bool {
    text == NEW
}

fn edits(document: &Document, wanted: &Runtime) -> Option<Vec<Edit>> {
    let text = document.text.as_str();
    let root = &document.spans.root;
    let Shape::Map(members) = &root.shape else { return None };
    let Some(runtime) = members.iter().rev().find(|member| member.key == "runtime") else {
        let end = if text.get(root.span.start + 1..)?.starts_with('}') { "\n" } else { "" };
        return Some(vec![insert(root, &format!("\n  {},{end}", wanted.snippet()))]);
    };
    let Shape::Map(inner) = &runtime.value.shape else {
        return Some(vec![(runtime.value.span.clone(), format!("{{ {} }}", wanted.members().join(", ")))]);
    };
    let others = inner.iter().any(|member| !KEYS.contains(&member.key.as_str()));
    let commented = document.spans.comments.iter().any(|span| within(span, &runtime.value.span));
    if *wanted == Runtime::default() && !others && !commented {
        return Some(vec![take_out(text, runtime)]);
    }
    let one_line = !text.get(runtime.value.span.clone())?.contains('\n');
    let mut edits = Vec::new();
    for key in KEYS {
        let there = inner.iter().rev().find(|member| member.key == key);
        match (there, wanted.value(key)) {
            (Some(member), Some(value)) => edits.push((member.value.span.clone(), value)),
            // Of members with one key the last counts; without it, one before would.
            (Some(_), None) => {
                edits.extend(
                    inner.iter().filter(|member| member.key == key).map(|member| take_out(text, member)),
                );
            }
            (None, Some(value)) => {
                let before = if one_line { " " } else { "\n    " };
                edits.push(insert(&runtime.value, &format!("{before}{key}: {value},")));
            }
            (None, None) => {}
        }
    }
    Some(edits)
}

/// Right behind the bracket that opens `map`: what follows may be a member, a comment or the other bracket, and the comma
/// at the end of `text` is right before each.
fn insert(map: &Node, text: &str) -> Edit {
    (map.span.start + 1..map.span.start + 1, text.to_owned())
}

/// Takes a member out, with its comma and the white space before it. If a comment stands between the two, the value is made
/// null, which counts as none.
fn take_out(text: &str, member: &Member) -> Edit {
    let rest = text.get(member.value.span.end..).unwrap_or_default();
    let trimmed = rest.trim_start();
    let end = member.value.span.end + (rest.len() - trimmed.len());
    let before = text.get(..member.at).unwrap_or_default();
    let start = before.trim_end_matches([' ', '\t']).trim_end_matches('\n').trim_end_matches('\r').len();
    match trimmed.chars().next() {
        Some(',') => (start..end + 1, String::new()),
        Some('}') => (start..member.value.span.end, String::new()),
        _ => (member.value.span.clone(), "null".to_owned()),
    }
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|(span, _)| span.start);
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (span, with) in edits {
        out.push_str(text.get(at..span.start)?);
        out.push_str(&with);
        at = span.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// What a file has to begin with.
const NEW: &str = "{\n}\n";
const KEYS: [&str; 2] = ["port", "unit"];

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: Option<&str>, port: Option<u16>, unit: Option<&str>) -> Option<String> {
        let wanted = Runtime { port, unit: unit.map(str::to_owned) };
        set_runtime(Path::new("/s"), text, &wanted).unwrap()
    }

    fn adopted(text: &str) -> Option<String> {
        set(Some(text), Some(18_689), Some("a.service"))
    }

    #[test]
    fn a_file_is_made_and_unmade() {
        let made = set(None, Some(18_689), Some("a.service")).unwrap();
        assert_eq!(made, "{\n  runtime: { port: 18689, unit: 'a.service' },\n}\n");
        assert!(is_new(&set(Some(&made), None, None).unwrap()));
        assert_eq!(adopted(&made), Some(made), "and what is there already is left alone");
    }

    #[test]
    fn what_else_is_there_stays_and_comes_back() {
        for text in [
            "{}",
            "{ owner: ['%a'] }",
            "// mine\n{\n  // who\n  owner: ['%a'], // yes\n  limits: { connections: 64 }\n}\n// end\n",
            "{\r\n\towner: [\"u\"],\r\n}\r\n",
            "{\n  runtime: {\n    // a port\n  },\n}\n",
        ] {
            let done = adopted(text).unwrap();
            for line in text.lines().map(str::trim).filter(|line| line.len() > 2) {
                assert!(done.contains(line.trim_start_matches('{').trim()), "{done}");
            }
            let back = set(Some(&done), None, None).unwrap();
            assert_eq!(back.replace(['\n', ' '], ""), text.replace(['\n', ' '], ""), "{done}");
        }
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        let cases = [
            ("{ runtime: { port: 1 } }", "{ runtime: { unit: 'a.service', port: 18689 } }"),
            ("{ runtime: null }", "{ runtime: { port: 18689, unit: 'a.service' } }"),
            (
                "{\n  runtime: {\n    port: 7, // mine\n  },\n}",
                "{\n  runtime: {\n    unit: 'a.service',\n    port: 18689, // mine\n  },\n}",
            ),
            (
                "{ 'runtime': { \"port\": 1, port: 2, unit: 'b.service' } }",
                "{ 'runtime': { \"port\": 1, port: 18689, unit: 'a.service' } }",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(adopted(text).as_deref(), Some(want));
        }
    }

    #[test]
    fn values_are_taken_out_with_their_commas() {
        let gone = |text: &str| set(Some(text), None, None).unwrap();
        assert_eq!(gone("{ runtime: { port: 1, unit: 'a.service' } }"), "{ }");
        assert_eq!(gone("{ owner: [], runtime: { port: 1 } }"), "{ owner: [], }");
        assert_eq!(
            gone("{ runtime: { port: 1, port: 2 /* x */ , } }"),
            "{ runtime: { port: null /* x */ , } }"
        );
        assert_eq!(
            set(Some("{ runtime: { port: 1, unit: 'a.service', }, }"), Some(1), None).as_deref(),
            Some("{ runtime: { port: 1, }, }")
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_touched() {
        assert!(set_runtime(Path::new("/s"), Some("{ a: "), &Runtime::default()).is_err());
        assert_eq!(set(Some("{}"), Some(1), Some("a'b.service")), None);
        assert_eq!(set(Some("{}"), Some(1), Some("a.socket")), None);
        // Taken out of the last one, the first would count.
        assert_eq!(
            set(Some("{ runtime: { port: 5 }, runtime: null }"), None, None).as_deref(),
            Some("{ runtime: { port: 5 }, runtime: null }")
        );
    }
}
