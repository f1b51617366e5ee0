//! `device.pair.*` and `device.token.*` (protocol.md 5.6, 5.7).
//!
//! Rule: who may do what to which device is decided in [`crate::gateway::pairing`]; the answer goes out once the change
//! is on disk, and connections that lose their ground are closed at once (security S23).

use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::gateway::broadcast::News;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::io::ConnId;
use crate::gateway::pairing::{Caller, Denied, Device, Rotation};
use crate::gateway::saves::Then;
use crate::gateway::{Conn, Gateway, Recorder};
use crate::journal::{Entry, Field, Kind};
use crate::limits;
use crate::policy::scope::{AuthMethod, Need, Outcome, Record, Role, Scopes};
use crate::wire::error::ErrorShape;
use crate::wire::frame;
use crate::wire::refusal::Refusal;

/// `device.pair.list {}`.
pub(in crate::gateway) fn list(gateway: &mut Gateway, call: &Call) -> Reply {
    let connected: Vec<String> = gateway
        .conns
        .iter()
        .filter_map(|(_, conn)| Some(conn.member()?.grant.device()?.to_owned()))
        .collect();
    let is_connected = |device: &str| connected.iter().any(|id| id == device);
    Reply::json(&gateway.pairing.list_devices(&caller(call), is_connected, call.now))
}

/// `device.pair.approve {requestId}`.
pub(in crate::gateway) fn approve(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let request_id = call.read(|r| r.required_name("requestId").trim().to_owned())?;
        let approved = gateway
            .pairing
            .approve(&request_id, &caller(call), call.now)
            .map_err(|denied| gateway.denied(call, denied))?;
        let request = &approved.request;
        let entry = gateway
            .entry(call, Kind::PairingApproved, &request.device_id)
            .with(Field::RequestId, request_id.clone());
        gateway.note(entry.with(Field::ScopesGranted, request.scopes.join(" ")), call.now);
        let device = gateway.pairing.find(&request.device_id).map_or(Value::Null, Device::to_public);
        let resolved = resolved(&request_id, &request.device_id, "approved", call.now);
        gateway.broadcast_when_durable(approved.revision, "device.pair.resolved", &resolved, call.now);
        Ok(gateway.answer_when_durable(
            approved.revision,
            call,
            &json!({"requestId": request_id, "device": device}),
        ))
    })
}

/// `device.pair.reject {requestId}`.
pub(in crate::gateway) fn reject(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let request_id = call.read(|r| r.required_name("requestId").trim().to_owned())?;
        let request = gateway
            .pairing
            .reject(&request_id, &caller(call), call.now)
            .map_err(|denied| gateway.denied(call, denied))?;
        let entry = gateway
            .entry(call, Kind::PairingRejected, &request.device_id)
            .with(Field::RequestId, request_id.clone());
        gateway.note(entry, call.now);
        gateway.announce_resolved(&request, "rejected", call.now);
        Ok(Reply::json(&json!({"requestId": request_id, "deviceId": request.device_id})))
    })
}

/// `device.pair.remove {deviceId}`.
pub(in crate::gateway) fn remove(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let device_id = call.read(|r| r.required_name("deviceId").trim().to_owned())?;
        let removed = gateway
            .pairing
            .remove(&device_id, &caller(call))
            .map_err(|denied| gateway.denied(call, denied))?;
        let entry = gateway.entry(call, Kind::PairingRemoved, &device_id);
        gateway.note(entry, call.now);
        gateway.nodes.work().forget(&device_id);
        if let Some(request) = &removed.rejected {
            gateway.announce_resolved(request, "rejected", call.now);
        }
        let reply = gateway.answer_when_durable(removed.revision, call, &json!({"deviceId": device_id}));
        gateway.part((&device_id, None), PartCause::Removed, (call.conn, removed.revision), call.now);
        Ok(reply)
    })
}

/// `device.pair.rename {deviceId, label}` (protocol 4).
pub(in crate::gateway) fn rename(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (device_id, label) = call.read(|r| {
            (r.required_name("deviceId").trim().to_owned(), r.required_name("label").trim().to_owned())
        })?;
        if label.is_empty() {
            return Err(ErrorShape::invalid("label required"));
        }
        let label = limits::cut(&label, limits::LABEL_BYTES_MAX);
        let revision = gateway
            .pairing
            .label(&device_id, label, &caller(call))
            .map_err(|denied| gateway.denied(call, denied))?;
        gateway.broadcast_when_durable(revision, "device.pair.changed", &json!({}), call.now);
        Ok(gateway.answer_when_durable(revision, call, &json!({"deviceId": device_id, "label": label})))
    })
}

/// `device.token.rotate {deviceId, role, scopes?}`. Connections that came in with the old token are closed; their
/// programs come back with it within the overlap.
pub(in crate::gateway) fn rotate(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (device_id, role, scopes) = call.read(|r| {
            let scopes =
                r.names("scopes").map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            (r.required_name("deviceId").trim().to_owned(), r.required_name("role").trim().to_owned(), scopes)
        })?;
        let mut secret = [0; 32];
        gateway.entropy.fill(&mut secret);
        let order = Rotation { device_id: &device_id, role: &role, scopes: scopes.as_deref() };
        let rotated = gateway
            .pairing
            .rotate(&order, &caller(call), secret, call.now)
            .map_err(|denied| gateway.denied(call, denied))?;
        let entry = gateway.entry(call, Kind::TokenIssued, &device_id);
        gateway.note(entry.with(Field::ScopesGranted, rotated.scopes.join(" ")), call.now);
        let delivery = if rotated.token.is_some() { "in-band" } else { "withheld-cross-device" };
        let mut answer = Map::new();
        answer.insert("deviceId".to_owned(), device_id.as_str().into());
        answer.insert("role".to_owned(), role.as_str().into());
        if let Some(token) = rotated.token {
            answer.insert("token".to_owned(), token.into());
        }
        answer.insert("scopes".to_owned(), json!(rotated.scopes));
        answer.insert("rotatedAtMs".to_owned(), rotated.rotated_at_ms.into());
        answer.insert("tokenDelivery".to_owned(), delivery.into());
        let reply = gateway.answer_when_durable(rotated.revision, call, &Value::Object(answer));
        let role = Role::from_name(&role);
        gateway.part((&device_id, role), PartCause::Rotated, (call.conn, rotated.revision), call.now);
        Ok(reply)
    })
}

/// `device.token.revoke {deviceId, role}`.
pub(in crate::gateway) fn revoke(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (device_id, role) = call.read(|r| {
            (r.required_name("deviceId").trim().to_owned(), r.required_name("role").trim().to_owned())
        })?;
        let revoked = gateway
            .pairing
            .revoke(&device_id, &role, &caller(call), call.now)
            .map_err(|denied| gateway.denied(call, denied))?;
        let entry = gateway.entry(call, Kind::TokenRevoked, &device_id);
        gateway.note(entry, call.now);
        let answer = json!({"deviceId": device_id, "role": role, "revokedAtMs": revoked.revoked_at_ms});
        let reply = gateway.answer_when_durable(revoked.revision, call, &answer);
        let role = Role::from_name(&role);
        gateway.part((&device_id, role), PartCause::Revoked, (call.conn, revoked.revision), call.now);
        Ok(reply)
    })
}

/// Why connections of a device are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum PartCause {
    /// The device, or its role as a node, was removed.
    Removed,
    /// Its token was revoked.
    Revoked,
    /// Its token was changed; only connections that came in with it are meant.
    Rotated,
}

impl PartCause {
    pub(in crate::gateway) fn refusal(self) -> Refusal {
        match self {
            Self::Removed => Refusal::new("device-removed", "device removed", REMOVED_REMEDY),
            Self::Revoked => Refusal::new("token-revoked", "device token revoked", REVOKED_REMEDY),
            Self::Rotated => {
                Refusal::new("token-rotated", "device token rotated: connect again", ROTATED_REMEDY)
            }
        }
    }
}

impl Gateway {
    /// Closes the connections of a device, of one role or of all. The caller's own, which is still owed an answer, is
    /// closed once the change is on disk, and not at all for a rotation: it has the new token.
    pub(in crate::gateway) fn part(
        &mut self,
        (device, role): (&str, Option<Role>),
        cause: PartCause,
        (caller, revision): (ConnId, u64),
        now: Now,
    ) {
        let meant = |conn: &Conn| {
            conn.member().is_some_and(|member| {
                let grant = &member.grant;
                grant.device() == Some(device)
                    && role.is_none_or(|role| grant.role() == role)
                    && (cause != PartCause::Rotated || grant.how() == AuthMethod::DeviceToken)
            })
        };
        let ids: Vec<ConnId> = self.conns.iter().filter(|(_, conn)| meant(conn)).map(|(id, _)| id).collect();
        for id in ids {
            if id != caller {
                self.refuse(id, &cause.refusal(), now);
            } else if cause != PartCause::Rotated {
                self.when_durable(revision, Then::Part { conn: id, cause }, now);
            }
        }
        self.recheck_relays(now);
    }

    /// The error answer to what pairing denied. A missing scope is a scope decision, so it is recorded as one.
    pub(in crate::gateway) fn denied(&mut self, call: &Call, denied: Denied) -> ErrorShape {
        let lacking = match denied {
            Denied::MissingScope(name) => Scopes::from_name(name),
            Denied::NotYours | Denied::NeedsAdmin => Some(Scopes::ADMIN),
            _ => None,
        };
        if let (Some(scopes), Some(conn)) = (lacking, self.conns.get(call.conn)) {
            let (field, request) = (Field::Method, Some(call.id.as_str()));
            let mut recorder = Recorder { ledger: &mut self.ledger, conn, field, request, now: call.now };
            recorder.record(call.name, Need::Scope(scopes), Outcome::MissingScope);
        }
        match denied {
            Denied::MissingScope(name) => ErrorShape::missing_scope(name),
            Denied::Full => ErrorShape::unavailable(denied.message()),
            _ => ErrorShape::invalid(denied.message()),
        }
    }

    /// An entry about a device, made by a call.
    pub(in crate::gateway) fn entry(&self, call: &Call, kind: Kind, device: &str) -> Entry {
        let entry =
            self.conns.get(call.conn).map_or_else(|| Entry::new(kind), |conn| conn.entry(kind, call.now));
        entry
            .with(Field::DeviceId, device.to_owned())
            .with(Field::Method, call.name)
            .with(Field::RequestId, call.id.clone())
    }

    /// Answers a call once `revision` is on disk.
    pub(in crate::gateway) fn answer_when_durable(
        &mut self,
        revision: u64,
        call: &Call,
        answer: &Value,
    ) -> Reply {
        let payload = frame::to_json(answer);
        let then = Then::Answer { conn: call.conn, request: call.id.clone(), payload };
        self.when_durable(revision, then, call.now);
        Reply::Later
    }

    /// Tells everybody who may hear it, once `revision` is on disk.
    pub(in crate::gateway) fn broadcast_when_durable(
        &mut self,
        revision: u64,
        name: &'static str,
        payload: &Value,
        now: Now,
    ) {
        let payload = frame::to_json(payload);
        self.when_durable(revision, Then::Broadcast { name, payload }, now);
    }

    /// Tells everybody who may hear it.
    pub(in crate::gateway) fn announce(&mut self, name: &'static str, payload: &Value, now: Now) {
        self.broadcast(News::new(name, &frame::to_json(payload)).droppable(), now);
    }
}

/// The caller as the rules of pairing see it.
pub(in crate::gateway) fn caller(call: &Call) -> Caller {
    Caller::of(&call.grant)
}

fn resolved(request_id: &str, device_id: &str, decision: &str, now: Now) -> Value {
    json!({"requestId": request_id, "deviceId": device_id, "decision": decision, "ts": now.unix_ms})
}

const REMOVED_REMEDY: &str =
    "pair the device again if it was removed by mistake: let it connect, then loopgate devices approve";
const REVOKED_REMEDY: &str = "let the device connect with the shared secret once, it gets a new token then";
const ROTATED_REMEDY: &str = "none: the client connects again and gets its new token";
