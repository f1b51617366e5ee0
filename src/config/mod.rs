//! Text to values: OpenClaw's `openclaw.json` and loopgate's own `loopgate.conf`.
//!
//! Rule: parse, don't validate. A value that this module returns is usable as it is; what cannot be used is a
//! [`ConfigError`] that names the file, the line and the cure. Nothing here touches a file or the environment: the
//! shell hands both in through [`Sources`].

pub mod agents;
mod env;
pub mod error;
pub mod exit;
pub mod gateway;
mod include;
mod json5;
pub mod openclaw;
pub mod paths;
mod read;
pub mod redact;
mod redact_raw;
mod reference;
pub mod schema;
pub mod secret;
pub mod settings;
mod spans;
#[cfg(test)]
mod testing;
mod text;
pub mod view;

use std::path::{Path, PathBuf};

#[cfg(feature = "cli")]
pub(crate) use env::parse_dotenv as dotenv;
pub use error::{ConfigError, Place, Position};
pub use exit::Exit;
pub use openclaw::OpenClaw;
pub use secret::{Resolved, Secret};
pub use settings::Settings;

/// The outside world as far as configuration needs it: the daemon implements it over `std`, tests over maps.
///
/// Every text must be bounded by the implementor ([`crate::limits::CONFIG_BYTES_MAX`]); a longer file is an `Err`.
/// An `Err` is the cause in words, without the path ("permission denied", "not valid UTF-8").
pub trait Sources {
    /// An environment variable; `None` if it is unset or not UTF-8.
    fn env(&self, name: &str) -> Option<String>;

    /// The text of a file; `Ok(None)` if there is no such file.
    fn file(&self, path: &Path) -> Result<Option<String>, String>;

    /// The text of a file that holds secrets, read only if it is a regular file of the daemon's user or of root that
    /// nobody else may read. A missing file is an `Err` here.
    fn secret_file(&self, path: &Path) -> Result<String, String>;

    /// A secret handed over by the service manager (`LoadCredential=`), from `$CREDENTIALS_DIRECTORY`; `None` if
    /// there is no credential of this name.
    fn credential(&self, name: &str) -> Option<Result<String, String>>;

    /// The home folder of the daemon's user, by `$HOME` or the user database.
    fn home(&self) -> Option<PathBuf>;

    /// The path with its symbolic links resolved; the path itself if that is not possible.
    fn real_path(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }
}
