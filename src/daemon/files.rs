//! The disk and the environment, as the core's traits ask for them.
//!
//! Rule: every read is bounded, and only regular files are read; a FIFO or a device at a known path can neither hang a
//! thread nor feed it without end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{User, geteuid};

use crate::config::Sources;
use crate::gateway::Files;
use crate::gateway::io::FileError;
use crate::limits;

/// The disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
        let (file, size) = open(path)?;
        if size > max {
            return Err(FileError::TooLarge(max));
        }
        // The file may have grown since.
        let bytes = read_at_most(file, max.saturating_add(1), size)?;
        if bytes.len() as u64 > max { Err(FileError::TooLarge(max)) } else { Ok(bytes) }
    }

    fn read_range(&self, path: &Path, offset: u64, len: u64) -> Result<(Vec<u8>, u64), FileError> {
        let (mut file, size) = open(path)?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
        let expected = len.min(size.saturating_sub(offset));
        Ok((read_at_most(file, len, expected)?, size))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        let entries = fs::read_dir(folder).map_err(|error| failed(&error))?;
        let paths = entries.take(limits::FOLDER_ENTRIES_MAX).map(|entry| entry.map(|entry| entry.path()));
        paths.collect::<io::Result<_>>().map_err(|error| failed(&error))
    }
}

impl Sources for Disk {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        match self.read(path, limits::CONFIG_BYTES_MAX) {
            Ok(bytes) => text(bytes).map(Some),
            Err(FileError::Missing) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        let (file, size) = open(path).map_err(|error| error.to_string())?;
        let meta = file.metadata().map_err(|error| cause(&error))?;
        if meta.uid() != 0 && meta.uid() != geteuid().as_raw() {
            return Err(format!("it belongs to user {}, not to the user of loopgated or root", meta.uid()));
        }
        if meta.mode() & 0o077 != 0 {
            return Err("others may read or write it, forbid that with chmod 600".into());
        }
        small_text(file, size)
    }

    fn credential(&self, name: &str) -> Option<Result<String, String>> {
        // They are the service's alone. A check that runs for its reload (ExecReload=, which is told the MAINPID) is not
        // told of the folder by systemd 257, and told of it but kept out by 252.
        if std::env::var_os("MAINPID").is_some() {
            return None;
        }
        let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
        // A name is one step, or it could lead out of the folder.
        if name.contains('/') {
            return None;
        }
        match open(&folder.join(name)) {
            Ok((file, size)) => Some(small_text(file, size)),
            Err(FileError::Missing) => None,
            Err(error) => Some(Err(error.to_string())),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        let variable = std::env::var_os("HOME").map(PathBuf::from);
        variable.filter(|home| home.is_absolute()).or_else(|| Some(User::from_uid(geteuid()).ok()??.dir))
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
    }
}

/// The cause of an error in words, in lower case and without the number that std appends.
pub(super) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Opens a regular file and tells its size.
fn open(path: &Path) -> Result<(File, u64), FileError> {
    // Opening a FIFO must not wait for its writer, and a terminal must not become ours.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|error| failed(&error))?;
    let meta = file.metadata().map_err(|error| failed(&error))?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(FileError::Failed("not a regular file".into())) }
}

/// The text of a file that is small by nature: a secret.
fn small_text(file: File, size: u64) -> Result<String, String> {
    if size > limits::CONFIG_BYTES_MAX {
        return Err(FileError::TooLarge(limits::CONFIG_BYTES_MAX).to_string());
    }
    let bytes = read_at_most(file, limits::CONFIG_BYTES_MAX, size).map_err(|error| error.to_string())?;
    text(bytes)
}

/// Reads until the end or `max`, whichever comes first; room is made for the `expected` bytes at once.
fn read_at_most(file: File, max: u64, expected: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(max).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// A path that leads through a file is as missing as one that leads nowhere.
fn failed(error: &io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::Missing,
        _ => FileError::Failed(cause(error)),
    }
}

/// Configuration is text, and says so where it is not.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "not valid UTF-8".into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("loopgate-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn reads_are_bounded() {
        let path = folder("bounded").join("ten");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(Disk.read(&path, 10), Ok(b"0123456789".to_vec()));
        assert_eq!(Disk.read(&path, 9), Err(FileError::TooLarge(9)));
        assert_eq!(Disk.read_range(&path, 8, 5), Ok((b"89".to_vec(), 10)));
        assert_eq!(Disk.read_range(&path, 80, 5), Ok((Vec::new(), 10)));
        assert_eq!(Disk.read_tail(&path, 3), Ok((b"789".to_vec(), 10)));
        assert_eq!(Disk.read(&path.with_extension("no"), 9), Err(FileError::Missing));
        assert_eq!(Disk.read(&path.join("below"), 9), Err(FileError::Missing));
    }

    #[test]
    fn only_regular_files_are_read() {
        let fifo = folder("kinds").join("fifo");
        if !fifo.exists() {
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        for path in [fifo.as_path(), Path::new("/dev/zero"), Path::new("/proc")] {
            assert!(matches!(Disk.read(path, 9), Err(FileError::Failed(_))), "{}", path.display());
        }
    }

    #[test]
    fn secrets_are_private() {
        let path = folder("secret").join("token");
        fs::write(&path, "made-up").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Disk.secret_file(&path).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Disk.secret_file(&path), Ok("made-up".to_owned()));
    }

    #[test]
    fn causes_are_words() {
        assert_eq!(cause(&io::Error::from_raw_os_error(13)), "permission denied");
        assert_eq!(cause(&io::Error::other("Odd Thing")), "odd Thing");
    }
}
