//! What is saved of one connection.
//!
//! Rule: the names in here are a stored format. They stay what they are; a field that is added has a default, so that
//! what a former version has saved is understood.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::legs::{LegRecord, SavedOutlet};
use crate::clock::Epoch;
use crate::gateway::arrive::Challenged;
use crate::gateway::io::{Door, Peer};
use crate::gateway::native::Subscriptions;
use crate::gateway::nodes::Nodes;
use crate::gateway::pairing::NodeAsk;
use crate::gateway::{Conn, Stage, Way};
use crate::policy::saved::SavedGrant;
use crate::policy::surroundings::Surroundings;
use crate::session::{Held, Phase, Saved};
use crate::wire::Protocol;
use crate::wire::connect::Client;

/// A connection. What it held comes behind, as it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) door: SavedDoor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    #[serde(default)]
    pub(super) spoke: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) way: Option<Box<Way>>,
    pub(super) session: Saved,
    /// How many of the bytes behind are unread, how many unwritten, and how many are fragments of a message.
    pub(super) held: [usize; 3],
    pub(super) stage: SavedStage,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SavedDoor {
    Tcp,
    Owner,
}

/// [`Stage`], but for what is between a question and its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(super) enum SavedStage {
    Arriving,
    Challenged { surroundings: Surroundings, nonce: String },
    Member(Box<SavedMember>),
    Leaving,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedMember {
    pub(super) client: Client,
    pub(super) protocol: Protocol,
    pub(super) grant: SavedGrant,
    pub(super) seq: u64,
    /// Microseconds of the epoch.
    pub(super) next_tick: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_ping: Option<u64>,
    #[serde(default)]
    pub(super) role_violations: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) presence_key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) caps: Vec<String>,
    #[serde(default)]
    pub(super) outlet: SavedOutlet,
    #[serde(default)]
    pub(super) subscriptions: Subscriptions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<SavedNode>,
}

/// What a connected node says of itself. What it may offer is looked up again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavedNode {
    pub(super) ask: NodeAsk,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path_env: Option<String>,
    pub(super) connected_at_ms: u64,
}

/// The record of a connection with everything that it holds; `None` if it cannot be saved at this moment.
pub(super) fn as_it_stands(conn: &Conn, nodes: &Nodes, epoch: &Epoch) -> Option<Vec<u8>> {
    let (session, held) = conn.session.save(epoch)?;
    encode(&of(conn, session, &held, (nodes, epoch))?, &held)
}

/// The record of a WebSocket as it will be when it holds nothing; `None` if it cannot be saved at this moment.
pub(super) fn at_rest(conn: &Conn, nodes: &Nodes, epoch: &Epoch) -> Option<Vec<u8>> {
    let session = conn.session.save_at_rest(epoch)?;
    let held = Held::default();
    let mut record = of(conn, session, &held, (nodes, epoch))?;
    // Calls that wait now are answered by then, and must not be answered again.
    if let SavedStage::Member(member) = &mut record.stage {
        member.outlet.without_calls();
    }
    encode(&record, &held)
}

fn of(conn: &Conn, session: Saved, held: &Held, (nodes, epoch): (&Nodes, &Epoch)) -> Option<Record> {
    Some(Record {
        name: conn.name.clone(),
        door: conn.peer.door.into(),
        address: conn.peer.address,
        uid: conn.peer.uid,
        pid: conn.peer.pid,
        spoke: conn.spoke,
        way: conn.way.clone(),
        session,
        held: [held.rx.len(), held.tx.len(), held.fragments.len()],
        stage: SavedStage::of(conn, nodes, epoch)?,
    })
}

/// What [`as_it_stands`] or [`at_rest`] gave.
///
/// # Errors
/// It is none of that, or of a version that this one does not understand; says what is wrong.
pub(super) fn read(bytes: &[u8]) -> Result<(Record, Held), String> {
    let (text, rest) = split(bytes)?;
    let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let held = held(record.held, rest)?;
    Ok((record, held))
}

/// The same for a leg; `None` if it is the record of a peer.
pub(super) fn read_leg(bytes: &[u8]) -> Result<Option<(LegRecord, Held)>, String> {
    let (text, rest) = split(bytes)?;
    let Ok(record) = serde_json::from_slice::<LegRecord>(text) else { return Ok(None) };
    let held = held(record.held, rest)?;
    Ok(Some((record, held)))
}

/// The text of a record, and the bytes behind.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
    rest.split_at_checked(length).ok_or_else(cut)
}

fn held([rx, tx, fragments]: [usize; 3], rest: &[u8]) -> Result<Held, String> {
    let (rx, rest) = rest.split_at_checked(rx).ok_or_else(cut)?;
    let (tx, rest) = rest.split_at_checked(tx).ok_or_else(cut)?;
    if rest.len() != fragments {
        return Err(cut());
    }
    Ok(Held { rx: rx.to_vec(), tx: tx.to_vec(), fragments: rest.to_vec() })
}

fn cut() -> String {
    "it is cut off".to_owned()
}

impl Record {
    pub(super) fn peer(&self) -> Peer {
        Peer { door: self.door.into(), address: self.address, uid: self.uid, pid: self.pid }
    }
}

impl SavedStage {
    /// Whether a session in this phase can have come as far as this. One that the peer is closing is told of later.
    pub(super) fn check(&self, phase: Phase) -> Result<(), String> {
        let fits = match self {
            Self::Arriving => matches!(phase, Phase::Accept | Phase::Head),
            Self::Challenged { .. } => phase == Phase::Connect,
            Self::Member(_) => phase == Phase::Open,
            Self::Leaving => false,
        };
        if fits || phase == Phase::Closing {
            return Ok(());
        }
        Err(format!("phase {} does not go with what is said of the connection", phase.name()))
    }

    fn of(conn: &Conn, nodes: &Nodes, epoch: &Epoch) -> Option<Self> {
        Some(match &conn.stage {
            Stage::Arriving => Self::Arriving,
            Stage::Challenged(Challenged { surroundings, nonce }) => {
                Self::Challenged { surroundings: surroundings.clone(), nonce: nonce.clone() }
            }
            Stage::Deciding(_) | Stage::Relaying(_) => return None,
            Stage::Member(member) => Self::Member(Box::new(SavedMember {
                client: member.client.clone(),
                protocol: member.protocol,
                grant: SavedGrant::of(&member.grant, &member.proof),
                seq: member.seq,
                next_tick: epoch.micros(member.next_tick),
                next_ping: member.next_ping.map(|at| epoch.micros(at)),
                role_violations: member.role_violations,
                presence_key: member.presence_key.clone(),
                caps: member.caps.clone(),
                outlet: SavedOutlet::of(&member.outlet, epoch),
                subscriptions: member.subscriptions.clone(),
                node: nodes.of_conn(conn.id).map(|node| SavedNode {
                    ask: node.ask.clone(),
                    path_env: node.path_env.clone(),
                    connected_at_ms: node.connected_at_ms,
                }),
            })),
            Stage::Leaving => Self::Leaving,
        })
    }
}

impl From<Door> for SavedDoor {
    fn from(door: Door) -> Self {
        match door {
            Door::Tcp => Self::Tcp,
            Door::Owner => Self::Owner,
        }
    }
}

impl From<SavedDoor> for Door {
    fn from(door: SavedDoor) -> Self {
        match door {
            SavedDoor::Tcp => Self::Tcp,
            SavedDoor::Owner => Self::Owner,
        }
    }
}

/// The length of the text, the text, and what was held.
pub(super) fn encode(record: &impl Serialize, held: &Held) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size_of::<u32>()];
    serde_json::to_writer(&mut bytes, record).ok()?;
    let length = u32::try_from(bytes.len() - size_of::<u32>()).ok()?;
    bytes.get_mut(..size_of::<u32>())?.copy_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&held.rx);
    bytes.extend_from_slice(&held.tx);
    bytes.extend_from_slice(&held.fragments);
    Some(bytes)
}
