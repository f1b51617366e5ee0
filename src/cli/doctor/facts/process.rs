//! Processes: by name, user and unit. Their arguments are not looked at, for some have secrets among them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::listener::Holders;
use super::tool::read;
use crate::cli::screen::neutral;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub uid: u32,
    /// The unit that it belongs to.
    pub unit: Home,
}

/// What a process runs in, by its control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// A service of the system.
    System(String),
    /// A service of a user's manager.
    User(u32, String),
    /// A session, a container, or nothing that could be stopped by name.
    Loose,
}

impl Process {
    /// The process of this number, as far as it may be looked at.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let folder = format!("/proc/{pid}");
        let uid = fs::metadata(&folder).ok()?.uid();
        let name = read(&Path::new(&folder).join("comm"), SMALL).unwrap_or_default();
        let groups = read(&Path::new(&folder).join("cgroup"), SMALL).unwrap_or_default();
        Some(Self { pid, name: neutral(name.trim()), uid, unit: Home::of(&groups) })
    }
}

impl Home {
    /// By `/proc/PID/cgroup`.
    fn of(groups: &str) -> Self {
        // systemd's own hierarchy is the second version's, the first's by name, or both; an unused one is at its root.
        let paths = groups.lines().filter_map(|line| {
            line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
        });
        let path = paths.max_by_key(|path| path.len()).unwrap_or_default();
        // What lies below a unit of a user's manager is that user's affair.
        let steps: Vec<&str> = path.split('/').collect();
        let is_service = |step: &&&str| step.ends_with(".service") && is_plain_unit(step);
        let manager = steps.iter().position(|step| step.starts_with("user@") && step.ends_with(".service"));
        let Some(manager) = manager else {
            return steps
                .iter()
                .find(is_service)
                .map_or(Self::Loose, |step| Self::System((*step).to_owned()));
        };
        let uid = steps.get(manager).and_then(|step| step.strip_prefix("user@")?.strip_suffix(".service"));
        let service = steps.iter().skip(manager + 1).find(is_service);
        match (uid.and_then(|uid| uid.parse().ok()), service) {
            (Some(uid), Some(step)) => Self::User(uid, (*step).to_owned()),
            _ => Self::Loose,
        }
    }
}

/// The processes that hold the sockets `inodes`, as far as the caller may look. Of several that share one, the first
/// that was started: it handed the socket on.
pub(super) fn holders(inodes: &[u64]) -> Holders {
    let mut found = Holders::new();
    if inodes.is_empty() {
        return found;
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(fd.path()) else { continue };
            let Some(inode) = target.to_str().and_then(socket_inode) else { continue };
            if inodes.contains(&inode) && !found.contains_key(&inode) {
                if let Some(process) = Process::find(pid) {
                    found.insert(inode, process);
                }
            }
        }
        if found.len() == inodes.len() {
            break;
        }
    }
    found
}

/// The number in `socket:[123]`.
fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether the name is one that a unit can have.
pub(super) fn is_plain_unit(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "@._:\\-".contains(c)) && !name.starts_with('-')
}

const SMALL: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_names_the_unit() {
        let user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/openclaw-gateway.service\n";
        assert_eq!(Home::of(user), Home::User(1000, "openclaw-gateway.service".to_owned()));
        assert_eq!(Home::of("0::/system.slice/nginx.service\n"), Home::System("nginx.service".to_owned()));
        let mixed = format!("9:name=systemd:/\n8:pids:/\n{user}");
        assert_eq!(Home::of(&mixed), Home::of(user));
        let old = "12:pids:/x\n1:name=systemd:/system.slice/a.service\n";
        assert_eq!(Home::of(old), Home::System("a.service".to_owned()));
        for loose in [
            "0::/user.slice/user-1000.slice/session-3.scope",
            "0::/user.slice/user-1000.slice/user@1000.service/init.scope",
            "0::/system.slice/docker-00ff.scope",
            "0::/",
            "",
            "0::/system.slice/a b;rm.service",
        ] {
            assert_eq!(Home::of(loose), Home::Loose, "{loose}");
        }
    }
}
