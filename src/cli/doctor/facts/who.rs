//! Users: who asks, and who owns what is found.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::tool::{Patience, Tool};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The number.
    pub uid: u32,
    /// The number of the first group.
    pub gid: u32,
    /// The login name.
    pub name: String,
    /// The home folder.
    pub home: PathBuf,
}

/// Who runs doctor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The number.
    pub uid: u32,
    /// The login name; the number in digits where nobody knows one.
    pub name: String,
    /// The entry in the user database, if there is one.
    pub user: Option<User>,
}

/// The user database.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    local: Vec<User>,
    patience: Patience,
}

impl Caller {
    /// Whoever this process belongs to.
    pub(crate) fn current(users: &Users) -> Self {
        // Its own entry in /proc belongs to the effective user.
        let uid = fs::metadata("/proc/self").map_or(NOBODY, |meta| meta.uid());
        let user = users.by_uid(uid);
        let name = user.as_ref().map_or_else(|| uid.to_string(), |user| user.name.clone());
        Self { uid, name, user }
    }

    /// Whether nothing is closed to them.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    #[cfg(test)]
    pub(crate) fn of(name: &str, uid: u32) -> Self {
        let home = PathBuf::from(if uid == 0 { "/root".to_owned() } else { format!("/home/{name}") });
        let user = User { uid, gid: uid, name: name.to_owned(), home };
        Self { uid, name: name.to_owned(), user: Some(user) }
    }
}

impl Users {
    /// Those in the local file are known at once, others are asked for.
    pub(crate) fn new(patience: Patience) -> Self {
        let text = super::tool::read(Path::new("/etc/passwd"), FILE_BYTES_MAX).unwrap_or_default();
        Self { local: text.lines().filter_map(entry).collect(), patience }
    }

    /// The user of a number.
    pub(crate) fn by_uid(&self, uid: u32) -> Option<User> {
        let local = self.local.iter().find(|user| user.uid == uid).cloned();
        local.or_else(|| self.ask(&uid.to_string()).filter(|user| user.uid == uid))
    }

    /// The user of a name.
    pub(crate) fn by_name(&self, name: &str) -> Option<User> {
        let local = self.local.iter().find(|user| user.name == name).cloned();
        local.or_else(|| self.ask(name).filter(|user| user.name == name))
    }

    /// The name for a number; the number itself where nobody knows one.
    pub(crate) fn name(&self, uid: u32) -> String {
        self.by_uid(uid).map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// The local users in whose home there is `folder`.
    pub(crate) fn with_folder(&self, folder: &str) -> Vec<User> {
        self.local.iter().filter(|user| user.home.join(folder).is_dir()).cloned().collect()
    }

    /// Users of a directory service are known to `getent` alone.
    fn ask(&self, key: &str) -> Option<User> {
        if key.starts_with('-') {
            return None;
        }
        let answer = Tool::new("getent").args(&["passwd", key]).run(self.patience).ok()?;
        answer.out.lines().find_map(entry)
    }
}

/// A line of `passwd(5)`.
fn entry(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    let home = fields.nth(1)?;
    Some(User { uid, gid, name: name.to_owned(), home: PathBuf::from(home) })
}

const NOBODY: u32 = 65_534;
const FILE_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_user() {
        let user = entry("alice:x:1000:1001:Alice,,,:/home/alice:/bin/bash").unwrap();
        assert_eq!((user.uid, user.gid, user.name.as_str()), (1000, 1001, "alice"));
        assert_eq!(user.home, Path::new("/home/alice"));
        for line in ["", "+::::::", "# x", "a:x:y:z::/:/bin/sh"] {
            assert_eq!(entry(line), None, "{line}");
        }
    }

    #[test]
    fn the_caller_is_known() {
        let users = Users::new(Patience::new());
        let caller = Caller::current(&users);
        assert_eq!(users.name(caller.uid), caller.name);
        assert_eq!(users.by_name("root").map(|user| user.uid), Some(0));
    }
}
