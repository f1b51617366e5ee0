//! Plain HTTP on the gateway's port: probes, and a page that says what this is.
//!
//! Rule: a path without a row is not there. Every row names who may ask; nothing here changes state or needs a secret.

use super::Gateway;
use crate::clock::Now;
use crate::session::{Head, HttpAnswer};
use crate::wire::frame;

/// One path.
#[derive(Debug, Clone, Copy)]
pub struct RouteRow {
    /// The exact path.
    pub path: &'static str,
    /// What it answers.
    pub answer: Answer,
    /// Who may ask: the rule, as the manual says it.
    pub rule: &'static str,
}

/// What a path answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Whether the process lives.
    Live,
    /// Whether a handshake would succeed.
    Ready,
    /// The page for people.
    Page,
}

/// All paths.
pub const ROUTES: &[RouteRow] = &[
    RouteRow { path: "/", answer: Answer::Page, rule: LOOPBACK },
    RouteRow { path: "/health", answer: Answer::Live, rule: LOOPBACK },
    RouteRow { path: "/healthz", answer: Answer::Live, rule: LOOPBACK },
    RouteRow { path: "/ready", answer: Answer::Ready, rule: LOOPBACK },
    RouteRow { path: "/readyz", answer: Answer::Ready, rule: LOOPBACK },
    RouteRow { path: "/startupz", answer: Answer::Ready, rule: LOOPBACK },
];

impl Gateway {
    /// The answer to a request that is no upgrade. Host and Origin were checked.
    pub(super) fn http(&self, head: &Head, now: Now) -> HttpAnswer {
        let path = head.path();
        let Some(row) = ROUTES.iter().find(|row| row.path == path) else {
            return HttpAnswer::text(404, "Not Found");
        };
        if !matches!(head.method(), "GET" | "HEAD") {
            return method_not_allowed();
        }
        match row.answer {
            Answer::Live => {
                made(200, "application/json; charset=utf-8", r#"{"ok":true,"status":"live"}"#.to_owned())
            }
            Answer::Ready => self.http_ready(now),
            Answer::Page => made(200, "text/html; charset=utf-8", self.http_page()),
        }
    }

    fn http_ready(&self, now: Now) -> HttpAnswer {
        let failing = match (self.stopping, self.started()) {
            (true, _) => &["stopping"][..],
            (_, false) => &["starting"],
            _ => &[],
        };
        let status = if failing.is_empty() { 200 } else { 503 };
        let body = format!(
            r#"{{"ready":{},"failing":{},"uptimeMs":{}}}"#,
            failing.is_empty(),
            frame::to_json(failing),
            now.millis_since(self.started.mono)
        );
        made(status, "application/json; charset=utf-8", body)
    }

    fn http_page(&self) -> String {
        let state = if self.ready() { "ready" } else { "not ready" };
        let version = env!("CARGO_PKG_VERSION");
        let clients = self.conns.len() - self.arriving;
        let runtime = self.runtime_status();
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>loopgate</title><style>body{{font:16px/1.5 system-ui;max-width:40em;margin:4em auto;padding:0 1em}}\
             code{{background:#8882;padding:.1em .3em}}</style><h1>loopgate {version}: {state}</h1>\
             <p>This is the OpenClaw gateway port. {clients} connections are open; {runtime}. \
             There is no Control UI here; the command line works.</p>\
             <p>Look at <code>loopgate status</code> and <code>journalctl -u loopgate</code>.</p></html>"
        )
    }
}

/// Whether a request is answered here even with a runtime. The page is the runtime's then.
pub(super) fn is_ours(head: &Head) -> bool {
    let row = ROUTES.iter().find(|row| row.path == head.path());
    !head.is_upgrade() && row.is_some_and(|row| row.answer != Answer::Page)
}

fn made(status: u16, kind: &'static str, body: String) -> HttpAnswer {
    HttpAnswer {
        status,
        headers: vec![("Content-Type", kind.into()), ("Cache-Control", "no-store".into())],
        body: body.into_bytes().into(),
    }
}

fn method_not_allowed() -> HttpAnswer {
    let mut answer = HttpAnswer::text(405, "Method Not Allowed");
    answer.headers.push(("Allow", "GET, HEAD".into()));
    answer
}

/// Host must be a loopback name with this port, Origin absent or allowed: checked before any path is looked at.
const LOOPBACK: &str = "anybody on this machine whose Host is loopback and whose Origin is absent or allowed";
