//! `$include`: one configuration out of several files. Facts from OpenClaw 2026.3.13 and 2026.9.6: paths count from
//! the including file and may not leave the folder of the outermost one (or those of `OPENCLAW_INCLUDE_ROOTS`); later
//! files win, objects are merged, lists are joined, and keys beside `$include` win over everything included.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Sources;
use super::error::{ConfigError, Place};
use super::paths::{self, Paths};
use super::text::Document;
use crate::limits::{
    CONFIG_BYTES_MAX, CONFIG_INCLUDE_BYTES_MAX, CONFIG_INCLUDE_DEPTH_MAX, CONFIG_INCLUDES_MAX,
};

/// The work on one configuration.
struct Includer<'a> {
    sources: &'a dyn Sources,
    roots: Vec<PathBuf>,
    files: usize,
    bytes: usize,
}

/// The file being worked on, and the files that led to it.
struct Frame<'a> {
    document: &'a Document,
    chain: &'a [PathBuf],
}

/// The value of `document` with everything included.
pub(crate) fn resolve(
    sources: &dyn Sources,
    places: &Paths,
    document: &Document,
) -> Result<Value, ConfigError> {
    let file = paths::normalize(&document.file);
    let mut roots = vec![file.parent().unwrap_or(Path::new("/")).to_path_buf()];
    if let Some(more) = paths::variable(sources, "OPENCLAW_INCLUDE_ROOTS") {
        let more = more.split(':').filter(|root| !root.trim().is_empty()).map(|root| places.expand(root));
        roots.extend(more.filter(|root| root.is_absolute()));
    }
    let mut includer = Includer { sources, roots, files: 0, bytes: 0 };
    includer.value(&document.value, &Frame { document, chain: &[file] }, &mut Vec::new())
}

impl Includer<'_> {
    fn value(
        &mut self,
        value: &Value,
        frame: &Frame<'_>,
        path: &mut Vec<String>,
    ) -> Result<Value, ConfigError> {
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(i, item)| self.member(&i.to_string(), item, frame, path)).collect()
            }
            Value::Object(members) => self.object(members, frame, path),
            other => Ok(other.clone()),
        }
    }

    fn member(
        &mut self,
        key: &str,
        value: &Value,
        frame: &Frame<'_>,
        path: &mut Vec<String>,
    ) -> Result<Value, ConfigError> {
        path.push(key.to_owned());
        let value = self.value(value, frame, path);
        path.pop();
        value
    }

    fn object(
        &mut self,
        members: &Map<String, Value>,
        frame: &Frame<'_>,
        path: &mut Vec<String>,
    ) -> Result<Value, ConfigError> {
        let mut own = Map::new();
        for (key, value) in members.iter().filter(|(key, _)| *key != INCLUDE) {
            own.insert(key.clone(), self.member(key, value, frame, path)?);
        }
        let Some(include) = members.get(INCLUDE) else { return Ok(Value::Object(own)) };
        let fault = |cause: String| frame.fault(path, cause);
        let included = match include {
            Value::String(name) => self.file(name, frame, path)?,
            Value::Array(names) => {
                let mut merged = Value::Object(Map::new());
                for name in names {
                    let name =
                        name.as_str().ok_or_else(|| fault("write a path or a list of paths".to_owned()))?;
                    merged = merge(merged, self.file(name, frame, path)?);
                }
                merged
            }
            _ => return Err(fault("write a path or a list of paths".to_owned())),
        };
        if own.is_empty() {
            return Ok(included);
        }
        if !included.is_object() {
            return Err(fault("keys beside $include need included files that hold an object".to_owned()));
        }
        Ok(merge(included, Value::Object(own)))
    }

    fn file(&mut self, name: &str, frame: &Frame<'_>, path: &[String]) -> Result<Value, ConfigError> {
        let file = self.locate(name, frame, path)?;
        let fault = |cause: String| frame.fault(path, cause);
        if frame.chain.contains(&file) {
            return Err(fault(format!("{} includes itself", file.display())));
        }
        if frame.chain.len() > CONFIG_INCLUDE_DEPTH_MAX {
            return Err(fault(format!("files include files at most {CONFIG_INCLUDE_DEPTH_MAX} deep")));
        }
        let text = match self.sources.file(&file) {
            Ok(Some(text)) => text,
            Ok(None) => return Err(fault(format!("{}: no such file", file.display()))),
            Err(cause) => return Err(fault(format!("{}: cannot be read: {cause}", file.display()))),
        };
        self.account(&text).map_err(fault)?;
        let document = Document::parse(&file, text)?;
        let mut chain = frame.chain.to_vec();
        chain.push(file);
        self.value(&document.value, &Frame { document: &document, chain: &chain }, &mut Vec::new())
    }

    /// The file that `name` stands for, inside one of the roots by its letters and by its links.
    fn locate(&self, name: &str, frame: &Frame<'_>, path: &[String]) -> Result<PathBuf, ConfigError> {
        let folder = frame.document.file.parent().unwrap_or(Path::new("/"));
        let file = paths::normalize(&folder.join(name));
        let real = self.sources.real_path(&file);
        let inside = self.roots.iter().any(|root| file.starts_with(root))
            && self.roots.iter().any(|root| real.starts_with(self.sources.real_path(root)));
        if inside && !name.contains('\0') {
            return Ok(file);
        }
        let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
        Err(frame.fault(path, format!("{name} lies outside of {}, move it there", roots.join(" and "))))
    }

    fn account(&mut self, text: &str) -> Result<(), String> {
        self.files += 1;
        self.bytes += text.len();
        if self.files > CONFIG_INCLUDES_MAX {
            return Err(format!("more than {CONFIG_INCLUDES_MAX} files in all"));
        }
        if text.len() > CONFIG_INCLUDE_BYTES_MAX {
            return Err(format!("a file of more than {CONFIG_INCLUDE_BYTES_MAX} bytes"));
        }
        if u64::try_from(self.bytes).is_ok_and(|bytes| bytes <= CONFIG_BYTES_MAX) {
            return Ok(());
        }
        Err(format!("more than {CONFIG_BYTES_MAX} bytes in all"))
    }
}

impl Frame<'_> {
    /// An error at the `$include` of the object at `path`.
    fn fault(&self, path: &[String], cause: String) -> ConfigError {
        let mut path = path.to_vec();
        path.push(INCLUDE.to_owned());
        let place: Place = self.document.key_place(&path);
        ConfigError::Include { place, cause }
    }
}

/// `over` on top of `under`.
fn merge(under: Value, over: Value) -> Value {
    match (under, over) {
        (Value::Array(mut under), Value::Array(over)) => {
            under.extend(over);
            Value::Array(under)
        }
        (Value::Object(mut under), Value::Object(over)) => {
            for (key, value) in over {
                if BLOCKED.contains(&key.as_str()) {
                    continue;
                }
                let value = match under.remove(&key) {
                    Some(below) => merge(below, value),
                    None => value,
                };
                under.insert(key, value);
            }
            Value::Object(under)
        }
        (_, over) => over,
    }
}

const INCLUDE: &str = "$include";
/// Keys that mean something to JavaScript; OpenClaw drops them when it merges.
const BLOCKED: &[&str] = &["__proto__", "constructor", "prototype"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Map as World;
    use super::*;

    fn resolved(world: &World, text: &str) -> Result<Value, String> {
        let document = Document::parse(Path::new("/c/openclaw.json"), text.to_owned()).expect("valid text");
        let places = Paths { home: "/h".into(), state_dir: "/c".into(), config: document.file.clone() };
        resolve(world, &places, &document).map_err(|error| error.to_string())
    }

    #[test]
    fn merges_as_openclaw_does() {
        let world = World::default()
            .file("/c/a.json5", "{ x: { p: 1, l: [1] }, y: 1 }")
            .file("/c/sub/b.json5", "{ x: { q: 2, l: [2] }, z: { $include: './c.json5' } }")
            .file("/c/sub/c.json5", "[7]");
        let text = "{ $include: ['./a.json5', 'sub/b.json5'], y: 3, x: { l: [3], constructor: 1 } }";
        assert_eq!(
            resolved(&world, text),
            Ok(json!({ "x": { "p": 1, "q": 2, "l": [1, 2, 3] }, "y": 3, "z": [7] }))
        );
        assert_eq!(resolved(&world, "{ a: [{ $include: 'sub/c.json5' }] }"), Ok(json!({ "a": [[7]] })));
    }

    #[test]
    fn refuses_with_the_place() {
        let world = World::default()
            .file("/c/a.json5", "{\n $include: './b.json5' }")
            .file("/c/b.json5", "{ $include: './a.json5' }")
            .file("/c/bad.json5", "{ x }")
            .file("/c/list.json5", "[1]")
            .file("/c/link.json5", "{}")
            .link("/c/link.json5", "/etc/link.json5")
            .broken("/c/closed.json5", "permission denied");
        for (text, want) in [
            (
                "{ $include: '../x' }",
                "/c/openclaw.json:1:3: $include: ../x lies outside of /c, move it there",
            ),
            ("{ $include: '/etc/x' }", "/c/openclaw.json:1:3: $include: /etc/x lies outside"),
            ("{ $include: 'link.json5' }", "/c/openclaw.json:1:3: $include: link.json5 lies outside"),
            ("{ a: {\n $include: 'no' } }", "/c/openclaw.json:2:2: $include: /c/no: no such file"),
            ("{ $include: 'closed.json5' }", "cannot be read: permission denied"),
            ("{ $include: 'a.json5' }", "/c/b.json5:1:3: $include: /c/a.json5 includes itself"),
            ("{ $include: 'bad.json5' }", "/c/bad.json5:1:5: not valid JSON5: expected a colon"),
            ("{ $include: 1 }", "write a path or a list of paths"),
            ("{ $include: ['a.json5', 1] }", "/c/"),
            ("{ $include: 'list.json5', a: 1 }", "need included files that hold an object"),
        ] {
            let error = resolved(&world, text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn further_roots_are_allowed_by_the_environment() {
        let world =
            World::default().file("/h/more/x.json5", "{ a: 1 }").env("OPENCLAW_INCLUDE_ROOTS", " : ~/more");
        assert_eq!(resolved(&world, "{ $include: '/h/more/x.json5' }"), Ok(json!({ "a": 1 })));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut world = World::default();
        for i in 0..20 {
            let text = format!("{{ $include: ['./{}.json', './{}.json'] }}", i + 1, i + 1);
            world = world.file(&format!("/c/{i}.json"), &text);
        }
        let error = resolved(&world, "{ $include: './0.json' }").expect_err("too deep");
        assert!(error.contains("at most 10 deep"), "{error}");
        let world = world.file("/c/7.json", "{}");
        assert_eq!(resolved(&world, "{ $include: './0.json' }"), Ok(json!({})));
        let world = world.file("/c/7.json", "{ $include: './8.json' }").file("/c/9.json", "{}");
        let error = resolved(&world, "{ $include: './0.json' }").expect_err("too many");
        assert!(error.contains("more than 256 files"), "{error}");
    }
}
