//! `node.invoke` and `browser.request`: calls that a node answers (protocol.md 8.3, 8.4).
//!
//! Rule: a call goes to a node only for a command that the node offers, that was approved for it, and that the settings
//! allow at that moment; and whoever asked gets an answer, whatever becomes of the node.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::clock::Now;
use crate::config::gateway::{BrowserMode, Nodes as Settings};
use crate::gateway::Gateway;
use crate::gateway::dispatch::{Call, Reply};
use crate::gateway::io::{ConnId, uuid};
use crate::gateway::nodes::{Busy, Invocation, LiveNode, Nodes, Purpose, command, patience};
use crate::policy::scope::{Need, Scopes};
use crate::wire::error::ErrorShape;
use crate::wire::frame;

/// What a node said, or what happened instead.
#[derive(Debug)]
pub(in crate::gateway) struct Answered<'a> {
    ok: bool,
    payload: Option<&'a Value>,
    /// JSON as the node wrote it.
    payload_json: Option<&'a str>,
    error: Value,
}

/// What is to be asked of a node.
#[derive(Debug)]
struct Order {
    node: ConnId,
    node_id: String,
    command: String,
    params: Option<String>,
    timeout_ms: Option<u64>,
    key: String,
    purpose: Purpose,
}

/// The payload of `node.invoke.request`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    id: &'a str,
    node_id: &'a str,
    command: &'a str,
    #[serde(rename = "paramsJSON")]
    params_json: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    idempotency_key: &'a str,
}

/// The answer to `node.invoke`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    ok: bool,
    node_id: &'a str,
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, RawValue>>,
    #[serde(rename = "payloadJSON")]
    payload_json: Option<&'a str>,
}

/// What `node.invoke` takes: admin for commands that reach the owner's browser or files.
pub(in crate::gateway) fn need(params: &Value) -> Need {
    let command = params.get("command").and_then(Value::as_str).unwrap_or_default().trim();
    Need::Scope(if command::needs_admin(command) { Scopes::ADMIN } else { Scopes::WRITE })
}

/// `node.invoke {nodeId, command, params?, timeoutMs?, idempotencyKey}`.
pub(in crate::gateway) fn invoke(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let (node_id, command, timeout_ms, key) = call.read(|r| {
            let mut name = |key| r.required_name(key).trim().to_owned();
            let (node_id, command, key) = (name("nodeId"), name("command"), name("idempotencyKey"));
            (node_id, command, r.int("timeoutMs", 0..=1 << 53), key)
        })?;
        if node_id.is_empty() || command.is_empty() {
            return Err(ErrorShape::invalid("nodeId and command required"));
        }
        let params = call.params.get("params").filter(|params| !params.is_null());
        check_command(&command, params)?;
        let node = gateway.nodes.find(&node_id).ok_or_else(not_connected)?;
        check_node(node, &command, &gateway.setup.openclaw.gateway.nodes)?;
        let params = params.map(|params| forwarded(&command, params)).transpose()?;
        let order = Order {
            node: node.conn,
            node_id,
            command,
            params: params.map(|params| frame::to_json(&*params)),
            timeout_ms,
            key,
            purpose: Purpose::Invoke,
        };
        gateway.ask_node(call, &order)
    })
}

/// `browser.request {method, path, query?, body?, timeoutMs?}`: relayed to the node that can browse. Files that the
/// browser makes stay where the node has put them.
pub(in crate::gateway) fn browser(gateway: &mut Gateway, call: &Call) -> Reply {
    Reply::attempt(|| {
        let text = |key: &str| call.params.get(key).and_then(Value::as_str).unwrap_or_default().trim();
        let (method, path) = (text("method").to_ascii_uppercase(), text("path"));
        if method.is_empty() || path.is_empty() {
            return Err(ErrorShape::invalid("method and path are required"));
        }
        if !["GET", "POST", "DELETE"].contains(&method.as_str()) {
            return Err(ErrorShape::invalid("method must be GET, POST, or DELETE"));
        }
        if changes_profiles(&method, path) {
            let message = "browser.request cannot create or delete persistent browser profiles";
            return Err(ErrorShape::invalid(message));
        }
        let timeout_ms = call.params.get("timeoutMs").and_then(whole_ms);
        let settings = &gateway.setup.openclaw.gateway.nodes;
        let node = browser_node(&gateway.nodes, settings)?;
        check_node(node, BROWSER_PROXY, settings)?;
        let order = Order {
            node: node.conn,
            node_id: node.id().to_owned(),
            command: BROWSER_PROXY.to_owned(),
            params: Some(frame::to_json(&proxy_params(&call.params, &method, path, timeout_ms))),
            timeout_ms,
            key: uuid(&mut *gateway.entropy),
            purpose: Purpose::Browser,
        };
        gateway.ask_node(call, &order)
    })
}

impl Gateway {
    /// Sends a call to a node; its answer comes with `node.invoke.result`.
    fn ask_node(&mut self, call: &Call, order: &Order) -> Result<Reply, ErrorShape> {
        let invocation = Invocation {
            id: uuid(&mut *self.entropy),
            node_id: order.node_id.clone(),
            node: order.node,
            command: order.command.clone(),
            caller: call.conn,
            request: call.id.clone(),
            purpose: order.purpose,
            deadline: call.now.mono + patience(order.timeout_ms),
        };
        let payload = frame::to_json(&Request {
            id: &invocation.id,
            node_id: &order.node_id,
            command: &order.command,
            params_json: order.params.as_deref(),
            timeout_ms: order.timeout_ms,
            idempotency_key: &order.key,
        });
        self.nodes.invoke(invocation).map_err(|busy| match busy {
            Busy::Gateway => ErrorShape::busy("too many calls to nodes wait for an answer", 1000),
            Busy::Caller => ErrorShape::busy("too many calls of this connection wait for a node", 1000),
        })?;
        self.tell(order.node, "node.invoke.request", &payload, call.now);
        Ok(Reply::Later)
    }

    /// Tells the caller what became of its call.
    pub(in crate::gateway) fn conclude(&mut self, call: &Invocation, answered: &Answered<'_>, now: Now) {
        let result = match call.purpose {
            Purpose::Invoke => answered.to_invoke(call),
            Purpose::Browser => answered.to_browser(),
        };
        self.respond(call.caller, &call.request, result, now);
    }
}

impl<'a> Answered<'a> {
    /// The params of `node.invoke.result`. Nodes write `null` for what they do not have.
    pub(super) fn read(params: &'a Value) -> Self {
        let member = |key: &str| params.get(key).filter(|value| !value.is_null());
        let payload_json = member("payloadJSON");
        let not_text = payload_json.filter(|value| !value.is_string());
        Self {
            ok: params.get("ok").and_then(Value::as_bool).unwrap_or_default(),
            payload: member("payload").or(not_text),
            payload_json: payload_json.and_then(Value::as_str),
            error: member("error").cloned().unwrap_or_default(),
        }
    }

    /// What stands in for the answer of a node that gave none.
    pub(in crate::gateway) fn failed(code: &str, message: &str) -> Self {
        Self {
            ok: false,
            payload: None,
            payload_json: None,
            error: json!({"code": code, "message": message}),
        }
    }

    fn to_invoke(&self, call: &Invocation) -> Result<String, ErrorShape> {
        self.check()?;
        Ok(frame::to_json(&Told {
            ok: true,
            node_id: &call.node_id,
            command: &call.command,
            payload: self.payload(),
            payload_json: self.payload_json,
        }))
    }

    /// A browser node answers `{result, files?}`; the caller gets the result.
    fn to_browser(&self) -> Result<String, ErrorShape> {
        self.check()?;
        let payload = self.payload();
        let members: Option<BTreeMap<Cow<'_, str>, &RawValue>> =
            payload.as_ref().and_then(|payload| serde_json::from_str(payload.get()).ok());
        let result = members.as_ref().and_then(|members| members.get("result"));
        result
            .map(|result| result.get().to_owned())
            .ok_or_else(|| ErrorShape::unavailable("browser proxy failed"))
    }

    /// The payload as JSON, whichever way the node wrote it. Text that is no JSON is told as such.
    fn payload(&self) -> Option<Cow<'a, RawValue>> {
        let Some(text) = self.payload_json else {
            return self.payload.and_then(|payload| to_raw_value(payload).ok()).map(Cow::Owned);
        };
        if text.trim().is_empty() {
            return None;
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Some(Cow::Borrowed(raw)),
            Err(_) => to_raw_value(&json!({"payloadJSON": text})).ok().map(Cow::Owned),
        }
    }

    /// The error answer if the node did not do it (protocol.md 8.3).
    fn check(&self) -> Result<(), ErrorShape> {
        if self.ok {
            return Ok(());
        }
        let text = |key: &str| {
            self.error.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
        };
        let message = text("message").unwrap_or("node invoke failed");
        let message = text("code").map_or_else(|| message.to_owned(), |code| format!("{code}: {message}"));
        Err(ErrorShape { retryable: None, ..ErrorShape::unavailable(message) }
            .with_details(json!({"nodeError": self.error})))
    }
}

/// Commands that `node.invoke` never carries, whatever the node offers.
fn check_command(command: &str, params: Option<&Value>) -> Result<(), ErrorShape> {
    let refuse =
        |message: String| Err(ErrorShape::invalid(message).with_details(json!({"command": command})));
    if command::is_reserved(command) {
        let message = "node.invoke does not allow system.execApprovals.*; use exec.approvals.node.*";
        return refuse(message.to_owned());
    }
    if command.starts_with(BROWSER_PROXY) {
        let text = |key: &str| params.and_then(|params| params.get(key)?.as_str()).unwrap_or_default().trim();
        if changes_profiles(&text("method").to_ascii_uppercase(), text("path")) {
            return refuse(format!("node.invoke cannot create or delete browser profiles through {command}"));
        }
    }
    Ok(())
}

fn check_node(node: &LiveNode, command: &str, settings: &Settings) -> Result<(), ErrorShape> {
    node.may(command, settings).map_err(|refused| {
        ErrorShape::invalid(refused.message(command, node.platform()))
            .with_details(json!({"reason": refused.reason(), "command": command}))
    })
}

/// The params as the node gets them. A node runs a program without asking its owner if the call says that the run was
/// approved, so only a gateway that keeps such approvals may say so; this one keeps none.
fn forwarded<'a>(command: &str, params: &'a Value) -> Result<Cow<'a, Value>, ErrorShape> {
    let (true, Value::Object(object)) = (command == "system.run", params) else {
        return Ok(Cow::Borrowed(params));
    };
    let decided =
        object.get("approvalDecision").and_then(Value::as_str).is_some_and(|text| text.starts_with("allow"));
    if decided || object.get("approved") == Some(&Value::Bool(true)) {
        let message = "approvals of single runs are the OpenClaw runtime's, and none is connected; \
                       leave out approved and approvalDecision";
        return Err(ErrorShape::invalid(message).with_details(json!({"code": "APPROVALS_UNAVAILABLE"})));
    }
    let known = object.iter().filter(|(key, _)| RUN_PARAMS.contains(&key.as_str()));
    Ok(Cow::Owned(Value::Object(known.map(|(key, value)| (key.clone(), value.clone())).collect())))
}

/// Whether a request makes or deletes a browser profile that stays.
fn changes_profiles(method: &str, path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    match method {
        "POST" => first == Some("profiles") && second == Some("create") && third.is_none(),
        "DELETE" => first == Some("profiles") && second.is_some() && third.is_none(),
        _ => false,
    }
}

/// The node that serves the browser (`gateway.nodes.browser`).
fn browser_node<'a>(nodes: &'a Nodes, settings: &Settings) -> Result<&'a LiveNode, ErrorShape> {
    if settings.browser_mode == BrowserMode::Off {
        return Err(ErrorShape::unavailable(
            "gateway.nodes.browser.mode is off, so no node is asked, and no OpenClaw runtime is connected",
        ));
    }
    let browsers: Vec<_> = nodes.iter().filter(|node| node.is_browser()).collect();
    if let Some(wanted) = &settings.browser_node {
        return named_node(&browsers, wanted);
    }
    match (settings.browser_mode, browsers.as_slice()) {
        (_, []) => Err(ErrorShape::unavailable(NO_BROWSER)),
        (BrowserMode::Auto, [node]) => Ok(node),
        (BrowserMode::Auto, many) => Err(ErrorShape::unavailable(format!(
            "{} browser-capable nodes are connected; name one of them in gateway.nodes.browser.node",
            many.len()
        ))),
        _ => Err(ErrorShape::unavailable(
            "gateway.nodes.browser.mode is manual; name the node in gateway.nodes.browser.node",
        )),
    }
}

/// The browser node of this id, name, address or beginning of an id.
fn named_node<'a>(browsers: &[&'a LiveNode], wanted: &str) -> Result<&'a LiveNode, ErrorShape> {
    let key = |name: &str| {
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let is_meant = |node: &&&LiveNode| {
        let name = node.ask.display_name.as_deref().map(key).filter(|name| !name.is_empty());
        node.id() == wanted
            || node.ask.remote_ip.as_deref() == Some(wanted)
            || name == Some(key(wanted))
            || (wanted.len() >= NODE_PREFIX_MIN && node.id().starts_with(wanted))
    };
    let mut meant = browsers.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(node), None) => Ok(node),
        (None, _) => Err(ErrorShape::unavailable(format!(
            "the browser node of gateway.nodes.browser.node is not connected: {wanted}"
        ))),
        (Some(_), Some(_)) => Err(ErrorShape::unavailable(format!(
            "gateway.nodes.browser.node fits more than one connected node: {wanted}"
        ))),
    }
}

/// The params of `browser.proxy`.
fn proxy_params(params: &Value, method: &str, path: &str, timeout_ms: Option<u64>) -> Value {
    let mut object = Map::new();
    object.insert("method".to_owned(), method.into());
    object.insert("path".to_owned(), path.into());
    let query = params.get("query").filter(|query| query.is_object());
    let body = params.get("body").filter(|body| !body.is_null());
    let profile = |from: Option<&Value>| {
        let name = from?.get("profile")?.as_str()?.trim();
        (!name.is_empty()).then(|| name.to_owned())
    };
    let profile = profile(query).or_else(|| profile(body)).map(Value::String);
    for (key, value) in [
        ("query", query.cloned()),
        ("body", body.cloned()),
        ("timeoutMs", timeout_ms.map(Value::from)),
        ("profile", profile),
    ] {
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    }
    Value::Object(object)
}

/// A number of milliseconds, at least 1; a fraction is cut off.
fn whole_ms(value: &Value) -> Option<u64> {
    if let Some(ms) = value.as_u64() {
        return Some(ms.max(1));
    }
    let ms = value.as_f64().filter(|ms| ms.is_finite())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is at least 1"
    )]
    Some(ms.max(1.0) as u64)
}

fn not_connected() -> ErrorShape {
    let node_error = json!({"code": "NOT_CONNECTED", "message": "node not connected"});
    let details = json!({"code": "NOT_CONNECTED", "nodeError": node_error, "nodeCommandDispatched": false});
    ErrorShape { retryable: None, ..ErrorShape::unavailable("node not connected") }.with_details(details)
}

const BROWSER_PROXY: &str = "browser.proxy";
const NO_BROWSER: &str = "no browser-capable node or OpenClaw runtime is connected; start one on the machine with the \
                          browser: openclaw node run";
/// A shorter beginning of a node id fits too many.
const NODE_PREFIX_MIN: usize = 6;
/// The params of `system.run` that a caller may set; what is not among them could pass for an approval.
const RUN_PARAMS: &[&str] = &[
    "agentId",
    "command",
    "cwd",
    "env",
    "needsScreenRecording",
    "rawCommand",
    "runId",
    "sessionKey",
    "suppressNotifyOnExit",
    "systemRunPlan",
    "timeoutMs",
];
