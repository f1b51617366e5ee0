//! The folder of the daemon's own state: the file of the pairing store, replaced as a whole, the key of the hand-over,
//! and the token that is made for want of a configured one.
//!
//! Rule: what is there is either the old file or the new one, whatever happens, and nobody else can write it. A file
//! that cannot be read is left as it is, and the start is refused.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::files::cause;
use super::handover::KEY_BYTES;
use crate::config::Secret;
use crate::config::paths::{KEY_FILE, STORE_FILE, TOKEN_FILE};
use crate::limits;

/// The folder of the daemon's own state.
#[derive(Debug, Clone)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The folder that the service manager, the user's environment or convention names: the first of
    /// `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/loopgate`, else `~/.local/state/loopgate`.
    ///
    /// # Errors
    /// None of them is known; the text says what to set.
    pub(super) fn locate(
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<Self, String> {
        // A relative path would depend on where the daemon was started.
        let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
        let given = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().and_then(absolute));
        let xdg =
            || variable("XDG_STATE_HOME").as_deref().and_then(absolute).map(|folder| folder.join(FOLDER));
        let folder = given.or_else(xdg).or_else(|| home.map(|home| home.join(".local/state").join(FOLDER)));
        folder.map(|folder| Self { folder }).ok_or_else(|| {
            "no state folder is known, set STATE_DIRECTORY, XDG_STATE_HOME or HOME to an absolute path".into()
        })
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(STORE_FILE)
    }

    /// Makes the folder if there is none, and reads the file if there is one.
    ///
    /// # Errors
    /// The folder or file cannot be had or used, or others could have written it. The text names the path and the
    /// remedy.
    pub(super) fn load(&self) -> Result<Option<Vec<u8>>, String> {
        self.prepare()?;
        read(&self.path(), WRITE)
    }

    /// Makes the folder if there is none.
    fn prepare(&self) -> Result<(), String> {
        let folder = self.folder.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| format!("{folder}: cannot be made: {}", cause(&error)))?;
        let meta = fs::metadata(&self.folder).map_err(|error| format!("{folder}: {}", cause(&error)))?;
        only_ours(&self.folder, &meta, WRITE)
    }

    /// The file of the token that is made for want of a configured one.
    pub(super) fn token_path(&self) -> PathBuf {
        self.folder.join(TOKEN_FILE)
    }

    /// That token; `None` if none was made yet.
    ///
    /// # Errors
    /// There is a file and it cannot be used. It is left as it is: clients may know what is in it. The text names the
    /// path and the remedy.
    pub(super) fn token(&self) -> Result<Option<Secret>, String> {
        let path = self.token_path();
        // Unlike the digests of device tokens, this is worth reading for everybody.
        let Some(bytes) = read(&path, READ | WRITE)? else { return Ok(None) };
        let secret = std::str::from_utf8(&bytes).ok().and_then(Secret::new);
        let none = || format!("{}: no token is in it, remove it and another is made", path.display());
        secret.map(Some).ok_or_else(none)
    }

    /// Makes the token, never in the place of another.
    ///
    /// # Errors
    /// The cause in words, with the path.
    pub(super) fn make_token(&self) -> Result<Secret, String> {
        self.prepare()?;
        let path = self.token_path();
        let failed = |why: String| format!("{}: cannot be made: {why}", path.display());
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| failed(error.to_string()))?;
        let text = BASE64URL_NOPAD.encode(&bytes);
        self.add(TOKEN_FILE, format!("{text}\n").as_bytes()).map_err(|error| failed(cause(&error)))?;
        Secret::new(&text).ok_or_else(|| failed("no random bytes".into()))
    }

    /// The key under which connections are handed over, made if there is none. To be called after [`Store::load`], which
    /// has seen to the folder.
    ///
    /// # Errors
    /// It cannot be had or kept, or others could have written it. The text names the path.
    pub(super) fn hand_over_key(&self) -> Result<[u8; KEY_BYTES], String> {
        let path = self.folder.join(KEY_FILE);
        let named = |error: io::Error| format!("{}: {}", path.display(), cause(&error));
        if let Some(bytes) = read(&path, WRITE)? {
            if let Ok(key) = bytes.try_into() {
                return Ok(key);
            }
        }
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| error.to_string())?;
        self.replace(KEY_FILE, &key).map_err(named)?;
        Ok(key)
    }

    /// Puts `bytes` in the place of the file, durably. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// The cause in words, with the path; the old file is still there then.
    pub(super) fn save(&self, bytes: &[u8]) -> Result<(), String> {
        self.replace(STORE_FILE, bytes)
            .map_err(|error| format!("{}: {}", self.path().display(), cause(&error)))
    }

    /// Temporary file, fsync, rename, fsync of the folder: after a crash at any point there is one whole file.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.stage(name, bytes)?;
        fs::rename(new, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }

    /// The same for a file that must not be there yet: a second name, unlike a new one, fails if it is taken.
    fn add(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.stage(name, bytes)?;
        let added = fs::hard_link(&new, self.folder.join(name));
        fs::remove_file(&new)?;
        added?;
        File::open(&self.folder)?.sync_all()
    }

    /// A whole file beside the place that it is meant for.
    fn stage(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let new = self.folder.join(format!("{name}.new"));
        // What a crash has left behind may have another mode; a file of our own making has the right one.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(new)
    }
}

/// A whole file, if it is there and nobody else has the rights that are `closed` to others.
fn read(path: &Path, closed: u32) -> Result<Option<Vec<u8>>, String> {
    let named = |error: io::Error| format!("{}: cannot be read: {}", path.display(), cause(&error));
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(error)),
    };
    let meta = file.metadata().map_err(named)?;
    if !meta.is_file() {
        return Err(format!("{}: not a regular file, move it away", path.display()));
    }
    only_ours(path, &meta, closed)?;
    let mut bytes = Vec::new();
    file.take(limits::STATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > limits::STATE_FILE_BYTES_MAX {
        return Err(format!("{}: larger than {} bytes", path.display(), limits::STATE_FILE_BYTES_MAX));
    }
    Ok(Some(bytes))
}

/// Never through a symbolic link, and never waiting for a FIFO's writer.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

/// As ssh does with its keys: what somebody else could have written is not believed. That others may read it does
/// little harm, for tokens of devices are kept as digests, and ends with the next save.
fn only_ours(path: &Path, meta: &fs::Metadata, closed: u32) -> Result<(), String> {
    let (path, own) = (path.display(), geteuid().as_raw());
    if meta.uid() != own && meta.uid() != 0 {
        return Err(format!("{path}: belongs to user {}, make it ours with chown {own} {path}", meta.uid()));
    }
    let open = meta.mode() & closed;
    if open & WRITE != 0 {
        return Err(format!("{path}: others may write it, forbid that with chmod go-w {path}"));
    }
    if open != 0 {
        return Err(format!("{path}: others may read it, forbid that with chmod 600 {path}"));
    }
    Ok(())
}

/// The bits of a mode by which others may write.
const WRITE: u32 = 0o022;
/// And by which they may read.
const READ: u32 = 0o044;
const FOLDER: &str = "loopgate";
/// Nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn store(name: &str) -> Store {
        let folder = std::env::temp_dir().join(format!("loopgate-store-{}-{name}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        Store { folder }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_is_found_in_order() {
        let locate = |pairs: &'static [(&str, &str)], home: Option<&str>| {
            let variable = move |name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            Store::locate(variable, home.map(PathBuf::from)).map(|store| store.folder)
        };
        let all = &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x")];
        assert_eq!(locate(all, Some("/h")), Ok("/var/lib/a".into()));
        assert_eq!(locate(&[("XDG_STATE_HOME", "/x")], Some("/h")), Ok("/x/loopgate".into()));
        assert_eq!(locate(&[("XDG_STATE_HOME", "x")], Some("/h")), Ok("/h/.local/state/loopgate".into()));
        assert!(locate(&[], None).unwrap_err().contains("HOME"));
    }

    #[test]
    fn saved_bytes_come_back_and_are_private() {
        let store = store("roundtrip");
        assert_eq!(store.load(), Ok(None));
        assert_eq!(mode(&store.folder), 0o700);
        store.save(b"one").unwrap();
        fs::write(store.folder.join("pairing.json.new"), "left behind by a crash").unwrap();
        store.save(b"two").unwrap();
        assert_eq!(store.load(), Ok(Some(b"two".to_vec())));
        assert_eq!(mode(&store.path()), 0o600);
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_and_left_alone() {
        let store = store("refused");
        store.load().unwrap();
        store.save(b"{}").unwrap();
        fs::set_permissions(store.path(), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(store.load().unwrap_err().contains("chmod go-w"));
        fs::remove_file(store.path()).unwrap();
        symlink("/etc/hostname", store.path()).unwrap();
        assert!(store.load().unwrap_err().contains("cannot be read"));
        fs::remove_file(store.path()).unwrap();
        nix::unistd::mkfifo(&store.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(store.load().unwrap_err().contains("not a regular file"));
        fs::remove_file(store.path()).unwrap();
        fs::set_permissions(&store.folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(store.load().unwrap_err().contains("others may write it"));
    }

    #[test]
    fn a_token_is_made_once_and_is_private() {
        let store = store("token");
        assert_eq!(store.token(), Ok(None));
        let token = store.make_token().unwrap();
        assert_eq!(token.reveal().len(), 43);
        assert_eq!(store.token(), Ok(Some(token.clone())));
        assert_eq!((mode(&store.folder), mode(&store.token_path())), (0o700, 0o600));
        assert!(store.make_token().unwrap_err().contains("file exists"));
        assert_eq!(store.token(), Ok(Some(token)));
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
    }

    #[test]
    fn a_token_that_cannot_be_used_is_left_alone() {
        let store = store("token-refused");
        store.make_token().unwrap();
        let path = store.token_path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(store.token().unwrap_err().ends_with(&format!("chmod 600 {}", path.display())));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for nothing in [&b" \n"[..], b"\xff\xff"] {
            fs::write(&path, nothing).unwrap();
            assert!(store.token().unwrap_err().contains("remove it"));
            assert_eq!(fs::read(&path).unwrap(), nothing);
        }
    }

    #[test]
    fn a_failed_save_names_the_path() {
        let store = Store { folder: "/proc/self".into() };
        assert!(store.save(b"x").unwrap_err().starts_with("/proc/self/pairing.json: "));
    }
}
