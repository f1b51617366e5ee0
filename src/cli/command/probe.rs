//! `probe`: the way to the gateway step by step, each with its time, and what went wrong where.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Form, Shown, none};
use crate::cli::failure::Failure;
use crate::cli::json::Member;
use crate::cli::link::Link;
use crate::cli::screen::{Screen, Span, Tone, names};

/// `loopgate probe`. The report is shown whatever happens; the first failure is the status to end with.
pub(crate) fn run(link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    // All scopes at once, or each call would cost another connection and spoil the times.
    link.ask_for(&CALLS);
    let address = link.way()?.target.address.to_string();
    let start = Instant::now();
    let hello = match link.hello() {
        Ok(hello) => hello,
        Err(failure) => {
            let report = json!({"ok": false, "address": link.way()?.target.address.to_string(),
                "elapsedMs": ms(start.elapsed()), "error": failure.to_json()});
            return Ok(form.report(&report, draw).but(Some(failure)));
        }
    };
    let mut first = None;
    let calls: Vec<Value> = CALLS.iter().map(|method| call(method, link, &mut first)).collect();
    let close = link.close();
    let payload = hello.payload();
    let report = json!({
        "ok": first.is_none(),
        "address": link.way().map_or(address, |way| way.target.address.to_string()),
        "connectMs": ms(hello.connected),
        "helloMs": ms(hello.admitted),
        "protocol": hello.protocol,
        "server": payload.at("server"),
        "auth": {"method": payload.at("auth").at("method"), "role": payload.at("auth").at("role"), "scopes": payload.at("auth").at("scopes")},
        "calls": calls,
        "close": close.map(|(code, reason)| json!({"code": code, "reason": reason})),
    });
    Ok(form.report(&report, draw).but(first))
}

/// One call of the report; its failure is kept if it is the first.
fn call(method: &str, link: &mut Link<'_>, first: &mut Option<Failure>) -> Value {
    let start = Instant::now();
    let result = link.call(method, &none());
    let took = ms(start.elapsed());
    match result {
        Ok(_) => json!({"method": method, "ok": true, "ms": took}),
        Err(failure) => {
            let call = json!({"method": method, "ok": false, "ms": took, "error": failure.to_json()});
            first.get_or_insert(failure);
            call
        }
    }
}

/// The steps in the order in which they happened, each with what went wrong below it.
fn draw(screen: &mut Screen, report: &Value) {
    let address: Span = report.at("address").into();
    if report.at("error").is_object() {
        screen.pair("address", &[address]);
        screen.pair("connect", &[Span::new("failed", Tone::Bad), after(report.at("elapsedMs"))]);
        draw_error(screen, report.at("error"));
        return;
    }
    screen.pair("address", &[address]);
    screen.pair("connect", &[Span::new("ok    ", Tone::Good), after(report.at("connectMs"))]);
    screen.pair("hello", &[Span::new("ok    ", Tone::Good), after(report.at("helloMs"))]);
    screen.pair("protocol", &[report.at("protocol").into()]);
    screen.pair("server", &[report.at("server").at("version").into()]);
    let auth = report.at("auth");
    screen.pair("role", &[auth.at("role").into()]);
    // Protocol 3 tells scopes to devices only.
    let granted = if auth.at("scopes").is_array() {
        names(auth.at("scopes"))
    } else {
        "not told by this gateway".into()
    };
    screen.pair("scopes", &[granted]);
    for call in report.at("calls").as_array().into_iter().flatten() {
        let verdict = if call.at("ok") == true {
            Span::new("ok    ", Tone::Good)
        } else {
            Span::new("failed", Tone::Bad)
        };
        screen.pair("call", &[verdict, after(call.at("ms")), "  ".into(), call.at("method").into()]);
        draw_error(screen, call.at("error"));
    }
    match report.at("close") {
        Value::Object(close) => {
            let code = close.get("code").cloned().unwrap_or_default();
            let reason = close.get("reason").and_then(Value::as_str).unwrap_or_default();
            screen.pair("close", &[format!("{code} {reason}").trim_end().into()]);
        }
        _ => screen.pair("close", &[Span::new("no goodbye", Tone::Warn)]),
    }
}

/// The error of a step, if it has one.
fn draw_error(screen: &mut Screen, error: &Value) {
    if let Some(message) = error.at("message").as_str() {
        let code = error.at("code").as_str().unwrap_or_default();
        screen.pair("", &[Span::new(&format!("{code}: {message}"), Tone::Bad)]);
    }
}

fn after(ms: &Value) -> Span {
    ms.as_f64().map_or_else(Span::none, |ms| format!(" {ms:>8.1} ms").into())
}

/// Milliseconds with one decimal: a call takes less than one.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// What OpenClaw's own probe asks.
const CALLS: [&str; 4] = ["health", "status", "system-presence", "config.get"];
