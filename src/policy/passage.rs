//! Which HTTP requests pass to the runtime, for whom, and with which credential.
//!
//! Rule: the first row of [`PASSAGES`] that names the path decides; what no row lets through stays here. The runtime
//! takes our own connection for one of this machine's owner, so what it would give away for that is given here, by the
//! kernel's word about the real peer.

use std::borrow::Cow;
use std::time::Duration;

use super::credential::{HeldToken, Mode, Shared};
use super::facts::PeerClass;
use super::origin::OriginClass;
use super::rules::Rule;
use super::scope::{Role, Scopes};
use super::secret::Digest;
use super::surroundings::{Surroundings, may_upgrade};
use super::target::Path;
use crate::clock::millis;
use crate::wire::refusal::Refusal;

/// One row of [`PASSAGES`].
#[derive(Debug)]
pub struct PassageRow {
    /// The name of the class: `RULE` in the journal.
    pub name: &'static str,
    /// The paths: a segment `*` stands for any one, at the end for all that follow.
    pub paths: &'static [&'static str],
    /// Who gets through.
    pub access: Access,
    /// Whether only reading (GET, HEAD) is let through.
    pub reads_only: bool,
    /// What a device token has to open for it.
    pub need: Scopes,
    /// Whether WebSockets of these paths are the runtime's own, and not the gateway's protocol.
    pub upgrades: bool,
    /// What is there.
    pub doc: &'static str,
}

/// Who gets through, and what becomes of the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everybody on this machine, as with our own pages. No credential is passed on.
    Public,
    /// Everybody on this machine: the runtime asks for a secret that belongs to the path, and gets the header as it came.
    Own,
    /// Who shows a credential of this gateway.
    Bearer,
    /// The owner, whose page this is; whoever comes through a proxy, of which the runtime learns; and who shows a
    /// credential. To anybody else the runtime would be too kind, for it sees our connection.
    Near,
    /// The owner and the users that the settings name, with a credential or without: the runtime may ask for one.
    Known,
}

/// One request that would go to the runtime. Host and Origin were classed ([`Surroundings::read`]).
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whose process asks.
    pub peer: PeerClass,
    /// How it came.
    pub surroundings: &'a Surroundings,
    /// The request method.
    pub method: &'a str,
    /// `Sec-Fetch-Site`, which browsers alone send; of several the first.
    pub site: Option<&'a str>,
    /// Whether a WebSocket is asked for.
    pub upgrade: bool,
    /// Whether `gateway.auth.mode` asks for no secret.
    pub open: bool,
}

/// What `Authorization: Bearer` is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// There is none.
    Absent,
    /// The gateway's secret or a live token of a paired operator; this much it opens, under the ceiling.
    Opens(Scopes),
    /// None that is known here.
    Wrong,
    /// It was not looked at: the source is locked out for so long.
    Locked(Duration),
}

/// A request that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// With the `Authorization` header as it came.
    AsItCame,
    /// Without it.
    Bare,
    /// With the runtime's own secret in its place.
    WithSecret,
}

/// A request that does not pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// Why, with the HTTP status.
    pub refusal: Refusal,
    /// Whether it counts as a failed attempt of its source ([`super::penalty::Penalty::failed`]).
    pub counts: bool,
}

impl Bearer {
    /// Looks at the digest of a token of `Authorization: Bearer`. `held` are the live tokens of all operators; nobody is
    /// given more than `ceiling`.
    pub fn of(
        offered: Digest,
        mode: &Mode,
        ceiling: Scopes,
        held: impl IntoIterator<Item = HeldToken>,
    ) -> Self {
        if let Mode::Token(Shared::Set(digest)) | Mode::Password(Shared::Set(digest)) = mode {
            if *digest == offered {
                return Self::Opens(ceiling);
            }
        }
        let found = held.into_iter().find(|held| held.role == Role::Operator && held.digest == offered);
        found.map_or(Self::Wrong, |held| Self::Opens(held.scopes & ceiling))
    }
}

impl Access {
    /// Its name in the manual and in `--dump=passages`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "everybody",
            Self::Own => "a secret of the path's own",
            Self::Bearer => "a credential",
            Self::Near => "the owner, or a credential",
            Self::Known => "the owner and allowed users",
        }
    }

    /// Whether a credential in the header has to be looked at before [`decide`].
    pub const fn asks_for_credential(self) -> bool {
        matches!(self, Self::Bearer | Self::Near | Self::Known)
    }
}

impl PassageRow {
    /// The row that a path belongs to; that of its WebSockets if one is asked for. `None`: nothing of the runtime's.
    /// `hooks`: the pattern of the paths at which the runtime takes webhooks, if it is not that of the table.
    pub fn of(path: Path<'_>, upgrade: bool, hooks: Option<&str>) -> Option<&'static Self> {
        let row = PASSAGES.iter().find(|row| row.names(path))?;
        let hook = row.name == REST.name && hooks.is_some_and(|hooks| path.is_named_by(hooks, false));
        Some(if hook { &HOOKS } else { row }).filter(|row| !upgrade || row.upgrades)
    }

    /// A rule that demands something holds for a path in any letter case, for a reader behind us may ignore it; one that
    /// gives something away holds for the very path.
    fn names(&self, path: Path<'_>) -> bool {
        let folded = self.access.asks_for_credential();
        self.paths.iter().any(|pattern| path.is_named_by(pattern, folded))
    }

    fn lets(&self, method: &str) -> bool {
        reads(method) || (!self.reads_only && CHANGING.contains(&method))
    }
}

/// Decides about one request for a path of `row`. Pure: the same facts give the same answer.
pub fn decide(row: &PassageRow, request: &Request<'_>, bearer: Bearer) -> Result<Pass, Denial> {
    may_upgrade(request.surroundings).map_err(quiet)?;
    if !row.lets(request.method) || (request.upgrade && request.method != "GET") {
        return Err(quiet(
            Refusal::new("passage-method", "method not allowed here", METHOD_REMEDY).with_status(405),
        ));
    }
    if !reads(request.method) && !same_origin(request) {
        return Err(quiet(Refusal::new(
            "cross-site",
            "cross-site request: this page may change nothing here",
            PAGE_REMEDY,
        )));
    }
    match row.access {
        Access::Public => Ok(Pass::Bare),
        Access::Own => Ok(Pass::AsItCame),
        Access::Bearer | Access::Near | Access::Known => with_credential(row, request, bearer),
    }
}

fn with_credential(row: &PassageRow, request: &Request<'_>, bearer: Bearer) -> Result<Pass, Denial> {
    if matches!(request.peer, PeerClass::Other(_)) {
        return Err(quiet(by("peer-foreign", "this user may not use the gateway")));
    }
    match bearer {
        Bearer::Locked(left) => {
            let reason = format!("too many failed attempts; try again in {} ms", millis(left));
            Err(quiet(by("locked-out", reason).with_status(429)))
        }
        Bearer::Wrong if !request.open => Err(Denial { refusal: unauthorized("secret-wrong"), counts: true }),
        Bearer::Opens(scopes) if !scopes.covers(row.need) => Err(quiet(Refusal::new(
            "passage-scope",
            "this credential opens too little for the path",
            SCOPE_REMEDY,
        ))),
        Bearer::Opens(_) => Ok(Pass::WithSecret),
        Bearer::Absent | Bearer::Wrong if passes_without(row.access, request) => Ok(Pass::AsItCame),
        Bearer::Absent | Bearer::Wrong => Err(quiet(unauthorized("secret-missing"))),
    }
}

/// Whether a request without a credential passes. Where no secret is asked for at all, whose process it is decides alone.
fn passes_without(access: Access, request: &Request<'_>) -> bool {
    let known = matches!(request.peer, PeerClass::Owner | PeerClass::Allowed(_));
    match access {
        Access::Public | Access::Own => true,
        Access::Known => known,
        Access::Near => {
            request.peer == PeerClass::Owner || (known && request.surroundings.forwarded.is_some())
        }
        Access::Bearer => known && request.open,
    }
}

/// Whether the request cannot be another page's doing: no browser speaks, or one that says that the page is ours.
fn same_origin(request: &Request<'_>) -> bool {
    match (&request.surroundings.origin, request.site) {
        (OriginClass::Foreign, _) => false,
        // The settings name this page, whatever site it is of.
        (OriginClass::Allowed(_), _) | (OriginClass::Absent | OriginClass::Own, None) => true,
        (OriginClass::Absent | OriginClass::Own, Some(site)) => {
            site.trim().eq_ignore_ascii_case("same-origin")
        }
    }
}

fn reads(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// The end of a request that passes, and that would not pass any more.
pub fn gone() -> Refusal {
    by("credential-gone", "unauthorized: what this request was let through with is no longer valid")
        .with_status(401)
}

/// A refusal by a rule of admission, which is the same over HTTP.
fn by(rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(rule, reason, Rule::named(rule).map_or("", |rule| rule.remedy))
}

fn unauthorized(rule: &'static str) -> Refusal {
    by(rule, "unauthorized: this path takes Authorization: Bearer with the gateway's secret").with_status(401)
}

const fn quiet(refusal: Refusal) -> Denial {
    Denial { refusal, counts: false }
}

/// Methods that may change something. TRACE would show the credential that was put in, CONNECT is for proxies; neither
/// passes, nor does a method that nobody knows.
const CHANGING: &[&str] = &["POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

const METHOD_REMEDY: &str = "none: the runtime does not take this method there";
const PAGE_REMEDY: &str =
    "open the page under the gateway's own address and port, or add its origin to the setting origins";
const SCOPE_REMEDY: &str =
    "use the gateway's secret, or approve the device for more: loopgate devices approve";

const fn row(
    name: &'static str,
    paths: &'static [&'static str],
    access: Access,
    doc: &'static str,
) -> PassageRow {
    PassageRow { name, paths, access, reads_only: false, need: Scopes::ADMIN, upgrades: false, doc }
}

const HOOKS: PassageRow =
    row("hooks", &["/hooks/*"], Access::Own, "webhooks, with hooks.token, and wherever hooks.path puts them");

const REST: PassageRow = row(
    "rest",
    &["/*"],
    Access::Known,
    "the Control UI's pages and what they fetch, and what plugins serve, webhooks of channels included",
);

/// What the runtimes 2026.3.13 and 2026.9.6 serve beside the gateway's protocol and the probes. A device token is
/// exchanged for the runtime's secret, which opens everything, so it has to open everything itself, but for the Control
/// UI's own settings.
pub const PASSAGES: &[PassageRow] = &[
    PassageRow {
        reads_only: true,
        ..row(
            "ui-files",
            &[
                "/",
                "/index.html",
                "/assets/*",
                "/app-art/*",
                "/cloud-provider-icons/*",
                "/community-art/*",
                "/file-icons/*",
                "/fonts/*",
                "/provider-icons/*",
                "/themes/*",
                "/apple-touch-icon.png",
                "/asset-manifest.json",
                "/favicon-32.png",
                "/favicon.ico",
                "/favicon.svg",
                "/manifest.webmanifest",
                "/social-card.png",
                "/sw.js",
            ],
            Access::Public,
            "the Control UI's files, which hold no secret",
        )
    },
    PassageRow {
        reads_only: true,
        need: Scopes::READ,
        ..row(
            "ui-config",
            &[
                "/control-ui-config.json",
                "/__openclaw/control-ui-config.json",
                "/__openclaw__/control-ui-config.json",
            ],
            Access::Known,
            "what the Control UI has to know before it connects",
        )
    },
    HOOKS,
    PassageRow {
        reads_only: true,
        ..row(
            "oauth",
            &["/oauth/provider/callback", "/oauth/mcp/callback"],
            Access::Own,
            "where a provider sends a browser back to, with a state that the runtime made",
        )
    },
    PassageRow {
        upgrades: true,
        ..row(
            "tickets",
            &[
                "/j/*",
                "/share/*",
                "/api/nodes/watch/*",
                "/__openclaw__/worker/*",
                "/__openclaw__/worker-bootstrap/*",
                "/__openclaw__/worker-bundle/*",
                "/__openclaw__/worker-transfer/*",
                "/desktop/observe",
                "/node-desktop/attach",
                "/node-portal/attach",
            ],
            Access::Own,
            "transfers, screens, shared pages and invitations, each with a ticket that the runtime made",
        )
    },
    row(
        "api",
        &["/v1/*", "/tools/*", "/sessions/*/kill", "/sessions/*/history"],
        Access::Bearer,
        "the OpenAI-compatible endpoints, single tools, sessions",
    ),
    PassageRow {
        upgrades: true,
        ..row(
            "canvas",
            &["/__openclaw__/canvas/*", "/__openclaw__/a2ui/*", "/__openclaw__/cap/*", "/__openclaw__/ws"],
            Access::Near,
            "canvas, and the socket over which it learns of changes",
        )
    },
    REST,
];
