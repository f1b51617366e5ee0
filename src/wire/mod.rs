//! The protocol as types: frames, `connect`, `hello-ok`, errors. No state, no clock, no policy.
//!
//! Facts are those of OpenClaw 2026.3.13 (protocol 3) and 2026.9.6 (protocol 4). Frames towards protocol 3 never carry
//! a top-level key that its clients do not know: they drop such a frame without a word.

pub mod connect;
pub mod error;
pub mod frame;
pub mod hello;
pub mod params;
pub mod refusal;

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A protocol number that this gateway speaks. In JSON it is that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// OpenClaw up to spring 2026, among them 2026.3.13.
    V3,
    /// OpenClaw since May 2026, among them 2026.9.6.
    V4,
}

impl Protocol {
    /// Every number spoken, lowest first.
    pub const ALL: [Self; 2] = [Self::V3, Self::V4];

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// The protocol of this number, if it is spoken.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }

    /// The highest number inside the client's range, or none.
    pub fn highest_common(min: u32, max: u32) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|p| (min..=max).contains(&p.number()))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.number())
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| D::Error::custom(format!("protocol {number} is not spoken")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_number_is_answered() {
        let cases: [(u32, u32, Option<Protocol>); 7] = [
            (3, 3, Some(Protocol::V3)),
            (3, 4, Some(Protocol::V4)),
            (4, 4, Some(Protocol::V4)),
            (1, 99, Some(Protocol::V4)),
            (1, 2, None),
            (5, 9, None),
            (4, 3, None),
        ];
        for (min, max, want) in cases {
            assert_eq!(Protocol::highest_common(min, max), want, "{min}..{max}");
        }
    }

    #[test]
    fn a_number_that_is_not_spoken_is_not_read() {
        for protocol in Protocol::ALL {
            let text = serde_json::to_string(&protocol).unwrap();
            assert_eq!(text, protocol.number().to_string());
            assert_eq!(serde_json::from_str::<Protocol>(&text).unwrap(), protocol);
        }
        for bad in ["0", "2", "5", "-3", "3.0", "4294967299", "\"3\"", "null"] {
            assert!(serde_json::from_str::<Protocol>(bad).is_err(), "{bad}");
        }
    }
}
