//! Who a client is: its protocol, its door, its scopes and whether it proves a device. All follow from its number.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::client::{Device, cli};
use crate::live::unix_ms;

/// What a client is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Calls, thinks, calls.
    Steady,
    /// Makes everybody hear of something, again and again.
    Beater,
    /// Does nothing until it is asked to. Holds no scope that lets it hear of others.
    Idle,
    /// Comes, calls once, goes.
    Visitor,
    /// The same, in pieces and with pauses: a restart often falls into its handshake.
    Dawdler,
}

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    V4,
    V6,
    Owner,
}

/// Where the gateway is.
#[derive(Debug, Clone)]
pub struct Target {
    pub port: u16,
    /// Only the first of all doors is used if there is none.
    pub owner: Option<PathBuf>,
}

/// One client.
#[derive(Debug, Clone)]
pub struct Profile {
    pub part: Part,
    pub protocol: u32,
    pub door: Door,
    pub scopes: &'static [&'static str],
    /// The number of its device.
    device: Option<u8>,
}

impl Part {
    /// It stays until it is told to go.
    pub fn stays(self) -> bool {
        !matches!(self, Self::Visitor | Self::Dawdler)
    }
}

impl Profile {
    pub fn new(part: Part, number: u64, target: &Target) -> Self {
        let door = match number % 5 {
            3 if target.owner.is_some() => Door::V6,
            4 if target.owner.is_some() => Door::Owner,
            _ => Door::V4,
        };
        let scopes: &[&str] = match part {
            Part::Steady | Part::Visitor | Part::Dawdler => &["operator.read"],
            Part::Beater => ADMIN,
            Part::Idle => &["operator.approvals"],
        };
        let device = (number % 4 == 1).then(|| u8::try_from(number / 4 % DEVICES).expect("few devices"));
        let protocol = if number % 2 == 0 { 3 } else { 4 };
        // Every second pair changes sides, so that each protocol has devices and each door has both.
        let protocol = if number / 4 % 2 == 0 { protocol } else { 7 - protocol };
        let protocol = if part == Part::Beater { 4 } else { protocol };
        Self { part, protocol, door, scopes, device }
    }

    /// The params of `connect`, signed now.
    pub fn connect(&self, nonce: &str) -> Value {
        let params = cli(self.protocol, self.scopes);
        match self.device {
            Some(number) => Device::new(number).sign(params, nonce, unix_ms()),
            None => params,
        }
    }

    /// What is wrong with what hello-ok says.
    pub fn check(&self, hello: &Value) -> Result<(), String> {
        let (protocol, scopes) = (&hello["protocol"], &hello["auth"]["scopes"]);
        if (protocol, scopes) == (&json!(self.protocol), &json!(self.scopes)) {
            return Ok(());
        }
        Err(format!("protocol {protocol} and scopes {scopes}, not {} and {:?}", self.protocol, self.scopes))
    }

    /// Whether it hears of what others do.
    pub fn hears(&self) -> bool {
        self.part != Part::Idle
    }
}

/// What protocol 4 says of an admin.
const ADMIN: &[&str] = &[
    "operator.admin",
    "operator.approvals",
    "operator.pairing",
    "operator.questions",
    "operator.read",
    "operator.talk",
    "operator.talk.secrets",
    "operator.write",
];
/// Few, because each is paired once, and each pairing is a write to the store.
const DEVICES: u64 = 8;
