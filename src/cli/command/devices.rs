//! `devices`: pairing requests, paired devices and their tokens.

use serde_json::{Value, json};

use super::simple::short;
use super::{Form, Shown, none};
use crate::cli::args::Devices;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, codes};
use crate::cli::json::Member;
use crate::cli::link::Link;
use crate::cli::refusal::is_plain;
use crate::cli::screen::{Screen, Span, Tone, names};
use crate::limits::CLI_ID_CHARS;

/// `loopgate devices …`.
pub(crate) fn run(command: &Devices, link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    match command {
        Devices::List => form.show(&link.call(LIST, &none())?, draw_list),
        Devices::Approve { request: Some(request), .. } => approve(request, link, form),
        Devices::Approve { request: None, latest } => {
            // Asked for now, so that the list and the approval share a connection.
            link.ask_for(&[APPROVE]);
            let request = choose(&pending(link)?, *latest)?;
            approve(&request, link, form)
        }
        Devices::Reject { request } => {
            let payload = link.call("device.pair.reject", &json!({"requestId": request}))?;
            form.show(&payload, |screen, _| done(screen, "rejected request", request))
        }
        Devices::Remove { device } => {
            let method = "device.pair.remove";
            let device = whole_id(device, method, link)?;
            let payload = link.call(method, &json!({"deviceId": device}))?;
            form.show(&payload, |screen, _| done(screen, "removed device", &device))
        }
        Devices::Rotate { device, role, scopes } => rotate((device, role, scopes), link, form),
        Devices::Revoke { device, role } => {
            let method = "device.token.revoke";
            let device = whole_id(device, method, link)?;
            let payload = link.call(method, &json!({"deviceId": device, "role": role}))?;
            form.show(&payload, |screen, _| done(screen, &format!("revoked the {role} token of"), &device))
        }
    }
}

/// Approves one request. What was granted is shown, for the request may have been widened while it waited.
fn approve(request: &str, link: &mut Link<'_>, form: Form) -> Result<Shown, Failure> {
    let payload = link.call(APPROVE, &json!({"requestId": request}))?;
    form.show(&payload, |screen, answer| {
        done(screen, "approved request", request);
        let device = answer.at("device");
        screen.pair("device", &[device.at("deviceId").into()]);
        screen.pair("roles", &[names(device.at("roles"))]);
        screen.pair("scopes", &[names(device.at("scopes"))]);
    })
}

/// Rotates a token. A gateway of 2026.9 shows the new one to its own device only, an older one shows it to us.
fn rotate(
    (device, role, scopes): (&str, &str, &[String]),
    link: &mut Link<'_>,
    form: Form,
) -> Result<Shown, Failure> {
    let method = "device.token.rotate";
    let device = whole_id(device, method, link)?;
    let mut params = json!({"deviceId": device, "role": role});
    if let (false, Some(params)) = (scopes.is_empty(), params.as_object_mut()) {
        params.insert("scopes".to_owned(), json!(scopes));
    }
    let payload = link.call(method, &params)?;
    form.show(&payload, |screen, answer| {
        done(screen, &format!("rotated the {role} token of"), &device);
        screen.pair("scopes", &[names(answer.at("scopes"))]);
        match answer.at("token").as_str() {
            Some(token) => {
                screen.pair("token", &[token.into()]);
                screen.line(&[Span::new("This is the only time that the token is shown.", Tone::Warn)]);
            }
            None => screen
                .line(&["The gateway keeps the new token for the device and does not show it here.".into()]),
        }
    })
}

/// The requests that wait, newest first.
fn pending(link: &mut Link<'_>) -> Result<Vec<Value>, Failure> {
    let list = link.call(LIST, &none())?.value()?;
    let mut pending: Vec<Value> = list.at("pending").as_array().cloned().unwrap_or_default();
    pending.sort_by_key(|request| std::cmp::Reverse(request.at("ts").as_u64()));
    Ok(pending)
}

/// The one request that is meant.
fn choose(pending: &[Value], latest: bool) -> Result<String, Failure> {
    let chosen = match pending {
        [] => return Err(Failure::usage("no pairing request waits").next("loopgate devices list")),
        [only] => only,
        [newest, ..] if latest => newest,
        _ => return Err(which(pending)),
    };
    let id = chosen.at("requestId").as_str().filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| Failure::protocol("the gateway lists a request without requestId"))
}

/// Several requests wait: the failure that lists them, each with the command that approves it.
fn which(pending: &[Value]) -> Failure {
    let message = format!("{} pairing requests wait, say which one", pending.len());
    let mut failure =
        Failure::new(Exit::Usage, codes::USAGE, message).with_details(json!({"pending": pending}));
    for request in pending {
        let text = |key: &str| request.at(key).as_str().unwrap_or("?");
        if is_plain(text("requestId")) {
            let (who, role, from) = (text("clientId"), text("role"), text("platform"));
            failure = failure.next(format!(
                "loopgate devices approve {}   # {who}, role {role}, {from}",
                text("requestId")
            ));
        }
    }
    failure
}

/// The whole of a device id that may be shortened. An id that matches nothing is left to the gateway to refuse.
fn whole_id(id: &str, method: &str, link: &mut Link<'_>) -> Result<String, Failure> {
    // A beginning that is too short to be shown anywhere was not copied from a list.
    if id.len() >= WHOLE_ID_CHARS || id.len() < CLI_ID_CHARS {
        return Ok(id.to_owned());
    }
    link.ask_for(&[LIST, method]);
    let list = link.call(LIST, &none())?.value()?;
    let devices = list.at("paired").as_array().into_iter().flatten();
    let found: Vec<&str> = devices
        .filter_map(|device| device.at("deviceId").as_str())
        .filter(|whole| whole.starts_with(id))
        .collect();
    match found.as_slice() {
        [whole] => Ok((*whole).to_owned()),
        [] => Ok(id.to_owned()),
        several if several.contains(&id) => Ok(id.to_owned()),
        several => Err(Failure::usage(format!("{id} begins {} device ids", several.len()))
            .with_details(json!({"deviceIds": several}))
            .next("loopgate devices list --json")),
    }
}

fn done(screen: &mut Screen, what: &str, id: &str) {
    screen.line(&[Span::new(what, Tone::Good), " ".into(), id.into()]);
}

/// Requests first: they are what somebody looks for.
fn draw_list(screen: &mut Screen, list: &Value) {
    let of = |key: &str| list.at(key).as_array().cloned().unwrap_or_default();
    let (pending, paired) = (of("pending"), of("paired"));
    if !pending.is_empty() {
        let rows: Vec<Vec<Span>> = pending.iter().map(|request| pending_row(screen, request)).collect();
        screen.line(&[Span::new("Waiting for approval", Tone::Warn)]);
        screen.table(&["REQUEST", "DEVICE", "NAME", "ROLES", "SCOPES", "FROM", "ASKED"], &rows);
        screen.gap();
    }
    if paired.is_empty() {
        screen.line(&["no device is paired".into()]);
        return;
    }
    let rows: Vec<Vec<Span>> = paired.iter().map(|device| paired_row(screen, device)).collect();
    screen.line(&[Span::new("Paired", Tone::Bold)]);
    screen.table(&["DEVICE", "NAME", "PLATFORM", "ROLES", "SCOPES", "TOKENS", "USED"], &rows);
}

/// Newer gateways list several roles, older ones name one.
fn pending_row(screen: &Screen, request: &Value) -> Vec<Span> {
    let from =
        if request.at("remoteIp").is_string() { request.at("remoteIp") } else { request.at("platform") };
    let roles =
        if request.at("roles").is_array() { names(request.at("roles")) } else { request.at("role").into() };
    vec![
        request.at("requestId").into(),
        short(request.at("deviceId")),
        name(request),
        roles,
        scopes(request.at("scopes")),
        from.into(),
        screen.ago_at(request.at("ts")),
    ]
}

fn paired_row(screen: &Screen, device: &Value) -> Vec<Span> {
    let tokens: Vec<&Value> = device.at("tokens").as_array().into_iter().flatten().collect();
    // A revoked token stays in the record; it opens nothing.
    let live: Vec<&str> = tokens
        .iter()
        .filter(|token| !token.at("revokedAtMs").is_u64())
        .filter_map(|token| token.at("role").as_str())
        .collect();
    let used = tokens.iter().filter_map(|token| token.at("lastUsedAtMs").as_u64()).max();
    vec![
        short(device.at("deviceId")),
        name(device),
        device.at("platform").into(),
        names(device.at("roles")),
        scopes(device.at("scopes")),
        names(&json!(live)),
        screen.ago_at(&used.map_or(Value::Null, Value::from)),
    ]
}

/// What the device calls itself, else the program that it runs.
fn name(device: &Value) -> Span {
    if device.at("displayName").is_string() {
        device.at("displayName").into()
    } else {
        device.at("clientId").into()
    }
}

/// Scopes without the prefix that all of them share.
fn scopes(value: &Value) -> Span {
    let short: Vec<&str> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|scope| scope.strip_prefix("operator.").unwrap_or(scope))
        .collect();
    names(&json!(short))
}

const LIST: &str = "device.pair.list";
const APPROVE: &str = "device.pair.approve";
/// A device id is a SHA-256 in hex.
const WHOLE_ID_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_is_meant_two_are_a_question() {
        let (a, b) = (json!({"requestId": "r-a", "ts": 2}), json!({"requestId": "r-b", "ts": 1}));
        assert_eq!(choose(std::slice::from_ref(&a), false).unwrap(), "r-a");
        assert_eq!(choose(&[a.clone(), b.clone()], true).unwrap(), "r-a");
        let failure = choose(&[a, b], false).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.next.concat().contains("approve r-b"), "{failure:?}");
        assert_eq!(choose(&[], false).unwrap_err().exit, Exit::Usage);
        assert_eq!(choose(&[json!({})], false).unwrap_err().exit, Exit::Protocol);
    }

    #[test]
    fn a_list_shows_requests_first_and_no_live_role_that_is_revoked() {
        let list = json!({
            "pending": [{"requestId": "44e7394c-03e8", "deviceId": "ef476ede0000111122223333", "clientId": "cli",
                "role": "operator", "scopes": ["operator.read"], "platform": "linux", "ts": 1_000}],
            "paired": [{"deviceId": "7d11e2490000111122223333", "clientId": "test", "roles": ["node", "operator"],
                "platform": "linux", "scopes": [], "tokens": [{"role": "node", "revokedAtMs": 5}, {"role": "operator"}]}],
        });
        let mut screen = Screen::new(false, 61_000);
        draw_list(&mut screen, &list);
        let text = screen.finish();
        assert!(
            text.contains("44e7394c-03e8  ef476ede0000  cli   operator  read    linux  1 min ago"),
            "{text}"
        );
        assert!(text.contains("7d11e2490000  test  linux     node operator  -       operator  -"), "{text}");
    }
}
