//! A state folder in memory, filled from `tests/data/state`, and calls into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use loopgate::clock::Now;
use loopgate::config::{OpenClaw, Settings, Sources};
use loopgate::gateway::io::{FileError, Files};
use loopgate::gateway::job::{Job, Live, Outcome, Query};
use loopgate::gateway::method::{Handler, Method, Route};
use loopgate::gateway::{Host, Setup};
use loopgate::policy::scope::Scopes;
use loopgate::wire::Protocol;
use loopgate::wire::error::{ErrorCode, ErrorShape};
use serde_json::Value;

/// When every call is made: 2026-11-22T07:20:00Z.
pub(crate) const NOW: u64 = 1_795_332_000_000;

/// Both protocols.
pub(crate) const BOTH: [Protocol; 2] = Protocol::ALL;

/// Files by path; a file may be broken.
#[derive(Default, Clone)]
pub(crate) struct World {
    files: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
    protocol: Option<Protocol>,
    scopes: Option<Scopes>,
    queued: Vec<String>,
    /// `loopgate.conf`; nothing if it is empty.
    settings: String,
}

impl World {
    /// A state folder without anything.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// The folder of `tests/data/state`, as `/state`.
    pub(crate) fn full() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state");
        let mut world = Self::empty();
        world.copy(&root, &root);
        let config = world.files.remove(Path::new("/state/openclaw.json5")).unwrap();
        world.files.insert("/state/openclaw.json".into(), config);
        world
    }

    pub(crate) fn v3(mut self) -> Self {
        self.protocol = Some(Protocol::V3);
        self
    }

    pub(crate) fn v4(mut self) -> Self {
        self.protocol = Some(Protocol::V4);
        self
    }

    pub(crate) fn of(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    pub(crate) fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = Some(scopes);
        self
    }

    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), Ok(content.into()));
        self
    }

    pub(crate) fn broken(mut self, path: &str) -> Self {
        self.files.insert(path.into(), Err("permission denied".to_owned()));
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        assert!(self.files.remove(Path::new(path)).is_some(), "{path} is to be taken away");
        self
    }

    /// A system event waits for the main session.
    pub(crate) fn queued(mut self, text: &str) -> Self {
        self.queued.push(text.to_owned());
        self
    }

    pub(crate) fn settings(mut self, text: &str) -> Self {
        text.clone_into(&mut self.settings);
        self
    }

    pub(crate) fn config(self, text: &str) -> Self {
        self.file("/state/openclaw.json", text)
    }

    /// What the world is set up with.
    pub(crate) fn setup(&self) -> Setup {
        Setup {
            legs: loopgate::gateway::LegSeed::derive(&[7; 32]),
            owners: vec![1000],
            allowed: Vec::new(),
            host: Host {
                name: "box".to_owned(),
                platform: "linux 6.12.0".to_owned(),
                arch: "x64".to_owned(),
            },
            port: Some(18789),
            made: None,
            openclaw: OpenClaw::load(self).expect("a valid configuration"),
            settings: self.parsed_settings(),
        }
    }

    /// The answer to a call, as a value.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Result<Value, ErrorShape> {
        let (Route::Native(Handler::File(answer)) | Route::UpstreamElseNative(Handler::File(answer), _)) =
            Method::find(method).route
        else {
            panic!("{method} is not answered from files")
        };
        let setup = self.setup();
        let live = Live { system_events: self.queued.clone(), ..Live::default() };
        let query = Query {
            params,
            setup: &setup,
            protocol: self.protocol.unwrap_or(Protocol::V3),
            scopes: self.scopes.unwrap_or(Scopes::ADMIN),
            files: self,
            now: now(),
            live: &live,
        };
        answer(&query).map(|text| serde_json::from_str(&text).expect("JSON"))
    }

    /// The health snapshot.
    pub(crate) fn health(&self) -> Value {
        let Outcome::Health(json) = (Job::Health { setup: Arc::new(self.setup()) }).run(self, now()) else {
            panic!("no health snapshot");
        };
        serde_json::from_str(json.get()).expect("JSON")
    }

    /// The answer to a call that must succeed.
    pub(crate) fn good(&self, method: &str, params: Value) -> Value {
        self.call(method, &params).unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// The message of an error of the caller's making.
    pub(crate) fn invalid(&self, method: &str, params: Value) -> String {
        let error = self.call(method, &params).expect_err("an error");
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{}", error.message);
        error.message.into_owned()
    }

    /// The message of an error that is not of the caller's making.
    pub(crate) fn unavailable(&self, method: &str, params: Value) -> String {
        let error = self.call(method, &params).expect_err("an error");
        assert_eq!(error.code, ErrorCode::Unavailable, "{}", error.message);
        assert_eq!(error.retryable, Some(false));
        error.message.into_owned()
    }

    fn parsed_settings(&self) -> Settings {
        let text = if self.settings.is_empty() { "{}" } else { &self.settings };
        Settings::parse(Path::new("/loopgate.conf"), text.to_owned()).expect("valid settings")
    }

    fn copy(&mut self, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("the folder of fixtures") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.copy(root, &path);
            } else {
                let name = Path::new("/state").join(path.strip_prefix(root).expect("below the root"));
                self.files.insert(name, Ok(std::fs::read(&path).expect("a fixture")));
            }
        }
    }

    fn bytes(&self, path: &Path) -> Result<&[u8], FileError> {
        match self.files.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(cause)) => Err(FileError::Failed(cause.clone())),
            None => Err(FileError::Missing),
        }
    }
}

impl Files for World {
    fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
        let bytes = self.bytes(path)?;
        if bytes.len() as u64 > max { Err(FileError::TooLarge(max)) } else { Ok(bytes.to_vec()) }
    }

    fn read_range(&self, path: &Path, offset: u64, len: u64) -> Result<(Vec<u8>, u64), FileError> {
        let bytes = self.bytes(path)?;
        let size = bytes.len() as u64;
        let (start, end) = (offset.min(size), offset.saturating_add(len).min(size));
        Ok((bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].to_vec(), size))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        if let Some(Err(cause)) = self.files.get(folder) {
            return Err(FileError::Failed(cause.clone()));
        }
        let inside = |path: &PathBuf| Some(folder.join(path.strip_prefix(folder).ok()?.components().next()?));
        let entries: BTreeSet<PathBuf> = self.files.keys().filter_map(inside).collect();
        if entries.is_empty() { Err(FileError::Missing) } else { Ok(entries.into_iter().rev().collect()) }
    }
}

impl Sources for World {
    fn env(&self, name: &str) -> Option<String> {
        (name == "OPENCLAW_STATE_DIR").then(|| "/state".to_owned())
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        match self.files.get(path) {
            Some(bytes) => bytes.clone().map(|bytes| Some(String::from_utf8(bytes).expect("text"))),
            None => Ok(None),
        }
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        Err(format!("{}: no such file", path.display()))
    }

    fn credential(&self, _name: &str) -> Option<Result<String, String>> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/u".into())
    }
}

fn now() -> Now {
    Now { mono: Instant::now(), unix_ms: NOW }
}

/// The strings that `key` has in the elements of a list.
pub(crate) fn column<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().expect("a list").iter().map(|row| row[key].as_str().unwrap_or("-")).collect()
}
