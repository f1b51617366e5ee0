//! Secrets by reference: `{source, provider, id}` and `secrets.providers`. Facts from OpenClaw 2026.3.13 and 2026.9.6.
//! Variables and files are followed. Programs are not: loopgated starts none. OpenClaw's own store is not read either.

use serde_json::Value;

use super::Sources;
use super::env::{Env, holds_reference};
use super::error::ConfigError;
use super::paths::Paths;
use super::read::At;
use super::secret::{Resolved, Secret};

/// A secret as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// Not at all.
    Nothing,
    /// In the clear.
    Clear(Secret),
    /// By reference.
    Reference(Reference),
}

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    source: Source,
    /// `None` for the default provider of the source.
    provider: Option<String>,
    id: String,
}

/// The kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Env,
    File,
    Exec,
    Store,
}

/// What references are followed with.
pub(crate) struct Resolver<'a> {
    pub(crate) sources: &'a dyn Sources,
    pub(crate) places: &'a Paths,
    pub(crate) env: &'a Env<'a>,
    /// The whole resolved configuration.
    pub(crate) config: At<'a>,
}

impl Written {
    /// Reads the value at `at`: a string, or an object with `source`, `id` and perhaps `provider`.
    ///
    /// A string that still holds `${NAME}` after substitution is a reference to a variable that is not set.
    pub(crate) fn read(at: &At<'_>) -> Result<Self, ConfigError> {
        let Some(Value::Object(_)) = at.value() else {
            let Some(text) = at.trimmed()? else { return Ok(Self::Nothing) };
            return Ok(match (whole_reference(text), Secret::new(text)) {
                (Some(name), _) => {
                    Self::Reference(Reference { source: Source::Env, provider: None, id: name.to_owned() })
                }
                (None, Some(secret)) if !holds_reference(text) => Self::Clear(secret),
                _ => Self::Nothing,
            });
        };
        let (source, id) = (at.get("source"), at.get("id"));
        let reference = Reference {
            source: source.one_of(SOURCES)?.ok_or_else(|| source.wrong("\"env\" or \"file\""))?,
            provider: at.get("provider").trimmed()?.map(str::to_owned),
            id: id.trimmed()?.ok_or_else(|| id.wrong("the name of a secret"))?.to_owned(),
        };
        Ok(Self::Reference(reference))
    }

    /// Whether the file has something for it, be it usable or not.
    pub(crate) fn is_configured(&self) -> bool {
        *self != Self::Nothing
    }
}

impl Resolver<'_> {
    /// Follows a reference. The reason of a failure names the places on the way.
    pub(crate) fn follow(&self, reference: &Reference) -> Resolved<Secret> {
        match self.text(reference) {
            Ok(text) => match Secret::new(&text) {
                Some(secret) => Resolved::Set(secret),
                None => Resolved::Unresolvable(format!("{} is empty", reference.label())),
            },
            Err(reason) => Resolved::Unresolvable(reason),
        }
    }

    fn text(&self, reference: &Reference) -> Result<String, String> {
        match reference.source {
            Source::Exec => Err(format!(
                "{} asks for a program, which loopgated does not run; give the secret by a variable, a file or \
                 LoadCredential=",
                reference.label()
            )),
            Source::Store => Err(format!(
                "{} lies in OpenClaw's own store, which loopgated does not read; give the secret by a variable, a \
                 file or LoadCredential=",
                reference.label()
            )),
            Source::Env => self.variable(reference),
            Source::File => self.file(reference),
        }
    }

    fn variable(&self, reference: &Reference) -> Result<String, String> {
        if let Some(provider) = self.provider(reference)? {
            let allowed = provider.get("allowlist");
            let listed = allowed.texts().map_err(|error| error.to_string())?;
            if allowed.value().is_some() && !listed.contains(&reference.id) {
                return Err(format!("the variable {} is not in {}", reference.id, allowed.key()));
            }
        }
        let value = self.env.get(&reference.id).filter(|value| !value.trim().is_empty());
        value.ok_or_else(|| format!("the variable {} is not set or empty", reference.id))
    }

    fn file(&self, reference: &Reference) -> Result<String, String> {
        let provider = self.provider(reference)?.ok_or_else(|| self.not_configured(reference))?;
        let text_of = |key: &str| provider.get(key).trimmed().map_err(|error| error.to_string());
        let path = text_of("path")?.ok_or_else(|| format!("{}.path is missing", provider.key()))?;
        let path = self.places.expand(path);
        if !path.is_absolute() {
            return Err(format!("{}.path is not absolute", provider.key()));
        }
        let text = self.sources.secret_file(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
        if text_of("mode")? == Some("singleValue") {
            if reference.id == SINGLE_VALUE_ID {
                return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
            }
            return Err(format!("{} holds one value, write the id \"{SINGLE_VALUE_ID}\"", provider.key()));
        }
        // The parser's message could quote the text.
        let value: Value =
            serde_json::from_str(&text).map_err(|_| format!("{} is not valid JSON", path.display()))?;
        match value.pointer(&reference.id) {
            Some(Value::String(text)) if !reference.id.is_empty() => Ok(text.clone()),
            _ => Err(format!("{} has no string at the pointer {}", path.display(), reference.id)),
        }
    }

    /// The provider's settings; `None` for variables that need none.
    fn provider(&self, reference: &Reference) -> Result<Option<At<'_>>, String> {
        let provider = self.config.at("secrets.providers").get(&self.alias(reference));
        if provider.value().is_none() {
            let plain =
                reference.source == Source::Env && self.alias(reference) == self.default_alias(Source::Env);
            return if plain { Ok(None) } else { Err(self.not_configured(reference)) };
        }
        let source = provider.get("source").trimmed().map_err(|error| error.to_string())?;
        if source == Some(reference.source.name()) {
            return Ok(Some(provider));
        }
        Err(format!("{} is not a provider of the source \"{}\"", provider.key(), reference.source.name()))
    }

    fn not_configured(&self, reference: &Reference) -> String {
        format!("secrets.providers.{} is not configured", self.alias(reference))
    }

    fn alias(&self, reference: &Reference) -> String {
        reference.provider.clone().unwrap_or_else(|| self.default_alias(reference.source))
    }

    fn default_alias(&self, source: Source) -> String {
        let configured = self.config.at("secrets.defaults").get(source.name());
        configured.trimmed().ok().flatten().unwrap_or(DEFAULT_ALIAS).to_owned()
    }
}

impl Reference {
    fn label(&self) -> String {
        let provider = self.provider.as_deref().unwrap_or(DEFAULT_ALIAS);
        format!("the secret {}:{provider}:{}", self.source.name(), self.id)
    }
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::Exec => "exec",
            Self::Store => "store",
        }
    }
}

/// The name in a text that is `${NAME}` and nothing else.
fn whole_reference(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    holds_reference(text).then_some(name).filter(|name| !name.contains('}'))
}

const SOURCES: &[(&str, Source)] =
    &[("env", Source::Env), ("file", Source::File), ("exec", Source::Exec), ("store", Source::Store)];
const DEFAULT_ALIAS: &str = "default";
const SINGLE_VALUE_ID: &str = "value";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::Map;
    use super::super::text::Document;
    use super::*;

    const CONFIG: &str = "{ secrets: {
        defaults: { file: 'main' },
        providers: {
            main: { source: 'file', path: '~/secrets.json' },
            one: { source: 'file', path: '/run/one', mode: 'singleValue' },
            listed: { source: 'env', allowlist: ['OK'] },
            nopath: { source: 'file' },
        } },
        t: TEXT }";

    fn followed(map: &Map, text: &str) -> Result<String, String> {
        let document = Document::parse(Path::new("/c"), CONFIG.replace("TEXT", text)).expect("valid text");
        let places = Paths { home: "/h".into(), state_dir: "/s".into(), config: "/c".into() };
        let env = Env::new(map, Path::new("/s"), &mut Vec::new());
        let config = At::root(&document, &document.value);
        let written = Written::read(&config.get("t")).map_err(|error| error.to_string())?;
        let resolver = Resolver { sources: map, places: &places, env: &env, config };
        match written {
            Written::Nothing => Ok(String::new()),
            Written::Clear(secret) => Ok(secret.reveal().to_owned()),
            Written::Reference(reference) => match resolver.follow(&reference) {
                Resolved::Set(secret) => Ok(secret.reveal().to_owned()),
                Resolved::Missing => Ok(String::new()),
                Resolved::Unresolvable(reason) => Err(reason),
            },
        }
    }

    fn world() -> Map {
        Map::default()
            .env("OK", " v1 ")
            .env("NO", "v2")
            .file("/h/secrets.json", "{\"a\":{\"b/c\":[\"v3\"]},\"n\":1,\"e\":\" \"}")
            .file("/run/one", "v4\r\n")
    }

    #[test]
    fn follows_references() {
        for (text, want) in [
            ("null", ""),
            ("' '", ""),
            ("' plain '", "plain"),
            ("'half ${NO}'", ""),
            ("'${OK}'", "v1"),
            ("{ source: 'env', provider: 'default', id: 'NO' }", "v2"),
            ("{ source: 'env', id: 'OK' }", "v1"),
            ("{ source: 'env', provider: 'listed', id: 'OK' }", "v1"),
            ("{ source: 'file', id: '/a/b~1c/0' }", "v3"),
            ("{ source: 'file', provider: 'one', id: 'value' }", "v4"),
        ] {
            assert_eq!(followed(&world(), text), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn says_why_it_cannot() {
        for (text, want) in [
            ("'${GONE}'", "the variable GONE is not set or empty"),
            (
                "{ source: 'env', provider: 'listed', id: 'NO' }",
                "the variable NO is not in secrets.providers.listed.allowlist",
            ),
            ("{ source: 'env', provider: 'who', id: 'NO' }", "secrets.providers.who is not configured"),
            (
                "{ source: 'env', provider: 'main', id: 'NO' }",
                "secrets.providers.main is not a provider of the source \"env\"",
            ),
            ("{ source: 'file', id: '/a/x' }", "/h/secrets.json has no string at the pointer /a/x"),
            ("{ source: 'file', id: '/n' }", "/h/secrets.json has no string at the pointer /n"),
            ("{ source: 'file', id: '/e' }", "the secret file:default:/e is empty"),
            (
                "{ source: 'file', provider: 'one', id: 'x' }",
                "secrets.providers.one holds one value, write the id \"value\"",
            ),
            ("{ source: 'file', provider: 'nopath', id: '/x' }", "secrets.providers.nopath.path is missing"),
            (
                "{ source: 'exec', provider: 'v', id: 'x' }",
                "the secret exec:v:x asks for a program, which loopgated does not run",
            ),
            ("{ source: 'store', id: 'x' }", "the secret store:default:x lies in OpenClaw's own store"),
            ("{ source: 'moon', id: 'x' }", "t.source: not a known value"),
            ("{ source: 'env' }", "t.id is missing, write the name of a secret"),
            ("7", "t is a number, write a string"),
        ] {
            let error = followed(&world(), text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
        let gone = Map::default().broken("/h/secrets.json", "others may read it");
        assert_eq!(
            followed(&gone, "{ source: 'file', id: '/a' }"),
            Err("/h/secrets.json: others may read it".into())
        );
        let bad = Map::default().file("/h/secrets.json", "canary-secret");
        assert_eq!(
            followed(&bad, "{ source: 'file', id: '/a' }"),
            Err("/h/secrets.json is not valid JSON".into())
        );
    }
}
