//! The environment and the files of the user who runs `loopgate`, for the configuration.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::Sources;
use crate::limits::{CONFIG_BYTES_MAX, SECRET_FILE_BYTES_MAX};

/// The process's own surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process;

impl Sources for Process {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> Result<Option<String>, String> {
        match File::open(path) {
            Ok(file) => text(file, CONFIG_BYTES_MAX).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn secret_file(&self, path: &Path) -> Result<String, String> {
        // The open file is looked at, not the path: nobody can swap it in between.
        let file = File::open(path).map_err(|error| error.to_string())?;
        let meta = file.metadata().map_err(|error| error.to_string())?;
        // A pipe has readers of its own; a file that others read has told its secret already.
        if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
            return Err(format!("other users may read it, run `chmod 600 {}`", path.display()));
        }
        text(file, SECRET_FILE_BYTES_MAX)
    }

    /// Credentials belong to services; the command line has none.
    fn credential(&self, _name: &str) -> Option<Result<String, String>> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
    }
}

/// Whether the process is root's. A system without /proc makes us an ordinary user, who sees less.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// All of `reader` as text, at most `max` bytes.
pub(crate) fn text(reader: impl Read, max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    reader.take(max + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > max {
        return Err(format!("larger than {max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "not valid UTF-8".to_owned())
}
