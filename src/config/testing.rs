//! Sources out of maps, for the tests of this module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Sources;

/// A world in maps.
#[derive(Debug, Default, Clone)]
pub(crate) struct Map {
    env: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
    broken: BTreeMap<PathBuf, String>,
    links: BTreeMap<PathBuf, PathBuf>,
    home: Option<PathBuf>,
}

impl Map {
    pub(crate) fn home(home: &str) -> Self {
        Self { home: Some(home.into()), ..Self::default() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    pub(crate) fn broken(mut self, path: &str, cause: &str) -> Self {
        self.broken.insert(path.into(), cause.into());
        self
    }

    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.links.insert(path.into(), target.into());
        self
    }
}

impl Sources for Map {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        match self.broken.get(path) {
            Some(cause) => Err(cause.clone()),
            None => Ok(self.files.get(path).cloned()),
        }
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        self.file(path)?.ok_or_else(|| "no such file".to_owned())
    }

    fn credential(&self, _: &str) -> Option<Result<String, String>> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        self.links.get(path).cloned().unwrap_or_else(|| path.to_path_buf())
    }
}
