//! A recorded conversation as data: what the client sent, and the essence of what it was answered.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// One command, page or node host: its connections in the order in which they were opened.
#[derive(Deserialize)]
pub(crate) struct Conversation {
    /// `gateway.auth.mode` of the gateway that answered.
    pub(crate) auth: String,
    pub(crate) connections: Vec<Connection>,
    /// The file's name without its end.
    #[serde(skip)]
    pub(crate) name: String,
    /// The client's version, which is the folder's name.
    #[serde(skip)]
    pub(crate) version: String,
}

/// One WebSocket connection.
#[derive(Deserialize)]
pub(crate) struct Connection {
    /// The command, where one file holds several.
    pub(crate) about: Option<String>,
    /// Headers of the upgrade beside those that every upgrade has.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// The device that the client proved.
    pub(crate) device: Option<Device>,
    /// Stays open until the connection of this name is opened.
    pub(crate) stays: Option<String>,
    pub(crate) connect: Connect,
    pub(crate) requests: Vec<Request>,
    pub(crate) close: Option<Close>,
}

/// A device key, by number, and the version of the text that it signed.
#[derive(Deserialize)]
pub(crate) struct Device {
    pub(crate) key: u8,
    pub(crate) proof: String,
}

/// The first request. Its params lack the device.
#[derive(Deserialize)]
pub(crate) struct Connect {
    pub(crate) params: Value,
    pub(crate) answer: Answer,
}

/// A later request.
#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) params: Option<Value>,
    /// The event that it answers; it waits for it.
    pub(crate) on: Option<String>,
    /// Nothing if the client left first.
    pub(crate) answer: Option<Answer>,
}

/// What the recorded gateway answered.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The payload's shape: an object's keys with their shapes, a list with the shape of its elements, else the name of
    /// a type.
    Ok(Value),
    Error(Error),
}

#[derive(Deserialize)]
pub(crate) struct Error {
    pub(crate) code: String,
    pub(crate) message: String,
    /// `details.code`.
    #[serde(rename = "details.code")]
    pub(crate) details_code: Option<String>,
}

/// Who closed first, and how.
#[derive(Deserialize)]
pub(crate) struct Close {
    pub(crate) by: Side,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Client,
    Gateway,
}

impl Conversation {
    /// Every conversation of a version, by name.
    pub(crate) fn all(version: &str) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conversations").join(version);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path, version)).collect()
    }

    fn read(path: &Path, version: &str) -> Self {
        let text = fs::read_to_string(path).expect("a file");
        let mut conversation: Self =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        conversation.name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        version.clone_into(&mut conversation.version);
        conversation
    }
}
