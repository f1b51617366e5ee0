//! Configuration and state: there, readable by whom they are for and by nobody else, and understood.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::facts::instance::{Instance, Kind};
use super::super::facts::tool::read_of;
use super::super::facts::who::Caller;
use super::super::facts::world::World;
use super::super::facts::{Machine, SYSTEM_USER};
use super::super::finding::{Finding, Outcome, as_root, as_user, quote};
use crate::config::paths::{KEY_FILE, STORE_FILE, TOKEN_FILE};
use crate::config::{ConfigError, OpenClaw, Settings};
use crate::gateway::pairing::Store;
use crate::limits::STATE_FILE_BYTES_MAX;

/// Who may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privacy {
    /// Nobody else may read or write it.
    Secret,
    /// Nobody else may write it.
    Owned,
}

/// A file or folder as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    path: PathBuf,
    privacy: Privacy,
    uid: u32,
    mode: u32,
    folder: bool,
}

/// An instance's files.
struct Facts {
    instance: Instance,
    /// The user that its process runs as, by number and name; the name alone where nobody knows the number.
    owner: (Option<u32>, String),
    items: Vec<Item>,
    /// What cannot be used of the configuration.
    config: Vec<ConfigError>,
    /// What is wrong with the store's contents.
    store: Option<String>,
    /// Folders that the caller may not look into.
    closed: Vec<PathBuf>,
}

/// Looks at the files of every instance in use; of the caller's own, should there be none.
pub(super) fn look(machine: &Machine) -> Outcome {
    let instances = machine.instances();
    let mut chosen: Vec<&Instance> = instances.in_use().collect();
    if chosen.is_empty() {
        chosen.extend(instances.found.iter().filter(|instance| matches!(instance.kind, Kind::User(_))));
    }
    if chosen.is_empty() {
        let why = "no instance of loopgate is in use, so that it is not known which files count";
        return Outcome::Skipped(instances.blind().unwrap_or_else(|| why.to_owned()));
    }
    let facts: Vec<Facts> = chosen.into_iter().map(|instance| gather(instance, machine)).collect();
    judge(&facts, &machine.caller)
}

fn gather(instance: &Instance, machine: &Machine) -> Facts {
    let world = World::of_instance(instance, machine);
    let owner = match instance.user() {
        Some(user) => (Some(user.uid), user.name.clone()),
        None => (machine.users.by_name(SYSTEM_USER).map(|user| user.uid), SYSTEM_USER.to_owned()),
    };
    let mut config = Vec::new();
    let mut paths = Vec::new();
    match Settings::load(&world, None) {
        Ok(settings) => paths.push((settings.path, Privacy::Owned)),
        Err(error) => config.push(error),
    }
    match OpenClaw::load(&world) {
        Ok(openclaw) => {
            paths.push((openclaw.state_dir, Privacy::Owned));
            paths.push((openclaw.path, Privacy::Secret));
        }
        Err(error) => config.push(error),
    }
    for error in &config {
        paths.extend(file_of(error).map(|path| (path.to_path_buf(), Privacy::Owned)));
    }
    let state = instance.state_dir();
    paths.push((state.clone(), Privacy::Owned));
    paths.push((state.join(STORE_FILE), Privacy::Owned));
    paths.push((state.join(KEY_FILE), Privacy::Secret));
    paths.push((state.join(TOKEN_FILE), Privacy::Secret));
    let mut items = Vec::new();
    let mut closed = Vec::new();
    // Where a user's own files may point to, root is not told to change anything.
    paths.retain(|(path, _)| instance.user().is_none_or(|user| is_within(path, &user.home, &state)));
    for (path, privacy) in paths {
        match fs::metadata(&path) {
            Ok(meta) => {
                let (uid, mode, folder) = (meta.uid(), meta.mode() & 0o7777, meta.is_dir());
                items.push(Item { path, privacy, uid, mode, folder });
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                closed.extend(path.parent().map(Path::to_path_buf));
            }
            Err(_) => {}
        }
    }
    closed.dedup();
    // What is not readable is told by its mode and owner.
    let trusted = machine.caller.is_root().then(|| machine.uid_of(instance));
    let store = read_of(&state.join(STORE_FILE), STATE_FILE_BYTES_MAX, trusted).ok();
    let store = store.and_then(|text| Store::parse(text.as_bytes()).err());
    Facts { instance: instance.clone(), owner, items, config, store, closed }
}

fn judge(all: &[Facts], caller: &Caller) -> Outcome {
    let (mut saw, mut findings) = (Vec::new(), Vec::new());
    for facts in all {
        let before = findings.len();
        let modes: Vec<Finding> = facts.items.iter().flat_map(|item| of_item(item, facts, caller)).collect();
        for error in &facts.config {
            // A file that cannot be read because of its mode is one finding, not two.
            let told = file_of(error).is_some_and(|path| {
                let shown = path.display().to_string();
                matches!(error, ConfigError::Unreadable { .. })
                    && modes.iter().any(|finding| finding.text.contains(&shown))
            });
            let closed = matches!(error, ConfigError::Unreadable { .. })
                && !caller.is_root()
                && facts.instance.user().is_none();
            if !told && !closed {
                findings.push(of_config(error, facts, caller));
            }
        }
        findings.extend(modes);
        findings.extend(facts.store.iter().map(|why| of_store(why, facts, caller)));
        if findings.len() == before {
            let words = facts.instance.words();
            let closed: Vec<String> = facts.closed.iter().map(|path| path.display().to_string()).collect();
            saw.push(if closed.is_empty() {
                format!("{} files and folders of {words} are as they should be", facts.items.len())
            } else {
                format!(
                    "what is open to {} of {words} is as it should be; root alone sees {}",
                    caller.name,
                    closed.join(", ")
                )
            });
        }
    }
    Outcome::looked(saw, findings)
}

/// Owner and mode.
fn of_item(item: &Item, facts: &Facts, caller: &Caller) -> Vec<Finding> {
    let (uid, owner) = (facts.owner.0, &facts.owner.1);
    let (shown, word) = (item.path.display().to_string(), quote(&item.path.display().to_string()));
    // What lies in /etc is the administrator's, and read by way of its group or by everybody.
    let shared = facts.instance.kind == Kind::System && item.path.starts_with("/etc");
    let mut findings = Vec::new();
    let is_owners = uid.is_none_or(|uid| uid == item.uid);
    let mine = |command: &str| {
        if is_owners { as_user_or_root(caller, facts, command) } else { as_root(caller, command) }
    };
    let needed = if item.folder { 0o500 } else { 0o400 };
    let foreign = !is_owners && (item.uid != 0 || (!shared && item.mode & 0o004 == 0));
    if foreign {
        let text = format!("{shown} belongs to user {}, not to {owner}", item.uid);
        let why = "the daemon does not believe what others may have written, or cannot read it";
        let chown = as_root(caller, &format!("chown --no-dereference {} {word}", quote(owner)));
        findings.push(Finding::fault(text).because(why).mend(chown));
    } else if is_owners && item.mode & needed != needed {
        let right = if item.folder { "700" } else { "600" };
        let text = format!("{shown} cannot be read by {owner} (mode {:o})", item.mode);
        findings.push(Finding::fault(text).mend(mine(&format!("chmod {right} {word}"))));
    }
    if item.mode & 0o022 != 0 && item.mode & 0o1000 == 0 {
        let text = format!("{shown} can be written by other users (mode {:o})", item.mode);
        let why = "whoever writes it decides who may use the gateway";
        findings.push(Finding::fault(text).because(why).mend(mine(&format!("chmod go-w {word}"))));
    }
    if item.privacy == Privacy::Secret && item.mode & 0o044 != 0 && !shared {
        let text = format!("{shown} can be read by other users (mode {:o})", item.mode);
        let why = "there are secrets in it";
        let finding =
            if item.path.ends_with(TOKEN_FILE) { Finding::fault(text) } else { Finding::warning(text) };
        findings.push(finding.because(why).mend(mine(&format!("chmod 600 {word}"))));
    }
    findings
}

/// Whether a path leads to where a user's files belong, symbolic links followed.
fn is_within(path: &Path, home: &Path, state: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let path = real(path);
    path.starts_with(real(home)) || path.starts_with(real(state))
}

/// A command on a file of the instance's own user.
fn as_user_or_root(caller: &Caller, facts: &Facts, command: &str) -> String {
    match facts.instance.user() {
        // The state of a template's instance lies in a folder of the system's.
        Some(user) => as_user(caller, &user.name, command),
        None => as_root(caller, command),
    }
}

/// A configuration that cannot be used. There is no command that knows what was meant: the editor, at the line.
fn of_config(error: &ConfigError, facts: &Facts, caller: &Caller) -> Finding {
    let finding = Finding::fault(error.to_string());
    let Some(path) = file_of(error) else { return finding };
    let word = quote(&path.display().to_string());
    let position = error.place().and_then(|place| place.position);
    let line = position.map(|position| format!("+{} ", position.line)).unwrap_or_default();
    let edit = format!("${{EDITOR:-editor}} {line}{word}");
    let edit = match facts.instance.user() {
        // As the user: the path is theirs, and may lead root elsewhere by the time that it is opened.
        Some(user) => as_user(caller, &user.name, &edit),
        None if caller.is_root() => edit,
        None => format!("sudoedit {word}"),
    };
    let why = format!(
        "{} keeps what it had, or cannot start",
        facts.instance.words().replacen(".socket", ".service", 1)
    );
    let reload = facts.instance.reload(caller);
    finding.because(why).mend(edit).mend(reload)
}

/// The contents of the store.
fn of_store(why: &str, facts: &Facts, caller: &Caller) -> Finding {
    let path = facts.instance.state_dir().join(STORE_FILE);
    let (shown, word) = (path.display(), quote(&path.display().to_string()));
    let text = format!("{shown} cannot be understood: {why}");
    let cost = "without it the daemon takes over OpenClaw's own pairings again; devices paired since have to be paired anew";
    let [_, service] = facts.instance.kind.units();
    let aside = as_user_or_root(caller, facts, &format!("mv {word} {word}.damaged"));
    let restart = facts.instance.manager().command(caller, &format!("restart {}", quote(&service)));
    Finding::fault(text).because(cost).mend(aside).mend(restart)
}

/// The file that an error is about.
fn file_of(error: &ConfigError) -> Option<&Path> {
    match error {
        ConfigError::Unreadable { file, .. } | ConfigError::Absent { file, .. } => Some(file),
        error => error.place().map(|place| place.file.as_path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    fn facts(kind: Kind, item: Option<(&str, Privacy, u32, u32)>) -> Facts {
        let instance = Instance::of(kind);
        let items = item.into_iter().map(|(path, privacy, uid, mode)| Item {
            path: path.into(),
            privacy,
            uid,
            mode,
            folder: false,
        });
        let owner = match instance.user() {
            Some(user) => (Some(user.uid), user.name.clone()),
            None => (Some(998), SYSTEM_USER.to_owned()),
        };
        Facts { instance, owner, items: items.collect(), config: Vec::new(), store: None, closed: Vec::new() }
    }

    fn mend(facts: Facts, caller: &Caller) -> Vec<String> {
        match judge(&[facts], caller) {
            Outcome::Looked { findings, .. } => {
                findings.into_iter().flat_map(|finding| finding.mend).collect()
            }
            Outcome::Skipped(why) => vec![why],
        }
    }

    #[test]
    fn owners_and_modes() {
        let (alice, root) = (Caller::of("alice", 1000), Caller::of("root", 0));
        let user = || Kind::User(alice.user.clone().unwrap());
        let path = "/home/alice/.openclaw/openclaw.json";
        let cases = [
            (1000, 0o600, vec![]),
            (1000, 0o644, vec![format!("chmod 600 {path}")]),
            (1000, 0o622, vec![format!("chmod go-w {path}")]),
            (1000, 0o200, vec![format!("chmod 600 {path}")]),
            (0, 0o600, vec![format!("sudo chown --no-dereference alice {path}")]),
            (1001, 0o600, vec![format!("sudo chown --no-dereference alice {path}")]),
        ];
        for (uid, mode, want) in cases {
            assert_eq!(
                mend(facts(user(), Some((path, Privacy::Secret, uid, mode))), &alice),
                want,
                "{uid} {mode:o}"
            );
        }
        let system =
            |mode| facts(Kind::System, Some(("/etc/loopgate/loopgate.conf", Privacy::Owned, 0, mode)));
        assert_eq!(mend(system(0o644), &alice), Vec::<String>::new());
        assert_eq!(mend(system(0o666), &root), ["chmod go-w /etc/loopgate/loopgate.conf"]);
        let token =
            facts(Kind::System, Some(("/var/lib/loopgate/gateway-token", Privacy::Secret, 998, 0o640)));
        assert_eq!(mend(token, &root), ["chmod 600 /var/lib/loopgate/gateway-token"]);
    }

    #[test]
    fn what_is_not_understood_is_set_aside_or_edited() {
        let alice = Caller::of("alice", 1000);
        let kind = Kind::User(alice.user.clone().unwrap());
        let mut damaged = facts(kind.clone(), None);
        damaged.store = Some("not a pairing store".to_owned());
        let store = "/home/alice/.local/state/loopgate/pairing.json";
        let want =
            [format!("mv {store} {store}.damaged"), "systemctl --user restart loopgate.service".to_owned()];
        assert_eq!(mend(damaged, &alice), want);
        let mut wrong = facts(kind, None);
        let position = Some(crate::config::Position { line: 3, column: 1 });
        let place = Place { file: "/h/openclaw.json".into(), position };
        wrong.config.push(ConfigError::Syntax { place: place.clone(), cause: "x".into() });
        let edit = "${EDITOR:-editor} +3 /h/openclaw.json";
        let root = Caller::of("root", 0);
        assert_eq!(mend(wrong, &alice).first().unwrap(), edit);
        let mut wrong = facts(Kind::User(alice.user.unwrap()), None);
        wrong.config.push(ConfigError::Syntax { place, cause: "x".into() });
        assert_eq!(mend(wrong, &root).first().unwrap(), &format!("runuser -u alice -- {edit}"));
    }
}
