//! `connect`: what a client says of itself. Nothing here is believed; `policy` decides what it is worth.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Protocol;
use super::params::Reader;

/// The params of `connect`, complete and within bounds.
#[derive(Debug, Clone)]
pub struct Connect {
    /// Lowest protocol number the client speaks.
    pub min_protocol: u32,
    /// Highest protocol number the client speaks.
    pub max_protocol: u32,
    /// The program at the other end, in its own words.
    pub client: Client,
    /// What the client can do (`tool-events`, `browser`, …).
    pub caps: Vec<String>,
    /// Commands that a node offers.
    pub commands: Vec<String>,
    /// Permissions that a node reports.
    pub permissions: BTreeMap<String, bool>,
    /// The `PATH` of a node.
    pub path_env: Option<String>,
    /// The role as sent; `operator` if absent.
    pub role: String,
    /// The scopes asked for, as sent, in order: the device signature covers exactly this list.
    pub scopes: Vec<String>,
    /// The device proof.
    pub device: Option<DeviceProof>,
    /// The secrets offered.
    pub auth: Secrets,
    /// The client's language.
    pub locale: Option<String>,
    /// The browser's name.
    pub user_agent: Option<String>,
}

/// `connect.client`. In JSON it has the names of the wire; that is also how a hand-over stores it, so a field that is
/// added needs a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// `cli`, `openclaw-control-ui`, `node-host`, … Newer clients bring new ids, so any name is taken.
    pub id: String,
    /// `cli`, `probe`, `backend`, `webchat`, `ui`, `node`, …
    pub mode: String,
    /// Free text.
    pub version: String,
    /// `linux`, `darwin`, `MacIntel`, …
    pub platform: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Part of what the device signs (v3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// Tells two running copies apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
}

/// `connect.device`: all five fields, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProof {
    /// Claimed device id: SHA-256 of the raw key, hex.
    pub id: String,
    /// Raw Ed25519 key in base64url, or PEM.
    pub public_key: String,
    /// Signature in base64url or base64.
    pub signature: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// The client's clock, ms since 1970.
    pub signed_at: u64,
}

/// `connect.auth`. An empty string counts as absent, except in what the device signs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The shared secret of mode `token`.
    pub token: Option<String>,
    /// A secret issued to this device.
    pub device_token: Option<String>,
    /// A secret that pairs a new device once.
    pub bootstrap_token: Option<String>,
    /// The shared secret of mode `password`.
    pub password: Option<String>,
}

impl Connect {
    /// Reads the params of a `connect` request. The error lists every problem in the words of the protocol, without
    /// the prefix `invalid connect params: `.
    pub fn parse(params: &Value) -> Result<Self, String> {
        let mut r = Reader::new(params)?;
        for key in ["minProtocol", "maxProtocol", "client"] {
            r.require(key);
        }
        let protocol = |number: Option<u64>| number.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        let client = r.object("client").map(|mut inner| {
            let client = Client::read(&mut inner);
            r.absorb(inner);
            client
        });
        let device = r.object("device").map(|mut inner| {
            let device = DeviceProof::read(&mut inner);
            r.absorb(inner);
            device
        });
        let auth = r.object("auth").map(|mut inner| {
            let auth = Secrets::read(&mut inner);
            r.absorb(inner);
            auth
        });
        let connect = Self {
            min_protocol: protocol(r.int("minProtocol", 1..=u64::from(u32::MAX))),
            max_protocol: protocol(r.int("maxProtocol", 1..=u64::from(u32::MAX))),
            client: client.unwrap_or_else(Client::unknown),
            caps: owned(r.names("caps")),
            commands: owned(r.names("commands")),
            permissions: permissions(&mut r),
            path_env: r.text("pathEnv").map(str::to_owned),
            role: r.name("role").unwrap_or("operator").to_owned(),
            scopes: owned(r.names("scopes")),
            device,
            auth: auth.unwrap_or_default(),
            locale: r.text("locale").map(str::to_owned),
            user_agent: r.text("userAgent").map(str::to_owned),
        };
        r.finish()?;
        Ok(connect)
    }

    /// The highest protocol number that both sides speak.
    pub fn protocol(&self) -> Option<Protocol> {
        Protocol::highest_common(self.min_protocol, self.max_protocol)
    }

    /// Whether the client says it is a page in a browser; such a client must come with an `Origin`.
    pub fn claims_browser(&self) -> bool {
        matches!(self.client.id.as_str(), "openclaw-control-ui" | "webchat" | "webchat-ui")
    }
}

impl Client {
    fn read(r: &mut Reader<'_>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: r.required_name("id").to_owned(),
            mode: r.required_name("mode").to_owned(),
            version: r.required_name("version").to_owned(),
            platform: r.required_name("platform").to_owned(),
            display_name: owned(r.name("displayName")),
            device_family: owned(r.name("deviceFamily")),
            model_identifier: owned(r.name("modelIdentifier")),
            instance_id: owned(r.name("instanceId")),
        }
    }

    /// Stands in while the problems of a client object are collected; never leaves [`Connect::parse`].
    fn unknown() -> Self {
        Self {
            id: String::new(),
            mode: String::new(),
            version: String::new(),
            platform: String::new(),
            display_name: None,
            device_family: None,
            model_identifier: None,
            instance_id: None,
        }
    }
}

impl DeviceProof {
    fn read(r: &mut Reader<'_>) -> Self {
        r.require("signedAt");
        Self {
            id: r.required_name("id").to_owned(),
            public_key: r.required_name("publicKey").to_owned(),
            signature: r.required_name("signature").to_owned(),
            nonce: r.required_name("nonce").to_owned(),
            signed_at: r.int("signedAt", 0..=(1 << 53)).unwrap_or_default(),
        }
    }
}

impl Secrets {
    fn read(r: &mut Reader<'_>) -> Self {
        let mut text = |key| r.text(key).map(str::to_owned);
        Self {
            token: text("token"),
            device_token: text("deviceToken"),
            bootstrap_token: text("bootstrapToken"),
            password: text("password"),
        }
    }

    /// The secret that the device signature covers: the first that was sent, even if it is empty. The password is
    /// never part of it.
    pub fn signed(&self) -> &str {
        let first = self.token.as_ref().or(self.device_token.as_ref()).or(self.bootstrap_token.as_ref());
        first.map_or("", String::as_str)
    }
}

impl fmt::Debug for Secrets {
    /// Says which secrets were offered, never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offered = [
            ("token", self.token.is_some()),
            ("deviceToken", self.device_token.is_some()),
            ("bootstrapToken", self.bootstrap_token.is_some()),
            ("password", self.password.is_some()),
        ];
        f.debug_set().entries(offered.iter().filter(|(_, there)| *there).map(|(name, _)| name)).finish()
    }
}

fn owned(names: Option<Vec<&str>>) -> Vec<String> {
    names.unwrap_or_default().into_iter().map(str::to_owned).collect()
}

fn permissions(r: &mut Reader<'_>) -> BTreeMap<String, bool> {
    let Some(Value::Object(object)) = r.value("permissions") else {
        return BTreeMap::new();
    };
    object.iter().filter_map(|(name, value)| Some((name.clone(), value.as_bool()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn client() -> Value {
        json!({"id": "cli", "mode": "cli", "version": "1", "platform": "linux"})
    }

    #[test]
    fn the_least_connect_is_an_operator_without_scopes() {
        let connect =
            Connect::parse(&json!({"minProtocol": 3, "maxProtocol": 4, "client": client()})).unwrap();
        assert_eq!(connect.role, "operator");
        assert_eq!(connect.protocol(), Some(Protocol::V4));
        assert!(connect.scopes.is_empty() && connect.device.is_none());
    }

    #[test]
    fn problems_are_told_in_the_protocols_words() {
        let cases = [
            (json!(7), "must be object"),
            (json!({"maxProtocol": 3, "client": client()}), "must have required property 'minProtocol'"),
            (
                json!({"minProtocol": 3, "maxProtocol": 3, "client": client(), "device": null}),
                "at /device: must be object",
            ),
            (
                json!({"minProtocol": 3, "maxProtocol": 3, "client": {"id": "cli", "mode": "cli", "version": "", "platform": "x"}}),
                "at /client/version: must NOT have fewer than 1 characters",
            ),
        ];
        for (params, want) in cases {
            assert_eq!(Connect::parse(&params).unwrap_err(), want);
        }
    }

    #[test]
    fn keys_of_newer_clients_are_ignored() {
        let mut client = client();
        client["buildId"] = json!("x");
        let params = json!({"minProtocol": 4, "maxProtocol": 4, "client": client, "modelCatalog": {}});
        assert!(Connect::parse(&params).is_ok());
    }

    #[test]
    fn an_empty_token_shadows_a_device_token_in_what_is_signed() {
        let secrets =
            Secrets { token: Some(String::new()), device_token: Some("d".into()), ..Secrets::default() };
        assert_eq!(secrets.signed(), "");
    }

    #[test]
    fn secrets_are_never_printed() {
        let secrets = Secrets { password: Some("canary".into()), ..Secrets::default() };
        assert_eq!(format!("{secrets:?}"), r#"{"password"}"#);
    }

    #[test]
    fn a_client_is_stored_under_its_wire_names() {
        let mut params = client();
        params["instanceId"] = json!("copy-1");
        params["deviceFamily"] = json!("Linux");
        let connect = Connect::parse(&json!({"minProtocol": 3, "maxProtocol": 4, "client": params})).unwrap();
        let stored = serde_json::to_value(&connect.client).unwrap();
        assert_eq!(stored, params);
        assert_eq!(serde_json::from_value::<Client>(stored).unwrap(), connect.client);
        for bad in
            [json!({"id": "cli"}), json!([]), json!({"id": 1, "mode": "", "version": "", "platform": ""})]
        {
            assert!(serde_json::from_value::<Client>(bad.clone()).is_err(), "{bad}");
        }
    }
}
