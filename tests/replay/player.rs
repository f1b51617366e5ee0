//! Plays the client's part of a conversation, and compares what it hears with what was heard.

use serde_json::{Map, Value, json};

use crate::common::client::{Device, cli};
use crate::common::{Client, HOME, OWNER, TOKEN, World};
use crate::differences::{self, Kind};
use crate::script::{Answer, Close, Connection, Conversation, Error, Request, Side};
use crate::shape;
use loopgate::gateway::io::{Door, Peer};
use loopgate::wire::Protocol;

/// A gateway, and the connections of a conversation.
pub(crate) struct Player<'a> {
    conversation: &'a Conversation,
    world: World,
    open: Vec<Voice<'a>>,
    /// What was not as recorded and not as expected.
    pub(crate) complaints: Vec<String>,
    /// The differences that were met.
    pub(crate) used: Vec<(usize, usize)>,
}

/// One connection of the client's.
struct Voice<'a> {
    connection: &'a Connection,
    client: Client,
    /// Requests that were sent, by number.
    sent: Vec<&'a Request>,
    /// Requests that wait for an event.
    waiting: Vec<&'a Request>,
    admitted: bool,
}

impl<'a> Player<'a> {
    pub(crate) fn new(conversation: &'a Conversation) -> Self {
        let auth = match conversation.auth.as_str() {
            "token" => format!("{{mode: 'token', token: '{TOKEN}'}}"),
            "password" => format!("{{mode: 'password', password: '{PASSWORD}'}}"),
            mode => format!("{{mode: '{mode}'}}"),
        };
        let openclaw = format!("{{gateway: {{auth: {auth}}}, update: {{checkOnStart: false}}}}");
        let mut world = World::new(&openclaw, "{}");
        world.disk.0.insert(format!("{HOME}/.openclaw/openclaw.json").into(), openclaw.into());
        for file in KERNEL {
            world.disk.0.insert(file.into(), std::fs::read(file).expect("a file of the kernel"));
        }
        Self { conversation, world, open: Vec::new(), complaints: Vec::new(), used: Vec::new() }
    }

    pub(crate) fn play(&mut self) {
        for connection in &self.conversation.connections {
            let ends = |voice: &Voice| voice.connection.stays == connection.about;
            while let Some(index) = self.open.iter().position(ends) {
                let voice = self.open.remove(index);
                self.end(voice);
            }
            let voice = self.begin(connection);
            if connection.stays.is_some() {
                self.open.push(voice);
            } else {
                self.end(voice);
            }
        }
        while let Some(voice) = self.open.pop() {
            self.end(voice);
        }
    }

    /// Opens, connects and sends every request that waits for nothing.
    fn begin(&mut self, connection: &'a Connection) -> Voice<'a> {
        let mut params = connection.connect.params.clone();
        let token = self.device_token(connection);
        fill(&mut params, &|name| match name {
            "$token" => Some(TOKEN.to_owned()),
            "$password" => Some(PASSWORD.to_owned()),
            "$deviceToken" => token.clone(),
            _ => None,
        });
        if connection.headers.contains_key("Origin") {
            self.approve_page(connection, &params);
        }
        let mut voice = self.connect(connection, params);
        for request in &connection.requests {
            if request.on.is_some() {
                voice.waiting.push(request);
            } else if voice.admitted {
                self.send(&mut voice, request, &Value::Null);
                self.relay();
            }
        }
        voice
    }

    /// The token that the gateway issued to the client's device before, if the client uses one.
    fn device_token(&mut self, connection: &'a Connection) -> Option<String> {
        (connection.connect.params["auth"]["deviceToken"] == "$deviceToken").then_some(())?;
        let mut params = connection.connect.params.clone();
        params["auth"] = if self.conversation.auth == "token" { json!({"token": TOKEN}) } else { json!({}) };
        let (mut client, params) = self.open(connection, params);
        let hello = client.connect(&mut self.world, params);
        let token = hello["payload"]["auth"]["deviceToken"].as_str().expect("a device token").to_owned();
        client.hang_up(&mut self.world, None);
        Some(token)
    }

    /// A page is never paired in silence, as it is by OpenClaw's gateway (S5 of the security tests): it is sent away with
    /// the id of a request, which an operator approves.
    fn approve_page(&mut self, connection: &'a Connection, params: &Value) {
        let (mut page, params) = self.open(connection, params.clone());
        let refusal = page.connect(&mut self.world, params);
        assert_eq!(refusal["error"]["details"]["code"], "PAIRING_REQUIRED", "{refusal}");
        let (mut operator, _) = self.upgrade("");
        operator.connect(&mut self.world, cli(4, &["operator.admin"]));
        let request = &refusal["error"]["details"]["requestId"];
        operator.ok(&mut self.world, "device.pair.approve", json!({"requestId": request}));
        operator.hang_up(&mut self.world, None);
    }

    /// A connection with these further headers, and the nonce of its challenge.
    fn upgrade(&mut self, headers: &str) -> (Client, String) {
        let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
        let headers = format!("Host: 127.0.0.1:18789\r\n{headers}");
        let mut client = Client::open_with(&mut self.world, peer, &headers);
        assert_eq!(client.status, Some(101));
        let nonce = client.nonce();
        (client, nonce)
    }

    /// An upgraded connection, and the params signed for it.
    fn open(&mut self, connection: &Connection, params: Value) -> (Client, Value) {
        let headers: String =
            connection.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (client, nonce) = self.upgrade(&headers);
        let params = match &connection.device {
            Some(device) => {
                Device::new(device.key).sign_as(&device.proof, params, &nonce, self.world.now.unix_ms)
            }
            None => params,
        };
        (client, params)
    }

    fn connect(&mut self, connection: &'a Connection, params: Value) -> Voice<'a> {
        let asked = params["scopes"].clone();
        let (mut client, params) = self.open(connection, params);
        let answer = client.connect(&mut self.world, params);
        let admitted = answer["ok"] == true;
        let mut voice = Voice { connection, client, sent: Vec::new(), waiting: Vec::new(), admitted };
        self.compare(&voice, "connect", Some(&connection.connect.answer), &answer);
        if admitted {
            self.check_grant(&voice, &asked, &answer["payload"]);
        }
        voice.client.receive(&mut self.world);
        voice
    }

    /// The client is granted what it asks for, and told so.
    fn check_grant(&mut self, voice: &Voice, asked: &Value, hello: &Value) {
        let granted = hello["auth"]["scopes"].as_array().cloned().unwrap_or_default();
        for scope in asked.as_array().into_iter().flatten().filter(|scope| !granted.contains(scope)) {
            self.complain(voice, format!("{scope} was asked for and is not among {granted:?}"));
        }
        let params = &voice.connection.connect.params;
        if hello["auth"]["role"] != params["role"] {
            self.complain(voice, format!("the role is {}", hello["auth"]["role"]));
        }
        let highest = params["maxProtocol"].as_u64();
        if hello["protocol"].as_u64() != highest {
            self.complain(voice, format!("{} for the highest common protocol", hello["protocol"]));
        }
    }

    /// Sends a request; `event` is what it answers, if it answers one.
    fn send(&mut self, voice: &mut Voice<'a>, request: &'a Request, event: &Value) {
        let mut frame = json!({"type": "req", "id": voice.sent.len().to_string(), "method": request.method});
        if let Some(params) = &request.params {
            let mut params = params.clone();
            if let (Value::Object(fields), Value::Object(told)) = (&mut params, event) {
                fill_fields(fields, told);
            }
            let node = self.node();
            fill(&mut params, &|name| (name == "$node").then(|| node.clone()));
            frame["params"] = params;
        }
        voice.sent.push(request);
        voice.client.send(&mut self.world, &frame.to_string());
    }

    /// The device id of the node host that is connected.
    fn node(&self) -> String {
        let device = self.open.iter().find_map(|voice| voice.connection.device.as_ref());
        device.map_or_else(String::new, |device| Device::new(device.key).id())
    }

    /// Lets the connections that stay open take what came for them, and answer the events that they wait for.
    fn relay(&mut self) {
        for index in 0..self.open.len() {
            let mut voice = self.open.remove(index);
            voice.client.receive(&mut self.world);
            let mut events: Vec<Value> = Vec::new();
            voice.waiting.retain(|request| {
                let name = request.on.as_deref().unwrap_or_default();
                let found = voice.client.frames.iter().find(|frame| frame["event"] == name);
                events.extend(found.cloned());
                found.is_none()
            });
            for event in events {
                let request =
                    voice.connection.requests.iter().find(|request| event["event"] == json!(request.on));
                self.send(&mut voice, request.expect("the request that waits"), &event["payload"]);
            }
            self.open.insert(index, voice);
        }
    }

    /// Compares all that came, and closes as the client did.
    fn end(&mut self, mut voice: Voice<'a>) {
        voice.client.receive(&mut self.world);
        let frames: Vec<Value> = voice.client.frames.drain(..).collect();
        for frame in &frames {
            self.check_frame(&voice, frame);
        }
        for (number, request) in voice.sent.clone().into_iter().enumerate() {
            let id = number.to_string();
            let answers: Vec<&Value> =
                frames.iter().filter(|frame| frame["type"] == "res" && frame["id"] == id).collect();
            match answers[..] {
                [answer] => self.compare(&voice, &request.method, request.answer.as_ref(), answer),
                _ => self.complain(&voice, format!("{}: {} answers", request.method, answers.len())),
            }
        }
        for request in std::mem::take(&mut voice.waiting) {
            self.complain(&voice, format!("no {:?} came", request.on));
        }
        self.check_close(voice);
    }

    fn check_close(&mut self, mut voice: Voice<'a>) {
        // Some clients are killed: they do not close at all. Some were refused there and are admitted here.
        let recorded = voice.connection.close.as_ref().unwrap_or(&BY_CLIENT);
        let ours = if recorded.by == Side::Gateway && voice.admitted { &BY_CLIENT } else { recorded };
        if ours.by == Side::Client {
            let code = ours.code;
            voice.client.hang_up(&mut self.world, (code != NO_CODE).then_some(code));
            voice.client.receive(&mut self.world);
            // RFC 6455: a close is echoed with its own code.
            if voice.client.close.as_ref().map(|(code, _)| *code) != Some(code) {
                self.complain(&voice, format!("{code} was answered with {:?}", voice.client.close));
            }
        } else if voice.client.close.as_ref() != Some(&(ours.code, ours.reason.clone())) {
            let text = format!("closed with {:?} for {} {:?}", voice.client.close, ours.code, ours.reason);
            self.complain(&voice, text);
        }
    }

    /// Clients of protocol 3 throw a frame away that has a top-level key they do not know.
    fn check_frame(&mut self, voice: &Voice, frame: &Value) {
        let v3 = Protocol::V3.number();
        if voice.connection.connect.params["maxProtocol"].as_u64() != Some(u64::from(v3)) {
            return;
        }
        let known: &[&str] = if frame["type"] == "res" { &RESPONSE } else { &EVENT };
        let mut unknown = beyond(frame, known);
        unknown.extend(beyond(&frame["error"], &ERROR));
        unknown.extend(beyond(&frame["stateVersion"], &STATE_VERSION));
        if !unknown.is_empty() {
            self.complain(voice, format!("{unknown:?} is unknown to protocol 3: {frame}"));
        }
    }

    fn compare(&mut self, voice: &Voice, method: &str, recorded: Option<&Answer>, actual: &Value) {
        match recorded {
            Some(Answer::Ok(shape)) if actual["ok"] == true => {
                for path in shape::missing(method, shape, &actual["payload"]) {
                    self.allow_or_complain(voice, Kind::Shape, &path, format!("{path} is missing"));
                }
            }
            Some(Answer::Ok(_)) => {
                let text = format!("{method} was answered, and is refused now: {}", actual["error"]);
                self.allow_or_complain(voice, refused(&actual["error"]), method, text);
            }
            Some(Answer::Error(error)) if actual["ok"] == true => {
                let text = format!("{method} was refused ({}), and is answered now", error.message);
                self.allow_or_complain(voice, Kind::Cured, method, text);
            }
            Some(Answer::Error(error)) => {
                for text in differing(error, &actual["error"]) {
                    self.allow_or_complain(voice, Kind::Error, method, format!("{method}: {text}"));
                }
            }
            None => {}
        }
    }

    fn allow_or_complain(&mut self, voice: &Voice, kind: Kind, what: &str, text: String) {
        match differences::find(&self.conversation.version, kind, what) {
            Some(place) => self.used.push(place),
            None => self.complain(voice, text),
        }
    }

    fn complain(&mut self, voice: &Voice, text: String) {
        let about = voice.connection.about.as_deref().map(|about| format!("{about}: ")).unwrap_or_default();
        self.complaints.push(format!("{about}{text}"));
    }
}

fn refused(error: &Value) -> Kind {
    if error["code"] == "UNAVAILABLE" { Kind::NoRuntime } else { Kind::Refused }
}

/// How the error differs from the recorded one.
fn differing(recorded: &Error, actual: &Value) -> Vec<String> {
    let code = recorded.details_code.as_deref();
    let pairs = [
        (Some(recorded.code.as_str()), &actual["code"]),
        (Some(recorded.message.as_str()), &actual["message"]),
        (code, &actual["details"]["code"]),
    ];
    let differ = pairs.into_iter().filter(|(recorded, actual)| recorded.is_some_and(|text| **actual != text));
    differ.map(|(recorded, actual)| format!("{actual} for {recorded:?}")).collect()
}

/// Replaces every string that is a placeholder.
fn fill(value: &mut Value, with: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = with(text) {
                *text = new;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|element| fill(element, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, with)),
        _ => {}
    }
}

/// Fields that are `$event` are what the event says under the same name.
fn fill_fields(fields: &mut Map<String, Value>, told: &Map<String, Value>) {
    for (name, value) in fields.iter_mut().filter(|(_, value)| *value == "$event") {
        *value = told.get(name).cloned().unwrap_or_default();
    }
}

fn beyond(object: &Value, known: &[&str]) -> Vec<String> {
    let keys = object.as_object().into_iter().flat_map(Map::keys);
    keys.filter(|key| !known.contains(&key.as_str())).cloned().collect()
}

/// What `system.info` tells comes from here.
const KERNEL: [&str; 5] =
    ["/proc/cpuinfo", "/proc/loadavg", "/proc/meminfo", "/proc/self/stat", "/proc/uptime"];
const PASSWORD: &str = "pw-made-up-0001";
/// A close frame without a code.
const NO_CODE: u16 = 1005;
static BY_CLIENT: Close = Close { by: Side::Client, code: NO_CODE, reason: String::new() };
const RESPONSE: [&str; 5] = ["type", "id", "ok", "payload", "error"];
const EVENT: [&str; 5] = ["type", "event", "payload", "seq", "stateVersion"];
const ERROR: [&str; 5] = ["code", "message", "details", "retryable", "retryAfterMs"];
const STATE_VERSION: [&str; 2] = ["presence", "health"];
