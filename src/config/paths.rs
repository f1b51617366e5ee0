//! Where OpenClaw's files are, and what loopgated calls its own. Facts from OpenClaw 2026.3.13 and 2026.9.6: the variables, the names the program had
//! before, and their order.

use std::path::{Component, Path, PathBuf};

use super::Sources;
use super::error::ConfigError;

/// OpenClaw's places on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The home folder: `OPENCLAW_HOME`, else the user's.
    pub home: PathBuf,
    /// The state folder: `OPENCLAW_STATE_DIR`, else `.openclaw` in the home folder.
    pub state_dir: PathBuf,
    /// The configuration file: `OPENCLAW_CONFIG_PATH`, else `openclaw.json` in the state folder.
    pub config: PathBuf,
}

impl Paths {
    /// Finds the places. A state folder or a file under one of the program's former names is taken if the present
    /// name is not there. A relative path stays relative to the working folder.
    pub fn locate(sources: &dyn Sources) -> Result<Self, ConfigError> {
        let home = home(sources);
        let override_of = |names: &[&str]| -> Result<Option<PathBuf>, ConfigError> {
            let value = names.iter().find_map(|name| variable(sources, name));
            value.map(|value| expand(&value, home.as_deref())).transpose()
        };
        let config = override_of(&["OPENCLAW_CONFIG_PATH", "CLAWDBOT_CONFIG_PATH"])?;
        let state_dir = override_of(&["OPENCLAW_STATE_DIR", "CLAWDBOT_STATE_DIR"])?;
        let default_dir = home.as_ref().map(|home| home.join(STATE_DIR));
        // Nothing needs a home folder if the file is named: the state then lies beside it.
        let beside = || config.as_ref().and_then(|file| file.parent()).map(Path::to_path_buf);
        let state = state_dir.clone().or(default_dir).or_else(beside).ok_or(ConfigError::NoHome)?;
        let home_dir = home.clone().unwrap_or_else(|| state.clone());
        if let Some(config) = config {
            return Ok(Self { home: home_dir, state_dir: state, config });
        }
        let former = |dir: PathBuf| FORMER_FILES.iter().map(move |name| dir.join(name));
        let mut candidates: Vec<PathBuf> = former(state.clone()).collect();
        if state_dir.is_none() {
            candidates.extend(FORMER_DIRS.iter().map(|dir| home_dir.join(dir)).flat_map(|dir| {
                std::iter::once(dir.join(CONFIG_FILE)).chain(former(dir)).collect::<Vec<_>>()
            }));
        }
        Ok(Self::choose(sources, home_dir, state, candidates))
    }

    /// The present name, or the first former one that is there if the present one is not.
    fn choose(sources: &dyn Sources, home: PathBuf, state_dir: PathBuf, former: Vec<PathBuf>) -> Self {
        let config = state_dir.join(CONFIG_FILE);
        if !exists(sources, &config) {
            if let Some(config) = former.into_iter().find(|path| exists(sources, path)) {
                let state_dir = config.parent().map_or(state_dir, Path::to_path_buf);
                return Self { home, state_dir, config };
            }
        }
        Self { home, state_dir, config }
    }

    /// A path as a user writes it in the configuration: `~` is the home folder.
    pub fn expand(&self, path: &str) -> PathBuf {
        tilde(path, &self.home)
    }
}

/// `path` without `.` and `..`, by its letters alone, as OpenClaw compares paths.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            // Above the root is the root.
            Component::ParentDir if normal.has_root() => {}
            other => normal.push(other),
        }
    }
    normal
}

/// An environment variable without surrounding white space; an empty one counts as unset.
pub(crate) fn variable(sources: &dyn Sources, name: &str) -> Option<String> {
    let value = sources.env(name)?;
    let trimmed = value.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn home(sources: &dyn Sources) -> Option<PathBuf> {
    let user = sources.home();
    match variable(sources, "OPENCLAW_HOME") {
        Some(home) if home == "~" || home.starts_with("~/") => Some(tilde(&home, &user?)),
        Some(home) => Some(PathBuf::from(home)),
        None => user,
    }
}

fn expand(path: &str, home: Option<&Path>) -> Result<PathBuf, ConfigError> {
    match home {
        Some(home) => Ok(tilde(path, home)),
        None if path.starts_with('~') => Err(ConfigError::NoHome),
        None => Ok(normalize(Path::new(path))),
    }
}

/// `path` with its `~` replaced, normalized.
pub(crate) fn tilde(path: &str, home: &Path) -> PathBuf {
    let path = path.trim();
    match path.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with('/') => normalize(&home.join(rest.trim_start_matches('/'))),
        _ => normalize(Path::new(path)),
    }
}

/// A file that cannot be read is there: it must be complained about, not passed over.
fn exists(sources: &dyn Sources, path: &Path) -> bool {
    !matches!(sources.file(path), Ok(None))
}

/// loopgated's own pairing store, in its state folder.
pub const STORE_FILE: &str = "pairing.json";
/// The key of the hand-over, beside it. Whoever can read it can read what is handed over from one process to the next;
/// replacing it makes that unreadable.
pub const KEY_FILE: &str = "handover.key";
/// The token that is made for want of a configured one, beside it.
pub const TOKEN_FILE: &str = "gateway-token";
const STATE_DIR: &str = ".openclaw";
const CONFIG_FILE: &str = "openclaw.json";
/// The program's former names; 2026.9.6 knows the first one alone.
const FORMER_DIRS: &[&str] = &[".clawdbot", ".moldbot", ".moltbot"];
const FORMER_FILES: &[&str] = &["clawdbot.json", "moldbot.json", "moltbot.json"];

#[cfg(test)]
mod tests {
    use super::super::testing::Map;
    use super::*;

    fn located(map: &Map) -> (String, String) {
        let paths = Paths::locate(map).expect("a home");
        (paths.config.display().to_string(), paths.state_dir.display().to_string())
    }

    fn pair(config: &str, state: &str) -> (String, String) {
        (config.to_owned(), state.to_owned())
    }

    #[test]
    fn follows_the_order_of_openclaw() {
        let map = Map::home("/h");
        assert_eq!(located(&map), pair("/h/.openclaw/openclaw.json", "/h/.openclaw"));
        let map = map.env("OPENCLAW_HOME", "~/oc");
        assert_eq!(located(&map), pair("/h/oc/.openclaw/openclaw.json", "/h/oc/.openclaw"));
        let map = map.env("OPENCLAW_STATE_DIR", " /s/x/.. ");
        assert_eq!(located(&map), pair("/s/openclaw.json", "/s"));
        let map = map.env("OPENCLAW_CONFIG_PATH", "~/c.json");
        assert_eq!(located(&map), pair("/h/oc/c.json", "/s"));
    }

    #[test]
    fn former_names_count_if_the_present_one_is_missing() {
        let map = Map::home("/h").file("/h/.clawdbot/clawdbot.json", "{}");
        assert_eq!(located(&map), pair("/h/.clawdbot/clawdbot.json", "/h/.clawdbot"));
        let map = map.file("/h/.openclaw/moltbot.json", "{}");
        assert_eq!(located(&map), pair("/h/.openclaw/moltbot.json", "/h/.openclaw"));
        let map = map.file("/h/.openclaw/openclaw.json", "{}");
        assert_eq!(located(&map), pair("/h/.openclaw/openclaw.json", "/h/.openclaw"));
    }

    #[test]
    fn a_named_state_folder_is_not_left() {
        let map = Map::home("/h").file("/h/.clawdbot/clawdbot.json", "{}").env("OPENCLAW_STATE_DIR", "/s");
        assert_eq!(located(&map), pair("/s/openclaw.json", "/s"));
    }

    #[test]
    fn without_a_home_the_file_must_be_named() {
        assert_eq!(Paths::locate(&Map::default()), Err(ConfigError::NoHome));
        assert_eq!(
            Paths::locate(&Map::default().env("OPENCLAW_CONFIG_PATH", "~/x")),
            Err(ConfigError::NoHome)
        );
        let map = Map::default().env("OPENCLAW_CONFIG_PATH", "/etc/oc/c.json");
        assert_eq!(located(&map), pair("/etc/oc/c.json", "/etc/oc"));
    }

    #[test]
    fn normalizes_by_letters() {
        for (from, to) in
            [("/a/./b/../c", "/a/c"), ("/../a", "/a"), ("a/../../b", "../b"), ("./a", "a"), ("/", "/")]
        {
            assert_eq!(normalize(Path::new(from)), Path::new(to));
        }
    }
}
