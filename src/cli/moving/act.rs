//! Doing the steps. Rule: a step is done or is an error; what it leaves behind is either the old file or the new one.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::step::Step;
use crate::cli::doctor::facts::tool::{Patience, cause};
use crate::cli::doctor::facts::unit::Manager;
use crate::cli::doctor::facts::who::{Caller, User};

/// Does one step for `user`.
pub(super) fn act(step: &Step, caller: &Caller, user: &User) -> Result<(), String> {
    let done = match step {
        Step::Write { path, text } => write(path, text).map_err(|error| cause(&error)),
        Step::Remove(path) => remove(path).map_err(|error| cause(&error)),
        Step::Run(..) => {
            let arguments = step.arguments().unwrap_or_default();
            let tool = Manager::User(user.clone()).tool(caller).map(|tool| tool.args(&arguments));
            let done = tool.and_then(|tool| tool.run(Patience::within(COMMAND)));
            // A unit that has not failed, or is not even loaded, has nothing to forget.
            if step.may_fail() { Ok(()) } else { done.map(drop).map_err(|silence| silence.words()) }
        }
    };
    done.map_err(|cause| format!("{}: {cause}", step.words()))
}

/// The text appears at once or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let new = unfinished(path);
    // A command line may have a secret in it, and so has the unit's file; nobody else has business here.
    let mode = fs::metadata(path).map_or(0o600, |meta| meta.permissions().mode() & 0o777);
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(
        |mut file| {
            file.write_all(text.as_bytes())?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()
        },
    );
    let done = written.and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        fs::remove_file(&new).ok();
    }
    done
}

/// Where a text is written to before it appears. What a run that was killed has left there, the next one takes up.
fn unfinished(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()))
}

fn remove(path: &Path) -> std::io::Result<()> {
    fs::remove_file(unfinished(path)).ok();
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // It stays if somebody else has something in it.
    path.parent().map(fs::remove_dir);
    Ok(())
}

/// A gateway of 2026.9 has 330 seconds to end the turns that it is in.
const COMMAND: Duration = Duration::from_secs(345);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_and_go_with_their_folders() {
        let folder = std::env::temp_dir().join(format!("loopgate-moving-{}", std::process::id()));
        let path = folder.join("a/b.conf");
        write(&path, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.join("a")).unwrap().count(), 1);
        fs::write(unfinished(&path), "half").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!folder.join("a").exists() && folder.exists());
        fs::remove_dir(&folder).unwrap();
    }
}
