//! The methods that this gateway answers itself, one small file per family.
//!
//! Live methods (`fn(&mut Gateway, &Call) -> Reply`) answer from memory; file methods (`fn(&Query) -> Result<…>`) run
//! off the loop. Neither asks what the caller may do: a call that gets here has been decided.

pub(super) mod agents;
mod answer;
pub(super) mod channels;
pub(super) mod chat;
pub(super) mod config;
pub(super) mod cron;
mod date;
pub(super) mod devices;
pub(super) mod health;
pub(super) mod heartbeat;
pub(super) mod identity;
pub(super) mod idle;
pub(super) mod invoke;
mod keys;
pub(super) mod logs;
pub(super) mod models;
pub(super) mod node_pair;
pub(super) mod nodes;
pub(super) mod presence;
pub(super) mod sessions;
pub(super) mod status;
mod store;
pub(super) mod subscribe;
pub(super) mod system;
mod text;
mod transcript;

pub(super) use subscribe::Subscriptions;
