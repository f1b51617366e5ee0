//! The environment as OpenClaw sees it, and `${NAME}` in the configuration. Facts from OpenClaw 2026.3.13: a variable
//! is looked up in the process, then in `.env` of the state folder, then in `env` and `env.vars` of the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Sources;
use super::openclaw::Warning;

/// Variables in layers; an upper layer wins unless its value is blank.
pub(crate) struct Env<'a> {
    sources: &'a dyn Sources,
    dotenv: BTreeMap<String, String>,
    config: BTreeMap<String, String>,
}

/// What stands at a `$`.
enum Token<'a> {
    /// `${NAME}`, with the text behind it.
    Variable(&'a str, &'a str),
    /// `$${NAME}`, which stands for `${NAME}` itself, with the text behind it.
    Escaped(&'a str, &'a str),
}

impl<'a> Env<'a> {
    /// The process and the `.env` of `state_dir`; one that cannot be read is a warning, for it is not needed.
    pub(crate) fn new(sources: &'a dyn Sources, state_dir: &Path, warnings: &mut Vec<Warning>) -> Self {
        let path = state_dir.join(".env");
        let dotenv = match sources.file(&path) {
            Ok(text) => parse_dotenv(&text.unwrap_or_default()),
            Err(cause) => {
                let message = format!("{} cannot be read: {cause}", path.display());
                warnings.push(Warning { path: String::new(), message });
                BTreeMap::new()
            }
        };
        Self { sources, dotenv, config: BTreeMap::new() }
    }

    /// Adds the variables that the configuration itself brings, `env.vars` first. One whose value holds a reference is
    /// left out, as OpenClaw does it.
    pub(crate) fn add_config(&mut self, config: &Value) {
        let Some(Value::Object(env)) = config.get("env") else { return };
        let vars = env.get("vars").and_then(Value::as_object);
        let inline = env.iter().filter(|(key, _)| !matches!(key.as_str(), "vars" | "shellEnv"));
        for (key, value) in vars.into_iter().flatten().chain(inline) {
            if let Value::String(value) = value {
                if !value.trim().is_empty() && !holds_reference(value) {
                    self.config.insert(key.trim().to_owned(), value.clone());
                }
            }
        }
    }

    /// The value of a variable; `None` if it is unset or empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let outer = self.sources.env(name).or_else(|| self.dotenv.get(name).cloned());
        match outer {
            Some(value) if !value.trim().is_empty() => Some(value),
            other => self.config.get(name).cloned().or(other).filter(|value| !value.is_empty()),
        }
    }

    /// `value` with all references replaced. What cannot be replaced stays and is a warning.
    pub(crate) fn substitute(&self, value: &Value, warnings: &mut Vec<Warning>) -> Value {
        self.substitute_at(value, "", warnings)
    }

    fn substitute_at(&self, value: &Value, path: &str, warnings: &mut Vec<Warning>) -> Value {
        match value {
            Value::String(text) => Value::String(self.substitute_text(text, path, warnings)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| self.substitute_at(item, &format!("{path}[{i}]"), warnings))
                .collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    (key.clone(), self.substitute_at(value, &path, warnings))
                })
                .collect(),
            other => other.clone(),
        }
    }

    fn substitute_text(&self, text: &str, path: &str, warnings: &mut Vec<Warning>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, at) = rest.split_at(dollar);
            out.push_str(before);
            rest = match token(at) {
                Some(Token::Escaped(name, behind)) => {
                    push_reference(&mut out, name);
                    behind
                }
                Some(Token::Variable(name, behind)) => {
                    if let Some(value) = self.get(name) {
                        out.push_str(&value);
                    } else {
                        push_reference(&mut out, name);
                        let message = format!("the variable {name} is not set; what needs it will not work");
                        warnings.push(Warning { path: path.to_owned(), message });
                    }
                    behind
                }
                None => {
                    out.push('$');
                    at.strip_prefix('$').unwrap_or_default()
                }
            };
        }
        out.push_str(rest);
        out
    }
}

/// Whether a text holds a reference that is not escaped.
pub(crate) fn holds_reference(text: &str) -> bool {
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let at = rest.get(dollar..).unwrap_or_default();
        rest = match token(at) {
            Some(Token::Variable(..)) => return true,
            Some(Token::Escaped(_, behind)) => behind,
            None => at.strip_prefix('$').unwrap_or_default(),
        };
    }
    false
}

fn push_reference(out: &mut String, name: &str) {
    out.push_str("${");
    out.push_str(name);
    out.push('}');
}

/// The token that begins with the `$` at the start of `text`. `$${` hides what follows only if it is a reference.
fn token(text: &str) -> Option<Token<'_>> {
    let named = |rest: &'static str| {
        let (name, behind) = text.strip_prefix(rest)?.split_once('}')?;
        is_variable_name(name).then_some((name, behind))
    };
    if let Some((name, behind)) = named("$${") {
        return Some(Token::Escaped(name, behind));
    }
    named("${").map(|(name, behind)| Token::Variable(name, behind))
}

/// `[A-Z_][A-Z0-9_]*`: only names in capitals are references.
fn is_variable_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_uppercase() || c == '_';
    name.starts_with(word) && name.chars().all(|c| word(c) || c.is_ascii_digit())
}

/// The lines `NAME=value` of a `.env` file; a name that comes first stays. Quotes around a value are taken away, in
/// double ones `\n` is a line end; a `#` begins a comment.
pub(crate) fn parse_dotenv(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim();
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !name.is_empty() && name.chars().all(is_word) {
            variables.insert(name.to_owned(), dotenv_value(value.trim()));
        }
    }
    variables
}

fn dotenv_value(value: &str) -> String {
    for quote in ['\'', '"', '`'] {
        let inner = value.strip_prefix(quote).and_then(|rest| Some((rest, closing(rest, quote)?)));
        if let Some((rest, end)) = inner {
            let inner = rest.get(..end).unwrap_or_default();
            return if quote == '"' {
                inner.replace("\\n", "\n").replace("\\r", "\r")
            } else {
                inner.to_owned()
            };
        }
    }
    value.split('#').next().unwrap_or_default().trim_end().to_owned()
}

/// The byte of the closing quote that has no backslash before it.
fn closing(rest: &str, quote: char) -> Option<usize> {
    rest.match_indices(quote)
        .map(|(at, _)| at)
        .find(|&at| !rest.get(..at).unwrap_or_default().ends_with('\\'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Map;
    use super::*;

    fn substituted(map: &Map, config: &Value) -> (Value, Vec<Warning>) {
        let mut warnings = Vec::new();
        let mut env = Env::new(map, Path::new("/s"), &mut warnings);
        env.add_config(config);
        let value = env.substitute(config, &mut warnings);
        (value, warnings)
    }

    #[test]
    fn replaces_references() {
        let map = Map::default().env("A", "1").env("B_2", "$").env("EMPTY", "");
        for (from, to) in [
            ("x${A}y${B_2}z", "x1y$z"),
            ("${A}${A}", "11"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("$A ${a} ${A ${} $", "$A ${a} ${A ${} $"),
            ("$${a}", "$${a}"),
        ] {
            let (value, warnings) = substituted(&map, &json!({ "k": from }));
            assert_eq!(value, json!({ "k": to }), "{from}");
            assert_eq!(warnings, [], "{from}");
        }
    }

    #[test]
    fn what_is_missing_stays_and_warns() {
        let (value, warnings) =
            substituted(&Map::default().env("E", ""), &json!({ "a": { "b": ["${E}-${N}"] } }));
        assert_eq!(value, json!({ "a": { "b": ["${E}-${N}"] } }));
        let paths: Vec<_> = warnings.iter().map(|warning| warning.path.as_str()).collect();
        assert_eq!(paths, ["a.b[0]", "a.b[0]"]);
        assert!(warnings[1].message.contains("variable N is not set"));
    }

    #[test]
    fn layers_follow_openclaw() {
        let config = json!({
            "env": { "vars": { "A": "vars", "B": "vars", "C": "vars" }, "C": "inline", "D": "${A}", "shellEnv": {} },
            "k": "${A} ${B} ${C} ${F}",
        });
        let map = Map::default().env("A", "process").file("/s/.env", "A=file\nB=file\nF=\"f # g\" # note");
        let (value, _) = substituted(&map, &config);
        assert_eq!(value.get("k"), Some(&json!("process file inline f # g")));
        let (value, _) = substituted(&Map::default().env("A", " "), &config);
        assert_eq!(value.get("k"), Some(&json!("vars vars inline ${F}")));
    }

    #[test]
    fn reads_dotenv() {
        let text = "# c\n\nexport A = 1 # one\nB='x # y'\nC=\"l\\nm\"\nD=`q`\nbad line\n=x\nE=\nF=a\\'b";
        let parsed = parse_dotenv(text);
        let shown: Vec<_> = parsed.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(shown, ["A=1", "B=x # y", "C=l\nm", "D=q", "E=", "F=a\\'b"]);
    }

    #[test]
    fn an_unreadable_dotenv_is_a_warning() {
        let mut warnings = Vec::new();
        Env::new(&Map::default().broken("/s/.env", "permission denied"), Path::new("/s"), &mut warnings);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].message, "/s/.env cannot be read: permission denied");
    }
}
